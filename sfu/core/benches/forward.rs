//! Times of the packet path, as ratios to the floor measured in the same run: one packet and one frame
//! to many, sessions with many streams, ingress, and the allocator. Measures, and judges nothing.
//!
//! `cargo bench -p sfu-core --bench forward -- [--full] [--rounds N] [--only WORD]`

#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the clock; the core does not"
)]

#[path = "../src/allocator/mod.rs"]
#[expect(dead_code, reason = "what the shard alone uses of it")]
mod allocator;
#[path = "support/demands.rs"]
mod demands;
#[path = "../src/track/layer.rs"]
mod layer;
mod support;
mod track {
    pub(crate) use crate::layer::Layer;
}

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use mimalloc::MiMalloc;
use support::{
    client::Takes,
    fanout::{Cast, Fanout, Flow, Sample},
    floor::Floor,
    millis, report, seconds,
    stage::Stage,
};

/// As in the programs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A room, and how media flows in it.
struct Scenario {
    name: String,
    room: usize,
    flow: Flow,
    /// Floors that a forwarded packet may cost.
    limit: Option<f64>,
    ratios: Vec<f64>,
    samples: Vec<(Sample, Duration)>,
}

/// Rooms are made once, for all that is measured in them.
#[derive(Default)]
struct Plan {
    rooms: Vec<Fanout>,
    scenarios: Vec<Scenario>,
}

impl Plan {
    fn room(&mut self, cast: Cast, warm_up: Duration) -> usize {
        eprintln!("connecting {cast:?}");
        let mut room = Fanout::new(Stage::new(1), cast, warm_up);
        // So that NACK and RTX are part of it.
        room.stage.loss_one_in = 200;
        self.rooms.push(room);
        self.rooms.len() - 1
    }

    fn add(&mut self, name: &str, room: usize, flow: Flow, limit: Option<f64>) {
        self.scenarios.push(Scenario {
            name: name.into(),
            room,
            flow,
            limit,
            ratios: Vec::new(),
            samples: Vec::new(),
        });
    }
}

fn main() {
    let is_full = report::is_given("--full");
    let rounds = report::option("--rounds").and_then(|n| n.parse().ok());
    let rounds = rounds.unwrap_or(if is_full { 9 } else { 3 });
    let only = report::option("--only").unwrap_or_default();
    let is_wanted = |name: &str| name.contains(&only);
    let mut floor = Floor::new();
    if is_wanted("forward") {
        forward(&mut floor, is_full, rounds);
    }
    if is_wanted("streams") {
        streams(&mut floor, is_full, rounds);
    }
    if is_wanted("ingress") {
        ingress(&mut floor, rounds);
    }
    if is_wanted("allocate") {
        allocate(&mut floor, rounds);
    }
}

fn forward(floor: &mut Floor, is_full: bool, rounds: u32) {
    let mut plan = Plan::default();
    let crowds: &[u32] = if is_full {
        &[1, 10, 50, 200, 500, 1_000]
    } else {
        &[1, 50, 200]
    };
    for crowd in crowds {
        let room = plan.room(Cast::one_to(*crowd), seconds(3));
        let limit = matches!(crowd, 50 | 200).then_some(3.0);
        plan.add(&format!("a packet to {crowd}"), room, Flow::PACKET, limit);
        plan.add(
            &format!("a frame of 6 to {crowd}"),
            room,
            Flow::FRAME,
            limit,
        );
    }
    run(&mut plan, floor, rounds);
    show("forwarding, per forwarded packet", &plan.scenarios);
}

fn streams(floor: &mut Floor, is_full: bool, rounds: u32) {
    let mut plan = Plan::default();
    let most: usize = if is_full { 100 } else { 50 };
    for count in [1, 10, most] {
        // The same cameras in all rooms: what differs is how many of them a session takes.
        let cast = Cast {
            publishers: 2,
            cameras: most / 2,
            subscribers: 20,
            takes: Takes::First(count),
        };
        let room = plan.room(cast, millis(480));
        plan.rooms[room].play(Flow::PACKET, seconds(2));
        plan.rooms[room].stage.batch_max = 1;
        let name = format!("{count} streams, one sends");
        plan.add(&name, room, Flow::PACKET, None);
    }
    run(&mut plan, floor, rounds);
    show("a session with many streams, 20 sessions", &plan.scenarios);
    let one = report::median(plan.scenarios[0].ratios.iter().copied());
    for scenario in &plan.scenarios[1..] {
        let ratio = report::median(scenario.ratios.iter().copied()) / one;
        let verdict = report::verdict(ratio, Some(1.2));
        println!("{}: {ratio:.2} times one stream, {verdict}", scenario.name);
    }
    let mut again = vec![Vec::new(); plan.rooms.len()];
    for _ in 0..rounds {
        for (room, nanos) in plan.rooms.iter_mut().zip(&mut again) {
            let sample = room.measure(Flow::PAIR, seconds(1));
            let time = sample.costs.more_media.time;
            nanos.push(time.as_nanos() as f64 * 2.0 / sample.forwarded as f64);
        }
    }
    // Between turns the clients use the caches, the more the more streams they have.
    println!("\nthe same right after another packet, media alone");
    for (scenario, nanos) in plan.scenarios.iter().zip(again) {
        println!("{}: {:.0} ns", scenario.name, report::median(nanos));
    }
}

