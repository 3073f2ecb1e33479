//! Mistakes in a scenario, collected so that all of them are told at once.
//!
//! Owns how they read. Must not decide what is a mistake (`super::read`, `super::check`).

use std::{cell::RefCell, fmt};

use super::source::Place;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it was given, or the table in which it is missing.
    pub place: Place,
    /// Path of the key, `video.layers[0].bitrate`; empty when the text is not TOML.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All mistakes so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes(RefCell<Vec<Mistake>>);

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a built-in name nor a file.
    #[error("there is no scenario \"{name}\": neither a file nor one of {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in names.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file or the flags have mistakes.
    #[error("{}", Wrong { file, mistakes })]
    Wrong {
        /// The file, or the name of the built-in.
        file: String,
        /// All mistakes, by place; never empty.
        mistakes: Vec<Mistake>,
    },
}

impl Mistakes {
    pub(super) fn add(&self, mistake: Mistake) {
        self.0.borrow_mut().push(mistake);
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All, by place.
    pub(super) fn into_sorted(self) -> Vec<Mistake> {
        let mut mistakes = self.0.into_inner();
        mistakes.sort();
        mistakes
    }
}

/// The message of [`ScenarioError::Wrong`].
struct Wrong<'a> {
    file: &'a str,
    mistakes: &'a [Mistake],
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(
            formatter,
            "{count} mistake{plural} in the scenario {}",
            self.file
        )?;
        for mistake in self.mistakes {
            formatter.write_str("\n  ")?;
            match &mistake.place {
                Place::File { .. } => write!(formatter, "{}:{}: ", self.file, mistake.place)?,
                Place::Flag(flag) => write!(formatter, "{flag}: ")?,
            }
            if !mistake.key.is_empty() {
                write!(formatter, "{}: ", mistake.key)?;
            }
            formatter.write_str(&mistake.message)?;
        }
        Ok(())
    }
}
