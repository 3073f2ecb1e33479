//! From a track to its subscribers: what came in during a turn is handed on subscriber by subscriber, so
//! that a subscriber's state is touched once, and what goes to one client goes out in one run. Must not
//! allocate per packet and subscriber, nor log.

use std::{hint::black_box, sync::Arc, time::Instant};

use plenum_proto::v1::Encryption;
use slotmap::SlotMap;

use super::{
    Shard,
    state::{Participant, Subscription},
};
use crate::{
    DropReason,
    key::{SessionKey, SubscriptionKey},
    rtp::{Codec, Packet, red_primary},
    session::{Media, Repeated, Stream, Unsent},
    subscription::Decision,
    track::SenderClock,
};

/// Encodings of a track in all its codecs together; more are never kept.
pub(super) const ENCODINGS_MAX: usize = 8;

/// Packets that wait for the end of the turn.
const PENDING_MAX: usize = 256;

/// Subscribers whose state is read ahead: so few that it is still in the nearest cache when their turn comes.
const AHEAD: usize = 4;

/// A packet that came in and is to be handed on.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) stream: Stream,
    /// Its codec's index in the track.
    pub(super) format: usize,
    pub(super) packet: Arc<Packet>,
    /// When it was captured, on our clock.
    pub(super) captured: Instant,
}

/// What came of handing packets on, for after the walk over the subscribers.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Encodings of which somebody waits for a keyframe, as bits.
    wanted: u8,
    /// Somebody without the codec, who was not told yet; others come with the next packets.
    unsupported: Option<SubscriptionKey>,
    /// Who waits for a keyframe whose first packet came behind others of it, and its encoding.
    overtaken: Vec<(SubscriptionKey, u8)>,
}

/// Reads what the next subscribers have. It lies in many places that nothing touched since the packet before: read
/// for one after the other, between packets that are sealed, each would be waited for; read here, they come together.
fn touch(
    subscriptions: &SlotMap<SubscriptionKey, Subscription>,
    participants: &SlotMap<SessionKey, Participant>,
    next: &[SubscriptionKey],
) {
    let touched = next.iter().take(AHEAD).fold(0, |all, key| {
        let Some(subscription) = subscriptions.get(*key) else {
            return all;
        };
        let participant = participants.get(subscription.subscriber);
        let egress = participant.map_or(0, |p| p.session.egress.touch(subscription.slot));
        all ^ egress ^ subscription.forwarder.touch()
    });
    black_box(touched);
}

impl Shard {
    /// Takes in a packet; it goes out with what else comes in this turn.
    pub(super) fn queue(&mut self, pending: Pending) {
        self.pending.push((self.pending.len(), pending));
    }

