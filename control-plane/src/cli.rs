//! The command lines of `plenum` and `control-plane`: what was asked for, and the words on the screen. Owns their
//! runtime and exit. Must not know how anything works.

mod at;
mod check;
mod egress;
mod explain;
mod ingress;
mod nodes;
mod token;

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use plenum_service::{
    cli::{AnyError, Settings, Stop, print},
    config::{Configuration, Pairs},
    telemetry,
};

use crate::{
    banner::{Greeting, friendly_room},
    config::{Config, ControlPlaneConfig, Front},
    run::{self, Running},
};

/// A WebRTC media server for conferences, in one process: page, signalling, APIs and media.
#[derive(Debug, Parser)]
#[command(name = "plenum", version)]
struct Plenum {
    #[command(flatten)]
    arguments: Arguments,
}

/// The control plane of Plenum: page, signalling and APIs, for media nodes that are processes of their own (`sfu`).
#[derive(Debug, Parser)]
#[command(name = "control-plane", version)]
struct ControlPlane {
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Debug, clap::Args)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell which ways to the media work from here, and why the others do not.
    Check(check::Check),
    /// Access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Media without WebRTC: plain RTP, and cameras over RTSP.
    #[command(subcommand)]
    Ingress(ingress::Command),
    /// A participant's media out as plain RTP.
    #[command(subcommand)]
    Egress(egress::Command),
    /// Media nodes of a running cluster.
    #[command(subcommand)]
    Nodes(nodes::Command),
    /// Tell why a participant sees what it sees: what was asked, what flows, and why these differ.
    Explain(explain::Explain),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, and a link to join with it.
    Create(token::Create),
}

/// Runs `plenum` with its arguments and the variables of its environment.
///
/// # Errors
/// Whatever ends it before it is told to.
pub fn plenum(arguments: Vec<OsString>, variables: Pairs) -> Result<(), AnyError> {
    let Plenum { arguments } = parsed(arguments);
    execute(arguments, variables, Config::front, |config: Config| {
        let program = "plenum";
        let (log, telemetry) = (config.log.clone(), config.telemetry.clone());
        served(program, log, telemetry, async |stop| {
            let running = run::start(config).await?;
            greet(&running)?;
            stop.asked().await;
            tracing::info!("told to stop");
            tokio::select! {
                () = running.shutdown() => {}
                () = stop.asked() => again(),
            }
            Ok(())
        })
    })
}

/// Runs `control-plane` with its arguments and the variables of its environment.
///
/// # Errors
/// Whatever ends it before it is told to.
pub fn control_plane(arguments: Vec<OsString>, variables: Pairs) -> Result<(), AnyError> {
    let ControlPlane { arguments } = parsed(arguments);
    let front = ControlPlaneConfig::front;
    execute(arguments, variables, front, |config: ControlPlaneConfig| {
        let program = "control-plane";
        let (log, telemetry) = (config.log.clone(), config.telemetry.clone());
        served(program, log, telemetry, async |stop| {
            let running = run::start_control_plane(config).await?;
            print(&format!(
                "control-plane {} for clients at http://{}, for media nodes at {}\n",
                env!("CARGO_PKG_VERSION"),
                running.http_addr(),
                running.cluster_addr(),
            ))?;
            stop.asked().await;
            tracing::info!("told to stop: signalling goes to other replicas");
            tokio::select! {
                () = running.shutdown() => {}
                () = stop.asked() => again(),
            }
            Ok(())
        })
    })
}

fn again() {
    tracing::warn!("told to stop again: not waiting any longer");
}

fn parsed<T: Parser>(arguments: Vec<OsString>) -> T {
    match T::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    }
}

fn execute<C: Configuration>(
    arguments: Arguments,
    variables: Pairs,
    front: fn(&C) -> Front,
    serve: impl FnOnce(C) -> Result<(), AnyError>,
) -> Result<(), AnyError> {
    let settings = arguments.settings;
    if settings.print_default_config {
        return print(&C::default_toml());
    }
    let config = C::load(settings.config.as_deref(), variables, settings.set)?;
    if settings.check_config {
        return print("The configuration is good.\n");
    }
    match arguments.command {
        Some(Command::Token(TokenCommand::Create(create))) => print(&create.text(&front(&config))?),
        Some(Command::Check(check)) => {
            let (text, status) = wait(check.ask(&front(&config)))?;
            print(&text)?;
            if status != 0 {
                std::process::exit(status);
            }
            Ok(())
        }
        Some(Command::Ingress(command)) => print(&wait(command.ask(&front(&config)))?),
        Some(Command::Egress(command)) => print(&wait(command.ask(&front(&config)))?),
        Some(Command::Nodes(command)) => print(&wait(command.ask(&front(&config)))?),
        Some(Command::Explain(explain)) => print(&wait(explain.ask(&front(&config)))?),
        None => serve(config),
    }
}

/// Waits for the answer to a question; a refusal of the API is told in its words alone.
fn wait<T>(asked: impl Future<Output = Result<T, AnyError>>) -> Result<T, AnyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(asked)
        .map_err(|error| match error.downcast::<tonic::Status>() {
            Ok(status) if !status.message().is_empty() => AnyError::from(status.message()),
            Ok(status) => status,
            Err(error) => error,
        })
}

/// Serves until `serve` returns, with log and traces.
fn served(
    program: &'static str,
    log: plenum_service::config::LogConfig,
    telemetry: plenum_service::config::TelemetryConfig,
    serve: impl AsyncFnOnce(&mut Stop) -> Result<(), AnyError>,
) -> Result<(), AnyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        let traces = telemetry::install(program, &log, &telemetry)?;
        serve(&mut stop).await?;
        Ok(tokio::task::spawn_blocking(move || traces.shutdown()).await??)
    })
}

fn greet(running: &Running) -> Result<(), AnyError> {
    let room = friendly_room(&mut rand::rng());
    let greeting = Greeting {
        http: running.http_addr(),
        udp: running.node().local_udp(),
        tcp: running.node().local_tcp(),
        config: &running.config().front(),
        room: &room,
    };
    print(&greeting.text())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_lines_are_consistent() {
        Plenum::command().debug_assert();
        ControlPlane::command().debug_assert();
    }
}
