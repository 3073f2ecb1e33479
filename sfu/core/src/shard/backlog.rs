//! What waits on this shard for its clients. Must not change it.

use super::Shard;
use crate::Backlog;

impl Shard {
    /// What waits for each client, of those for whom anything does.
    pub fn backlogs(&mut self) -> Vec<Backlog> {
        let now = self.now;
        let of = self.participants.values_mut().map(|participant| {
            let waiting = participant.session.egress.waiting();
            let data_bytes = participant
                .session
                .sending()
                .map_or(0, |(_, channels, transport)| channels.waiting(transport));
            let oldest = waiting.oldest;
            Backlog {
                identity: participant.member.identity.clone(),
                packets: waiting.packets,
                bytes: waiting.bytes,
                age: oldest.map_or_else(Default::default, |at| now.saturating_duration_since(at)),
                data_bytes,
            }
        });
        of.filter(|backlog| backlog.packets > 0 || backlog.data_bytes > 0)
            .collect()
    }

    /// Packets handed to subscribers that wait for their turn, and those thrown away that are not counted yet.
    pub(super) fn waiting_and_discarded(&self) -> (u64, u64) {
        let lanes = self.participants.values().map(|p| &p.session.egress);
        lanes.fold((0, 0), |(waiting, discarded), egress| {
            let media = egress.waiting().media as u64;
            (waiting + media, discarded + egress.discarded())
        })
    }
}
