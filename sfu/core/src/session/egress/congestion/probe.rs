//! Probes: short bursts above the estimate that show whether the link takes more, sent while somebody
//! wants more than the estimate allows and never otherwise. Decides when and how fast, and reads the
//! result. Must not make packets.

/// A probe that is being sent.
#[derive(Debug, Clone, Copy)]
struct Burst {
    cluster: Cluster,
    begun: u64,
    /// Bytes wanted, at least.
    size: u32,
}

/// A probe, as far as it was sent and arrived. Times in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    /// 0 for none.
    id: u8,
    /// Bits per second that were aimed at.
    rate: f64,
    packets: u32,
    bytes: u32,
    last_bytes: u32,
    first_sent: u64,
    last_sent: u64,
    arrived: u32,
    arrived_bytes: u32,
    first_arrived_bytes: u32,
    first_arrival: i64,
    last_arrival: i64,
}

/// When and how fast probes are sent.
#[derive(Debug)]
pub(super) struct Prober {
    burst: Option<Burst>,
    /// Sent, and awaited.
    awaited: Option<Cluster>,
    id: u8,
    /// Bits per second that all would need; 0 while nobody wants anything.
    wanted: f64,
    /// There is a stream to send padding on.
    can_pad: bool,
    /// When the next may begin.
    next: u64,
    /// When the last one ended that showed nothing.
    asked: u64,
    /// Probes in a row that showed nothing.
    fruitless: u32,
    /// When a probe last raised the estimate.
    raised: Option<u64>,
    /// What was raised did not hold: as often in a row.
    relapses: u32,
}

impl Prober {
    /// Length of a probe in microseconds, and its packets, at least.
    const LENGTH: f64 = 15_000.0;
    const PACKETS: u32 = 5;
    /// Bytes that a packet has about.
    const PACKET_BYTES: u32 = 1_200;
    /// Of the estimate.
    const STEP: f64 = 2.0;
    /// Of what is wanted: the estimate is to allow all of it with some room.
    const ENOUGH: f64 = 1.2;
    /// A result of so much of the aim is followed by a further one at once.
    const GOES_ON: f64 = 0.7;
    /// Between probes that show nothing, in microseconds; doubled each time up to the second.
    const PAUSE: u64 = 500_000;
    const PAUSE_MAX: u64 = 4_000_000;
    /// The same where what was raised did not hold for [`Prober::HOLDS`].
    const RELAPSE_PAUSE_MAX: u64 = 5_000_000;
    /// The same where next to nothing is left, and how many times more is wanted then.
    const NOTHING_PAUSE_MAX: u64 = 1_500_000;
    const NOTHING: f64 = 6.0;
    const HOLDS: u64 = 8_000_000;
    /// What has not arrived after so long never will, in microseconds.
    const AWAITED: u64 = 1_000_000;
    /// Looked again after so long when a probe would be wanted and can't be sent.
    const AGAIN: u64 = 200_000;

    pub(super) fn new() -> Self {
        Self {
            burst: None,
            awaited: None,
            id: 0,
            wanted: 0.0,
            can_pad: false,
            next: 0,
            asked: 0,
            fruitless: 0,
            raised: None,
            relapses: 0,
        }
    }

    /// What all that is wanted would need, in bits per second; 0 for nothing.
    pub(super) fn set_wanted(&mut self, wanted: f64) {
        self.wanted = wanted;
    }

    /// Whether the estimate is next to nothing beside what is wanted. A moment in which so little came through says
    /// little of the moments after it.
    pub(super) fn is_nothing(&self, estimate: f64) -> bool {
        self.wanted > estimate * Self::NOTHING
    }

    /// When the next may begin.
    fn next(&self, estimate: f64) -> u64 {
        if self.is_nothing(estimate) {
            self.next.min(self.asked + Self::NOTHING_PAUSE_MAX)
        } else {
            self.next
        }
    }

    /// Whether there is a stream to send padding on.
    pub(super) fn set_can_pad(&mut self, can_pad: bool) {
        self.can_pad = can_pad;
    }

    fn is_wanted(&self, estimate: f64) -> bool {
        self.can_pad && self.wanted > estimate
    }

    /// Begins a probe if one is wanted. `is_blocked`: the link is not in a state to be asked.
    pub(super) fn handle_timeout(&mut self, now: u64, estimate: f64, is_blocked: bool) {
        if self
            .awaited
            .is_some_and(|sent| now.saturating_sub(sent.last_sent) > Self::AWAITED)
        {
            self.awaited = None;
            self.on_fruitless(now);
        }
        let is_busy = self.burst.is_some() || self.awaited.is_some();
        if is_busy || now < self.next(estimate) || !self.is_wanted(estimate) {
            return;
        }
        if is_blocked {
            (self.next, self.asked) = (now + Self::AGAIN, now);
            return;
        }
        let rate = (estimate * Self::STEP).min(self.wanted * Self::ENOUGH);
        self.id = self.id.checked_add(1).unwrap_or(1);
        let size = (rate * Self::LENGTH / 8e6) as u32;
        self.burst = Some(Burst {
            cluster: Cluster {
                id: self.id,
                rate,
                ..Cluster::default()
            },
            begun: now,
            size: size.max(Self::PACKETS * Self::PACKET_BYTES),
        });
    }

