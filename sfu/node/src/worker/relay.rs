//! The carrier of relay links between the workers of a node: a bounded channel for each ordered pair,
//! one parcel of frames for each turn and link. Must not look into frames, nor wait.
//!
//! When a worker does not keep up and its channel is full, frames that may be lost are, and are counted;
//! the others wait here for room. When too many of those wait, the link is given up: both ends are told,
//! and who is on the far side joins anew.

use std::{
    mem,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use sfu_core::{LinkKey, RelayFrame, RelayTransmit};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::turn::Worker;

/// Parcels that wait in a channel.
const PARCELS: usize = 64;

/// Frames of a parcel, from which on it does not wait for the end of the turn.
const PARCEL_FRAMES: usize = 256;

/// Frames that may not be lost and wait for room in a channel; past it the link is given up.
const WAITING_MAX: usize = 16_384;

/// Parcels taken of each link in one turn.
const BATCH: usize = 16;

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
    incoming: Vec<(LinkKey, mpsc::Receiver<Parcel>)>,
    outgoing: Vec<Lane>,
}

/// What comes from the other workers.
pub(super) struct Incoming {
    links: Vec<(LinkKey, mpsc::Receiver<Parcel>)>,
    /// The link that is looked at first.
    first: usize,
}

/// What goes to the other workers.
pub(super) struct Outgoing {
    lanes: Vec<Lane>,
}

/// One link, outward.
struct Lane {
    link: LinkKey,
    parcels: mpsc::Sender<Parcel>,
    frames: Vec<RelayFrame>,
    /// The other end is to be told first that the link was lost.
    is_lost: bool,
}

/// What became of frames on their way out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flushed {
    /// Frames that gave way.
    pub(super) dropped: u64,
    /// Links that were given up.
    pub(super) lost: Vec<LinkKey>,
}

/// The link to a worker.
pub(crate) fn link(worker: usize) -> LinkKey {
    LinkKey(worker as u64)
}

/// The links of so many workers, each with each.
pub(crate) fn mesh(workers: usize) -> Vec<Carrier> {
    let mut carriers: Vec<Carrier> = (0..workers)
        .map(|_| Carrier {
            incoming: Vec::new(),
            outgoing: Vec::new(),
        })
        .collect();
    for from in 0..workers {
        for to in (0..workers).filter(|to| *to != from) {
            let (parcels, incoming) = mpsc::channel(PARCELS);
            carriers[from].outgoing.push(Lane {
                link: link(to),
                parcels,
                frames: Vec::new(),
                is_lost: false,
            });
            carriers[to].incoming.push((link(from), incoming));
        }
    }
    carriers
}

impl Carrier {
    /// What comes in, once.
    pub(super) fn take_incoming(&mut self) -> Incoming {
        Incoming {
            links: mem::take(&mut self.incoming),
            first: 0,
        }
    }

    /// What goes out.
    pub(super) fn into_outgoing(self) -> Outgoing {
        Outgoing {
            lanes: self.outgoing,
        }
    }
}

impl Incoming {
    /// The next parcel. Without one, the first to come wakes the thread.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Option<(LinkKey, Parcel)> {
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
        let mut lanes = self.lanes.iter_mut();
        // The shard was told of no other links.
        let Some(lane) = lanes.find(|lane| lane.link == transmit.link) else {
            return;
        };
        lane.frames.push(transmit.frame);
        if lane.frames.len().is_multiple_of(PARCEL_FRAMES) {
            lane.try_send();
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
            match self.parcels.try_send(Parcel::Lost) {
                Err(TrySendError::Full(_)) => return,
                // A worker that is gone needs no news.
                Ok(()) | Err(TrySendError::Closed(_)) => self.is_lost = false,
            }
        }
        if self.frames.is_empty() {
            return;
        }
        match self
            .parcels
            .try_send(Parcel::Frames(mem::take(&mut self.frames)))
        {
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
            Parcel::Lost => self.shard.handle_link_lost(now, link),
        }
        self.drain();
    }

    /// Takes what other workers sent, up to the batch. While there is more to send than the budget
    /// covers it stays where it is, until media gives way there.
    pub(super) fn take_relayed(&mut self, incoming: &mut Incoming) {
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
        let mut carriers = mesh(2);
        let incoming = carriers[1].take_incoming();
        (carriers.remove(0).into_outgoing(), incoming)
    }

    fn push(outgoing: &mut Outgoing, frame: RelayFrame) {
        let link = link(1);
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
        assert_eq!(incoming.links[0].0, link(0));
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
        assert_eq!(lost, [link(1)]);
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
