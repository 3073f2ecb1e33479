//! What arrives: how many bits per second, and how much longer packets are under way than at best, which
//! is the queue on the link. Must not choose a rate.

/// The newest arrivals, on the client's clock in microseconds.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Bytes by the time of arrival, and which span each place holds.
    bytes: [(i64, u32); Self::SPANS],
    begun: Option<i64>,
    newest: i64,
    /// How long the newest arrival was under way, with the same offset as the others.
    newest_under_way: i64,
    /// When a packet last came that had hardly queued, and the bytes that came since.
    busy: (i64, u64),
    /// The least time under way, with an offset of the two clocks that nobody knows: of the span that
    /// fills and of the one before.
    recent: [(i64, i64); 2],
    /// The same of a long time.
    base: [(i64, i64); Self::BASES],
    /// The least of these.
    least: i64,
}

impl Delivery {
    const SPANS: usize = 16;
    const SPAN: i64 = 25_000;
    /// Spans that a rate is made of.
    const RATE: i64 = 10;
    /// The same of late.
    const LATE: i64 = 4;
    /// What queued for less hardly did, in microseconds.
    const HARDLY: i64 = 8_000;
    /// A rate of less than that would be a guess, in microseconds.
    const LEAST: i64 = 100_000;

    const RECENT: i64 = 100_000;
    /// What was the least time under way is forgotten after a minute: routes and clocks change.
    const BASES: usize = 6;
    const BASE: i64 = 10_000_000;

    pub(super) fn new() -> Self {
        Self {
            bytes: [(i64::MIN, 0); Self::SPANS],
            begun: None,
            newest: i64::MIN,
            newest_under_way: i64::MAX,
            busy: (i64::MIN, 0),
            recent: [(i64::MIN, i64::MAX); 2],
            base: [(i64::MIN, i64::MAX); Self::BASES],
            least: i64::MAX,
        }
    }

    /// A packet arrived.
    pub(super) fn on_arrival(&mut self, sent: u64, arrival: i64, bytes: u16) {
        self.begun.get_or_insert(arrival);
        let under_way = arrival - i64::try_from(sent).unwrap_or(i64::MAX);
        if arrival >= self.newest {
            (self.newest, self.newest_under_way) = (arrival, under_way);
        }
        let span = arrival.div_euclid(Self::SPAN);
        let index = span.rem_euclid(Self::SPANS as i64) as usize;
        if let Some(place) = self.bytes.get_mut(index) {
            match span.cmp(&place.0) {
                std::cmp::Ordering::Greater => *place = (span, bytes.into()),
                std::cmp::Ordering::Equal => place.1 += u32::from(bytes),
                std::cmp::Ordering::Less => {}
            }
        }
        let recent = arrival.div_euclid(Self::RECENT);
        keep_least(&mut self.recent, recent, under_way);
        if keep_least(&mut self.base, arrival.div_euclid(Self::BASE), under_way) {
            let kept = self.base.iter().map(|(_, least)| *least);
            self.least = kept.min().unwrap_or(i64::MAX);
        }
        if under_way.saturating_sub(self.least) < Self::HARDLY {
            self.busy = (arrival, 0);
        } else {
            self.busy.1 += u64::from(bytes);
        }
    }

    /// Bits per second that arrive; `None` while too little is known.
    pub(super) fn rate(&self) -> Option<f64> {
        let known = self.newest - self.begun?;
        if known < Self::LEAST {
            return None;
        }
        let time = (Self::RATE * Self::SPAN).min(known);
        Some(self.bits_in(Self::RATE) * 1e6 / time as f64)
    }

    /// The same in the last tenth of a second, which wavers more.
    pub(super) fn rate_of_late(&self) -> f64 {
        self.bits_in(Self::LATE) * 1e6 / (Self::LATE * Self::SPAN) as f64
    }

