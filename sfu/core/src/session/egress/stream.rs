//! One outgoing RTP stream, with the stream that repairs it: its names, its numbers, and what its
//! receiver says of it. A stream lives as long as one subscription uses a section; the next one gets
//! new SSRCs, so that no key, SSRC and number ever come together twice (RFC 3711 section 9.1).

use std::time::{Duration, Instant};

use super::{
    header::ElementIds,
    history::{History, Origin, Sent},
    lane::Media,
};
use crate::{
    ahead::fetch,
    outbox::Route,
    rtcp::{NtpTime, SenderInfo},
    rtp::{Mid, Rewritten},
};

/// Payload types of a codec on a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PayloadType {
    pub(super) media: u8,
    /// Of its retransmission (RFC 4588), where the client takes one.
    pub(super) repair: Option<u8>,
}

/// Where a stream of plain RTP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlainRoutes {
    pub(crate) rtp: Route,
    /// Its reports.
    pub(crate) rtcp: Route,
}

/// An outgoing stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    /// Of the stream that repairs it; video has one.
    pub(super) repair_ssrc: Option<u32>,
    pub(super) ids: ElementIds,
    /// Where it goes as plain RTP.
    pub(super) plain: Option<PlainRoutes>,
    /// Carried by the first packets, until the client shows that it knows the stream.
    pub(super) mid: Option<Mid>,
    pub(super) history: History,
    /// Extended number of the next repairing packet.
    next_repair: u64,
    packets: u32,
    octets: u32,
    /// Of the newest packet: timestamp, when its media was captured, ticks per second.
    newest: Option<(u32, Instant, u32)>,
    /// Packets sent when the last report was made.
    reported: u32,
    /// When the two newest reports were made, and what had been sent by then: octets.
    samples: [Option<(Instant, u32)>; 2],
}

impl Stream {
    /// `first_repair` is below 32,768: a receiver guesses the rollover counter 0.
    pub(super) fn new(ssrc: u32, repair_ssrc: Option<u32>, first_repair: u16) -> Self {
        Self {
            ssrc,
            repair_ssrc,
            ids: ElementIds::default(),
            plain: None,
            mid: None,
            history: History::new(repair_ssrc.is_some()),
            next_repair: u64::from(first_repair >> 1),
            packets: 0,
            octets: 0,
            newest: None,
            reported: 0,
            samples: [None; 2],
        }
    }

    /// Takes note of a packet about to be sent; false when its number was used before. `clock` is the
    /// lane's.
    #[must_use]
    pub(super) fn admit(&mut self, media: &Media<'_>, clock: u64) -> bool {
        let origin = Origin {
            number: media.packet.sequence,
            encoding: media.encoding,
            payload_type: media.payload_type.media,
            is_empty: media.is_empty,
            starts_keyframe: media.packet.is_keyframe && !media.is_empty,
        };
        self.history.admit(&media.rewritten, &origin, clock)
    }

    /// Asks for what a next packet will touch.
    pub(super) fn fetch(&self) {
        fetch(&self.ssrc);
        fetch(&self.ids);
        fetch(&self.history);
        fetch(&self.packets);
        fetch(&self.newest);
    }

