//! The committed scoreboard: how a receiver fares on links of many kinds, each in one line. A line that
//! gets worse beyond its tolerance fails; `PLENUM_SCOREBOARD=accept` writes what is measured now.

use std::{fmt::Write as _, path::Path, time::Duration};

use sfu_sim::{Bursts, LinkSettings, millis, seconds};

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

/// A link over time: from when on it is what.
struct Scenario {
    name: &'static str,
    links: Vec<(u64, LinkSettings)>,
    /// When the link is as it was again, and all is expected back.
    returns: Option<u64>,
}

fn limited(rate: u64, delay: u64) -> LinkSettings {
    LinkSettings {
        delay: millis(delay),
        ..LinkSettings::limited(rate, millis(300))
    }
}

/// A cell that breathes: each second another rate between 1 and 8 Mbit/s, never far from the last one.
fn cell() -> Vec<(u64, LinkSettings)> {
    let mut dice = 7_u32;
    let mut rate = 4e6;
    (0..60)
        .map(|second| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let step = 0.7 + 0.65 * f64::from(dice >> 8) / f64::from(1 << 24);
            rate = (rate * step).clamp(1e6, 8e6);
            let link = LinkSettings {
                jitter: millis(15),
                loss: 0.002,
                ..limited(rate as u64, 50)
            };
            (second, link)
        })
        .collect()
}

fn scenarios() -> Vec<Scenario> {
    let fixed = |name, link| Scenario {
        name,
        links: vec![(0, link)],
        returns: None,
    };
    vec![
        fixed("3 Mbit/s", limited(3_000_000, 20)),
        fixed("1 Mbit/s", limited(1_000_000, 50)),
        Scenario {
            name: "3 to 0.5 and back",
            links: vec![
                (0, limited(3_000_000, 20)),
                (20, limited(500_000, 20)),
                (40, limited(3_000_000, 20)),
            ],
            returns: Some(40),
        },
        fixed(
            "wifi",
            LinkSettings {
                jitter: millis(10),
                loss: 0.01,
                ..limited(20_000_000, 5)
            },
        ),
        Scenario {
            name: "cell",
            links: cell(),
            returns: None,
        },
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
    for second in 0..SPAN {
        for (_, link) in scenario.links.iter().filter(|(at, _)| *at == second) {
            call.limit(*link);
        }
        if second == SETTLED {
            at_settled = Some((call.world.now(), call.frames(), call.large()));
        }
        for _ in 0..10 {
            call.world.run_for(millis(100));
            let since = call.world.now() - begun;
            let is_due = scenario.returns.is_some_and(|at| since > seconds(at));
            if is_due && recovery.is_none() && call.encoding(0) == 2 {
                recovery = Some(since);
            }
        }
        let link = scenario.links.iter().rfind(|(at, _)| *at <= second);
        let rate = link
            .and_then(|(_, link)| link.rate)
            .map_or(0, |(rate, _)| rate);
        carriable += if second >= SETTLED { rate as f64 } else { 0.0 };
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
