//! The beginning of a subscription: the newest keyframe of its encoding, if it was kept with all that followed, so
//! that the first picture does not wait for a new one. It goes faster than real time, as the pacer has it. Must
//! not go beyond the budget, nor ask for a keyframe.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Shard, fanout::Pending, forward::is_plausible};
use crate::{key::SubscriptionKey, rtp::Packet, session::Stream, track::Layer};

/// Bytes of a replay at most, and what it may take of the budget.
const BYTES_MAX: u64 = 512 * 1024;
const BUDGET_SHARE: Duration = Duration::from_millis(500);

/// A replay longer than this leaves out upper temporal layers.
const WHOLE: Duration = Duration::from_millis(300);

/// A viewer is offered again what is kept of an overtaken keyframe once in so long at most: where the first packets of
/// all keyframes come behind their turn, each would else cost all that is kept.
const AGAIN: Duration = Duration::from_millis(500);

impl Shard {
    /// Begins a subscription that never was given anything with what is kept of its target; false when nothing
    /// was sent.
    pub(super) fn replay(&mut self, now: Instant, key: SubscriptionKey) -> bool {
        let Some((stream, packets)) = self.replayable(now, key) else {
            return false;
        };
        let is_long = packets
            .first()
            .is_some_and(|first| now.saturating_duration_since(first.arrival) > WHOLE);
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return false;
        };
        let target = subscription.forwarder.target();
        subscription.forwarder.rewind(stream.encoding);
        if is_long {
            let slowest = target.map(|target| Layer {
                temporal: 0,
                ..target
            });
            subscription.forwarder.retarget(slowest);
        }
        let pending = self.pending_of(stream, &packets);
        self.hand_to(now, &pending, key);
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return false;
        };
        subscription.forwarder.retarget(target);
        let has_begun = subscription.forwarder.current().is_some();
        self.stats.replays += u64::from(has_begun);
        has_begun
    }

    /// Begins with a keyframe whose first packet came only now, behind others of it, which are offered again.
    pub(super) fn begin_overtaken(&mut self, now: Instant, key: SubscriptionKey, stream: Stream) {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        let is_soon = |before| now.saturating_duration_since(before) < AGAIN;
        if subscription.offered_again.is_some_and(is_soon) {
            return;
        }
        subscription.offered_again = Some(now);
        let track = self.tracks.get_mut(stream.track);
        let encodings = track.map(|track| &mut track.encodings);
        let published = encodings.and_then(|all| all.get_mut(usize::from(stream.encoding)));
        let packets = published.map(|published| {
            let encoding = &published.encoding;
            let read = |packet: &mut Packet| encoding.read_layers_late(packet);
            published.cache.read_layers(read);
            published.cache.kept_since_keyframe()
        });
        let pending = self.pending_of(stream, &packets.unwrap_or_default());
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        subscription.forwarder.rewind(stream.encoding);
        self.hand_to(now, &pending, key);
    }

    /// What may be replayed to a subscription.
    fn replayable(&self, now: Instant, key: SubscriptionKey) -> Option<(Stream, Vec<Arc<Packet>>)> {
        let subscription = self.subscriptions.get(key)?;
        let forwarder = &subscription.forwarder;
        let target = forwarder.target().filter(|_| forwarder.is_fresh())?;
        let track = self
            .tracks
            .get(subscription.track)
            .filter(|t| t.is_video())?;
        let published = track.encodings.get(usize::from(target.encoding))?;
        let age = self.config.keyframe_replay;
        let packets = published.cache.since_keyframe(now, age)?;
        let bytes: u64 = packets
            .iter()
            .map(|packet| packet.payload.len() as u64)
            .sum();
        let subscriber = self.participants.get(subscription.subscriber)?;
        let allowed = subscriber.budget(now).map_or(BYTES_MAX, |budget| {
            let bits = u128::from(budget) * BUDGET_SHARE.as_millis() / 1_000;
            u64::try_from(bits / 8).unwrap_or(u64::MAX).min(BYTES_MAX)
        });
        let stream = Stream {
            track: subscription.track,
            encoding: target.encoding,
        };
        (bytes <= allowed).then_some((stream, packets))
    }

    /// Packets that are kept, as they came in.
    fn pending_of(&self, stream: Stream, packets: &[Arc<Packet>]) -> Vec<(usize, Pending)> {
        let Some(track) = self.tracks.get(stream.track) else {
            return Vec::new();
        };
        let publisher = self.participants.get(track.owner);
        let published = track.encodings.get(usize::from(stream.encoding));
        let clock = published.and_then(|published| published.encoding.clock());
        let of = |packet: &Arc<Packet>| {
            let format = track.formats.iter().position(|f| f.codec == packet.codec)?;
            let captured = clock
                .zip(publisher)
                .and_then(|(clock, p)| p.clock.moment(clock.time_of(packet.timestamp)))
                .filter(|moment| is_plausible(*moment, packet.arrival));
            Some(Pending {
                stream,
                format,
                packet: Arc::clone(packet),
                captured: captured.unwrap_or(packet.arrival),
            })
        };
        packets.iter().filter_map(of).enumerate().collect()
    }
}
