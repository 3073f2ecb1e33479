//! An RTP packet of a track, parsed once on ingress and shared by all subscribers (RFC 3550).
//!
//! Must not fail on any payload: what cannot be read is forwarded as opaque.

use std::{sync::Arc, time::Instant};

use super::{
    Codec, Descriptor, Elements, ExtensionValues, Frame, Vp8, Vp9,
    keyframe::{av1_starts_keyframe, h264_starts_keyframe, h265_starts_keyframe},
};

/// A packet of one encoding.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// Extended sequence number.
    pub sequence: u64,
    /// In ticks of the codec's clock.
    pub timestamp: u32,
    /// The marker bit: for video the last packet of a picture.
    pub marker: bool,
    /// How the payload is encoded.
    pub codec: Codec,
    /// The payload without RTP padding, shared by all who forward it.
    pub payload: Arc<[u8]>,
    /// Header extensions that go end to end: what belongs to the publisher's transport is taken
    /// out.
    pub elements: Elements,
    /// Loudness in dBov (0 is the loudest, -127 silence) and whether the publisher heard a voice
    /// (RFC 6464).
    pub audio_level: Option<(i8, bool)>,
    /// When it came in.
    pub arrival: Instant,
    /// What the payload says about its frame.
    pub descriptor: Descriptor,
    /// Its frame, for the choice of layers; absent until a [`LayerReader`](super::LayerReader) has read it, and
    /// where nothing tells.
    pub frame: Option<Frame>,
    /// This packet starts a keyframe, or carries the parameter sets in front of one. Its dependency descriptor
    /// decides, where there is one; else what its codec says of it.
    pub is_keyframe: bool,
    /// What another shard left out of the stream; absent where all is here.
    pub thinned: Option<Thinned>,
}

/// What a link brings of a stream when nobody behind it takes all layers: packets of layers above are cut short, so
/// that their numbers and frames are known and nobody asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thinned {
    /// The highest spatial layer that is whole.
    pub spatial: u8,
    /// The highest temporal layer that is whole.
    pub temporal: u8,
    /// Bytes that are missing at the end of this payload.
    pub missing: u16,
}

impl Packet {
    /// Bytes that stay of a payload that is cut short: payload descriptors are shorter (RFC 7741 section 4.2, RFC
    /// 9628 section 4.2).
    const KEPT: usize = 24;

    /// Reads the payload; never fails. Ids of the publisher's transport (mid, rid) are to be read
    /// from `extensions` before.
    pub(crate) fn parse(
        codec: Codec,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        payload: Arc<[u8]>,
        extensions: &ExtensionValues,
        arrival: Instant,
    ) -> Self {
        let elements = Elements::of(extensions);
        Self::with_elements(
            codec, sequence, timestamp, marker, payload, elements, arrival,
        )
    }

    /// The same of a packet whose extensions are read already.
    pub(crate) fn with_elements(
        codec: Codec,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        payload: Arc<[u8]>,
        elements: Elements,
        arrival: Instant,
    ) -> Self {
        let descriptor = match codec {
            Codec::Vp8 => Vp8::parse(&payload).map_or(Descriptor::Opaque, Descriptor::Vp8),
            Codec::Vp9 => Vp9::parse(&payload).map_or(Descriptor::Opaque, Descriptor::Vp9),
            _ => Descriptor::Opaque,
        };
        let dependencies = elements.dependencies.as_ref();
        let dependencies = dependencies.filter(|told| told.is_whole());
        let is_keyframe = match (codec, &descriptor, dependencies) {
            // Of a payload that is encrypted end to end anything may be read: what stands in the clear decides.
            (_, _, Some(told)) => codec.is_video() && told.starts_keyframe(),
            (Codec::Vp8, Descriptor::Vp8(vp8), None) => vp8.raw.starts_keyframe(&payload),
            (Codec::Vp9, Descriptor::Vp9(vp9), None) => vp9.starts_keyframe(),
            (Codec::H264, _, None) => h264_starts_keyframe(&payload),
            (Codec::H265, _, None) => h265_starts_keyframe(&payload),
            (Codec::Av1, _, None) => av1_starts_keyframe(&payload),
            _ => false,
        };
        Self {
            sequence,
            timestamp,
            marker,
            codec,
            payload,
            audio_level: elements.audio_level(),
            elements,
            arrival,
            descriptor,
            frame: None,
            is_keyframe,
            thinned: None,
        }
    }

