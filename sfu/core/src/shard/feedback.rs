//! What subscribers say of the media they get: repairs, keyframes, and how their links fare. Must not
//! decide what a link takes; the egress lane does.

use std::time::Instant;

use super::Shard;
use crate::{
    DropReason,
    key::{SessionKey, SubscriptionKey},
    session::{Feedback, Repair, SlotIndex},
};

impl Shard {
    /// RTCP came on a subscribe transport.
    pub(super) fn on_rtcp(&mut self, now: Instant, session: SessionKey, bytes: &[u8]) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        // Both are kept for the next time, so that feedback allocates nothing.
        let mut told = std::mem::take(&mut self.feedback);
        self.decrypted.clear();
        self.decrypted.extend_from_slice(bytes);
        let egress = &mut participant.session.egress;
        let taken = egress.handle_rtcp(now, &self.anchor, &mut self.decrypted, &mut told);
        if taken.is_err() {
            self.stats.drop(DropReason::Malformed);
        }
        for feedback in told.drain(..) {
            match feedback {
                Feedback::KeyframeRequest(subscription) => {
                    self.on_keyframe_request(now, subscription);
                }
                Feedback::Missing { slot, sequence } => self.repair(now, session, slot, sequence),
                Feedback::Report(report) => self.on_egress_report(now, session, &report),
            }
        }
        self.feedback = told;
        self.follow_link(now, session);
        // What it says of the link may end a wait, or begin one.
        self.touch(session);
    }

    /// Sends what is due on a subscribe transport: what waited, what was missed, and probes.
    pub(super) fn send_timed(&mut self, now: Instant, session: SessionKey) {
        let Self {
            participants,
            subscriptions,
            tracks,
            outbox,
            stats,
            anchor,
            ..
        } = self;
        let Some(participant) = participants.get_mut(session) else {
            return;
        };
        let mut find = |subscription: SubscriptionKey, encoding: u8, origin: u32| {
            let track = tracks.get(subscriptions.get(subscription)?.track)?;
            let published = track.encodings.get(usize::from(encoding))?;
            published.cache.find(origin).cloned()
        };
        let egress = &mut participant.session.egress;
        let timed = egress.handle_timeout(now, anchor, outbox, &mut find);
        stats.packets_repaired += timed.repaired;
        stats.repairs_missed += timed.gone;
        stats.packets_padding += timed.padding;
        stats.packets_discarded += egress.take_discarded();
        while let Some(cut) = egress.take_cut() {
            if let Some(cut) = subscriptions.get_mut(cut) {
                cut.forwarder.cut();
            }
        }
    }

    /// Sends a packet again that a subscriber missed.
    fn repair(&mut self, now: Instant, session: SessionKey, slot: SlotIndex, sequence: u16) {
        let Self {
            participants,
            subscriptions,
            tracks,
            outbox,
            stats,
            ..
        } = self;
        let Some(participant) = participants.get_mut(session) else {
            return;
        };
        let egress = &mut participant.session.egress;
        let track = egress
            .tenant(slot)
            .and_then(|subscription| tracks.get(subscriptions.get(subscription)?.track));
        let Some(track) = track else { return };
        let repair = egress.repair(now, outbox, slot, sequence, |encoding, origin| {
            let published = track.encodings.get(usize::from(encoding))?;
            published.cache.find(origin).cloned()
        });
        match repair {
            Repair::Sent => stats.packets_repaired += 1,
            Repair::Gone => stats.repairs_missed += 1,
            Repair::Queued | Repair::Refused => {}
        }
    }
}
