//! One source of plain RTP: which of its packets came, in which order they count, and what a receiver says of
//! them (RFC 3550 sections 6.4.1 and A). Must not look into payloads.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{
    rtcp::{ReportBlock, SenderInfo, duration_to_compact},
    rtp::{Header, Seen, Ssrc},
};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Its extended number.
    At(u64),
    /// It came before.
    Copy,
    /// It fits nothing that came lately: perhaps of a source that began anew.
    Strange,
}

/// A source that sends.
#[derive(Debug)]
pub(super) struct Source {
    /// As it calls itself.
    pub(super) ssrc: u32,
    /// As the rest of the session knows it: another one whenever the numbers begin anew.
    pub(super) name: Ssrc,
    /// The newest sender report: wall time of the sender, and RTP time.
    pub(super) report: Option<(SystemTime, u32)>,
    rate: u32,
    first: u64,
    highest: u64,
    received: u64,
    seen: Seen,
    /// Of the interarrival jitter: when the clock of arrivals began, the last transit time, and 16 times its mean
    /// change, in ticks.
    begun: Instant,
    transit: Option<u32>,
    jitter: u32,
    /// What was expected and received when it was last reported.
    reported: (u64, u64),
    /// Compact NTP time of the newest sender report, and when it came.
    last_report: Option<(u32, Instant)>,
    /// Packets put into the stream here, up to the number from which on the newest counts, and from there on.
    inserted: (u64, u64),
    inserted_at: u64,
}

impl Source {
    /// One whose first packet has this header; `rate` is of its clock, in ticks per second.
    pub(super) fn new(now: Instant, name: Ssrc, header: &Header, rate: u32) -> Self {
        // A little above zero: what was sent before may come after.
        let first = u64::from(header.sequence) + (1 << 16);
        Self {
            ssrc: header.ssrc,
            name,
            report: None,
            rate,
            first,
            highest: first,
            received: 0,
            seen: Seen::default(),
            begun: now,
            transit: None,
            jitter: 0,
            reported: (0, 0),
            last_report: None,
            inserted: (0, 0),
            inserted_at: 0,
        }
    }

    /// Takes note of a packet.
    pub(super) fn place(&mut self, now: Instant, header: &Header) -> Place {
        // RFC 3550 appendix A.1, the latter wider: cameras on wireless networks send bursts.
        const AHEAD_MAX: i16 = 3_000;
        const BEHIND_MAX: i16 = 500;
        let ahead = header
            .sequence
            .wrapping_sub(self.highest as u16)
            .cast_signed();
        if !(-BEHIND_MAX..=AHEAD_MAX).contains(&ahead) {
            return Place::Strange;
        }
        let number = self.highest.saturating_add_signed(i64::from(ahead));
        if !self.seen.admit(number) {
            return Place::Copy;
        }
        self.highest = self.highest.max(number);
        self.first = self.first.min(number);
        self.received += 1;
        self.measure(now, header.timestamp);
        Place::At(number)
    }

    /// RFC 3550 appendix A.8.
    fn measure(&mut self, now: Instant, timestamp: u32) {
        let since = now.saturating_duration_since(self.begun).as_micros();
        let arrival = (since * u128::from(self.rate) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let change = transit.wrapping_sub(before).cast_signed().unsigned_abs();
            let decay = (self.jitter + 8) >> 4;
            self.jitter = self.jitter.saturating_add(change) - decay;
        }
    }

    /// The number of a packet among those that go on, with what is put between them.
    pub(super) fn number(&self, number: u64) -> u64 {
        let (before, after) = self.inserted;
        number
            + if number < self.inserted_at {
                before
            } else {
                after
            }
    }

    /// Puts a packet in front of that number; returns its own.
    pub(super) fn insert_before(&mut self, number: u64) -> u64 {
        let own = self.number(number);
        self.inserted = (self.inserted.1, self.inserted.1 + 1);
        self.inserted_at = number;
        own
    }

