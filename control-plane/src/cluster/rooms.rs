//! Which node is home of a room, by the store. Owns the records of rooms and every change of them. Must not talk
//! to nodes, but for telling one that it is home no longer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plenum_proto::{
    cluster::{RoomHeld, RoomRecord},
    ids::RoomId,
    node::{FenceRequest, HomeNode},
    v1::{self, RoomConfig},
};
use prost::Message as _;
use tokio::time::timeout;

use super::{Cluster, Member, PlaceError, key};
use crate::{
    placement::{self, Candidate, Origin},
    store::{Commit, Entry, Is, Outcome, Revision, StoreError},
};

/// Times a room is looked for when others change its record at the same moment.
const ATTEMPTS: usize = 16;

/// Records remembered for when the store does not answer.
const CACHED: usize = 50_000;

/// How long a node may take to hear that it is home no longer; it finds out by itself later.
const FENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a room that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// It is a mistake, and one that is there is wanted where it is, though its home is being emptied.
    AsIs,
    /// It is a mistake.
    Never,
    /// It is placed.
    IfAbsent,
}

/// A room and its home.
#[derive(Clone)]
pub(crate) struct Located {
    /// What the store holds.
    pub(crate) record: RoomRecord,
    /// Of the placement.
    pub(crate) epoch: u64,
    /// The home.
    pub(crate) home: Arc<Member>,
    /// It was placed just now: the node does not know of it.
    pub(crate) is_new: bool,
}

impl Located {
    /// As a join names it.
    pub(crate) fn home_node(&self) -> HomeNode {
        HomeNode {
            node_id: self.record.node_id.clone(),
            relay_addresses: self.home.report.relay_addresses.clone(),
            epoch: self.epoch,
        }
    }
}

/// The last known records.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<String, (RoomRecord, u64)>>);

impl Cache {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (RoomRecord, u64)>> {
        // An entry is set as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record as the store has it.
struct Stored {
    record: RoomRecord,
    revision: Revision,
}

impl Stored {
    fn read(entry: Entry) -> Result<Self, StoreError> {
        let unreadable = |_| StoreError::Refused(format!("{} cannot be read", entry.key));
        Ok(Self {
            record: RoomRecord::decode(entry.value).map_err(unreadable)?,
            revision: entry.revision,
        })
    }

    /// Until a record is changed for another reason, its placement is the commit that wrote it.
    fn epoch(&self) -> u64 {
        match self.record.epoch {
            0 => self.revision,
            epoch => epoch,
        }
    }
}

impl Cluster {
    /// The home of a room. A room whose home is gone or being emptied gets another, with its id and settings. What
    /// refers to `over`, a placement of which a node said that it has ended, counts as no room at all.
    pub(crate) async fn locate(
        &self,
        config: &RoomConfig,
        make: Make,
        over: Option<u64>,
    ) -> Result<Located, PlaceError> {
        let name = &config.name;
        for _ in 0..ATTEMPTS {
            let before = match self.stored(name).await {
                Ok(before) => before,
                Err(error) => {
                    return self
                        .remembered(name, make, over)
                        .ok_or_else(|| error.into());
                }
            };
            let live = before
                .as_ref()
                .filter(|stored| over != Some(stored.epoch()));
            if let Some(stored) = live
                && let Some(home) = self.nodes().find(&stored.record.node_id)
                && (!home.is_draining() || make == Make::AsIs)
            {
                return Ok(self.found(stored.record.clone(), stored.epoch(), home, false));
            }
            if live.is_none() && make != Make::IfAbsent {
                return Err(PlaceError::NoRoom);
            }
            let (room_id, kept) = match live {
                Some(stored) => (stored.record.room_id.clone(), stored.record.config.clone()),
                None => (RoomId::random(rand::random).into(), None),
            };
            let record = RoomRecord {
                room_id,
                config: Some(kept.unwrap_or_else(|| config.clone())),
                node_id: self.choose(name)?,
                epoch: 0,
            };
            if let Some(located) = self.place(name, before.as_ref(), record).await? {
                return Ok(located);
            }
        }
        Err(PlaceError::Busy)
    }

