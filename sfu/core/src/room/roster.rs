//! What the participants of a large room have yet to be told of each other: those who publish nothing come
//! and go by the hundred, and telling everybody of each at once costs the square of the room.
//!
//! Must not know who is told. Changes of those who publish never wait here.

use std::time::{Duration, Instant};

use plenum_proto::v1::Participant;

/// Participants as they came to be since the room was last told, in the order of their last change.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    waiting: Vec<Participant>,
    told_at: Option<Instant>,
}

impl Roster {
    /// Members up to which everything is told at once.
    pub(crate) const SMALL: usize = 50;

    /// A larger room is told so often at most, for each of its members: 100 members wait half a second.
    const PER_MEMBER: Duration = Duration::from_millis(5);

    /// However large the room, nobody waits longer.
    const LONGEST: Duration = Duration::from_secs(2);

    /// Lets a change wait; it takes the place of an earlier one of the same participant. The order of changes
    /// is kept, because one identity may leave and come back.
    pub(crate) fn wait(&mut self, participant: Participant) {
        self.take(&participant.id);
        self.waiting.push(participant);
    }

    /// Takes out what waits of a participant, to be told otherwise.
    pub(crate) fn take(&mut self, id: &str) -> Option<Participant> {
        let at = self.waiting.iter().position(|waiting| waiting.id == id)?;
        Some(self.waiting.remove(at))
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What has waited long enough in a room of so many members.
    pub(crate) fn due(&mut self, now: Instant, members: usize) -> Option<Vec<Participant>> {
        if self.waiting.is_empty() {
            return None;
        }
        let members = u32::try_from(members).unwrap_or(u32::MAX);
        let interval = Self::PER_MEMBER.saturating_mul(members).min(Self::LONGEST);
        let early = |told: Instant| now.saturating_duration_since(told) < interval;
        if self.told_at.is_some_and(early) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn someone(id: &str, version: u32) -> Participant {
        Participant {
            id: id.to_owned(),
            version,
            ..Participant::default()
        }
    }

    fn told(roster: &mut Roster, now: Instant, members: usize) -> Option<Vec<(String, u32)>> {
        let due = roster.due(now, members)?;
        Some(due.into_iter().map(|p| (p.id, p.version)).collect())
    }

    #[test]
    fn the_last_state_of_each_is_told_in_the_order_of_change() {
        let (start, mut roster) = (Instant::now(), Roster::default());
        for (id, version) in [("ann", 1), ("bob", 1), ("ann", 2), ("cid", 1)] {
            roster.wait(someone(id, version));
        }
        assert!(roster.take("cid").is_some() && roster.take("cid").is_none());
        let expected = vec![("bob".to_owned(), 1), ("ann".to_owned(), 2)];
        assert_eq!(told(&mut roster, start, 100), Some(expected));
        assert_eq!(told(&mut roster, start + Roster::LONGEST, 100), None);
    }

    #[test]
    fn the_larger_the_room_the_longer_it_waits_up_to_a_bound() {
        for (members, wait) in [(60, 300), (100, 500), (400, 2_000), (5_000, 2_000)] {
            let (start, mut roster) = (Instant::now(), Roster::default());
            let at = |millis| start + Duration::from_millis(millis);
            roster.wait(someone("ann", 1));
            assert!(roster.due(at(0), members).is_some(), "{members}");
            roster.wait(someone("ann", 2));
            assert!(roster.due(at(wait - 1), members).is_none(), "{members}");
            assert!(roster.due(at(wait), members).is_some(), "{members}");
        }
    }
}
