//! Media toward one participant: sections of its subscribe transport, used for one subscription after
//! another, and the lane that protects and queues what goes out on them. Nothing else sends media.
//! The engine knows the sections alone, and no stream of ours. Must not choose what is sent.

mod backlog;
mod congestion;
mod feedback;
mod formats;
mod header;
mod history;
mod known;
mod lane;
mod pacer;
mod padding;
mod playout;
mod redundancy;
mod share;
mod stream;
mod text;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::{change::SdpApi, format::PayloadParams, media::Direction};

pub(crate) use feedback::Feedback;
pub(crate) use formats::Formats;
pub(super) use formats::KnownFormats;
pub(crate) use lane::{Lane, Media, Repeated};
pub(crate) use stream::{PayloadType, PlainRoutes};

use self::{
    header::ElementIds,
    history::Patience,
    known::Known,
    lane::{Again, Queued},
    stream::Stream,
};
use super::transport::{Transport, engine_kind};
use crate::{
    ClockAnchor,
    ahead::{fetch, fetch_at},
    key::SubscriptionKey,
    outbox::Outbox,
    rtp::{Codec, Mid, Packet},
};

/// Which section a subscription sends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotIndex(usize);

/// A section of the subscribe transport.
#[derive(Debug)]
struct Slot {
    is_video: bool,
    /// It is the client's: it keeps its stream, whatever it carries, and is never offered.
    is_fixed: bool,
    /// Absent until it was first offered.
    mid: Option<Mid>,
    /// Whom it is to serve.
    wish: Option<Tenant>,
    /// What it offers, from the first time on.
    formats: Formats,
    /// Tracks it has carried.
    history: Vec<String>,
    /// Whom the newest offer gave it to.
    offered: Option<SubscriptionKey>,
    /// The offer was answered.
    is_answered: bool,
    stream: Option<Stream>,
    /// By codec of the track (its index there): the payload types here, or that there are none.
    payload_types: Vec<Option<Option<PayloadType>>>,
}

#[derive(Debug, Clone)]
struct Tenant {
    subscription: SubscriptionKey,
    stream: String,
    track: String,
}

/// What a section says of the track that it carries (RFC 8830).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) track: String,
    /// Of a stream with this track alone, by which any client knows the track.
    pub(crate) alone: String,
    /// Of the stream with all that is to be played in step with it. A client knows the track by its own name then, which
    /// stays that of a section's first track.
    pub(crate) shared: Option<String>,
}

/// What the client's own sections are called: all are one stream, whatever they carry.
const FIXED_STREAM: &str = "room";

/// Tracks remembered per section.
const HISTORY_MAX: usize = 16;

/// How long a packet that was missed may wait for its turn.
const REPAIR_LIFE: Duration = Duration::from_millis(300);

/// Free sections of a kind from which on any is reused, so that a client that takes a track up again and
/// again does not make its description grow for ever.
const FREE_MAX: usize = 16;

/// The sections of one subscribe transport, and what is sent on them.
pub(crate) struct Egress {
    slots: Vec<Slot>,
    pub(crate) lane: Lane,
    /// The next SSRC: they count up from a random one, so that none comes twice.
    next_ssrc: u32,
    /// The streams of sections, by SSRC in ascending order.
    known: Vec<Known>,
    /// All sections are the client's.
    is_fixed: bool,
    /// Sections that lost what waited to make place for others, since they were last asked for.
    cut: Vec<usize>,
}

/// What was sent because its time came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Timed {
    /// Packets that were missed.
    pub(crate) repaired: u64,
    /// Packets that were to be sent again, and are kept no longer.
    pub(crate) gone: u64,
    /// Packets of padding.
    pub(crate) padding: u64,
}

/// Looks up a packet of a subscription's track: its encoding, and the low bits of its number there.
pub(crate) type Find<'a> = &'a mut dyn FnMut(SubscriptionKey, u8, u32) -> Option<Arc<Packet>>;

/// Why a packet was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The section does not serve (yet).
    NotServing,
    /// Its number was used before.
    Used,
    /// Too much waits already, and nothing waits of its section any more but a keyframe.
    QueueFull,
}

/// What became of a request for a packet that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    /// It was sent again.
    Sent,
    /// It is sent again when its turn comes.
    Queued,
    /// It is kept no longer.
    Gone,
    /// It was sent again a moment ago, was never sent, or sending again costs too much already.
    Refused,
}

