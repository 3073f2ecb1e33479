//! What arrives: how many bits per second, and how much longer packets are under way than at best, which
//! is the queue on the link. Must not choose a rate.

use std::cmp::Ordering;

/// The newest arrivals, on the client's clock in microseconds.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Bytes by the time of arrival, and which span each place holds.
    bytes: [(i64, u32); Self::SPANS],
    begun: Option<i64>,
    newest: i64,
    /// When the newest arrival was sent, and how long it was under way, with the same offset as the others.
    newest_sent: i64,
    newest_under_way: i64,
    /// The same of one that was sent some time before, and of one twice that before.
    marks: [(i64, i64); 2],
    /// When a packet last came that had hardly queued, and the bytes that came since.
    busy: (i64, u64),
    /// When nothing came for a while of late: the last arrival before, and what has come since.
    stall: Option<(i64, u64)>,
    /// The least time under way, with an offset of the two clocks that nobody knows: of the newest two spans in
    /// which something arrived, the older first.
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

    /// Who stands still for so long takes what came meanwhile at once: that says nothing of a moment's rate.
    const STALL: i64 = 4 * Self::SPAN;

    /// Microseconds of sending that growth is seen in at least, and the share of them by which the way is longer then.
    const MARK: i64 = 50_000;
    const GROWS: f64 = 0.3;

    const RECENT: i64 = 100_000;
    /// What was so long ago says nothing of the queue of now.
    const BYGONE: i64 = 1_000_000 / Self::RECENT;
    /// What was the least time under way is forgotten after a minute: routes and clocks change.
    const BASES: usize = 6;
    const BASE: i64 = 10_000_000;

    pub(super) fn new() -> Self {
        Self {
            bytes: [(i64::MIN, 0); Self::SPANS],
            begun: None,
            newest: i64::MIN,
            newest_sent: i64::MIN,
            newest_under_way: i64::MAX,
            marks: [(i64::MIN, i64::MAX); 2],
            busy: (i64::MIN, 0),
            stall: None,
            recent: [(i64::MIN, i64::MAX); 2],
            base: [(i64::MIN, i64::MAX); Self::BASES],
            least: i64::MAX,
        }
    }

    /// A packet arrived.
    pub(super) fn on_arrival(&mut self, sent: u64, arrival: i64, bytes: u16) {
        self.begun.get_or_insert(arrival);
        let sent = i64::try_from(sent).unwrap_or(i64::MAX);
        let under_way = arrival - sent;
        self.note_stall(arrival, bytes);
        if arrival >= self.newest {
            (self.newest, self.newest_under_way) = (arrival, under_way);
            self.newest_sent = sent;
            if sent.saturating_sub(self.marks[1].0) >= Self::MARK {
                self.marks = [self.marks[1], (sent, under_way)];
            }
        }
        let span = arrival.div_euclid(Self::SPAN);
        let index = span.rem_euclid(Self::SPANS as i64) as usize;
        if let Some(place) = self.bytes.get_mut(index) {
            match span.cmp(&place.0) {
                Ordering::Greater => *place = (span, bytes.into()),
                Ordering::Equal => place.1 += u32::from(bytes),
                Ordering::Less => {}
            }
        }
        self.note_recent(arrival.div_euclid(Self::RECENT), under_way);
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

    /// To be told of an arrival before it counts as the newest.
    fn note_stall(&mut self, arrival: i64, bytes: u16) {
        let before = self.newest;
        if before != i64::MIN && arrival - before >= Self::STALL {
            self.stall = Some((before, bytes.into()));
        } else if let Some((since, came)) = &mut self.stall {
            *came += u64::from(bytes);
            if arrival - *since > Self::RATE * Self::SPAN + Self::STALL {
                self.stall = None;
            }
        }
    }

    fn note_recent(&mut self, span: i64, under_way: i64) {
        let [before, newest] = &mut self.recent;
        match span.cmp(&newest.0) {
            Ordering::Greater => (*before, *newest) = (*newest, (span, under_way)),
            Ordering::Equal => newest.1 = newest.1.min(under_way),
            Ordering::Less if span == before.0 => before.1 = before.1.min(under_way),
            Ordering::Less => {}
        }
    }

    /// Bits per second that arrive; `None` while too little is known.
    pub(super) fn rate(&self) -> Option<f64> {
        let known = self.newest - self.begun?;
        if known < Self::LEAST {
            return None;
        }
        let time = (Self::RATE * Self::SPAN).min(known);
        Some(self.rate_in(Self::RATE, time))
    }

    /// The same in the last tenth of a second, which wavers more.
    pub(super) fn rate_of_late(&self) -> f64 {
        self.rate_in(Self::LATE, Self::LATE * Self::SPAN)
    }

    /// Of the newest spans, which make up so much time; or since the client stood still, where that shows more.
    fn rate_in(&self, spans: i64, time: i64) -> f64 {
        let rate = self.bits_in(spans) * 1e6 / time as f64;
        let stalled = self.stall.map_or(0.0, |(since, bytes)| {
            bytes as f64 * 8e6 / (self.newest - since).max(Self::STALL) as f64
        });
        rate.max(stalled)
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

    /// How much longer than at best packets were under way at least in the last fifth of a second in which any came,
    /// in milliseconds: the queue that did not go away meanwhile.
    pub(super) fn queue(&self) -> f64 {
        let newest = self.newest.div_euclid(Self::RECENT);
        let recent = self.recent.iter();
        let recent = recent.filter(|(span, _)| *span >= newest - Self::BYGONE);
        let least = recent.map(|(_, least)| *least).min();
        self.above_base(least.unwrap_or(i64::MAX))
    }

    /// The same of the newest arrival alone.
    pub(super) fn newest_queue(&self) -> f64 {
        self.above_base(self.newest_under_way)
    }

    /// Whether packets arrive so much more slowly than they were sent that the queue grows.
    pub(super) fn grows(&self) -> bool {
        let (sent, under_way) = self.marks[0];
        let more = self.newest_under_way.saturating_sub(under_way);
        sent != i64::MIN && more as f64 > (self.newest_sent - sent) as f64 * Self::GROWS
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

    /// What packets are under way now is the least: the way has become longer. A shorter one shows by itself.
    pub(super) fn settle(&mut self) {
        let recent = self.recent.map(|(_, least)| least);
        let least = recent[0].min(recent[1]);
        for (_, kept) in &mut self.base {
            *kept = (*kept).max(least);
        }
        self.least = least;
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
    fn what_comes_at_once_after_a_standstill_is_neither_a_queue_nor_no_rate() {
        let mut delivery = Delivery::new();
        // 1 Mbit/s, on a way of 7 s of another clock.
        let mut arrive = |sent: i64, at: i64| {
            delivery.on_arrival(sent as u64, at + 7_000_000, 1_250);
            (delivery.queue(), delivery.rate(), delivery.rate_of_late())
        };
        for number in 0..100 {
            arrive(number * 10_000, number * 10_000);
        }
        // All that was sent in a quarter of a second.
        for number in 100..125 {
            let (queue, ..) = arrive(number * 10_000, 1_250_000 + number * 10);
            assert!(queue < 1.0, "{queue}");
        }
        let (_, rate, late) = arrive(1_250_000, 1_255_000);
        let rate = rate.unwrap();
        assert!((0.9e6..1.1e6).contains(&rate), "{rate}");
        assert!((0.9e6..1.1e6).contains(&late), "{late}");
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

    #[test]
    fn a_way_that_was_found_to_be_longer_has_no_queue_and_one_that_is_shorter_again_shows() {
        let mut delivery = Delivery::new();
        let arrive = |delivery: &mut Delivery, at: i64, under_way: i64| {
            for sent in (at..at + 400_000).step_by(10_000) {
                delivery.on_arrival(sent as u64, sent + under_way, 500);
            }
            delivery.queue()
        };
        assert!(arrive(&mut delivery, 0, 20_000) < 1.0);
        assert!(arrive(&mut delivery, 400_000, 50_000) > 29.0);
        delivery.settle();
        assert!(arrive(&mut delivery, 800_000, 50_000) < 1.0);
        assert!(arrive(&mut delivery, 1_200_000, 20_000) < 1.0);
        assert!(arrive(&mut delivery, 1_600_000, 50_000) > 29.0);
    }

    #[test]
    fn a_queue_grows_while_packets_come_more_slowly_than_they_were_sent() {
        let mut delivery = Delivery::new();
        let mut under_way = 20_000;
        let mut play = |from: i64, millis: i64, longer: i64| {
            for sent in (from..from + millis * 1_000).step_by(10_000) {
                delivery.on_arrival(sent as u64, sent + under_way, 1_250);
                under_way += longer;
            }
            delivery.grows()
        };
        assert!(!play(0, 500, 0));
        // Of 10 ms sent 14 arrive in.
        assert!(play(500_000, 150, 4_000));
        assert!(!play(650_000, 150, 0), "a queue that stands");
        assert!(!play(800_000, 100, -3_000), "one that goes");
    }
}
