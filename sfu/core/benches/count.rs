//! What `gate` runs under a profiler that counts instructions: a fixed amount of work of each kind, with
//! what is to be counted between two marks; and what that work allocates, which it counts by itself. Must
//! not depend on time or chance, as far as the engine allows.
//!
//! `count GROUP` prints lines for the work of the group: `instructions NAME UNITS` after each pair of
//! marks, with how many units of it were done between them, and `allocations NAME UNITS CALLS BYTES`.

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

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{
    allocated::Allocated,
    client::{Media, Plan, Takes},
    fanout::{Cast, Fanout, Flow},
    floor::Floor,
    marks, millis, seconds,
    stage::{Costs, Stage},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Of this process up to now. The clients wait while the shard works.
fn allocated() -> Allocated {
    ALLOCATOR.stats().into()
}

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

/// Counts the instructions of some work, which says how many units it was.
fn count<T>(name: &str, work: impl FnOnce() -> (u64, T)) -> T {
    marks::begin_counting();
    let (units, done) = work();
    marks::end_counting();
    println!("instructions {name} {units}");
    done
}

/// Counts so many calls of what the shard does not do.
fn count_calls(name: &str, calls: u64, mut call: impl FnMut()) {
    let counted = count(name, || {
        let before = allocated();
        for _ in 0..calls {
            marks::measured_call(&mut call);
        }
        (calls, allocated() - before)
    });
    report(name, calls, counted);
}

fn report(name: &str, units: u64, allocated: Allocated) {
    let Allocated { calls, bytes } = allocated;
    println!("allocations {name} {units} {calls} {bytes}");
}

fn stage() -> Stage {
    Stage::with_probe(1, allocated)
}

/// Units of instructions: packets forwarded to 50 subscribers, with the handling of their reports, and of
/// the packets they ask for again. Of allocations: packets that came in, packets that more subscribers got,
/// and seconds of a session.
fn forwarding() {
    const SUBSCRIBERS: u32 = 50;
    let room_of = |subscribers| {
        let mut room = Fanout::new(stage(), Cast::one_to(subscribers), seconds(3));
        room.stage.loss_one_in = 200;
        room.play(Flow::PACKET, millis(200));
        room
    };
    let alone = room_of(1).measure(Flow::PACKET, seconds(1));
    let mut room = room_of(SUBSCRIBERS);
    let packets = count("packet", || {
        let sample = room.measure(Flow::PACKET, seconds(1));
        (sample.forwarded, sample)
    });
    report("packet", packets.received, packets.costs.media.allocated);
    assert_eq!(packets.received, alone.received, "the same media");
    report(
        "forward",
        packets.forwarded - alone.forwarded,
        packets.costs.media.allocated - alone.costs.media.allocated,
    );
    let sessions = u64::from(SUBSCRIBERS);
    report("feedback", sessions, packets.costs.feedback.allocated);
    report("timers", sessions, packets.costs.timers.allocated);
    let frames = count("frame", || {
        let sample = room.measure(Flow::FRAME, millis(984));
        (sample.forwarded, sample)
    });
    report("frame", frames.received, frames.costs.media.allocated);
}

/// Units: packets.
fn floor() {
    let mut floor = Floor::new();
    floor.packet();
    count_calls("floor", 1_000, || floor.packet());
}

/// Units: packets that come in for nobody.
fn ingress() {
    let mut room = Fanout::new(stage(), Cast::one_to(0), millis(480));
    let sample = count("ingress", || {
        let sample = room.play(Flow::PACKET, seconds(2));
        (sample.received, sample)
    });
    report("ingress", sample.received, sample.costs.media.allocated);
}

/// Units: budgets shared among 50 demands.
fn allocate() {
    let demands = demands::demands(50);
    count_calls("allocate", 200, || drop(demands::allocate(&demands)));
}

fn plan(number: u32, room: u32) -> Plan {
    Plan {
        room: format!("room {}", number / room),
        publishes: vec![Media::MutedAudio],
        subscribes: Takes::Everything,
        is_hidden: false,
    }
}

/// Units: transports connected, signalling included; of what requests alone allocate, requests.
fn join() {
    const SESSIONS: u32 = 20;
    let mut stage = stage();
    // The first pays for what is made once.
    stage.join(plan(0, 1));
    stage.connect();
    stage.costs = Costs::default();
    let transports = u64::from(SESSIONS) * 2;
    count("join", || {
        for number in 1..=SESSIONS {
            stage.join(plan(number, 1));
        }
        stage.connect();
        (transports, ())
    });
    report("join", transports, stage.costs.allocated());
    let requests = stage.costs.commands;
    report("request", requests.inputs, requests.allocated);
}

/// Units: seconds of a connected session that sends nothing.
fn idle() {
    const SESSIONS: u32 = 20;
    const SPAN: u64 = 20;
    let mut stage = stage();
    for number in 0..SESSIONS {
        stage.join(plan(number, 2));
        stage.turn(millis(20), Vec::new());
    }
    stage.connect();
    // Until the engines sleep.
    stage.rest(seconds(15), millis(10));
    stage.costs = Costs::default();
    let units = u64::from(SESSIONS) * SPAN;
    count("idle", || {
        stage.rest(seconds(SPAN), millis(10));
        (units, ())
    });
    report("idle", units, stage.costs.allocated());
}
