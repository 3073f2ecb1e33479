//! Worlds that know nothing of each other, played on all processors. Each is made where it is played, so that it is the
//! same as when they are played in turn. Must not know what is played.

use rayon::{
    ThreadPoolBuilder,
    iter::{IntoParallelIterator as _, ParallelIterator as _},
};

/// What each of these comes to, in their order; `play` makes its own [`World`](crate::World). What it prints belongs to
/// the test that calls this, as does its panic.
///
/// # Panics
/// When one of them does, or no thread is to be had.
pub fn side_by_side<T, R>(
    all: impl IntoIterator<Item = T>,
    play: impl Fn(T) -> R + Send + Sync,
) -> Vec<R>
where
    T: Send,
    R: Send,
{
    // A pool of its own: threads take the output of the test that began them.
    let pool = ThreadPoolBuilder::new().build();
    let pool = pool.unwrap_or_else(|error| panic!("threads to play on: {error}"));
    let all: Vec<T> = all.into_iter().collect();
    pool.install(|| all.into_par_iter().map(play).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{World, seconds};

    /// A call of two people in a lossy network; what it came to.
    fn call(seed: u64) -> String {
        let mut world = World::new(seed);
        let ann = world.enter("room", "ann");
        let bob = world.enter("room", "bob");
        world.set_link(bob, crate::LinkSettings::lossy(0.1));
        let camera = world.publish_video(ann);
        world.run_for(seconds(3));
        let report = world.client(bob).report(camera);
        format!("{report:?} {:?}", world.faults())
    }

    #[test]
    fn a_seed_is_played_as_it_is_in_turn() {
        let together = side_by_side(1..9, call);
        let in_turn: Vec<String> = (1..9).map(call).collect();
        assert_eq!(together, in_turn);
        let mut different = in_turn;
        different.dedup();
        assert!(different.len() > 1);
    }
}
