//! Keeps threads to cores, so that what is measured finds its caches as it left them. Must not measure.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores that this process may use, as they were before any thread was kept to one.
static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();

/// Keeps the calling thread to the `index`th core; false where there are not two of them.
pub(crate) fn keep_to(index: usize) -> bool {
    let allowed = ALLOWED.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU)
            .filter(|&core| set.is_set(core))
            .collect()
    });
    let (true, Some(&core)) = (allowed.len() > 1, allowed.get(index)) else {
        return false;
    };
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).is_ok()
}
