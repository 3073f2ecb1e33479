//! A call for two whose media goes straight between them, for clients of the JSON API in `docs/direct.md`:
//! what they say for the node, and what the node says for them. Must not hold more of a room than whether
//! there is somebody to talk to; pairing and the end of a direct call are the node's business.

mod message;

use plenum_proto::{
    node::{
        CloseAction, Closed, DirectCandidate, DirectConnected, DirectFailed, DirectOverReason,
        DirectPeer, DirectReport, DirectRestart, DirectSignal, DirectUnwanted, Joined,
        direct_report, direct_signal, session_event::Kind as Event,
        session_request::Kind as Request,
    },
    v1,
};

use message::{Bad, Candidate, Person, Place, Wish};
pub(crate) use message::{Code, IceServer, Said, Told};

/// Messages a second of one client, averaged: a call takes some dozens, all told.
pub(crate) const MESSAGES_PER_SECOND: u32 = 20;

/// Messages one client may send at once: candidates come in a burst.
pub(crate) const MESSAGE_BURST: u32 = 200;

/// Bytes of one message. The node takes 64 KiB of text unless told otherwise; JSON adds some to that.
pub(crate) const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Where to join the room instead, relative to the WebSocket's address: SDKs are given the base.
const JOIN_URL: &str = "/";

/// What a connection has to know to answer its client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Direct {
    has_peer: bool,
    is_over: bool,
}

/// What comes of a message of a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Node(Box<Request>),
    Reply(Told),
    Leave,
}

/// What comes of an event of the node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Turned {
    Tell(Told),
    /// The client is to join by way of the node, and needs a token for it.
    Over(&'static str),
    Nothing,
}

impl Direct {
    /// Takes a text frame of the client.
    pub(crate) fn hear(self, text: &str) -> Heard {
        let said = match Said::read(text) {
            Ok(said) => said,
            Err(bad) => return Heard::Reply(bad.into()),
        };
        let signal = match said {
            Said::Ping => return Heard::Reply(Told::Pong),
            Said::Leave => return Heard::Leave,
            Said::Connected => {
                return self.report(direct_report::Kind::Connected(DirectConnected {}));
            }
            Said::Sfu {
                reason: Some(Wish::Failed),
            } => return self.report(direct_report::Kind::Failed(DirectFailed {})),
            Said::Sfu { .. } => {
                return self.report(direct_report::Kind::Unwanted(DirectUnwanted {}));
            }
            Said::Offer { sdp } => direct_signal::Kind::Offer(sdp),
            Said::Answer { sdp } => direct_signal::Kind::Answer(sdp),
            Said::Candidate(candidate) => direct_signal::Kind::Candidate(candidate.into()),
            Said::Restart => direct_signal::Kind::Restart(DirectRestart {}),
        };
        if self.is_over {
            return over();
        }
        if !self.has_peer {
            return Heard::Reply(Told::Error {
                code: Code::NoPeer,
                message: "nobody else is here".into(),
            });
        }
        Heard::Node(Box::new(Request::DirectSignal(DirectSignal {
            kind: Some(signal),
        })))
    }

    fn report(self, kind: direct_report::Kind) -> Heard {
        if self.is_over {
            return over();
        }
        Heard::Node(Box::new(Request::DirectReport(DirectReport {
            kind: Some(kind),
        })))
    }

    /// Takes an event of the node that is neither the first nor the last.
    pub(crate) fn turn(&mut self, event: Event) -> Turned {
        match event {
            Event::DirectPeer(DirectPeer {
                participant: Some(peer),
                polite,
            }) => {
                self.has_peer = true;
                let peer = peer.into();
                Turned::Tell(Told::PeerJoined { peer, polite })
            }
            Event::DirectPeer(_) => {
                // After a resume it says only that there is still nobody.
                let is_news = std::mem::replace(&mut self.has_peer, false);
                if is_news {
                    Turned::Tell(Told::PeerLeft)
                } else {
                    Turned::Nothing
                }
            }
            Event::DirectSignal(signal) => signal
                .kind
                .and_then(passed)
                .map_or_else(|| Turned::Nothing, Turned::Tell),
            Event::DirectOver(over) => {
                self.is_over = true;
                Turned::Over(word(over.reason()))
            }
            Event::RequestResponse(response) if response.reason != 0 => Turned::Tell(Told::Error {
                code: Code::Refused,
                message: response.message,
            }),
            _ => Turned::Nothing,
        }
    }
}

/// The first message.
pub(crate) fn hello(joined: Joined, ice_servers: Vec<IceServer>, resumed: bool) -> Told {
    let room = joined.room.unwrap_or_default();
    Told::Hello {
        participant: joined.participant.unwrap_or_default().into(),
        room: Place {
            id: room.id,
            name: room.name,
        },
        ice_servers,
        resumed,
    }
}

/// Where to go on.
pub(crate) fn sfu(reason: &'static str, token: String) -> Told {
    Told::Sfu {
        reason,
        url: JOIN_URL,
        token,
    }
}

/// The last message, when the node ended the stay.
pub(crate) fn closed(closed: &Closed) -> Told {
    Told::Closed {
        reason: closed
            .reason()
            .as_str_name()
            .to_ascii_lowercase()
            .replace('_', "-"),
        retry: match closed.action() {
            CloseAction::Disconnect => "no",
            CloseAction::Resume => "resume",
            CloseAction::Reconnect => "join",
        },
    }
}

fn over() -> Heard {
    Heard::Reply(Told::Error {
        code: Code::Over,
        message: "the direct call is over: join by way of `sfu`".into(),
    })
}

fn passed(kind: direct_signal::Kind) -> Option<Told> {
    Some(match kind {
        direct_signal::Kind::Offer(sdp) => Told::Offer { sdp },
        direct_signal::Kind::Answer(sdp) => Told::Answer { sdp },
        direct_signal::Kind::Candidate(candidate) => Told::Candidate(Candidate {
            candidate: candidate.candidate,
            sdp_mid: candidate.mid,
            section: candidate
                .section
                .and_then(|section| section.try_into().ok()),
            username_fragment: candidate.username_fragment,
        }),
        direct_signal::Kind::Restart(_) => Told::Restart,
    })
}

fn word(reason: DirectOverReason) -> &'static str {
    match reason {
        DirectOverReason::DirectOverUnknown => "unknown",
        DirectOverReason::DirectOverOthers => "others",
        DirectOverReason::DirectOverRights => "rights",
        DirectOverReason::DirectOverFailed => "failed",
        DirectOverReason::DirectOverLate => "late",
        DirectOverReason::DirectOverWish => "wish",
    }
}

impl From<v1::Participant> for Person {
    fn from(participant: v1::Participant) -> Self {
        Self {
            id: participant.id,
            identity: participant.identity,
            name: participant.name,
        }
    }
}

impl From<Candidate> for DirectCandidate {
    fn from(candidate: Candidate) -> Self {
        Self {
            candidate: candidate.candidate,
            mid: candidate.sdp_mid,
            section: candidate.section.map(u32::from),
            username_fragment: candidate.username_fragment,
        }
    }
}

impl From<Bad> for Told {
    fn from(bad: Bad) -> Self {
        Self::Error {
            code: bad.code,
            message: bad.message.to_owned(),
        }
    }
}

impl From<&livekit_protocol::IceServer> for IceServer {
    fn from(server: &livekit_protocol::IceServer) -> Self {
        Self {
            urls: server.urls.clone(),
            username: server.username.clone(),
            credential: server.credential.clone(),
        }
    }
}
