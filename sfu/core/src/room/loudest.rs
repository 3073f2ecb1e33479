//! Which microphones of a very large room are forwarded: the loudest, with enough inertia that a pause
//! for breath or a cough changes nothing. Pure; must not know whose microphones they are.

use std::time::{Duration, Instant};

/// A microphone that is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen<K> {
    pub(crate) key: K,
    /// When it was last heard; `None` = not since it was chosen.
    heard: Option<Instant>,
}

/// How long a silent microphone keeps its place against one that is heard.
const HOLD: Duration = Duration::from_secs(2);

/// How much louder than one that holds its place another must be to take it, of 1.
const ADVANTAGE: f32 = 0.15;

/// Chooses `limit` microphones of those given with how loud they are now (0 = silent, to 1). Who was
/// chosen before keeps its place until somebody who is not gets clearly louder, or has something to say
/// while it is silent for [`HOLD`]. Places left over go to who had them, then in the order given, so that
/// somebody who begins to speak is mostly heard from the first word.
pub(crate) fn choose_loudest<K: Copy + PartialEq>(
    limit: usize,
    levels: &[(K, f32)],
    now: Instant,
    previous: &[Chosen<K>],
) -> Vec<Chosen<K>> {
    let mut ranked: Vec<(f32, Chosen<K>)> = levels
        .iter()
        .map(|&(key, level)| {
            let before = previous.iter().find(|chosen| chosen.key == key);
            let heard = if level > 0.0 {
                Some(now)
            } else {
                before.and_then(|chosen| chosen.heard)
            };
            let holds = heard.is_some_and(|at| now.saturating_duration_since(at) < HOLD);
            let score = match before {
                // Between two sentences nobody quiet takes the place.
                Some(_) if holds => level + ADVANTAGE,
                // Just ahead of those who are silent too.
                Some(_) => level + f32::EPSILON,
                None => level,
            };
            (score, Chosen { key, heard })
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranked.truncate(limit);
    ranked.into_iter().map(|(_, chosen)| chosen).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays scenes of (milliseconds, levels of a, b, c, d, who is forwarded), two places.
    fn play(case: &str, scenes: &[(u64, [f32; 4], &str)]) {
        let start = Instant::now();
        let mut chosen = Vec::new();
        for (millis, levels, expected) in scenes {
            let now = start + Duration::from_millis(*millis);
            let levels: Vec<_> = ('a'..='d').zip(*levels).collect();
            chosen = choose_loudest(2, &levels, now, &chosen);
            let mut keys: Vec<char> = chosen.iter().map(|chosen| chosen.key).collect();
            keys.sort_unstable();
            let expected: Vec<char> = expected.chars().collect();
            assert_eq!(keys, expected, "{case}, {millis} ms: {levels:?}");
        }
    }

    #[test]
    fn the_loudest_are_forwarded_and_keep_their_places_a_while() {
        const SILENCE: [f32; 4] = [0.0; 4];
        play(
            "in silence the first keep their places",
            &[(0, SILENCE, "ab"), (9_000, SILENCE, "ab")],
        );
        play(
            "who speaks takes the place of somebody silent at once",
            &[(0, SILENCE, "ab"), (300, [0.0, 0.0, 0.1, 0.0], "ac")],
        );
        play(
            "a pause for breath costs no place",
            &[
                (0, [0.5, 0.5, 0.0, 0.0], "ab"),
                (300, [0.5, 0.0, 0.1, 0.0], "ab"),
                (1_900, [0.5, 0.0, 0.1, 0.0], "ab"),
                (2_100, [0.5, 0.0, 0.1, 0.0], "ac"),
            ],
        );
        play(
            "a little louder is not enough, much louder is",
            &[
                (0, [0.5, 0.5, 0.0, 0.0], "ab"),
                (300, [0.5, 0.5, 0.6, 0.0], "ab"),
                (600, [0.5, 0.4, 0.6, 0.0], "ac"),
                // And the other one does not come back for the same little.
                (900, [0.5, 0.7, 0.6, 0.0], "bc"),
                (1_200, [0.6, 0.7, 0.6, 0.0], "bc"),
            ],
        );
        play(
            "two who fall silent are replaced one by one",
            &[
                (0, [0.5, 0.5, 0.0, 0.0], "ab"),
                (2_500, [0.0, 0.0, 0.3, 0.0], "ac"),
                (2_800, [0.0, 0.0, 0.3, 0.3], "cd"),
            ],
        );
    }

    #[test]
    fn who_is_gone_has_no_place() {
        let now = Instant::now();
        let chosen = choose_loudest(2, &[('a', 0.9), ('b', 0.9)], now, &[]);
        let keys = |chosen: Vec<Chosen<char>>| -> String { chosen.iter().map(|c| c.key).collect() };
        assert_eq!(keys(choose_loudest(2, &[('c', 0.0)], now, &chosen)), "c");
        assert_eq!(keys(choose_loudest(0, &[('c', 0.5)], now, &chosen)), "");
        assert_eq!(keys(choose_loudest(2, &[], now, &chosen)), "");
    }

    proptest! {
        /// With levels that do not change, the choice settles at once and stays.
        #[test]
        fn a_steady_room_does_not_flap(
            levels in prop::collection::vec(0.0..1.0_f32, 0..20),
            limit in 0..8_usize,
        ) {
            let now = Instant::now();
            let levels: Vec<_> = levels.into_iter().enumerate().collect();
            let first = choose_loudest(limit, &levels, now, &[]);
            prop_assert_eq!(first.len(), limit.min(levels.len()));
            let mut chosen = first.clone();
            for step in 1..20 {
                let later = now + Duration::from_millis(300 * step);
                chosen = choose_loudest(limit, &levels, later, &chosen);
            }
            let keys = |chosen: &[Chosen<usize>]| -> Vec<usize> {
                chosen.iter().map(|chosen| chosen.key).collect()
            };
            prop_assert_eq!(keys(&first), keys(&chosen));
        }
    }
}
