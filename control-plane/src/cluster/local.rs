//! The node in this process, which reports as one far away does, without a network. Must not know more of it.

use std::sync::Arc;

use sfu_node::SelfReport;
use tokio::time::sleep;

use super::Cluster;

/// Reports for as long as it is polled. Nobody takes the rooms of a node in the same process.
pub(crate) async fn report_local(cluster: Arc<Cluster>, mut own: SelfReport) {
    loop {
        let report = own.say("in-process".to_owned(), String::new());
        if let Err(error) = cluster.keep_report(&report).await {
            tracing::warn!(%error, "the store does not take the node's report");
        }
        tokio::select! {
            () = sleep(cluster.lease() / 3) => {}
            () = own.changed() => {}
        }
    }
}
