//! Forwarding a packet allocates nothing: a counting allocator stands in for the
//! system's, and the same media is sent to few and to many. Must be the only test of its program, for
//! the allocator counts all threads.

#![expect(
    clippy::disallowed_methods,
    reason = "the stage takes one instant as the origin of its time"
)]

#[path = "../benches/support/mod.rs"]
mod support;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{
    allocated::Allocated,
    fanout::{Cast, Fanout, Flow, Sample},
    seconds,
    stage::Stage,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Of this process up to now. The clients wait while the shard works.
fn allocated() -> Allocated {
    ALLOCATOR.stats().into()
}

/// Two seconds of media to so many subscribers, in a room that has been at it for eight.
fn play(subscribers: u32, flow: Flow) -> Sample {
    let stage = Stage::with_probe(1, allocated);
    let mut room = Fanout::new(stage, Cast::one_to(subscribers), seconds(4));
    room.play(flow, seconds(4));
    room.measure(flow, seconds(2))
}

/// What is done ten times a second may allocate, and a tree of the shard split a node: a packet has no
/// share in that.
const PACKETS_PER_ALLOCATION: u64 = 500;

#[test]
fn a_forwarded_packet_allocates_nothing() {
    for (name, flow) in [("packet", Flow::PACKET), ("frame", Flow::FRAME)] {
        let (few, many) = (play(10, flow), play(50, flow));
        assert_eq!(few.received, many.received, "the same media");
        let packets = many.forwarded - few.forwarded;
        assert!(packets > 10_000, "{packets} more packets");
        // What a packet costs on its way in, and a tick, is the same in both.
        let on_packets = (
            few.costs.media.allocated.calls,
            many.costs.media.allocated.calls,
        );
        let on_timers = (
            few.costs.timers.allocated.calls,
            many.costs.timers.allocated.calls,
        );
        let reports = many.costs.feedback;
        println!(
            "{name}: media {on_packets:?}, timers {on_timers:?}, {packets} more packets; {} for {} \
             datagrams of feedback",
            reports.allocated.calls, reports.inputs
        );
        for (of, (few, many)) in [("packets", on_packets), ("timers", on_timers)] {
            let more = many.saturating_sub(few);
            assert!(
                more * PACKETS_PER_ALLOCATION < packets,
                "{name}, on {of}: {more} more for {packets} more packets"
            );
        }
    }
}
