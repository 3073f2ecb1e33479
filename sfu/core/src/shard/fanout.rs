//! From a track to its subscribers: what came in during a turn is handed on subscriber by subscriber, so
//! that a subscriber's state is touched once, and what goes to one client goes out in one run. Must not
//! allocate per packet and subscriber, nor log.

use std::{sync::Arc, time::Instant};

use plenum_proto::v1::Encryption;
use slotmap::SlotMap;

use super::{
    Shard,
    state::{Participant, Subscription},
};
use crate::{
    DropReason,
    ahead::fetch,
    key::{SessionKey, SubscriptionKey},
    rtp::{Codec, Packet, red_primary},
    session::{Media, Repeated, Stream, Unsent},
    subscription::Decision,
    track::SenderClock,
};

/// Encodings of a track in all its codecs together; more are never kept.
pub(super) const ENCODINGS_MAX: usize = 8;

/// Packets that wait to be handed on.
const PENDING_MAX: usize = 256;

/// Bytes that are sealed before they are sent: so few that they are still in the cache when the system copies them,
/// and that the first of a large audience do not wait for the last.
pub(super) const STRETCH_BYTES: usize = 128 * 1024;

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
struct Outcome {
    /// Encodings of which somebody waits for a keyframe, as bits.
    wanted: u8,
    /// Somebody without the codec, who was not told yet; others come with the next packets.
    unsupported: Option<SubscriptionKey>,
    /// Who waits for a keyframe whose first packet came behind others of it, and its encoding.
    overtaken: Vec<(SubscriptionKey, u8)>,
}

/// What is being handed on, and how far that is.
#[derive(Debug, Default)]
pub(super) struct Handout {
    /// By track, in the order in which they came.
    packets: Vec<(usize, Pending)>,
    /// Those of them that all have.
    done: usize,
    /// Who gets those of the next track, and how many of them did: filled when its turn comes, for who is gone in
    /// between must not make another one miss anything.
    takers: Vec<SubscriptionKey>,
    served: usize,
    outcome: Outcome,
}

impl Handout {
    fn is_done(&self) -> bool {
        self.done == self.packets.len()
    }

    /// Begins with packets that came in, which leaves room for others to come.
    fn begin(&mut self, pending: &mut Vec<(usize, Pending)>) {
        self.packets.clear();
        self.done = 0;
        std::mem::swap(&mut self.packets, pending);
        self.packets
            .sort_unstable_by_key(|(number, pending)| (pending.stream.track, *number));
    }
}

/// The packets of the track whose turn it is.
fn of_one_track(rest: &[(usize, Pending)]) -> &[(usize, Pending)] {
    let mut tracks = rest.chunk_by(|(_, a), (_, b)| a.stream.track == b.stream.track);
    tracks.next().unwrap_or_default()
}

/// Asks for the memory of subscribers whose turn comes: what is found only in what was asked for is asked for some turns
/// later, when that is there.
#[derive(Clone, Copy)]
struct Ahead<'a> {
    subscriptions: &'a SlotMap<SubscriptionKey, Subscription>,
    participants: &'a SlotMap<SessionKey, Participant>,
    takers: &'a [SubscriptionKey],
}

impl Ahead<'_> {
    /// Turns from one step to the next, and from the first to the subscriber's own.
    const STEP: usize = 2;
    const ALL: usize = 4 * Self::STEP;

    /// Of the subscriber whose turn comes in [`Ahead::ALL`] turns, and of those before it.
    fn fetch(self, index: usize) {
        let taker = |step: usize| {
            let index = index.checked_sub(step * Self::STEP)?;
            self.subscriptions.get(*self.takers.get(index)?)
        };
        let with_session = |step: usize| {
            let subscription = taker(step)?;
            let subscriber = self.participants.get(subscription.subscriber)?;
            Some((subscription, &subscriber.session))
        };
        if let Some(subscription) = taker(0) {
            fetch(&subscription.subscriber);
            fetch(&subscription.codec);
            fetch(&subscription.is_live);
            subscription.forwarder.fetch();
        }
        if let Some((subscription, session)) = with_session(1) {
            subscription.forwarder.fetch_deep();
            session.fetch();
        }
        if let Some((subscription, session)) = with_session(2) {
            session.egress.fetch_slot(subscription.slot);
        }
        if let Some((subscription, session)) = with_session(3) {
            session.egress.fetch_stream(subscription.slot);
        }
    }
}

