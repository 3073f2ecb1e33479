//! What is wanted in a room: by its settings, and by what the API put into the store. Owns the names of dispatches and
//! jobs, which are the same at every replica. Must not look for workers.
//!
//! Names are made of letters, digits and `_`: a dispatch of room `RM_x` is `AD_x_…`, its jobs are `AJ_x_…-n`, where
//! what is before the `-` names the slot, and what is after it the attempt.

use std::collections::BTreeMap;

use plenum_proto::{cluster::DispatchRecord, v1};

use super::{Slot, job::Kind};

/// A dispatch that holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) id: String,
    pub(crate) agent: v1::AgentWish,
    /// Absent: with the room.
    pub(crate) created_at: Option<prost_types::Timestamp>,
}

impl Wanted {
    /// Where its job is, or that for a participant.
    pub(super) fn slot(&self, room_id: &str, kind: Kind, participant_id: Option<&str>) -> Slot {
        let whom = participant_id.map_or("", own);
        let name = format!("{}_{}{whom}", own(&self.id), kind.letter());
        Slot {
            room_id: room_id.to_owned(),
            name,
        }
    }
}

impl Wanted {
    /// Whether a job comes from it.
    pub(crate) fn has(&self, job: &v1::AgentJob) -> bool {
        let rest = job.id.strip_prefix("AJ_");
        let rest = rest.and_then(|rest| rest.strip_prefix(own(&self.id)));
        rest.is_some_and(|rest| rest.starts_with('_'))
    }
}

/// What comes after the kind of an id.
fn own(id: &str) -> &str {
    id.split_once('_').map_or(id, |(_, own)| own)
}

/// The name of a dispatch of a room.
pub(crate) fn dispatch_id(room_id: &str, distinct: &str) -> String {
    format!("AD_{}_{distinct}", own(room_id))
}

/// The dispatches of a room that hold, in the order they came.
pub(crate) fn wanted(
    room: &v1::Room,
    wishes: &[v1::AgentWish],
    stored: &BTreeMap<Slot, DispatchRecord>,
) -> Vec<Wanted> {
    // Whoever names no agent gets one of the workers without a name.
    let unnamed = [v1::AgentWish::default()];
    let wishes = if wishes.is_empty() { &unnamed } else { wishes };
    let from = Slot {
        room_id: room.id.clone(),
        name: String::new(),
    };
    let stored: BTreeMap<&str, &DispatchRecord> = stored
        .range(from..)
        .take_while(|(slot, _)| slot.room_id == room.id)
        .map(|(slot, record)| (slot.name.as_str(), record))
        .collect();
    let of_room = wishes.iter().enumerate().map(|(n, agent)| Wanted {
        id: dispatch_id(&room.id, &n.to_string()),
        agent: agent.clone(),
        created_at: None,
    });
    let mut wanted: Vec<Wanted> = of_room
        .filter(|wanted| !stored.contains_key(wanted.id.as_str()))
        .collect();
    let mut added: Vec<Wanted> = stored
        .into_iter()
        .filter(|(_, record)| !record.withdrawn)
        .map(|(id, record)| Wanted {
            id: id.to_owned(),
            agent: record.agent.clone().unwrap_or_default(),
            created_at: record.created_at,
        })
        .collect();
    added.sort_by_key(|wanted| wanted.created_at.map(|at| (at.seconds, at.nanos)));
    wanted.append(&mut added);
    wanted
}

/// The name of an attempt at a job.
pub(super) fn job_id(slot: &Slot, attempt: &str) -> String {
    format!("AJ_{}-{attempt}", slot.name)
}

/// Where the job of this id is.
pub(super) fn slot_of(job_id: &str) -> Option<Slot> {
    let (name, _) = job_id.strip_prefix("AJ_")?.split_once('-')?;
    let (room, _) = name.split_once('_')?;
    Some(Slot {
        room_id: format!("RM_{room}"),
        name: name.to_owned(),
    })
}

/// Random letters: 47 bits, to tell apart what is in one place.
pub(crate) fn distinct() -> String {
    use rand::distr::{Alphanumeric, SampleString as _};
    Alphanumeric.sample_string(&mut rand::rng(), 8)
}
