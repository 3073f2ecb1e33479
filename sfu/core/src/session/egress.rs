//! Media toward one participant: sections of its subscribe transport, used for one subscription after
//! another, and the one place where packets are handed to the engine for sending. Nothing else may write
//! media, so that another egress can take this one's place. Must not choose what is sent.

use std::{sync::Arc, time::Instant};

use str0m::{
    change::{SdpApi, SdpOffer},
    format::PayloadParams,
    media::Direction,
    rtp::RtpWrite,
};

use super::{
    sdp::StreamName,
    transport::{Transport, engine_kind},
};
use crate::{
    key::SubscriptionKey,
    rtp::{ExtensionValues, Mid, Pt, Ssrc, Vp8Patch},
};

/// Which section a subscription sends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotIndex(usize);

/// A section of the subscribe transport.
#[derive(Debug)]
struct Slot {
    is_video: bool,
    /// Absent until it was first offered.
    mid: Option<Mid>,
    /// Whom it is to serve.
    wish: Option<Tenant>,
    /// Tracks it has carried.
    history: Vec<String>,
    /// Whom the newest offer gave it to.
    offered: Option<SubscriptionKey>,
    /// The offer was answered.
    is_answered: bool,
    ssrc: Option<Ssrc>,
    /// By codec of the track (its index there): the payload type here, or that there is none.
    payload_types: Vec<Option<Option<Pt>>>,
}

#[derive(Debug, Clone)]
struct Tenant {
    subscription: SubscriptionKey,
    stream: String,
    track: String,
}

/// Tracks remembered per section.
const HISTORY_MAX: usize = 16;

/// Free sections of a kind from which on any is reused, so that a client that takes a track up again and
/// again does not make its description grow for ever.
const FREE_MAX: usize = 16;

/// The sections of one subscribe transport.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    slots: Vec<Slot>,
}

/// A packet on its way out, already rewritten for this subscription.
#[derive(Debug)]
pub(crate) struct EgressPacket {
    pub(crate) payload_type: Pt,
    /// Extended; never used twice on a slot's tenancy.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    /// When the media was captured, on our clock: what sender reports say.
    pub(crate) captured: Instant,
    pub(crate) marker: bool,
    pub(crate) extensions: ExtensionValues,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) vp8: Option<Vp8Patch>,
}