impl Shard {
    /// Takes in a packet; it goes out with what else came by then.
    pub(super) fn queue(&mut self, pending: Pending) {
        self.pending.push((self.pending.len(), pending));
    }

    /// Whether so much came in that it is to go out before anything else is taken in.
    pub(super) fn has_many_pending(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// Whether something that came in is not handed on.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty() || !self.handout.is_done()
    }

    /// Hands on what came in until all of it is, or so many bytes wait to be sent.
    pub(super) fn forward_pending(&mut self, now: Instant, enough: usize) {
        let mut handout = std::mem::take(&mut self.handout);
        loop {
            if handout.is_done() {
                if self.pending.is_empty() {
                    break;
                }
                handout.begin(&mut self.pending);
            }
            let Handout {
                packets,
                done,
                takers,
                served,
                outcome,
            } = &mut handout;
            let packets = of_one_track(packets.get(*done..).unwrap_or_default());
            let Some((_, first)) = packets.first() else {
                break;
            };
            let (track, is_video) = (first.stream.track, first.packet.codec.is_video());
            if *served == 0 {
                takers.clear();
                let all = self.tracks.get(track).map(|track| &track.subscriptions);
                takers.extend_from_slice(all.map_or(&[], Vec::as_slice));
            }
            let rest = takers.get(*served..).unwrap_or_default();
            *served += self.fan_out(now, packets, (rest, enough), outcome);
            if *served < takers.len() {
                break;
            }
            *done += packets.len();
            *served = 0;
            let outcome = std::mem::take(outcome);
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
                if outcome.wanted & (1 << encoding) != 0 && is_video {
                    self.want_keyframe(now, track, encoding);
                }
            }
            if self.outbox.waiting() >= enough {
                break;
            }
        }
        if handout.is_done() {
            // They are kept elsewhere, or nobody needs them any more.
            handout.packets.clear();
            handout.done = 0;
        }
        self.handout = handout;
    }

    /// Hands packets of one track to subscribers of it until all have them, or so many bytes wait to be sent. Says how
    /// many of them had their turn.
    fn fan_out(
        &mut self,
        now: Instant,
        packets: &[(usize, Pending)],
        (takers, enough): (&[SubscriptionKey], usize),
        outcome: &mut Outcome,
    ) -> usize {
        if takers.is_empty() {
            return 0;
        }
        let Self {
            tracks,
            subscriptions,
            participants,
            stats,
            dirty,
            outbox,
            ..
        } = self;
        let track = packets
            .first()
            .and_then(|(_, first)| tracks.get(first.stream.track));
        let Some(track) = track else {
            return takers.len();
        };
        if track.is_quiet && !track.is_pinned {
            // Not among the loudest, and nobody pinned it: no subscriber is looked at.
            let count = takers.len() * packets.len();
            stats.packets_offered += count as u64;
            stats.drop_many(DropReason::NotLoudest, count);
            return takers.len();
        }
        let mut clocks: [Option<SenderClock>; ENCODINGS_MAX] = [None; ENCODINGS_MAX];
        for (clock, published) in clocks.iter_mut().zip(&track.encodings) {
            *clock = published.encoding.clock();
        }
        // A receiver undoes the encryption of a payload as a whole: nothing may be put beside it.
        let is_encrypted = track.info.encryption() != Encryption::None;
        let mut served = 0;
        for turn in 0..Ahead::ALL + takers.len() {
            let ahead = Ahead {
                subscriptions,
                participants,
                takers,
            };
            ahead.fetch(turn);
            let key = turn.checked_sub(Ahead::ALL).and_then(|at| takers.get(at));
            let Some(key) = key else { continue };
            if outbox.waiting() >= enough {
                break;
            }
            served += 1;
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
                        if awaits && packet.is_keyframe && !packet.is_cut_short() {
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
        served
    }

    /// Hands packets of one track to one of its subscribers.
    pub(super) fn hand_to(
        &mut self,
        now: Instant,
        packets: &[(usize, Pending)],
        key: SubscriptionKey,
    ) {
        let alone = (&[key][..], usize::MAX);
        self.fan_out(now, packets, alone, &mut Outcome::default());
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
