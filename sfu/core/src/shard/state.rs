//! What a shard keeps of a participant, a published track and a subscription: the parts that session,
//! room, track and subscription own, side by side. Must not hold behaviour beyond look-ups.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use plenum_proto::{ids::TrackId, v1};

use super::fanout::ENCODINGS_MAX;
use crate::{
    ControlId, LinkKey,
    key::{RoomKey, SessionKey, SubscriptionKey, TrackKey},
    relay::{Export, Origin, Outlets},
    room::{
        Member,
        quality::{Recent, Shortfall, Verdict, Way},
        speaker::SpeakerDetector,
    },
    rtp::{Codec, Packet, PayloadParams, Pt, Rid},
    session::{Formats, Session, SlotIndex},
    subscription::{Choices, Forwarder, KeyframeThrottle, LayerView, Limit, Wish, views},
    track::{
        DemandTracker, Encoding, EncodingInfo, Failing, Layer, LayerSet, PacketCache,
        PublisherClock, Reported, SoundCache, Turn,
    },
};

/// A participant: its place in the room, and its connection.
pub(super) struct Participant {
    pub(super) room: RoomKey,
    /// The link behind which it lives; absent when its session is here.
    pub(super) via: Option<LinkKey>,
    /// Grows with everything other shards are told of it.
    pub(super) revision: u64,
    pub(super) member: Member,
    pub(super) session: Session,
    /// Published and announced ones, in the order of announcement.
    pub(super) tracks: Vec<TrackKey>,
    pub(super) subscriptions: Vec<SubscriptionKey>,
    /// What these want, if each is granted all of it; absent when that is to be found out.
    pub(super) wants: Option<Vec<Want>>,
    /// Tracks it asked for or refused by name; the rest follows `auto_subscribe`.
    pub(super) wishes: Vec<(TrackId, bool)>,
    /// The numbers of sections that outlive subscriptions and carry nothing now, in their forwarders.
    pub(super) parked: BTreeMap<SlotIndex, Forwarder>,
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
    /// Where it stands in a direct call; absent when its media comes here.
    pub(super) direct: Option<DirectCall>,
    /// The participant of another room that it stands for.
    pub(super) double_of: Option<SessionKey>,
    /// Who stands for it in other rooms.
    pub(super) doubles: Vec<SessionKey>,
    /// It is looked at with every tick.
    pub(super) is_awake: bool,
    /// It waits for an offer.
    pub(super) is_owed: bool,
}

/// What a subscription wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) track: TrackKey,
    /// As [`Subscription::codec`].
    pub(super) codec: u8,
    pub(super) layer: Layer,
}

/// A participant's part in a direct call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectCall {
    /// Nobody else is here.
    Alone,
    /// It was told of another one.
    With {
        peer: SessionKey,
        since: Instant,
        /// It said that the way between them stands.
        is_connected: bool,
    },
    /// It was told to join again.
    Over { since: Instant },
}

