//! Merges the keyframe requests of all subscribers of an encoding (RFC 4585, RFC 5104).
//!
//! Must not send: it only says when.

use std::time::{Duration, Instant};

/// Decides when a keyframe is asked for: as often as one can be answered, and never forgotten.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyframeThrottle {
    /// When the last request was sent, and until when the next one waits.
    sent: Option<(Instant, Instant)>,
    /// A request that came meanwhile, to be sent unless a keyframe comes first.
    is_pending: bool,
    /// When the newest keyframe came.
    came: Option<Instant>,
}

impl KeyframeThrottle {
    /// The least time between two requests.
    const INTERVAL: Duration = Duration::from_millis(500);

    /// The most that is waited for a slow publisher.
    const MAX_INTERVAL: Duration = Duration::from_secs(3);

    /// Somebody needs a keyframe. Says whether to ask for it now; else it is asked for later.
    /// `rtt` is the publisher's round trip time.
    #[must_use]
    pub(crate) fn request(&mut self, now: Instant, rtt: Option<Duration>) -> bool {
        if self.sent.is_some_and(|(_, next)| now < next) {
            self.is_pending = true;
            return false;
        }
        let interval = rtt
            .unwrap_or_default()
            .clamp(Self::INTERVAL, Self::MAX_INTERVAL);
        self.sent = Some((now, now + interval));
        self.is_pending = false;
        true
    }

    /// A keyframe came in: nothing is owed. The interval stays, so that a keyframe somebody just
    /// missed is not asked for again at once.
    pub(crate) fn on_keyframe(&mut self, now: Instant) {
        self.is_pending = false;
        self.came = Some(now);
    }

    /// Whether no keyframe came for so long.
    pub(crate) fn is_without(&self, now: Instant, span: Duration) -> bool {
        self.came
            .is_none_or(|came| now.saturating_duration_since(came) >= span)
    }

    /// Lets time pass. Says whether to ask now for a keyframe that was requested earlier.
    #[must_use]
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.is_pending && {
            let rtt = self
                .sent
                .map(|(sent, next)| next.saturating_duration_since(sent));
            self.request(now, rtt)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    enum Do {
        /// A request, and whether it is sent.
        Request(bool),
        Keyframe,
        /// A timeout, and whether a request is sent.
        Timeout(bool),
    }
    use Do::{Keyframe, Request, Timeout};

    #[test]
    fn requests_are_merged_and_not_forgotten() {
        // milliseconds, what happens, whether a request waits afterwards
        let table = [
            (0, Request(true), false),
            (10, Request(false), true),
            (20, Request(false), true),
            (499, Timeout(false), true),
            (500, Timeout(true), false),
            (501, Timeout(false), false),
            (600, Request(false), true),
            (700, Keyframe, false),
            (1_000, Timeout(false), false),
            (1_001, Request(true), false),
            (1_100, Keyframe, false),
            (1_200, Request(false), true),
            (2_000, Request(true), false),
        ];
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut throttle = KeyframeThrottle::default();
        for (millis, action, waits) in table {
            match action {
                Request(sent) => assert_eq!(throttle.request(at(millis), None), sent, "{millis}"),
                Keyframe => {
                    throttle.on_keyframe(at(millis));
                    let span = Duration::from_millis(100);
                    assert!(!throttle.is_without(at(millis + 99), span), "{millis}");
                    assert!(throttle.is_without(at(millis + 100), span), "{millis}");
                }
                Timeout(sent) => assert_eq!(throttle.handle_timeout(at(millis)), sent, "{millis}"),
            }
            assert_eq!(throttle.is_pending, waits, "{millis}");
        }
    }

    #[test]
    fn a_slow_publisher_is_asked_less_often() {
        let start = Instant::now();
        for (rtt, interval) in [(1, 500), (800, 800), (60_000, 3_000)] {
            let mut throttle = KeyframeThrottle::default();
            let rtt = Some(Duration::from_millis(rtt));
            let next = start + Duration::from_millis(interval);
            assert!(throttle.request(start, rtt));
            assert!(!throttle.request(next - Duration::from_millis(1), rtt));
            assert!(throttle.handle_timeout(next));
            assert!(!throttle.request(next + Duration::from_millis(interval - 1), rtt));
        }
    }
}
