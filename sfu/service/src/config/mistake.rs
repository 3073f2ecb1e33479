//! What is wrong with a configuration: every mistake with the path of its key, reported together.

use std::{fmt, io, path::PathBuf};

/// Path of a setting, as `http.listen`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The whole configuration.
    pub fn root() -> Self {
        Self::default()
    }

    /// A setting by its dotted path.
    pub fn of(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// A setting of this section.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self(name.to_owned())
        } else {
            Self(format!("{}.{name}", self.0))
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the whole configuration.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub key: Key,
    /// What, as the rest of a sentence that begins with the key.
    pub problem: String,
}

/// All mistakes of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Notes one.
    pub fn add(&mut self, key: &Key, problem: impl Into<String>) {
        self.0.push(Mistake {
            key: key.clone(),
            problem: problem.into(),
        });
    }

    /// Notes a number that must not be zero.
    pub fn refuse_zero(&mut self, key: &str, is_zero: bool) {
        if is_zero {
            self.add(&Key::of(key), "must be more than zero");
        }
    }

    /// Good when there is no mistake.
    ///
    /// # Errors
    /// All mistakes.
    pub fn none(self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Wrong(self))
        }
    }

    /// The mistakes found so far, in order.
    pub fn all(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            write!(f, "\n  {}: {}", mistake.key, mistake.problem)?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be used; always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file is not valid TOML")]
    NotToml(#[source] toml::de::Error),
    /// Settings are wrong.
    #[error("the configuration has mistakes:{0}")]
    Wrong(Mistakes),
}
