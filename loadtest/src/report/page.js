// Tables whose headers hold buttons sort by the column pressed; numbers stand in data-v.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") !== "descending" && header.classList.contains("n")
        || header.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("thead th")) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const by = Number.isFinite(x - y) ? x - y : x.localeCompare(y, undefined, { numeric: true });
        return descending ? -by : by;
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