    /// Whether so much came in that it is to go out before anything else is taken in.
    pub(super) fn has_many_pending(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// Hands on what came in.
    pub(super) fn forward_pending(&mut self, now: Instant) {
        if self.pending.is_empty() {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        // By track, in the order in which they came.
        pending.sort_unstable_by_key(|(number, pending)| (pending.stream.track, *number));
        for packets in pending.chunk_by(|(_, a), (_, b)| a.stream.track == b.stream.track) {
            let outcome = self.fan_out(now, packets, None);
            let Some((_, first)) = packets.first() else {
                continue;
            };
            let track = first.stream.track;
            if let Some(key) = outcome.unsupported
                && !self.widen(now, key)
                && !self.take_other_codec(now, key)
            {
                self.tell_unsupported(key);
            }
            for (key, encoding) in outcome.overtaken {
                self.begin_overtaken(now, key, Stream { track, encoding });
            }
            for encoding in 0..ENCODINGS_MAX as u8 {
                if outcome.wanted & (1 << encoding) != 0 && first.packet.codec.is_video() {
                    self.want_keyframe(now, track, encoding);
                }
            }
        }
        pending.clear();
        self.pending = pending;
    }

    /// Hands packets of one track to each of its subscribers, or to one of them alone.
    pub(super) fn fan_out(
        &mut self,
        now: Instant,
        packets: &[(usize, Pending)],
        to: Option<SubscriptionKey>,
    ) -> Outcome {
        let Self {
            tracks,
            subscriptions,
            participants,
            stats,
            dirty,
            outbox,
            ..
        } = self;
        let mut outcome = Outcome::default();
        let track = packets
            .first()
            .and_then(|(_, first)| tracks.get(first.stream.track));
        let Some(track) = track else { return outcome };
        if track.is_quiet && !track.is_pinned {
            // Not among the loudest, and nobody pinned it: no subscriber is looked at.
            let count = track.subscriptions.len() * packets.len();
            stats.packets_offered += count as u64;
            stats.drop_many(DropReason::NotLoudest, count);
            return outcome;
        }
        let mut clocks: [Option<SenderClock>; ENCODINGS_MAX] = [None; ENCODINGS_MAX];
        for (clock, published) in clocks.iter_mut().zip(&track.encodings) {
            *clock = published.encoding.clock();
        }
        // A receiver undoes the encryption of a payload as a whole: nothing may be put beside it.
        let is_encrypted = track.info.encryption() != Encryption::None;
        let takers: &[SubscriptionKey] = match &to {
            Some(key) => std::slice::from_ref(key),
            None => &track.subscriptions,
        };
        for (index, key) in takers.iter().enumerate() {
            if index % AHEAD == 0 {
                let next = takers.get(index..).unwrap_or_default();
                touch(subscriptions, participants, next);
            }
            let Some(subscription) = subscriptions.get_mut(*key) else {
                continue;
            };
            stats.packets_offered += packets.len() as u64;
            let subscriber = participants.get_mut(subscription.subscriber);
            // Before the forwarder is asked: what it lets through counts as sent.
            let ready = subscriber
                .and_then(|subscriber| subscriber.session.sending_media())
                .filter(|(egress, _)| subscription.is_live && egress.lane.is_ready());
            let Some((egress, transport)) = ready else {
                stats.drop_many(DropReason::NotConnected, packets.len());
                continue;
            };
            let slot = subscription.slot;
            let mut is_due = false;
            for (_, pending) in packets {
                let packet = &pending.packet;
                let Some(spec) = track.formats.get(pending.format) else {
                    continue;
                };
                let is_red = packet.codec == Codec::Red;
                let encoding = pending.stream.encoding;
                let mut payload = &*packet.payload;
                let format = pending.format * 2;
                let mut payload_type =
                    egress.payload_type(transport, slot, format, &spec.params, is_red);
                if is_red
                    && payload_type.is_none()
                    && let Some(primary) = red_primary(payload)
                {
                    // A receiver without redundancy gets the newest block alone (RFC 2198 section 3).
                    payload = primary;
                    payload_type =
                        egress.payload_type(transport, slot, format + 1, &spec.params, false);
                }
                let Some(mut payload_type) = payload_type else {
                    if !track.is_of_codec(encoding, subscription.codec) {
                        // There is another one for it.
                        stats.drop(DropReason::NotWanted);
                        continue;
                    }
                    stats.drop(DropReason::CodecUnsupported);
                    if !subscription.told_unsupported {
                        outcome.unsupported = Some(*key);
                    }
                    continue;
                };
                let mut repeated = None;
                let count = match packet.codec {
                    Codec::Opus if !is_encrypted => egress.lane.repetitions(),
                    _ => 0,
                };
                if count > 0 {
                    let red = egress.payload_type(transport, slot, format + 1, &spec.params, true);
                    let published = track.encodings.get(usize::from(encoding));
                    if let (Some(red), Some(published)) = (red, published) {
                        let blocks = published.sound.before(packet);
                        repeated = Some(Repeated::new(payload_type, blocks, count, payload));
                        payload_type = red;
                    }
                }
                let decision = subscription.forwarder.decide(encoding, packet, &clocks);
                if let Some(waiting) = subscription.forwarder.wants_keyframe() {
                    outcome.wanted |= 1_u8.checked_shl(waiting.into()).unwrap_or(0);
                }
                let (rewritten, is_empty) = match decision {
                    Decision::Forward(rewritten) => (rewritten, false),
                    Decision::Fill(rewritten) => (rewritten, true),
                    Decision::Drop(reason) => {
                        stats.drop(reason);
                        let awaits = reason == DropReason::AwaitingKeyframe;
                        if awaits && packet.is_keyframe && !packet.is_cut_short() && to.is_none() {
                            outcome.overtaken.push((*key, encoding));
                        }
                        continue;
                    }
                };
                let media = Media {
                    packet,
                    payload: if is_empty { &[] } else { payload },
                    is_empty,
                    repeated,
                    encoding,
                    payload_type,
                    rewritten,
                    captured: pending.captured,
                };
                match egress.write(now, outbox, slot, &media) {
                    Ok(deadline_moved) => {
                        stats.packets_forwarded += 1;
                        is_due |= deadline_moved;
                    }
                    Err(Unsent::NotServing) => stats.drop(DropReason::NotConnected),
                    Err(Unsent::Used) => stats.drop(DropReason::Stale),
                    Err(Unsent::QueueFull) => {
                        stats.drop(DropReason::QueueFull);
                        subscription.forwarder.cut();
                    }
                }
            }
            if is_due {
                dirty.push(subscription.subscriber);
            }
            while let Some(cut) = egress.take_cut() {
                if let Some(cut) = subscriptions.get_mut(cut) {
                    cut.forwarder.cut();
                }
            }
        }
        outcome
    }

    fn tell_unsupported(&mut self, key: SubscriptionKey) {
        use plenum_proto::node::{SubscriptionError, SubscriptionFailed, session_event::Kind};
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        subscription.told_unsupported = true;
        let subscriber = subscription.subscriber;
        let Some(track) = self.tracks.get(subscription.track) else {
            return;
        };
        let told = SubscriptionFailed {
            track_id: (&track.id).into(),
            error: SubscriptionError::CodecUnsupported.into(),
        };
        self.tell(subscriber, Kind::SubscriptionFailed(told));
    }
}
