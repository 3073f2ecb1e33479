//! The committed scoreboard: how a receiver fares on links of many kinds, each in one line. A line that
//! gets worse beyond its tolerance fails; `PLENUM_SCOREBOARD=accept` writes what is measured now.

use std::{fmt::Write as _, path::Path, time::Duration};

use sfu_sim::{Bursts, LinkSettings, Trace, millis, seconds};

use super::congestion::Call;

/// What is kept of a scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score {
    /// Time in which the large picture stood still, of a thousand.
    frozen: f64,
    /// Pictures shown, of those made, in percent.
    shown: f64,
    /// Of what the link takes, in percent.
    used: f64,
    /// Milliseconds, the 95th percentile.
    queue: f64,
    /// Of the large picture, per minute.
    switches: f64,
    /// Seconds until the large picture is whole again after the link is.
    recovery: f64,
}

/// A link over time.
struct Scenario {
    name: &'static str,
    link: Link,
    /// When the link is as it was again, in seconds, and all is expected back.
    returns: Option<u64>,
}

enum Link {
    /// From when on, in seconds, it is what.
    Steps(Vec<(u64, LinkSettings)>),
    Trace(Trace),
}

impl Link {
    fn at(&self, at: Duration) -> LinkSettings {
        match self {
            Self::Steps(steps) => {
                let begun = steps.iter().rfind(|(from, _)| seconds(*from) <= at);
                begun.map_or_else(LinkSettings::default, |(_, link)| *link)
            }
            Self::Trace(trace) => trace.at(at),
        }
    }
}

fn limited(rate: u64, delay: u64) -> LinkSettings {
    LinkSettings {
        delay: millis(delay),
        ..LinkSettings::limited(rate, millis(300))
    }
}

fn scenarios() -> Vec<Scenario> {
    let fixed = |name, link| Scenario {
        name,
        link: Link::Steps(vec![(0, link)]),
        returns: None,
    };
    let traced = |name, make: fn(u64, Duration) -> Trace| Scenario {
        name,
        link: Link::Trace(make(7, seconds(SPAN))),
        returns: None,
    };
    vec![
        fixed("3 Mbit/s", limited(3_000_000, 20)),
        fixed("1 Mbit/s", limited(1_000_000, 50)),
        Scenario {
            name: "3 to 0.5 and back",
            link: Link::Steps(vec![
                (0, limited(3_000_000, 20)),
                (20, limited(500_000, 20)),
                (40, limited(3_000_000, 20)),
            ]),
            returns: Some(40),
        },
        traced("4G", Trace::cell),
        traced("wifi", Trace::wifi),
        traced("crowded wifi", Trace::crowded_wifi),
        fixed(
            "5 % lost",
            LinkSettings {
                loss: 0.05,
                ..limited(5_000_000, 25)
            },
        ),
        fixed(
            "bursts lost",
            LinkSettings {
                bursts: Some(Bursts {
                    every: seconds(3),
                    last: millis(90),
                    loss: 0.9,
                }),
                ..limited(5_000_000, 50)
            },
        ),
    ]
}

const SPAN: u64 = 60;
/// What is measured begins when the call has settled.
const SETTLED: u64 = 5;

fn play(scenario: &Scenario) -> Score {
    let mut call = Call::new(400);
    let begun = call.world.now();
    let mut carriable = 0.0;
    let mut recovery = None;
    let mut at_settled = None;
    for tenth in 0..SPAN * 10 {
        let at = millis(tenth * 100);
        let link = scenario.link.at(at);
        call.limit(link);
        if at == seconds(SETTLED) {
            at_settled = Some((call.world.now(), call.frames(), call.large()));
        }
        call.world.run_for(millis(100));
        let since = call.world.now() - begun;
        let is_due = scenario.returns.is_some_and(|at| since > seconds(at));
        if is_due && recovery.is_none() && call.encoding(0) == 2 {
            recovery = Some(since);
        }
        let rate = link.rate.map_or(0, |(rate, _)| rate);
        carriable += if at_settled.is_some() {
            rate as f64 / 10.0
        } else {
            0.0
        };
    }
    let (since, frames, large) = at_settled.expect("it is longer than that");
    let span = call.world.now() - since;
    let made = call.cameras.len() as f64 * 30.0 * span.as_secs_f64();
    let now = call.large();
    let per = |part: Duration| part.as_secs_f64() / span.as_secs_f64();
    Score {
        frozen: per(now.frozen - large.frozen) * 1e3,
        shown: (call.frames().0 - frames.0) as f64 / made * 100.0,
        used: call.carried(since) as f64 * 800.0 / carriable,
        queue: call.queue_p95(since).as_secs_f64() * 1e3,
        switches: (now.switches - large.switches) as f64 * 60.0 / span.as_secs_f64(),
        recovery: scenario.returns.map_or(0.0, |at| {
            recovery.map_or(99.0, |back| (back - seconds(at)).as_secs_f64())
        }),
    }
}

impl Score {
    const NAMES: [&'static str; 6] = [
        "frozen, 1/1000",
        "shown, %",
        "used, %",
        "queue, ms",
        "switches/min",
        "recovery, s",
    ];

    fn values(&self) -> [f64; 6] {
        [
            self.frozen,
            self.shown,
            self.used,
            self.queue,
            self.switches,
            self.recovery,
        ]
    }

    /// What is worse than it was, beyond what runs differ by.
    fn worse_than(&self, before: &[f64]) -> Vec<String> {
        // By how much each may be worse, and in which direction that is.
        let table = [
            (15.0, 1.0),
            (4.0, -1.0),
            (6.0, -1.0),
            (25.0, 1.0),
            (2.0, 1.0),
            (2.0, 1.0),
        ];
        let measured = self.values().into_iter().zip(before).zip(table);
        measured
            .zip(Self::NAMES)
            .filter(|(((now, before), (tolerance, sign)), _)| (now - *before) * sign > *tolerance)
            .map(|(((now, before), _), name)| format!("{name} {now:.1}, was {before:.1}"))
            .collect()
    }
}

#[test]
#[ignore = "no line is committed yet"]
fn no_line_of_the_scoreboard_gets_worse() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scoreboard.txt");
    let mut written = format!("{:20}", "");
    for name in Score::NAMES {
        let _ = write!(written, "{name:>16}");
    }
    written.push('\n');
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let mut worse = Vec::new();
    for scenario in scenarios() {
        let score = play(&scenario);
        let _ = write!(written, "{:20}", scenario.name);
        for value in score.values() {
            let _ = write!(written, "{value:>16.1}");
        }
        written.push('\n');
        let line = before
            .lines()
            .find_map(|line| line.strip_prefix(scenario.name));
        let kept: Vec<f64> = line
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|value| value.parse().ok())
            .collect();
        if kept.len() != Score::NAMES.len() {
            worse.push(format!("{}: no line is kept", scenario.name));
        }
        let found = score.worse_than(&kept);
        worse.extend(
            found
                .iter()
                .map(|what| format!("{}: {what}", scenario.name)),
        );
    }
    println!("{written}");
    if std::env::var("PLENUM_SCOREBOARD").is_ok_and(|value| value == "accept") {
        std::fs::write(&path, written).expect("the file is ours");
        return;
    }
    assert!(
        worse.is_empty(),
        "{worse:#?}\nPLENUM_SCOREBOARD=accept keeps what is measured now"
    );
}
