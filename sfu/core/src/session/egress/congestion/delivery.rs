//! What arrives: how many bits per second, and how much longer packets are under way than at best, which
//! is the queue on the link. Must not choose a rate.

/// The newest arrivals, on the client's clock in microseconds.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Bytes by the time of arrival, and which span each place holds.
    bytes: [(i64, u32); Self::SPANS],
    begun: Option<i64>,
    newest: i64,
    /// The least time under way, with an offset of the two clocks that nobody knows: of the span that
    /// fills and of the one before.
    recent: [(i64, i64); 2],
    /// The same of a long time.
    base: [(i64, i64); Self::BASES],
}

impl Delivery {
    const SPANS: usize = 16;
    const SPAN: i64 = 25_000;
    /// Spans that a rate is made of.
    const RATE: i64 = 10;
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
            recent: [(i64::MIN, i64::MAX); 2],
            base: [(i64::MIN, i64::MAX); Self::BASES],
        }
    }

    /// A packet arrived.
    pub(super) fn on_arrival(&mut self, sent: u64, arrival: i64, bytes: u16) {
        self.begun.get_or_insert(arrival);
        self.newest = self.newest.max(arrival);
        let span = arrival.div_euclid(Self::SPAN);
        let index = span.rem_euclid(Self::SPANS as i64) as usize;
        if let Some(place) = self.bytes.get_mut(index) {
            match span.cmp(&place.0) {
                std::cmp::Ordering::Greater => *place = (span, bytes.into()),
                std::cmp::Ordering::Equal => place.1 += u32::from(bytes),
                std::cmp::Ordering::Less => {}
            }
        }
        let under_way = arrival - i64::try_from(sent).unwrap_or(i64::MAX);
        let recent = arrival.div_euclid(Self::RECENT);
        keep_least(&mut self.recent, recent, under_way);
        keep_least(&mut self.base, arrival.div_euclid(Self::BASE), under_way);
    }

    /// Bits per second that arrive; `None` while too little is known.
    pub(super) fn rate(&self) -> Option<f64> {
        let last = self.newest.div_euclid(Self::SPAN);
        // The span that fills says too little.
        let first = last - Self::RATE;
        let known = self.newest - self.begun?;
        if known < Self::LEAST {
            return None;
        }
        let bytes: u32 = self
            .bytes
            .iter()
            .filter(|(span, _)| (first..last).contains(span))
            .map(|(_, bytes)| bytes)
            .sum();
        let time = (Self::RATE * Self::SPAN).min(known);
        Some(f64::from(bytes) * 8e6 / time as f64)
    }

    /// How much longer than at best packets were under way at least in the last fifth of a second, in
    /// milliseconds: the queue that did not go away meanwhile.
    pub(super) fn queue(&self) -> f64 {
        let least = |kept: &[(i64, i64)]| kept.iter().map(|(_, least)| *least).min();
        let newest = self.newest.div_euclid(Self::RECENT);
        let recent = self
            .recent
            .iter()
            .filter(|(span, _)| *span >= newest - 1)
            .map(|(_, least)| *least)
            .min();
        match (recent, least(&self.base)) {
            (Some(recent), Some(base)) if recent < i64::MAX && base < i64::MAX => {
                (recent - base).max(0) as f64 / 1e3
            }
            _ => 0.0,
        }
    }

    /// Forgets how long packets are under way: the route is another one.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

/// Keeps the least value of each span, in place of the span so much older.
fn keep_least<const N: usize>(kept: &mut [(i64, i64); N], span: i64, value: i64) {
    let Some(place) = kept.get_mut(span.rem_euclid(N as i64) as usize) else {
        return;
    };
    match span.cmp(&place.0) {
        std::cmp::Ordering::Greater => *place = (span, value),
        std::cmp::Ordering::Equal => place.1 = place.1.min(value),
        std::cmp::Ordering::Less => {}
    }
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