    /// Counts a packet that is sent now.
    pub(super) fn on_sent(
        &mut self,
        timestamp: u32,
        captured: Instant,
        rate: u32,
        payload_bytes: usize,
    ) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
        let is_newest = self
            .newest
            .is_none_or(|(newest, ..)| timestamp.wrapping_sub(newest).cast_signed() >= 0);
        if is_newest {
            self.newest = Some((timestamp, captured, rate));
        }
    }

    /// The number of the next repairing packet.
    pub(super) fn take_repair_number(&mut self) -> u64 {
        let number = self.next_repair;
        self.next_repair += 1;
        number
    }

    /// Whether any packet was sent.
    pub(super) fn has_sent(&self) -> bool {
        self.newest.is_some()
    }

    /// Whether a sender report has anything to say that the last one did not.
    pub(super) fn owes_report(&self) -> bool {
        self.packets != self.reported
    }

    /// What a sender report says now (RFC 3550 section 6.4.1): the moment `now` on the wall clock and
    /// on that of the stream. `None` before the first packet.
    pub(super) fn report(&mut self, now: Instant, wall: NtpTime) -> Option<SenderInfo> {
        let (timestamp, captured, rate) = self.newest?;
        self.reported = self.packets;
        let [_, newest] = self.samples;
        self.samples = [newest, Some((now, self.octets))];
        let ticks = |span: Duration| (span.as_micros() * u128::from(rate) / 1_000_000) as u32;
        // A capture time may lie ahead of us a little: clocks are estimates.
        let rtp = match now.checked_duration_since(captured) {
            Some(later) => timestamp.wrapping_add(ticks(later)),
            None => timestamp.wrapping_sub(ticks(captured - now)),
        };
        Some(SenderInfo {
            ssrc: self.ssrc,
            ntp: wall,
            rtp,
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Bits per second of late, of payload: between the newest reports, or since the newest when that is long
    /// ago. `None` before there is anything to go by.
    pub(super) fn bitrate(&self, now: Instant) -> Option<u64> {
        /// Reports of a stream that flows are a second apart.
        const STALE: Duration = Duration::from_millis(1_500);
        let [before, newest] = self.samples;
        let (at, octets) = newest?;
        let rate = |from: (Instant, u32), to: (Instant, u32)| {
            let millis = to.0.saturating_duration_since(from.0).as_millis();
            let bits = u128::from(to.1.wrapping_sub(from.1)) * 8_000;
            bits.checked_div(millis)
                .and_then(|rate| u64::try_from(rate).ok())
        };
        let is_stale = now.saturating_duration_since(at) > STALE;
        match before.filter(|_| !is_stale) {
            Some(before) => rate(before, (at, octets)),
            None if is_stale => rate((at, octets), (now, self.octets)),
            None => None,
        }
    }

    /// The client has seen the stream.
    pub(super) fn note_seen(&mut self) {
        self.mid = None;
    }

    /// Of the newest packet.
    pub(super) fn timestamp(&self) -> u32 {
        self.newest.map_or(0, |(timestamp, ..)| timestamp)
    }

    /// When the media of the newest packet was captured.
    pub(super) fn captured(&self) -> Option<Instant> {
        self.newest.map(|(_, captured, _)| captured)
    }

    /// Ticks per second of the newest packet's codec.
    pub(super) fn rate(&self) -> u32 {
        self.newest.map_or(90_000, |(.., rate)| rate)
    }

    /// Media of a packet that was sent, with its numbers.
    pub(super) fn rewritten(sent: &Sent) -> Rewritten {
        Rewritten {
            sequence: u64::from(sent.sequence),
            timestamp: sent.timestamp,
            marker: sent.marker,
            patch: sent.patch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_tie_the_streams_clock_to_the_wall() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let wall = NtpTime::from_unix(Duration::from_secs(1_000));
        let mut stream = Stream::new(7, None, 0);
        assert_eq!(stream.report(start, wall), None);
        stream.on_sent(u32::MAX, start, 48_000, 100);
        assert!(stream.owes_report());
        let report = stream.report(start + second, wall).unwrap();
        assert_eq!(
            (report.rtp, report.packets, report.octets),
            (47_999, 1, 100)
        );
        assert!(!stream.owes_report());
        // Captured ahead of now; and a late packet does not move the clock.
        stream.on_sent(48_000, start + 2 * second, 48_000, 50);
        stream.on_sent(24_000, start, 48_000, 50);
        let report = stream.report(start + second, wall).unwrap();
        assert_eq!((report.rtp, report.packets, report.octets), (0, 3, 200));
    }

    #[test]
    fn the_rate_is_that_between_reports_and_falls_with_silence() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let wall = NtpTime::from_unix(second);
        let mut stream = Stream::new(7, None, 0);
        assert_eq!(stream.bitrate(start), None);
        for step in 0..3 {
            stream.on_sent(step, start, 90_000, 1_000 * (step as usize + 1));
            stream.report(start + step * second, wall);
        }
        assert_eq!(stream.bitrate(start + 3 * second), Some(24_000));
        assert_eq!(stream.bitrate(start + 4 * second), Some(0));
    }
}
