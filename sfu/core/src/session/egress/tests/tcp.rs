//! A TCP sender as far as it fills a queue: slow start, additive increase, and half the window after a
//! loss, once per round trip (RFC 5681). Must not hold data.

use std::time::Duration;

/// One TCP flow.
#[derive(Debug)]
pub(super) struct Tcp {
    /// One way, without the queue.
    pub(super) delay: Duration,
    /// Files with pauses in between.
    pub(super) is_short: bool,
    /// Mean pause between two files.
    pause: Duration,
    is_running: bool,
    /// Packets of the file left to send; `None` for one without end.
    left: Option<u32>,
    window: f64,
    threshold: f64,
    in_flight: u32,
    /// Losses of what was sent before this are those of one event.
    recovers_until: Duration,
    pub(super) delivered: u64,
}

impl Tcp {
    pub(super) fn long(delay: Duration) -> Self {
        Self {
            delay,
            is_short: false,
            pause: Duration::ZERO,
            is_running: false,
            left: None,
            window: 10.0,
            threshold: f64::MAX,
            in_flight: 0,
            recovers_until: Duration::ZERO,
            delivered: 0,
        }
    }

    pub(super) fn short(delay: Duration, pause: Duration) -> Self {
        Self {
            is_short: true,
            pause,
            ..Self::long(delay)
        }
    }

    /// A file of so many packets begins.
    pub(super) fn start(&mut self, now: Duration, packets: Option<u32>) {
        self.is_running = true;
        self.left = packets;
        self.window = 10.0;
        self.threshold = f64::MAX;
        self.recovers_until = now;
    }

    /// Whether a packet may be sent; it counts as sent.
    pub(super) fn takes_packet(&mut self) -> bool {
        let takes = self.is_running
            && f64::from(self.in_flight) < self.window
            && self.left.is_none_or(|left| left > 0);
        if takes {
            self.in_flight += 1;
            self.left = self.left.map(|left| left - 1);
        }
        takes
    }

    pub(super) fn on_ack(&mut self, now: Duration, lost: bool) {
        self.in_flight -= 1;
        if lost {
            self.left = self.left.map(|left| left + 1);
            if now >= self.recovers_until {
                self.threshold = (self.window / 2.0).max(2.0);
                self.window = self.threshold;
                // A round trip with a full queue.
                self.recovers_until = now + self.delay * 2 + Duration::from_millis(300);
            }
            return;
        }
        self.delivered += 1;
        self.window += if self.window < self.threshold {
            1.0
        } else {
            1.0 / self.window
        };
    }

    /// The mean pause before the next file, when one is done.
    pub(super) fn rest(&mut self) -> Option<Duration> {
        let is_done = self.is_running && self.left == Some(0) && self.in_flight == 0;
        if is_done {
            self.is_running = false;
        }
        is_done.then_some(self.pause)
    }
}
