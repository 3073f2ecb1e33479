//! The command line of `plenum`: what was asked for, and the words on the screen. Owns the process:
//! its runtime, its signals, its exit code. Must not know how anything works.

mod token;

use std::{
    ffi::OsString,
    fmt,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    banner::{Greeting, friendly_room},
    config::Config,
    run::{self, Running},
    telemetry,
};

/// A WebRTC media server for conferences, in one process: page, signalling, APIs and media.
#[derive(Debug, Parser)]
#[command(name = "plenum", version)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "PLENUM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over file and environment; may be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Only check the configuration.
    #[arg(long)]
    check_config: bool,
    /// Print all settings with their explanations and defaults.
    #[arg(long)]
    print_default_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, and a link to join with it.
    Create(token::Create),
}

/// Runs the program with its arguments and the variables of its environment.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    variables: Vec<(String, String)>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match execute(arguments, variables) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do for a process that cannot write its own error.
            let _ = writeln!(io::stderr(), "plenum: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn execute(arguments: Arguments, variables: Vec<(String, String)>) -> Result<(), AnyError> {
    if arguments.print_default_config {
        return print(&Config::default_toml());
    }
    let config = Config::load(arguments.config.as_deref(), variables, arguments.set)?;
    if arguments.check_config {
        return print("The configuration is good.\n");
    }
    match arguments.command {
        Some(Command::Token(TokenCommand::Create(create))) => print(&create.text(&config)?),
        None => serve(config),
    }
}

fn serve(config: Config) -> Result<(), AnyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        let traces = telemetry::install(&config.log, &config.telemetry)?;
        let running = run::start(config).await?;
        greet(&running)?;
        stop.asked().await;
        tracing::info!("told to stop");
        tokio::select! {
            () = running.shutdown() => {}
            () = stop.asked() => tracing::warn!("told to stop again: not waiting any longer"),
        }
        Ok(tokio::task::spawn_blocking(move || traces.shutdown()).await??)
    })
}

fn greet(running: &Running) -> Result<(), AnyError> {
    let room = friendly_room(&mut rand::rng());
    let greeting = Greeting {
        http: running.http_addr(),
        udp: running.node().local_udp(),
        tcp: running.node().local_tcp(),
        config: running.config(),
        room: &room,
    };
    print(&greeting.text())
}

/// Ctrl-C, or the signal that ends services.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn print(text: &str) -> Result<(), AnyError> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader such as `head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_setting_is_a_pair() {
        assert_eq!(pair("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
        assert!(pair("a").is_err() && pair("=a").is_err());
    }
}
