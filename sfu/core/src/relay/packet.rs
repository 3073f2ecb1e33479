//! A media packet on its way between two shards: plain data that threads share, and its bytes for links
//! that carry bytes. Must not fail on any bytes; what is not a packet is an error that is counted.
//!
//! The form, version 1, integers in network order:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version |
//! | 1 | flags: marker, sender report given, origin given, thinned |
//! | 1, 1, 1, 1 | encoding, format, start of the encoding, codec |
//! | 8, 8, 4 | track, sequence number (48 bits), timestamp |
//! | 8 | capture time, nanoseconds since 1970 on the clock of the shard that sends it |
//! | 8, 4 | of the sender report, if given: wall time in nanoseconds since 1970, timestamp |
//! | 8 | link to the shard on which the track is published, if given; else it is the sender |
//! | 1, 1, 2 | if it is thinned, for those only who said what they take by layers: the highest spatial and temporal layer that are whole, bytes missing of this payload |
//! | 1, n | length of the extension elements, the elements (id, length, value) |
//! | 2, n | length of the dependency descriptor, 0 = none; the descriptor |
//! | rest | payload |

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf as _, BufMut as _};

use crate::{
    LinkKey,
    rtp::{Codec, DependencyDescriptor, Elements, Packet, Thinned},
    track::SenderClock,
};

const VERSION: u8 = 1;
const MARKER: u8 = 1;
const SENDER_REPORT: u8 = 2;
const ORIGIN: u8 = 4;
const THINNED: u8 = 8;
const FLAGS: u8 = MARKER | SENDER_REPORT | ORIGIN | THINNED;

/// Up to and with the capture time.
const HEAD: usize = 6 + 20 + 8;

/// A packet of an encoding, parsed where it came in. Links and shards share its payload and nothing else: what each
/// shard counts of its own packets no other one touches.
#[derive(Debug, Clone)]
pub struct RelayPacket {
    /// As the shard calls it on which the track is published.
    pub(crate) track: u64,
    /// The shard on which the track is published, when another one sends it on.
    pub(crate) origin: Option<LinkKey>,
    pub(crate) encoding: u8,
    /// Index of the codec among those of the track.
    pub(crate) format: u8,
    /// Counts how often the encoding began anew under other numbers.
    pub(crate) start: u8,
    /// When the media was captured, since 1970 on the sending shard's clock.
    pub(crate) captured: Duration,
    /// The last sender report of the encoding.
    pub(crate) clock: Option<SenderClock>,
    pub(crate) packet: Packet,
}

/// The bytes are no packet of a version we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a relayed packet")]
pub struct MalformedRelayPacket;

