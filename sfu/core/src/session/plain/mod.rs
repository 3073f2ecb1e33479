//! Media of a participant as plain RTP (RFC 3550, RFC 3551): without ICE and DTLS, described by an SDP file
//! instead of negotiated. Owns what its sections carry and what their sources are told by RTCP. Whoever brings the
//! datagrams answers for where they come from. Must not know tracks or rooms.

mod source;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{IngressPacket, StreamReport};
use crate::{
    rtcp::{self, FirEntry, Part, Pli},
    rtp::{
        Codec, ExtensionValues, FormatText, Header, Mid, ParameterSets, PayloadParams, Pt, Ssrc,
        is_rtcp,
    },
};
use source::{Place, Source};

/// Sections of one participant: sources are named by the number of theirs in the upper half of an SSRC.
pub(crate) const SECTIONS_MAX: usize = 16;

/// Sections of one participant that is sent to: each has two addresses.
pub(crate) const SINKS_MAX: usize = super::SOURCES_MAX / 2;

/// Formats of one section.
pub(crate) const FORMATS_MAX: usize = 16;

/// RTCP that waits to be fetched; the oldest goes first.
const OUTGOING_MAX: usize = 64;

/// How often sources are told how they are received (RFC 3550 section 6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// How a source of plain RTP is asked for a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyframeFeedback {
    /// By a picture loss indication (RFC 4585 section 6.3.1).
    #[default]
    Pli,
    /// By a full intra request (RFC 5104 section 4.3.1).
    Fir,
    /// Not at all: one that does not know such requests may stumble over them.
    None,
}

/// What a payload type of plain RTP stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlainFormat {
    /// Below 128.
    pub payload_type: u8,
    /// Media type with the kind in front, for example "video/H264".
    pub mime: String,
    /// As after `a=fmtp` and the payload type; empty for none.
    pub parameters: String,
    /// Parameter sets of H.264 and H.265 that the description has: units without start codes.
    pub parameter_sets: Vec<Vec<u8>>,
}

impl PlainFormat {
    /// As media of a type is sent as plain RTP; `None` where it is not.
    pub fn as_sent(mime: &str) -> Option<Self> {
        let codec = Codec::from_mime(mime).filter(|codec| *codec != Codec::Red)?;
        let parameters = match codec {
            Codec::H264 => "packetization-mode=1",
            _ => "",
        };
        Some(Self {
            payload_type: codec.plain_type(),
            mime: codec.mime().to_owned(),
            parameters: parameters.to_owned(),
            parameter_sets: Vec::new(),
        })
    }

    /// Whether such media is forwarded. Redundant audio is not: it is made where it is needed.
    pub fn is_forwarded(&self) -> bool {
        engine_params(self).is_some()
    }
}

/// Bytes that are no packet of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadPacket {
    Malformed,
    /// Of no section, or with a payload type that it does not have.
    Unknown,
    /// It came before.
    Copy,
    /// It fits nothing that came lately.
    Strange,
}

/// A session that is plain RTP.
pub(crate) struct Plain {
    sections: Vec<Section>,
    /// Ours, in reports.
    ssrc: u32,
    outgoing: VecDeque<(u8, Vec<u8>)>,
    report_at: Option<Instant>,
    /// How often who is sent to needs a keyframe.
    pub(crate) keyframes: Option<Duration>,
}

struct Section {
    mid: Mid,
    formats: Vec<PayloadParams>,
    sets: ParameterSets,
    keyframes: KeyframeFeedback,
    /// Full intra requests up to now.
    asked: u8,
    source: Option<Source>,
    /// A source that may be about to take the place of the one before: its SSRC, and its next number.
    suspect: Option<(u32, u16)>,
    /// Sources that were.
    starts: u16,
}

impl Plain {
    /// A session with these sections; `ssrc` is random.
    pub(crate) fn new(ssrc: u32) -> Self {
        Self {
            sections: Vec::new(),
            ssrc,
            outgoing: VecDeque::new(),
            report_at: None,
            keyframes: None,
        }
    }

