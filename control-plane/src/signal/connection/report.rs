//! Tells the metrics that a connection opened and closed. Must not do more.

use std::sync::Arc;

use crate::signal::state::Shared;

/// Reports a connection's end even when its task panics.
pub(super) struct Report {
    shared: Arc<Shared>,
    why: &'static str,
}

impl Report {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.metrics.on_opened();
        Self {
            shared: Arc::clone(shared),
            why: "panicked",
        }
    }

    pub(super) fn closed(mut self, why: &'static str) {
        self.why = why;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.shared.metrics.on_closed(self.why);
    }
}
