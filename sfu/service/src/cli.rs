//! What the command lines of all programs share: where settings come from, how a program is told to end,
//! and how it prints. Owns the process's signals. Must not know any program.

use std::{
    ffi::OsString,
    fmt,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use crate::config::Pairs;

/// Any error of a program.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Arguments that every program takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "PLENUM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, over file and environment; may be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Only check the configuration.
    #[arg(long)]
    pub check_config: bool,
    /// Print all settings with their explanations and defaults.
    #[arg(long)]
    pub print_default_config: bool,
}

/// Runs a program with the arguments and variables of the process; an error is its last line.
pub fn main(
    program: &str,
    run: impl FnOnce(Vec<OsString>, Pairs) -> Result<(), AnyError>,
) -> ExitCode {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    match run(std::env::args_os().collect(), variables.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do for a process that cannot write its own error.
            let _ = writeln!(io::stderr(), "{program}: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or the signal that ends services.
#[derive(Debug)]
pub struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens to them from now on, inside a runtime.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Prints to the standard output.
///
/// # Errors
/// It cannot be written.
pub fn print(text: &str) -> Result<(), AnyError> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader such as `head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Reads "key=value".
///
/// # Errors
/// A text that is none.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

/// An error with what caused it, in one line.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_pair() {
        assert_eq!(pair("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
        assert!(pair("a").is_err() && pair("=a").is_err());
    }
}
