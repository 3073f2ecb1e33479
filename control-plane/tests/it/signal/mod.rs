//! The signalling gateway, between a fake node and real WebSockets. What a single message becomes
//! is tested beside the translation; here it is order, ends, limits and refusals.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod ends;
mod fake_node;
mod limits;
mod refusals;
mod session;
pub(crate) mod world;

use std::{future::Future, time::Duration};

/// Waits for what must come; a test that waits in vain fails instead of hanging.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("came within 20 s")
}