    /// Bytes of the probe under way that should have been sent by now and were not.
    pub(super) fn due(&self, now: u64) -> Option<usize> {
        let burst = self.burst?;
        let since = now.saturating_sub(burst.begun) as f64;
        // The first packet goes at the begin.
        let target = burst.cluster.rate * since / 8e6 + 1.0;
        let due = target.min(f64::from(burst.size)) - f64::from(burst.cluster.bytes);
        (due > 0.0).then_some(due.ceil() as usize)
    }

    /// When [`Prober::handle_timeout`] or [`Prober::due`] has something new to say.
    pub(super) fn deadline(&self, estimate: f64) -> Option<u64> {
        if let Some(burst) = self.burst {
            let sent = f64::from(burst.cluster.bytes) * 8e6 / burst.cluster.rate;
            return Some(burst.begun + sent as u64);
        }
        if let Some(awaited) = self.awaited {
            return Some(awaited.last_sent + Self::AWAITED + 1);
        }
        self.is_wanted(estimate).then(|| self.next(estimate))
    }

    /// A packet goes out; returns the probe that it belongs to, 0 for none.
    pub(super) fn on_sent(&mut self, now: u64, bytes: usize) -> u8 {
        let Some(Burst { cluster, size, .. }) = &mut self.burst else {
            return 0;
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if cluster.packets == 0 {
            cluster.first_sent = now;
        }
        cluster.packets += 1;
        cluster.bytes += bytes;
        (cluster.last_sent, cluster.last_bytes) = (now, bytes);
        let id = cluster.id;
        if cluster.bytes >= *size {
            self.awaited = Some(*cluster);
            self.burst = None;
        }
        id
    }

    /// There is nothing to send padding with.
    pub(super) fn abort(&mut self, now: u64) {
        self.burst = None;
        self.on_fruitless(now);
    }

    /// A packet of a probe arrived.
    pub(super) fn on_arrival(&mut self, id: u8, arrival: i64, bytes: u16) {
        let burst = self.burst.as_mut().map(|burst| &mut burst.cluster);
        let known = burst.into_iter().chain(&mut self.awaited);
        for cluster in known.filter(|cluster| cluster.id == id) {
            if cluster.arrived == 0 {
                cluster.first_arrival = arrival;
                cluster.first_arrived_bytes = bytes.into();
            }
            cluster.arrived += 1;
            cluster.arrived_bytes += u32::from(bytes);
            cluster.last_arrival = cluster.last_arrival.max(arrival);
        }
    }

    /// What a probe showed, in bits per second, once that is known.
    pub(super) fn result(&mut self, now: u64, estimate: f64) -> Option<f64> {
        let cluster = self.awaited.filter(Cluster::is_told)?;
        self.awaited = None;
        let Some(rate) = cluster.result().filter(|rate| *rate > estimate) else {
            self.on_fruitless(now);
            return None;
        };
        if rate > cluster.rate * Self::GOES_ON {
            self.fruitless = 0;
            self.raised = Some(now);
            self.next = now;
        } else {
            // The link is full with that: it is known now, and was not asked for in vain.
            self.on_fruitless(now);
        }
        Some(rate)
    }

    /// The estimate had to be lowered.
    pub(super) fn on_lowered(&mut self, now: u64) {
        let is_relapse = match self.raised.take() {
            Some(at) => now.saturating_sub(at) < Self::HOLDS,
            None => {
                // A moment's queue says nothing of what the link takes.
                self.next = self.next.max(now + Self::PAUSE);
                return;
            }
        };
        self.relapses = if is_relapse {
            (self.relapses + 1).min(8)
        } else {
            0
        };
        self.next = self.next.max(now + self.pause());
    }

    /// The link is back after silence: it may be asked at once.
    pub(super) fn hurry(&mut self, now: u64) {
        self.next = now;
        self.fruitless = 0;
    }

    fn on_fruitless(&mut self, now: u64) {
        self.fruitless = (self.fruitless + 1).min(8);
        self.asked = now;
        self.next = now + self.pause();
    }

    fn pause(&self) -> u64 {
        let usual = (Self::PAUSE << self.fruitless).min(Self::PAUSE_MAX);
        if self.relapses == 0 {
            return usual;
        }
        usual.max((Self::PAUSE << (self.relapses + 1)).min(Self::RELAPSE_PAUSE_MAX))
    }
}

impl Cluster {
    /// Enough of it arrived.
    fn is_told(&self) -> bool {
        self.arrived * 5 >= self.packets * 4 && self.arrived_bytes * 5 >= self.bytes * 4
    }

