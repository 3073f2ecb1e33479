//! The program: takes a command line, runs what it asks for, says what came of it.
//!
//! Owns the exit status and what goes to the terminal and into files. The flags are `args`'s; runs are
//! `crate::run`'s.

mod args;
mod files;

#[cfg(test)]
mod tests;

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Parser as _;

use crate::{
    capacity::{CapacityReport, Search, Step, Vary},
    report::{Report, compare, html, model::FORMAT, steps, table},
    run::{self, Target},
    scenario::{BUILT_IN, KEYS, Override, Scenario, ScenarioError, built_in},
};
use args::{
    CapacityArgs, Cli, Command, OutputArgs, OverrideArgs, RunArgs, ScenariosCommand, TargetArgs,
};
use files::{FileError, Found, Outputs};

/// What came of a command, as its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    /// Done; all thresholds passed.
    Passed = 0,
    /// A threshold failed, or no load passed.
    Failed = 1,
}

/// Why a command did nothing, or not all.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("there is no built-in scenario \"{name}\"; there are {}", names())]
    NoBuiltIn { name: String },
    #[error("cannot compare a capacity search; give two results of `loadtest run`")]
    NotComparable,
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("could not run")]
    Run(#[from] run::RunError),
    #[error("interrupted; what was found until then: {found}")]
    Interrupted { found: String },
}

impl CliError {
    /// Exit status: 2 when the one who typed it can mend it, 3 when the run failed.
    const fn status(&self) -> u8 {
        match self {
            Self::Scenario(_) | Self::File(_) | Self::NoBuiltIn { .. } | Self::NotComparable => 2,
            Self::Runtime(_) | Self::Run(_) | Self::Interrupted { .. } => 3,
        }
    }
}

/// The whole program; wrong usage ends it in here, with status 2.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(&cli.command) {
        Ok(outcome) => ExitCode::from(outcome as u8),
        Err(error) => {
            tell(&format!("error: {}", with_causes(&error)));
            ExitCode::from(error.status())
        }
    }
}

fn execute(command: &Command) -> Result<Outcome, CliError> {
    match command {
        Command::Run(args) => run_scenario(args),
        Command::FindCapacity(args) => find_capacity(args),
        Command::Scenarios { command } => {
            let text = scenarios(command.as_ref().unwrap_or(&ScenariosCommand::List))?;
            say(&text);
            Ok(Outcome::Passed)
        }
        Command::Report { file, html } => {
            let found = files::load(file)?;
            match html {
                Some(path) => files::write(path, &found.html())?,
                None => say(&found.text()),
            }
            Ok(Outcome::Passed)
        }
        Command::Compare {
            a,
            b,
            name_a,
            name_b,
            html,
        } => {
            let (left, right) = (files::load(a)?, files::load(b)?);
            let (Found::Run(left), Found::Run(right)) = (left, right) else {
                return Err(CliError::NotComparable);
            };
            let name = |name: &Option<String>, path: &std::path::Path| {
                name.clone().unwrap_or_else(|| path.display().to_string())
            };
            let (name_a, name_b) = (name(name_a, a), name(name_b, b));
            let (left, right) = ((name_a.as_str(), &*left), (name_b.as_str(), &*right));
            match html {
                Some(path) => files::write(path, &compare::render_html(left, right))?,
                None => say(&compare::render_text(left, right)),
            }
            Ok(Outcome::Passed)
        }
    }
}

fn run_scenario(args: &RunArgs) -> Result<Outcome, CliError> {
    let scenario = Scenario::load(&args.scenario, &args.overrides.overrides())?;
    let mut outputs = Outputs::open(&args.output)?;
    let report = measure(&runtime()?, &scenario, &args.target, args.output.quiet)?;
    outputs.write(&Found::Run(Box::new(report.clone())))?;
    if !args.output.quiet {
        say(&table::render(&report));
        say_files(&args.output);
    }
    Ok(outcome(report.passed))
}

fn find_capacity(args: &CapacityArgs) -> Result<Outcome, CliError> {
    let vary = args.search.vary;
    let plan = args.search.plan();
    // Every load is looked at before the first runs: a contradiction must not show after an hour.
    let scenario = scenario_at(args, vary, plan.start)?;
    scenario_at(args, vary, plan.max)?;
    let mut outputs = Outputs::open(&args.output)?;
    let runtime = runtime()?;
    let quiet = args.output.quiet;
    let mut found = CapacityReport {
        format: FORMAT,
        scenario: scenario.name,
        url: String::new(),
        vary,
        capacity: None,
        limit: None,
        steps: Vec::new(),
    };
    if !quiet {
        say(&steps::heading(vary.key()));
    }
    let interrupted = interruption(&runtime);
    let mut search = Search::new(plan);
    let mut refused = None;
    while let Some(load) = search.poll_next() {
        let scenario = scenario_at(args, vary, load)?;
        let step = match measure(&runtime, &scenario, &args.target, quiet) {
            Ok(report) => {
                found.url.clone_from(&report.url);
                Step::of_report(load, report)
            }
            // Fewer may get in; if in the end none do, it is not the load that fails.
            Err(error) if search.capacity().is_some() || may_be_load(&error) => {
                let step = Step::of_error(load, with_causes(&error));
                refused = Some(error);
                step
            }
            Err(error) => return Err(error),
        };
        // A run that was cut short says nothing about its load.
        if interrupted.load(Ordering::Relaxed) {
            let found = steps::conclusion(&found);
            return Err(CliError::Interrupted { found });
        }
        search.handle_result(load, step.passed);
        if !quiet {
            say(&steps::line(&step));
        }
        found.steps.push(step);
        (found.capacity, found.limit) = (search.capacity(), search.limit());
        // After each step, so that what was found so far survives an interruption.
        outputs.write(&Found::Capacity(Box::new(found.clone())))?;
    }
    let has_run = found.steps.iter().any(|step| step.report.is_some());
    if let Some(error) = refused.filter(|_| !has_run) {
        return Err(error);
    }
    say(&steps::conclusion(&found));
    if !quiet {
        say_files(&args.output);
    }
    Ok(outcome(found.capacity.is_some()))
}

