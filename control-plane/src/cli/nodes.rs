//! `control-plane nodes …`: media nodes seen, cordoned and drained over the API of a running control plane. Must not
//! decide anything that the API does not.

use std::{fmt::Write as _, time::Duration};

use clap::{Args, Subcommand};
use plenum_proto::v1::{
    CordonNodeRequest, DrainNodeRequest, ListNodesRequest, Node,
    node_service_client::NodeServiceClient,
};
use plenum_service::cli::AnyError;

use super::at::{At, duration};
use crate::{auth::VideoGrants, config::Front};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all nodes.
    List(At),
    /// Place no more rooms on a node.
    Cordon(Which),
    /// Place rooms on a node again.
    Uncordon(Which),
    /// Send a node's rooms to other nodes; it takes nobody in until it is started anew.
    Drain(Drain),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Id of the node, "ND_…".
    node: String,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Drain {
    #[command(flatten)]
    which: Which,
    /// Over which the rooms are moved; the node's own setting unless given.
    #[arg(long, value_parser = duration)]
    spread: Option<Duration>,
}

impl Command {
    /// Asks the API; what there is to show.
    pub(super) async fn ask(self, config: &Front) -> Result<String, AnyError> {
        let at = match &self {
            Self::List(at) => at,
            Self::Cordon(which) | Self::Uncordon(which) => &which.at,
            Self::Drain(drain) => &drain.which.at,
        };
        let grants = VideoGrants {
            node_admin: true,
            ..VideoGrants::default()
        };
        let mut client = NodeServiceClient::new(at.connect(config, grants).await?);
        let cordon = |which: Which, cordoned| CordonNodeRequest {
            node_id: which.node,
            cordoned,
        };
        match self {
            Self::List(_) => {
                let listed = client.list_nodes(ListNodesRequest {}).await?;
                return Ok(table(&listed.into_inner().nodes));
            }
            Self::Cordon(which) => drop(client.cordon_node(cordon(which, true)).await?),
            Self::Uncordon(which) => drop(client.cordon_node(cordon(which, false)).await?),
            Self::Drain(drain) => {
                let request = DrainNodeRequest {
                    node_id: drain.which.node,
                    spread: drain.spread.map(TryInto::try_into).transpose()?,
                };
                client.drain_node(request).await?;
            }
        }
        Ok(String::new())
    }
}

fn table(nodes: &[Node]) -> String {
    let mut text = format!(
        "{:<16} {:<10} {:<10} {:<10} {:>6} {:>12} {:>5}\n",
        "node", "region", "zone", "state", "rooms", "participants", "load"
    );
    for node in nodes {
        let state = match (node.draining, node.cordoned) {
            (true, _) => "draining",
            (false, true) => "cordoned",
            (false, false) => "open",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<16} {:<10} {:<10} {:<10} {:>6} {:>12} {:>4.0}%",
            node.id,
            node.region,
            node.zone,
            state,
            node.num_rooms,
            node.num_participants,
            node.load * 100.0
        );
    }
    text
}
