//! Results in files: writing them, and reading them back.
//!
//! Owns the errors about files. What is in them is `crate::report`'s and `crate::capacity`'s.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
};

use super::args::OutputArgs;
use crate::{
    capacity::CapacityReport,
    report::{Report, model::FORMAT},
};

/// What a file holds.
pub(super) enum Found {
    /// The result of a run.
    Run(Box<Report>),
    /// The result of a search.
    Capacity(Box<CapacityReport>),
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot write {}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is no result of this program", path.display())]
    NotOurs {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} has format {format}; this program reads up to {FORMAT}", path.display())]
    TooNew { path: PathBuf, format: u64 },
}

/// Files that a run will write.
pub(super) struct Outputs<'a> {
    json: Option<&'a Path>,
    html: Option<&'a Path>,
    /// Those that were not there before and are still empty; a run that fails leaves none.
    created: Vec<&'a Path>,
}

impl<'a> Outputs<'a> {
    /// Sees that the files can be written, before a run that would be in vain.
    pub(super) fn open(args: &'a OutputArgs) -> Result<Self, FileError> {
        let mut outputs = Self {
            json: args.json.as_deref(),
            html: args.html.as_deref(),
            created: Vec::new(),
        };
        for path in outputs.json.into_iter().chain(outputs.html) {
            let is_new = !path.exists();
            let opened = OpenOptions::new().append(true).create(true).open(path);
            opened.map_err(|source| FileError::Unwritable {
                path: path.to_owned(),
                source,
            })?;
            if is_new {
                outputs.created.push(path);
            }
        }
        Ok(outputs)
    }

    /// Writes them.
    pub(super) fn write(&mut self, found: &Found) -> Result<(), FileError> {
        self.created.clear();
        if let Some(path) = self.json {
            let mut text = match found {
                Found::Run(report) => serde_json::to_string_pretty(report),
                Found::Capacity(found) => serde_json::to_string_pretty(found),
            }
            .map_err(|error| FileError::Unwritable {
                path: path.to_owned(),
                source: error.into(),
            })?;
            text.push('\n');
            write(path, &text)?;
        }
        if let Some(path) = self.html {
            write(path, &found.html())?;
        }
        Ok(())
    }
}

impl Drop for Outputs<'_> {
    fn drop(&mut self) {
        for path in &self.created {
            // It may be gone, or none that can be removed, such as a pipe.
            let _ = std::fs::remove_file(path);
        }
    }
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), FileError> {
    std::fs::write(path, text).map_err(|source| FileError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn load(path: &Path) -> Result<Found, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let not_ours = |source| FileError::NotOurs {
        path: path.to_owned(),
        source,
    };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(not_ours)?;
    let format = value["format"].as_u64().unwrap_or_default();
    if format > u64::from(FORMAT) {
        return Err(FileError::TooNew {
            path: path.to_owned(),
            format,
        });
    }
    if value.get("steps").is_some() {
        serde_json::from_value(value).map(Found::Capacity)
    } else {
        serde_json::from_value(value).map(Found::Run)
    }
    .map_err(not_ours)
}
