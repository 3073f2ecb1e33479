//! How a setting is read, checked for its type, and printed. Owns the macro `settings!`, which makes
//! of one declaration the struct, its defaults, its reader and its printed documentation, so that these
//! cannot drift apart. Must not know any particular setting.

use std::fmt::Write as _;

use super::{
    given::Given,
    mistake::{Key, Mistakes},
};

/// Anything that can stand in the configuration: a value or a section of values.
pub trait Setting {
    /// Whether it prints as a TOML table.
    const IS_TABLE: bool;

    /// Takes over what was given; notes what cannot be taken.
    fn read(&mut self, given: Given, key: &Key, mistakes: &mut Mistakes);

    /// Prints itself with the text that explains it.
    fn print(&self, key: &Key, about: &[&str], out: &mut String);
}

/// A single value.
pub trait Value: Sized {
    /// What is expected, for messages: "a duration such as \"30s\"".
    fn expects() -> String;

    /// Of a TOML file; `None` when it is of the wrong type.
    fn from_toml(value: &toml::Value) -> Option<Self>;

    /// Of the environment or a flag.
    fn from_text(text: &str) -> Option<Self>;

    /// As it is written in TOML; `None` when it is not set.
    fn to_toml(&self) -> Option<toml::Value>;
}

impl<T: Value> Setting for T {
    const IS_TABLE: bool = false;

    fn read(&mut self, given: Given, key: &Key, mistakes: &mut Mistakes) {
        let value = match &given {
            Given::Toml(value) => T::from_toml(value),
            Given::Text(text) => T::from_text(text),
            Given::Table(_) => None,
        };
        match value {
            Some(value) => *self = value,
            None => mistakes.add(key, format!("must be {}", T::expects())),
        }
    }

    fn print(&self, key: &Key, about: &[&str], out: &mut String) {
        let name = key.as_str().rsplit('.').next().unwrap_or_default();
        out.push('\n');
        print_comment(about, out);
        // Writing to a string cannot fail.
        let _ = match self.to_toml() {
            Some(value) => writeln!(out, "{name} = {value}"),
            None => writeln!(out, "# {name} = (not set; {})", T::expects()),
        };
    }
}

/// Prints the head of a section.
pub fn print_section(key: &Key, about: &[&str], out: &mut String) {
    out.push('\n');
    print_comment(about, out);
    if !key.is_root() {
        let _ = writeln!(out, "[{key}]");
    }
}

pub(super) fn print_comment<T: AsRef<str>>(about: &[T], out: &mut String) {
    for line in about {
        let _ = writeln!(out, "#{}", line.as_ref());
    }
}

/// Notes the keys nobody took.
pub fn refuse_unknown<'a>(
    left: impl Iterator<Item = &'a String>,
    key: &Key,
    known: &[&str],
    mistakes: &mut Mistakes,
) {
    for name in left {
        let known = known.join(", ");
        mistakes.add(
            &key.child(name),
            format!("is not a setting; here there are: {known}"),
        );
    }
}

/// Declares a section: its documentation, its settings with their documentation and defaults.
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::Setting for $name {
            const IS_TABLE: bool = true;

            fn read(
                &mut self,
                given: $crate::config::Given,
                key: &$crate::config::Key,
                mistakes: &mut $crate::config::Mistakes,
            ) {
                let Some(mut table) = given.into_table(key, mistakes) else { return };
                $(
                    if let Some(value) = table.remove(stringify!($field)) {
                        $crate::config::Setting::read(
                            &mut self.$field, value, &key.child(stringify!($field)), mistakes,
                        );
                    }
                )+
                let known = [$( stringify!($field) ),+];
                $crate::config::refuse_unknown(table.keys(), key, &known, mistakes);
            }

            fn print(
                &self,
                key: &$crate::config::Key,
                about: &[&str],
                out: &mut String,
            ) {
                $crate::config::print_section(key, about, out);
                // TOML reads a value after a table as part of that table: values go first.
                for tables in [false, true] {
                    $(
                        if <$type as $crate::config::Setting>::IS_TABLE == tables {
                            let about = [$( $doc ),+];
                            $crate::config::Setting::print(
                                &self.$field, &key.child(stringify!($field)), &about, out,
                            );
                        }
                    )+
                }
            }
        }
    };
}
