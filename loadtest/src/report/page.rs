//! The frame of every page: one file with its style and script inside, that loads nothing.
//!
//! Owns escaping and what pages share. Must not know what is shown.

/// Text as it may stand in HTML, also within quotes.
#[must_use]
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A whole page around `body`. The policy keeps browsers from loading anything, should a name ever slip
/// through unescaped.
#[must_use]
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n<script>\n{}</script>\n</body>\n</html>\n",
        escape(title),
        include_str!("page.css"),
        include_str!("page.js"),
    )
}

/// A cell with a number: what sorting goes by, and how it reads.
#[must_use]
pub(super) fn number(value: Option<f64>, text: &str) -> String {
    let sort = value.map_or_else(String::new, |value| value.to_string());
    format!("<td class=\"n\" data-v=\"{sort}\">{}</td>", escape(text))
}

/// A list of remarks that a reader must see; nothing without any.
#[must_use]
pub(super) fn remarks(remarks: &[String]) -> String {
    if remarks.is_empty() {
        return String::new();
    }
    let items: String = remarks
        .iter()
        .map(|remark| format!("<li>{}</li>", escape(remark)))
        .collect();
    format!("<div class=\"notes\"><ul>{items}</ul></div>\n")
}