/// What was reported of a participant's link lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    pub(super) rtt: Option<Duration>,
    /// The way from us, and the way to us.
    pub(super) egress: Way,
    pub(super) ingress: Way,
    /// Of its tracks the share of packets that had to be sent to us again, or never came.
    pub(super) late: Recent,
    /// What of the pictures that it wants the way from us does not carry.
    pub(super) shortfall: Shortfall,
    /// When packets last got lost on the way to us.
    pub(super) lossy_at: Option<Instant>,
    /// What other shards were last told of the way to us, and when.
    pub(super) spread: Option<(Instant, f32)>,
    /// What its subscriptions share since when, where that is limited; in bits per second.
    pub(super) allocated: Option<(u64, Instant)>,
    pub(super) told: Option<v1::ConnectionQuality>,
    /// Nothing comes from it at all.
    pub(super) is_lost: bool,
    pub(super) verdict: Verdict,
    /// When its quality was last judged.
    pub(super) rated_at: Option<Instant>,
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
    /// What is wanted of it in each of its codecs, the preferred one first.
    pub(super) demands: Vec<DemandTracker>,
    /// Encodings nobody asks for that are to be sent because those asked for do not come, as bits.
    pub(super) stand_ins: u8,
    /// What they were last chosen by: which encodings failed, of how many.
    pub(super) stood_in_for: (Failing, usize),
    pub(super) speaker: SpeakerDetector,
    pub(super) told_first_subscriber: bool,
    /// Which encodings flowed when targets were last chosen, and which were frail.
    pub(super) flowing: u8,
    pub(super) frail: u8,
    /// Who takes it on other shards, in the order in which they came.
    pub(super) exports: Vec<Export>,
    /// To whom this shard sends it, be it published here or not.
    pub(super) outlets: Outlets,
    /// To whom others are to send it on, as they were told.
    pub(super) feeders: BTreeMap<LinkKey, Vec<(LinkKey, LayerSet)>>,
    /// Who can not send it on to whom, while both take it.
    pub(super) apart: Vec<(LinkKey, LinkKey)>,
    /// Where it comes from, when it is published on another shard.
    pub(super) origin: Option<Origin>,
    /// The track of another room that this one is, under another id.
    pub(super) copy_of: Option<TrackKey>,
    /// What it is in other rooms.
    pub(super) copies: Vec<TrackKey>,
    /// What other shards were last told of its flow.
    pub(super) told_flow: Vec<Reported>,
    /// A microphone that is not among the loudest: only who pinned it gets it.
    pub(super) is_quiet: bool,
    /// Somebody here did pin it.
    pub(super) is_pinned: bool,
    /// It is looked at with every tick.
    pub(super) is_awake: bool,
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
    /// What is sent again to those who missed it.
    pub(super) cache: PacketCache,
    /// What is repeated of sound beside what comes next.
    pub(super) sound: SoundCache,
    /// How often it began anew under other numbers.
    pub(super) starts: u8,
}

/// A subscription of one participant to one track.
pub(super) struct Subscription {
    pub(super) subscriber: SessionKey,
    pub(super) track: TrackKey,
    pub(super) slot: SlotIndex,
    /// The codec it is served, an index among those of its track.
    pub(super) codec: u8,
    pub(super) wish: Wish,
    pub(super) priority: u32,
    pub(super) forwarder: Forwarder,
    /// What the subscriber would take if everything flowed and the link carried it.
    pub(super) wanted: Option<Layer>,
    /// The same within the allocator's grant: what the publisher is asked to send.
    pub(super) requested: Option<Layer>,
    /// Since when that.
    pub(super) requested_at: Option<Instant>,
    /// The section is negotiated.
    pub(super) is_live: bool,
    /// Paused for want of bandwidth, as the subscriber was told.
    pub(super) is_paused: bool,
    /// Why less is granted than wanted.
    pub(super) limit: Option<Limit>,
    /// What was to flow of late, and why.
    pub(super) choices: Choices,
    pub(super) told_unsupported: bool,
    /// When it was last offered again what is kept of a keyframe.
    pub(super) offered_again: Option<Instant>,
    /// Of a microphone that is not among the loudest: it is wanted all the same.
    pub(super) is_pinned: bool,
}

impl Track {
    /// What a section has to offer that carries it: the codecs that came, and those that were announced. Sound of
    /// which nothing is known is what browsers send.
    pub(super) fn formats_to_offer(&self) -> Formats {
        let codecs = self.info.codecs.iter();
        let announced = codecs.map(|codec| Formats::announced(Codec::from_mime(&codec.mime)));
        let seen = self.formats.iter();
        let seen = seen.map(|format| Formats::seen(format.codec, &format.params));
        match Formats::of(announced.chain(seen)) {
            Formats::All if self.formats.is_empty() && !self.is_video() => {
                Formats::announced(Codec::from_mime(&self.info.mime))
            }
            formats => formats,
        }
    }

