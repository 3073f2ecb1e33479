//! What goes into a shard: datagrams and commands. Must not hold behaviour.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use plenum_proto::{
    node::{AdminReply, AdminRequest, Join, SessionRequest},
    v1,
};

use crate::{Answer, ControlId, KeyframeFeedback, LinkKey, PlainFormat, Protocol};

/// One datagram (or one RFC 4571 frame) from the network.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Where it came from.
    pub source: SocketAddr,
    /// The candidate address of ours it was sent to, as configured in
    /// [`CandidateAddress::local`](crate::CandidateAddress).
    pub destination: SocketAddr,
    /// How it came.
    pub protocol: Protocol,
    /// The payload, at most 65,535 bytes.
    pub bytes: &'a [u8],
}

/// One datagram of plain RTP or RTCP, of a participant whose join had the shape `PLAIN`. Whoever brings it answers
/// for where it comes from: what does not come from the participant's one source must not get here.
#[derive(Debug, Clone, Copy)]
pub struct PlainDatagram<'a> {
    /// The participant's control connection.
    pub control: ControlId,
    /// Index among the sections of [`Command::DescribePlain`]. Of RTCP any of them: streams are named in it.
    pub section: u8,
    /// The payload.
    pub bytes: &'a [u8],
}

/// A medium that comes as plain RTP (RFC 3550).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlainSection {
    /// The track as it is to be announced: kind, source and what else is known.
    pub track: v1::Track,
    /// What its payload types stand for; at least one, the usual one first.
    pub formats: Vec<PlainFormat>,
    /// What its source takes.
    pub keyframes: KeyframeFeedback,
}

/// Where a medium goes as plain RTP. Whoever names it answers for its wanting to be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainSink {
    /// Video or audio.
    pub is_video: bool,
    /// Where media goes.
    pub rtp: SocketAddr,
    /// Where reports go, and feedback comes from; the same, or another port.
    pub rtcp: SocketAddr,
}

/// What the control plane wants of a shard.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once per request, never stored"
)]
pub enum Command {
    /// Opens a control connection: joins a room, or takes up an existing stay. Answers come as
    /// events of `control`: `joined`, `resumed` or `closed` first.
    Join {
        /// New, chosen by the node.
        control: ControlId,
        /// Who, where, with which rights.
        join: Box<Join>,
        /// The way to the shard that is the home of the room; none when this one is, or is to be.
        home: Option<LinkKey>,
    },
    /// Lets a participant of this shard appear in another room too. Answers come as events of `control`, as to a join;
    /// after the first the control connection is over.
    Forward {
        /// New, chosen by the node.
        control: ControlId,
        /// Who, and where.
        forward: Box<Forward>,
        /// The way to the shard that is the home of the other room; none when this one is, or is to be.
        home: Option<LinkKey>,
    },
    /// A further request on a control connection; what is wrong with it is answered by an event.
    Session {
        /// Opened by a join before.
        control: ControlId,
        /// Anything but `join`.
        request: SessionRequest,
    },
    /// An answer of a control connection, read before; as if it had come with the request that it was read of.
    Answer {
        /// Opened by a join before.
        control: ControlId,
        /// Of [`Command::of_request`].
        answer: Box<Answer>,
    },
    /// Describes the media of a participant whose join had the shape `PLAIN`, once: its tracks are published.
    DescribePlain {
        /// Its control connection.
        control: ControlId,
        /// One for each track, 16 at most.
        sections: Vec<PlainSection>,
    },
    /// Names where subscriptions of a participant go whose join had the shape `PLAIN`, once: each serves one
    /// subscription of its kind after the other, under one SSRC.
    SendPlain {
        /// Its control connection.
        control: ControlId,
        /// One for each subscription at a time, 8 at most.
        sinks: Vec<PlainSink>,
        /// How often there is to be a keyframe at least, for receivers that come late and do not ask; none = when one
        /// is asked for.
        keyframes: Option<Duration>,
    },
    /// The control connection broke without a leave: the stay is kept for the resume window.
    ControlLost {
        /// The connection that is gone; never used again.
        control: ControlId,
    },
    /// A command on rooms and their participants.
    Admin(AdminRequest),
    /// Ends all rooms: everybody is told that the node shuts down.
    EndAll,
    /// A room that goes on without its home (see [`Event::HomeLost`](crate::Event::HomeLost)) has another; or one whose home
    /// this is, is to be handed over to another (see [`Event::HomeMoved`](crate::Event::HomeMoved)). No mistake when there
    /// is no such room.
    Rehome {
        /// Its id.
        room_id: String,
        /// Where it is.
        home: NewHome,
    },
    /// Sends on those who are here while the home of their room is elsewhere, until no more than so many are left: they are
    /// told to come back.
    MoveGuests {
        /// How many may stay.
        keep: usize,
        /// Of rooms of these names nobody: they move as a whole. Shared, as it comes many times while a node is emptied.
        except: Arc<BTreeSet<String>>,
    },
    /// Lets go of a room, or of all of them, that goes on on another node: everybody is told to come back.
    MoveAway {
        /// By name; all when absent. No mistake when there is none.
        room: Option<String>,
    },
}

/// A participant that is to appear in another room.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forward {
    /// The room it is in.
    pub room: String,
    /// Who.
    pub identity: String,
    /// The other room: made if it is not there.
    pub destination: v1::RoomConfig,
    /// Its id if it comes to life by this; empty = any.
    pub destination_id: String,
}

/// Where a room's home is that had been lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewHome {
    /// This shard is it.
    Here,
    /// Another shard is.
    At(LinkKey),
    /// There is none: the room is over, or begins anew elsewhere.
    Nowhere,
}

/// Answer to a command.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once per request, never stored"
)]
pub enum Reply {
    /// Taken; results come as events.
    Accepted,
    /// Answer to [`Command::Admin`].
    Admin(AdminReply),
    /// Answer to [`Command::MoveGuests`]: so many are left.
    Guests(usize),
}

/// Why a command was refused; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The caller named something that is not here.
    #[error("{what} \"{name}\" does not exist")]
    NotFound {
        /// For example "room".
        what: &'static str,
        /// As the caller named it.
        name: String,
    },
    /// A field of the request is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path of the field in the request.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A limit of the node is reached.
    #[error("limit of {limit} is {value}")]
    Limit {
        /// Name of the limit, as in [`Limits`](crate::Limits).
        limit: &'static str,
        /// Its value.
        value: u64,
    },
    /// It concerns a participant that lives on another shard, or a room whose home that is: ask there.
    #[error("it is for the shard behind link {}", .link.0)]
    Elsewhere {
        /// The way there.
        link: LinkKey,
    },
    /// The state does not allow it, for example remote unmute where it is switched off.
    #[error("not allowed: {0}")]
    NotAllowed(&'static str),
}
