//! Who has which job: workers of this replica, what is wanted in rooms, what the store says of jobs, and the jobs that
//! this replica looks after. A pure machine: time is an argument, and what is to be done comes out as [`Act`]s. Must
//! not know sockets, tokens, or the store itself.

mod answer;
mod dispatch;
mod job;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use livekit_protocol::{self as lk, server_message::Message as Tell};
use plenum_proto::{
    cluster::{DispatchRecord, JobRecord},
    v1,
};

pub(crate) use self::{
    dispatch::{Wanted, dispatch_id, distinct, wanted},
    worker::RegisterError,
};
use self::{
    job::{Job, Kind},
    worker::{Skill, Worker},
};
use crate::store::{Is, Revision};

/// How long a worker may take to say whether it takes a job.
const ANSWER: Duration = Duration::from_secs(10);

/// How long nobody is asked again for a job that nobody took, and a commit that did not happen is not tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Participants of one room that get jobs of their own.
const MAX_MEMBERS: usize = 1_000;

/// The moment at which something happens, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Now {
    /// This moment.
    pub(crate) fn read() -> Self {
        Self {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn timestamp(self) -> prost_types::Timestamp {
        self.wall.into()
    }
}

/// Names a worker's connection to this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkerKey(pub(crate) u64);

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Say this to a worker.
    Tell(WorkerKey, Box<Tell>),
    /// Give a worker its job, with a token for the participant it named.
    Assign(WorkerKey, Box<Assignment>),
    /// Change what the store holds, and tell [`Board::on_written`].
    Write(Box<Writing>),
}

/// A job that a worker has taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) job: lk::Job,
    pub(crate) identity: String,
    pub(crate) name: String,
    pub(crate) metadata: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) permissions: lk::ParticipantPermission,
}

/// What is to become of the record of a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Writing {
    pub(crate) at: Slot,
    /// The name of the room, which has to be there for a record to be written.
    pub(crate) room: String,
    /// What the record must still be.
    pub(crate) is: Is,
    /// Nothing: it goes.
    pub(crate) record: Option<JobRecord>,
    /// It goes with the lease of this replica.
    pub(crate) is_leased: bool,
}

/// Names a job, whoever looks after it: all replicas find the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) room_id: String,
    /// Of the dispatch and, where it is for one, of the participant.
    pub(crate) name: String,
}

/// A room that lives.
#[derive(Debug)]
struct Room {
    info: v1::Room,
    /// Of its settings.
    wishes: Vec<v1::AgentWish>,
    /// Dispatches whose agent was in the room before anybody looked after its job, and which participants that are.
    served: BTreeMap<String, BTreeSet<String>>,
    members: BTreeMap<String, Member>,
    /// By the name of the slot.
    jobs: BTreeMap<String, Job>,
}

/// A participant that is no agent, by id.
#[derive(Debug)]
struct Member {
    info: v1::Participant,
    is_publisher: bool,
}

/// What the store holds, as far as it was told.
#[derive(Debug, Default)]
struct Stored {
    dispatches: BTreeMap<Slot, DispatchRecord>,
    jobs: BTreeMap<Slot, (JobRecord, Revision)>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Board {
    /// This run of this replica, as records name it.
    replica: String,
    /// How long a lost worker may take to come back.
    patience: Duration,
    workers: BTreeMap<WorkerKey, Worker>,
    /// What these can.
    skills: BTreeSet<Skill>,
    /// By id.
    rooms: BTreeMap<String, Room>,
    stored: Stored,
    /// What workers that came back say they have, by slot: who, and the job's id.
    returned: BTreeMap<Slot, (WorkerKey, String)>,
}

/// What the jobs of a room look at, and where they say what is to be done.
struct Desk<'a> {
    now: Now,
    replica: &'a str,
    room: &'a v1::Room,
    workers: &'a mut BTreeMap<WorkerKey, Worker>,
    stored: &'a BTreeMap<Slot, (JobRecord, Revision)>,
    returned: &'a mut BTreeMap<Slot, (WorkerKey, String)>,
    acts: Vec<Act>,
}

