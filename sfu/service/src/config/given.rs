//! Values as they were given, before anyone knows what they mean: a tree merged from file,
//! environment and flags, later sources over earlier ones. Must not know the settings themselves.

use std::collections::BTreeMap;

use super::mistake::{Key, Mistakes};

/// One given value.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Several values by name.
    Table(BTreeMap<String, Self>),
    /// A value of a TOML file, with a type of its own.
    Toml(toml::Value),
    /// A value of the environment or a flag: text, whatever the setting's type.
    Text(String),
}

impl Given {
    /// An empty tree.
    pub fn nothing() -> Self {
        Self::Table(BTreeMap::new())
    }

    /// Everything of a TOML file.
    pub fn from_table(table: toml::Table) -> Self {
        Self::Table(
            table
                .into_iter()
                .map(|(key, value)| (key, Self::from_value(value)))
                .collect(),
        )
    }

    fn from_value(value: toml::Value) -> Self {
        match value {
            toml::Value::Table(table) => Self::from_table(table),
            other => Self::Toml(other),
        }
    }

    /// Sets the text at `path`, over whatever is there.
    pub fn set(&mut self, path: &[String], text: String) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Text(text);
            return;
        };
        if !matches!(self, Self::Table(_)) {
            *self = Self::nothing();
        }
        if let Self::Table(table) = self {
            table
                .entry(first.clone())
                .or_insert_with(Self::nothing)
                .set(rest, text);
        }
    }

    /// The named values of a section; anything else is a mistake.
    pub fn into_table(self, key: &Key, mistakes: &mut Mistakes) -> Option<BTreeMap<String, Self>> {
        if let Self::Table(table) = self {
            Some(table)
        } else {
            mistakes.add(key, "is a section, not a value");
            None
        }
    }
}

/// Prefix of our environment variables.
const PREFIX: &str = "PLENUM_";

/// What an environment variable of ours sets.
pub(super) enum Variable {
    /// The setting at this path.
    Path(Vec<String>),
    /// Not about settings: another program's, or one that Kubernetes makes for a service of our name.
    Foreign,
}

/// Reads the name of an environment variable: `PLENUM_HTTP__LISTEN` is `http.listen`.
pub(super) fn variable(name: &str) -> Variable {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Variable::Foreign;
    };
    // The flag --config and its variable name the file itself.
    if rest == "CONFIG" || is_service_link(rest) {
        return Variable::Foreign;
    }
    let mut path: Vec<String> = rest.split("__").map(str::to_owned).collect();
    path[0].make_ascii_lowercase();
    // Names of API keys are the operator's, and case counts in them.
    if path[0] != "keys" {
        path.iter_mut()
            .for_each(|segment| segment.make_ascii_lowercase());
    }
    Variable::Path(path)
}

/// Kubernetes puts `PLENUM_SERVICE_HOST`, `PLENUM_PORT_7880_TCP_ADDR` and the like into every pod beside
/// a service called "plenum". A setting of ours always has a double underscore or is `keys`.
fn is_service_link(rest: &str) -> bool {
    let is_section = rest.contains("__") || rest == "KEYS";
    !is_section
        && (rest == "PORT"
            || rest.ends_with("_PORT")
            || rest.ends_with("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
            || rest.contains("PORT_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> Option<String> {
        match variable(name) {
            Variable::Path(path) => Some(path.join(".")),
            Variable::Foreign => None,
        }
    }

    #[test]
    fn a_variable_names_a_setting_or_is_somebody_elses() {
        for (name, expected) in [
            ("PLENUM_HTTP__LISTEN", Some("http.listen")),
            ("PLENUM_KEYS__APIabc", Some("keys.APIabc")),
            ("PLENUM_KEYS", Some("keys")),
            ("PLENUM_LOG_LEVEL", Some("log_level")),
            ("PLENUM_CONFIG", None),
            ("PLENUM_SERVICE_HOST", None),
            ("PLENUM_SERVICE_PORT_HTTP", None),
            ("PLENUM_PORT", None),
            ("PLENUM_CONTROL_PLANE_PORT_7880_TCP_ADDR", None),
            ("PATH", None),
        ] {
            assert_eq!(path(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_later_value_goes_over_an_earlier_one() {
        let mut tree = Given::from_table("a = 1\n[b]\nc = 2".parse().unwrap());
        tree.set(&["b".into(), "c".into()], "3".into());
        tree.set(&["a".into(), "x".into()], "4".into());
        let Given::Table(table) = tree else {
            panic!("a table")
        };
        let text = |text: &str| Given::Text(text.into());
        assert_eq!(
            table["b"],
            Given::Table([("c".to_owned(), text("3"))].into())
        );
        assert_eq!(
            table["a"],
            Given::Table([("x".to_owned(), text("4"))].into())
        );
    }
}
