//! Scenarios: what a run does, as TOML data.
//!
//! Owns the keys, their units, defaults and meaning, the built-in scenarios, and every message about a
//! mistake (with file, line, column and key, all at once). Must not run anything.

mod builtin;
mod check;
mod keys;
mod mistake;
mod model;
mod read;
mod section;
mod source;
mod units;
mod write;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use builtin::{BUILT_IN, BuiltIn, built_in};
pub use keys::{KEYS, KeyDoc};
pub use mistake::{Mistake, ScenarioError};
pub use model::*;
pub use source::Place;
pub use units::{Bitrate, ByteSize, InvalidUnit, Share, format_duration, parse_duration};

use mistake::Mistakes;

/// A value from the command line for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The flag, as messages name it: `--publishers`.
    pub flag: String,
    /// Path of the key.
    pub key: String,
    /// Its text; `None` takes the key away.
    pub text: Option<String>,
}

impl Scenario {
    /// Loads a built-in scenario by name, or else a file, with `overrides` on top.
    ///
    /// # Errors
    /// There is no such scenario, or all its mistakes at once.
    pub fn load(name: &str, overrides: &[Override]) -> Result<Self, ScenarioError> {
        if let Some(built_in) = built_in(name) {
            return Self::read(built_in.toml, name, name, overrides);
        }
        let path = Path::new(name);
        // A name without a dot or a slash was meant as a built-in.
        if !path.exists() && !name.contains(['.', '/', '\\']) {
            let known: Vec<&str> = BUILT_IN.iter().map(|built_in| built_in.name).collect();
            return Err(ScenarioError::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            });
        }
        let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Unreadable {
            file: name.to_owned(),
            source,
        })?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::read(&text, name, &stem, overrides)
    }

    /// Reads a scenario. `file` is what messages call the text, `name` the scenario's name when the text
    /// has none.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(
        text: &str,
        file: &str,
        name: &str,
        overrides: &[Override],
    ) -> Result<Self, ScenarioError> {
        let wrong = |mistakes: Mistakes| ScenarioError::Wrong {
            file: file.to_owned(),
            mistakes: mistakes.into_sorted(),
        };
        let mut root = source::parse(text).map_err(wrong)?;
        let mistakes = Mistakes::default();
        for Override { flag, key, text } in overrides {
            match text {
                Some(text) => {
                    if let Err(mistake) = source::set(&mut root, flag, key, text) {
                        mistakes.add(mistake);
                    }
                }
                None => source::remove(&mut root, key),
            }
        }
        source::cap_to_publishers(&mut root);
        let overridden: Vec<&str> = overrides.iter().map(|of| of.key.as_str()).collect();
        source::drop_idle(&mut root, &overridden);
        let scenario = read::scenario(&root, name, &mistakes);
        if mistakes.is_empty() {
            Ok(scenario)
        } else {
            Err(wrong(mistakes))
        }
    }
}
