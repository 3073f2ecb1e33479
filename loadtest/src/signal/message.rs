//! What the server says, as far as a participant of a load test has to know it.

use livekit_protocol as proto;
use proto::signal_response::Message as Wire;

use super::request::quality_of;
use super::sdp;
use crate::engine::Target;

/// A message of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// We are in.
    Joined(Box<Joined>),
    /// Answer to the publisher's offer.
    Answer {
        /// Session description.
        sdp: String,
    },
    /// Offer for the subscriber.
    Offer {
        /// Session description.
        sdp: String,
        /// To be given back with the answer.
        id: u32,
    },
    /// A candidate, as in SDP without `a=`.
    Candidate {
        /// Of which transport.
        target: Target,
        /// The candidate.
        candidate: String,
    },
    /// Tracks of others, all that each of these participants has now.
    Participants(Vec<RemoteParticipant>),
    /// Our track is known.
    TrackPublished {
        /// Our id of it.
        cid: String,
        /// Server's id of it.
        track: String,
    },
    /// Which encodings of our track anyone wants.
    EncodingsWanted {
        /// Server's id of the track.
        track: String,
        /// What is asked for.
        qualities: Qualities,
    },
    /// Subscribing failed.
    SubscriptionFailed {
        /// Server's id of the track.
        track: String,
        /// Name of the protocol's reason.
        reason: String,
    },
    /// A request of ours was refused.
    RequestRefused {
        /// Name of the protocol's reason, and the server's words.
        reason: String,
    },
    /// We have to go.
    Leave {
        /// Name of the protocol's reason.
        reason: String,
        /// What to do next.
        next: Next,
    },
    /// The stay is taken up again.
    Resumed,
    /// Answer to a ping.
    Pong {
        /// Of the ping, Unix milliseconds.
        ping_ms: i64,
    },
    /// Something a load test has no use for; its name.
    Other(&'static str),
}

/// What somebody who was sent away is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Stay away.
    Nothing,
    /// Take up the stay on another WebSocket.
    Resume,
    /// Join anew.
    Rejoin,
}

impl From<&proto::LeaveRequest> for Next {
    fn from(leave: &proto::LeaveRequest) -> Self {
        use proto::leave_request::Action;
        match leave.action() {
            Action::Resume => Self::Resume,
            Action::Reconnect => Self::Rejoin,
            // Servers of before there were actions.
            Action::Disconnect if leave.can_reconnect => Self::Rejoin,
            Action::Disconnect => Self::Nothing,
        }
    }
}

/// The first message: where we are, and who is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// Server's id of us.
    pub participant: String,
    /// Others with their tracks.
    pub others: Vec<RemoteParticipant>,
    /// Edition of the server.
    pub server_edition: String,
    /// Version of the server.
    pub server_version: String,
    /// Between pings, seconds; 0: the server does not say.
    pub ping_interval_s: u32,
}