    /// A track nothing was received of yet.
    pub(super) fn new(
        now: Instant,
        id: TrackId,
        owner: SessionKey,
        cid: String,
        info: v1::Track,
    ) -> Self {
        Self {
            id,
            owner,
            cid,
            info,
            is_published: false,
            formats: Vec::new(),
            encodings: Vec::new(),
            subscriptions: Vec::new(),
            demands: vec![DemandTracker::new(now)],
            stand_ins: 0,
            stood_in_for: (Failing::default(), 0),
            speaker: SpeakerDetector::default(),
            told_first_subscriber: false,
            flowing: 0,
            frail: 0,
            exports: Vec::new(),
            outlets: Outlets::default(),
            feeders: BTreeMap::new(),
            apart: Vec::new(),
            origin: None,
            copy_of: None,
            copies: Vec::new(),
            told_flow: Vec::new(),
            is_quiet: false,
            is_pinned: false,
            is_awake: false,
        }
    }

    /// The index of the encoding of a stream id, made when it was not announced. `None` past the cap on those of one
    /// codec.
    pub(super) fn encoding_of(&mut self, codec: u8, rid: Option<Rid>, cap: usize) -> Option<u8> {
        let mut infos = self.encodings.iter().map(|e| e.encoding.info);
        let known = infos.position(|info| info.codec == codec && info.rid == rid);
        let count = self.encodings_of(codec).count_ones() as usize;
        let index = match known {
            Some(index) => index,
            None if count < cap && self.encodings.len() < ENCODINGS_MAX => {
                let index = self.encodings.len();
                let info = EncodingInfo {
                    index: u8::try_from(index).ok()?,
                    codec,
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

    /// The encodings of a codec as they are now, for the choice of a layer.
    pub(super) fn views(&self, codec: u8, now: Instant) -> Vec<LayerView> {
        self.each_view(codec, now).collect()
    }

    /// The same, one after the other.
    pub(super) fn each_view(&self, codec: u8, now: Instant) -> impl Iterator<Item = LayerView> {
        let encodings = self.encodings.iter().map(|published| &published.encoding);
        views(encodings.filter(move |e| e.info.codec == codec), now)
    }

    /// Whether one shard is to send it on to another.
    pub(super) fn feeds(&self, from: LinkKey, to: LinkKey) -> bool {
        let outlets = self.feeders.get(&from);
        outlets.is_some_and(|outlets| outlets.iter().any(|(link, _)| *link == to))
    }

    /// What is asked for on other shards.
    pub(super) fn exports_requested(&self) -> LayerSet {
        let exports = self.exports.iter();
        exports.fold(LayerSet::NONE, |all, export| all.union(export.requested))
    }

    /// Which encodings fail although the publisher was asked for them.
    pub(super) fn failing(&self, now: Instant) -> Failing {
        let is_ours = self.origin.is_none() && self.copy_of.is_none();
        if !self.is_video() || !is_ours || self.info.muted {
            return Failing::default();
        }
        let owed = self.owed(now);
        Failing {
            silent: owed & !self.flowing(now),
            // What is behind either comes again or is silent soon.
            frail: owed & self.flowing(now) & self.frail(now) & !self.behind(),
        }
    }

    /// Whether others are to stand in for what fails than were asked for last.
    pub(super) fn misses_stand_ins(&self, failing: Failing) -> bool {
        let is_other = self.stood_in_for != (failing, self.encodings.len());
        is_other && (self.stand_ins != 0 || failing != Failing::default())
    }

    /// Which encodings flow, as bits.
    pub(super) fn flowing(&self, now: Instant) -> u8 {
        self.encodings_that(|encoding| encoding.is_flowing(now))
    }

    /// Which encodings have far less than usual, or come and go, as bits.
    pub(super) fn frail(&self, now: Instant) -> u8 {
        self.encodings_that(|encoding| encoding.is_frail(now))
    }

    fn behind(&self) -> u8 {
        self.encodings_that(Encoding::is_behind)
    }

    /// Takes note of which encodings come, and which are silent while others of the codec come.
    pub(super) fn note_flow(&mut self, now: Instant, silent: u8) {
        let (flowing, owed) = (self.flowing(now), self.owed(now));
        let ceased = self.encodings_that(Encoding::has_ceased);
        for codec in 0..self.codecs() {
            let own = self.encodings_of(codec);
            let behind = self.latecomers(now, codec);
            for published in &mut self.encodings {
                let encoding = &mut published.encoding;
                if encoding.info.codec != codec {
                    continue;
                }
                let bit = 1_u8.checked_shl(encoding.info.index.into()).unwrap_or(0);
                let turn = match () {
                    () if flowing & bit != 0 => Turn::Comes,
                    () if flowing & own == 0 => Turn::Unknown,
                    () if silent & bit != 0 => Turn::Silent,
                    () if owed & bit == 0 => Turn::Rests,
                    () => Turn::Unknown,
                };
                encoding.note_turn(now, turn, behind & bit != 0, ceased & own != 0);
            }
        }
    }

    /// Which encodings of a codec stay behind others, as bits: none unless one does that is to be sent.
    fn latecomers(&self, now: Instant, codec: u8) -> u8 {
        let alike = self.encodings_of(codec);
        let bit = |encoding: &Encoding| 1_u8.checked_shl(encoding.info.index.into()).unwrap_or(0);
        let last = |encoding: &Encoding| {
            encoding
                .last_packet()
                .filter(|_| alike & bit(encoding) != 0)
        };
        let newest = self
            .encodings
            .iter()
            .filter_map(|published| last(&published.encoding))
            .max();
        let Some(newest) = newest else { return 0 };
        let behind = alike & self.encodings_that(|encoding| encoding.is_later_than(newest));
        if behind & self.owed(now) == 0 {
            0
        } else {
            behind
        }
    }

    /// Which encodings the publisher has been told long enough to send, as bits.
    fn owed(&self, now: Instant) -> u8 {
        self.encodings_that(|encoding| {
            let demand = self.demands.get(usize::from(encoding.info.codec));
            demand.is_some_and(|demand| demand.owed(now).has(encoding.info.quality))
        })
    }

    fn encodings_that(&self, are: impl Fn(&Encoding) -> bool) -> u8 {
        self.encodings.iter().fold(0, |bits, e| {
            let bit = 1_u8.checked_shl(e.encoding.info.index.into()).unwrap_or(0);
            if are(&e.encoding) { bits | bit } else { bits }
        })
    }
}

impl PublishedEncoding {
    /// Takes in a packet, wherever it came from.
    pub(super) fn take(&mut self, now: Instant, packet: &Arc<Packet>) {
        self.encoding.on_packet(packet);
        if packet.is_keyframe {
            self.throttle.on_keyframe(now);
        }
        if packet.codec.is_video() {
            self.cache.insert(packet);
        } else {
            self.sound.insert(packet);
        }
    }

    pub(super) fn new(info: EncodingInfo, is_screen: bool) -> Self {
        Self {
            encoding: Encoding::new(info, is_screen),
            throttle: KeyframeThrottle::default(),
            cache: PacketCache::default(),
            sound: SoundCache::default(),
            starts: 0,
        }
    }
}

impl Participant {
    /// A participant that has done nothing yet.
    pub(super) fn new(room: RoomKey, member: Member, session: Session) -> Self {
        Self {
            room,
            via: None,
            revision: 0,
            member,
            session,
            tracks: Vec::new(),
            subscriptions: Vec::new(),
            wishes: Vec::new(),
            parked: BTreeMap::new(),
            refused: Vec::new(),
            clock: PublisherClock::default(),
            link: Link::default(),
            candidates: 0,
            last_data_sequence: 0,
            bandwidth_cap: None,
            wants: None,
            drop_next_resume: false,
            direct: None,
            double_of: None,
            doubles: Vec::new(),
            is_awake: false,
            is_owed: false,
        }
    }

    pub(super) fn refused(&self, track: &TrackId) -> bool {
        self.refused.contains(track)
    }

    /// Bits per second that may go to it; `None` while nothing limits it.
    pub(super) fn budget(&self, now: Instant) -> Option<u64> {
        let estimate = self.session.egress.budget(now);
        self.bandwidth_cap.into_iter().chain(estimate).min()
    }

    /// Whether its session is on this shard.
    pub(super) fn is_here(&self) -> bool {
        self.via.is_none()
    }

    pub(super) fn control(&self) -> Option<ControlId> {
        self.member.control
    }
}
