//! The carrier of relay links between the workers of a node, and from them to the relay that leads to other
//! nodes: a bounded channel for each ordered pair, one parcel of frames for each turn and link. Must not
//! look into frames, nor wait.
//!
//! When a worker does not keep up and its channel is full, frames that may be lost are, and are counted;
//! the others wait here for room. When too many of those wait, the link is given up: both ends are told,
//! and who is on the far side joins anew.

use std::{
    mem,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use sfu_core::{LinkKey, RelayFrame, RelayTransmit};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::turn::Worker;
use crate::relay::{Bundle, Relay};

/// Parcels that wait in a channel.
const PARCELS: usize = 64;

/// Frames of a parcel, from which on it does not wait for the end of the turn.
const PARCEL_FRAMES: usize = 256;

/// Frames that may not be lost and wait for room in a channel; past it the link is given up.
const WAITING_MAX: usize = 16_384;

/// Parcels taken of each link in one turn.
const BATCH: usize = 16;

/// Parcels taken of all other nodes in one turn.
const REMOTE_BATCH: usize = 64;

/// Parcels of all workers of other nodes that wait for a worker.
const REMOTE_PARCELS: usize = 1024;

/// How long a worker sleeps at most while frames wait for room.
const RETRY: Duration = Duration::from_millis(1);

/// What goes over a link at once.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// In the order in which they were sent.
    Frames(Vec<RelayFrame>),
    /// Whatever the sender knew is lost; what follows is from a new beginning.
    Lost,
}

/// Both directions of the links of one worker, before it starts.
pub(crate) struct Carrier {
    worker: u8,
    incoming: Vec<(LinkKey, mpsc::Receiver<Parcel>)>,
    remote: mpsc::Receiver<(LinkKey, Parcel)>,
    outgoing: Vec<Lane>,
    nodes: Nodes,
}

/// The relay, once there is one.
pub(crate) type Nodes = Arc<OnceLock<Arc<Relay>>>;

/// The carriers of all workers, and the ways into each of them from other nodes.
pub(crate) struct Mesh {
    pub(crate) carriers: Vec<Carrier>,
    pub(crate) from_nodes: Vec<mpsc::Sender<(LinkKey, Parcel)>>,
    pub(crate) nodes: Nodes,
}

/// What comes from the other workers.
pub(super) struct Incoming {
    links: Vec<(LinkKey, mpsc::Receiver<Parcel>)>,
    /// What comes from workers of other nodes.
    remote: mpsc::Receiver<(LinkKey, Parcel)>,
    /// The link that is looked at first.
    first: usize,
}

/// What goes to the other workers.
pub(super) struct Outgoing {
    worker: u8,
    lanes: Vec<Lane>,
    nodes: Nodes,
}

/// One link, outward.
struct Lane {
    link: LinkKey,
    way: Way,
    frames: Vec<RelayFrame>,
    /// The other end is to be told first that the link was lost.
    is_lost: bool,
}

/// Where the parcels of a link go.
enum Way {
    Worker(mpsc::Sender<Parcel>),
    /// A worker of another node, and which of ours sends.
    Node(mpsc::Sender<Bundle>, u8),
}

/// What became of frames on their way out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flushed {
    /// Frames that gave way.
    pub(super) dropped: u64,
    /// Links that were given up.
    pub(super) lost: Vec<LinkKey>,
}

/// The link to a worker of the node of that number.
pub(crate) fn link(node: u64, worker: usize) -> LinkKey {
    // There are never more than 36.
    LinkKey::new(node, u8::try_from(worker).unwrap_or(u8::MAX))
}

/// The links of so many workers of a node, each with each.
pub(crate) fn mesh(node: u64, workers: usize) -> Mesh {
    let nodes = Nodes::default();
    let (mut carriers, mut from_nodes) = (Vec::new(), Vec::new());
    for worker in 0..workers {
        let (way, remote) = mpsc::channel(REMOTE_PARCELS);
        from_nodes.push(way);
        carriers.push(Carrier {
            worker: link(node, worker).worker(),
            incoming: Vec::new(),
            remote,
            outgoing: Vec::new(),
            nodes: Arc::clone(&nodes),
        });
    }
    for from in 0..workers {
        for to in (0..workers).filter(|to| *to != from) {
            let (parcels, incoming) = mpsc::channel(PARCELS);
            carriers[from].outgoing.push(Lane {
                link: link(node, to),
                way: Way::Worker(parcels),
                frames: Vec::new(),
                is_lost: false,
            });
            carriers[to].incoming.push((link(node, from), incoming));
        }
    }
    Mesh {
        carriers,
        from_nodes,
        nodes,
    }
}

impl Carrier {
    /// What comes in, and what goes out.
    pub(super) fn split(self) -> (Incoming, Outgoing) {
        let incoming = Incoming {
            links: self.incoming,
            remote: self.remote,
            first: 0,
        };
        let outgoing = Outgoing {
            worker: self.worker,
            lanes: self.outgoing,
            nodes: self.nodes,
        };
        (incoming, outgoing)
    }
}

