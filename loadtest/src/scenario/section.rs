//! Reading one table: typed values by key, and what is wrong with each.
//!
//! Owns type and range errors and keys that nobody asked for. Must not know which keys there are
//! (`super::read`).

use std::{cmp::Reverse, collections::BTreeMap, ops::RangeInclusive, time::Duration};

use super::{
    mistake::{Mistake, Mistakes},
    source::{Entry, Node, Place},
    units::{self, Bitrate, ByteSize, Share},
};

/// A value that a key can have.
pub(super) trait Readable: Sized + Clone {
    /// Reads it, or says what would be right.
    fn read(node: &Node) -> Result<Self, String>;
    /// As it would be written.
    fn show(&self) -> String;
}

/// One table while it is read.
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    entries: Option<&'a BTreeMap<String, Entry>>,
    asked: Vec<&'static str>,
    mistakes: &'a Mistakes,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(root: &'a Entry, mistakes: &'a Mistakes) -> Self {
        Self::of(String::new(), root, mistakes)
    }

    fn of(path: String, entry: &'a Entry, mistakes: &'a Mistakes) -> Self {
        let entries = match &entry.node {
            Node::Table(entries) => Some(entries),
            other => {
                mistakes.add(Mistake {
                    place: entry.place.clone(),
                    key: path.clone(),
                    message: format!("must be a table, not {}", other.kind()),
                });
                None
            }
        };
        Self {
            path,
            place: entry.place.clone(),
            entries,
            asked: Vec::new(),
            mistakes,
        }
    }

    /// A table in this one, when it is given.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Self> {
        let entry = self.ask(key)?;
        Some(Self::of(self.path_of(key), entry, self.mistakes))
    }

    /// A table in this one; an empty one when it is not given.
    pub(super) fn table_or_empty(&mut self, key: &'static str) -> Self {
        self.table(key).unwrap_or_else(|| Self {
            path: self.path_of(key),
            place: self.place.clone(),
            entries: None,
            asked: Vec::new(),
            mistakes: self.mistakes,
        })
    }

    /// An array of tables in this one; missing or empty is a mistake.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let path = self.path_of(key);
        let Some(entry) = self.ask(key) else {
            self.missing(key, "needs at least one table");
            return Vec::new();
        };
        match &entry.node {
            Node::Array(entries) if !entries.is_empty() => entries
                .iter()
                .enumerate()
                .map(|(index, entry)| Self::of(format!("{path}[{index}]"), entry, self.mistakes))
                .collect(),
            Node::Array(_) => {
                self.mistake(key, "needs at least one table".to_owned());
                Vec::new()
            }
            other => {
                self.mistake(
                    key,
                    format!("must be an array of tables, not {}", other.kind()),
                );
                Vec::new()
            }
        }
    }

    /// The value of a key, when it is given and right.
    pub(super) fn optional<T: Readable>(&mut self, key: &'static str) -> Option<T> {
        let entry = self.ask(key)?;
        T::read(&entry.node)
            .map_err(|message| self.mistake(key, message))
            .ok()
    }

    /// As [`optional`](Self::optional), with bounds.
    pub(super) fn optional_in<T: Readable + PartialOrd>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.optional::<T>(key)?;
        if range.contains(&value) {
            return Some(value);
        }
        self.mistake(
            key,
            format!(
                "must be between {} and {}, not {}",
                range.start().show(),
                range.end().show(),
                value.show()
            ),
        );
        None
    }

    /// The value of a key, `default` when it is missing (or wrong, which is noted).
    pub(super) fn value<T: Readable>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// As [`value`](Self::value), with bounds.
    pub(super) fn value_in<T: Readable + PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        self.optional_in(key, range).unwrap_or(default)
    }

    /// The value of a key that must be given; a value that allows reading on when it is not.
    pub(super) fn required_in<T: Readable + PartialOrd>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> T {
        if self.ask(key).is_none() {
            self.missing(key, "is missing");
        }
        let stand_in = range.start().clone();
        self.optional_in(key, range).unwrap_or(stand_in)
    }

    /// Notes a mistake at a key of this table.
    pub(super) fn mistake(&self, key: &str, message: String) {
        let place = self.given(key).map_or(&self.place, |entry| &entry.place);
        self.mistakes.add(Mistake {
            place: place.clone(),
            key: self.path_of(key),
            message,
        });
    }

    /// Notes a mistake.
    pub(super) fn note(&self, mistake: Mistake) {
        self.mistakes.add(mistake);
    }

    /// Where the value at a path below this table was given, or the nearest table around it.
    pub(super) fn place_of(&self, path: &str) -> Place {
        let mut place = &self.place;
        let mut entries = self.entries;
        for part in path.split('.') {
            let (name, index) = part.split_once('[').unwrap_or((part, ""));
            let Some(mut entry) = entries.and_then(|entries| entries.get(name)) else {
                break;
            };
            if let (Node::Array(elements), Ok(index)) =
                (&entry.node, index.trim_end_matches(']').parse::<usize>())
                && let Some(element) = elements.get(index)
            {
                entry = element;
            }
            place = &entry.place;
            entries = match &entry.node {
                Node::Table(entries) => Some(entries),
                _ => None,
            };
        }
        place.clone()
    }

    /// Whether a value at a path below this table was given.
    pub(super) fn is_given(&self, path: &str) -> bool {
        let mut entries = self.entries;
        path.split('.').all(|name| {
            let entry = entries.and_then(|entries| entries.get(name));
            entries = entry.and_then(|entry| match &entry.node {
                Node::Table(entries) => Some(entries),
                _ => None,
            });
            entry.is_some()
        })
    }

    /// Ends reading: keys that nobody asked for are mistakes.
    pub(super) fn finish(self) {
        for name in self.entries.into_iter().flat_map(BTreeMap::keys) {
            if self.asked.contains(&name.as_str()) {
                continue;
            }
            let nearest = self
                .asked
                .iter()
                .map(|asked| (distance(asked, name), Reverse(asked.len()), *asked))
                .min()
                .filter(|(distance, _, asked)| *distance <= 2.max(asked.len() / 3));
            let message = nearest.map_or_else(
                || format!("unknown key; known here: {}", self.asked.join(", ")),
                |(_, _, nearest)| format!("unknown key; did you mean \"{nearest}\"?"),
            );
            self.mistake(name, message);
        }
    }

    fn given(&self, key: &str) -> Option<&'a Entry> {
        self.entries?.get(key)
    }

    fn ask(&mut self, key: &'static str) -> Option<&'a Entry> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.given(key)
    }

    fn missing(&self, key: &'static str, message: &str) {
        // A table that is no table was told already.
        if self.entries.is_some() {
            self.mistake(key, message.to_owned());
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// How many letters differ (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(a != *b))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[right.len()]
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Readable for $type {
            fn read(node: &Node) -> Result<Self, String> {
                match node {
                    Node::Integer(text) | Node::Given(text) => text
                        .parse()
                        .map_err(|_| format!("must be a whole number from 0 to {}, not {text}", Self::MAX)),
                    other => Err(format!("must be a whole number, not {}", other.kind())),
                }
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
integers!(u8, u32, u64);

macro_rules! units {
    ($($type:ty: $expected:expr, $parse:expr, $show:expr;)*) => {$(
        impl Readable for $type {
            fn read(node: &Node) -> Result<Self, String> {
                match node {
                    Node::Text(text) | Node::Given(text) => {
                        $parse(text).map_err(|error: units::InvalidUnit| error.to_string())
                    }
                    other => Err(format!("must be {}, not {}", $expected, other.kind())),
                }
            }

            fn show(&self) -> String {
                $show(self)
            }
        }
    )*};
}
units! {
    Duration: units::DURATION, |text: &str| units::parse_duration(text), |value: &Self| units::format_duration(*value);
    Bitrate: units::BITRATE, |text: &str| text.parse(), Self::to_string;
    Share: units::SHARE, |text: &str| text.parse(), Self::to_string;
    ByteSize: units::BYTE_SIZE, |text: &str| text.parse(), Self::to_string;
}

impl Readable for f64 {
    fn read(node: &Node) -> Result<Self, String> {
        match node {
            Node::Integer(text) | Node::Float(text) | Node::Given(text) => text
                .replace('_', "")
                .parse::<Self>()
                .ok()
                .filter(|number| number.is_finite())
                .ok_or_else(|| format!("must be a number, not {text}")),
            other => Err(format!("must be a number, not {}", other.kind())),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Readable for bool {
    fn read(node: &Node) -> Result<Self, String> {
        match node {
            Node::Boolean(value) => Ok(*value),
            Node::Given(text) => text
                .parse()
                .map_err(|_| format!("must be true or false, not {text}")),
            other => Err(format!("must be true or false, not {}", other.kind())),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Readable for String {
    fn read(node: &Node) -> Result<Self, String> {
        match node {
            Node::Text(text) | Node::Given(text) => Ok(text.clone()),
            other => Err(format!("must be a text, not {}", other.kind())),
        }
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// A value out of a closed list of words.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// All of them, with the word for each.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for it.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(word, _)| *word)
    }
}

impl<T: Word> Readable for T {
    fn read(node: &Node) -> Result<Self, String> {
        let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let expected = format!("must be one of \"{}\"", words.join("\", \""));
        match node {
            Node::Text(text) | Node::Given(text) => Self::WORDS
                .iter()
                .find(|(word, _)| word == text)
                .map(|(_, value)| *value)
                .ok_or_else(|| format!("{expected}, not \"{text}\"")),
            other => Err(format!("{expected}, not {}", other.kind())),
        }
    }

    fn show(&self) -> String {
        format!("{:?}", self.word())
    }
}
