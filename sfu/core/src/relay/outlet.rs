//! Over which links a shard sends a track. What a link is not to get any more fades: it goes on for a moment,
//! where another shard takes over. Plain data; must not decide who gets what.

use std::time::{Duration, Instant};

use crate::LinkKey;

/// How long a link still gets what another shard is about to send: longer than it takes to tell that one.
const FADE: Duration = Duration::from_millis(500);

/// Links over which a track goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outlets(Vec<Outlet>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outlet {
    link: LinkKey,
    /// One bit each.
    encodings: u8,
    /// Encodings that end, and when.
    fading: Option<(u8, Instant)>,
}

impl Outlets {
    /// The links that get an encoding.
    pub(crate) fn takers(&self, encoding: u8) -> impl Iterator<Item = LinkKey> {
        let bit = 1_u8.checked_shl(encoding.into()).unwrap_or(0);
        let takes = move |outlet: &&Outlet| outlet.sent() & bit != 0;
        self.0.iter().filter(takes).map(|outlet| outlet.link)
    }

    /// From now on these links get these encodings. Of what a link got before, `fades` says what ends a
    /// moment later.
    pub(crate) fn set(
        &mut self,
        now: Instant,
        wanted: &[(LinkKey, u8)],
        fades: impl Fn(LinkKey) -> u8,
    ) {
        for (link, _) in wanted {
            if !self.0.iter().any(|outlet| outlet.link == *link) {
                self.0.push(Outlet {
                    link: *link,
                    encodings: 0,
                    fading: None,
                });
            }
        }
        for outlet in &mut self.0 {
            let wanted = wanted.iter().find(|(link, _)| *link == outlet.link);
            let encodings = wanted.map_or(0, |(_, encodings)| *encodings);
            let ends = outlet.encodings & !encodings & fades(outlet.link);
            if ends != 0 {
                outlet.fading = Some((ends, now + FADE));
            }
            outlet.encodings = encodings;
        }
        self.0.retain(|outlet| outlet.sent() != 0);
    }

    /// A link is gone.
    pub(crate) fn remove(&mut self, link: LinkKey) {
        self.0.retain(|outlet| outlet.link != link);
    }

    /// Ends what has faded; whether something still fades.
    pub(crate) fn fade(&mut self, now: Instant) -> bool {
        for outlet in &mut self.0 {
            outlet.fading = outlet.fading.filter(|(_, until)| now < *until);
        }
        self.0.retain(|outlet| outlet.sent() != 0);
        self.0.iter().any(|outlet| outlet.fading.is_some())
    }
}

impl Outlet {
    fn sent(&self) -> u8 {
        self.encodings | self.fading.map_or(0, |(encodings, _)| encodings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_fades_only_where_another_takes_over() {
        let (a, b) = (LinkKey(1), LinkKey(2));
        let mut now = Instant::now();
        let mut outlets = Outlets::default();
        let takers = |outlets: &Outlets, encoding| outlets.takers(encoding).collect::<Vec<_>>();
        outlets.set(now, &[(a, 0b101), (b, 0b001)], |_| 0);
        assert_eq!(takers(&outlets, 0), [a, b]);
        assert_eq!(takers(&outlets, 2), [a]);
        assert_eq!(takers(&outlets, 9), []);
        // b ends at once; of a, the larger encoding fades.
        outlets.set(now, &[(a, 0b001)], |link| if link == a { 0b100 } else { 0 });
        assert_eq!(takers(&outlets, 0), [a]);
        assert_eq!(takers(&outlets, 2), [a]);
        assert!(outlets.fade(now + FADE / 2));
        now += FADE;
        assert!(!outlets.fade(now));
        assert_eq!(takers(&outlets, 2), []);
        // A link that is gone gets nothing, whatever fades.
        outlets.set(now, &[], |_| 0xff);
        assert_eq!(takers(&outlets, 0), [a]);
        outlets.remove(a);
        assert_eq!(outlets, Outlets::default());
    }
}