/// A participant and its tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteParticipant {
    /// Server's id.
    pub id: String,
    /// Identity of its token.
    pub identity: String,
    /// Whether it has left.
    pub gone: bool,
    /// What it publishes.
    pub tracks: Vec<RemoteTrack>,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTrack {
    /// Server's id.
    pub id: String,
    /// As given by the publisher.
    pub name: String,
    /// Audio or video.
    pub kind: TrackKind,
    /// Whether its publisher sends nothing of it for now.
    pub muted: bool,
    /// Media type of its codec, `video/VP8`; empty when the server does not say.
    pub mime: String,
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// Qualities of a track that are wanted; what is not said counts as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qualities(Vec<(proto::VideoQuality, bool)>);

impl Qualities {
    /// For each of `count` encodings, lowest first, whether anyone wants it.
    #[must_use]
    pub fn encodings(&self, count: usize) -> Vec<bool> {
        let wanted = |quality| {
            self.0
                .iter()
                .find(|(named, _)| *named == quality)
                .is_none_or(|(_, enabled)| *enabled)
        };
        if count <= 1 {
            // One encoding serves every quality.
            let any = self.0.is_empty() || self.0.iter().any(|(_, enabled)| *enabled);
            return vec![any; count];
        }
        (0..count)
            .map(|index| wanted(quality_of(index, count)))
            .collect()
    }
}

/// The name of a value of the protocol, as people read it: `DUPLICATE_IDENTITY` is `duplicate
/// identity`.
fn words(name: &str) -> String {
    name.replace('_', " ").to_ascii_lowercase()
}

fn participant(info: proto::ParticipantInfo) -> RemoteParticipant {
    RemoteParticipant {
        gone: info.state() == proto::participant_info::State::Disconnected,
        id: info.sid,
        identity: info.identity,
        tracks: info
            .tracks
            .into_iter()
            .filter_map(|track| {
                let kind = match track.r#type() {
                    proto::TrackType::Audio => TrackKind::Audio,
                    proto::TrackType::Video => TrackKind::Video,
                    proto::TrackType::Data => return None,
                };
                Some(RemoteTrack {
                    id: track.sid,
                    name: track.name,
                    kind,
                    muted: track.muted,
                    mime: track.mime_type,
                })
            })
            .collect(),
    }
}

fn joined(join: proto::JoinResponse) -> Joined {
    let server = join.server_info.unwrap_or_default();
    Joined {
        participant: join.participant.unwrap_or_default().sid,
        others: join
            .other_participants
            .into_iter()
            .map(participant)
            .collect(),
        server_edition: server.edition().as_str_name().to_owned(),
        server_version: if server.version.is_empty() {
            join.server_version
        } else {
            server.version
        },
        ping_interval_s: join.ping_interval.max(0) as u32,
    }
}

fn qualities(update: &proto::SubscribedQualityUpdate) -> Qualities {
    let listed = match update.subscribed_codecs.first() {
        Some(codec) => &codec.qualities,
        None => {
            #[expect(deprecated, reason = "older servers say it here only")]
            let listed = &update.subscribed_qualities;
            listed
        }
    };
    Qualities(
        listed
            .iter()
            .map(|quality| (quality.quality(), quality.enabled))
            .collect(),
    )
}