impl Egress {
    /// Without sections. `first_ssrc` is random. With `is_fixed` there are those of the client's offer and
    /// no others.
    pub(super) fn new(now: Instant, first_ssrc: u32, is_fixed: bool) -> Self {
        Self {
            slots: Vec::new(),
            lane: Lane::new(now),
            next_ssrc: first_ssrc,
            known: Vec::new(),
            is_fixed,
            cut: Vec::new(),
        }
    }

    /// Whether there is a section for one more subscription.
    pub(crate) fn has_place(&self, is_video: bool) -> bool {
        !self.is_fixed || self.vacant(is_video).is_some()
    }

    /// Whether sections keep their numbers from one subscription to the next.
    pub(crate) fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    fn vacant(&self, is_video: bool) -> Option<usize> {
        let is_vacant = |slot: &Slot| slot.is_video == is_video && slot.wish.is_none();
        self.slots.iter().position(is_vacant)
    }

    /// Takes the sections of the client's offer, which was answered: those that are new to us are served
    /// from now on.
    pub(super) fn fix(&mut self, transport: &mut Transport, sections: &[(Mid, bool)]) {
        for (mid, is_video) in sections {
            if self.slots.iter().any(|slot| slot.mid == Some(*mid)) {
                continue;
            }
            let ssrc = self.take_ssrc();
            let repair = is_video.then(|| self.take_ssrc());
            let mut stream = Stream::new(ssrc, repair, (ssrc >> 7) as u16);
            stream.mid = Some(*mid);
            if let Some(media) = transport.engine_ref().media(*mid) {
                stream.ids = ElementIds::of(media.remote_extmap());
            }
            self.slots.push(Slot {
                mid: Some(*mid),
                is_fixed: true,
                stream: Some(stream),
                ..Slot::new(*is_video)
            });
        }
        self.index_streams();
        for slot in &self.slots {
            remove_engines_stream(transport, slot.mid);
        }
    }

    /// Takes sections that are sent as plain RTP, to these addresses: they serve from now on. True for video.
    pub(crate) fn fix_plain(&mut self, sections: &[(bool, PlainRoutes)]) {
        for (is_video, routes) in sections {
            let ssrc = self.take_ssrc();
            let mut stream = Stream::new(ssrc, None, 0);
            stream.plain = Some(*routes);
            self.lane.connect_plain(routes.rtp);
            let mid = self.slots.len().to_string();
            self.slots.push(Slot {
                mid: Some(Mid::from(mid.as_str())),
                is_fixed: true,
                stream: Some(stream),
                ..Slot::new(*is_video)
            });
        }
        self.index_streams();
    }

    /// Whether there are sections.
    pub(crate) fn has_sections(&self) -> bool {
        !self.slots.is_empty()
    }

    /// How many there are, vacant ones included.
    pub(crate) fn sections(&self) -> usize {
        self.slots.len()
    }

    /// Reserves a section for a subscription; it serves after the next offer and its answer, or at once
    /// where sections are fixed and [`Egress::has_place`].
    pub(crate) fn open(
        &mut self,
        subscription: SubscriptionKey,
        is_video: bool,
        formats: Formats,
        names: Names,
    ) -> SlotIndex {
        let Names {
            track,
            alone,
            shared,
        } = names;
        let free = self.slots.iter().filter(|slot| slot.is_video == is_video);
        let free = free.filter(|slot| slot.is_free()).count();
        // Too many that do not fit: the next fits whatever comes.
        let formats = if free >= FREE_MAX && !self.has_free(is_video, formats) {
            Formats::All
        } else {
            formats
        };
        let is_free = |slot: &Slot| slot.is_free_for(is_video, formats);
        // SDKs on native WebRTC announce a track once per section: the same track needs another one.
        let fresh = self
            .slots
            .iter()
            .position(|s| is_free(s) && !s.history.contains(&track));
        let index = self
            .vacant(is_video)
            .filter(|_| self.is_fixed)
            .or(fresh)
            .or_else(|| {
                self.slots
                    .iter()
                    .position(is_free)
                    .filter(|_| free >= FREE_MAX)
            })
            .unwrap_or_else(|| {
                self.slots.push(Slot {
                    formats,
                    ..Slot::new(is_video)
                });
                self.slots.len() - 1
            });
        if let Some(slot) = self.slots.get_mut(index) {
            let stream = shared.filter(|_| slot.history.is_empty()).unwrap_or(alone);
            if slot.history.len() >= HISTORY_MAX {
                slot.history.remove(0);
            }
            slot.history.push(track.clone());
            if let Some(stream) = slot.stream.as_mut().filter(|_| slot.is_fixed) {
                // What was sent before came from another track.
                stream.history.forget();
                slot.offered = Some(subscription);
                slot.payload_types.clear();
            }
            slot.wish = Some(Tenant {
                subscription,
                stream,
                track,
            });
        }
        SlotIndex(index)
    }

