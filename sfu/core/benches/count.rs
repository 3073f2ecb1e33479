//! What `gate` runs under a profiler that counts instructions: a fixed amount of work of each kind, with
//! what is to be counted between two marks. Must not depend on time or chance, as far as the engine
//! allows.
//!
//! `count GROUP` prints a line for each kind of work of the group: its name, and how many units of it
//! were done between the marks.

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

use support::{
    client::{Media, Plan, Takes},
    fanout::{Cast, Fanout, Flow},
    floor::Floor,
    marks, millis, seconds,
    stage::Stage,
};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("forwarding") => forwarding(),
        Some("others") => {
            floor();
            allocate();
            ingress();
            join();
            idle();
        }
        other => panic!("{other:?} is no group: forwarding or others"),
    }
}

/// Counts some work, which says how many units it was.
fn count(name: &str, work: impl FnOnce() -> u64) {
    marks::begin_counting();
    let units = work();
    marks::end_counting();
    println!("{name} {units}");
}

/// Units: packets forwarded to 50 subscribers, with the handling of their reports, and of the packets
/// they ask for again.
fn forwarding() {
    let mut room = Fanout::new(Stage::untimed(1), Cast::one_to(50), seconds(3));
    room.stage.loss_one_in = 200;
    room.play(Flow::PACKET, millis(200));
    count("packet", || {
        room.measure(Flow::PACKET, seconds(1)).forwarded
    });
    count("frame", || room.measure(Flow::FRAME, millis(984)).forwarded);
}

/// Units: packets.
fn floor() {
    const PACKETS: u64 = 1_000;
    let mut floor = Floor::new();
    floor.packet();
    count("floor", || {
        marks::measured_call(|| (0..PACKETS).for_each(|_| floor.packet()));
        PACKETS
    });
}

/// Units: packets that come in for nobody.
fn ingress() {
    let mut room = Fanout::new(Stage::untimed(1), Cast::one_to(0), millis(480));
    count("ingress", || room.play(Flow::PACKET, seconds(2)).received);
}

/// Units: budgets shared among 50 demands.
fn allocate() {
    const CALLS: u64 = 200;
    let demands = demands::demands(50);
    count("allocate", || {
        for _ in 0..CALLS {
            marks::measured_call(|| demands::allocate(&demands));
        }
        CALLS
    });
}

fn plan(number: u32, room: u32) -> Plan {
    Plan {
        room: format!("room {}", number / room),
        publishes: vec![Media::MutedAudio],
        subscribes: Takes::Everything,
        is_hidden: false,
    }
}

/// Units: transports connected, signalling included.
fn join() {
    const SESSIONS: u32 = 20;
    let mut stage = Stage::untimed(1);
    // The first pays for what is made once.
    stage.join(plan(0, 1));
    stage.connect();
    count("join", || {
        for number in 1..=SESSIONS {
            stage.join(plan(number, 1));
        }
        stage.connect();
        u64::from(SESSIONS) * 2
    });
}

/// Units: seconds of a connected session that sends nothing.
fn idle() {
    const SESSIONS: u32 = 20;
    const SPAN: u64 = 20;
    let mut stage = Stage::untimed(1);
    for number in 0..SESSIONS {
        stage.join(plan(number, 2));
        stage.turn(millis(20), Vec::new());
    }
    stage.connect();
    // Until the engines sleep.
    stage.rest(seconds(15), millis(10));
    count("idle", || {
        stage.rest(seconds(SPAN), millis(10));
        u64::from(SESSIONS) * SPAN
    });
}