impl Incoming {
    /// The next parcel. Without one, the first to come wakes the thread.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Option<(LinkKey, Parcel)> {
        if let Poll::Ready(Some(relayed)) = self.remote.poll_recv(context) {
            return Some(relayed);
        }
        let count = self.links.len();
        self.first = (self.first + 1) % count.max(1);
        for offset in 0..count {
            let (link, parcels) = &mut self.links[(self.first + offset) % count];
            if let Poll::Ready(Some(parcel)) = parcels.poll_recv(context) {
                return Some((*link, parcel));
            }
        }
        None
    }
}

impl Outgoing {
    /// Takes a frame; it goes with the parcel of this turn.
    pub(super) fn push(&mut self, transmit: RelayTransmit) {
        let known = self
            .lanes
            .iter()
            .position(|lane| lane.link == transmit.link);
        let Some(index) = known.or_else(|| self.open(transmit.link)) else {
            return;
        };
        let lane = &mut self.lanes[index];
        lane.frames.push(transmit.frame);
        if lane.frames.len().is_multiple_of(PARCEL_FRAMES) {
            lane.try_send();
        }
    }

    /// Opens the way to a worker of another node.
    fn open(&mut self, link: LinkKey) -> Option<usize> {
        let bundles = self.nodes.get()?.bundles(link.node())?;
        self.lanes.push(Lane {
            link,
            way: Way::Node(bundles, self.worker),
            frames: Vec::new(),
            is_lost: false,
        });
        Some(self.lanes.len() - 1)
    }

    /// What went before over a link to another node is void, and so is what still waits. The relay learns
    /// that this worker knows.
    fn on_lost(&mut self, link: LinkKey) {
        let known = self.lanes.iter().position(|lane| lane.link == link);
        if let Some(index) = known.or_else(|| self.open(link))
            && let lane = &mut self.lanes[index]
            && matches!(lane.way, Way::Node(..))
        {
            lane.give_up();
        }
    }

    /// Sends the parcels of this turn.
    pub(super) fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        for lane in &mut self.lanes {
            lane.try_send();
            let before = lane.frames.len();
            lane.frames.retain(|frame| !frame.may_drop());
            flushed.dropped += (before - lane.frames.len()) as u64;
            if lane.frames.len() > WAITING_MAX {
                lane.give_up();
                flushed.lost.push(lane.link);
            }
        }
        // A node that was forgotten is found again by the next frame.
        self.lanes.retain(|lane| {
            let is_gone = lane.way.is_gone();
            if is_gone {
                flushed.lost.push(lane.link);
            }
            !is_gone
        });
        flushed
    }

    /// The shard begins anew: what it sent, and what others sent it, is void.
    pub(super) fn reset(&mut self) {
        self.lanes.iter_mut().for_each(Lane::give_up);
    }

    /// When to try again what found no room.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        let waits = |lane: &Lane| lane.is_lost || !lane.frames.is_empty();
        self.lanes.iter().any(waits).then(|| now + RETRY)
    }
}

impl Lane {
    fn try_send(&mut self) {
        if self.is_lost {
            match self.way.try_send(self.link, Parcel::Lost) {
                Err(TrySendError::Full(_)) => return,
                // A worker that is gone needs no news.
                Ok(()) | Err(TrySendError::Closed(_)) => self.is_lost = false,
            }
        }
        if self.frames.is_empty() {
            return;
        }
        let parcel = Parcel::Frames(mem::take(&mut self.frames));
        match self.way.try_send(self.link, parcel) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(Parcel::Frames(frames))) => self.frames = frames,
            Err(TrySendError::Full(Parcel::Lost)) => {}
        }
    }

    fn give_up(&mut self) {
        self.frames.clear();
        self.is_lost = true;
    }
}

impl Way {
    fn try_send(&self, link: LinkKey, parcel: Parcel) -> Result<(), TrySendError<Parcel>> {
        match self {
            Self::Worker(parcels) => parcels.try_send(parcel),
            Self::Node(bundles, worker) => {
                let between = (*worker, link.worker());
                let bundle = Bundle { between, parcel };
                bundles.try_send(bundle).map_err(|error| match error {
                    TrySendError::Full(bundle) => TrySendError::Full(bundle.parcel),
                    TrySendError::Closed(bundle) => TrySendError::Closed(bundle.parcel),
                })
            }
        }
    }

    /// The relay has forgotten the node.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Node(bundles, _) if bundles.is_closed())
    }
}

impl Worker {
    /// Takes a parcel of another worker.
    pub(super) fn on_relayed(&mut self, link: LinkKey, parcel: Parcel) {
        let now = self.clock();
        match parcel {
            Parcel::Frames(frames) => {
                for frame in frames {
                    self.shard.handle_relay(now, link, frame);
                }
            }
            Parcel::Lost => {
                self.outgoing.on_lost(link);
                self.shard.handle_link_lost(now, link);
            }
        }
        self.drain();
    }

