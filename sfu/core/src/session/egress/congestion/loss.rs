//! The estimate by loss: what rate of the link explains best which of the newest packets were lost, when
//! some are lost whatever is sent. Random loss leaves it alone; loss that comes with a higher rate, or is
//! more than links have by themselves, lowers it. Must not look at delay.

/// What became of the packets of a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    packets: f64,
    lost: f64,
    /// Bits per second that were sent.
    rate: f64,
}

/// What is being counted.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    packets: u32,
    lost: u32,
    bytes: u32,
    /// Microseconds of sending, the first and the last.
    span: Option<(u64, u64)>,
    /// The same of those lost.
    lost_span: Option<(u64, u64)>,
}

/// The estimate by loss.
#[derive(Debug)]
pub(super) struct LossBased {
    ring: [Observation; Self::KEPT],
    taken: usize,
    pending: Pending,
    /// More than a little is lost since this was sent, in microseconds.
    losing: Option<u64>,
    /// Losses that follow one another closely: when the first and the newest of them was sent, in microseconds.
    row: Option<(u64, u64)>,
    /// Much more is lost than before: the share before it, and since when, in microseconds.
    jump: Option<(f64, u64)>,
    /// Bits per second; `None` while loss limits nothing.
    estimate: Option<f64>,
}

impl LossBased {
    const KEPT: usize = 16;
    /// What one observation holds at least: microseconds of sending, and packets.
    const SPAN: u64 = 250_000;
    const PACKETS: u32 = 20;
    /// An older observation counts so much less.
    const AGING: f64 = 0.8;
    /// A loss so much above those before, and by more than chance: the link is another one, what was seen of it says
    /// nothing.
    const CHANGED: f64 = 0.15;
    const CHANCE: f64 = 3.5;
    /// So little loss limits nothing.
    const CALM: f64 = 0.01;
    /// A link that is full loses so much at least, for so many microseconds. What lasts for less is a burst, whatever
    /// is sent.
    const LOSING: f64 = 0.05;
    const LASTS: u64 = 200_000;
    /// The same where no more is sent than this share of what the link was thought to take: it is rarely all gone at once.
    const LASTS_FAR: u64 = 500_000;
    const FAR: f64 = 0.5;
    /// So many microseconds without a loss end a burst, and what is lost later belongs to another: a link that is full
    /// loses again and again.
    const CLEAN: u64 = 150_000;
    /// Who sends so much of what the link is thought to take may have filled it.
    const FULL: f64 = 0.85;
    /// Loss that a link may have by itself: on a slow one more, for it can give no more way.
    const OWN_LOSS: f64 = 0.06;
    const OWN_LOSS_BITS: f64 = 75_000.0;
    const OWN_LOSS_MAX: f64 = 0.3;
    /// Rates that are compared with the one held.
    const STEPS: [f64; 4] = [1.04, 1.0, 0.95, 0.85];
    /// Of what arrives.
    const DELIVERED: f64 = 0.95;
    /// How much a higher rate is liked, all else being equal.
    const BIAS: f64 = 1.0;

    pub(super) fn new() -> Self {
        Self {
            ring: [Observation::default(); Self::KEPT],
            taken: 0,
            pending: Pending::default(),
            losing: None,
            row: None,
            jump: None,
            estimate: None,
        }
    }

    /// Bits per second; `None` while loss limits nothing.
    pub(super) fn estimate(&self) -> Option<f64> {
        self.estimate
    }

    /// Something measured that more goes through.
    pub(super) fn raise(&mut self, estimate: f64) {
        self.estimate = self.estimate.map(|held| held.max(estimate));
    }

    /// A packet sent at `sent` arrived or did not.
    pub(super) fn on_packet(&mut self, sent: u64, bytes: u16, is_lost: bool) {
        let pending = &mut self.pending;
        pending.packets += 1;
        pending.lost += u32::from(is_lost);
        pending.bytes += u32::from(bytes);
        let reach = |span: Option<(u64, u64)>| {
            let (first, last) = span.unwrap_or((sent, sent));
            Some((first.min(sent), last.max(sent)))
        };
        pending.span = reach(pending.span);
        if is_lost {
            pending.lost_span = reach(pending.lost_span);
            let (first, last) = self.row.unwrap_or((sent, sent));
            self.row = Some(if sent > last + Self::CLEAN {
                (sent, sent)
            } else {
                (first, last.max(sent))
            });
        }
    }

