//! The calls that are measured, each a function of its own, so that a profiler can tell them from the
//! rest by name. `gate` counts by these names: a name changed here has to be changed there.

use std::{hint::black_box, time::Instant};

use sfu_core::{Command, Datagram, Event, Shard, Transmit};

#[inline(never)]
pub(crate) fn measured_datagram(shard: &mut Shard, now: Instant, datagram: Datagram<'_>) {
    shard.handle_datagram(now, datagram);
}

#[inline(never)]
pub(crate) fn measured_command(shard: &mut Shard, now: Instant, command: Command) {
    shard.handle_command(now, command).expect("nothing refused");
}

#[inline(never)]
pub(crate) fn measured_timeout(shard: &mut Shard, now: Instant) {
    shard.handle_timeout(now);
}

#[inline(never)]
pub(crate) fn measured_transmit(shard: &mut Shard) -> Option<Transmit<'_>> {
    shard.poll_transmit()
}

#[inline(never)]
pub(crate) fn measured_event(shard: &mut Shard) -> Option<Event> {
    shard.poll_event()
}

#[inline(never)]
pub(crate) fn measured_deadline(shard: &mut Shard) -> Option<Instant> {
    shard.poll_timeout()
}

/// Anything else that is to be counted.
#[inline(never)]
pub(crate) fn measured_call<R>(call: impl FnOnce() -> R) -> R {
    black_box(call())
}

/// What was measured until here was preparation.
#[inline(never)]
pub(crate) fn begin_counting() {
    black_box(());
}

/// What was measured since [`begin_counting`] is what counts.
#[inline(never)]
pub(crate) fn end_counting() {
    black_box(());
}
