//! How fast the link passes what is sent to it at once: packets that leave together arrive as far apart as its
//! slowest part takes for each (dispersion of packet trains; Dovrolis, Ramanathan and Moore, 2004). Tells links on
//! which a picture may go at once from those on which it would make a queue. Must not choose a rate.

/// The trains of late.
#[derive(Debug)]
pub(super) struct Dispersion {
    train: Option<Train>,
    /// Bytes, and the microseconds between the first and the last of them, of the newest trains; what is older
    /// counts less.
    bytes: f64,
    spread: f64,
    trains: u32,
}

/// Packets that were sent together. Microseconds.
#[derive(Debug, Clone, Copy)]
struct Train {
    sent: u64,
    first: i64,
    last: i64,
    /// Without those of the first packet.
    bytes: u32,
}

impl Dispersion {
    /// Packets sent within so long are one train, in microseconds.
    const TOGETHER: u64 = 1_000;
    /// A shorter train says too little.
    const TRAIN_BYTES: u32 = 1_000;
    /// Clients tell of arrivals no more exactly than that, in microseconds. What is told of a train is as often too
    /// long as too short by it; of all together it is the least.
    const UNIT: f64 = 250.0;
    /// How much of what is known is kept with each train, and how many are wanted before it is.
    const KEPT: f64 = 15.0 / 16.0;
    const TRAINS: u32 = 4;
    /// A train that took longer than at so much of the estimate was held up by something else.
    const HELD_UP: f64 = 0.5;

    pub(super) fn new() -> Self {
        Self {
            train: None,
            bytes: 0.0,
            spread: 0.0,
            trains: 0,
        }
    }

    /// A packet was sent at `sent` and arrived at `arrival`, each on its own clock; `estimate` is what the link
    /// is thought to take, in bits per second.
    pub(super) fn on_arrival(&mut self, sent: u64, arrival: i64, bytes: u16, estimate: f64) {
        if let Some(train) = &mut self.train
            && sent.abs_diff(train.sent) < Self::TOGETHER
        {
            train.first = train.first.min(arrival);
            train.last = train.last.max(arrival);
            train.bytes += u32::from(bytes);
            return;
        }
        let train = Train {
            sent,
            first: arrival,
            last: arrival,
            bytes: 0,
        };
        if let Some(done) = self.train.replace(train) {
            self.take(&done, estimate);
        }
    }

    fn take(&mut self, train: &Train, estimate: f64) {
        if train.bytes < Self::TRAIN_BYTES {
            return;
        }
        let bytes = f64::from(train.bytes);
        let spread = (train.last - train.first) as f64;
        let slowest = bytes * 8e6 / (estimate * Self::HELD_UP);
        self.bytes = self.bytes * Self::KEPT + bytes;
        self.spread = self.spread * Self::KEPT + spread.min(slowest);
        self.trains = self.trains.saturating_add(1);
    }

    /// Bits per second; `None` while too little is known.
    pub(super) fn rate(&self) -> Option<f64> {
        (self.trains >= Self::TRAINS).then(|| self.bytes * 8e6 / self.spread.max(Self::UNIT))
    }

    /// Nothing is known of the link any more.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESTIMATE: f64 = 3e6;

    /// A train of so many packets each 34 ms on a link of so many bits per second; `late` is added to arrivals.
    fn play(dispersion: &mut Dispersion, packets: i64, rate: f64, late: impl Fn(i64) -> i64) {
        let apart = 1_200.0 * 8e6 / rate;
        for train in 0..32 {
            let sent = train * 33_713;
            for packet in 0..packets {
                let arrival = sent + 7_000_000 + (packet as f64 * apart) as i64;
                let arrival = arrival + late(arrival);
                dispersion.on_arrival(sent as u64, arrival, 1_200, ESTIMATE);
            }
        }
    }

    #[test]
    fn packets_sent_together_show_what_the_link_passes() {
        for (packets, rate) in [(2, 3e6), (5, 3e6), (3, 0.5e6), (5, 20e6)] {
            let mut dispersion = Dispersion::new();
            assert_eq!(dispersion.rate(), None);
            play(&mut dispersion, packets, rate, |_| 0);
            let shown = dispersion.rate().unwrap();
            // Never less than half of the estimate.
            let told = rate.max(ESTIMATE / 2.0);
            assert!((told * 0.9..told * 1.1).contains(&shown), "{rate}: {shown}");
        }
        for packets in [2, 5] {
            let mut dispersion = Dispersion::new();
            play(&mut dispersion, packets, 1e9, |_| 0);
            assert!(dispersion.rate().unwrap() > 100e6);
        }
    }

    #[test]
    fn small_pictures_on_a_quick_link_show_it_through_the_units_of_reports() {
        for (rate, told) in [(50e6, 40e6..65e6), (100e6, 80e6..130e6)] {
            let mut dispersion = Dispersion::new();
            play(&mut dispersion, 2, rate, |arrival| -(arrival % 250));
            let shown = dispersion.rate().unwrap();
            assert!(told.contains(&shown), "{rate}: {shown}");
        }
    }

    #[test]
    fn who_looks_now_and_then_makes_no_link_quicker() {
        let mut dispersion = Dispersion::new();
        // Each 10 ms it takes what came meanwhile.
        play(&mut dispersion, 3, 3e6, |arrival| 10_000 - arrival % 10_000);
        let shown = dispersion.rate().unwrap();
        assert!((2e6..5e6).contains(&shown), "{shown}");
    }

    #[test]
    fn a_client_that_stood_still_hides_a_quick_link_for_a_moment_only() {
        let mut dispersion = Dispersion::new();
        play(&mut dispersion, 5, 1e9, |_| 0);
        for packet in 0..5 {
            let arrival = 10_000_000 + packet * 100_000;
            dispersion.on_arrival(3_000_000, arrival, 1_200, ESTIMATE);
        }
        play(&mut dispersion, 5, 1e9, |_| 0);
        assert!(dispersion.rate().unwrap() > 50e6);
    }

    #[test]
    fn lone_packets_say_nothing() {
        let mut dispersion = Dispersion::new();
        play(&mut dispersion, 1, 3e6, |_| 0);
        assert_eq!(dispersion.rate(), None);
    }
}
