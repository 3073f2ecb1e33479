//! Messages over a carrier that loses datagrams, from one node to the next: each datagram has a number,
//! what is missing is asked for again, and a message that does not fit goes as several datagrams. Must not
//! look into messages, keep their order, or wait for what is lost: media that comes late is of no use.
//!
//! The form of a datagram, version 1, integers in network order; one byte says what it is:
//!
//! | kind | rest |
//! |---|---|
//! | 1 piece | flags (first, last of its message); number, 8 bytes; bytes of the message |
//! | 2 missing | numbers, 8 bytes each |
//! | 3 tip | the number that comes next, 8 bytes: nothing was sent of late |

mod receiver;
mod sender;

use bytes::Buf as _;

pub use receiver::{HopReceiver, Received};
pub use sender::HopSender;

const PIECE: u8 = 1;
const MISSING: u8 = 2;
const TIP: u8 = 3;

const FIRST: u8 = 1;
const LAST: u8 = 2;

/// Bytes of a piece before those of the message.
const PIECE_HEAD: usize = 10;

/// Pieces of one message.
const PIECES_MAX: usize = 16;

/// Numbers asked for by one datagram.
const ASKED_MAX: usize = 128;

/// What a hop counts, in one direction each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HopStats {
    /// Datagrams of messages, without repeats.
    pub sent: u64,
    /// Datagrams sent again because the other end asked.
    pub resent: u64,
    /// Datagrams of messages that came, each once.
    pub received: u64,
    /// Of these, such as came after they were asked for.
    pub recovered: u64,
    /// Datagrams that never came.
    pub lost: u64,
    /// Datagrams that were no use: twice, too late, or not of this form.
    pub useless: u64,
}

impl HopStats {
    /// Adds another hop.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.resent += other.resent;
        self.received += other.received;
        self.recovered += other.recovered;
        self.lost += other.lost;
        self.useless += other.useless;
    }
}

/// A datagram as it is read.
#[derive(Debug, PartialEq, Eq)]
enum Datagram<'a> {
    Piece {
        flags: u8,
        number: u64,
        bytes: &'a [u8],
    },
    Missing(Vec<u64>),
    Tip(u64),
}

impl<'a> Datagram<'a> {
    /// `None` for what is not of this form.
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let number = |bytes: &mut &[u8]| (bytes.len() >= 8).then(|| bytes.get_u64());
        let (kind, rest) = bytes.split_first()?;
        bytes = rest;
        match *kind {
            PIECE => {
                let (flags, rest) = bytes.split_first()?;
                bytes = rest;
                let number = number(&mut bytes)?;
                (*flags & !(FIRST | LAST) == 0).then_some(Self::Piece {
                    flags: *flags,
                    number,
                    bytes,
                })
            }
            MISSING => {
                let is_list = bytes.len().is_multiple_of(8) && bytes.len() / 8 <= ASKED_MAX;
                let mut numbers = Vec::new();
                while is_list && let Some(next) = number(&mut bytes) {
                    numbers.push(next);
                }
                is_list.then_some(Self::Missing(numbers))
            }
            TIP => number(&mut bytes).map(Self::Tip),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
