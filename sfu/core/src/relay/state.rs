//! What a shard keeps of its links: frames to send, tracks that come in, rooms it waits for, and who
//! takes what of a track. Plain data. Must not send by itself, nor decide.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use plenum_proto::{
    node::Join,
    relay::{Control, Want, control::Kind},
};

use super::{RelayFrame, RelayPacket, RelayTransmit};
use crate::{
    ControlId, LinkKey,
    key::{RoomKey, TrackKey},
    rtp::Seen,
    track::LayerSet,
};

/// What a shard keeps of all its links.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    /// Wants go first: a keyframe asked for after one must find the way open.
    wants: VecDeque<RelayTransmit>,
    outgoing: VecDeque<RelayTransmit>,
    imports: BTreeMap<LinkKey, Imports>,
    /// Joins that wait for the home of their room, by the room's name.
    pub(crate) waiting: BTreeMap<String, Waiting>,
    /// Imported tracks of which what is wanted may have changed; may name one twice.
    pub(crate) stale: Vec<TrackKey>,
    /// Imported tracks of which a subscriber is between two encodings.
    pub(crate) switching: Vec<TrackKey>,
    /// Tracks of which something fades; see [`Outlets`](super::Outlets).
    pub(crate) fading: Vec<TrackKey>,
    /// Rooms that are on other shards too, by id.
    pub(crate) rooms: BTreeMap<String, RoomKey>,
    /// What comes of the tracks of this shard is told again then.
    pub(crate) next_flow: Option<Instant>,
    /// Rooms that may have lost their last participant of this shard.
    pub(crate) idle: Vec<RoomKey>,
}

/// Joins that wait for the home of their room.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) home: LinkKey,
    /// They are refused then.
    pub(crate) deadline: Instant,
    pub(crate) joins: Vec<(ControlId, Join)>,
}

/// Where a track that comes over a link is kept: by the index in its number. Numbers begin at 1 and are
/// given out again, so the table is as long as the origin has tracks.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    tracks: Vec<Option<(u64, TrackKey)>>,
}

/// Who takes a track that is published here, behind one link. It need not be this shard that sends it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) link: LinkKey,
    pub(crate) taken: LayerSet,
    /// What the publisher is to be asked for.
    pub(crate) requested: LayerSet,
}

/// Where a track comes from that is published on another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) link: LinkKey,
    pub(crate) number: u64,
    /// What it was told last: what to send, and what to ask for.
    pub(crate) told: (LayerSet, LayerSet),
    /// Counts of the starts of its encodings, as they came.
    pub(crate) starts: [Option<u8>; 8],
    /// Packets of its encodings since their starts.
    pub(crate) seen: Box<[Seen; 8]>,
    /// In [`Relay::stale`].
    pub(crate) is_stale: bool,
}

impl Relay {
    pub(crate) fn poll(&mut self) -> Option<RelayTransmit> {
        self.wants.pop_front().or_else(|| self.outgoing.pop_front())
    }

    pub(crate) fn send(&mut self, link: LinkKey, room_id: &str, kind: Kind) {
        let control = Control {
            room_id: room_id.to_owned(),
            kind: Some(kind),
        };
        let frame = RelayFrame::Control(Box::new(control));
        self.outgoing.push_back(RelayTransmit { link, frame });
    }

    pub(crate) fn send_want(&mut self, link: LinkKey, room_id: &str, want: Want) {
        let control = Control {
            room_id: room_id.to_owned(),
            kind: Some(Kind::Want(want)),
        };
        let frame = RelayFrame::Control(Box::new(control));
        self.wants.push_back(RelayTransmit { link, frame });
    }

    pub(crate) fn send_media(&mut self, link: LinkKey, packet: Arc<RelayPacket>) {
        let frame = RelayFrame::Media(packet);
        self.outgoing.push_back(RelayTransmit { link, frame });
    }

    /// The track of a packet.
    pub(crate) fn import(&self, link: LinkKey, number: u64) -> Option<TrackKey> {
        self.imports.get(&link)?.find(number)
    }

    /// A track comes over a link from now on; false when its number is out of all measure.
    pub(crate) fn add_import(&mut self, link: LinkKey, number: u64, track: TrackKey) -> bool {
        self.imports.entry(link).or_default().add(number, track)
    }

    pub(crate) fn remove_import(&mut self, link: LinkKey, number: u64) {
        if let Some(imports) = self.imports.get_mut(&link) {
            imports.remove(number);
        }
    }

    /// A link is gone: nothing is sent to it, nothing comes.
    pub(crate) fn forget(&mut self, link: LinkKey) {
        self.imports.remove(&link);
        self.wants.retain(|transmit| transmit.link != link);
        self.outgoing.retain(|transmit| transmit.link != link);
    }
}

impl Imports {
    /// More tracks than a shard can have.
    const INDEX_MAX: usize = 1 << 20;

    fn index(number: u64) -> usize {
        (number & u64::from(u32::MAX)) as usize
    }

    fn find(&self, number: u64) -> Option<TrackKey> {
        let (known, track) = (*self.tracks.get(Self::index(number))?)?;
        (known == number).then_some(track)
    }

    fn add(&mut self, number: u64, track: TrackKey) -> bool {
        let index = Self::index(number);
        if index >= Self::INDEX_MAX {
            return false;
        }
        if self.tracks.len() <= index {
            self.tracks.resize(index + 1, None);
        }
        self.tracks[index] = Some((number, track));
        true
    }

    /// Only the very track: its place may have been taken by another since.
    fn remove(&mut self, number: u64) {
        if let Some(entry) = self.tracks.get_mut(Self::index(number))
            && entry.is_some_and(|(known, _)| known == number)
        {
            *entry = None;
        }
    }
}

impl Origin {
    pub(crate) fn new(link: LinkKey, number: u64) -> Self {
        Self {
            link,
            number,
            told: Default::default(),
            starts: [None; 8],
            seen: Box::default(),
            is_stale: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn a_number_names_one_track_only() {
        let mut keys: SlotMap<TrackKey, ()> = SlotMap::with_key();
        let first = keys.insert(());
        keys.remove(first);
        let second = keys.insert(());
        let (one, two) = (first.number(), second.number());
        assert_eq!(
            Imports::index(one),
            Imports::index(two),
            "the place is used again"
        );
        assert_eq!(TrackKey::of_number(two), second);

        let mut imports = Imports::default();
        assert_eq!(imports.find(one), None);
        assert!(imports.add(one, first));
        assert!(imports.add(two, second));
        assert_eq!((imports.find(one), imports.find(two)), (None, Some(second)));
        imports.remove(one);
        assert_eq!(imports.find(two), Some(second));
        imports.remove(two);
        assert_eq!(imports.find(two), None);
        assert!(!imports.add(u64::MAX, first), "out of all measure");
    }

    #[test]
    fn a_want_overtakes_and_a_lost_link_gets_nothing() {
        let mut relay = Relay::default();
        let (a, b) = (LinkKey(1), LinkKey(2));
        relay.send(a, "RM_1", Kind::Detach(Default::default()));
        relay.send(b, "RM_1", Kind::Detach(Default::default()));
        relay.send_want(b, "RM_1", Want::default());
        relay.forget(a);
        let kinds = std::iter::from_fn(|| relay.poll()).map(|transmit| {
            assert_eq!(transmit.link, b);
            assert!(!transmit.frame.may_drop());
            match transmit.frame {
                RelayFrame::Control(control) => matches!(control.kind, Some(Kind::Want(_))),
                RelayFrame::Media(_) => panic!("media"),
            }
        });
        assert_eq!(kinds.collect::<Vec<_>>(), [true, false]);
    }
}