impl Egress {
    /// Reserves a section for a subscription; it serves after the next offer and its answer.
    pub(crate) fn open(
        &mut self,
        subscription: SubscriptionKey,
        is_video: bool,
        stream: String,
        track: String,
    ) -> SlotIndex {
        let is_free = |slot: &Slot| slot.is_video == is_video && slot.is_free();
        // SDKs on native WebRTC announce a track once per section: the same track needs another one.
        let fresh = self
            .slots
            .iter()
            .position(|s| is_free(s) && !s.history.contains(&track));
        let free = self.slots.iter().filter(|slot| is_free(slot)).count();
        let index = fresh
            .or_else(|| {
                self.slots
                    .iter()
                    .position(is_free)
                    .filter(|_| free >= FREE_MAX)
            })
            .unwrap_or_else(|| {
                self.slots.push(Slot::new(is_video));
                self.slots.len() - 1
            });
        if let Some(slot) = self.slots.get_mut(index) {
            if slot.history.len() >= HISTORY_MAX {
                slot.history.remove(0);
            }
            slot.history.push(track.clone());
            slot.wish = Some(Tenant {
                subscription,
                stream,
                track,
            });
        }
        SlotIndex(index)
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
            }
        }
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

    /// Before an offer: a section that changes hands gets a new SSRC, so that no sequence number or
    /// timestamp of the one before reaches the decoder of the one after. One that is given back keeps
    /// no stream, for a silent stream costs sender reports.
    pub(super) fn renew_streams(&mut self, transport: &mut Transport) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_changed()) {
            let Some(mid) = slot.mid else { continue };
            let mut api = transport.engine().direct_api();
            // Not `reset_stream_tx`: the engine would go on to look the stream up by its old SSRC.
            if let Some(before) = api.stream_tx_by_mid(mid, None).map(|stream| stream.ssrc()) {
                api.remove_stream_tx(before);
            }
            if slot.wish.is_some() {
                let (ssrc, rtx) = (api.new_ssrc(), api.new_ssrc());
                api.declare_stream_tx(ssrc, slot.is_video.then_some(rtx), mid, None);
            }
            slot.ssrc = None;
        }
    }

    /// The answer to the newest offer was taken: what it gave out serves now. Returns the subscriptions
    /// that begin.
    pub(super) fn on_answer(&mut self, transport: &mut Transport) -> Vec<SubscriptionKey> {
        let mut begun = Vec::new();
        for slot in &mut self.slots {
            if slot.is_answered {
                continue;
            }
            slot.is_answered = true;
            slot.ssrc = slot.mid.and_then(|mid| {
                let mut api = transport.engine().direct_api();
                api.stream_tx_by_mid(mid, None).map(|stream| stream.ssrc())
            });
            begun.extend(slot.offered);
        }
        begun
    }

    /// What a section is called in an offer.
    pub(super) fn name_of(&self, mid: &str) -> StreamName {
        let Some(slot) = self
            .slots
            .iter()
            .find(|slot| slot.mid.as_deref() == Some(mid))
        else {
            return StreamName::Unknown;
        };
        match &slot.wish {
            Some(Tenant { stream, track, .. }) => StreamName::Is {
                stream: stream.clone(),
                track: track.clone(),
            },
            None => StreamName::Vacant,
        }
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
    pub(crate) fn subscription_of(&self, mid: Mid) -> Option<SubscriptionKey> {
        let slot = self.slots.iter().find(|slot| slot.mid == Some(mid))?;
        slot.wish.as_ref().map(|tenant| tenant.subscription)
    }

    /// Payload type of a codec on a section, or none where the client did not take it. `format` is the
    /// index of the codec in the track; the answer is kept until the section is renegotiated.
    pub(crate) fn payload_type(
        &mut self,
        transport: &Transport,
        slot: SlotIndex,
        format: usize,
        params: &PayloadParams,
        is_red: bool,
    ) -> Option<Pt> {
        let slot = self.slots.get_mut(slot.0)?;
        if !slot.is_serving() {
            return None;
        }
        if let Some(Some(known)) = slot.payload_types.get(format) {
            return *known;
        }
        let rtc = transport.engine_ref();
        let media = rtc.media(slot.mid?)?;
        let found = rtc.codec_config().match_params(*params).and_then(|own| {
            let pt = if is_red { own.red()? } else { own.pt() };
            // RED rides on the codec it wraps; the engine lists the wrapped one alone.
            media.remote_pts().contains(&own.pt()).then_some(pt)
        });
        if slot.payload_types.len() <= format {
            slot.payload_types.resize(format + 1, None);
        }
        if let Some(entry) = slot.payload_types.get_mut(format) {
            *entry = Some(found);
        }
        found
    }

    /// Hands a packet to the engine; false where the section does not serve (yet).
    pub(crate) fn write(
        &mut self,
        transport: &mut Transport,
        slot: SlotIndex,
        packet: EgressPacket,
    ) -> bool {
        let Some(ssrc) = self
            .slots
            .get(slot.0)
            .filter(|s| s.is_serving())
            .and_then(|s| s.ssrc)
        else {
            return false;
        };
        let mut api = transport.engine().direct_api();
        let Some(stream) = api.stream_tx(&ssrc) else {
            return false;
        };
        let mut write = RtpWrite::new(
            packet.payload_type,
            packet.sequence.into(),
            packet.timestamp,
            packet.captured,
            packet.payload,
        )
        .marker(packet.marker)
        .ext_vals(packet.extensions)
        .nackable(true);
        if let Some(patch) = packet.vp8 {
            write = write.vp8_patch(patch);
        }
        stream.write_rtp(write);
        true
    }
}

impl Slot {
    fn new(is_video: bool) -> Self {
        Self {
            is_video,
            mid: None,
            wish: None,
            history: Vec::new(),
            offered: None,
            is_answered: true,
            ssrc: None,
            payload_types: Vec::new(),
        }
    }

    fn is_free(&self) -> bool {
        self.wish.is_none() && self.offered.is_none() && self.is_answered
    }

    fn is_changed(&self) -> bool {
        self.wish.as_ref().map(|tenant| tenant.subscription) != self.offered
    }

    fn is_serving(&self) -> bool {
        self.is_answered && self.offered.is_some() && !self.is_changed()
    }
}

/// An offer of the engine as text.
pub(super) fn offer_text(offer: &SdpOffer) -> String {
    offer.to_sdp_string()
}
