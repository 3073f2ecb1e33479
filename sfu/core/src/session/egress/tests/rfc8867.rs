//! The wired test cases of RFC 8867 section 5, over seeds: what a flow gets of its link, how long its
//! packets queue, how flows share, and how they fare beside TCP. A few seeds with each run of the tests;
//! `--ignored` plays them all and prints the table.

use std::time::Duration;

use super::{
    path::{Flow, Way, World},
    tcp::Tcp,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What is measured of a case, and on which side of the bound it must lie.
#[derive(Debug, Clone, Copy)]
struct Row {
    what: &'static str,
    bound: Bound,
    value: f64,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    /// Of the median and of the worst.
    AtLeast(f64, f64),
    AtMost(f64, f64),
    /// The whole range.
    Within(f64, f64),
}

fn row(what: &'static str, bound: Bound, value: f64) -> Row {
    Row { what, bound, value }
}

impl Flow {
    /// Bits per second that came through between two moments.
    fn rate(&self, from: Duration, to: Duration) -> f64 {
        let bits: usize = self
            .seen
            .iter()
            .filter(|seen| (from..to).contains(&seen.sent) && seen.queued.is_some())
            .map(|seen| seen.bytes * 8)
            .sum();
        bits as f64 / (to - from).as_secs_f64()
    }

    /// Bits per second that were sent.
    fn sent_rate(&self, from: Duration, to: Duration) -> f64 {
        let bits: usize = self
            .seen
            .iter()
            .filter(|seen| (from..to).contains(&seen.sent))
            .map(|seen| seen.bytes * 8)
            .sum();
        bits as f64 / (to - from).as_secs_f64()
    }

    /// Time in the queue in milliseconds, of so many packets of a hundred at most.
    fn queued(&self, spans: &[(Duration, Duration)], percent: usize) -> f64 {
        let is_in = |at: Duration| spans.iter().any(|(from, to)| (*from..*to).contains(&at));
        let mut queued: Vec<f64> = self
            .seen
            .iter()
            .filter(|seen| is_in(seen.sent))
            .filter_map(|seen| Some(seen.queued?.as_secs_f64() * 1e3))
            .collect();
        queued.sort_by(f64::total_cmp);
        let index = (queued.len() * percent / 100).min(queued.len().saturating_sub(1));
        queued.get(index).copied().unwrap_or(0.0)
    }

    /// Share of packets lost.
    fn loss(&self, spans: &[(Duration, Duration)]) -> f64 {
        let is_in = |at: Duration| spans.iter().any(|(from, to)| (*from..*to).contains(&at));
        let sent: Vec<_> = self.seen.iter().filter(|seen| is_in(seen.sent)).collect();
        let lost = sent.iter().filter(|seen| seen.queued.is_none()).count();
        lost as f64 / sent.len().max(1) as f64
    }
}

/// Rates of a link over time: from when on, how many bits per second.
type Steps = &'static [(u64, f64)];

/// Runs a world through the steps of its links, to the end.
fn play(world: &mut World, steps: &[(usize, Steps)], end: u64) {
    let mut changes: Vec<_> = steps
        .iter()
        .flat_map(|(link, steps)| steps.iter().map(move |(at, rate)| (*at, *link, *rate)))
        .collect();
    changes.sort_by_key(|(at, ..)| *at);
    for (at, link, rate) in changes {
        world.run_until(seconds(at));
        world.set_rate(link, rate as u64);
    }
    world.run_until(seconds(end));
}

/// The spans in which a link has been at its rate for ten seconds, each with the rate.
fn settled(steps: Steps, begun: u64, end: u64) -> Vec<(Duration, Duration, f64)> {
    steps
        .iter()
        .enumerate()
        .map(|(index, (at, rate))| {
            let until = steps.get(index + 1).map_or(end, |(next, _)| *next);
            (seconds((*at).max(begun) + 10), seconds(until), *rate)
        })
        .filter(|(from, to, _)| from < to)
        .collect()
}

/// Share of what the link could take while it was settled.
fn utilisation(flows: &[&Flow], spans: &[(Duration, Duration, f64)]) -> f64 {
    let (got, could) = spans
        .iter()
        .fold((0.0, 0.0), |(got, could), (from, to, rate)| {
            let time = (*to - *from).as_secs_f64();
            let rates: f64 = flows.iter().map(|flow| flow.rate(*from, *to)).sum();
            (got + rates * time, could + rate * time)
        });
    got / could
}

/// Jain's index.
fn fairness(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (rates.len() as f64 * squares)
}

const UTILISATION: Bound = Bound::AtLeast(0.8, 0.7);
const QUEUE: Bound = Bound::AtMost(100.0, 100.0);
const LOSS: Bound = Bound::AtMost(0.01, 0.01);

/// 5.1: one flow on a link that changes.
fn variable_capacity(seed: u64, delay: Duration, way: Way) -> Vec<Row> {
    const STEPS: Steps = &[(0, 1e6), (40, 2.5e6), (60, 0.6e6), (80, 1e6)];
    let mut world = World::new(seed, way, 1_000_000);
    world.add_flow(0, delay, Duration::ZERO);
    play(&mut world, &[(0, STEPS)], 100);
    let flow = &world.flows[0];
    let spans = settled(STEPS, 0, 100);
    let calm: Vec<_> = spans.iter().map(|(from, to, _)| (*from, *to)).collect();
    let no_drop = [(Duration::ZERO, seconds(60)), (seconds(63), seconds(100))];
    let after_drop = flow.sent_rate(seconds(62), millis(64_500));
    vec![
        row("utilisation", UTILISATION, utilisation(&[flow], &spans)),
        row("queue p95, ms", QUEUE, flow.queued(&calm, 95)),
        row(
            "queue 2 to 6 s after the drop, p95",
            Bound::AtMost(300.0, 300.0),
            flow.queued(&[(seconds(62), seconds(66))], 95),
        ),
        row(
            "sent after the drop, of the link",
            Bound::AtMost(1.1, 1.1),
            after_drop / 0.6e6,
        ),
        row("loss", LOSS, flow.loss(&no_drop)),
    ]
}

/// 5.2: two flows on a link that changes.
fn variable_capacity_of_two(seed: u64) -> Vec<Row> {
    const STEPS: Steps = &[(0, 4e6), (25, 2e6), (50, 3.5e6), (75, 1e6), (100, 2e6)];
    let mut world = World::new(seed, Way::default(), 4_000_000);
    world.add_flow(0, millis(50), Duration::ZERO);
    world.add_flow(0, millis(50), Duration::ZERO);
    play(&mut world, &[(0, STEPS)], 125);
    let spans = settled(STEPS, 0, 125);
    let calm: Vec<_> = spans.iter().map(|(from, to, _)| (*from, *to)).collect();
    let flows: Vec<_> = world.flows.iter().collect();
    let rates: Vec<_> = flows
        .iter()
        .map(|flow| flow.rate(seconds(10), seconds(125)))
        .collect();
    vec![
        row("utilisation", UTILISATION, utilisation(&flows, &spans)),
        row("queue p95, ms", QUEUE, flows[0].queued(&calm, 95)),
        row("fairness", Bound::AtLeast(0.9, 0.9), fairness(&rates)),
    ]
}

/// 5.3: media both ways, reports share the link with the media of the other.
fn both_ways(seed: u64) -> Vec<Row> {
    const FORTH: Steps = &[(0, 2e6), (20, 1e6), (40, 0.5e6), (60, 2e6)];
    const BACK: Steps = &[(0, 2e6), (35, 0.8e6), (70, 2e6)];
    let mut world = World::new(seed, Way::default(), 2_000_000);
    world.links.push(world.links[0]);
    let forth = world.add_flow(0, millis(50), Duration::ZERO);
    let back = world.add_flow(1, millis(50), Duration::ZERO);
    world.report_over(forth, 1);
    world.report_over(back, 0);
    play(&mut world, &[(0, FORTH), (1, BACK)], 100);
    let mut rows = Vec::new();
    for (flow, steps) in [(forth, FORTH), (back, BACK)] {
        let flow = &world.flows[flow];
        let spans = settled(steps, 0, 100);
        let calm: Vec<_> = spans.iter().map(|(from, to, _)| (*from, *to)).collect();
        rows.push(row(
            "utilisation",
            UTILISATION,
            utilisation(&[flow], &spans),
        ));
        rows.push(row("queue p95, ms", QUEUE, flow.queued(&calm, 95)));
    }
    rows
}

/// 5.4: three flows that begin one after the other; and 5.8, where one pauses.
fn three(seed: u64, pauses: bool) -> Vec<Row> {
    let mut world = World::new(seed, Way::default(), 3_500_000);
    for start in [0, 20, 40] {
        world.add_flow(0, millis(50), seconds(start));
    }
    if pauses {
        world.run_until(seconds(40));
        world.pause(1, true);
        world.run_until(seconds(60));
        world.pause(1, false);
    }
    world.run_until(seconds(120));
    let from = if pauses { 80 } else { 60 };
    let rates: Vec<_> = world
        .flows
        .iter()
        .map(|flow| flow.rate(seconds(from), seconds(120)))
        .collect();
    let flows: Vec<_> = world.flows.iter().collect();
    let spans = [(seconds(from), seconds(120), 3.5e6)];
    vec![
        row("utilisation", UTILISATION, utilisation(&flows, &spans)),
        row(
            "queue p95, ms",
            QUEUE,
            flows[0].queued(&[(seconds(from), seconds(120))], 95),
        ),
        row("fairness", Bound::AtLeast(0.9, 0.9), fairness(&rates)),
    ]
}

/// 5.5: five flows of different delay.
fn round_trips(seed: u64) -> Vec<Row> {
    let mut world = World::new(seed, Way::default(), 4_000_000);
    for (index, delay) in [10, 25, 50, 100, 150].into_iter().enumerate() {
        world.add_flow(0, millis(delay), seconds(index as u64 * 10));
    }
    world.run_until(seconds(300));
    let rates: Vec<_> = world
        .flows
        .iter()
        .map(|flow| flow.rate(seconds(60), seconds(300)))
        .collect();
    let flows: Vec<_> = world.flows.iter().collect();
    let spans = [(seconds(60), seconds(300), 4e6)];
    vec![
        row("utilisation", UTILISATION, utilisation(&flows, &spans)),
        row("fairness", Bound::AtLeast(0.75, 0.75), fairness(&rates)),
    ]
}

/// 5.6: beside a TCP flow without end.
fn beside_tcp(seed: u64) -> Vec<Row> {
    let mut world = World::new(seed, Way::default(), 2_000_000);
    world.add_flow(0, millis(50), Duration::ZERO);
    world.add_tcp(Tcp::long(millis(50)), seconds(5));
    world.run_until(seconds(120));
    let share = world.flows[0].rate(seconds(20), seconds(120)) / 2e6;
    vec![row("share of the link", Bound::Within(0.25, 0.75), share)]
}

/// 5.7: two flows beside ten TCP flows of files.
fn beside_files(seed: u64) -> Vec<Row> {
    let mut world = World::new(seed, Way::default(), 2_000_000);
    for _ in 0..2 {
        world.add_flow(0, millis(50), Duration::ZERO);
    }
    for number in 0..10 {
        world.add_tcp(Tcp::short(millis(50), seconds(30)), seconds(5 + number * 3));
    }
    world.run_until(seconds(300));
    let flows: Vec<_> = world.flows.iter().collect();
    let rates: Vec<_> = flows
        .iter()
        .map(|flow| flow.rate(seconds(20), seconds(300)))
        .collect();
    vec![
        row(
            "share of the link",
            Bound::Within(0.12, 0.9),
            rates.iter().sum::<f64>() / 2e6,
        ),
        row("fairness", Bound::AtLeast(0.75, 0.75), fairness(&rates)),
    ]
}

/// Random loss on a link that is settled, against the same without.
fn random_loss(seed: u64, loss: f64, least: f64, way: Way) -> Vec<Row> {
    let rate = |loss: f64| {
        let mut world = World::new(seed, way, 3_000_000);
        world.set_loss(loss);
        world.add_flow(0, millis(50), Duration::ZERO);
        world.run_until(seconds(60));
        world.flows[0].sent_rate(seconds(15), seconds(60))
    };
    let bound = Bound::AtLeast(least, least);
    vec![row(
        "of the rate without loss",
        bound,
        rate(loss) / rate(0.0),
    )]
}

/// The link falls to an eighth for half a minute.
fn dip(seed: u64, way: Way) -> Vec<Row> {
    let mut world = World::new(seed, way, 2_000_000);
    world.add_flow(0, millis(50), Duration::ZERO);
    play(&mut world, &[(0, &[(0, 2e6), (30, 0.25e6), (60, 2e6)])], 90);
    let flow = &world.flows[0];
    let back = flow
        .estimates
        .iter()
        .find(|(at, estimate)| *at > seconds(60) && *estimate > 1_700_000)
        .map_or(99.0, |(at, _)| (*at - seconds(60)).as_secs_f64());
    vec![row("back after, s", Bound::AtMost(5.0, 15.0), back)]
}

/// From the first packet to most of 5 Mbit/s.
fn ramp_up(seed: u64) -> Vec<Row> {
    let mut world = World::new(seed, Way::default(), 5_000_000);
    world.add_flow(0, millis(50), Duration::ZERO);
    world.run_until(seconds(20));
    let up = world.flows[0]
        .estimates
        .iter()
        .find(|(_, estimate)| *estimate > 4_000_000)
        .map_or(99.0, |(at, _)| at.as_secs_f64());
    vec![row(
        "at 4 of 5 Mbit/s after, s",
        Bound::AtMost(4.0, 8.0),
        up,
    )]
}

/// What is sent above a source that makes half of what the link takes and wants all of it.
fn probing(seed: u64) -> Vec<Row> {
    let mut world = World::new(seed, Way::default(), 1_000_000);
    let flow = world.add_flow(0, millis(50), Duration::ZERO);
    world.limit(flow, 3e6);
    world.run_until(seconds(60));
    let flow = &world.flows[0];
    let estimate: u64 = flow.estimates.iter().map(|(_, estimate)| estimate).sum();
    let mean = estimate as f64 / flow.estimates.len() as f64;
    let padding = flow.padding as f64 * 300.0 * 8.0 / 60.0;
    vec![row(
        "padding, of the estimate",
        Bound::AtMost(0.05, 0.05),
        padding / mean,
    )]
}

/// Clients that report as in RFC 8888, in place of transport-wide.
fn by_stream() -> Way {
    Way {
        by_stream: true,
        ..Way::default()
    }
}

type Case = (&'static str, fn(u64) -> Vec<Row>);

const CASES: &[Case] = &[
    ("5.1, 50 ms", |seed| {
        variable_capacity(seed, millis(50), Way::default())
    }),
    ("5.1, 100 ms", |seed| {
        variable_capacity(seed, millis(100), Way::default())
    }),
    ("5.1, 50 ms, by stream", |seed| {
        variable_capacity(seed, millis(50), by_stream())
    }),
    ("5.2", variable_capacity_of_two),
    ("5.3", both_ways),
    ("5.4", |seed| three(seed, false)),
    ("5.5", round_trips),
    ("5.6", beside_tcp),
    ("5.7", beside_files),
    ("5.8", |seed| three(seed, true)),
    ("2 % loss", |seed| {
        random_loss(seed, 0.02, 0.85, Way::default())
    }),
    ("5 % loss", |seed| {
        random_loss(seed, 0.05, 0.70, Way::default())
    }),
    ("10 % loss", |seed| {
        random_loss(seed, 0.10, 0.40, Way::default())
    }),
    ("5 % loss, by stream", |seed| {
        random_loss(seed, 0.05, 0.70, by_stream())
    }),
    ("dip to an eighth", |seed| dip(seed, Way::default())),
    ("dip to an eighth, by stream", |seed| dip(seed, by_stream())),
    ("ramp up", ramp_up),
    ("probing", probing),
];

/// Plays cases over seeds; prints the table and fails where a bound is broken.
fn judge(cases: &[Case], seeds: std::ops::Range<u64>) {
    let all = cases.iter().flat_map(|(_, case)| {
        let of_case = seeds.clone();
        of_case.map(move |seed| (case, seed))
    });
    let mut played = sfu_sim::side_by_side(all, |(case, seed)| case(seed)).into_iter();
    let mut broken = Vec::new();
    for (name, _) in cases {
        let played: Vec<Vec<Row>> = played.by_ref().take(seeds.clone().count()).collect();
        for index in 0..played[0].len() {
            let row = played[0][index];
            let mut values: Vec<f64> = played.iter().map(|rows| rows[index].value).collect();
            values.sort_by(f64::total_cmp);
            let (least, most) = (values[0], values[values.len() - 1]);
            let median = values[values.len() / 2];
            let (bound, worst, holds) = match row.bound {
                Bound::AtLeast(of_median, of_worst) => (
                    format!(">= {of_median}, {of_worst}"),
                    least,
                    median >= of_median && least >= of_worst,
                ),
                Bound::AtMost(of_median, of_worst) => (
                    format!("<= {of_median}, {of_worst}"),
                    most,
                    median <= of_median && most <= of_worst,
                ),
                Bound::Within(from, to) => {
                    let worst = if median - least > most - median {
                        least
                    } else {
                        most
                    };
                    (
                        format!("{from} to {to}"),
                        worst,
                        least >= from && most <= to,
                    )
                }
            };
            let mark = if holds { "" } else { "  BROKEN" };
            let what = row.what;
            println!("{name:18}{what:36}{bound:14}{median:>9.3}{worst:>9.3}{mark}");
            if !holds {
                broken.push(format!("{name}: {what}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn the_cases_of_rfc_8867_hold_for_a_few_seeds() {
    // An odd number has a median.
    judge(CASES, 0..3);
}

#[test]
#[ignore = "takes minutes; prints the table"]
fn the_cases_of_rfc_8867_hold_for_twenty_seeds() {
    judge(CASES, 0..20);
}