impl Board {
    /// An empty one.
    pub(crate) fn new(replica: String, patience: Duration) -> Self {
        Self {
            replica,
            patience,
            workers: BTreeMap::new(),
            skills: BTreeSet::new(),
            rooms: BTreeMap::new(),
            stored: Stored::default(),
            returned: BTreeMap::new(),
        }
    }

    /// Whether nobody is served: no worker is there, nor a job whose worker may come back.
    pub(crate) fn is_idle(&self) -> bool {
        let mut jobs = self.rooms.values().flat_map(|room| room.jobs.values());
        self.workers.is_empty() && !jobs.any(Job::is_ours)
    }

    /// Forgets rooms and records, which nobody follows from now on.
    pub(crate) fn forget(&mut self) {
        self.rooms.clear();
        self.stored = Stored::default();
    }

    /// A room lives, with the wishes of its settings and, where that is known, who is in it.
    pub(crate) fn on_room(
        &mut self,
        now: Now,
        info: v1::Room,
        wishes: Vec<v1::AgentWish>,
        here: Option<Vec<v1::Participant>>,
    ) -> Vec<Act> {
        let id = info.id.clone();
        let mut acts = Vec::new();
        if !self.rooms.contains_key(&id) {
            // One of the same name is over, though nobody said so.
            let same = |room: &&Room| room.info.name == info.name;
            let before = self
                .rooms
                .values()
                .find(same)
                .map(|room| room.info.id.clone());
            acts.extend(before.into_iter().flat_map(|id| self.on_room_ended(&id)));
            let room = Room {
                served: self.served(&info, &wishes, here.as_deref().unwrap_or_default()),
                info,
                wishes,
                members: BTreeMap::new(),
                jobs: BTreeMap::new(),
            };
            self.rooms.insert(id.clone(), room);
        }
        if let (Some(room), Some(here)) = (self.rooms.get_mut(&id), here) {
            room.keep(&here);
            for participant in here {
                let is_publisher = !participant.tracks.is_empty();
                room.add(participant, is_publisher);
            }
        }
        acts.extend(self.settle(now, &id));
        acts
    }

    /// These are the rooms there are: forgets all others, whose end was missed.
    pub(crate) fn keep_rooms(&mut self, rooms: &[v1::Room]) -> Vec<Act> {
        let kept: BTreeSet<&String> = rooms.iter().map(|room| &room.id).collect();
        let gone: Vec<String> = (self.rooms.keys())
            .filter(|id| !kept.contains(id))
            .cloned()
            .collect();
        gone.iter().flat_map(|id| self.on_room_ended(id)).collect()
    }

    /// A room is gone. Its records go with that of the room.
    pub(crate) fn on_room_ended(&mut self, id: &str) -> Vec<Act> {
        let jobs = self.rooms.remove(id).into_iter().flat_map(|room| room.jobs);
        jobs.filter_map(|(_, job)| job.termination()).collect()
    }

    /// A participant is there, or publishes.
    pub(crate) fn on_member(
        &mut self,
        now: Now,
        room_id: &str,
        participant: v1::Participant,
        is_publisher: bool,
    ) -> Vec<Act> {
        let Some(room) = self.rooms.get_mut(room_id) else {
            return Vec::new();
        };
        if !room.add(participant, is_publisher) {
            return Vec::new();
        }
        self.settle(now, room_id)
    }

    /// A participant left.
    pub(crate) fn on_left(&mut self, now: Now, room_id: &str, participant_id: &str) -> Vec<Act> {
        let room = self.rooms.get_mut(room_id);
        if room.is_some_and(|room| room.remove(participant_id)) {
            self.settle(now, room_id)
        } else {
            Vec::new()
        }
    }

    /// Asks for what nobody has, and gives up on who does not answer.
    pub(crate) fn tick(&mut self, now: Now) -> Vec<Act> {
        let ids: Vec<String> = self.rooms.keys().cloned().collect();
        ids.iter().flat_map(|id| self.settle(now, id)).collect()
    }