    /// Bytes of the payload as its publisher sent it.
    pub(crate) fn payload_length(&self) -> usize {
        let missing = self.thinned.map_or(0, |thinned| thinned.missing);
        self.payload.len() + usize::from(missing)
    }

    /// Whether the end of the payload is missing: it can be sent to nobody.
    #[inline]
    pub(crate) fn is_cut_short(&self) -> bool {
        self.thinned.is_some_and(|thinned| thinned.missing > 0)
    }

    /// These spatial and temporal layers, as far as they are here.
    #[inline]
    pub(crate) fn bounded(&self, (spatial, temporal): (u8, u8)) -> (u8, u8) {
        self.thinned.map_or((spatial, temporal), |thinned| {
            (spatial.min(thinned.spatial), temporal.min(thinned.temporal))
        })
    }

    /// The highest spatial and temporal layer of its picture that is here.
    #[inline]
    pub(crate) fn bound(&self) -> (u8, u8) {
        self.bounded((u8::MAX, u8::MAX))
    }

    /// The packet for those who take no layers above these; nothing where it is for them as it is.
    pub(crate) fn thin(&self, limit: (u8, u8)) -> Option<Self> {
        let (spatial, temporal) = self.bounded(limit);
        let is_needed = match &self.frame {
            Some(frame) => {
                frame.restarts || frame.serves & frame.targets.up_to(spatial, temporal) != 0
            }
            None => self.descriptor.temporal() <= temporal,
        };
        let payload: Arc<[u8]> = match self.payload.get(..Self::KEPT) {
            Some(kept) if !is_needed => Arc::from(kept),
            _ => Arc::clone(&self.payload),
        };
        let missing = self.payload_length() - payload.len();
        let thinned = Some(Thinned {
            spatial,
            temporal,
            missing: u16::try_from(missing).unwrap_or(u16::MAX),
        });
        (self.thinned != thinned).then(|| Self {
            payload,
            thinned,
            ..self.clone()
        })
    }

    /// Whether it says anything of layers that takes a [`LayerReader`](super::LayerReader) to read.
    pub(crate) fn has_layers(&self) -> bool {
        let is_told = matches!(self.descriptor, Descriptor::Vp9(_))
            || self.elements.dependencies.is_some() && self.codec.is_video();
        is_told && self.codec != Codec::Vp8
    }

    /// The temporal layer of the frame, 0 where none is given.
    pub(crate) fn temporal(&self) -> u8 {
        let by_frame = self.frame.as_ref().map(|frame| frame.temporal);
        by_frame.unwrap_or_else(|| self.descriptor.temporal())
    }

