//! How many cores there are for workers, and which one a worker keeps to when it is asked to. Must not
//! move any thread but the caller's.

use std::{io, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores this process may use, by its affinity and its share of the machine (cgroups); at least 1.
pub(crate) fn available() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Keeps the calling thread to one core: of those it may use, the `index`th, counted round; which.
pub(super) fn pin(index: usize) -> io::Result<usize> {
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<_> = (0..CpuSet::MAX_CPU)
        .filter(|&core| allowed.is_set(core))
        .collect();
    let Some(&core) = cores.get(index % cores.len().max(1)) else {
        return Err(io::Error::other("no core is allowed"));
    };
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only)?;
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_keeps_to_its_core_and_others_do_not() {
        let before = sched_getaffinity(None).unwrap();
        for index in [0, 1, 7] {
            let pinned = thread::spawn(move || {
                let core = pin(index).unwrap();
                let only = sched_getaffinity(None).unwrap();
                assert!(only.is_set(core) && only.count() == 1);
                core
            });
            assert!(before.is_set(pinned.join().unwrap()));
        }
        assert!(sched_getaffinity(None).unwrap() == before);
    }
}
