//! What the link to one client takes, from what the client says: its own estimate (REMB) and the loss
//! it reports, by transport-wide feedback or receiver reports. Sits where a congestion controller with
//! delay and probing takes its place: it is told of every packet sent and of every feedback. Must not
//! choose layers. The reaction to loss is that of draft-ietf-rmcat-gcc-02 section 6.

use std::time::{Duration, Instant};

/// A packet that was sent with a transport-wide number.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    sequence: u16,
    /// Nothing was said of it yet.
    is_open: bool,
}

/// The estimate for one transport.
#[derive(Debug)]
pub(crate) struct Bandwidth {
    /// By the low bits of the transport-wide number; made with the first packet.
    register: Vec<Record>,
    /// What was sent, expected and lost since this moment.
    window: Window,
    is_transport_wide: bool,
    by_loss: Option<u64>,
    /// Windows in a row without loss.
    calm: u32,
    remb: Option<(u64, Instant)>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Instant,
    bytes_sent: u64,
    expected: u32,
    lost: u32,
}

impl Bandwidth {
    /// Packets of which feedback is understood. A power of two.
    const RECORDS: usize = 1_024;
    /// Loss is judged over so long, and over so many packets at least.
    const WINDOW: Duration = Duration::from_secs(1);
    const PACKETS_MIN: u32 = 20;
    const LOSS_HIGH: f64 = 0.10;
    const LOSS_LOW: f64 = 0.02;
    const INCREASE: f64 = 1.08;
    /// Bits per second below which no loss brings the estimate.
    const FLOOR: u64 = 100_000;
    /// After so many windows without loss the estimate is given up.
    const CALM: u32 = 30;
    /// How long a REMB holds; clients repeat it every second.
    const REMB_LIFE: Duration = Duration::from_secs(10);

    pub(super) fn new(now: Instant) -> Self {
        Self {
            register: Vec::new(),
            window: Window::new(now),
            is_transport_wide: false,
            by_loss: None,
            calm: 0,
            remb: None,
        }
    }

    /// A packet goes out, `bytes` long with its header.
    pub(super) fn on_sent(&mut self, transport_sequence: Option<u16>, bytes: usize) {
        self.window.bytes_sent += bytes as u64;
        let Some(sequence) = transport_sequence else {
            return;
        };
        if self.register.is_empty() {
            self.register = vec![Record::default(); Self::RECORDS];
        }
        if let Some(record) = self.register.get_mut(usize::from(sequence) % Self::RECORDS) {
            *record = Record {
                sequence,
                is_open: true,
            };
        }
    }

    /// Transport-wide feedback: per packet whether it arrived
    /// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    pub(super) fn on_transport_feedback(
        &mut self,
        now: Instant,
        arrivals: impl Iterator<Item = (u16, bool)>,
    ) {
        for (sequence, has_arrived) in arrivals {
            let record = self
                .register
                .get_mut(usize::from(sequence) % Self::RECORDS)
                .filter(|record| record.sequence == sequence && record.is_open);
            // A packet reported missing may still be reported as come: counted once, as it was first.
            if let Some(record) = record {
                record.is_open = false;
                self.is_transport_wide = true;
                self.window.expected += 1;
                self.window.lost += u32::from(!has_arrived);
            }
        }
        self.judge(now);
    }

    /// A receiver report: packets expected and lost since the one before.
    pub(super) fn on_report(&mut self, now: Instant, expected: u32, lost: u32) {
        // Both kinds tell of the same packets.
        if !self.is_transport_wide {
            self.window.expected = self.window.expected.saturating_add(expected);
            self.window.lost = self.window.lost.saturating_add(lost);
            self.judge(now);
        }
    }

    /// The client's own estimate, in bits per second.
    pub(super) fn on_remb(&mut self, now: Instant, bitrate: u64) {
        self.remb = Some((bitrate, now));
    }

    /// Bits per second that may be sent; `None` while nothing speaks against anything.
    pub(crate) fn budget(&self, now: Instant) -> Option<u64> {
        let remb = self
            .remb
            .filter(|(_, at)| now.saturating_duration_since(*at) < Self::REMB_LIFE)
            .map(|(bitrate, _)| bitrate);
        [remb, self.by_loss].into_iter().flatten().min()
    }

    fn judge(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.window.begun);
        if span < Self::WINDOW || self.window.expected < Self::PACKETS_MIN {
            return;
        }
        let Window {
            bytes_sent,
            expected,
            lost,
            ..
        } = std::mem::replace(&mut self.window, Window::new(now));
        let loss = f64::from(lost) / f64::from(expected);
        let sent = bytes_sent as f64 * 8.0 / span.as_secs_f64();
        if loss > Self::LOSS_HIGH {
            let reduced = (sent * (1.0 - 0.5 * loss)) as u64;
            let held = self.by_loss.map_or(reduced, |held| held.min(reduced));
            self.by_loss = Some(held.max(Self::FLOOR));
            self.calm = 0;
        } else if loss < Self::LOSS_LOW {
            self.calm += 1;
            self.by_loss = self
                .by_loss
                .map(|held| (held as f64 * Self::INCREASE) as u64)
                .filter(|_| self.calm < Self::CALM);
        }
    }
}

impl Window {
    fn new(begun: Instant) -> Self {
        Self {
            begun,
            bytes_sent: 0,
            expected: 0,
            lost: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of 100 packets of 1,250 bytes (1 Mbit/s), every so many-th lost.
    fn second(bandwidth: &mut Bandwidth, now: &mut Instant, first: u16, lost_each: u16) {
        for number in 0..100 {
            bandwidth.on_sent(Some(first + number), 1_250);
            *now += Duration::from_millis(10);
        }
        let arrivals = (0..100).map(|n| (first + n, lost_each == 0 || n % lost_each != 0));
        bandwidth.on_transport_feedback(*now, arrivals);
    }

    #[test]
    fn heavy_loss_lowers_the_estimate_and_calm_raises_and_lifts_it() {
        let mut now = Instant::now();
        let mut bandwidth = Bandwidth::new(now);
        second(&mut bandwidth, &mut now, 0, 0);
        assert_eq!(bandwidth.budget(now), None);
        second(&mut bandwidth, &mut now, 100, 20);
        assert_eq!(bandwidth.budget(now), None, "5 % is not congestion");
        second(&mut bandwidth, &mut now, 200, 5);
        assert_eq!(bandwidth.budget(now), Some(900_000));
        second(&mut bandwidth, &mut now, 300, 0);
        assert_eq!(bandwidth.budget(now), Some(972_000));
        for step in 0..29 {
            second(&mut bandwidth, &mut now, 400 + step * 100, 0);
        }
        assert_eq!(bandwidth.budget(now), None);
    }

    #[test]
    fn the_clients_own_estimate_holds_while_it_is_fresh() {
        let start = Instant::now();
        let mut bandwidth = Bandwidth::new(start);
        bandwidth.on_remb(start, 500_000);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(bandwidth.budget(later(9)), Some(500_000));
        assert_eq!(bandwidth.budget(later(11)), None);
    }

    #[test]
    fn reports_count_where_there_is_no_transport_wide_feedback() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let mut bandwidth = Bandwidth::new(start);
        for _ in 0..200 {
            bandwidth.on_sent(None, 1_250);
        }
        bandwidth.on_report(later, 200, 40);
        assert_eq!(bandwidth.budget(later), Some(900_000));
        let mut both = Bandwidth::new(start);
        both.on_sent(Some(1), 1_250);
        both.on_transport_feedback(start, [(1, true)].into_iter());
        both.on_report(later, 200, 40);
        assert_eq!(both.budget(later), None);
    }
}
