//! What we say to the server.

use livekit_protocol as proto;
use proto::signal_request::Message;

use super::sdp;
use crate::engine::Target;

/// A request, in the words of this crate.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The publisher's offer.
    Offer {
        /// Session description.
        sdp: String,
    },
    /// The subscriber's answer.
    Answer {
        /// Session description.
        sdp: String,
        /// Of the offer.
        id: u32,
    },
    /// A candidate of ours, as in SDP without `a=`.
    Trickle {
        /// Of which transport.
        target: Target,
        /// The candidate.
        candidate: String,
    },
    /// A track is about to be published.
    AddTrack(NewTrack),
    /// Subscribe to tracks, or cease to.
    Subscription {
        /// Server's ids.
        tracks: Vec<String>,
        /// Whether to have them.
        subscribe: bool,
    },
    /// The size at which video tracks are shown.
    TrackSetting {
        /// Server's ids.
        tracks: Vec<String>,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Still here.
    Ping {
        /// Our clock, Unix milliseconds.
        timestamp_ms: i64,
        /// Last round trip, milliseconds.
        rtt_ms: i64,
    },
    /// Goodbye.
    Leave,
}

/// A track that is about to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTrack {
    /// Our id of it.
    pub cid: String,
    /// Shown to others.
    pub name: String,
    /// Media type as in SDP: `video/VP8`.
    pub mime: &'static str,
    /// Encodings of a video, lowest first; empty for audio.
    pub layers: Vec<Layer>,
}

/// An encoding of a video track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// RID; empty when there is one encoding.
    pub rid: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// bit/s.
    pub bitrate: u32,
}

/// The quality that stands for encoding `index` of `count`: a single one is the best there is, as
/// SDKs say it.
pub(super) fn quality_of(index: usize, count: usize) -> proto::VideoQuality {
    match (index, count) {
        (_, 0 | 1) => proto::VideoQuality::High,
        (0, _) => proto::VideoQuality::Low,
        (1, _) => proto::VideoQuality::Medium,
        _ => proto::VideoQuality::High,
    }
}

fn target(target: Target) -> i32 {
    match target {
        Target::Publisher => proto::SignalTarget::Publisher as i32,
        Target::Subscriber => proto::SignalTarget::Subscriber as i32,
    }
}

fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.to_owned(),
        sdp,
        id,
        ..Default::default()
    }
}

fn add_track(track: NewTrack) -> proto::AddTrackRequest {
    let count = track.layers.len();
    let layers: Vec<proto::VideoLayer> = track
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| proto::VideoLayer {
            quality: quality_of(index, count) as i32,
            width: layer.width,
            height: layer.height,
            bitrate: layer.bitrate,
            rid: layer.rid.clone(),
            spatial_layer: index as i32,
            ..Default::default()
        })
        .collect();
    let largest = track.layers.last();
    let is_video = largest.is_some();
    let codec = track
        .mime
        .split_once('/')
        .map_or(track.mime, |(_, codec)| codec);
    proto::AddTrackRequest {
        name: track.name,
        r#type: if is_video {
            proto::TrackType::Video as i32
        } else {
            proto::TrackType::Audio as i32
        },
        source: if is_video {
            proto::TrackSource::Camera as i32
        } else {
            proto::TrackSource::Microphone as i32
        },
        width: largest.map_or(0, |layer| layer.width),
        height: largest.map_or(0, |layer| layer.height),
        simulcast_codecs: if is_video {
            vec![proto::SimulcastCodec {
                codec: codec.to_ascii_lowercase(),
                cid: track.cid.clone(),
                layers: layers.clone(),
                video_layer_mode: if count > 1 {
                    proto::video_layer::Mode::OneSpatialLayerPerStream as i32
                } else {
                    proto::video_layer::Mode::Unused as i32
                },
            }]
        } else {
            Vec::new()
        },
        layers,
        // Redundant audio would count each packet twice.
        disable_red: true,
        cid: track.cid,
        ..Default::default()
    }
}

impl From<Request> for proto::SignalRequest {
    fn from(request: Request) -> Self {
        let message = match request {
            Request::Offer { sdp } => Message::Offer(description("offer", sdp, 0)),
            Request::Answer { sdp, id } => Message::Answer(description("answer", sdp, id)),
            Request::Trickle {
                target: of,
                candidate,
            } => Message::Trickle(proto::TrickleRequest {
                candidate_init: sdp::candidate_init(&candidate),
                target: target(of),
                r#final: false,
            }),
            Request::AddTrack(track) => Message::AddTrack(add_track(track)),
            Request::Subscription { tracks, subscribe } => {
                Message::Subscription(proto::UpdateSubscription {
                    track_sids: tracks,
                    subscribe,
                    ..Default::default()
                })
            }
            Request::TrackSetting {
                tracks,
                width,
                height,
            } => Message::TrackSetting(proto::UpdateTrackSettings {
                track_sids: tracks,
                quality: proto::VideoQuality::High as i32,
                width,
                height,
                ..Default::default()
            }),
            Request::Ping {
                timestamp_ms,
                rtt_ms,
            } => Message::PingReq(proto::Ping {
                timestamp: timestamp_ms,
                rtt: rtt_ms,
            }),
            Request::Leave => Message::Leave(proto::LeaveRequest {
                reason: proto::DisconnectReason::ClientInitiated as i32,
                action: proto::leave_request::Action::Disconnect as i32,
                ..Default::default()
            }),
        };
        Self {
            message: Some(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(rid: &str, width: u32) -> Layer {
        Layer {
            rid: rid.to_owned(),
            width,
            height: width * 9 / 16,
            bitrate: 100_000,
        }
    }

    fn added(mime: &'static str, layers: Vec<Layer>) -> proto::AddTrackRequest {
        let request = proto::SignalRequest::from(Request::AddTrack(NewTrack {
            cid: "cid-1".to_owned(),
            name: "camera".to_owned(),
            mime,
            layers,
        }));
        match request.message {
            Some(Message::AddTrack(track)) => track,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_camera_is_announced_with_its_layers() {
        let track = added(
            "video/VP8",
            vec![layer("q", 320), layer("h", 640), layer("f", 1280)],
        );
        assert_eq!((track.width, track.height), (1280, 720));
        assert_eq!(track.r#type(), proto::TrackType::Video);
        let qualities: Vec<_> = track.layers.iter().map(|layer| layer.quality()).collect();
        assert_eq!(
            qualities,
            [
                proto::VideoQuality::Low,
                proto::VideoQuality::Medium,
                proto::VideoQuality::High
            ]
        );
        assert_eq!(track.simulcast_codecs[0].codec, "vp8");
        assert_eq!(track.simulcast_codecs[0].cid, "cid-1");

        let single = added("video/AV1", vec![layer("", 1280)]);
        assert_eq!(single.layers[0].quality(), proto::VideoQuality::High);
    }

    #[test]
    fn a_microphone_has_no_layers() {
        let track = added("audio/opus", vec![]);
        assert_eq!(track.r#type(), proto::TrackType::Audio);
        assert_eq!(track.source(), proto::TrackSource::Microphone);
        assert!(track.layers.is_empty() && track.simulcast_codecs.is_empty());
    }

    #[test]
    fn an_answer_gives_back_the_number_of_its_offer() {
        let request = proto::SignalRequest::from(Request::Answer {
            sdp: "v=0".to_owned(),
            id: 7,
        });
        assert!(
            matches!(request.message, Some(Message::Answer(d)) if d.id == 7 && d.r#type == "answer")
        );
    }
}