    /// The home of a room that `node` serves and whose home it has lost: `node` itself where nobody is home any more. None
    /// when the room is over.
    ///
    /// # Errors
    /// It cannot be told now.
    pub(super) async fn find_home(
        &self,
        node: &str,
        name: &str,
        room_id: &str,
    ) -> Result<Option<Located>, PlaceError> {
        for _ in 0..ATTEMPTS {
            let stored = self.stored(name).await?;
            let Some(stored) = stored.filter(|stored| stored.record.room_id == room_id) else {
                return Ok(None);
            };
            if let Some(home) = self.nodes().find(&stored.record.node_id)
                && !home.is_draining()
                && (home.id() == node || !self.nodes().suspect(&home).await)
            {
                let epoch = stored.epoch();
                return Ok(Some(self.found(stored.record, epoch, home, false)));
            }
            let heir = self
                .nodes()
                .find(node)
                .filter(|member| !member.is_draining());
            let record = RoomRecord {
                node_id: match heir {
                    Some(heir) => heir.id().to_owned(),
                    None => self.choose(name)?,
                },
                epoch: 0,
                ..stored.record.clone()
            };
            if let Some(located) = self.place(name, Some(&stored), record).await? {
                return Ok(Some(located));
            }
        }
        Err(PlaceError::Busy)
    }

    /// Writes a placement; nothing when somebody else was faster, or the node has just gone.
    async fn place(
        &self,
        name: &str,
        before: Option<&Stored>,
        record: RoomRecord,
    ) -> Result<Option<Located>, PlaceError> {
        let Some(home) = self.nodes().find(&record.node_id) else {
            return Ok(None);
        };
        let is = before.map_or(Is::Absent, |stored| Is::At(stored.revision));
        let commit = Commit::default()
            .when(key::room(name), is)
            .when(key::node(&record.node_id), Is::Present)
            .put(key::room(name), record.encode_to_vec());
        let Outcome::Done(epoch) = self.store().commit(commit).await? else {
            return Ok(None);
        };
        if let Some(stored) = before {
            self.fence(name, &stored.record.node_id, epoch);
        }
        Ok(Some(self.found(record, epoch, home, true)))
    }

    fn choose(&self, name: &str) -> Result<String, PlaceError> {
        let members = self.nodes().all();
        let candidates: Vec<Candidate<'_>> = members.iter().map(|m| m.candidate()).collect();
        placement::place_room(name, self.origin(), &candidates)
            .map(str::to_owned)
            .ok_or(PlaceError::NoNode)
    }

    /// The node that is to serve a participant of a room.
    pub(crate) fn serving(&self, located: &Located) -> Arc<Member> {
        let members = self.nodes().all();
        let candidates: Vec<Candidate<'_>> = members.iter().map(|m| m.candidate()).collect();
        let name = located
            .record
            .config
            .as_ref()
            .map_or("", |config| &config.name);
        let home = located.home.candidate();
        let id = placement::place_participant(name, self.origin(), &home, &candidates);
        let chosen = members.iter().find(|member| member.id() == id);
        chosen.map_or_else(|| Arc::clone(&located.home), Arc::clone)
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            region: &self.standing.region,
            zone: &self.standing.zone,
        }
    }

    /// Tells a node that is there that it is home no longer.
    fn fence(&self, name: &str, node: &str, epoch: u64) {
        let Some(member) = self.nodes().find(node) else {
            return;
        };
        let request = FenceRequest {
            room: name.to_owned(),
            epoch,
        };
        tokio::spawn(async move {
            let mut client = member.client.clone();
            let told = timeout(FENCE_TIMEOUT, client.fence(request)).await;
            if !matches!(told, Ok(Ok(_))) {
                tracing::warn!(
                    node = member.id(),
                    "a node was not told that a room has another home"
                );
            }
        });
    }

    fn found(&self, record: RoomRecord, epoch: u64, home: Arc<Member>, is_new: bool) -> Located {
        let mut cache = self.cache.lock();
        if cache.len() >= CACHED {
            cache.clear();
        }
        let name = record.config.as_ref().map_or("", |config| &config.name);
        cache.insert(name.to_owned(), (record.clone(), epoch));
        drop(cache);
        Located {
            record,
            epoch,
            home,
            is_new,
        }
    }

    /// What was last known of a room, when the store does not answer: it goes on where it is.
    fn remembered(&self, name: &str, make: Make, over: Option<u64>) -> Option<Located> {
        let (record, epoch) = self.cache.lock().get(name).cloned()?;
        let home = self.nodes().find(&record.node_id)?;
        let is_good = !home.is_draining() || make == Make::AsIs;
        (over != Some(epoch) && is_good).then_some(Located {
            record,
            epoch,
            home,
            is_new: false,
        })
    }

    /// The record of a room, if there is one.
    pub(super) async fn home_of(&self, name: &str) -> Result<Option<RoomRecord>, StoreError> {
        Ok(self.stored(name).await?.map(|stored| stored.record))
    }