    /// Bits per second that the link showed; `None` where it makes no sense.
    fn result(&self) -> Option<f64> {
        /// What is sent faster than the link takes is less than all of it.
        const SATURATED: f64 = 0.9;
        const OF_SATURATED: f64 = 0.95;
        /// Arrivals so much faster than what was sent came out of some buffer in one go.
        const SENSELESS: f64 = 2.0;
        let span = |from: f64, to: f64| (to - from > 0.0).then_some((to - from) / 1e6);
        let sending = span(self.first_sent as f64, self.last_sent as f64)?;
        let arriving = span(self.first_arrival as f64, self.last_arrival as f64)?;
        let sent = f64::from(self.bytes - self.last_bytes) * 8.0 / sending;
        let came = f64::from(self.arrived_bytes - self.first_arrived_bytes) * 8.0 / arriving;
        if came > sent * SENSELESS {
            return None;
        }
        Some(if came < sent * SATURATED {
            came * OF_SATURATED
        } else {
            came.min(sent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends what is due until the probe is out; returns when each packet went, and which probe it is of.
    fn send(prober: &mut Prober, mut now: u64) -> Vec<(u64, u8)> {
        let mut sent = Vec::new();
        while prober.burst.is_some() {
            while prober.due(now).is_some() {
                sent.push((now, prober.on_sent(now, 1_200)));
            }
            if let Some(at) = prober.deadline(0.0).filter(|_| prober.burst.is_some()) {
                now = now.max(at).max(now + 100);
            }
        }
        sent
    }

    fn ready(wanted: f64) -> Prober {
        let mut prober = Prober::new();
        prober.set_can_pad(true);
        prober.set_wanted(wanted);
        prober
    }

    #[test]
    fn nothing_is_probed_that_nobody_wants() {
        for (wanted, can_pad) in [(0.0, true), (900_000.0, true), (5e6, false)] {
            let mut prober = ready(wanted);
            prober.set_can_pad(can_pad);
            prober.handle_timeout(0, 1e6, false);
            assert_eq!(prober.due(0), None);
            assert_eq!(prober.deadline(1e6), None);
        }
    }

    #[test]
    fn what_the_link_takes_is_believed_and_followed_up() {
        let mut prober = ready(10e6);
        prober.handle_timeout(0, 1e6, false);
        let sent = send(&mut prober, 0);
        let bytes = 1_200 * sent.len() as u64;
        let last = sent.last().unwrap().0;
        let rate = (bytes - 1_200) as f64 * 8e6 / last as f64;
        assert!((1.8e6..2.2e6).contains(&rate), "twice: {rate}");
        for (at, id) in &sent {
            prober.on_arrival(*id, *at as i64 + 50_000, 1_200);
        }
        let shown = prober.result(100_000, 1e6).unwrap();
        assert!((1.8e6..2.2e6).contains(&shown), "{shown}");
        // The next one at once, at twice that.
        prober.handle_timeout(100_000, shown, false);
        assert!((3.6e6..4.4e6).contains(&prober.burst.unwrap().cluster.rate));
    }

    #[test]
    fn a_link_that_takes_less_shows_how_much_and_is_left_alone_for_longer_each_time() {
        let mut prober = ready(10e6);
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            prober.handle_timeout(now, 1e6, false);
            // 1,200 bytes each 10 ms: 960 kbit/s.
            for (number, (_, id)) in send(&mut prober, now).iter().enumerate() {
                prober.on_arrival(*id, 10_000 * number as i64, 1_200);
            }
            assert_eq!(prober.result(now + 200_000, 1e6), None);
            pauses.push((prober.next - now) / 1_000 - 200);
            now = prober.next;
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 4_000, 4_000]);
    }

    #[test]
    fn where_next_to_nothing_is_left_it_is_asked_again_soon() {
        for (estimate, pause) in [(1e6, 4_000_000), (0.2e6, 1_500_000)] {
            let mut prober = ready(3e6);
            for _ in 0..6 {
                prober.on_fruitless(0);
            }
            assert_eq!(prober.deadline(estimate), Some(pause));
            prober.handle_timeout(pause - 1, estimate, false);
            assert_eq!(prober.due(pause - 1), None);
            prober.handle_timeout(pause, estimate, false);
            assert!(prober.due(pause).is_some());
        }
    }

    #[test]
    fn what_did_not_hold_is_not_tried_again_soon() {
        let mut prober = ready(10e6);
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..3 {
            prober.handle_timeout(now, 1e6, false);
            for (at, id) in send(&mut prober, now) {
                prober.on_arrival(id, at as i64, 1_200);
            }
            assert!(prober.result(now + 100_000, 1e6).is_some());
            prober.on_lowered(now + 1_000_000);
            pauses.push((prober.next - now - 1_000_000) / 1_000);
            now = prober.next;
        }
        assert_eq!(pauses, [2_000, 4_000, 5_000]);
    }
}
