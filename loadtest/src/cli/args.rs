//! The command line: commands, flags, and how flags become overrides of a scenario.
//!
//! Owns names and help texts. Values that a scenario has too are texts here: the scenario's reader
//! checks them, so that a flag and a file are told the same. Secrets never show in help or errors.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    capacity::{Growth, Plan, Vary},
    scenario::Override,
};

/// Load test for servers that speak the LiveKit client protocol.
///
/// Exit status: 0 all thresholds passed, 1 one failed, 2 wrong usage or scenario, 3 it could not run.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a scenario and say what was found
    Run(RunArgs),
    /// Step the load up until a threshold fails, and print the largest that passed
    FindCapacity(CapacityArgs),
    /// List, show, explain and check scenarios
    Scenarios {
        #[command(subcommand)]
        command: Option<ScenariosCommand>,
    },
    /// Show the result of a run or of a capacity search again
    Report {
        /// File that --json wrote
        file: PathBuf,
        /// Write a page to this file instead of the table to the terminal
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Show two results of runs side by side
    Compare {
        /// File that --json wrote
        a: PathBuf,
        /// Another
        b: PathBuf,
        /// What to call the first
        #[arg(long, value_name = "NAME")]
        name_a: Option<String>,
        /// What to call the second
        #[arg(long, value_name = "NAME")]
        name_b: Option<String>,
        /// Write a page to this file instead of the table to the terminal
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ScenariosCommand {
    /// List the built-in scenarios
    List,
    /// Print a built-in scenario: a file made from it runs
    Show {
        /// Its name
        name: String,
    },
    /// Explain every key of a scenario
    Keys,
    /// Check a file and print the scenario as it would run
    Check {
        /// A file, or the name of a built-in scenario
        scenario: String,
        #[command(flatten)]
        overrides: Box<OverrideArgs>,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A built-in scenario (see `loadtest scenarios`) or a TOML file
    pub(super) scenario: String,
    #[command(flatten)]
    pub(super) target: TargetArgs,
    #[command(flatten)]
    pub(super) overrides: OverrideArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct CapacityArgs {
    /// A built-in scenario (see `loadtest scenarios`) or a TOML file
    pub(super) scenario: String,
    #[command(flatten)]
    pub(super) search: SearchArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
    #[command(flatten)]
    pub(super) overrides: OverrideArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// What to step up; per room, except rooms
    #[arg(long, value_enum, default_value = "subscribers")]
    pub(super) vary: Vary,
    /// The first load
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    start: u32,
    /// Growth per step: a number, or `double` to double until a step fails and halve the gap from there
    #[arg(long, value_name = "N|double", default_value = "double", value_parser = growth)]
    step: Growth,
    /// The largest load
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// With `--step double`: end when the gap between passed and failed is this share of the load, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    precision: u32,
    /// A load has failed when it failed this many times in a row
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    tries: u32,
}

/// The server to measure.
#[derive(Args)]
pub(super) struct TargetArgs {
    /// Where the server is: ws://, wss://, http:// or https://
    #[arg(long, env = "LIVEKIT_URL")]
    pub(super) url: String,
    /// API key that tokens are made with
    #[arg(long, env = "LIVEKIT_API_KEY", hide_env_values = true)]
    pub(super) api_key: String,
    /// Its secret
    #[arg(long, env = "LIVEKIT_API_SECRET", hide_env_values = true)]
    pub(super) api_secret: String,
    /// Process of the server on this machine: its CPU and memory are measured
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
    /// Threads that take the part of participants [default: one per processor]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(super) threads: Option<usize>,
}

impl std::fmt::Debug for TargetArgs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TargetArgs")
            .field("server_pid", &self.server_pid)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Write all numbers to this file
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write a page to this file
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// No progress and no table; only errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Values that win over the scenario's.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Instead of what the scenario says")]
pub(super) struct OverrideArgs {
    /// Rooms
    #[arg(long, value_name = "N")]
    rooms: Option<String>,
    /// Participants who publish, per room
    #[arg(long, value_name = "N")]
    publishers: Option<String>,
    /// Participants who only subscribe, per room
    #[arg(long, value_name = "N")]
    subscribers: Option<String>,
    /// Length of the measured window: 20s, 5m
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// From the last join to the measured window
    #[arg(long, value_name = "TIME")]
    warm_up: Option<String>,
    /// Joins per second, over all rooms
    #[arg(long, value_name = "N")]
    join_rate: Option<String>,
    /// vp8, vp9, h264 or av1
    #[arg(long)]
    codec: Option<String>,
    /// str0m or webrtc
    #[arg(long)]
    engine: Option<String>,
    /// Exact name of the only room
    #[arg(long, value_name = "NAME")]
    room: Option<String>,
    /// Rooms are called PREFIX-0, PREFIX-1, …
    #[arg(long, value_name = "PREFIX")]
    room_prefix: Option<String>,
    /// What everything random follows from
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// Packets dropped between each participant and the server: 1%
    #[arg(long, value_name = "PERCENT")]
    loss: Option<String>,
    /// Delay added there, each way
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,
    /// Random delay added on top
    #[arg(long, value_name = "TIME")]
    jitter: Option<String>,
    /// No video, and no threshold about it
    #[arg(long)]
    no_video: bool,
    /// No audio
    #[arg(long)]
    no_audio: bool,
    /// Any key of the scenario (see `loadtest scenarios keys`): thresholds.max_lost=1%
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Take a key away, as if the scenario did not have it: thresholds.max_latency_p99
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

impl OverrideArgs {
    /// As the scenario's reader takes them.
    pub(super) fn overrides(&self) -> Vec<Override> {
        let texts = [
            ("--rooms", "rooms", &self.rooms),
            ("--publishers", "publishers", &self.publishers),
            ("--subscribers", "subscribers", &self.subscribers),
            ("--duration", "duration", &self.duration),
            ("--warm-up", "warm_up", &self.warm_up),
            ("--join-rate", "join.rate", &self.join_rate),
            ("--codec", "video.codec", &self.codec),
            ("--engine", "engine", &self.engine),
            ("--room", "room", &self.room),
            ("--room-prefix", "room_prefix", &self.room_prefix),
            ("--seed", "seed", &self.seed),
            ("--loss", "network.loss", &self.loss),
            ("--delay", "network.delay", &self.delay),
            ("--jitter", "network.jitter", &self.jitter),
        ];
        let mut overrides: Vec<Override> = texts
            .into_iter()
            .filter_map(|(flag, key, text)| Some(given(flag, key, Some(text.clone()?))))
            .collect();
        let without_video = [
            "video",
            "layer_changes",
            "thresholds.min_decodable_frames",
            "thresholds.max_freezes",
            "thresholds.max_first_frame_p95",
            "thresholds.max_switch_p95",
        ];
        if self.no_video {
            overrides.extend(without_video.map(|key| given("--no-video", key, None)));
        }
        if self.no_audio {
            overrides.push(given("--no-audio", "audio", None));
        }
        let set = |(key, text): &(String, String)| given("--set", key, Some(text.clone()));
        let unset = |key: &String| given("--unset", key, None);
        overrides.extend(self.unset.iter().map(unset));
        overrides.extend(self.set.iter().map(set));
        overrides
    }
}

impl SearchArgs {
    /// As the search takes it.
    pub(super) fn plan(&self) -> Plan {
        Plan {
            start: self.start,
            growth: self.step,
            max: self.max,
            precision: f64::from(self.precision) / 100.0,
            tries: self.tries,
        }
    }
}

fn given(flag: &str, key: &str, text: Option<String>) -> Override {
    Override {
        flag: flag.to_owned(),
        key: key.to_owned(),
        text,
    }
}

fn growth(text: &str) -> Result<Growth, String> {
    if text == "double" {
        return Ok(Growth::Double);
    }
    match text.parse() {
        Ok(step @ 1..) => Ok(Growth::Add(step)),
        _ => Err("must be a whole number from 1, or \"double\"".to_owned()),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=256) => Ok(threads),
        _ => Err("must be a whole number from 1 to 256".to_owned()),
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