    /// Adds a section; `None` when nothing of what it is said to carry is forwarded here.
    pub(crate) fn add(
        &mut self,
        formats: &[PlainFormat],
        keyframes: KeyframeFeedback,
    ) -> Option<Mid> {
        let mid = Mid::from(self.sections.len().to_string().as_str());
        let sets = formats.iter().flat_map(|f| f.parameter_sets.clone());
        let section = Section {
            mid,
            sets: ParameterSets::new(sets),
            formats: formats.iter().filter_map(engine_params).collect(),
            keyframes,
            asked: 0,
            source: None,
            suspect: None,
            starts: 0,
        };
        if section.formats.is_empty() {
            return None;
        }
        self.sections.push(section);
        Some(mid)
    }

    /// Takes what came for a section. `give` gets the packets that go on: its own, and one of parameter sets in
    /// front of it where that is missing.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        section: u8,
        bytes: &[u8],
        give: impl FnMut(IngressPacket),
    ) -> Result<(), BadPacket> {
        if is_rtcp(bytes) {
            self.on_rtcp(now, bytes);
            return Ok(());
        }
        let header = Header::parse(bytes).ok_or(BadPacket::Malformed)?;
        let payload = bytes.get(header.payload.clone());
        let payload = payload.ok_or(BadPacket::Malformed)?;
        let index = u16::from(section);
        let section = self.sections.get_mut(usize::from(section));
        let section = section.ok_or(BadPacket::Unknown)?;
        section.take(now, index, &header, payload, give)?;
        self.report_at.get_or_insert(now + REPORT_INTERVAL);
        Ok(())
    }

    fn on_rtcp(&mut self, now: Instant, bytes: &[u8]) {
        for part in rtcp::Parts::new(bytes) {
            // What was read before a malformed part holds.
            let Ok(part) = part else { break };
            if let Part::SenderReport(report) = part {
                let sources = self.sections.iter_mut().filter_map(|s| s.source.as_mut());
                for source in sources.filter(|source| source.ssrc == report.info.ssrc) {
                    source.on_sender_report(now, &report.info);
                }
            }
        }
    }

    /// Where a source belongs.
    pub(super) fn section_of(&self, name: Ssrc) -> Option<Mid> {
        self.section(name).map(|section| section.mid)
    }

    /// The codec behind a payload type of a source.
    pub(super) fn codec_of(&self, name: Ssrc, payload_type: Pt) -> Option<PayloadParams> {
        let formats = &self.section(name)?.formats;
        formats.iter().find(|f| f.pt() == payload_type).copied()
    }

    fn section(&self, name: Ssrc) -> Option<&Section> {
        self.sections.get(usize::try_from(*name >> 16).ok()?)
    }

    /// Asks a source for a keyframe; false where there is no such source.
    pub(super) fn request_keyframe(&mut self, name: Ssrc) -> bool {
        let (sender, index) = (self.ssrc, *name >> 16);
        let section = usize::try_from(index).ok();
        let Some(section) = section.and_then(|index| self.sections.get_mut(index)) else {
            return false;
        };
        let source = section.source.as_ref();
        let Some(media) = source.filter(|s| s.name == name).map(|s| s.ssrc) else {
            return false;
        };
        let mut request = Vec::new();
        match section.keyframes {
            KeyframeFeedback::None => return false,
            KeyframeFeedback::Pli => rtcp::write_pli(&mut request, Pli { sender, media }),
            KeyframeFeedback::Fir => {
                section.asked = section.asked.wrapping_add(1);
                let entry = FirEntry {
                    ssrc: media,
                    command: section.asked,
                };
                rtcp::write_fir(&mut request, sender, &[entry]);
            }
        }
        let mut out = Vec::new();
        rtcp::write_receiver_report(&mut out, sender, &[]);
        self.sign(&mut out);
        out.extend_from_slice(&request);
        self.push(index as u8, out);
        true
    }

    /// Tells sources how they are received, when it is time; returns how that is.
    pub(crate) fn report(&mut self, now: Instant) -> Vec<StreamReport> {
        let mut told = Vec::new();
        if self.report_at.is_none_or(|at| at > now) {
            return told;
        }
        self.report_at = Some(now + REPORT_INTERVAL);
        for index in 0..self.sections.len() {
            let source = self.sections.get_mut(index).and_then(|s| s.source.as_mut());
            let Some(source) = source else { continue };
            let (block, packets) = source.block(now);
            told.push(StreamReport {
                packets,
                loss: Some(f32::from(block.fraction_lost) / 256.0),
                rtt: None,
                jitter: Some(source.jitter()),
            });
            let mut out = Vec::new();
            rtcp::write_receiver_report(&mut out, self.ssrc, &[block]);
            self.sign(&mut out);
            self.push(index as u8, out);
        }
        told
    }

    /// Every compound packet has a canonical name (RFC 3550 section 6.1).
    fn sign(&self, out: &mut Vec<u8>) {
        rtcp::write_sdes(out, self.ssrc, &format!("{:08x}", self.ssrc));
    }

    fn push(&mut self, section: u8, bytes: Vec<u8>) {
        if self.outgoing.len() >= OUTGOING_MAX {
            self.outgoing.pop_front();
        }
        self.outgoing.push_back((section, bytes));
    }

    /// The next RTCP for the source of a section.
    pub(crate) fn poll(&mut self) -> Option<(u8, Vec<u8>)> {
        self.outgoing.pop_front()
    }
}