/// Whether a smaller load might run where one did not.
const fn may_be_load(error: &CliError) -> bool {
    matches!(
        error,
        CliError::Run(run::RunError::NobodyJoined {
            is_passing: true,
            ..
        })
    )
}

/// Set once Ctrl-C is pressed; the run under way ends by itself.
fn interruption(runtime: &tokio::runtime::Runtime) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    interrupted
}

fn scenario_at(args: &CapacityArgs, vary: Vary, load: u32) -> Result<Scenario, ScenarioError> {
    let mut overrides = args.overrides.overrides();
    overrides.push(Override {
        flag: format!("--vary {}", vary.key()),
        key: vary.key().to_owned(),
        text: Some(load.to_string()),
    });
    Scenario::load(&args.scenario, &overrides)
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    scenario: &Scenario,
    target: &TargetArgs,
    quiet: bool,
) -> Result<Report, CliError> {
    let target = Target {
        url: target.url.clone(),
        api_key: target.api_key.clone(),
        api_secret: target.api_secret.clone(),
        server_pid: target.server_pid,
        threads: target.threads,
    };
    let report = if quiet {
        runtime.block_on(run::run(scenario, &target, &run::Silent))
    } else {
        runtime.block_on(run::run(scenario, &target, &run::Bars::new()))
    };
    Ok(report?)
}

/// For signalling; media has threads of its own.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(CliError::Runtime)
}

fn scenarios(command: &ScenariosCommand) -> Result<String, CliError> {
    match command {
        ScenariosCommand::List => {
            let line = |name: &str| -> Result<String, ScenarioError> {
                let scenario = Scenario::load(name, &[])?;
                Ok(format!("{name:<12} {}", scenario.description))
            };
            let lines: Result<Vec<String>, ScenarioError> = BUILT_IN
                .iter()
                .map(|built_in| line(built_in.name))
                .collect();
            Ok(lines?.join("\n"))
        }
        ScenariosCommand::Show { name } => built_in(name)
            .map(|built_in| built_in.toml.trim_end().to_owned())
            .ok_or_else(|| CliError::NoBuiltIn { name: name.clone() }),
        ScenariosCommand::Keys => {
            let row = |key: &crate::scenario::KeyDoc| {
                let default = match key.default {
                    "" => "none",
                    default => default,
                };
                format!("{:<34} {:<24} {}", key.key, default, key.what)
            };
            let heading = format!("{:<34} {:<24} {}", "KEY", "DEFAULT", "MEANING");
            let rows: Vec<String> = std::iter::once(heading)
                .chain(KEYS.iter().map(row))
                .collect();
            Ok(rows.join("\n"))
        }
        ScenariosCommand::Check {
            scenario,
            overrides,
        } => check(scenario, overrides),
    }
}

fn check(scenario: &str, overrides: &OverrideArgs) -> Result<String, CliError> {
    let scenario = Scenario::load(scenario, &overrides.overrides())?;
    Ok(scenario.to_toml().trim_end().to_owned())
}

const fn outcome(passed: bool) -> Outcome {
    if passed {
        Outcome::Passed
    } else {
        Outcome::Failed
    }
}

fn names() -> String {
    let names: Vec<&str> = BUILT_IN.iter().map(|built_in| built_in.name).collect();
    names.join(", ")
}

/// An error with what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn say_files(output: &OutputArgs) {
    for path in output.json.iter().chain(&output.html) {
        say(&format!("wrote {}", path.display()));
    }
}

/// To standard output. When nobody reads it any more, that is no error of ours.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

impl Found {
    fn text(&self) -> String {
        match self {
            Self::Run(report) => table::render(report),
            Self::Capacity(found) => {
                let mut lines = vec![steps::heading(found.vary.key())];
                lines.extend(found.steps.iter().map(steps::line));
                lines.push(steps::conclusion(found));
                lines.join("\n")
            }
        }
    }

    fn html(&self) -> String {
        match self {
            Self::Run(report) => html::render(report),
            Self::Capacity(found) => steps::render_html(found),
        }
    }
}
