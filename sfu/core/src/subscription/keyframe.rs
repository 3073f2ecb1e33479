//! Merges the keyframe requests of all subscribers of an encoding (RFC 4585, RFC 5104).
//!
//! Must not send: it only says when.

use std::time::{Duration, Instant};

/// Decides when a keyframe is asked for: as often as one can be answered and the publisher can spare, and never
/// forgotten.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyframeThrottle {
    /// Until when the next request waits.
    next: Option<Instant>,
    /// Until when the budget is spent, if each request takes [`KeyframeThrottle::EACH`].
    spent: Option<Instant>,
    /// The publisher's round trip time.
    rtt: Option<Duration>,
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

    /// A keyframe costs as much as several pictures: in the long run one is asked for in so long, however many
    /// viewers lose however much. Who begins is mostly served by what is kept of the last one.
    const EACH: Duration = Duration::from_secs(1);

    /// Requests that may follow each other by the least time.
    const BURST: u32 = 8;

    /// Somebody needs a keyframe. Says whether to ask for it now; else it is asked for later.
    /// `rtt` is the publisher's round trip time.
    #[must_use]
    pub(crate) fn request(&mut self, now: Instant, rtt: Option<Duration>) -> bool {
        self.rtt = rtt;
        if self.next.is_some_and(|next| now < next) {
            self.is_pending = true;
            return false;
        }
        let interval = rtt
            .unwrap_or_default()
            .clamp(Self::INTERVAL, Self::MAX_INTERVAL);
        let spent = self.spent.map_or(now, |spent| spent.max(now)) + Self::EACH;
        self.spent = Some(spent);
        let affordable = spent.checked_sub(Self::EACH * (Self::BURST - 1));
        self.next = Some(now + interval).max(affordable);
        self.is_pending = false;
        true
    }

    /// A keyframe came in: nothing is owed. The interval stays, so that a keyframe somebody just
    /// missed is not asked for again at once.
    pub(crate) fn on_keyframe(&mut self, now: Instant) {
        self.is_pending = false;
        self.came = Some(now);
    }

    /// Whether a request waits.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Whether no keyframe came for so long.
    pub(crate) fn is_without(&self, now: Instant, span: Duration) -> bool {
        self.came
            .is_none_or(|came| now.saturating_duration_since(came) >= span)
    }

    /// Lets time pass. Says whether to ask now for a keyframe that was requested earlier.
    #[must_use]
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.is_pending && self.request(now, self.rtt)
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
    fn viewers_that_ask_without_end_cost_the_publisher_one_keyframe_a_second() {
        let start = Instant::now();
        let mut throttle = KeyframeThrottle::default();
        let asked: Vec<u64> = (0..60_000)
            .step_by(10)
            .filter(|millis| throttle.request(start + Duration::from_millis(*millis), None))
            .collect();
        let first: Vec<_> = (0..8).map(|number| number * 500).collect();
        assert_eq!(asked[..8], first);
        assert!((60..=68).contains(&asked.len()), "{asked:?}");
        let widest = asked.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert_eq!(widest, Some(1_000));
        // After a while without requests they are as soon as before.
        let later = start + Duration::from_secs(120);
        assert!(throttle.request(later, None));
        assert!(throttle.request(later + Duration::from_millis(500), None));
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