impl RelayPacket {
    /// Appends the packet as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let packet = &self.packet;
        let codec = Codec::ALL.iter().position(|known| *known == packet.codec);
        let mut flags = if packet.marker { MARKER } else { 0 };
        flags |= self.clock.map_or(0, |_| SENDER_REPORT);
        flags |= self.origin.map_or(0, |_| ORIGIN);
        flags |= packet.thinned.map_or(0, |_| THINNED);
        out.put_u8(VERSION);
        out.put_u8(flags);
        out.put_u8(self.encoding);
        out.put_u8(self.format);
        out.put_u8(self.start);
        out.put_u8(codec.map_or(u8::MAX, |codec| codec as u8));
        out.put_u64(self.track);
        out.put_u64(packet.sequence);
        out.put_u32(packet.timestamp);
        out.put_u64(nanos(self.captured));
        if let Some(clock) = self.clock {
            let (wall, rtp) = clock.moment();
            out.put_u64(nanos(wall));
            out.put_u32(rtp);
        }
        if let Some(origin) = self.origin {
            out.put_u64(origin.0);
        }
        if let Some(thinned) = packet.thinned {
            out.put_u8(thinned.spatial);
            out.put_u8(thinned.temporal);
            out.put_u16(thinned.missing);
        }
        let at = out.len();
        out.put_u8(0);
        for (id, value) in packet.elements.iter() {
            out.put_u8(id);
            out.put_u8(value.len() as u8);
            out.put_slice(value);
        }
        let length = out.len() - at - 1;
        if let Some(field) = out.get_mut(at) {
            // There is room for 32 bytes of elements in a packet.
            *field = length as u8;
        }
        let dependencies = packet.elements.dependencies.as_ref();
        let dependencies = dependencies.map(|d| &*d.0).unwrap_or_default();
        out.put_u16(dependencies.len() as u16);
        out.put_slice(dependencies);
        out.put_slice(&packet.payload);
    }

    /// Reads a packet that came in at `now`.
    pub fn decode(now: Instant, mut bytes: &[u8]) -> Result<Self, MalformedRelayPacket> {
        let enough = |bytes: &[u8], length: usize| {
            let is_enough = bytes.len() >= length;
            is_enough.then_some(()).ok_or(MalformedRelayPacket)
        };
        enough(bytes, HEAD)?;
        let version = bytes.get_u8();
        let flags = bytes.get_u8();
        if version != VERSION || flags & !FLAGS != 0 {
            return Err(MalformedRelayPacket);
        }
        let (encoding, format, start) = (bytes.get_u8(), bytes.get_u8(), bytes.get_u8());
        let codec = Codec::ALL.get(usize::from(bytes.get_u8()));
        let codec = *codec.ok_or(MalformedRelayPacket)?;
        let (track, sequence) = (bytes.get_u64(), bytes.get_u64());
        // SRTP has 48 bits of them (RFC 3711 section 3.3.1).
        if sequence >> 48 != 0 {
            return Err(MalformedRelayPacket);
        }
        let timestamp = bytes.get_u32();
        let captured = Duration::from_nanos(bytes.get_u64());
        let clock = if flags & SENDER_REPORT == 0 {
            None
        } else {
            enough(bytes, 12)?;
            let wall = Duration::from_nanos(bytes.get_u64());
            Some(SenderClock::new(wall, bytes.get_u32(), codec.clock_rate()))
        };
        let origin = if flags & ORIGIN == 0 {
            None
        } else {
            enough(bytes, 8)?;
            Some(LinkKey(bytes.get_u64()))
        };
        let thinned = if flags & THINNED == 0 {
            None
        } else {
            enough(bytes, 4)?;
            Some(Thinned {
                spatial: bytes.get_u8(),
                temporal: bytes.get_u8(),
                missing: bytes.get_u16(),
            })
        };
        enough(bytes, 1)?;
        let length = usize::from(bytes.get_u8());
        let (list, mut bytes) = bytes.split_at_checked(length).ok_or(MalformedRelayPacket)?;
        enough(bytes, 2)?;
        let length = usize::from(bytes.get_u16());
        let (dependencies, payload) = bytes.split_at_checked(length).ok_or(MalformedRelayPacket)?;
        let dependencies = (length > 0).then(|| DependencyDescriptor(Arc::from(dependencies)));
        let elements = Elements::of_list(elements(list)?, dependencies);
        let marker = flags & MARKER != 0;
        let payload = Arc::from(payload);
        let packet = Packet {
            thinned,
            ..Packet::with_elements(codec, sequence, timestamp, marker, payload, elements, now)
        };
        Ok(Self {
            track,
            origin,
            encoding,
            format,
            start,
            captured,
            clock,
            packet,
        })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Ids and values.
fn elements(mut list: &[u8]) -> Result<Vec<(u8, &[u8])>, MalformedRelayPacket> {
    let mut found = Vec::new();
    while let [id, length, rest @ ..] = list {
        let (value, after) = rest
            .split_at_checked(usize::from(*length))
            .ok_or(MalformedRelayPacket)?;
        found.push((*id, value));
        list = after;
    }
    if list.is_empty() {
        Ok(found)
    } else {
        Err(MalformedRelayPacket)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtp::extension_id;

    fn encoded(packet: &RelayPacket) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        bytes
    }

    prop_compose! {
        fn packet()(
            codec in prop::sample::select(&Codec::ALL[..]),
            numbers in (any::<u64>(), 0..1_u64 << 48, any::<u32>(), any::<u64>()),
            origin in any::<Option<u64>>(),
            small in any::<(u8, u8, u8, bool)>(),
            report in any::<Option<(u64, u32)>>(),
            level in any::<Option<u8>>(),
            dependencies in prop::option::of(prop::collection::vec(any::<u8>(), 1..60)),
            payload in prop::collection::vec(any::<u8>(), 0..1_300),
            thinned in any::<Option<(u8, u8, u16)>>(),
        ) -> RelayPacket {
            let (track, sequence, timestamp, captured) = numbers;
            let (encoding, format, start, marker) = small;
            let level = level.map(|level| [level]);
            let list = level.iter().map(|level| (extension_id::AUDIO_LEVEL, &level[..]));
            let dependencies = dependencies.map(|bytes| DependencyDescriptor(Arc::from(bytes)));
            let elements = Elements::of_list(list, dependencies);
            let now = Instant::now();
            let payload = Arc::from(payload);
            RelayPacket {
                track,
                origin: origin.map(LinkKey),
                encoding,
                format,
                start,
                captured: Duration::from_nanos(captured),
                clock: report.map(|(wall, rtp)| {
                    SenderClock::new(Duration::from_nanos(wall), rtp, codec.clock_rate())
                }),
                packet: Packet {
                    thinned: thinned.map(|(spatial, temporal, missing)| Thinned {
                        spatial,
                        temporal,
                        missing,
                    }),
                    ..Packet::with_elements(
                        codec, sequence, timestamp, marker, payload, elements, now,
                    )
                },
            }
        }
    }

    proptest! {
        #[test]
        fn a_packet_comes_back_as_it_went(packet in packet()) {
            let bytes = encoded(&packet);
            let back = RelayPacket::decode(packet.packet.arrival, &bytes).unwrap();
            prop_assert_eq!(encoded(&back), bytes);
            prop_assert_eq!(format!("{back:?}"), format!("{packet:?}"));
        }

        #[test]
        fn no_bytes_make_it_panic(
            packet in packet(),
            cut in any::<prop::sample::Index>(),
            wrong in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut bytes = encoded(&packet);
            let at = wrong.0.index(bytes.len());
            bytes[at] ^= wrong.1;
            bytes.truncate(cut.index(bytes.len()));
            let _ = RelayPacket::decode(Instant::now(), &bytes);
        }
    }

    #[test]
    fn other_versions_and_cut_heads_are_refused() {
        let now = Instant::now();
        let elements = Elements::default();
        let packet = RelayPacket {
            track: 1,
            origin: Some(LinkKey(3)),
            encoding: 0,
            format: 0,
            start: 0,
            captured: Duration::ZERO,
            clock: Some(SenderClock::new(Duration::from_secs(1), 2, 90_000)),
            packet: Packet {
                thinned: Some(Thinned {
                    spatial: 1,
                    temporal: 2,
                    missing: 3,
                }),
                ..Packet::with_elements(Codec::Vp8, 1, 2, true, Arc::from([7]), elements, now)
            },
        };
        let bytes = encoded(&packet);
        assert!(RelayPacket::decode(now, &bytes).is_ok());
        // The payload may be empty; nothing before it may be missing.
        for length in 0..bytes.len() - 1 {
            assert!(
                RelayPacket::decode(now, &bytes[..length]).is_err(),
                "{length}"
            );
        }
        for (at, value) in [(0, 2), (1, 0x80), (5, 99)] {
            let mut wrong = bytes.clone();
            wrong[at] = value;
            assert!(RelayPacket::decode(now, &wrong).is_err(), "byte {at}");
        }
    }
}
