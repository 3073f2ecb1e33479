//! What was given: the text of a TOML file and flags on top of it, as one tree in which every value
//! knows where it stands.
//!
//! Owns places and paths. Must not know which keys there are (`super::read`).

use std::{collections::BTreeMap, fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::mistake::{Mistake, Mistakes};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file; both from 1, columns in characters.
    File {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// On the command line.
    Flag(String),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) node: Node,
}

/// A value as given.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Table(BTreeMap<String, Entry>),
    Array(Vec<Entry>),
    Text(String),
    Integer(String),
    Float(String),
    Boolean(bool),
    /// A text from the command line, which becomes what the key wants.
    Given(String),
    /// A date or time: no key takes one.
    Date,
}

impl Node {
    /// What to call it in a message.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::Array(_) => "an array",
            Self::Text(_) | Self::Given(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a point",
            Self::Boolean(_) => "true or false",
            Self::Date => "a date",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { line, column } => write!(formatter, "{line}:{column}"),
            Self::Flag(flag) => formatter.write_str(flag),
        }
    }
}

/// Reads the text of a file.
///
/// # Errors
/// Every place where it is not TOML.
pub(super) fn parse(text: &str) -> Result<Entry, Mistakes> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::new(text);
    if errors.is_empty() {
        return Ok(Entry {
            place: Place::File { line: 1, column: 1 },
            node: table_node(table.get_ref(), &lines),
        });
    }
    let mistakes = Mistakes::default();
    for error in errors {
        mistakes.add(Mistake {
            place: lines.place(error.span().unwrap_or_default()),
            key: String::new(),
            message: error.message().to_owned(),
        });
    }
    Err(mistakes)
}

/// Puts a flag's text at the path of a key: `publishers`, `video.layers[0].bitrate`. Tables that are
/// missing on the way are made.
///
/// # Errors
/// What is wrong with the path.
pub(super) fn set(root: &mut Entry, flag: &str, path: &str, text: &str) -> Result<(), Mistake> {
    let place = Place::Flag(flag.to_owned());
    let mistake = |message: String| Mistake {
        place: Place::Flag(flag.to_owned()),
        key: path.to_owned(),
        message,
    };
    let mut entry = root;
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            None => (part, None),
            Some((name, rest)) => {
                let index = rest
                    .strip_suffix(']')
                    .and_then(|index| index.parse::<usize>().ok())
                    .ok_or_else(|| mistake(format!("\"{part}\" is no key")))?;
                (name, Some(index))
            }
        };
        if name.is_empty() {
            return Err(mistake("is no key".to_owned()));
        }
        let Node::Table(table) = &mut entry.node else {
            return Err(mistake(format!(
                "there is no table that could have \"{name}\""
            )));
        };
        entry = table.entry(name.to_owned()).or_insert_with(|| Entry {
            place: place.clone(),
            node: Node::Table(BTreeMap::new()),
        });
        if let Some(index) = index {
            let Node::Array(entries) = &mut entry.node else {
                return Err(mistake(format!("\"{name}\" is no array")));
            };
            let length = entries.len();
            entry = entries
                .get_mut(index)
                .ok_or_else(|| mistake(format!("\"{name}\" has {length} elements, from 0")))?;
        }
    }
    *entry = Entry {
        place,
        node: Node::Given(text.to_owned()),
    };
    Ok(())
}

/// Takes a key away, `video` or `thresholds.max_freezes`, if it is there.
pub(super) fn remove(root: &mut Entry, path: &str) {
    let Node::Table(table) = &mut root.node else {
        return;
    };
    match path.split_once('.') {
        None => {
            table.remove(path);
        }
        Some((name, rest)) => {
            if let Some(entry) = table.get_mut(name) {
                remove(entry, rest);
            }
        }
    }
}

/// When the command line sets the number of publishers, parts of them that the file names follow it
/// down; else `--publishers 1` would contradict every file with more than one talker.
pub(super) fn cap_to_publishers(root: &mut Entry) {
    let Node::Table(table) = &mut root.node else {
        return;
    };
    let given = table.get("publishers").map(|entry| &entry.node);
    let Some(Node::Given(text)) = given else {
        return;
    };
    let Ok(publishers) = text.parse::<u32>() else {
        return;
    };
    for (name, key) in [("video", "publishers"), ("audio", "talkers")] {
        if let Some(Node::Table(part)) = table.get_mut(name).map(|entry| &mut entry.node)
            && let Some(Node::Integer(count)) = part.get_mut(key).map(|entry| &mut entry.node)
            && count.parse::<u32>().is_ok_and(|count| count > publishers)
        {
            *count = publishers.to_string();
        }
    }
}

/// What the command line makes idle goes with it: `--room` needs no prefix that the file has, and a size that is not
/// told, or a queue before no link, is no mistake of the one who took the reason for it away.
pub(super) fn drop_idle(root: &mut Entry, overridden: &[&str]) {
    let is_true = |entry: &Entry| {
        matches!(&entry.node, Node::Boolean(true))
            || matches!(&entry.node, Node::Given(text) if text == "true")
    };
    let adapts = find(root, "subscribe.adaptive").is_some_and(is_true);
    let has_room = find(root, "room").is_some();
    let has_link = ["network.rate", "network.squeeze"]
        .iter()
        .any(|key| find(root, key).is_some());
    for (reasons, is_idle, keys) in [
        (
            &["subscribe.adaptive"][..],
            !adapts,
            &["subscribe.width", "subscribe.height"][..],
        ),
        (&["room"], has_room, &["room_prefix"]),
        (
            &["network.rate", "network.squeeze"],
            !has_link,
            &["network.queue"],
        ),
    ] {
        if !is_idle || !reasons.iter().any(|reason| overridden.contains(reason)) {
            continue;
        }
        for key in keys {
            let is_of_file = |entry: &Entry| matches!(entry.place, Place::File { .. });
            if find(root, key).is_some_and(is_of_file) {
                remove(root, key);
            }
        }
    }
}

fn find<'a>(root: &'a Entry, path: &str) -> Option<&'a Entry> {
    path.split('.')
        .try_fold(root, |entry, name| match &entry.node {
            Node::Table(table) => table.get(name),
            _ => None,
        })
}

fn table_node(table: &DeTable<'_>, lines: &Lines<'_>) -> Node {
    let entries = table.iter().map(|(name, value)| {
        let entry = Entry {
            // The key, not the value: that is what the message names.
            place: lines.place(name.span()),
            node: node(value, lines),
        };
        (name.get_ref().to_string(), entry)
    });
    Node::Table(entries.collect())
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    match value.get_ref() {
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(
                |_| Node::Integer(number.as_str().to_owned()),
                |number| Node::Integer(number.to_string()),
            ),
        DeValue::Float(number) => Node::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Node::Boolean(*value),
        DeValue::Datetime(_) => Node::Date,
        DeValue::Array(values) => Node::Array(
            values
                .iter()
                .map(|value| Entry {
                    place: lines.place(value.span()),
                    node: node(value, lines),
                })
                .collect(),
        ),
        DeValue::Table(table) => table_node(table, lines),
    }
}

/// Where lines start.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(starts).collect(),
        }
    }

    fn place(&self, span: Range<usize>) -> Place {
        let at = span.start.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts[line - 1];
        let column = self
            .text
            .get(start..at)
            .map_or(at - start, |before| before.chars().count())
            + 1;
        Place::File { line, column }
    }
}
