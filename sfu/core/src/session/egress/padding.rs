//! What probes are made of when media does not suffice: packets that were sent lately, sent again on the
//! stream that repairs them, or nothing at all there. Only a probe makes padding, and only a wish that is
//! not served makes a probe. Must not choose when.

use std::time::Instant;

use super::{Egress, Find, Slot, Timed, stream::Stream};
use crate::outbox::Outbox;

/// Packets that take turns as padding, the newest first.
const RECENT: u64 = 16;

impl Egress {
    /// What all subscriptions together would take, in bits per second; 0 for nothing. While the link is
    /// not known to take it, it is probed.
    pub(crate) fn set_wanted(&mut self, wanted: u64) {
        let can_pad = self
            .slots
            .iter()
            .any(|slot| slot.padding_stream().is_some());
        // With headers, and with what is sent again.
        let wanted = (wanted as f64 / self.lane.share.of_media()) as u64;
        let congestion = &mut self.lane.congestion;
        congestion.set_can_pad(can_pad);
        congestion.set_wanted(wanted);
    }

    /// Sends what is due of a probe.
    pub(super) fn probe(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        find: Find<'_>,
        timed: &mut Timed,
    ) {
        let mut turn = 0;
        let mut place = None;
        while self.lane.congestion.probe_due(now).is_some() {
            if let Some(queued) = self.lane.pacer.pop_any() {
                self.send_queued(now, outbox, queued, find, timed);
                continue;
            }
            // Nothing that is sent meanwhile makes another one better.
            place = place.or_else(|| self.padding_slot());
            let is_padded = place.is_some_and(|place| self.pad(now, outbox, find, (place, turn)));
            if !is_padded {
                self.lane.congestion.abort_probe(now);
                return;
            }
            timed.padding += 1;
            turn = (turn + 1) % RECENT;
        }
    }

    /// Sends a packet of padding on a section; false where there is no stream for it.
    fn pad(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        find: Find<'_>,
        (index, turn): (usize, u64),
    ) -> bool {
        let Self { slots, lane, .. } = self;
        let Some(slot) = slots.get_mut(index) else {
            return false;
        };
        let types = slot.repair_types();
        let (Some((_, any_type)), Some(tenant)) = (types.clone().next(), &slot.wish) else {
            return false;
        };
        let Some(stream) = slot.stream.as_mut() else {
            return false;
        };
        let recent = stream.history.recent(turn);
        let again = recent.and_then(|sent| {
            let (_, repair_type) = types
                .clone()
                .find(|(media, _)| *media == sent.payload_type)?;
            let packet = find(tenant.subscription, sent.encoding, sent.origin)?;
            Some((repair_type, sent, packet))
        });
        match again {
            Some((repair_type, sent, packet)) => {
                lane.send_again(now, outbox, stream, (repair_type, &sent), &packet)
            }
            None => lane.send_padding(now, outbox, stream, any_type),
        }
    }

    /// The section that carries padding: of those that repair, the one that sent last.
    fn padding_slot(&self) -> Option<usize> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter_map(|(index, slot)| Some((slot.padding_stream()?.captured(), index)))
            .max()
            .map(|(_, index)| index)
    }
}

impl Slot {
    /// The stream, if what repairs it can carry padding.
    fn padding_stream(&self) -> Option<&Stream> {
        let stream = self.stream.as_ref()?;
        stream.repair_ssrc?;
        (self.is_serving() && self.has_repair_type()).then_some(stream)
    }

    fn has_repair_type(&self) -> bool {
        let mut types = self.payload_types.iter().flatten().flatten();
        types.any(|known| known.repair.is_some())
    }

    /// Payload types of media, each with that of its retransmission.
    fn repair_types(&self) -> impl Iterator<Item = (u8, u8)> + Clone + 'static {
        let known: [Option<(u8, u8)>; 8] = {
            let mut types = self.payload_types.iter().flatten().flatten();
            std::array::from_fn(|_| {
                types
                    .by_ref()
                    .find_map(|known| Some((known.media, known.repair?)))
            })
        };
        known.into_iter().flatten()
    }
}
