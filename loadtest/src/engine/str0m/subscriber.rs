//! A subscriber's transport: RTP in, one meter per track.
//!
//! Owns which SSRC is which track, and hands packets to `crate::measure`. Feedback (RR, NACK, TWCC) is
//! the stack's. Must not send media.

use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::format::Codec as StackCodec;
use str0m::media::{KeyframeRequestKind, Mid};
use str0m::rtp::RtpPacket;
use str0m::{Event, IceConnectionState, Rtc, RtcConfig};

use super::socket::ReadBuffers;
use super::transport::{Transport, TransportSetup};
use crate::engine::EngineError;
use crate::engine::Event as Told;
use crate::engine::Target;
use crate::engine::messages::MessageStamp;
use crate::engine::received::Received;
use crate::engine::wishes::Wishes;
use crate::measure::{MessageMeter, TrackMeter};
use crate::media::Codec;
use crate::signal::sdp;

/// A decoder that has had no decodable frame for this long asks for a keyframe, and again after it: as
/// browsers do.
const KEYFRAME_WAIT: Duration = Duration::from_millis(300);

/// See the module.
pub(super) struct Subscriber {
    transport: Transport,
    tracks: Tracks,
}

/// The server's offer, read. Reading a long one takes milliseconds, so it is not done on the thread that
/// carries media.
pub(super) struct Offer {
    description: SdpOffer,
    sections: Vec<(Mid, String)>,
    /// Number of it.
    pub(super) id: u32,
}

impl Offer {
    pub(super) fn parse(text: &str, id: u32) -> Result<Self, EngineError> {
        let description = SdpOffer::from_sdp_string(&sdp::without_repetition(text))
            .map_err(|error| EngineError::Description(error.to_string()))?;
        let sections = sdp::sections(text)
            .into_iter()
            .filter(|section| section.sends)
            .filter_map(|section| Some((Mid::from(section.mid.as_str()), section.track?)))
            .collect();
        Ok(Self {
            description,
            sections,
            id,
        })
    }
}

/// What arrives, apart from the transport it arrives on.
#[derive(Default)]
struct Tracks {
    /// Which section carries which track now.
    sections: Vec<(Mid, String)>,
    slots: Vec<Slot>,
    /// SSRC and index of the slot, sorted.
    by_ssrc: Vec<(u32, usize)>,
    /// Data messages in the measured window.
    messages: MessageMeter,
    /// What is to come.
    wishes: Wishes,
    /// Whether the measured window is open.
    measuring: bool,
    told: Vec<Told>,
}

/// One subscribed stream.
struct Slot {
    track: String,
    codec: Codec,
    /// `None` once the track has ended.
    meter: Option<TrackMeter>,
    /// Index of the thread's histogram of this track.
    latency: usize,
    ssrc: u32,
    first_frame_told: bool,
    keyframe_asked: u64,
}

impl Subscriber {
    pub(super) fn config() -> RtcConfig {
        Transport::config()
            .enable_vp8(true)
            .enable_vp9(true)
            .enable_h264(true)
            .enable_av1(true)
            // Not measured: taken so that they are seen.
            .enable_h265(true)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .enable_g722(true, false)
    }

