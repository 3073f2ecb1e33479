//! What waits for its turn toward one client: how much may, and what goes first when that is too much. Must
//! not send anything.

use super::{
    Egress, SlotIndex, Unsent,
    lane::{Lane, Media, Queued, Waiting},
    stream::Stream,
};
use crate::key::SubscriptionKey;

impl Egress {
    /// Lets a packet of a stream wait; where too much does, the section with most of it loses all that waits.
    pub(super) fn wait(
        &mut self,
        slot: usize,
        ssrc: u32,
        media: &Media<'_>,
    ) -> Result<bool, Unsent> {
        if self.lane.pacer.is_long()
            && let Some(most) = self.most_waiting()
        {
            self.throw_away(most);
            if most == slot {
                return Err(Unsent::QueueFull);
            }
            self.cut.push(most);
        }
        if self.lane.pacer.is_full() {
            return Err(Unsent::QueueFull);
        }
        let waiting = Waiting::new(slot, ssrc, media);
        let bytes = waiting.bytes();
        self.lane.pacer.push(Queued::Media(waiting), bytes);
        Ok(true)
    }

    /// A subscription that lost packets to make place for another's: nothing of it can be decoded before its
    /// next keyframe, and clients take seconds to ask for one.
    pub(crate) fn take_cut(&mut self) -> Option<SubscriptionKey> {
        loop {
            let slot = self.cut.pop()?;
            if let Some(tenant) = self.tenant(SlotIndex(slot)) {
                return Some(tenant);
            }
        }
    }

    /// The section of which most bytes wait, of those of which no keyframe does: what follows one is what
    /// its viewer waits for.
    fn most_waiting(&self) -> Option<usize> {
        let mut sums: Vec<Option<usize>> = vec![Some(0); self.slots.len()];
        for (queued, bytes) in self.lane.pacer.waiting() {
            if let Queued::Media(waiting) = queued
                && let Some(sum) = sums.get_mut(waiting.slot)
            {
                *sum = sum
                    .filter(|_| !waiting.is_keyframe())
                    .map(|sum| sum + bytes);
            }
        }
        let most = sums.iter().enumerate().max_by_key(|(_, sum)| **sum)?;
        most.1.filter(|sum| *sum > 0).map(|_| most.0)
    }

    /// How many packets of media waited and were thrown away, since this was last asked.
    pub(crate) fn take_discarded(&mut self) -> u64 {
        std::mem::take(&mut self.lane.discarded)
    }

    /// The same when the session ends, with what still waits.
    pub(crate) fn discard_all(&mut self) -> u64 {
        let waiting = self.lane.pacer.waiting();
        let media = waiting.filter(|(queued, _)| matches!(queued, Queued::Media(_)));
        media.count() as u64 + self.take_discarded()
    }

    /// What waits for a subscription is not wanted any more.
    pub(crate) fn drop_waiting(&mut self, slot: SlotIndex) {
        self.throw_away(slot.0);
    }

    fn throw_away(&mut self, slot: usize) {
        let Self { slots, lane, .. } = self;
        let stream = slots.get_mut(slot).and_then(|slot| slot.stream.as_mut());
        if let Some(stream) = stream.filter(|_| !lane.pacer.is_empty()) {
            supersede(lane, stream, None);
        }
    }
}

/// A keyframe of a stream waits already, of another picture: if each took the place of the one before, none
/// would ever go out where the link is slower than the requests.
pub(super) fn has_keyframe(lane: &Lane, stream: &Stream, timestamp: u32) -> bool {
    lane.pacer.waiting().any(|(queued, _)| match queued {
        Queued::Media(waiting) => {
            waiting.ssrc == stream.ssrc && waiting.is_keyframe() && waiting.timestamp() != timestamp
        }
        Queued::Again(_) => false,
    })
}

/// What waits of a stream is of no use any more: a picture of this timestamp needs none before it, or nobody
/// is to see it.
pub(super) fn supersede(lane: &mut Lane, stream: &mut Stream, by: Option<u32>) {
    let discarded = &mut lane.discarded;
    lane.pacer.drop_waiting(|queued| match queued {
        Queued::Media(waiting)
            if waiting.ssrc == stream.ssrc && Some(waiting.timestamp()) != by =>
        {
            stream.history.withdraw(waiting.sequence());
            *discarded += 1;
            true
        }
        Queued::Again(again) => again.ssrc == stream.ssrc,
        Queued::Media(_) => false,
    });
}