    /// What the store holds of a dispatch; nothing: it was taken back.
    pub(crate) fn on_dispatch(
        &mut self,
        now: Now,
        at: Slot,
        record: Option<DispatchRecord>,
    ) -> Vec<Act> {
        let room_id = at.room_id.clone();
        match record {
            Some(record) => drop(self.stored.dispatches.insert(at, record)),
            None => drop(self.stored.dispatches.remove(&at)),
        }
        self.settle(now, &room_id)
    }

    /// What the store holds of a job, by which commit; nothing: it holds nothing any more.
    pub(crate) fn on_record(
        &mut self,
        now: Now,
        at: Slot,
        record: Option<JobRecord>,
        revision: Revision,
    ) -> Vec<Act> {
        let room_id = at.room_id.clone();
        self.stored.note(at, record, revision);
        self.settle(now, &room_id)
    }

    /// All that the store holds, instead of what it was thought to.
    pub(crate) fn on_stored(
        &mut self,
        now: Now,
        dispatches: BTreeMap<Slot, DispatchRecord>,
        jobs: BTreeMap<Slot, (JobRecord, Revision)>,
    ) -> Vec<Act> {
        self.stored = Stored { dispatches, jobs };
        self.tick(now)
    }

    /// What became of a commit: done as this revision, not done because something else was, or not known.
    pub(crate) fn on_written(
        &mut self,
        now: Now,
        writing: Writing,
        done: Option<Revision>,
    ) -> Vec<Act> {
        let Writing { at, record, .. } = writing;
        let room = self.rooms.get_mut(&at.room_id);
        if let Some(job) = room.and_then(|room| room.jobs.get_mut(&at.name)) {
            job.on_written(now.instant, done.is_some());
        }
        let room_id = at.room_id.clone();
        if let Some(revision) = done {
            self.stored.note(at, record, revision);
        }
        self.settle(now, &room_id)
    }

    /// Brings the jobs of a room in step with what is wanted in it, what the store says, and the workers there are.
    fn settle(&mut self, now: Now, room_id: &str) -> Vec<Act> {
        let Some(room) = self.rooms.get_mut(room_id) else {
            return Vec::new();
        };
        let wanted = wanted(&room.info, &room.wishes, &self.stored.dispatches);
        room.make_jobs(now, &wanted, &self.skills);
        let Room {
            info,
            served,
            members,
            jobs,
            ..
        } = room;
        let mut desk = Desk {
            now,
            replica: &self.replica,
            room: info,
            workers: &mut self.workers,
            stored: &self.stored.jobs,
            returned: &mut self.returned,
            acts: Vec::new(),
        };
        jobs.retain(|_, job| {
            let wanted = wanted.iter().find(|wanted| wanted.id == job.dispatch_id);
            let whom = job.participant_id.as_ref().map(|id| members.get(id));
            let wanted = match whom {
                Some(None) => None,
                _ => wanted,
            };
            let whom = whom.flatten().map(|member| &member.info);
            let is_served = served.contains_key(&job.dispatch_id) && job.kind == Kind::Room;
            job.advance(&mut desk, wanted.map(|wanted| (wanted, whom)), is_served)
        });
        desk.send_back();
        desk.acts
    }

    /// Dispatches of a room that was there before us, whose agent is in it though nobody looks after its job.
    fn served(
        &self,
        info: &v1::Room,
        wishes: &[v1::AgentWish],
        participants: &[v1::Participant],
    ) -> BTreeMap<String, BTreeSet<String>> {
        let mut here: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for agent in participants {
            if agent.kind() == v1::ParticipantKind::Agent {
                let name = agent.attributes.get(AGENT_NAME).map_or("", String::as_str);
                here.entry(name).or_default().insert(agent.id.clone());
            }
        }
        let jobs = &self.stored.jobs;
        wanted(info, wishes, &BTreeMap::new())
            .into_iter()
            .filter(|wanted| !jobs.contains_key(&wanted.slot(&info.id, Kind::Room, None)))
            .filter_map(|wanted| {
                let agents = here.get(wanted.agent.agent_name.as_str())?;
                Some((wanted.id, agents.clone()))
            })
            .collect()
    }
}

