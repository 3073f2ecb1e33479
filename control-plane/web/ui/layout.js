// Owns where tiles go. Pure arithmetic: sizes in, boxes `{x, y, width, height}` out, in CSS pixels.

const WIDE = 16 / 9;
const CAP = 25;
const LEAST = { width: 136, height: 92 };

/** Boxes for `count` tiles that fill the area best, the last row centred. */
export function gridLayout({ count, width, height, gap }) {
  if (count === 0 || width <= 0 || height <= 0) return [];
  const { columns, tile } = bestGrid(count, width, height, gap);
  const rows = Math.ceil(count / columns);
  const top = (height - rows * tile.height - (rows - 1) * gap) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = (width - inRow * tile.width - (inRow - 1) * gap) / 2;
    return box(left + (index % columns) * (tile.width + gap), top + row * (tile.height + gap), tile);
  });
}

function bestGrid(count, width, height, gap) {
  let best;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cell = { width: (width - gap * (columns - 1)) / columns, height: (height - gap * (rows - 1)) / rows };
    if (cell.width <= 0 || cell.height <= 0) continue;
    const tile = shape(cell, width < height ? 0.8 : 1.25);
    const empty = columns * rows - count;
    const score = tile.width * tile.height * (1 - empty * 0.02);
    if (!best || score > best.score) best = { columns, tile, score };
  }
  return best ?? { columns: 1, tile: { width, height } };
}

/** The largest tile in a cell whose aspect lies between `narrowest` and 16:9. */
function shape(cell, narrowest) {
  const aspect = Math.min(WIDE, Math.max(narrowest, cell.width / cell.height));
  const width = Math.min(cell.width, cell.height * aspect);
  return { width, height: width / aspect };
}

/** How many tiles one page holds without becoming too small to recognise a face. */
export function pageCapacity({ width, height, gap }) {
  for (let count = CAP; count > 1; count -= 1) {
    const { tile } = bestGrid(count, width, height, gap);
    if (tile.width >= LEAST.width && tile.height >= LEAST.height) return count;
  }
  return 1;
}

/** Splits `count` tiles over pages of about equal size: `{pages, perPage}`. */
export function paginate(count, capacity) {
  const pages = Math.max(1, Math.ceil(count / capacity));
  return { pages, perPage: Math.max(1, Math.ceil(count / pages)) };
}

/**
 * One large tile and a strip for the others: beside it in a wide area, below it in a tall one.
 * Returns `{main, strip}`; the strip has as many boxes as fit, at most `others`.
 */
export function spotlightLayout({ others, width, height, gap }) {
  const full = { x: 0, y: 0, width, height };
  if (others === 0) return { main: full, strip: [] };
  const isTall = height > width * 0.95;
  const strip = isTall ? bottomStrip(others, width, height, gap) : sideStrip(others, width, height, gap);
  const main = isTall
    ? { ...full, height: height - strip.size - gap }
    : { ...full, width: width - strip.size - gap };
  return { main, strip: strip.boxes };
}

function sideStrip(others, width, height, gap) {
  const size = Math.round(Math.min(260, Math.max(130, width * 0.19)));
  const tile = { width: size, height: size / WIDE };
  const fit = Math.max(1, Math.floor((height + gap) / (tile.height + gap)));
  const shown = Math.min(others, fit);
  const top = (height - shown * tile.height - (shown - 1) * gap) / 2;
  const boxes = Array.from({ length: shown }, (_, index) => box(width - size, top + index * (tile.height + gap), tile));
  return { size, boxes };
}

function bottomStrip(others, width, height, gap) {
  const size = Math.round(Math.min(150, Math.max(84, height * 0.15)));
  const fit = Math.max(1, Math.floor((width + gap) / (size + gap)));
  const shown = Math.min(others, fit);
  const tileWidth = Math.min(size * WIDE, (width - gap * (shown - 1)) / shown);
  const left = (width - shown * tileWidth - (shown - 1) * gap) / 2;
  const tile = { width: tileWidth, height: size };
  const boxes = Array.from({ length: shown }, (_, index) => box(left + index * (tileWidth + gap), height - size, tile));
  return { size, boxes };
}

function box(x, y, { width, height }) {
  return { x, y, width, height };
}