    /// The number of this packet's frame in its dependency descriptor, where the publisher sends one.
    pub(crate) fn frame_number(&self) -> Option<u16> {
        self.elements.dependencies.as_ref()?.frame_number()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtp::{DependencyDescriptor, extension_id};

    fn packet(codec: Codec, payload: &[u8], extensions: ExtensionValues) -> Packet {
        Packet::parse(
            codec,
            1,
            2,
            false,
            Arc::from(payload),
            &extensions,
            Instant::now(),
        )
    }

    #[test]
    fn keyframes_by_codec() {
        let table: [(Codec, &[u8], bool); 9] = [
            (Codec::Vp8, &[0x10, 0x00, 1, 2], true),
            (Codec::Vp8, &[0x10, 0x01, 1, 2], false),
            (Codec::Vp8, &[0x00, 0x00, 1, 2], false),
            (Codec::Vp8, &[], false),
            (Codec::Vp9, &[0x08, 1], true),
            (Codec::Vp9, &[0x48, 1], false),
            (Codec::H264, &[0x67, 1], true),
            (Codec::H265, &[32 << 1, 1, 0], true),
            (Codec::Opus, &[0x67, 1], false),
        ];
        for (codec, payload, expected) in table {
            let packet = packet(codec, payload, ExtensionValues::default());
            assert_eq!(packet.is_keyframe, expected, "{codec:?} {payload:x?}");
        }
    }

    #[test]
    fn an_attached_structure_alone_marks_a_keyframe() {
        let with = |bytes: &[u8]| {
            let mut extensions = ExtensionValues::default();
            extensions
                .user_values
                .set(DependencyDescriptor(Arc::from(bytes)));
            extensions
        };
        let is_keyframe = |codec, payload: &[u8], descriptor: &[u8]| {
            packet(codec, payload, with(descriptor)).is_keyframe
        };
        let (key, delta) = (&[0x80, 0, 1, 0x80][..], &[0x80, 0, 1][..]);
        assert!(!is_keyframe(Codec::Opus, &[0x10, 1], key));
        // Payloads that look like a keyframe, and like none: encrypted, they may be either way of either kind.
        for (codec, like_key, like_delta) in [
            (Codec::Vp8, &[0x10, 0x00, 1, 2][..], &[0x10, 0x01, 1, 2][..]),
            (Codec::Vp9, &[0x08, 1], &[0x48, 1]),
            (Codec::H264, &[0x67, 1], &[0x41, 1]),
            (Codec::H264, &[0x65, 0x88], &[0x7c, 0x41]),
            (Codec::H265, &[32 << 1, 1, 0], &[1 << 1, 1, 0]),
            (Codec::Av1, &[0x18, 1], &[0x10, 1]),
        ] {
            for payload in [like_key, like_delta] {
                assert!(is_keyframe(codec, payload, key), "{codec:?} {payload:x?}");
                assert!(
                    !is_keyframe(codec, payload, delta),
                    "{codec:?} {payload:x?}"
                );
            }
            // One that is cut short says nothing.
            assert!(is_keyframe(codec, like_key, &[0x80, 0]), "{codec:?}");
            assert!(!is_keyframe(codec, like_delta, &[0x80, 0]), "{codec:?}");
        }
    }

    #[test]
    fn only_end_to_end_extensions_stay() {
        let extensions = ExtensionValues {
            audio_level: Some(-30),
            voice_activity: Some(true),
            mid: Some("0".into()),
            rid: Some("q".into()),
            transport_cc: Some(7),
            tx_time_offs: Some(1),
            ..ExtensionValues::default()
        };
        let packet = packet(Codec::Opus, &[1], extensions);
        assert_eq!(packet.audio_level, Some((-30, true)));
        let kept: Vec<_> = packet.elements.iter().collect();
        assert_eq!(kept, [(extension_id::AUDIO_LEVEL, &[0x80 | 30][..])]);
    }

    #[test]
    fn what_is_above_a_layer_is_cut_short_and_says_so() {
        // VP8 of temporal layers 0 and 2 (RFC 7741 section 4.2).
        let of = |temporal: u8| {
            let mut payload = vec![0x90, 0x20, temporal << 6, 1];
            payload.resize(500, 7);
            packet(Codec::Vp8, &payload, ExtensionValues::default())
        };
        let (slow, fast) = (of(0), of(2));
        let whole = slow.thin((7, 1)).unwrap();
        assert_eq!((whole.payload.len(), whole.is_cut_short()), (500, false));
        assert_eq!(whole.bounded((3, 3)), (3, 1));
        let cut = fast.thin((7, 1)).unwrap();
        assert!(cut.is_cut_short() && cut.payload.len() < 50);
        assert_eq!(cut.payload_length(), 500);
        assert_eq!(cut.temporal(), 2);
        // Over another link it is the same, or less.
        assert!(cut.thin((7, 1)).is_none() && cut.thin((7, 7)).is_none());
        let less = cut.thin((7, 0)).unwrap();
        assert_eq!((less.payload_length(), less.bounded((7, 7))), (500, (7, 0)));
        assert!(!fast.thin((7, 2)).unwrap().is_cut_short());
    }

    proptest! {
        #[test]
        fn no_payload_is_too_strange(
            codec in prop::sample::select(&Codec::ALL[..]),
            payload in prop::collection::vec(any::<u8>(), 0..40),
            dependencies in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut extensions = ExtensionValues::default();
            extensions.user_values.set(DependencyDescriptor(Arc::from(dependencies)));
            let packet = packet(codec, &payload, extensions);
            if payload.is_empty() {
                prop_assert!(matches!(packet.descriptor, Descriptor::Opaque));
            }
        }
    }
}