    /// A packet counted as lost came after all.
    pub(super) fn on_late(&mut self) {
        self.pending.lost = self.pending.lost.saturating_sub(1);
    }

    /// Judges what was counted, when it is enough. `ceiling` is what may be sent without regard to loss,
    /// `delivered` what arrives, in bits per second.
    pub(super) fn update(&mut self, ceiling: f64, delivered: Option<f64>) {
        let Some((first, last)) = self.pending.span else {
            return;
        };
        let span = last.saturating_sub(first);
        if span < Self::SPAN || self.pending.packets < Self::PACKETS {
            return;
        }
        let counted = std::mem::take(&mut self.pending);
        let rate = f64::from(counted.bytes) * 8e6 / span as f64;
        let held = self.held(ceiling);
        let is_jump = self.is_jump(&counted, held);
        let lasts = self.lasts(&counted, rate < held * Self::FAR);
        if is_jump && lasts {
            self.taken = 0;
            self.jump = None;
        }
        let Pending { packets, lost, .. } = counted;
        let index = self.taken % Self::KEPT;
        if let Some(place) = self.ring.get_mut(index) {
            *place = Observation {
                packets: packets.into(),
                lost: lost.into(),
                rate,
            };
        }
        self.taken = self.taken.wrapping_add(1).max(1);
        // Who sends less than the link is thought to take does not show what it takes, unless it is another link.
        let is_full = rate >= held * Self::FULL;
        if lasts || !is_jump {
            self.judge(ceiling, delivered.filter(|_| lasts && (is_jump || is_full)));
        }
    }

    /// Bits per second that the link is thought to take.
    fn held(&self, ceiling: f64) -> f64 {
        self.estimate.unwrap_or(ceiling).min(ceiling)
    }

    /// Whether so much more is lost than before that it may be another link, which is certain when it `lasts`.
    fn is_jump(&mut self, counted: &Pending, held: f64) -> bool {
        let packets = f64::from(counted.packets.max(1));
        let loss = f64::from(counted.lost) / packets;
        let own = Self::most_own(held);
        let (before, since) = self.jump.unwrap_or_else(|| {
            let (packets, lost) = self.seen();
            let before = if packets > 0.0 { lost / packets } else { own };
            let first = counted.lost_span.map_or(0, |(first, _)| first);
            (before, first)
        });
        let usual = before.max(own);
        let chance = Self::CHANCE * (usual * (1.0 - usual) / packets).sqrt();
        let is_jump = loss > before + chance.max(Self::CHANGED);
        self.jump = is_jump.then_some((before, since));
        is_jump
    }

    /// Whether packets are lost now, and were for longer than a burst lasts: so many more, if it may be another link.
    fn lasts(&mut self, counted: &Pending, is_far: bool) -> bool {
        let is_losing = f64::from(counted.lost) > f64::from(counted.packets) * Self::LOSING;
        let Some((first, last)) = counted.lost_span.filter(|_| is_losing) else {
            self.losing = None;
            return false;
        };
        let losing = *self.losing.get_or_insert(first);
        let since = self.jump.map_or(losing, |(_, since)| since);
        let since = self.row.map_or(since, |(first, _)| since.max(first));
        let lasts = if is_far { Self::LASTS_FAR } else { Self::LASTS };
        last.saturating_sub(since) >= lasts
    }

    /// Packets of the observations, and those lost, the older the less.
    fn seen(&self) -> (f64, f64) {
        self.aged()
            .fold((0.0, 0.0), |(packets, lost), (weight, seen)| {
                (packets + weight * seen.packets, lost + weight * seen.lost)
            })
    }

    /// Chooses among rates near the one held, and that which arrives, if the link may take no more.
    fn judge(&mut self, ceiling: f64, delivered: Option<f64>) {
        let (packets, lost) = self.seen();
        let held = self.held(ceiling);
        if lost <= packets * Self::CALM {
            // Not at once: a link that is full loses nothing for a moment.
            let grown = held * Self::STEPS[0];
            self.estimate = self
                .estimate
                .map(|_| grown)
                .filter(|grown| *grown < ceiling);
            return;
        }
        let delivered = delivered.map(|rate| (rate * Self::DELIVERED).min(held));
        let candidates = Self::STEPS.into_iter().map(|step| held * step);
        let best = candidates
            .chain(delivered)
            .map(|candidate| (self.likelihood(candidate), candidate))
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        if let Some((_, best)) = best {
            self.estimate = Some(best).filter(|best| *best < ceiling);
        }
    }