    fn has_free(&self, is_video: bool, formats: Formats) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.is_free_for(is_video, formats))
    }

    /// Whether a section leaves nothing out that we could offer.
    pub(crate) fn offers_all(&self, slot: SlotIndex) -> bool {
        let slot = self.slots.get(slot.0);
        slot.is_none_or(|slot| slot.formats == Formats::All)
    }

    /// Gives a section back.
    pub(crate) fn close(&mut self, subscription: SubscriptionKey) {
        for slot in &mut self.slots {
            if slot
                .wish
                .as_ref()
                .is_some_and(|tenant| tenant.subscription == subscription)
            {
                slot.wish = None;
                if slot.is_fixed {
                    slot.offered = None;
                }
            }
        }
    }

    /// Whether a subscription's section is negotiated already.
    pub(crate) fn is_serving(&self, slot: SlotIndex) -> bool {
        self.slots.get(slot.0).is_some_and(Slot::is_serving)
    }

    /// Whether an offer is wanted.
    pub(crate) fn is_changed(&self) -> bool {
        self.slots.iter().any(Slot::is_changed)
    }

    /// Puts what changed into an offer that is being made.
    pub(super) fn offer(&mut self, api: &mut SdpApi<'_>) {
        for slot in &mut self.slots {
            if !slot.is_changed() {
                continue;
            }
            match (&slot.wish, slot.mid) {
                (Some(tenant), None) => {
                    let kind = engine_kind(slot.is_video);
                    let (stream, track) = (tenant.stream.clone(), tenant.track.clone());
                    let mid =
                        api.add_media(kind, Direction::SendOnly, Some(stream), Some(track), None);
                    slot.mid = Some(mid);
                }
                (Some(_), Some(mid)) => api.set_direction(mid, Direction::SendOnly),
                (None, Some(mid)) => api.set_direction(mid, Direction::Inactive),
                (None, None) => {}
            }
            slot.offered = slot.wish.as_ref().map(|tenant| tenant.subscription);
            slot.is_answered = false;
            slot.payload_types.clear();
        }
    }

    /// Before an offer: a section that changes hands gets a new stream, so that no sequence number or
    /// timestamp of the one before reaches the decoder of the one after.
    pub(super) fn renew_streams(&mut self) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index).filter(|slot| slot.is_changed()) else {
                continue;
            };
            let (is_wanted, is_video) = (slot.wish.is_some(), slot.is_video);
            let stream = is_wanted.then(|| {
                let ssrc = self.take_ssrc();
                let repair = is_video.then(|| self.take_ssrc());
                Stream::new(ssrc, repair, (ssrc >> 7) as u16)
            });
            if let Some(slot) = self.slots.get_mut(index) {
                // Nobody is to see what waits of the one before.
                if let Some(mut gone) = std::mem::replace(&mut slot.stream, stream) {
                    backlog::supersede(&mut self.lane, &mut gone, None);
                }
            }
        }
        self.index_streams();
    }

    fn index_streams(&mut self) {
        let before = std::mem::take(&mut self.known);
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(ssrc) = slot.stream.as_ref().map(|stream| stream.ssrc) else {
                continue;
            };
            let same = before.binary_search_by_key(&ssrc, |known| known.ssrc);
            let same = same.ok().and_then(|same| before.get(same).copied());
            let known = same.unwrap_or_else(|| Known::new(ssrc, SlotIndex(index)));
            self.known.push(known);
        }
        self.known.sort_unstable_by_key(|known| known.ssrc);
    }

    fn take_ssrc(&mut self) -> u32 {
        let ssrc = self.next_ssrc;
        self.next_ssrc = ssrc.wrapping_add(1);
        // 0 is no name some clients take.
        if ssrc == 0 { self.take_ssrc() } else { ssrc }
    }

    /// The answer to the newest offer was taken: what it gave out serves now. Returns the subscriptions
    /// that begin.
    pub(super) fn on_answer(&mut self, transport: &mut Transport) -> Vec<SubscriptionKey> {
        let mut begun = Vec::new();
        for slot in &mut self.slots {
            let Some(mid) = slot.mid else { continue };
            remove_engines_stream(transport, slot.mid);
            if slot.is_answered {
                continue;
            }
            slot.is_answered = true;
            let media = transport.engine_ref().media(mid);
            if let (Some(stream), Some(media)) = (&mut slot.stream, media) {
                stream.ids = ElementIds::of(media.remote_extmap());
                stream.mid = Some(mid);
            }
            begun.extend(slot.offered);
        }
        begun
    }

    /// Track names by mid, of what is being served.
    pub(super) fn tracks_by_mid(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.slots.iter().filter_map(|slot| {
            let mid = slot.mid?;
            slot.wish
                .as_ref()
                .map(|tenant| (mid.to_string(), tenant.track.clone()))
        })
    }

    /// The subscription whose media goes out on a section.
    pub(crate) fn tenant(&self, slot: SlotIndex) -> Option<SubscriptionKey> {
        let slot = self.slots.get(slot.0)?;
        slot.wish.as_ref().map(|tenant| tenant.subscription)
    }

    fn slot_of(&self, ssrc: u32) -> Option<SlotIndex> {
        let found = self.known.binary_search_by_key(&ssrc, |known| known.ssrc);
        // A stream that repairs follows the one it repairs.
        let index = match found {
            Ok(index) => index,
            Err(after) => after.checked_sub(1)?,
        };
        let slot = self.known.get(index)?.slot;
        let stream = self.slots.get(slot.0)?.stream.as_ref()?;
        (stream.ssrc == ssrc || stream.repair_ssrc == Some(ssrc)).then_some(slot)
    }

    fn stream_mut(&mut self, slot: SlotIndex) -> Option<&mut Stream> {
        self.slots.get_mut(slot.0)?.stream.as_mut()
    }

    /// Payload type of a codec on a section, or none where the client did not take it. `format` is the
    /// index of the codec in the track; the answer is kept until the section is renegotiated.
    pub(crate) fn payload_type(
        &mut self,
        transport: Option<&Transport>,
        slot: SlotIndex,
        format: usize,
        params: &PayloadParams,
        is_red: bool,
    ) -> Option<PayloadType> {
        let slot = self.slots.get_mut(slot.0)?;
        if !slot.is_serving() {
            return None;
        }
        if let Some(Some(known)) = slot.payload_types.get(format) {
            return *known;
        }
        let Some(transport) = transport else {
            // Plain RTP is described by us: whatever comes is taken.
            let codec = Codec::from_engine(params.spec().codec).filter(|_| !is_red);
            return codec.map(|codec| PayloadType {
                media: codec.plain_type(),
                repair: None,
            });
        };
        let rtc = transport.engine_ref();
        let media = rtc.media(slot.mid?)?;
        let found = rtc.codec_config().match_params(*params).and_then(|own| {
            let taken = |pt| media.remote_pts().contains(&pt);
            let pt = if is_red { own.red()? } else { own.pt() };
            let repair = own.resend().filter(|_| !is_red);
            // RED rides on the codec it wraps; the engine lists the wrapped one alone.
            taken(own.pt()).then(|| PayloadType {
                media: *pt,
                repair: repair.map(|pt| *pt),
            })
        });
        if slot.payload_types.len() <= format {
            slot.payload_types.resize(format + 1, None);
        }
        if let Some(entry) = slot.payload_types.get_mut(format) {
            *entry = Some(found);
        }
        found
    }

    /// Asks for what a next packet will touch.
    pub(crate) fn fetch(&self) {
        fetch(&self.slots);
        fetch(&self.cut);
        self.lane.fetch();
    }

    /// The same of a section, once that is there.
    pub(crate) fn fetch_slot(&self, slot: SlotIndex) {
        self.lane.fetch_deep();
        let Some(slot) = self.slots.get(slot.0) else {
            return;
        };
        fetch(&slot.wish);
        fetch(&slot.offered);
        fetch(&slot.stream);
        fetch(&slot.payload_types);
    }

    /// The same of what a section has elsewhere, once that is there.
    pub(crate) fn fetch_stream(&self, slot: SlotIndex) {
        let Some(slot) = self.slots.get(slot.0) else {
            return;
        };
        fetch_at(&slot.payload_types, 0);
        if let Some(stream) = &slot.stream {
            stream.fetch();
            stream.history.fetch();
        }
    }

    /// Whether the client took a codec on a section, in any of its profiles.
    pub(crate) fn takes(
        &self,
        transport: Option<&Transport>,
        slot: SlotIndex,
        codec: Codec,
    ) -> bool {
        let slot = self.slots.get(slot.0).filter(|slot| slot.is_serving());
        let (Some(slot), Some(transport)) = (slot, transport) else {
            // Plain RTP is described by us: whatever comes is taken.
            return slot.is_some();
        };
        let rtc = transport.engine_ref();
        let media = slot.mid.and_then(|mid| rtc.media(mid));
        let mut own = rtc
            .codec_config()
            .params()
            .iter()
            .filter(|params| Codec::from_engine(params.spec().codec) == Some(codec));
        media.is_some_and(|media| own.any(|own| media.remote_pts().contains(&own.pt())))
    }

    /// Sends a packet, or lets it wait for its turn. True when the deadline changed by it.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        slot: SlotIndex,
        media: &Media<'_>,
    ) -> Result<bool, Unsent> {
        /// A keyframe waits for no more than this before it takes the place of what waits.
        const BACKLOG_MAX: Duration = Duration::from_millis(100);
        let Self { slots, lane, .. } = self;
        let stream = slots
            .get_mut(slot.0)
            .filter(|slot| slot.is_serving())
            .and_then(|slot| slot.stream.as_mut())
            .ok_or(Unsent::NotServing)?;
        if !stream.admit(media, lane.clock(now)) {
            return Err(Unsent::Used);
        }
        let packet = media.packet;
        if !packet.codec.is_video() {
            return Ok(lane.send(now, outbox, stream, media));
        }
        // What is about to go anyway is worth more than the hole it would leave.
        if packet.is_keyframe
            && lane.pacer.backlog() > BACKLOG_MAX
            && !backlog::has_keyframe(lane, stream, media.rewritten.timestamp)
        {
            backlog::supersede(lane, stream, Some(media.rewritten.timestamp));
        }
        if lane.pacer.admits(now) {
            return Ok(lane.send(now, outbox, stream, media));
        }
        let ssrc = stream.ssrc;
        self.wait(now, slot.0, ssrc, media)
    }

    /// Sends again what did not arrive. `find` looks up a packet of an encoding of the track by the low
    /// bits of its number.
    pub(crate) fn repair(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        slot: SlotIndex,
        sequence: u16,
        find: impl FnOnce(u8, u32) -> Option<Arc<Packet>>,
    ) -> Repair {
        /// On a link without delay: a client asks each few milliseconds.
        const INTERVAL_MIN: Duration = Duration::from_millis(10);
        /// After three round trips, two of which were lost as well, and what a client buffers at most
        /// without freezing, a packet is of no use.
        const DEADLINE_MIN: Duration = Duration::from_millis(500);
        const DEADLINE_MAX: Duration = Duration::from_secs(2);
        /// A keyframe is there after a round trip and a half, with what of it was sent again.
        const SUPERSEDED_MIN: Duration = Duration::from_millis(100);
        let Self { slots, lane, .. } = self;
        let index = slot.0;
        let Some(slot) = slots.get_mut(index).filter(|slot| slot.is_serving()) else {
            return Repair::Refused;
        };
        let Some(stream) = slot.stream.as_mut() else {
            return Repair::Refused;
        };
        let rtt = lane.rtt.unwrap_or_default();
        let patience = Patience {
            // A little less than a round trip: what is estimated must not refuse who waited for one.
            interval: (rtt * 3 / 4).max(INTERVAL_MIN),
            deadline: (DEADLINE_MIN + rtt * 3).min(DEADLINE_MAX),
            superseded_after: SUPERSEDED_MIN + rtt * 3 / 2,
        };
        let Some(sent) = stream.history.again(sequence, lane.clock(now), patience) else {
            return Repair::Refused;
        };
        let mut types = slot.payload_types.iter().flatten().flatten();
        let Some(repair_type) = types
            .find(|known| known.media == sent.payload_type)
            .and_then(|known| known.repair)
        else {
            return Repair::Refused;
        };
        let Some(packet) = find(sent.encoding, sent.origin) else {
            return Repair::Gone;
        };
        if lane.pacer.admits(now) {
            let is_sent = lane.repair(now, outbox, stream, (repair_type, &sent), &packet);
            return if is_sent {
                Repair::Sent
            } else {
                Repair::Refused
            };
        }
        let again = Queued::Again(Again {
            slot: index,
            ssrc: stream.ssrc,
            repair_type,
            sent,
            asked: now,
        });
        match lane.pacer.push_first(again, packet.payload.len()) {
            Ok(()) => Repair::Queued,
            Err(_) => Repair::Refused,
        }
    }

    /// Sends what waited for its turn, probes, and sender reports.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        anchor: &ClockAnchor,
        outbox: &mut Outbox,
        find: Find<'_>,
    ) -> Timed {
        let mut timed = Timed::default();
        self.lane.congestion.handle_timeout(now);
        self.lane.follow(now);
        self.probe(now, outbox, find, &mut timed);
        self.drop_stale(now);
        while let Some(queued) = self.lane.pacer.pop(now) {
            self.send_queued(now, outbox, queued, find, &mut timed);
        }
        let Self { slots, lane, .. } = self;
        let streams = slots.iter_mut().filter_map(|slot| {
            let name = match slot.is_fixed {
                true => FIXED_STREAM,
                false => slot.wish.as_ref()?.stream.as_str(),
            };
            Some((slot.stream.as_mut()?, name))
        });
        lane.report(now, anchor, outbox, streams);
        timed
    }

    fn send_queued(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        queued: Queued,
        find: Find<'_>,
        timed: &mut Timed,
    ) {
        let Self { slots, lane, .. } = self;
        let (slot, ssrc) = match &queued {
            Queued::Media(waiting) => {
                lane.shares.remove(waiting);
                (waiting.slot, waiting.ssrc)
            }
            Queued::Again(again) => (again.slot, again.ssrc),
        };
        // The section may have changed hands meanwhile.
        let serving = slots.get_mut(slot).and_then(|slot| {
            let stream = slot.stream.as_mut().filter(|stream| stream.ssrc == ssrc)?;
            Some((stream, slot.wish.as_ref()?))
        });
        let Some((stream, tenant)) = serving else {
            lane.discarded += u64::from(matches!(queued, Queued::Media(_)));
            return;
        };
        match queued {
            Queued::Media(waiting) => lane.send_waiting(now, outbox, stream, &waiting),
            // By then its viewer has gone on without.
            Queued::Again(again) if now.saturating_duration_since(again.asked) > REPAIR_LIFE => {}
            Queued::Again(again) => {
                let sent = &again.sent;
                let Some(packet) = find(tenant.subscription, sent.encoding, sent.origin) else {
                    timed.gone += 1;
                    return;
                };
                let what = (again.repair_type, sent);
                timed.repaired += u64::from(lane.repair(now, outbox, stream, what, &packet));
            }
        }
    }

    /// When [`Egress::handle_timeout`] is wanted.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lane.deadline()
    }

    /// Bits per second of payload sent of late on a section; `None` when that is not known yet.
    pub(crate) fn bitrate(&self, now: Instant, slot: SlotIndex) -> Option<u64> {
        self.slots.get(slot.0)?.stream.as_ref()?.bitrate(now)
    }

    /// Bits per second of media that the link takes; `None` while nothing is known against it.
    pub(crate) fn budget(&self, now: Instant) -> Option<u64> {
        let budget = self.lane.congestion.budget(now)?;
        Some((budget as f64 * self.lane.share.of_media()) as u64)
    }
}

