//! What stands behind a participant: its transports, and the media on them.
//!
//! Owns the seam between signalling and media. A participant's driver (`crate::run`) speaks to the
//! server and hands descriptions and candidates here as [`Command`]s; what has to be said to the
//! server comes back as [`Event`]s. What was received goes to the [`Collector`]. Two engines stand
//! behind [`Engine`]: [`str0m`] for scale, [`webrtc`] as an independent stack. Must not speak to the
//! server's WebSocket, nor know scenarios beyond the media they ask for.

pub mod collect;
pub mod messages;
mod pacer;
mod received;
mod shaper;
pub mod str0m;
pub mod webrtc;
mod wishes;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

use crate::media::{Codec, EncodingSpec};
use crate::scenario::Network;

pub use collect::{Collector, Interval, TrackTotals};
pub use messages::Messages;
pub use shaper::Window;
pub use wishes::{PATIENCE_NS, Silence, Waited};

/// Nanoseconds since the Unix epoch: the clock of stamps, of the kernel's receive times, and of all
/// times handed to meters.
#[must_use]
pub fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// A WebRTC stack that carries many participants.
pub trait Engine: Send + Sync {
    /// Adds a participant. Nothing is sent before the first [`Command`]. Events of the participant go
    /// to `events` until [`Event::Closed`].
    ///
    /// # Errors
    /// When the engine has ended.
    fn open(
        &self,
        setup: ParticipantSetup,
        events: UnboundedSender<Event>,
    ) -> Result<Box<dyn Participant>, EngineError>;
}

/// A participant's side of an engine. Dropping it closes the participant.
pub trait Participant: Send {
    /// Does as told, soon: never waits.
    fn handle(&self, command: Command);
}

/// What an engine needs to know of a participant.
#[derive(Debug, Clone)]
pub struct ParticipantSetup {
    /// Identity, for messages.
    pub identity: String,
    /// Address of ours that reaches the server; transports bind to it.
    pub local: IpAddr,
    /// Network between us and the server; `None`: as it is.
    pub network: Option<Network>,
    /// That the network's changes count from.
    pub window: Window,
    /// Everything random of this participant follows from it.
    pub seed: u64,
    /// Data messages it sends from when it publishes; `None`: none.
    pub messages: Option<Messages>,
}

/// A track to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishTrack {
    /// Client's id of the track: the track id of its `a=msid`.
    pub cid: String,
    /// Number in its stamps; one number per track of a run.
    pub number: u32,
    /// What to send.
    pub media: PublishMedia,
}

/// What to send as a track.
#[derive(Debug, Clone, PartialEq)]
pub enum PublishMedia {
    /// Opus, a packet per 20 ms.
    Audio {
        /// While talking, bit/s.
        bitrate: u64,
    },
    /// Video; encodings lowest first, each with its rid when there are several.
    Video {
        /// Codec; never audio.
        codec: Codec,
        /// At least one.
        encodings: Vec<EncodingSpec>,
    },
}

/// Which of a participant's two transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// We send; we offer.
    Publisher,
    /// We receive; the server offers.
    Subscriber,
}

/// What a participant's driver tells its engine.
#[derive(Debug, Clone)]
pub enum Command {
    /// Publish these, and the messages of the setup; answered with [`Event::Offer`]. Once per participant.
    Publish(Vec<PublishTrack>),
    /// The server's answer to the publisher's offer.
    Answer {
        /// Session description.
        sdp: String,
    },
    /// The server's offer for the subscriber; answered with [`Event::Answer`].
    Offer {
        /// Session description.
        sdp: String,
        /// Number of the offer, to be given back with the answer.
        id: u32,
    },
    /// A candidate of the server.
    Candidate {
        /// Of which transport.
        target: Target,
        /// As in SDP, without `a=`: `candidate:1 1 udp …`.
        candidate: String,
    },
    /// Which encodings of a video track anyone wants now, lowest first; `false`: send nothing of it.
    EncodingsWanted {
        /// Of [`PublishTrack`].
        cid: String,
        /// One per encoding.
        wanted: Vec<bool>,
    },
    /// Whether this participant talks; if not, its audio is silence.
    Talk(bool),
    /// Another layer of this subscribed track has been asked for: take the time until it comes.
    LayerChange {
        /// Server's id of the track.
        track: String,
    },
    /// A track has been asked for: from now on it is to come.
    Subscribe {
        /// Server's id of the track.
        track: String,
    },
    /// The publisher of a subscribed track has muted it (`true`), or sends again.
    Rest {
        /// Server's id of the track.
        track: String,
        /// Whether nothing is to come.
        is_resting: bool,
    },
    /// A subscribed track has ended: its meter stops.
    TrackEnded {
        /// Server's id of the track.
        track: String,
    },
    /// The measured window begins. One who is opened later is told at once.
    Begin,
    /// The measured window ends: hand in what was received.
    End,
    /// Leave: hand in what was received, close transports. Answered with [`Event::Closed`].
    Close,
}

/// What an engine tells a participant's driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Offer of the publisher.
    Offer {
        /// Session description.
        sdp: String,
    },
    /// Answer of the subscriber.
    Answer {
        /// Session description.
        sdp: String,
        /// Of the offer.
        id: u32,
    },
    /// A candidate of ours that is not in the description.
    Candidate {
        /// Of which transport.
        target: Target,
        /// As in SDP, without `a=`.
        candidate: String,
    },
    /// A transport is up: ICE and DTLS.
    Connected {
        /// Which.
        target: Target,
        /// When, Unix nanoseconds.
        at_ns: u64,
    },
    /// A transport that was up, or should have come up, is down.
    Disconnected {
        /// Which.
        target: Target,
    },
    /// First decodable frame of a subscribed video track.
    FirstFrame {
        /// Server's id of the track.
        track: String,
        /// When, Unix nanoseconds.
        at_ns: u64,
    },
    /// The participant cannot go on.
    Failed(EngineError),
    /// Done after [`Command::Close`]; nothing follows.
    Closed,
}

/// Why an engine cannot do something.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineError {
    /// No socket, or none that works.
    #[error("socket: {0}")]
    Socket(String),
    /// The server's description was not understood.
    #[error("description from the server: {0}")]
    Description(String),
    /// Our side of the stack failed.
    #[error("WebRTC stack: {0}")]
    Stack(String),
    /// The engine has ended.
    #[error("the engine has ended")]
    Ended,
}

/// Where engines put what they received.
pub type SharedCollector = Arc<Collector>;