    pub(super) fn open(
        setup: TransportSetup,
        measuring: bool,
        wishes: Wishes,
        now: Instant,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            transport: Transport::open(setup, Self::config(), now)?,
            tracks: Tracks {
                measuring,
                wishes,
                ..Tracks::default()
            },
        })
    }

    pub(super) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// When something has to be done.
    pub(super) fn due(&self) -> Instant {
        self.transport.due()
    }

    /// Takes the server's offer and gives the answer.
    pub(super) fn handle_offer(
        &mut self,
        now: Instant,
        now_ns: u64,
        received: &mut Received,
        offer: Offer,
    ) -> Result<String, EngineError> {
        let answer = self
            .transport
            .rtc()
            .sdp_api()
            .accept_offer(offer.description)
            .map_err(|error| EngineError::Description(error.to_string()))?;
        self.tracks.apply_sections(now_ns, received, offer.sections);
        self.transport.advance(now)?;
        self.drain(now, now_ns, received)?;
        Ok(answer.to_sdp_string())
    }

    /// Reads the socket.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        buffers: &mut ReadBuffers,
        received: &mut Received,
    ) -> Result<(), EngineError> {
        let Self { transport, tracks } = self;
        transport.receive(now, buffers, |rtc, at_ns, event| {
            tracks.handle_event(rtc, at_ns, received, event);
        })
    }

    /// Does what is due.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        now_ns: u64,
        received: &mut Received,
    ) -> Result<(), EngineError> {
        let Self { transport, tracks } = self;
        transport.receive_held(now, |rtc, at_ns, event| {
            tracks.handle_event(rtc, at_ns, received, event);
        })?;
        transport.handle_timeout(now)?;
        tracks.request_keyframes(now_ns, transport.rtc());
        self.drain(now, now_ns, received)
    }

    /// Drains the stack after any change to it.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        now_ns: u64,
        received: &mut Received,
    ) -> Result<(), EngineError> {
        while let Some(event) = self.transport.poll(now)? {
            self.tracks
                .handle_event(self.transport.rtc(), now_ns, received, event);
        }
        Ok(())
    }

    /// What the driver has to know since the last call.
    pub(super) fn told(&mut self) -> impl Iterator<Item = Told> + '_ {
        self.tracks.told.drain(..)
    }

    /// Another layer of `track` has been asked for.
    pub(super) fn on_layer_change(&mut self, now_ns: u64, track: &str) {
        let slots = self
            .tracks
            .slots
            .iter_mut()
            .filter(|slot| slot.track == track);
        for meter in slots.filter_map(|slot| slot.meter.as_mut()) {
            meter.on_layer_change(now_ns);
        }
    }

    /// `track` is not published any more.
    pub(super) fn on_track_ended(&mut self, now_ns: u64, received: &mut Received, track: &str) {
        let tracks = &mut self.tracks;
        tracks.end_tracks(now_ns, received, |slot| slot.track == track);
        tracks.wishes.on_track_ended(now_ns, received, track);
    }

    /// What is to come.
    pub(super) fn wishes(&mut self) -> &mut Wishes {
        &mut self.tracks.wishes
    }

    /// The publisher of `track` has muted it, or sends again.
    pub(super) fn on_rest(&mut self, now_ns: u64, track: &str, is_resting: bool) {
        let tracks = &mut self.tracks;
        let slots = tracks.slots.iter_mut().filter(|slot| slot.track == track);
        for meter in slots.filter_map(|slot| slot.meter.as_mut()) {
            if is_resting {
                meter.on_pause();
            } else {
                meter.on_resume();
            }
        }
        tracks.wishes.on_rest(now_ns, track, is_resting);
    }

    /// The measured window begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.tracks.measuring = true;
        self.tracks.wishes.begin(now_ns);
        for meter in self
            .tracks
            .slots
            .iter_mut()
            .filter_map(|slot| slot.meter.as_mut())
        {
            meter.begin(now_ns);
        }
    }

    /// The measured window ends: hands in what was received.
    pub(super) fn end(&mut self, now_ns: u64, received: &mut Received) {
        let tracks = &mut self.tracks;
        for slot in &mut tracks.slots {
            slot.finish(now_ns, received, tracks.measuring, &mut tracks.wishes);
        }
        tracks.wishes.end(now_ns, received);
        received.add_messages(&std::mem::take(&mut tracks.messages));
        tracks.measuring = false;
    }
}

impl Tracks {
    fn handle_event(&mut self, rtc: &mut Rtc, at_ns: u64, received: &mut Received, event: Event) {
        match event {
            Event::RtpPacket(packet) => self.handle_packet(rtc, at_ns, received, &packet),
            Event::ChannelData(message) => self.handle_message(at_ns, received, &message.data),
            Event::Connected => {
                self.wishes.on_connected(at_ns);
                self.told.push(Told::Connected {
                    target: Target::Subscriber,
                    at_ns,
                });
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                self.wishes.on_cut_off();
                self.told.push(Told::Disconnected {
                    target: Target::Subscriber,
                });
            }
            _ => {}
        }
    }

    fn handle_message(&mut self, at_ns: u64, received: &mut Received, message: &[u8]) {
        let Some((stamp, size)) = MessageStamp::read(message) else {
            return;
        };
        let latency_ns = at_ns.saturating_sub(stamp.sent_ns);
        received.on_message(size, stamp.kind, latency_ns, self.measuring);
        if self.measuring {
            self.messages
                .on_message(stamp.sender, stamp.kind, stamp.number);
        }
    }

    fn handle_packet(
        &mut self,
        rtc: &mut Rtc,
        at_ns: u64,
        received: &mut Received,
        packet: &RtpPacket,
    ) {
        let ssrc = *packet.header.ssrc;
        let index = match self.by_ssrc.binary_search_by_key(&ssrc, |entry| entry.0) {
            Ok(at) => self.by_ssrc[at].1,
            Err(_) => match self.new_slot(rtc, at_ns, received, packet) {
                Some(index) => index,
                // Of a section that we do not know yet, or of a codec that is not measured.
                None => return,
            },
        };
        let slot = &mut self.slots[index];
        let Some(meter) = &mut slot.meter else {
            return;
        };
        let header = &packet.header;
        let latency_ns = meter.on_packet(
            at_ns,
            header.sequence_number,
            header.timestamp,
            header.marker,
            &packet.payload,
        );
        if !packet.payload.is_empty() {
            let measured = self.measuring.then_some(slot.latency);
            received.on_packet(packet.payload.len(), latency_ns, measured);
        }
        if !slot.first_frame_told
            && slot.codec.is_video()
            && let Some(at_ns) = meter.first_frame_ns()
        {
            slot.first_frame_told = true;
            self.told.push(Told::FirstFrame {
                track: slot.track.clone(),
                at_ns,
            });
        }
    }