impl Slot {
    fn new(is_video: bool) -> Self {
        Self {
            is_video,
            is_fixed: false,
            mid: None,
            wish: None,
            formats: Formats::All,
            history: Vec::new(),
            offered: None,
            is_answered: true,
            stream: None,
            payload_types: Vec::new(),
        }
    }

    fn is_free(&self) -> bool {
        self.wish.is_none() && self.offered.is_none() && self.is_answered
    }

    fn is_free_for(&self, is_video: bool, formats: Formats) -> bool {
        self.is_video == is_video && self.is_free() && self.formats.serve(formats)
    }

    fn is_changed(&self) -> bool {
        self.wish.as_ref().map(|tenant| tenant.subscription) != self.offered
    }

    fn is_serving(&self) -> bool {
        self.is_answered && self.offered.is_some() && !self.is_changed()
    }
}

/// The engine makes a stream for each section that sends; a silent one costs sender reports.
fn remove_engines_stream(transport: &mut Transport, mid: Option<Mid>) {
    let mut api = transport.engine().direct_api();
    let engines = mid.and_then(|mid| api.stream_tx_by_mid(mid, None).map(|stream| stream.ssrc()));
    if let Some(engines) = engines {
        api.remove_stream_tx(engines);
    }
}

#[cfg(test)]
mod tests;