    /// What arrived in the newest spans, without the one that fills: that says too little.
    fn bits_in(&self, spans: i64) -> f64 {
        let last = self.newest.div_euclid(Self::SPAN);
        let first = last.saturating_sub(spans);
        let bytes = self.bytes.iter();
        let bytes: u32 = bytes
            .filter(|(span, _)| (first..last).contains(span))
            .map(|(_, bytes)| bytes)
            .sum();
        f64::from(bytes) * 8.0
    }

    /// How much longer than at best packets were under way at least in the last fifth of a second, in
    /// milliseconds: the queue that did not go away meanwhile.
    pub(super) fn queue(&self) -> f64 {
        let newest = self.newest.div_euclid(Self::RECENT);
        let recent = self
            .recent
            .iter()
            .filter(|(span, _)| *span >= newest - 1)
            .map(|(_, least)| *least)
            .min();
        self.above_base(recent.unwrap_or(i64::MAX))
    }

    /// The same of the newest arrival alone.
    pub(super) fn newest_queue(&self) -> f64 {
        self.above_base(self.newest_under_way)
    }

    /// Bits per second that arrive since packets queue, or in the last tenth of a second when that is longer.
    pub(super) fn busy_rate(&self) -> f64 {
        let (since, bytes) = self.busy;
        let span = self.newest.saturating_sub(since);
        if bytes == 0 || span > Self::LATE * Self::SPAN {
            return self.rate_of_late();
        }
        bytes as f64 * 8e6 / span.max(1) as f64
    }

    /// Milliseconds above the least time under way of the last minute.
    fn above_base(&self, under_way: i64) -> f64 {
        if under_way == i64::MAX {
            return 0.0;
        }
        under_way.saturating_sub(self.least).max(0) as f64 / 1e3
    }

    /// Forgets how long packets are under way: the route is another one.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

/// Keeps the least value of each span, in place of the span so much older. True when what is kept changed.
fn keep_least<const N: usize>(kept: &mut [(i64, i64); N], span: i64, value: i64) -> bool {
    let Some(place) = kept.get_mut(span.rem_euclid(N as i64) as usize) else {
        return false;
    };
    let is_kept = span > place.0 || span == place.0 && value < place.1;
    if is_kept {
        *place = (span, value);
    }
    is_kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_quarter_of_a_second() {
        let mut delivery = Delivery::new();
        let mut arrive = |from: i64, count: i64, step: i64| {
            for number in 0..count {
                let at = from + number * step;
                delivery.on_arrival(at as u64, at + 7_000_000, 1_250);
            }
            delivery.rate()
        };
        assert_eq!(arrive(0, 5, 10_000), None);
        let rate = arrive(50_000, 100, 10_000).unwrap();
        assert!((0.95e6..1.05e6).contains(&rate), "{rate}");
        let rate = arrive(1_050_000, 30, 20_000).unwrap();
        assert!((0.45e6..0.55e6).contains(&rate), "{rate}");
    }

    #[test]
    fn the_queue_is_what_stays_above_the_least_ever() {
        let mut delivery = Delivery::new();
        let mut play = |from: i64, millis: i64, under_way: &dyn Fn(i64) -> i64| {
            for number in 0..millis / 5 {
                let sent = from + number * 5_000;
                delivery.on_arrival(sent as u64, sent + under_way(number), 500);
            }
            delivery.queue()
        };
        // Clocks far apart; jitter up to 20 ms is no queue.
        let offset = -1_000_000_000;
        let jitter = |number: i64| offset + (number * 7_919 % 5) * 5_000;
        assert!(play(0, 1_000, &jitter) < 1.0);
        let queued = play(1_000_000, 500, &|number| jitter(number) + 80_000);
        assert!((79.0..81.0).contains(&queued), "{queued}");
        assert!(play(1_500_000, 500, &jitter) < 1.0);
        // A route that is longer by itself is taken for a queue for a minute.
        let longer = |number: i64| jitter(number) + 30_000;
        assert!(play(2_000_000, 1_000, &longer) > 29.0);
        assert!(play(3_000_000, 70_000, &longer) < 1.0);
    }
}
