//! Which packet of which stream a transport-wide number was given to, for clients that tell of packets by stream
//! (RFC 8888). Must not judge.

use crate::rtcp::{Arrival, Ccfb, CcfbBlock};

/// The newest packets, by the low bits of their numbers.
#[derive(Debug)]
pub(super) struct Names {
    /// SSRC and sequence number.
    ring: Vec<(u32, u16)>,
    /// Of those there is something to be told of: the oldest, and the one after the newest.
    oldest: u16,
    next: u16,
}

impl Names {
    /// A second of 40 Mbit/s. A power of two.
    const MOST: u16 = 4_096;

    /// Blocks of one report that are looked at: as many streams as a client can have.
    const BLOCKS: usize = 512;

    /// Numbers begin with this one.
    pub(super) fn new(next: u16) -> Self {
        Self {
            ring: vec![(0, 0); Self::MOST.into()],
            oldest: next,
            next,
        }
    }

    /// A packet goes out.
    pub(super) fn insert(&mut self, number: u16, name: (u32, u16)) {
        if let Some(place) = self.ring.get_mut(usize::from(number % Self::MOST)) {
            *place = name;
        }
        self.next = number.wrapping_add(1);
        if self.next.wrapping_sub(self.oldest) > Self::MOST {
            self.oldest = self.next.wrapping_sub(Self::MOST);
        }
    }

    /// Forgets the oldest as long as nothing is awaited of them.
    pub(super) fn forget(&mut self, is_awaited: impl Fn(u16) -> bool) {
        while self.oldest != self.next && !is_awaited(self.oldest) {
            self.oldest = self.oldest.wrapping_add(1);
        }
    }

    /// What a report tells of packets that something is awaited of, in the order in which they were sent: their numbers,
    /// and how they arrived, if they did.
    pub(super) fn told<'a>(
        &'a self,
        report: Ccfb<'a>,
    ) -> impl Iterator<Item = (u16, Option<Arrival>)> + 'a {
        let mut blocks: Vec<CcfbBlock<'a>> = report.blocks().take(Self::BLOCKS).collect();
        blocks.sort_by_key(|block| block.ssrc);
        let count = self.next.wrapping_sub(self.oldest);
        (0..count).filter_map(move |ahead| {
            let number = self.oldest.wrapping_add(ahead);
            let (ssrc, sequence) = *self.ring.get(usize::from(number % Self::MOST))?;
            let index = blocks
                .binary_search_by_key(&ssrc, |block| block.ssrc)
                .ok()?;
            Some((number, blocks.get(index)?.metric(sequence)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Ecn, Part, Parts, write_ccfb};

    #[test]
    fn packets_of_two_streams_are_found_in_the_order_they_were_sent_in() {
        let mut names = Names::new(65_534);
        // Both count through the wrap of their numbers.
        for n in 0..4_u16 {
            let ssrc = 7 + u32::from(n % 2);
            names.insert(
                65_534_u16.wrapping_add(n),
                (ssrc, 65_535_u16.wrapping_add(n / 2)),
            );
        }
        let came = |offset| {
            Some(Arrival {
                ecn: Ecn::NotEct,
                offset: Some(offset),
            })
        };
        let mut out = Vec::new();
        let blocks = [
            (8, 65_534, &[None, came(3), came(1)][..]),
            (7, 65_535, &[came(4)]),
            (9, 0, &[came(0)]),
        ];
        write_ccfb(&mut out, 1, 0, &blocks).unwrap();
        let Part::Ccfb(report) = Parts::new(&out).next().unwrap().unwrap() else {
            panic!("feedback");
        };
        let told: Vec<_> = names.told(report).collect();
        assert_eq!(told, [(65_534, came(4)), (65_535, came(3)), (1, came(1))]);
        names.forget(|number| number != 65_534 && number != 65_535);
        let told: Vec<_> = names.told(report).map(|(number, _)| number).collect();
        assert_eq!(told, [1]);
        names.forget(|_| false);
        assert_eq!(names.told(report).count(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut names = Names::new(0);
        for number in 0..10_000_u16 {
            names.insert(number, (7, number));
        }
        let metrics = vec![None; 10_000];
        let mut out = Vec::new();
        write_ccfb(&mut out, 1, 0, &[(7, 0, &metrics)]).unwrap();
        let Part::Ccfb(report) = Parts::new(&out).next().unwrap().unwrap() else {
            panic!("feedback");
        };
        let told: Vec<_> = names.told(report).map(|(number, _)| number).collect();
        assert_eq!(told, (10_000 - Names::MOST..10_000).collect::<Vec<_>>());
    }
}
