//! What sessions cost that send nothing: joins, idle connections, and their memory. Measures, and
//! judges nothing.
//!
//! `cargo bench -p sfu-core --bench sessions -- [--full] [--idle N] [--joins N] [--meeting N]`

#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the clock; the core does not"
)]

mod support;

use std::time::Duration;

use cap::Cap;
use mimalloc::MiMalloc;
use support::{
    client::{Media, Plan, Takes},
    floor::Floor,
    millis, report, seconds,
    stage::{Costs, Stage},
};

/// As in the programs, and it counts.
#[global_allocator]
static ALLOCATOR: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

/// Bytes that are allocated now.
fn live_bytes() -> usize {
    ALLOCATOR.allocated()
}

/// Participants of a room.
const ROOM: u32 = 2;

fn main() {
    let is_full = report::is_given("--full");
    let count = |name, quick, full| {
        let given = report::option(name).and_then(|n| n.parse().ok());
        given.unwrap_or(if is_full { full } else { quick })
    };
    join(count("--joins", 200, 3_000));
    meeting(count("--meeting", 10, 30));
    idle(count("--idle", 400, 10_000), if is_full { 30 } else { 10 });
}

/// A participant with one microphone, muted.
fn plan(number: u32, room: u32) -> Plan {
    Plan {
        room: format!("room {}", number / room),
        publishes: vec![Media::MutedAudio],
        subscribes: Takes::Everything,
        is_hidden: false,
    }
}

fn join(sessions: u32) {
    let mut floor = Floor::new();
    let mut stage = Stage::new(1);
    // The first pays for what is made once.
    stage.join(plan(0, 1));
    stage.connect();
    stage.costs = Costs::default();
    let before = floor.measure();
    for number in 1..=sessions {
        stage.join(plan(number, 1));
        if number % 20 == 0 {
            stage.connect();
        }
    }
    stage.connect();
    let floor = (before + floor.measure()) / 2;
    let transports = f64::from(sessions) * 2.0;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / transports;
    let costs = stage.costs;
    let total = costs.time();
    let rate = |time: Duration| transports / time.as_secs_f64();
    let timers = costs.timers.time + costs.media.time;
    let connecting = costs.feedback.time + timers;
    println!("\njoins: {sessions} sessions of two transports, each in a room of its own");
    let head = [
        "ICE+DTLS/core-s",
        "limit",
        "with requests",
        "µs each",
        "requests",
        "ICE+DTLS",
        "timers",
        "floors each",
    ];
    let limit = if rate(connecting) >= 3_000.0 {
        "within 3000"
    } else {
        "UNDER 3000"
    };
    let floors = total.as_secs_f64() / transports / floor.as_secs_f64();
    let row = vec![
        format!("{:.0}", rate(connecting)),
        limit.into(),
        format!("{:.0}", rate(total)),
        format!("{:.1}", each(total)),
        format!("{:.1}", each(costs.commands.time)),
        format!("{:.1}", each(costs.feedback.time)),
        format!("{:.1}", each(timers)),
        format!("{floors:.0}"),
    ];
    report::print(&head, &[row]);
}

/// All of a meeting join at once, each with a camera and a microphone.
fn meeting(people: u32) {
    let mut stage = Stage::new(1);
    for _ in 0..people {
        stage.join(Plan {
            room: "meeting".into(),
            publishes: vec![Media::MutedAudio, Media::Video],
            ..plan(0, 1)
        });
    }
    stage.connect();
    stage.rest(seconds(2), millis(5));
    let costs = stage.costs;
    let each = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3 / f64::from(people));
    println!("\nmeeting: {people} people join at once, with camera and microphone");
    let head = ["ms each", "requests", "ICE+DTLS", "timers, offers"];
    let row = [
        costs.time(),
        costs.commands.time,
        costs.feedback.time,
        costs.timers.time,
    ];
    report::print(&head, &[row.map(each).to_vec()]);
}

fn idle(sessions: u32, span: u64) {
    let mut floor = Floor::new();
    let bare = live_bytes();
    let mut stage = Stage::new(1);
    for number in 0..sessions {
        stage.join(plan(number, ROOM));
        if number % 50 == 49 {
            stage.turn(millis(10), Vec::new());
        }
        if number % 1_000 == 999 {
            eprintln!("{} joined", number + 1);
        }
    }
    stage.connect();
    // Until the engines sleep.
    stage.rest(seconds(15), millis(2));
    stage.costs = Costs::default();
    let before = floor.measure();
    stage.rest(seconds(span), millis(2));
    let floor = (before + floor.measure()) / 2;
    let costs = stage.costs;
    let shard = stage.into_shard();
    let memory = live_bytes() - bare;
    drop(shard);

    let share = |time: Duration| time.as_secs_f64() / span as f64 * 100.0;
    let scaled = share(costs.time()) * 10_000.0 / f64::from(sessions);
    println!("\nidle: {sessions} sessions in rooms of {ROOM}, one muted microphone each");
    let head = [
        "% of a core",
        "for 10,000",
        "timers",
        "datagrams",
        "datagrams/s",
        "floors/session-s",
        "KiB/session",
        "limit",
    ];
    let of_session = costs.time().as_secs_f64() / span as f64 / f64::from(sessions);
    let row = vec![
        format!("{:.3}", share(costs.time())),
        format!("{scaled:.2} %"),
        format!("{:.3}", share(costs.timers.time)),
        format!("{:.3}", share(costs.feedback.time)),
        format!("{:.0}", costs.feedback.inputs as f64 / span as f64),
        format!("{:.1}", of_session / floor.as_secs_f64()),
        format!("{:.1}", memory as f64 / 1024.0 / f64::from(sessions)),
        report::verdict(scaled, Some(2.0)),
    ];
    report::print(&head, &[row]);
}
