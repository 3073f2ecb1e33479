//! Packets that were sent together, and how much longer one group was under way than the one before: what
//! the trend of the delay is made of (draft-ietf-rmcat-gcc-02 section 5.2). Must not judge.

/// Packets sent within one burst.
#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: u64,
    last_sent: u64,
    first_arrival: i64,
    last_arrival: i64,
}

/// How one group differs from the one before, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delta {
    /// Between the sending of their last packets.
    pub(super) sent: i64,
    /// Between the arrivals of their last packets.
    pub(super) arrival: i64,
    /// When the later group was there, on the client's clock.
    pub(super) at: i64,
}

/// The groups of the packets that arrived, in the order of sending.
#[derive(Debug, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    before: Option<Group>,
}

impl Groups {
    /// Packets sent within so long are one group, in microseconds.
    const SENT: u64 = 5_000;
    /// What a link held back and let go at once is one group as well: so close, and so long at most.
    const CLOSE: i64 = 5_000;
    const HELD: i64 = 100_000;

    /// A packet was sent at `sent` and arrived at `arrival`, each on its own clock. Tells of a group when
    /// the next one begins.
    pub(super) fn on_packet(&mut self, sent: u64, arrival: i64) -> Option<Delta> {
        let Some(group) = &mut self.current else {
            self.current = Some(Group::new(sent, arrival));
            return None;
        };
        if sent < group.first_sent {
            // Of a group that is closed.
            return None;
        }
        if group.takes(sent, arrival) {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrival = group.last_arrival.max(arrival);
            return None;
        }
        let done = *group;
        self.current = Some(Group::new(sent, arrival));
        let before = self.before.replace(done)?;
        let sent = done.last_sent.saturating_sub(before.last_sent);
        Some(Delta {
            sent: i64::try_from(sent).ok()?,
            arrival: done.last_arrival - before.last_arrival,
            at: done.last_arrival,
        })
        // Groups that changed places say nothing of a queue.
        .filter(|delta| delta.arrival >= 0)
    }

    /// Begins anew: what comes next is not compared with what was.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Group {
    fn new(sent: u64, arrival: i64) -> Self {
        Self {
            first_sent: sent,
            last_sent: sent,
            first_arrival: arrival,
            last_arrival: arrival,
        }
    }

    fn takes(&self, sent: u64, arrival: i64) -> bool {
        if sent - self.first_sent <= Groups::SENT {
            return true;
        }
        let between = arrival - self.last_arrival;
        let sent_between = i64::try_from(sent.saturating_sub(self.last_sent)).unwrap_or(i64::MAX);
        between <= Groups::CLOSE
            && between < sent_between
            && arrival - self.first_arrival < Groups::HELD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_compared_when_the_next_begins() {
        let mut groups = Groups::default();
        let mut deltas = Vec::new();
        // A group of two each 20 ms; the third comes 3 ms late.
        for (sent, arrival) in [
            (0, 50_000),
            (1_000, 51_000),
            (20_000, 70_000),
            (21_000, 71_000),
            (40_000, 93_000),
            (41_000, 94_000),
            (60_000, 110_000),
        ] {
            deltas.extend(groups.on_packet(sent, arrival));
        }
        let delta = |sent, arrival, at| Delta { sent, arrival, at };
        assert_eq!(
            deltas,
            [delta(20_000, 20_000, 71_000), delta(20_000, 23_000, 94_000)]
        );
    }

    #[test]
    fn what_a_link_held_back_is_one_group() {
        let mut groups = Groups::default();
        groups.on_packet(0, 50_000);
        groups.on_packet(20_000, 70_000);
        // Sent at 20 ms intervals, come together after a stall.
        assert!(groups.on_packet(40_000, 140_000).is_some());
        assert_eq!(groups.on_packet(60_000, 141_000), None);
        assert_eq!(groups.on_packet(80_000, 142_000), None);
        let delta = groups.on_packet(100_000, 160_000).unwrap();
        assert_eq!((delta.sent, delta.arrival), (60_000, 72_000));
    }

    #[test]
    fn what_comes_out_of_order_says_nothing() {
        let mut groups = Groups::default();
        groups.on_packet(0, 50_000);
        groups.on_packet(20_000, 90_000);
        assert_eq!(groups.on_packet(10_000, 60_000), None, "of a closed group");
        // One that overtook the group before belongs to it.
        assert_eq!(groups.on_packet(40_000, 80_000), None);
        let delta = groups.on_packet(60_000, 110_000).unwrap();
        assert_eq!((delta.sent, delta.arrival), (40_000, 40_000));
    }
}
