//! The sending end of a hop. Keeps what it sent for a while, and sends it again when asked.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{FIRST, HopStats, LAST, PIECE, PIECE_HEAD, PIECES_MAX, TIP};

/// Datagrams kept to be sent again.
const KEPT_MAX: usize = 8_192;

/// Bytes kept to be sent again.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// How long a datagram is kept: past it, media is too late anyway.
const KEPT_FOR: Duration = Duration::from_millis(1_500);

/// Times one datagram is sent again.
const REPEATS_MAX: u8 = 6;

/// How soon one datagram is sent again at the earliest: two requests may have crossed it.
const REPEAT_AFTER: Duration = Duration::from_millis(4);

/// How long after the last datagram the other end is told that it was the last, and how often.
const TIP_AFTER: [Duration; 2] = [Duration::from_millis(15), Duration::from_millis(60)];

/// The sending end of a hop.
#[derive(Debug, Default)]
pub struct HopSender {
    /// Number of the next datagram.
    next: u64,
    /// Numbered without gaps, up to `next`.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    tips: usize,
    tip_at: Option<Instant>,
    stats: HopStats,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    at: Instant,
    repeats: u8,
}

impl HopSender {
    /// What it counted: `sent` and `resent`.
    pub fn stats(&self) -> HopStats {
        self.stats
    }

    /// Sends a message by datagrams of at most `room` bytes; false when it is too long for that.
    pub fn send(
        &mut self,
        now: Instant,
        message: &[u8],
        room: usize,
        mut send: impl FnMut(Bytes),
    ) -> bool {
        let room = room.saturating_sub(PIECE_HEAD);
        if room == 0 || message.len().div_ceil(room) > PIECES_MAX {
            return false;
        }
        let pieces = message.len().div_ceil(room).max(1);
        // Of equal size, rather than one full and one nearly empty.
        let size = message.len().div_ceil(pieces).max(1);
        for index in 0..pieces {
            let from = (index * size).min(message.len());
            let to = (from + size).min(message.len());
            let mut flags = if index == 0 { FIRST } else { 0 };
            flags |= if index + 1 == pieces { LAST } else { 0 };
            let mut bytes = BytesMut::with_capacity(PIECE_HEAD + to - from);
            bytes.put_u8(PIECE);
            bytes.put_u8(flags);
            bytes.put_u64(self.next);
            bytes.put_slice(&message[from..to]);
            let bytes = bytes.freeze();
            self.keep(now, bytes.clone());
            send(bytes);
        }
        self.tips = 0;
        self.tip_at = Some(now + TIP_AFTER[0]);
        true
    }

    fn keep(&mut self, now: Instant, bytes: Bytes) {
        self.next += 1;
        self.stats.sent += 1;
        self.kept_bytes += bytes.len();
        let (at, repeats) = (now, 0);
        self.kept.push_back(Kept { bytes, at, repeats });
        while let Some(oldest) = self.kept.front()
            && (self.kept.len() > KEPT_MAX
                || self.kept_bytes > KEPT_BYTES
                || oldest.at + KEPT_FOR < now)
        {
            self.kept_bytes -= oldest.bytes.len();
            self.kept.pop_front();
        }
    }

    /// The other end misses datagrams, see [`HopReceiver::handle`](super::HopReceiver::handle).
    pub fn on_missing(&mut self, now: Instant, numbers: &[u64], mut send: impl FnMut(Bytes)) {
        let oldest = self.next - self.kept.len() as u64;
        for number in numbers {
            let index = number.checked_sub(oldest).map(usize::try_from);
            let Some(kept) = index.and_then(|i| self.kept.get_mut(i.ok()?)) else {
                continue;
            };
            let is_repeat = kept.repeats > 0;
            if kept.repeats >= REPEATS_MAX || (is_repeat && now < kept.at + REPEAT_AFTER) {
                continue;
            }
            kept.repeats += 1;
            if is_repeat {
                kept.at = now;
            }
            self.stats.resent += 1;
            send(kept.bytes.clone());
        }
    }

    /// When [`HopSender::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tip_at
    }

    /// Tells the other end what was sent last, if nothing followed it.
    pub fn handle_timeout(&mut self, now: Instant, mut send: impl FnMut(Bytes)) {
        if self.tip_at.is_none_or(|at| now < at) {
            return;
        }
        let mut bytes = BytesMut::with_capacity(9);
        bytes.put_u8(TIP);
        bytes.put_u64(self.next);
        send(bytes.freeze());
        self.tips += 1;
        self.tip_at = TIP_AFTER.get(self.tips).map(|after| now + *after);
    }
}
