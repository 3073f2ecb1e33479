//! How what is published follows the link up, as in browsers: the encodings share what is estimated, the smallest
//! first, and what is encoded waits for its turn. Must not make packets.

use std::{collections::VecDeque, time::Duration};

use str0m::{bwe::Bitrate, media::Mid};

use super::{
    Client,
    publish::{Source, Write},
};
use crate::{connection::Outgoing, media::SourceKind, world::Clock};

/// What the estimate begins with.
pub(super) const INITIAL: Bitrate = Bitrate::kbps(300);

/// Sequence number and SSRC of a packet, as they stand on the wire.
pub(super) type OnWire = ([u8; 2], [u8; 4]);

/// What a link up takes, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// Bits per second, with headers; none while nothing is known.
    estimate: Option<u64>,
    /// What is wanted, at least and in all, as the engine was told. It probes from then on, on the stream that sent
    /// last: before any has sent it would choose another in each run.
    told: (u64, u64),
    has_sent: bool,
    /// Packets, and since when they wait: the engine is given one at a time, for among several of its streams it
    /// chooses in another order in each run.
    waiting: VecDeque<(Duration, Write)>,
    /// When the engine may be given the next: of streams that sent in one moment it prefers another in each run.
    next_at: Duration,
    /// The one that the engine has, and since when.
    in_hand: Option<(Duration, OnWire)>,
}

impl Uplink {
    /// Pictures are left out while others wait for longer.
    const BACKLOG: Duration = Duration::from_millis(250);
    /// From one packet to the next at least.
    const STEP: Duration = Duration::from_micros(100);
    /// What the engine has not sent for so long it never will.
    const LOST: Duration = Duration::from_secs(1);

    pub(super) fn on_estimate(&mut self, estimate: u64) {
        self.estimate = Some(estimate);
    }

    pub(super) fn has_backlog(&self, now: Duration) -> bool {
        let oldest = self.waiting.front();
        oldest.is_some_and(|(since, _)| now.saturating_sub(*since) > Self::BACKLOG)
    }

    pub(super) fn push(&mut self, now: Duration, write: Write) {
        self.waiting.push_back((now, write));
    }

    /// When the engine is to be given the next packet; none while it has one, or nothing waits.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let is_idle = self.in_hand.is_none() && !self.waiting.is_empty();
        is_idle.then_some(self.next_at)
    }

    /// A section goes out of use.
    pub(super) fn forget(&mut self, mid: Mid) {
        self.waiting.retain(|(_, write)| write.mid != mid);
    }

    /// Whether the engine may be given another packet, after it has sent these.
    fn is_free(&mut self, now: Duration, sent: &[Outgoing]) -> bool {
        let Some((since, (number, ssrc))) = self.in_hand else {
            return true;
        };
        let is_it =
            |bytes: &[u8]| bytes.get(2..4) == Some(&number) && bytes.get(8..12) == Some(&ssrc);
        let is_free = sent.iter().any(|datagram| is_it(&datagram.bytes))
            || now.saturating_sub(since) > Self::LOST;
        if is_free {
            self.in_hand = None;
            self.has_sent = true;
        }
        is_free
    }
}

impl Client {
    /// Bits per second that its link up is estimated to take.
    pub fn estimate(&self) -> Option<u64> {
        self.uplink.estimate
    }

    /// Gives the engine the next packet when it has sent the one before.
    pub(super) fn send_next(&mut self, clock: &Clock, out: &mut Vec<Outgoing>) {
        let now = clock.now;
        if !self.uplink.is_free(now, out) || now < self.uplink.next_at {
            return;
        }
        let Some((_, write)) = self.uplink.waiting.pop_front() else {
            return;
        };
        self.uplink.next_at = now + Uplink::STEP;
        self.uplink.in_hand = self.write(clock, write).map(|name| (now, name));
        let (mut events, sent) = (Vec::new(), out.len());
        if let Some(publisher) = &mut self.publisher {
            publisher.nudge(clock.instant());
            publisher.drain(clock.instant(), out, &mut events);
        }
        for event in events {
            self.on_publisher_event(event);
        }
        self.uplink.is_free(now, &out[sent..]);
    }

