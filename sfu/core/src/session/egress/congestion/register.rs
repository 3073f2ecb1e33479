//! What was sent with a transport-wide number and when, until the client has told what became of it. Must
//! not judge.

use crate::ahead::fetch_at;

/// A packet that was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    /// Microseconds of the controller's clock.
    pub(super) at: u64,
    /// With its header.
    pub(super) bytes: u16,
    /// The probe that it belongs to; 0 for none.
    pub(super) probe: u8,
    /// Bytes sent up to it, with it.
    pub(super) total: u64,
}

/// The same as it is kept, four to a line of the cache: each packet touches a place that nobody touched for
/// hundreds of packets. Of times and sums the low bits are enough, for what is told of is never an hour or
/// 4 GiB old.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    at: u32,
    total: u32,
    bytes: u16,
    sequence: u16,
    probe: u8,
    state: State,
}

/// What is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// There is none.
    #[default]
    Empty,
    /// Nothing was said of it yet.
    Open,
    /// It did not come before the feedback was made; it may still.
    Missing,
    /// It came.
    Told,
}

/// What a report adds to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Arrived,
    /// It was told missing before, and is not.
    ArrivedLate,
    Missing,
}

/// The newest packets, by the low bits of their numbers.
#[derive(Debug, Default)]
pub(super) struct Register {
    ring: Vec<Kept>,
    total: u64,
    /// When the newest went out.
    newest: u64,
}

impl Register {
    /// Packets known at first, and at most: 8,192 are a second of 80 Mbit/s. Powers of two.
    const FIRST: usize = 128;
    const MOST: usize = 8_192;

    /// How long feedback is waited for, in microseconds; a packet pushed out before makes the ring grow.
    const WAIT: u32 = 1_000_000;

    /// A packet goes out.
    pub(super) fn insert(&mut self, at: u64, sequence: u16, bytes: usize, probe: u8) {
        if self.ring.is_empty() {
            self.ring = vec![Kept::default(); Self::FIRST];
        }
        let length = self.ring.len();
        let Some(place) = self.ring.get_mut(place(sequence, length)) else {
            return;
        };
        let is_awaited =
            place.state == State::Open && (at as u32).wrapping_sub(place.at) < Self::WAIT;
        if is_awaited && length < Self::MOST {
            self.grow();
            return self.insert(at, sequence, bytes, probe);
        }
        self.total += bytes as u64;
        self.newest = at;
        *place = Kept {
            at: at as u32,
            total: self.total as u32,
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            sequence,
            probe,
            state: State::Open,
        };
    }

    /// Asks for what a packet with this number will touch.
    pub(super) fn fetch(&self, next: u16) {
        fetch_at(&self.ring, place(next, self.ring.len()));
    }

    /// Bytes sent up to now.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether something may still be said of a packet.
    pub(super) fn awaits(&self, now: u64, sequence: u16) -> bool {
        let kept = self.ring.get(place(sequence, self.ring.len()));
        kept.is_some_and(|kept| {
            kept.sequence == sequence
                && matches!(kept.state, State::Open | State::Missing)
                && (now as u32).wrapping_sub(kept.at) < Self::WAIT
        })
    }

    /// What is said of a packet; `None` when that is no news, or the packet is not known.
    pub(super) fn tell(&mut self, sequence: u16, has_arrived: bool) -> Option<(Sent, News)> {
        let index = place(sequence, self.ring.len());
        let kept = self
            .ring
            .get_mut(index)
            .filter(|kept| kept.sequence == sequence)?;
        let news = match (kept.state, has_arrived) {
            (State::Open, true) => News::Arrived,
            (State::Missing, true) => News::ArrivedLate,
            (State::Open, false) => News::Missing,
            (State::Empty | State::Told, _) | (State::Missing, false) => return None,
        };
        kept.state = if has_arrived {
            State::Told
        } else {
            State::Missing
        };
        let sent = Sent {
            at: before(self.newest, kept.at),
            bytes: kept.bytes,
            probe: kept.probe,
            total: before(self.total, kept.total),
        };
        Some((sent, news))
    }

    fn grow(&mut self) {
        let length = self.ring.len() * 2;
        let held = std::mem::replace(&mut self.ring, vec![Kept::default(); length]);
        for kept in held {
            let index = place(kept.sequence, length);
            if let Some(place) = self.ring.get_mut(index)
                && kept.state != State::Empty
            {
                *place = kept;
            }
        }
    }
}

/// Where a packet is in a ring of so many places, a power of two: a division would take longer than all else.
fn place(sequence: u16, length: usize) -> usize {
    usize::from(sequence) & length.wrapping_sub(1)
}

/// The last number up to `now` that ends in these bits.
fn before(now: u64, low: u32) -> u64 {
    now.saturating_sub((now as u32).wrapping_sub(low).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_told_of_once_and_may_come_late() {
        let mut register = Register::default();
        assert!(register.tell(7, true).is_none(), "nothing was sent");
        register.insert(10, 7, 1_200, 3);
        let (sent, news) = register.tell(7, false).unwrap();
        assert_eq!((sent.at, sent.bytes, sent.probe), (10, 1_200, 3));
        assert_eq!(news, News::Missing);
        assert!(register.tell(7, false).is_none());
        assert_eq!(register.tell(7, true).unwrap().1, News::ArrivedLate);
        assert!(register.tell(7, true).is_none());
        assert!(register.tell(7 + 512, true).is_none(), "another number");
    }

    #[test]
    fn it_grows_while_feedback_is_awaited_and_stays_bounded() {
        let mut register = Register::default();
        for number in 0..20_000_u32 {
            register.insert(u64::from(number) * 10, number as u16, 100, 0);
        }
        assert_eq!(register.ring.len(), Register::MOST);
        assert!(register.tell(19_999, true).is_some());
        assert!(register.tell(11_808, true).is_some());
        assert!(register.tell(11_807, true).is_none(), "pushed out");
        // Slow enough for the first size.
        let mut register = Register::default();
        for number in 0..20_000_u32 {
            register.insert(u64::from(number) * 9_000, number as u16, 100, 0);
        }
        assert_eq!(register.ring.len(), Register::FIRST);
    }
}