    /// The loss that a link of this rate may have by itself.
    fn most_own(rate: f64) -> f64 {
        (Self::OWN_LOSS + Self::OWN_LOSS_BITS / rate).min(Self::OWN_LOSS_MAX)
    }

    /// How well a rate of the link explains what was lost, as a logarithm.
    fn likelihood(&self, rate: f64) -> f64 {
        let own = self.own_loss(rate, Self::most_own(rate));
        let explained: f64 = self
            .aged()
            .map(|(weight, seen)| {
                let loss = seen.expected(rate, own);
                weight * (seen.lost * loss.ln() + (seen.packets - seen.lost) * (1.0 - loss).ln())
            })
            .sum();
        explained + Self::BIAS * rate.ln()
    }

    /// The loss that the link has by itself, if it takes `rate`: what is lost beyond what is too much.
    fn own_loss(&self, rate: f64, most: f64) -> f64 {
        const LEAST: f64 = 0.000_5;
        let (lost, kept) = self
            .aged()
            .fold((0.0, 0.0), |(lost, kept), (weight, seen)| {
                let through = seen.packets * (1.0 - seen.excess(rate));
                let beyond = (seen.lost - seen.packets * seen.excess(rate)).max(0.0);
                (lost + weight * beyond, kept + weight * through)
            });
        if kept > 0.0 {
            (lost / kept).clamp(LEAST, most)
        } else {
            LEAST
        }
    }

    /// The observations with their weights.
    fn aged(&self) -> impl Iterator<Item = (f64, &Observation)> {
        let newest = self.taken.wrapping_sub(1);
        let count = self.taken.min(Self::KEPT);
        (0..count).filter_map(move |age| {
            let seen = self.ring.get(newest.wrapping_sub(age) % Self::KEPT)?;
            Some((Self::AGING.powi(age as i32), seen))
        })
    }
}

impl Observation {
    /// The share that a link of this rate has no room for.
    fn excess(&self, rate: f64) -> f64 {
        (1.0 - rate / self.rate.max(1.0)).max(0.0)
    }