impl Section {
    fn take(
        &mut self,
        now: Instant,
        index: u16,
        header: &Header,
        payload: &[u8],
        mut give: impl FnMut(IngressPacket),
    ) -> Result<(), BadPacket> {
        let payload_type = Pt::from(header.payload_type);
        let params = self.formats.iter().find(|f| f.pt() == payload_type);
        let params = params.copied().ok_or(BadPacket::Unknown)?;
        let codec = Codec::from_engine(params.spec().codec).ok_or(BadPacket::Unknown)?;
        let number = self.place(now, index, header, codec.clock_rate())?;
        let Some(source) = &mut self.source else {
            return Err(BadPacket::Unknown);
        };
        if payload.is_empty() {
            // Padding alone: it keeps a way through a NAT open.
            return Ok(());
        }
        let missing = self.sets.missing_before(codec, payload, header.timestamp);
        if let Some(sets) = missing {
            let own = source.insert_before(number);
            give(ingress(source, header, (own, false), sets, now));
        }
        let own = source.number(number);
        give(ingress(
            source,
            header,
            (own, header.marker),
            Arc::from(payload),
            now,
        ));
        Ok(())
    }

    /// The number of a packet. A source that begins anew, under another name or with other numbers, is believed
    /// from its second packet in a row on (RFC 3550 appendix A.1), the first one at once.
    fn place(
        &mut self,
        now: Instant,
        index: u16,
        header: &Header,
        rate: u32,
    ) -> Result<u64, BadPacket> {
        let known = self.source.as_mut().filter(|s| s.ssrc == header.ssrc);
        match known.map(|source| source.place(now, header)) {
            Some(Place::At(number)) => return Ok(number),
            Some(Place::Copy) => return Err(BadPacket::Copy),
            Some(Place::Strange) | None => {}
        }
        let this = (header.ssrc, header.sequence);
        let is_believed = self.source.is_none() || self.suspect == Some(this);
        self.suspect = Some((header.ssrc, header.sequence.wrapping_add(1)));
        if !is_believed {
            return Err(BadPacket::Strange);
        }
        self.suspect = None;
        self.starts = self.starts.wrapping_add(1);
        let name = Ssrc::from(u32::from(index) << 16 | u32::from(self.starts));
        let source = self.source.insert(Source::new(now, name, header, rate));
        match source.place(now, header) {
            Place::At(number) => Ok(number),
            Place::Copy | Place::Strange => Err(BadPacket::Strange),
        }
    }
}

/// What goes on of a packet.
fn ingress(
    source: &Source,
    header: &Header,
    (sequence, marker): (u64, bool),
    payload: Arc<[u8]>,
    arrival: Instant,
) -> IngressPacket {
    IngressPacket {
        ssrc: source.name,
        payload_type: Pt::from(header.payload_type),
        sequence,
        timestamp: header.timestamp,
        marker,
        extensions: ExtensionValues::default(),
        payload,
        arrival,
        sender_report: source.report,
    }
}

/// A format as the engine knows it, so that it is matched with what subscribers take; `None` for one that is not
/// forwarded.
fn engine_params(format: &PlainFormat) -> Option<PayloadParams> {
    let codec = Codec::from_mime(&format.mime).filter(|codec| *codec != Codec::Red)?;
    let mut text = FormatText::usual(codec);
    text.parameters.clone_from(&format.parameters);
    if codec == Codec::H264 {
        // A receiver of the second mode takes the first one too, and parameter sets are put in by it.
        text.parameters.push_str(";packetization-mode=1");
    }
    text.params(codec, format.payload_type)
}

#[cfg(test)]
mod tests;
