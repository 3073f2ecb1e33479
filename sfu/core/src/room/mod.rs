//! Rooms and their members: who is here, with which rights, and who may hear whom. Must not know
//! sessions; the shard passes values between the two.

mod loudest;
mod member;
mod permission;
pub(crate) mod quality;
mod roster;
mod span;
pub(crate) mod speaker;

use std::time::{Duration, Instant};

use plenum_proto::{ids::RoomId, v1};

pub(crate) use loudest::{Chosen, choose_loudest};
pub(crate) use member::{Member, MemberText, TextProblem, is_person};
pub(crate) use permission::{SubscriptionRule, may_publish_source};
pub(crate) use roster::Roster;
pub(crate) use span::{Lost, Span, Voice};

use crate::key::{SessionKey, TrackKey};

/// A conference.
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) name: String,
    pub(crate) metadata: String,
    pub(crate) empty_timeout: Duration,
    pub(crate) departure_timeout: Duration,
    /// 0 = no limit of its own.
    pub(crate) max_participants: u32,
    pub(crate) created_at: prost_types::Timestamp,
    /// In the order in which they joined.
    pub(crate) members: Vec<SessionKey>,
    /// How many of them it is there for: all but agents and recorders.
    pub(crate) people: usize,
    /// Since when none of these are here, and whether any ever were.
    pub(crate) empty_since: Instant,
    pub(crate) was_joined: bool,
    /// What the last speaker report said, to tell only what changed.
    pub(crate) speaking: Vec<(SessionKey, u8)>,
    /// Speakers are looked at again then.
    pub(crate) next_speakers: Instant,
    /// Where it is besides this shard.
    pub(crate) span: Span,
    /// The microphones that are forwarded, where not all are.
    pub(crate) loudest: Vec<Chosen<TrackKey>>,
    /// The levels of microphones of this shard that the others were told last, by track number.
    pub(crate) told_levels: Vec<(u64, u8)>,
    /// What the members have yet to be told of each other.
    pub(crate) roster: Roster,
    /// It is looked at with every tick of the shard.
    pub(crate) is_awake: bool,
}

impl Room {
    /// When the room ends unless somebody comes.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        let life = if self.was_joined {
            self.departure_timeout
        } else {
            self.empty_timeout
        };
        (self.people == 0).then(|| self.empty_since + life)
    }

    /// A member is here from now on.
    pub(crate) fn add(&mut self, key: SessionKey, member: &Member) {
        self.members.push(key);
        if member.is_person() {
            self.people += 1;
            self.was_joined = true;
        }
    }

    /// A member is gone.
    pub(crate) fn remove(&mut self, now: Instant, key: SessionKey, member: &Member) {
        let before = self.members.len();
        self.members.retain(|other| *other != key);
        self.speaking.retain(|(speaker, _)| *speaker != key);
        if member.is_person() && self.members.len() < before {
            self.people -= 1;
            if self.people == 0 {
                self.empty_since = now;
            }
        }
    }

    /// The room as the API shows it; the counts come from its members.
    pub(crate) fn info(&self, num_participants: u32, num_publishers: u32) -> v1::Room {
        v1::Room {
            id: (&self.id).into(),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            empty_timeout: Some(proto_duration(self.empty_timeout)),
            departure_timeout: Some(proto_duration(self.departure_timeout)),
            max_participants: self.max_participants,
            created_at: Some(self.created_at),
            num_participants,
            num_publishers,
        }
    }
}

fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A duration from a message; nonsense (negative, too long) is none.
pub(crate) fn duration_from(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    let duration = duration?;
    let seconds = u64::try_from(duration.seconds)
        .ok()
        .filter(|s| *s <= 365 * 24 * 3600)?;
    Some(Duration::new(
        seconds,
        u32::try_from(duration.nanos).unwrap_or(0).min(999_999_999),
    ))
}