    /// Finds out what a new SSRC carries, from the section that the stack put it to.
    fn new_slot(
        &mut self,
        rtc: &mut Rtc,
        at_ns: u64,
        received: &mut Received,
        packet: &RtpPacket,
    ) -> Option<usize> {
        let codec = codec_of(rtc, packet);
        let ssrc = packet.header.ssrc;
        let mid = rtc.direct_api().stream_rx(&ssrc)?.mid();
        let track = self
            .sections
            .iter()
            .find(|section| section.0 == mid)?
            .1
            .clone();
        let codec = match codec {
            Ok(codec) => codec,
            Err(name) => {
                self.wishes.on_unmeasured(at_ns, &track);
                if self.measuring {
                    received.on_unmeasured(&name);
                }
                return None;
            }
        };
        // The track goes on under another SSRC: what came before is a stream of its own.
        let first_frame_told = self
            .slots
            .iter()
            .any(|slot| slot.track == track && slot.first_frame_told);
        self.end_tracks(at_ns, received, |slot| slot.track == track);
        let index = self.slots.len();
        self.slots.push(Slot {
            latency: received.latency_of(&track, codec),
            meter: Some(TrackMeter::new(codec, at_ns)),
            ssrc: *ssrc,
            track,
            codec,
            first_frame_told,
            keyframe_asked: at_ns,
        });
        self.by_ssrc.push((*ssrc, index));
        self.by_ssrc.sort_unstable();
        Some(index)
    }

    /// Notes what the sections carry from now on, and ends what none carries any more.
    fn apply_sections(
        &mut self,
        now_ns: u64,
        received: &mut Received,
        sections: Vec<(Mid, String)>,
    ) {
        self.sections = sections;
        let sections = std::mem::take(&mut self.sections);
        self.end_tracks(now_ns, received, |slot| {
            !sections.iter().any(|(_, track)| *track == slot.track)
        });
        self.sections = sections;
    }

    /// Ends the meters of tracks that have ended. That nothing came of them since is no freeze.
    fn end_tracks(&mut self, now_ns: u64, received: &Received, which: impl Fn(&Slot) -> bool) {
        for slot in self.slots.iter_mut().filter(|slot| which(slot)) {
            if let Some(meter) = &mut slot.meter {
                meter.on_pause();
            }
            slot.finish(now_ns, received, self.measuring, &mut self.wishes);
        }
    }

    /// Asks for keyframes where nothing can be decoded for lack of one (RFC 4585, PLI).
    fn request_keyframes(&mut self, now_ns: u64, rtc: &mut Rtc) {
        let wait = KEYFRAME_WAIT.as_nanos() as u64;
        for slot in &mut self.slots {
            let Some(meter) = slot.meter.as_ref().filter(|_| slot.codec.is_video()) else {
                continue;
            };
            if now_ns.saturating_sub(slot.keyframe_asked) < wait || !meter.needs_keyframe(now_ns) {
                continue;
            }
            slot.keyframe_asked = now_ns;
            if let Some(stream) = rtc.direct_api().stream_rx(&slot.ssrc.into()) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }
}

impl Slot {
    /// Ends its meter, and hands in what it measured if the window is open.
    fn finish(&mut self, now_ns: u64, received: &Received, measuring: bool, wishes: &mut Wishes) {
        let Some(meter) = self.meter.take() else {
            return;
        };
        let measure = meter.finish(now_ns);
        wishes.on_stream(&self.track, &measure);
        if measuring {
            received.add_subscription(&self.track, self.codec, &measure);
        }
    }
}

/// The codec of a packet, or the name of one that is not measured.
fn codec_of(rtc: &Rtc, packet: &RtpPacket) -> Result<Codec, String> {
    let payload_type = packet.header.payload_type;
    let params = rtc.codec_config().params();
    let params = params.iter().find(|params| params.pt() == payload_type);
    let Some(params) = params else {
        return Err(format!("payload type {payload_type}"));
    };
    Ok(match params.spec().codec {
        StackCodec::Opus => Codec::Opus,
        StackCodec::Vp8 => Codec::Vp8,
        StackCodec::Vp9 => Codec::Vp9,
        StackCodec::H264 => Codec::H264,
        StackCodec::Av1 => Codec::Av1,
        other => return Err(other.to_string().to_ascii_lowercase()),
    })
}
