//! Numbers of several rounds, and the table they are shown in. Must not measure.

/// The one in the middle.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a table says of a number.
pub(crate) fn verdict(value: f64, limit: Option<f64>) -> String {
    match limit {
        None => String::new(),
        Some(limit) if value <= limit => format!("within {limit}"),
        Some(limit) => format!("OVER {limit}"),
    }
}

/// Prints rows in columns, the first to the left and the others to the right.
pub(crate) fn print(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let cells = cells.map(String::as_str).chain([head[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).enumerate();
        let text: Vec<String> = padded
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("{}", text.join("  ").trim_end());
    };
    line(head.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}

/// A word on the command line, `--name value`.
pub(crate) fn option(name: &str) -> Option<String> {
    let mut words = std::env::args().skip_while(|word| word != name);
    words.next()?;
    words.next()
}

/// A switch on the command line.
pub(crate) fn is_given(name: &str) -> bool {
    std::env::args().any(|word| word == name)
}
