//! Sections whose structure is another crate's: read through serde, one key at a time, so that every
//! mistake is found and has a path; printed with explanations kept here beside the crate's defaults.
//! Must not know any particular section.

use std::fmt::Write as _;

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::{
    given::Given,
    mistake::{Key, Mistakes},
    setting::{print_comment, print_section},
};

/// Explanations by path below the section; `""` explains nothing and is not used.
pub type Explained = &'static [(&'static str, &'static str)];

/// Takes over what was given, key by key.
pub fn read<T: Serialize + DeserializeOwned>(
    section: &mut T,
    given: Given,
    key: &Key,
    mistakes: &mut Mistakes,
) {
    let Ok(mut whole) = Value::try_from(&*section) else {
        mistakes.add(key, "cannot be written as TOML");
        return;
    };
    for (path, value) in leaves(given) {
        let mut tried = whole.clone();
        set(&mut tried, &path, typed(value, at(&whole, &path)));
        match tried.clone().try_into::<T>() {
            Ok(_) => whole = tried,
            Err(error) => {
                let key = path.iter().fold(key.clone(), |key, name| key.child(name));
                mistakes.add(&key, error.message().to_owned());
            }
        }
    }
    match whole.try_into() {
        Ok(read) => *section = read,
        Err(error) => mistakes.add(key, error.message().to_owned()),
    }
}

/// Prints all keys with their explanations.
pub fn print<T: Serialize>(
    section: &T,
    explained: Explained,
    key: &Key,
    about: &[&str],
    out: &mut String,
) {
    print_section(key, about, out);
    if let Ok(table) = Table::try_from(section) {
        print_table(&table, "", explained, key, out);
    }
}

/// All paths of values, as [`print()`] walks them.
#[expect(clippy::missing_panics_doc, reason = "for tests")]
pub fn paths<T: Serialize>(section: &T) -> Vec<String> {
    fn walk(table: &Table, prefix: &str, out: &mut Vec<String>) {
        for (name, value) in table {
            let path = join(prefix, name);
            if let Value::Table(table) = value {
                walk(table, &path, out);
            }
            out.push(path);
        }
    }
    let mut out = Vec::new();
    walk(
        &Table::try_from(section).expect("a section is a table"),
        "",
        &mut out,
    );
    out
}

fn print_table(table: &Table, prefix: &str, explained: Explained, key: &Key, out: &mut String) {
    let about = |path: &str| {
        explained
            .iter()
            .find(|(known, _)| *known == path)
            .map_or("", |(_, about)| *about)
    };
    for (name, value) in table {
        if !value.is_table() {
            out.push('\n');
            print_comment(&wrap(about(&join(prefix, name))), out);
            let _ = writeln!(out, "{name} = {value}");
        }
    }
    for (name, value) in table {
        if let Value::Table(table) = value {
            let path = join(prefix, name);
            let key = key.child(name);
            let lines = wrap(about(&path));
            print_section(
                &key,
                &lines.iter().map(String::as_str).collect::<Vec<_>>(),
                out,
            );
            print_table(table, &path, explained, &key, out);
        }
    }
}

/// Breaks a text into comment lines of the house's width.
fn wrap(text: &str) -> Vec<String> {
    const WIDTH: usize = 96;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines
            .last()
            .is_some_and(|line| line.len() + 1 + word.len() > WIDTH)
        {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// The values of a tree with their paths.
fn leaves(given: Given) -> Vec<(Vec<String>, Given)> {
    let mut out = Vec::new();
    let mut open = vec![(Vec::new(), given)];
    while let Some((path, given)) = open.pop() {
        match given {
            Given::Table(table) => {
                for (name, given) in table {
                    let mut path = path.clone();
                    path.push(name);
                    open.push((path, given));
                }
            }
            leaf => out.push((path, leaf)),
        }
    }
    out
}

fn at<'a>(whole: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(whole, |value, name| value.get(name))
}

fn set(whole: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *whole = value;
        return;
    };
    if !whole.is_table() {
        *whole = Value::Table(Table::new());
    }
    if let Value::Table(table) = whole {
        let below = table
            .entry(first.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        set(below, rest, value);
    }
}

/// A list written as in the file, for what has no commas to be split at: `[{ urls = ["…"] }]`.
fn list(text: &str) -> Option<Value> {
    let is_list = text.trim_start().starts_with('[');
    let table: Table = is_list.then(|| format!("list = {text}").parse().ok())??;
    table.get("list").filter(|list| list.is_array()).cloned()
}

/// Text of the environment takes the type of the default; what does not fit stays text and is refused.
fn typed(given: Given, default: Option<&Value>) -> Value {
    let text = match given {
        Given::Toml(value) => return value,
        Given::Table(_) => return Value::Table(Table::new()),
        Given::Text(text) => text,
    };
    let parsed = match default {
        Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
        Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
        Some(Value::Array(_)) => list(&text).or_else(|| {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            Some(Value::Array(
                parts.map(|part| Value::String(part.to_owned())).collect(),
            ))
        }),
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_by_the_environment_has_commas_or_is_written_as_in_the_file() {
        let texts = |texts: &[&str]| {
            let texts = texts.iter().map(|text| Value::String((*text).to_owned()));
            Value::Array(texts.collect())
        };
        let default = Value::Array(Vec::new());
        let read = |text: &str| typed(Given::Text(text.to_owned()), Some(&default));
        assert_eq!(read("a, b"), texts(&["a", "b"]));
        assert_eq!(read("[::1]:80,[::]:1"), texts(&["[::1]:80", "[::]:1"]));
        assert_eq!(read("[\"a\", \"b\"]"), texts(&["a", "b"]));
        let tables = read("[{ urls = [\"turn:a\"], secret = \"s\" }]");
        assert_eq!(tables[0]["secret"].as_str(), Some("s"));
        assert_eq!(tables[0]["urls"][0].as_str(), Some("turn:a"));
    }
}