impl Desk<'_> {
    /// What workers came back with, and none of the room's jobs has taken, is wanted no longer.
    fn send_back(&mut self) {
        let from = Slot {
            room_id: self.room.id.clone(),
            name: String::new(),
        };
        let of_room = self.returned.range(from..);
        let left: Vec<Slot> = of_room
            .map(|(slot, _)| slot.clone())
            .take_while(|slot| slot.room_id == self.room.id)
            .collect();
        for slot in left {
            if let Some((worker, id)) = self.returned.remove(&slot) {
                self.acts.push(job::terminate(worker, &id));
            }
        }
    }
}

/// The attribute by which an agent names itself.
pub(crate) const AGENT_NAME: &str = "lk.agent.name";

impl Room {
    /// Notes a participant; whether that changes anything.
    fn add(&mut self, participant: v1::Participant, is_publisher: bool) -> bool {
        use v1::ParticipantKind::{Agent, Egress};
        // Agents and recorders are not to be served by others of their kind.
        if matches!(participant.kind(), Agent | Egress) {
            return false;
        }
        if let Some(known) = self.members.get_mut(&participant.id) {
            let is_news = is_publisher && !known.is_publisher;
            known.is_publisher |= is_publisher;
            return is_news;
        }
        if self.members.len() >= MAX_MEMBERS {
            return false;
        }
        let member = Member {
            is_publisher,
            info: participant,
        };
        self.members.insert(member.info.id.clone(), member);
        true
    }

    /// Forgets a participant; whether that changes anything.
    fn remove(&mut self, id: &str) -> bool {
        let before = self.served.len();
        self.served.retain(|_, agents| {
            agents.remove(id);
            !agents.is_empty()
        });
        self.members.remove(id).is_some() || self.served.len() < before
    }

    /// These are in it: forgets all others, whose leaving was missed.
    fn keep(&mut self, here: &[v1::Participant]) {
        let here: BTreeSet<&str> = here
            .iter()
            .map(|participant| participant.id.as_str())
            .collect();
        self.members.retain(|id, _| here.contains(id.as_str()));
        self.served.retain(|_, agents| {
            agents.retain(|id| here.contains(id.as_str()));
            !agents.is_empty()
        });
    }

    /// Makes the jobs for which there is a worker: one for the room, or one for each publisher or participant.
    fn make_jobs(&mut self, now: Now, wanted: &[Wanted], skills: &BTreeSet<Skill>) {
        for wanted in wanted {
            let has = |kind| skills.contains(&Skill::needed(&wanted.agent, kind));
            let mut make = |kind, whom: Option<&String>| {
                let slot = wanted.slot(&self.info.id, kind, whom.map(String::as_str));
                self.jobs
                    .entry(slot.name.clone())
                    .or_insert_with(|| Job::new(now.instant, slot, &wanted.id, kind, whom));
            };
            if has(Kind::Room) {
                make(Kind::Room, None);
            }
            let (for_publishers, for_all) = (has(Kind::Publisher), has(Kind::Participant));
            for (id, member) in &self.members {
                if for_all {
                    make(Kind::Participant, Some(id));
                }
                if for_publishers && member.is_publisher {
                    make(Kind::Publisher, Some(id));
                }
            }
        }
    }
}

impl Stored {
    fn note(&mut self, at: Slot, record: Option<JobRecord>, revision: Revision) {
        let known = self.jobs.get(&at).map_or(0, |(_, known)| *known);
        if revision < known {
            // Told late of what has changed since.
            return;
        }
        match record {
            Some(record) => drop(self.jobs.insert(at, (record, revision))),
            None => drop(self.jobs.remove(&at)),
        }
    }
}

#[cfg(test)]
mod tests;
