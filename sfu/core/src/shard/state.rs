//! What a shard keeps of a participant, a published track and a subscription: the parts that session,
//! room, track and subscription own, side by side. Must not hold behaviour beyond look-ups.

use std::time::{Duration, Instant};

use plenum_proto::{ids::TrackId, v1};

use crate::{
    ControlId,
    key::{RoomKey, SessionKey, SubscriptionKey, TrackKey},
    room::{Member, speaker::SpeakerDetector},
    rtp::{Codec, PayloadParams, Pt, Rid},
    session::{Session, SlotIndex},
    subscription::{EncodingView, Forwarder, KeyframeThrottle, Wish, views},
    track::{DemandTracker, Encoding, EncodingInfo, Layer, PublisherClock},
};

/// A participant: its place in the room, and its connection.
pub(super) struct Participant {
    pub(super) room: RoomKey,
    pub(super) member: Member,
    pub(super) session: Session,
    /// Published and announced ones, in the order of announcement.
    pub(super) tracks: Vec<TrackKey>,
    pub(super) subscriptions: Vec<SubscriptionKey>,
    /// Tracks it asked for or refused by name; the rest follows `auto_subscribe`.
    pub(super) wishes: Vec<(TrackId, bool)>,
    /// Tracks it was told it may not have.
    pub(super) refused: Vec<TrackId>,
    /// The publisher's wall clock on ours.
    pub(super) clock: PublisherClock,
    pub(super) link: Link,
    /// Candidates taken from the client.
    pub(super) candidates: usize,
    /// Reliable data of this participant up to this number was taken.
    pub(super) last_data_sequence: u32,
    /// Cap asked for by a test client, in bits per second.
    pub(super) bandwidth_cap: Option<u64>,
    /// The next control connection of this participant is to be closed at once (a simulated fault).
    pub(super) drop_next_resume: bool,
}

/// What was last reported of a participant's link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    pub(super) rtt: Option<Duration>,
    pub(super) egress_loss: f32,
    pub(super) ingress_loss: f32,
    pub(super) jitter: Duration,
    pub(super) told: Option<v1::ConnectionQuality>,
}

/// A track, from its announcement on.
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) owner: SessionKey,
    pub(super) cid: String,
    pub(super) info: v1::Track,
    /// Media is negotiated, and others may subscribe.
    pub(super) is_published: bool,
    /// Codecs seen, in the order of their first packets.
    pub(super) formats: Vec<Format>,
    /// In ascending order of size.
    pub(super) encodings: Vec<PublishedEncoding>,
    pub(super) subscriptions: Vec<SubscriptionKey>,
    pub(super) demand: DemandTracker,
    pub(super) speaker: SpeakerDetector,
    pub(super) told_first_subscriber: bool,
    /// Which encodings flowed when targets were last chosen.
    pub(super) flowing: u8,
}

/// A codec that a track was seen to use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) payload_type: Pt,
    pub(super) codec: Codec,
    pub(super) params: PayloadParams,
}

/// An encoding, with what it takes to ask for its keyframes.
pub(super) struct PublishedEncoding {
    pub(super) encoding: Encoding,
    pub(super) throttle: KeyframeThrottle,
}

/// A subscription of one participant to one track.
pub(super) struct Subscription {
    pub(super) subscriber: SessionKey,
    pub(super) track: TrackKey,
    pub(super) slot: SlotIndex,
    pub(super) wish: Wish,
    pub(super) priority: u32,
    pub(super) forwarder: Forwarder,
    /// What the subscriber would take if everything flowed and the link carried it.
    pub(super) wanted: Option<Layer>,
    /// The same within the allocator's grant: what the publisher is asked to send.
    pub(super) requested: Option<Layer>,
    /// The section is negotiated.
    pub(super) is_live: bool,
    /// Paused for want of bandwidth, as the subscriber was told.
    pub(super) is_paused: bool,
    pub(super) told_unsupported: bool,
}

impl Track {
    /// The index of the encoding of a stream id, made when it was not announced. `None` past the cap.
    pub(super) fn encoding_of(&mut self, rid: Option<Rid>, cap: usize) -> Option<u8> {
        let known = self
            .encodings
            .iter()
            .position(|e| e.encoding.info.rid == rid);
        let index = match known {
            Some(index) => index,
            None if self.encodings.len() < cap => {
                let index = self.encodings.len();
                let info = EncodingInfo {
                    index: u8::try_from(index).ok()?,
                    rid,
                    quality: v1::VideoQuality::High,
                    width: self.info.width,
                    height: self.info.height,
                };
                self.encodings
                    .push(PublishedEncoding::new(info, self.is_screen()));
                index
            }
            None => return None,
        };
        u8::try_from(index).ok()
    }

    pub(super) fn is_video(&self) -> bool {
        self.info.kind() == v1::TrackKind::Video
    }

    pub(super) fn is_screen(&self) -> bool {
        self.info.source() == v1::TrackSource::ScreenShare
    }

    /// The encodings as they are now, for the choice of a layer.
    pub(super) fn views(&self, now: Instant) -> Vec<EncodingView> {
        views(
            self.encodings.iter().map(|published| &published.encoding),
            now,
        )
    }

    /// Which encodings flow, as bits.
    pub(super) fn flowing(&self, now: Instant) -> u8 {
        self.encodings.iter().fold(0, |bits, e| {
            let bit = 1_u8.checked_shl(e.encoding.info.index.into()).unwrap_or(0);
            if e.encoding.is_flowing(now) {
                bits | bit
            } else {
                bits
            }
        })
    }
}

impl PublishedEncoding {
    pub(super) fn new(info: EncodingInfo, is_screen: bool) -> Self {
        Self {
            encoding: Encoding::new(info, is_screen),
            throttle: KeyframeThrottle::default(),
        }
    }
}

impl Participant {
    pub(super) fn refused(&self, track: &TrackId) -> bool {
        self.refused.contains(track)
    }

    pub(super) fn control(&self) -> Option<ControlId> {
        self.member.control
    }
}