    /// The sender told how its clocks go together.
    pub(super) fn on_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.last_report = Some((info.ntp.compact(), now));
        self.report = info
            .ntp
            .to_unix()
            .map(|wall| (UNIX_EPOCH + wall, info.rtp))
            .or(self.report);
    }

    /// What a receiver report says of it now, and how many packets were to come since the one before.
    pub(super) fn block(&mut self, now: Instant) -> (ReportBlock, u32) {
        let expected = self.highest - self.first + 1;
        let (expected_before, received_before) = self.reported;
        let expected_now = expected.saturating_sub(expected_before);
        let lost_now = expected_now.saturating_sub(self.received - received_before);
        self.reported = (expected, self.received);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        let lost = expected.cast_signed() - self.received.cast_signed();
        let (last_sr, delay) = self.last_report.map_or((0, 0), |(compact, came)| {
            (
                compact,
                duration_to_compact(now.saturating_duration_since(came)),
            )
        });
        let block = ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            // Cycles count from the first packet.
            highest_sequence: (self.highest - (1 << 16)) as u32,
            jitter: self.jitter >> 4,
            last_sr,
            delay,
        };
        (block, u32::try_from(expected_now).unwrap_or(u32::MAX))
    }

    /// Of the interarrival jitter, as time.
    pub(super) fn jitter(&self) -> Duration {
        let ticks = u64::from(self.jitter >> 4);
        Duration::from_micros(ticks * 1_000_000 / u64::from(self.rate.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::NtpTime;

    const RATE: u32 = 90_000;

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header {
            payload_type: 96,
            marker: false,
            sequence,
            timestamp,
            ssrc: 7,
            payload: 12..12,
        }
    }

    fn source(now: Instant, first: u16) -> Source {
        Source::new(now, Ssrc::from(1), &header(first, 0), RATE)
    }

    #[test]
    fn numbers_go_on_over_the_wrap_and_copies_are_known() {
        let now = Instant::now();
        let mut source = source(now, 65_534);
        let base = 65_534 + 65_536;
        for (sequence, expected) in [
            (65_534, Place::At(base)),
            (1, Place::At(base + 3)),
            (65_535, Place::At(base + 1)),
            (65_535, Place::Copy),
            (65_533, Place::At(base - 1)),
            (5_000, Place::Strange),
            (64_000, Place::Strange),
            (2, Place::At(base + 4)),
        ] {
            assert_eq!(
                source.place(now, &header(sequence, 0)),
                expected,
                "{sequence}"
            );
        }
    }

    #[test]
    fn what_is_put_in_shifts_what_follows() {
        let now = Instant::now();
        let mut source = source(now, 0);
        assert_eq!(source.number(100), 100);
        assert_eq!(source.insert_before(101), 101);
        assert_eq!((source.number(101), source.number(100)), (102, 100));
        assert_eq!(source.insert_before(110), 111);
        assert_eq!((source.number(110), source.number(109)), (112, 110));
    }

    #[test]
    fn a_report_tells_loss_and_jitter_and_the_senders_clock() {
        let origin = Instant::now();
        let mut source = source(origin, 10);
        // Two of every eight are lost; every other one comes 10 ms late.
        for sequence in (10..90_u16).filter(|n| n % 4 != 0) {
            let late = if sequence % 2 == 0 { 10 } else { 0 };
            let at = origin + Duration::from_millis(u64::from(sequence) * 20 + late);
            source.place(at, &header(sequence, u32::from(sequence) * 1_800));
        }
        let info = SenderInfo {
            ssrc: 7,
            ntp: NtpTime::from_unix(Duration::from_millis(1_700_000_000_500)),
            rtp: 160_200,
            packets: 80,
            octets: 1,
        };
        let came = origin + Duration::from_secs(2);
        source.on_sender_report(came, &info);
        let (block, packets) = source.block(came + Duration::from_millis(500));
        assert_eq!((block.cumulative_lost, block.highest_sequence), (20, 89));
        assert_eq!(packets, 80);
        assert!((60..=66).contains(&block.fraction_lost), "{block:?}");
        assert!((300..=900).contains(&block.jitter), "{block:?}");
        assert_eq!((block.last_sr, block.delay), (info.ntp.compact(), 1 << 15));
        let (wall, rtp) = source.report.expect("the sender's clock");
        let since = wall.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!((since.as_millis(), rtp), (1_700_000_000_500, 160_200));
        let (quiet, none) = source.block(came + Duration::from_secs(1));
        assert_eq!((quiet.fraction_lost, quiet.cumulative_lost), (0, 20));
        assert_eq!(none, 0);
    }
}
