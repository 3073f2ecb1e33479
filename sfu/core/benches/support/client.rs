//! A participant's end: speaks the node's session API over two connections, as the SDKs do, and makes
//! media that a forwarder takes for real. Must not see the shard. RFC 7741.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use plenum_proto::{
    node::{
        AddTrack, Description, Join, Mute, SessionEvent, SessionRequest, Subscribe, TransportRole,
        session_event::Kind as Told, session_request::Kind,
    },
    v1::{self, TrackKind, TrackSource, VideoLayer, VideoQuality},
};
use str0m::{
    change::{SdpAnswer, SdpOffer},
    channel::{ChannelConfig, Reliability},
    config::DtlsCert,
    format::Codec,
    media::{Direction, MediaKind, Mid, Pt},
    rtp::{ExtensionValues, RtpWrite},
};

use super::{floor, peer::Peer};

/// Who a client is.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) room: String,
    /// Tracks it publishes.
    pub(crate) publishes: Vec<Media>,
    pub(crate) subscribes: Takes,
    /// The others are not told of it: a crowd costs no announcements.
    pub(crate) is_hidden: bool,
}

/// What a client subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    Everything,
    /// So many of the tracks that are there when it joins.
    First(usize),
}

/// A track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Video,
    MutedAudio,
}

impl Plan {
    pub(crate) fn connections(&self) -> u64 {
        1 + u64::from(!self.publishes.is_empty())
    }

    pub(crate) fn join(&self, number: u32) -> Join {
        let permissions = v1::Permissions {
            can_subscribe: self.subscribes != Takes::Nothing,
            can_publish: !self.publishes.is_empty(),
            can_publish_data: true,
            hidden: self.is_hidden,
            ..v1::Permissions::default()
        };
        Join {
            room: Some(v1::RoomConfig {
                name: self.room.clone(),
                ..v1::RoomConfig::default()
            }),
            identity: format!("client {number}"),
            permissions: Some(permissions),
            auto_subscribe: self.subscribes == Takes::Everything,
            ..Join::default()
        }
    }
}

/// A track that is published.
struct Source {
    media: Media,
    track: Option<String>,
    mid: Option<Mid>,
    payload_type: Option<Pt>,
    sequence: u64,
    timestamp: u32,
    picture: u16,
    wants_key: bool,
}

/// A participant's end.
pub(crate) struct Client {
    pub(crate) publisher: Option<Peer>,
    pub(crate) subscriber: Peer,
    sources: Vec<Source>,
    takes: Takes,
    /// Requests on their way out.
    pub(crate) outbox: Vec<SessionRequest>,
}

impl Client {
    pub(crate) fn new(now: Instant, number: u32, plan: &Plan, certificate: &DtlsCert) -> Self {
        let source = |media: &Media| Source {
            media: *media,
            track: None,
            mid: None,
            payload_type: None,
            sequence: 1_000,
            timestamp: 7,
            picture: 0,
            wants_key: true,
        };
        let publishes = !plan.publishes.is_empty();
        let peer = |number| Peer::new(now, number, certificate.clone());
        Self {
            publisher: publishes.then(|| peer(number * 2)),
            subscriber: peer(number * 2 + 1),
            sources: plan.publishes.iter().map(source).collect(),
            takes: plan.subscribes,
            outbox: Vec::new(),
        }
    }

    fn request(&mut self, kind: Kind) {
        self.outbox.push(SessionRequest { kind: Some(kind) });
    }

    /// Takes what the node tells.
    pub(crate) fn handle_event(&mut self, now: Instant, event: SessionEvent) {
        match event.kind {
            Some(Told::Joined(joined)) => {
                if let Takes::First(count) = self.takes {
                    let tracks = joined.others.iter().flat_map(|other| &other.tracks);
                    let mut track_ids: Vec<_> = tracks.map(|track| track.id.clone()).collect();
                    assert!(track_ids.len() >= count, "{} tracks", track_ids.len());
                    track_ids.truncate(count);
                    self.request(Kind::Subscribe(Subscribe {
                        track_ids,
                        subscribe: true,
                        ..Subscribe::default()
                    }));
                }
                for (index, source) in self.sources.iter().enumerate() {
                    let add = AddTrack {
                        cid: index.to_string(),
                        track: Some(announcement(index, source.media)),
                    };
                    self.outbox.push(SessionRequest {
                        kind: Some(Kind::AddTrack(add)),
                    });
                }
            }
            Some(Told::TrackPublished(published)) => {
                let index: usize = published.cid.parse().expect("a cid of ours");
                self.sources[index].track = published.track.map(|track| track.id);
                if self.sources.iter().all(|source| source.track.is_some()) {
                    self.offer();
                }
            }
            Some(Told::Description(told)) if told.is_offer => self.on_offer(now, &told),
            Some(Told::Description(told)) => self.on_answer(now, &told),
            Some(Told::Closed(closed)) => panic!("the node ended a session: {closed:?}"),
            _ => {}
        }
    }