fn ingress(floor: &mut Floor, rounds: u32) {
    let mut room = Fanout::new(Stage::new(1), Cast::one_to(0), seconds(1));
    let mut ratios = Vec::new();
    let mut nanos = Vec::new();
    for _ in 0..rounds * 3 {
        let before = floor.measure();
        let sample = room.play(Flow::PACKET, seconds(2));
        let mean = (before + floor.measure()) / 2;
        let each = sample.costs.time().as_nanos() as f64 / sample.received as f64;
        nanos.push(each);
        ratios.push(each / mean.as_nanos() as f64);
    }
    println!("\ningress of a packet that nobody subscribes to");
    let (nanos, ratio) = (report::median(nanos), report::median(ratios));
    println!("{nanos:.0} ns, {ratio:.2} floors");
}

fn allocate(floor: &mut Floor, rounds: u32) {
    const CALLS: u32 = 2_000;
    let demands = demands::demands(50);
    let mut ratios = Vec::new();
    let mut nanos = Vec::new();
    for _ in 0..rounds * 3 {
        let before = floor.measure();
        let begun = Instant::now();
        for _ in 0..CALLS {
            black_box(demands::allocate(black_box(&demands)));
        }
        let each = begun.elapsed().as_nanos() as f64 / f64::from(CALLS);
        let mean = (before + floor.measure()) / 2;
        nanos.push(each);
        ratios.push(each / mean.as_nanos() as f64);
    }
    println!("\nsharing a budget among 50 demands");
    let (nanos, ratio) = (report::median(nanos), report::median(ratios));
    println!("{nanos:.0} ns, {ratio:.2} floors");
}

/// In each round every scenario has its turn, a second of virtual time, between two floors.
fn run(plan: &mut Plan, floor: &mut Floor, rounds: u32) {
    for _ in 0..rounds {
        for scenario in &mut plan.scenarios {
            let before = floor.measure();
            let sample = plan.rooms[scenario.room].measure(scenario.flow, seconds(1));
            let mean = (before + floor.measure()) / 2;
            scenario
                .ratios
                .push(sample.nanos() / mean.as_nanos() as f64);
            scenario.samples.push((sample, mean));
        }
    }
}

fn show(title: &str, scenarios: &[Scenario]) {
    let rows: Vec<Vec<String>> = scenarios.iter().map(row).collect();
    println!("\n{title}");
    let head = [
        "scenario", "ns", "floor ns", "ratio", "best", "media", "feedback", "timers", "reports",
        "limit",
    ];
    report::print(&head, &rows);
}

fn row(scenario: &Scenario) -> Vec<String> {
    let of = |part: fn(&Sample) -> Duration| {
        let each = scenario.samples.iter();
        report::median(each.map(|(s, _)| part(s).as_nanos() as f64 / s.forwarded as f64))
    };
    let floor = report::median(scenario.samples.iter().map(|(_, f)| f.as_nanos() as f64));
    let ratio = report::median(scenario.ratios.iter().copied());
    let least = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(f64::MAX, f64::min);
    let mut floors = scenario.samples.iter().map(|(_, f)| f.as_nanos() as f64);
    let mut nanos = scenario.samples.iter().map(|(s, _)| s.nanos());
    let best = least(&mut nanos) / least(&mut floors);
    vec![
        scenario.name.clone(),
        format!("{:.0}", of(|s| s.costs.time())),
        format!("{floor:.0}"),
        format!("{ratio:.2}"),
        format!("{best:.2}"),
        format!("{:.0}", of(|s| s.costs.media.time)),
        format!("{:.0}", of(|s| s.costs.feedback.time)),
        format!("{:.0}", of(|s| s.costs.timers.time + s.costs.commands.time)),
        // Datagrams of clients for every thousand packets to them.
        format!(
            "{:.0}",
            report::median(
                scenario
                    .samples
                    .iter()
                    .map(|(s, _)| { s.costs.feedback.inputs as f64 * 1e3 / s.forwarded as f64 })
            )
        ),
        report::verdict(ratio, scenario.limit),
    ]
}