    /// Shares what the link is estimated to take among the encodings: sound first, then the smaller ones.
    pub(super) fn share_link(&mut self) {
        /// Headers, and what is sent again.
        const OF_MEDIA: f64 = 0.9;
        /// Bits per second of a voice, with headers.
        const SOUND: u64 = 50_000;
        let Some(estimate) = self.uplink.estimate else {
            return;
        };
        let is_flowing = |source: &&mut Source| !source.is_still && !source.is_gone;
        let of_kind = |kind| move |source: &&mut Source| source.kind == kind;
        let voices = self.sources.iter_mut().filter(is_flowing);
        let sound = voices.filter(of_kind(SourceKind::Audio)).count() as u64 * SOUND;
        let mut left = (estimate as f64 * OF_MEDIA) as u64;
        left = left.saturating_sub(sound);
        let cameras = self.sources.iter_mut().filter(is_flowing);
        let mut cameras: Vec<_> = cameras.filter(of_kind(SourceKind::Video)).collect();
        let (mut floor, mut wanted) = (sound, sound);
        let count = cameras.len() as u64;
        for (number, source) in cameras.iter_mut().enumerate() {
            let part = left / (count - number as u64);
            let share = source.share(part);
            left -= share.taken.min(left);
            floor += share.next_at;
            wanted += share.wanted;
        }
        let with_headers = |bits: u64| (bits as f64 / OF_MEDIA) as u64;
        let told = (with_headers(floor), with_headers(wanted));
        if told != self.uplink.told
            && self.uplink.has_sent
            && let Some(publisher) = &mut self.publisher
        {
            self.uplink.told = told;
            let [floor, wanted] = [told.0, told.1].map(Bitrate::from);
            publisher.engine().bwe().set_bitrate(floor, wanted);
        }
    }
}

/// What became of the share of a source, in bits per second of payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Share {
    taken: u64,
    /// With what one more encoding would take at least.
    next_at: u64,
    /// What all encodings would take that anybody looks at.
    wanted: u64,
}

impl Source {
    /// An encoding is worth its while from this part of its rate on, and so much more is there before it begins.
    const FLOOR: f64 = 0.35;
    const MARGIN: f64 = 1.2;
    /// The smallest goes on with this part of its rate.
    const LEAST: f64 = 0.1;

    /// Gives the encodings so many bits per second: each what it wants, the smallest first, the rest to the one
    /// above, and nothing to those for which too little is left.
    fn share(&mut self, bits: u64) -> Share {
        let mut share = Share::default();
        let mut is_full = false;
        let mut is_least = true;
        for (index, encoder) in self.encoders.iter_mut().enumerate() {
            if encoder.is_off || encoder.is_stopped {
                continue;
            }
            let whole = self.settings.bitrate_of(index);
            share.wanted += whole;
            let left = bits.saturating_sub(share.taken);
            let floor = whole as f64 * Self::FLOOR;
            let needed = match encoder.is_starved {
                true => floor * Self::MARGIN,
                false => floor,
            };
            let is_starved = is_full || !is_least && (left as f64) < needed;
            if is_starved && !is_full {
                share.next_at = share.taken + (floor * Self::MARGIN) as u64;
            }
            encoder.wants_key |= encoder.is_starved && !is_starved;
            encoder.is_starved = is_starved;
            if !is_starved {
                // Pictures do not become worse without end: some are left out then.
                let part = (left as f64 / whole.max(1) as f64).clamp(Self::LEAST, 1.0);
                encoder.scale = part.max(Self::FLOOR);
                encoder.pictures = part / encoder.scale;
                share.taken += (whole as f64 * part) as u64;
            }
            is_full |= is_starved;
            is_least = false;
        }
        share.next_at = share.next_at.max(share.taken);
        share
    }
}