    fn offer(&mut self) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        let mut api = publisher.engine().sdp_api();
        for (label, is_reliable) in [("_reliable", true), ("_lossy", false)] {
            let lossy = Reliability::MaxRetransmits { retransmits: 0 };
            api.add_channel_with_config(ChannelConfig {
                label: label.into(),
                ordered: is_reliable,
                reliability: if is_reliable {
                    Reliability::Reliable
                } else {
                    lossy
                },
                ..ChannelConfig::default()
            });
        }
        for (index, source) in self.sources.iter_mut().enumerate() {
            let kind = match source.media {
                Media::Video => MediaKind::Video,
                Media::MutedAudio => MediaKind::Audio,
            };
            let (stream, track) = (Some("stream".into()), Some(index.to_string()));
            source.mid = Some(api.add_media(kind, Direction::SendOnly, stream, track, None));
        }
        let (offer, pending) = api.apply().expect("something new to offer");
        publisher.pending = Some(pending);
        self.request(Kind::Description(Description {
            role: TransportRole::Publish.into(),
            is_offer: true,
            sdp: offer.to_sdp_string(),
            id: 1,
            track_by_mid: BTreeMap::new(),
        }));
    }

    fn on_offer(&mut self, now: Instant, offer: &Description) {
        let parsed = SdpOffer::from_sdp_string(&offer.sdp).expect("an offer of the node");
        let answer = self.subscriber.engine().sdp_api().accept_offer(parsed);
        let answer = answer.expect("an answer to the node");
        self.subscriber.handle_timeout(now);
        self.request(Kind::Description(Description {
            role: TransportRole::Subscribe.into(),
            is_offer: false,
            sdp: answer.to_sdp_string(),
            id: offer.id,
            track_by_mid: BTreeMap::new(),
        }));
    }

    fn on_answer(&mut self, now: Instant, answer: &Description) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        let parsed = SdpAnswer::from_sdp_string(&answer.sdp).expect("an answer of the node");
        let pending = publisher.pending.take().expect("an answer to an offer");
        let rtc = publisher.engine();
        rtc.sdp_api()
            .accept_answer(pending, parsed)
            .expect("an answer that fits");
        for source in &mut self.sources {
            let mid = source.mid.expect("offered");
            let (codec, muted) = match source.media {
                Media::Video => (Codec::Vp8, false),
                Media::MutedAudio => (Codec::Opus, true),
            };
            let taken = rtc.media(mid).expect("negotiated").remote_pts().to_vec();
            let own = rtc
                .codec_config()
                .find(|own| own.spec().codec == codec && taken.contains(&own.pt()));
            source.payload_type = own.map(|own| own.pt());
            if muted {
                let track_id = source.track.clone().expect("published");
                self.outbox.push(SessionRequest {
                    kind: Some(Kind::Mute(Mute { track_id, muted })),
                });
            }
        }
        publisher.handle_timeout(now);
    }

    /// The next frame of a source has to be a keyframe.
    pub(crate) fn on_keyframe_request(&mut self, mid: Mid) {
        for source in self.sources.iter_mut().filter(|s| s.mid == Some(mid)) {
            source.wants_key = true;
        }
    }

    /// Sends one frame of so many packets.
    pub(crate) fn send_frame(&mut self, now: Instant, source: usize, packets: u8) {
        let (Some(publisher), Some(source)) = (&mut self.publisher, self.sources.get_mut(source))
        else {
            return;
        };
        let (Some(mid), Some(payload_type)) = (source.mid, source.payload_type) else {
            return;
        };
        let mut api = publisher.engine().direct_api();
        let stream = api
            .stream_tx_by_mid(mid, None)
            .expect("a stream to send on");
        let is_key = std::mem::take(&mut source.wants_key);
        for index in 0..packets {
            let payload = vp8_payload(source.picture, index == 0, is_key);
            let write = RtpWrite::new(
                payload_type,
                source.sequence.into(),
                source.timestamp,
                now,
                payload,
            )
            .marker(index + 1 == packets)
            .ext_vals(ExtensionValues::default())
            .nackable(true);
            stream.write_rtp(write);
            source.sequence += 1;
        }
        source.picture = (source.picture + 1) & 0x7fff;
        source.timestamp = source.timestamp.wrapping_add(3_000);
        // The engine sends what waits when time passes.
        publisher.handle_timeout(now);
    }
}

/// A VP8 payload of the size all benches use: descriptor with a picture id of 15 bits and temporal layer
/// 0, then the frame tag, whose lowest bit is 0 in a keyframe.
fn vp8_payload(picture: u16, is_first: bool, is_key: bool) -> Arc<[u8]> {
    let mut payload = [0x5a; floor::PAYLOAD_BYTES];
    let [high, low] = (picture | 0x8000).to_be_bytes();
    payload[..7].copy_from_slice(&[
        0x80 | u8::from(is_first) << 4,
        0xe0,
        high,
        low,
        picture as u8,
        0,
        u8::from(!is_key),
    ]);
    Arc::from(payload)
}

fn announcement(index: usize, media: Media) -> v1::Track {
    let base = v1::Track {
        name: index.to_string(),
        ..v1::Track::default()
    };
    match media {
        Media::Video => v1::Track {
            kind: TrackKind::Video.into(),
            source: TrackSource::Camera.into(),
            mime: "video/VP8".into(),
            codecs: vec![v1::TrackCodec {
                mime: "video/VP8".into(),
                cid: index.to_string(),
                ..v1::TrackCodec::default()
            }],
            width: 1280,
            height: 720,
            layers: vec![VideoLayer {
                quality: VideoQuality::High.into(),
                width: 1280,
                height: 720,
                ..VideoLayer::default()
            }],
            ..base
        },
        Media::MutedAudio => v1::Track {
            kind: TrackKind::Audio.into(),
            source: TrackSource::Microphone.into(),
            mime: "audio/opus".into(),
            ..base
        },
    }
}
