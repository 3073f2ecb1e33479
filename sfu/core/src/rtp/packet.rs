//! An RTP packet of a track, parsed once on ingress and shared by all subscribers (RFC 3550).
//!
//! Must not fail on any payload: what cannot be read is forwarded as opaque.

use std::{sync::Arc, time::Instant};

use super::{
    Codec, DependencyDescriptor, Descriptor, Elements, ExtensionValues, Frame, Vp8, Vp9,
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
    /// This packet starts a keyframe, or carries the parameter sets in front of one.
    pub is_keyframe: bool,
}

impl Packet {
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
        let by_payload = match (codec, &descriptor) {
            (Codec::Vp8, Descriptor::Vp8(vp8)) => vp8.raw.starts_keyframe(&payload),
            (Codec::Vp9, Descriptor::Vp9(vp9)) => vp9.starts_keyframe(),
            (Codec::H264, _) => h264_starts_keyframe(&payload),
            (Codec::H265, _) => h265_starts_keyframe(&payload),
            (Codec::Av1, _) => av1_starts_keyframe(&payload),
            _ => false,
        };
        let by_dependencies = || {
            matches!(codec, Codec::Av1 | Codec::H264 | Codec::H265)
                && elements
                    .dependencies
                    .as_ref()
                    .is_some_and(DependencyDescriptor::starts_keyframe)
        };
        let is_keyframe = by_payload || by_dependencies();
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
        }
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
    use crate::rtp::extension_id;

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
    fn an_attached_structure_marks_a_keyframe() {
        let with = |bytes: &[u8]| {
            let mut extensions = ExtensionValues::default();
            extensions
                .user_values
                .set(DependencyDescriptor(Arc::from(bytes)));
            extensions
        };
        for (codec, descriptor, expected) in [
            (Codec::Av1, &[0x80, 0, 1, 0x80][..], true),
            (Codec::Av1, &[0x80, 0, 1], false),
            (Codec::Opus, &[0x80, 0, 1, 0x80], false),
        ] {
            assert_eq!(
                packet(codec, &[0x10, 1], with(descriptor)).is_keyframe,
                expected
            );
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