    /// Takes what other workers sent, up to the batch. While there is more to send than the budget
    /// covers it stays where it is, until media gives way there.
    pub(super) fn take_relayed(&mut self, incoming: &mut Incoming) {
        for _ in 0..REMOTE_BATCH {
            if self.has_backlog {
                return;
            }
            let Ok((link, parcel)) = incoming.remote.try_recv() else {
                break;
            };
            self.on_relayed(link, parcel);
        }
        for (link, parcels) in &mut incoming.links {
            for _ in 0..BATCH {
                if self.has_backlog {
                    return;
                }
                let Ok(parcel) = parcels.try_recv() else {
                    break;
                };
                self.on_relayed(*link, parcel);
            }
        }
    }

    /// Sends what this turn has for other workers.
    pub(super) fn flush_relay(&mut self) {
        let flushed = self.outgoing.flush();
        self.counted.relay_dropped += flushed.dropped;
        for link in flushed.lost {
            tracing::warn!(worker = self.index, to = link.0, "relay link given up");
            self.counted.relay_links_lost += 1;
            let now = self.clock();
            self.shard.handle_link_lost(now, link);
            self.drain();
        }
    }
}

#[cfg(test)]
mod tests {
    use plenum_proto::relay::{Control, Data, Detach, control::Kind};

    use super::*;

    const NODE: u64 = 7;

    fn frame(kind: Kind) -> RelayFrame {
        RelayFrame::Control(Box::new(Control {
            room_id: "RM_1".into(),
            kind: Some(kind),
        }))
    }

    /// One that may be lost, and one that may not.
    fn frames() -> [RelayFrame; 2] {
        let data = Data {
            reliable: false,
            ..Data::default()
        };
        [frame(Kind::Data(data)), frame(Kind::Detach(Detach {}))]
    }

    fn ends() -> (Outgoing, Incoming) {
        let mut carriers = mesh(NODE, 2).carriers;
        let (incoming, _) = carriers.remove(1).split();
        let (_, outgoing) = carriers.remove(0).split();
        (outgoing, incoming)
    }

    fn push(outgoing: &mut Outgoing, frame: RelayFrame) {
        let link = link(NODE, 1);
        outgoing.push(RelayTransmit { link, frame });
    }

    /// Frames of all parcels that are there, parcel by parcel; `None` for a lost link.
    fn taken(incoming: &mut Incoming) -> Vec<Option<usize>> {
        let mut taken = Vec::new();
        while let Ok(parcel) = incoming.links[0].1.try_recv() {
            taken.push(match parcel {
                Parcel::Frames(frames) => Some(frames.len()),
                Parcel::Lost => None,
            });
        }
        taken
    }

    #[test]
    fn frames_of_a_turn_go_as_one_parcel() {
        let (mut outgoing, mut incoming) = ends();
        for frame in frames() {
            push(&mut outgoing, frame);
        }
        assert_eq!(taken(&mut incoming), []);
        assert_eq!(outgoing.flush(), Flushed::default());
        assert_eq!(outgoing.flush(), Flushed::default());
        assert_eq!(taken(&mut incoming), [Some(2)]);
        assert_eq!(incoming.links[0].0, link(NODE, 0));
        assert_eq!(outgoing.retry_at(Instant::now()), None);
    }

    #[test]
    fn in_a_full_channel_only_what_may_be_lost_is() {
        let (mut outgoing, mut incoming) = ends();
        for turn in 0..PARCELS + 3 {
            for frame in frames() {
                push(&mut outgoing, frame);
            }
            let dropped = u64::from(turn >= PARCELS);
            assert_eq!(outgoing.flush().dropped, dropped, "turn {turn}");
        }
        assert!(outgoing.retry_at(Instant::now()).is_some());
        assert_eq!(taken(&mut incoming), [Some(2); PARCELS]);
        outgoing.flush();
        assert_eq!(
            taken(&mut incoming),
            [Some(3)],
            "what may not be lost came late"
        );
    }

    #[test]
    fn a_link_that_never_moves_is_given_up_and_begins_anew() {
        let (mut outgoing, mut incoming) = ends();
        let mut lost = Vec::new();
        let mut turns = 0;
        while lost.is_empty() {
            let [_, control] = frames();
            push(&mut outgoing, control);
            lost = outgoing.flush().lost;
            turns += 1;
            assert!(turns <= PARCELS + WAITING_MAX + 1);
        }
        assert_eq!(lost, [link(NODE, 1)]);
        taken(&mut incoming);
        let [_, control] = frames();
        push(&mut outgoing, control);
        outgoing.flush();
        assert_eq!(
            taken(&mut incoming),
            [None, Some(1)],
            "lost, then a new beginning"
        );
    }
}