    async fn stored(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let entry = self.store().get(&key::room(name)).await?;
        entry.map(Stored::read).transpose()
    }

    /// The agents that the settings of a room want in it.
    pub(crate) async fn wishes(&self, room: &v1::Room) -> Result<Vec<v1::AgentWish>, PlaceError> {
        let stored = self.stored(&room.name).await?;
        let record = stored.map(|stored| stored.record);
        let record = record.filter(|record| record.room_id == room.id);
        let config = record.and_then(|record| record.config);
        Ok(config.unwrap_or_default().agents)
    }

    /// Keeps what the application changed, for when the room moves.
    pub(crate) async fn keep_config(
        &self,
        name: &str,
        change: impl Fn(&mut RoomConfig),
    ) -> Result<(), PlaceError> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.stored(name).await? else {
                return Ok(());
            };
            let epoch = stored.epoch();
            let mut record = stored.record;
            change(record.config.get_or_insert_default());
            record.epoch = epoch;
            let commit = Commit::default()
                .when(key::room(name), Is::At(stored.revision))
                .put(key::room(name), record.encode_to_vec());
            if let Outcome::Done(_) = self.store().commit(commit).await? {
                return Ok(());
            }
        }
        Err(PlaceError::Busy)
    }

    /// A room has ended: its record goes, unless it was placed anew since. Where a home is left that holds it still, for
    /// another node said so that was home before, it is told.
    pub(crate) async fn ended(&self, name: &str, room_id: &str) -> Result<(), PlaceError> {
        self.cache.lock().remove(name);
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.stored(name).await? else {
                return Ok(());
            };
            if stored.record.room_id != room_id {
                return Ok(());
            }
            let commit = Commit::default()
                .when(key::room(name), Is::At(stored.revision))
                .delete(key::room(name));
            if let Outcome::Done(over) = self.store().commit(commit).await? {
                self.fence(name, &stored.record.node_id, over);
                return Ok(());
            }
        }
        Err(PlaceError::Busy)
    }

    /// Of rooms that `node` holds, those that have another home, with the epoch of that. Rooms that the store does not
    /// know are written down again, for it has lost what it had, and so is the id of one that it knows by another.
    pub(crate) async fn lost(
        &self,
        node: &str,
        held: impl IntoIterator<Item = RoomHeld>,
    ) -> Result<Vec<RoomHeld>, StoreError> {
        let mut lost = Vec::new();
        for RoomHeld {
            room,
            epoch,
            room_id,
        } in held
        {
            match self.stored(&room).await? {
                Some(stored) if stored.record.node_id != node && stored.epoch() > epoch => {
                    lost.push(RoomHeld {
                        room,
                        epoch: stored.epoch(),
                        room_id: String::new(),
                    });
                }
                Some(stored)
                    if stored.epoch() == epoch
                        && !room_id.is_empty()
                        && stored.record.room_id != room_id =>
                {
                    self.correct(stored, room_id).await?;
                }
                Some(_) => {}
                None if epoch > 0 && !room_id.is_empty() => {
                    self.restore(node, room, epoch, room_id).await?
                }
                None => {}
            }
        }
        Ok(lost)
    }

    /// The home of a room holds another than was to be made there, for the one before had not ended: what lives is right.
    async fn correct(&self, stored: Stored, room_id: String) -> Result<(), StoreError> {
        let epoch = stored.epoch();
        let record = RoomRecord {
            room_id,
            epoch,
            ..stored.record
        };
        let name = record.config.as_ref().map_or("", |config| &config.name);
        let commit = Commit::default()
            .when(key::room(name), Is::At(stored.revision))
            .put(key::room(name), record.encode_to_vec());
        // Whoever was faster has changed it; the node asks again.
        self.store().commit(commit).await?;
        Ok(())
    }

    async fn restore(
        &self,
        node: &str,
        room: String,
        epoch: u64,
        room_id: String,
    ) -> Result<(), StoreError> {
        let record = RoomRecord {
            room_id,
            config: Some(RoomConfig {
                name: room.clone(),
                ..RoomConfig::default()
            }),
            node_id: node.to_owned(),
            epoch,
        };
        // Whoever was faster has placed it anew, and the node hears of that the next time it asks.
        let commit = Commit::default()
            .when(key::room(&room), Is::Absent)
            .when(key::node(node), Is::Present)
            .put(key::room(&room), record.encode_to_vec());
        self.store().commit(commit).await?;
        Ok(())
    }
}
