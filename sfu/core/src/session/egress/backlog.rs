//! What waits for its turn toward one client: how much may, and what goes first when that is too much. Must
//! not send anything.

use std::time::{Duration, Instant};

use super::{
    Egress, SlotIndex, Unsent,
    lane::{Lane, Media, Queued, Waiting},
    stream::Stream,
};
use crate::key::SubscriptionKey;

/// What waits of each section.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_slot: Vec<Share>,
    /// Sections of which something waits, but no keyframe.
    without_keyframe: usize,
}

/// What waits of a section.
#[derive(Debug, Default, Clone, Copy)]
struct Share {
    packets: u32,
    bytes: usize,
    /// Packets that start a keyframe.
    keyframes: u32,
}

impl Share {
    fn has_no_keyframe(&self) -> bool {
        self.packets > 0 && self.keyframes == 0
    }
}

impl Shares {
    fn add(&mut self, waiting: &Waiting) {
        if self.by_slot.len() <= waiting.slot {
            self.by_slot.resize(waiting.slot + 1, Share::default());
        }
        self.change(waiting, |share| {
            share.packets += 1;
            share.bytes += waiting.bytes();
            share.keyframes += u32::from(waiting.is_keyframe());
        });
    }

    /// One waits no longer.
    pub(super) fn remove(&mut self, waiting: &Waiting) {
        self.change(waiting, |share| {
            share.packets -= 1;
            share.bytes -= waiting.bytes();
            share.keyframes -= u32::from(waiting.is_keyframe());
        });
    }

    fn change(&mut self, waiting: &Waiting, change: impl FnOnce(&mut Share)) {
        if let Some(share) = self.by_slot.get_mut(waiting.slot) {
            self.without_keyframe -= usize::from(share.has_no_keyframe());
            change(share);
            self.without_keyframe += usize::from(share.has_no_keyframe());
        }
    }

    /// The section of which most bytes wait, of those of which no keyframe does: what follows one is what
    /// its viewer waits for. Sections are gone through only when there is one, which then loses what waits.
    pub(super) fn most(&self) -> Option<usize> {
        if self.without_keyframe == 0 {
            return None;
        }
        let shares = self.by_slot.iter().enumerate();
        let open = shares.filter(|(_, share)| share.has_no_keyframe());
        open.max_by_key(|(_, share)| share.bytes)
            .map(|(slot, _)| slot)
    }
}

/// What waits for its turn toward a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitingNow {
    /// Packets of media, and with those that are sent again.
    pub(crate) media: usize,
    pub(crate) packets: usize,
    /// Of their payloads.
    pub(crate) bytes: usize,
    /// Since when the oldest of media does.
    pub(crate) oldest: Option<Instant>,
}

impl Egress {
    /// Lets a packet of a stream wait; where too much does, the section with most of it loses all that waits.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        slot: usize,
        ssrc: u32,
        media: &Media<'_>,
    ) -> Result<bool, Unsent> {
        if self.lane.pacer.is_long()
            && let Some(most) = self.lane.shares.most()
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
        let waiting = Waiting::new(now, slot, ssrc, media);
        let bytes = waiting.bytes();
        self.lane.shares.add(&waiting);
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

    /// How many packets of media waited and were thrown away, since this was last asked.
    pub(crate) fn take_discarded(&mut self) -> u64 {
        std::mem::take(&mut self.lane.discarded)
    }

    /// The same when the session ends, with what still waits.
    pub(crate) fn discard_all(&mut self) -> u64 {
        self.waiting().media as u64 + self.take_discarded()
    }

    /// The same without asking for them.
    pub(crate) fn discarded(&self) -> u64 {
        self.lane.discarded
    }

    /// What waits now.
    pub(crate) fn waiting(&self) -> WaitingNow {
        let (media, packets, bytes) = self.lane.pacer.lengths();
        let oldest = self
            .lane
            .pacer
            .waiting()
            .find_map(|(queued, _)| match queued {
                Queued::Media(waiting) => Some(waiting.since()),
                Queued::Again(_) => None,
            });
        WaitingNow {
            media,
            packets,
            bytes,
            oldest,
        }
    }

    /// What waits for a subscription is not wanted any more.
    pub(crate) fn drop_waiting(&mut self, slot: SlotIndex) {
        self.throw_away(slot.0);
    }

    /// What waited for so long, because sound alone takes all that the link does, shows nobody anything any more.
    pub(super) fn drop_stale(&mut self, now: Instant) {
        const LIFE: Duration = Duration::from_secs(3);
        let Some((Queued::Media(oldest), _)) = self.lane.pacer.waiting().next() else {
            return;
        };
        let (slot, ssrc) = (oldest.slot, oldest.ssrc);
        let stream = self.slots.get(slot).and_then(|slot| slot.stream.as_ref());
        let is_its = stream.is_some_and(|stream| stream.ssrc == ssrc);
        if is_its && now > oldest.since() + LIFE {
            self.throw_away(slot);
            self.cut.push(slot);
        }
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
    let Lane {
        pacer,
        shares,
        discarded,
        ..
    } = lane;
    pacer.drop_waiting(|queued| match queued {
        Queued::Media(waiting)
            if waiting.ssrc == stream.ssrc && Some(waiting.timestamp()) != by =>
        {
            stream.history.withdraw(waiting.sequence());
            shares.remove(waiting);
            *discarded += 1;
            true
        }
        Queued::Again(again) => again.ssrc == stream.ssrc,
        Queued::Media(_) => false,
    });
}