impl From<Wire> for Message {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Join(join) => Self::Joined(Box::new(joined(join))),
            Wire::Answer(answer) => Self::Answer { sdp: answer.sdp },
            Wire::Offer(offer) => Self::Offer {
                sdp: offer.sdp,
                id: offer.id,
            },
            Wire::Trickle(trickle) => {
                let target = match trickle.target() {
                    proto::SignalTarget::Publisher => Target::Publisher,
                    proto::SignalTarget::Subscriber => Target::Subscriber,
                };
                sdp::candidate_of(&trickle.candidate_init)
                    .map_or(Self::Other("end of candidates"), |candidate| {
                        Self::Candidate { target, candidate }
                    })
            }
            Wire::Update(update) => {
                Self::Participants(update.participants.into_iter().map(participant).collect())
            }
            Wire::TrackPublished(published) => Self::TrackPublished {
                cid: published.cid,
                track: published.track.unwrap_or_default().sid,
            },
            Wire::SubscribedQualityUpdate(update) => Self::EncodingsWanted {
                qualities: qualities(&update),
                track: update.track_sid,
            },
            Wire::SubscriptionResponse(response) => Self::SubscriptionFailed {
                reason: words(response.err().as_str_name()),
                track: response.track_sid,
            },
            Wire::RequestResponse(response) => {
                if response.reason() == proto::request_response::Reason::Ok {
                    return Self::Other("request done");
                }
                let reason = words(response.reason().as_str_name());
                Self::RequestRefused {
                    reason: format!("{reason} {}", response.message)
                        .trim_end()
                        .to_owned(),
                }
            }
            Wire::Leave(leave) => Self::Leave {
                reason: words(leave.reason().as_str_name()),
                next: Next::from(&leave),
            },
            Wire::PongResp(pong) => Self::Pong {
                ping_ms: pong.last_ping_timestamp,
            },
            Wire::Mute(_) => Self::Other("mute"),
            Wire::SpeakersChanged(_) => Self::Other("speakers"),
            Wire::Reconnect(_) => Self::Resumed,
            _ => Self::Other("news"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(qualities: &[(proto::VideoQuality, bool)]) -> Qualities {
        let wire = Wire::SubscribedQualityUpdate(proto::SubscribedQualityUpdate {
            track_sid: "TR_v".to_owned(),
            subscribed_codecs: vec![proto::SubscribedCodec {
                codec: "vp8".to_owned(),
                qualities: qualities
                    .iter()
                    .map(|(quality, enabled)| proto::SubscribedQuality {
                        quality: *quality as i32,
                        enabled: *enabled,
                    })
                    .collect(),
            }],
            ..Default::default()
        });
        match Message::from(wire) {
            Message::EncodingsWanted { track, qualities } if track == "TR_v" => qualities,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_encodings_that_someone_wants_are_sent() {
        use proto::VideoQuality::{High, Low, Medium};
        type Case = (
            &'static [(proto::VideoQuality, bool)],
            usize,
            &'static [bool],
        );
        let cases: &[Case] = &[
            (
                &[(Low, true), (Medium, false), (High, false)],
                3,
                &[true, false, false],
            ),
            (
                &[(Low, true), (Medium, true), (High, false)],
                2,
                &[true, true],
            ),
            (
                &[(Low, false), (Medium, false), (High, false)],
                3,
                &[false; 3],
            ),
            (&[(Low, false), (Medium, false), (High, false)], 1, &[false]),
            (&[(Low, true), (Medium, false), (High, false)], 1, &[true]),
            (&[], 3, &[true; 3]),
            (&[(High, false)], 3, &[true, true, false]),
        ];
        for (said, count, encodings) in cases {
            assert_eq!(
                update(said).encodings(*count),
                *encodings,
                "{said:?} of {count}"
            );
        }
    }

    #[test]
    fn a_leave_says_why() {
        let wire = Wire::Leave(proto::LeaveRequest {
            reason: proto::DisconnectReason::DuplicateIdentity as i32,
            ..Default::default()
        });
        assert_eq!(
            Message::from(wire),
            Message::Leave {
                reason: "duplicate identity".to_owned(),
                next: Next::Nothing,
            }
        );
        use proto::leave_request::Action;
        for (action, can_reconnect, next) in [
            (Action::Reconnect, true, Next::Rejoin),
            (Action::Disconnect, true, Next::Rejoin),
            (Action::Resume, false, Next::Resume),
        ] {
            let leave = proto::LeaveRequest {
                action: action.into(),
                can_reconnect,
                ..Default::default()
            };
            assert_eq!(Next::from(&leave), next, "{action:?}");
        }
    }

    #[test]
    fn a_join_tells_who_is_there() {
        let wire = Wire::Join(proto::JoinResponse {
            participant: Some(proto::ParticipantInfo {
                sid: "PA_me".to_owned(),
                ..Default::default()
            }),
            other_participants: vec![proto::ParticipantInfo {
                sid: "PA_x".to_owned(),
                identity: "ann".to_owned(),
                tracks: vec![proto::TrackInfo {
                    sid: "TR_v".to_owned(),
                    r#type: proto::TrackType::Video as i32,
                    name: "camera".to_owned(),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ping_interval: 5,
            ..Default::default()
        });
        let Message::Joined(joined) = Message::from(wire) else {
            panic!("no join");
        };
        assert_eq!(
            (joined.participant.as_str(), joined.ping_interval_s),
            ("PA_me", 5)
        );
        assert_eq!(joined.others[0].tracks[0].kind, TrackKind::Video);
    }
}