    fn expected(&self, rate: f64, own: f64) -> f64 {
        (own + (1.0 - own) * self.excess(rate)).clamp(1e-6, 0.999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many quarters of a second at a rate of 100 packets a second and more, of which a link of
    /// `capacity` drops what is too much, and `random` of the rest.
    fn play(loss: &mut LossBased, from: u64, quarters: u64, capacity: f64, random: f64) -> f64 {
        let mut dice = 0_u32;
        let ceiling = 3e6;
        for quarter in 0..quarters {
            let rate = loss.estimate().unwrap_or(ceiling);
            let packets = (rate / 8.0 / 1_000.0 * 0.26) as u64;
            let through = (capacity / rate).min(1.0) * (1.0 - random);
            for number in 0..packets {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let is_lost = f64::from(dice >> 8) / f64::from(1 << 24) > through;
                let at = from + quarter * 260_000 + number * 260_000 / packets;
                loss.on_packet(at, 1_000, is_lost);
            }
            loss.update(ceiling, Some(rate * through));
        }
        loss.estimate().unwrap_or(ceiling)
    }

    #[test]
    fn random_loss_leaves_most_of_the_rate() {
        for (random, least) in [
            (0.0, 3e6),
            (0.005, 3e6),
            (0.02, 2.9e6),
            (0.05, 2.7e6),
            (0.1, 1.5e6),
        ] {
            let mut loss = LossBased::new();
            let estimate = play(&mut loss, 0, 120, 1e9, random);
            assert!(estimate >= least, "{random}: {estimate}");
        }
    }

    #[test]
    fn a_link_without_a_queue_is_found_and_left_again() {
        for random in [0.0, 0.02] {
            let mut loss = LossBased::new();
            play(&mut loss, 0, 40, 1e9, random);
            let limited = play(&mut loss, 20_000_000, 12, 1e6, random);
            assert!((0.7e6..1.15e6).contains(&limited), "{random}: {limited}");
            let back = play(&mut loss, 40_000_000, 120, 1e9, random);
            assert!(back > 2.5e6, "{random}: {back}");
        }
    }

    struct Dice(u64);

    impl Dice {
        fn new(seed: u64) -> Self {
            Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        }

        /// Between nothing and one.
        fn throw(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// Sound and a small picture: 80 packets a second of 430 bytes, far less than the link takes, for so many seconds.
    fn small(loss: &mut LossBased, seconds: u64, is_lost: impl Fn(u64) -> bool) -> f64 {
        let ceiling = 2.3e6;
        let mut least: f64 = ceiling;
        let mut arrived = 20_000;
        for number in 0..seconds * 80 {
            let is_lost = is_lost(number);
            arrived = arrived * 19 / 20 + if is_lost { 0 } else { 1_000 };
            loss.on_packet(number * 12_500, 430, is_lost);
            if is_lost {
                // It is sent again, twice.
                for after in [5_000, 10_000] {
                    loss.on_packet(number * 12_500 + after, 430, false);
                }
            }
            loss.update(ceiling, Some(275e3 * arrived as f64 / 20e3));
            least = least.min(loss.estimate().unwrap_or(ceiling));
        }
        least
    }

    #[test]
    fn bursts_that_come_whatever_is_sent_limit_nothing_far_above() {
        let mut loss = LossBased::new();
        // In 60 ms of each 1.6 s, two to five of five packets: about 3 % of all.
        for lost in 2..=5 {
            let burst = |number: u64| number % 127 < lost;
            let least = small(&mut loss, 60, burst);
            assert!(least > 1.5e6, "{lost}: {least}");
        }
    }

    /// When bursts of 60 ms begin and end, one each 1.6 s, more or less, in microseconds.
    fn bursts(dice: &mut Dice, seconds: u64) -> Vec<(u64, u64)> {
        let mut bursts = Vec::new();
        let mut end = 0.0;
        while end < seconds as f64 {
            let begin = end - 1.6 * dice.throw().ln();
            end = begin + (-0.06 * dice.throw().ln()).min(0.25);
            bursts.push(((begin * 1e6) as u64, (end * 1e6) as u64));
        }
        bursts
    }

    #[test]
    fn bursts_that_meet_a_probe_leave_what_is_sent_its_room() {
        let ceiling = 2.5e6;
        for seed in 1..16 {
            let mut dice = Dice::new(seed);
            let bursts = bursts(&mut dice, 120);
            let is_bad = |at: u64| {
                bursts
                    .iter()
                    .any(|(begin, end)| (*begin..*end).contains(&at))
            };
            // A small picture and sound, and each two seconds 25 packets of a probe, one a millisecond.
            let media = (0..120 * 90).map(|number| (number * 11_111, 430));
            let probes =
                (0..60 * 25).map(|number| (number / 25 * 2_000_000 + number % 25 * 1_000, 1_000));
            let mut packets: Vec<(u64, u16)> = media.chain(probes).collect();
            packets.sort_unstable();
            let mut loss = LossBased::new();
            let mut arrived = 300e3;
            for (at, bytes) in packets {
                let is_lost = is_bad(at) && dice.throw() < 0.8;
                arrived = arrived * 0.95 + if is_lost { 0.0 } else { 15e3 };
                loss.on_packet(at, bytes, is_lost);
                loss.update(ceiling, Some(arrived));
                let estimate = loss.estimate().unwrap_or(ceiling);
                assert!(estimate > 350e3, "{seed}: {estimate} after {at} us");
            }
        }
    }

    #[test]
    fn random_loss_of_few_packets_limits_nothing_far_above() {
        let dice = |number: u64| {
            let mixed = (number + 7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40
        };
        let mut loss = LossBased::new();
        let least = small(&mut loss, 120, |number| dice(number) % 10 == 0);
        assert!(least > 2.0 * 275e3, "{least}");
    }

    /// A link that loses a share by chance, and of what is more than it takes all.
    #[derive(Clone, Copy)]
    struct Lossy {
        chance: f64,
        capacity: f64,
    }

    /// A client that is sent as much as there is, by a sender which may send more.
    struct Client {
        loss: LossBased,
        dice: Dice,
        /// Microseconds.
        now: u64,
        /// Packets that are yet to be sent, a part of one.
        due: f64,
        /// Bits that the link takes at once, and when that was.
        room: (f64, u64),
        /// What is sent again, by when.
        again: std::collections::VecDeque<u64>,
        /// When packets arrived, of the last quarter of a second.
        arrived: std::collections::VecDeque<u64>,
    }

    impl Client {
        const BYTES: u16 = 600;
        const CEILING: f64 = 2e6;

        fn new(seed: u64) -> Self {
            Self {
                loss: LossBased::new(),
                dice: Dice::new(seed),
                now: 0,
                due: 0.0,
                room: (0.0, 0),
                again: [].into(),
                arrived: [].into(),
            }
        }

        fn estimate(&self) -> f64 {
            self.loss.estimate().unwrap_or(Self::CEILING)
        }

        fn packet(&mut self, link: Lossy, at: u64) -> bool {
            /// What the link keeps for a moment, in bits.
            const KEPT: f64 = 20_000.0;
            let bits = f64::from(Self::BYTES) * 8.0;
            let (room, since) = self.room;
            let room = (room + link.capacity * at.saturating_sub(since) as f64 / 1e6).min(KEPT);
            let has_room = room >= bits;
            self.room = (room - if has_room { bits } else { 0.0 }, at);
            let is_lost = !has_room || self.dice.throw() < link.chance;
            self.loss.on_packet(at, Self::BYTES, is_lost);
            if !is_lost {
                self.arrived.push_back(at);
            }
            is_lost
        }

        /// For so many milliseconds `rate` is sent, less where the estimate is, with feedback as often as told. Gives
        /// the least estimate meanwhile.
        fn play(&mut self, link: Lossy, rate: f64, millis: u64, feedback: u64) -> f64 {
            let mut least = self.estimate();
            for _ in 0..millis / feedback {
                let (from, length) = (self.now, feedback * 1_000);
                self.now += length;
                let bits = f64::from(Self::BYTES) * 8.0;
                self.due += rate.min(self.estimate()) * length as f64 / 1e6 / bits;
                let count = self.due as u64;
                self.due -= count as f64;
                for number in 0..count {
                    let at = from + number * length / count;
                    while self.again.front().is_some_and(|due| *due <= at) {
                        self.again.pop_front();
                        self.packet(link, at);
                    }
                    if self.packet(link, at) {
                        self.again.push_back(at + 150_000);
                    }
                }
                let now = self.now;
                self.arrived.retain(|at| at + 250_000 > now);
                let arrived = self.arrived.len() as f64 * bits * 4.0;
                self.loss.update(Self::CEILING, Some(arrived));
                least = least.min(self.estimate());
            }
            least
        }
    }

    #[test]
    fn chance_pauses_nothing_of_who_is_sent_far_less_than_the_link_takes() {
        for (chance, rate, feedback, above) in [
            (0.1, 250e3, 50, 2.0),
            (0.1, 300e3, 100, 2.0),
            (0.1, 400e3, 50, 2.0),
            (0.13, 250e3, 100, 1.5),
            (0.13, 300e3, 50, 1.5),
            (0.13, 400e3, 50, 1.0),
        ] {
            let link = Lossy {
                chance,
                capacity: 1e9,
            };
            let play = |seed| Client::new(seed).play(link, rate, 120_000, feedback);
            let least: Vec<f64> = (1..=20).map(play).collect();
            // Rarely enough is lost for long enough to look like another link.
            let fallen = least.iter().filter(|least| **least < rate * above).count();
            assert!(fallen <= 1, "{chance}, {rate}: {least:.0?}");
        }
    }

    #[test]
    fn a_link_that_takes_less_than_is_sent_is_found_soon_however_much_it_was_thought_to_take() {
        for chance in [0.0, 0.02, 0.1] {
            for (rate, capacity, within) in [
                (300e3, 100e3, 900),
                (300e3, 200e3, 900),
                (300e3, 250e3, 1_200),
                (1.5e6, 700e3, 500),
            ] {
                for seed in 1..=10 {
                    let mut client = Client::new(seed);
                    let wide = Lossy {
                        chance,
                        capacity: 1e9,
                    };
                    client.play(wide, 300e3, 10_000, 50);
                    let narrow = Lossy { chance, capacity };
                    let least = client.play(narrow, rate, within, 50);
                    let case = format!("{chance}, {rate} on {capacity}, seed {seed}");
                    assert!(least < capacity * 1.2, "{case}: {least}");
                }
            }
        }
    }

    #[test]
    fn a_packet_that_came_late_was_not_lost() {
        let mut loss = LossBased::new();
        for number in 0..100 {
            loss.on_packet(number * 10_000, 1_000, number % 10 == 0);
            if number % 10 == 5 {
                loss.on_late();
            }
        }
        loss.update(3e6, Some(1e6));
        assert_eq!(loss.estimate(), None);
    }
}
