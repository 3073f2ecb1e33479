//! Two edges that have lost each other while both see the home: each took the participants of the other for gone. They
//! are introduced anew until they have met again, less often the longer it takes; meanwhile tracks that one sent on to the
//! other go there straight from their publishers' shards. Must not look at the home: that one lost is another matter.

use std::time::{Duration, Instant};

use plenum_proto::relay::{Introduce, Parted, control::Kind};

use super::super::Shard;
use crate::{LinkKey, key::RoomKey, room::Lost};

/// How long after a loss the home is asked for the first time: what broke a connection mostly breaks no second one.
const FIRST: Duration = Duration::from_secs(1);

/// Doubled with every time it was in vain, so many times.
const DOUBLINGS: u32 = 4;

impl Shard {
    /// The way to another edge is lost.
    pub(super) fn on_parted_from(&mut self, now: Instant, key: RoomKey, link: LinkKey) {
        let Some(room) = self.rooms.get_mut(key).filter(|r| !r.span.is_home()) else {
            return;
        };
        let lost = &mut room.span.lost;
        let tries = lost.iter().find(|lost| lost.link == link);
        let tries = tries.map_or(0, |lost| (lost.tries + 1).min(DOUBLINGS));
        lost.retain(|lost| lost.link != link);
        lost.push(Lost {
            link,
            tries,
            ask_at: Some(now + FIRST * 2_u32.pow(tries)),
        });
        self.wake_room(key);
    }

    /// Asks the homes for those whose time has come.
    pub(in super::super) fn ask_for_lost(&mut self, now: Instant, rooms: &[RoomKey]) {
        for key in rooms {
            let Some(room) = self.rooms.get_mut(*key) else {
                continue;
            };
            let Some(home) = room.span.home else {
                room.span.lost.clear();
                continue;
            };
            for lost in &mut room.span.lost {
                if lost.ask_at.take_if(|at| *at <= now).is_some() {
                    let parted = Parted {
                        link: lost.link.0,
                        asks: true,
                    };
                    self.relay
                        .send(home, room.id.as_str(), Kind::Parted(parted));
                }
            }
        }
    }

    /// All that another shard has: nothing is lost.
    pub(super) fn on_found(&mut self, key: RoomKey, link: LinkKey) {
        if let Some(room) = self.rooms.get_mut(key) {
            room.span.lost.retain(|lost| lost.link != link);
        }
    }

    /// Says to the shard on which a track is published that it can not be sent on from here.
    pub(super) fn refuse_to_feed(&mut self, key: RoomKey, origin: LinkKey, link: LinkKey) {
        if let Some(room) = self.rooms.get(key) {
            let parted = Parted {
                link: link.0,
                asks: false,
            };
            self.relay
                .send(origin, room.id.as_str(), Kind::Parted(parted));
        }
    }

    /// Two other shards have lost each other.
    pub(super) fn on_parted(&mut self, now: Instant, key: RoomKey, from: LinkKey, parted: &Parted) {
        let link = LinkKey(parted.link);
        if !parted.asks {
            for track in self.tracks_of_room(key) {
                let found = self.tracks.get_mut(track);
                if let Some(found) = found.filter(|track| track.feeds(from, link)) {
                    found.apart.push((from, link));
                    self.plan_ways(now, track);
                }
            }
            return;
        }
        let Some(room) = self.rooms.get(key).filter(|room| room.span.is_home()) else {
            return;
        };
        if room.span.links.contains(&link) {
            let introduce = Introduce { link: link.0 };
            self.relay
                .send(from, room.id.as_str(), Kind::Introduce(introduce));
        }
    }
}
