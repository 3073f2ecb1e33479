//! Scalable media: AV1-like and H.264-like packets with a dependency descriptor, and VP9-like packets without one, stamped
//! as all media is. Must not know the network. RFC 9628.

use std::{sync::Arc, time::Duration};

use str0m::rtp::{ExtensionSerializer, ExtensionValues};

use super::{Encoder, Made, Stamp, VideoSettings};
use crate::Scalability;

/// How a camera's pictures are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// Temporal layers at most.
    Vp8,
    /// Layers by the payload descriptor.
    Vp9(Scalability),
    /// Layers by the dependency descriptor.
    Av1(Scalability),
    /// The same; what its payload says of keyframes is wrong, as if it were encrypted.
    H264(Scalability),
}

impl VideoCodec {
    /// Its media type.
    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Vp8 => "video/VP8",
            Self::Vp9(_) => "video/VP9",
            Self::Av1(_) => "video/AV1",
            Self::H264(_) => "video/H264",
        }
    }

    /// Spatial layers of each encoding.
    pub(crate) fn spatial_layers(self) -> usize {
        self.mode().map_or(1, |mode| usize::from(mode.spatial))
    }

    /// As the engine calls it.
    pub(crate) fn engine(self) -> str0m::format::Codec {
        match self {
            Self::Vp8 => str0m::format::Codec::Vp8,
            Self::Vp9(_) => str0m::format::Codec::Vp9,
            Self::Av1(_) => str0m::format::Codec::Av1,
            Self::H264(_) => str0m::format::Codec::H264,
        }
    }

    /// Its layers, where a picture may have several.
    pub(super) fn mode(self) -> Option<Scalability> {
        match self {
            Self::Vp8 => None,
            Self::Vp9(mode) | Self::Av1(mode) | Self::H264(mode) => Some(mode),
        }
    }
}

/// What a receiver reads of a packet of scalable media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScalableHead {
    /// Of the dependency descriptor.
    pub(crate) frame_number: Option<u16>,
    /// Of VP9.
    pub(crate) picture_id: Option<u16>,
    pub(crate) starts: bool,
    pub(crate) ends: bool,
}

/// A dependency descriptor as it comes and goes, a user value of the engine's.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor(pub(crate) Arc<[u8]>);

/// Carries dependency descriptors.
#[derive(Debug)]
pub(crate) struct DescriptorExtension;

impl DescriptorExtension {
    pub(crate) const URI: &str =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
    pub(crate) const ID: u8 = 12;
}

impl ExtensionSerializer for DescriptorExtension {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(Descriptor(bytes)) = values.user_values.get() else {
            return 0;
        };
        buffer[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Descriptor(Arc::from(bytes)));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        let descriptor = values.user_values.get();
        descriptor.is_some_and(|Descriptor(bytes)| bytes.len() > 16)
    }
}

impl ScalableHead {
    /// Reads a packet as this module makes it; returns its stamp, too.
    pub(crate) fn read(payload: &[u8], descriptor: Option<&Descriptor>) -> Option<(Self, Stamp)> {
        if let Some(Descriptor(bytes)) = descriptor {
            let [flags, high, low, ..] = **bytes else {
                return None;
            };
            let head = Self {
                frame_number: Some(u16::from_be_bytes([high, low])),
                picture_id: None,
                starts: flags & 0x80 != 0,
                ends: flags & 0x40 != 0,
            };
            return Some((head, Stamp::read(payload.get(1..)?)?));
        }
        let [flags, high, low, _, _, rest @ ..] = payload else {
            return None;
        };
        let is_ours = flags & 0xb0 == 0xa0 && high & 0x80 != 0;
        let told = if flags & 0x02 == 0 {
            0
        } else {
            1 + 4 * usize::from((rest.first()? >> 5) + 1)
        };
        let head = Self {
            frame_number: None,
            picture_id: Some(u16::from_be_bytes([high & 0x7f, *low])),
            starts: flags & 0x08 != 0,
            ends: flags & 0x04 != 0,
        };
        let stamp = Stamp::read(rest.get(told..)?)?;
        is_ours.then_some((head, stamp))
    }
}

impl Encoder {
    /// The packets of one picture in all its spatial layers.
    pub(super) fn scalable(
        &mut self,
        captured: Duration,
        settings: &VideoSettings,
        mode: Scalability,
    ) -> Vec<Made> {
        const SIZE: (u32, u32) = (1_280, 720);
        if std::mem::take(&mut self.wants_key) {
            self.since_key = 0;
        }
        let frames = mode.picture(self.since_key);
        let is_key = self.since_key == 0;
        if frames[0].temporal == 0 {
            self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
        }
        let top = mode.spatial - 1;
        let mut packets = Vec::new();
        for frame in frames {
            let layer = usize::from(self.encoding * mode.spatial + frame.spatial);
            let (count, size) = match settings.bitrates.get(layer) {
                Some(bitrate) => {
                    let bitrate = f64::from(*bitrate) * mode.weight(frame.temporal);
                    self.size(bitrate, settings.fps, is_key)
                }
                None => (
                    settings.packets.max(1) * (1 + u8::from(is_key)),
                    100 + 120 * usize::from(frame.spatial + self.encoding),
                ),
            };
            let mut refers_to = [None; 2];
            for (place, back) in refers_to.iter_mut().zip(&frame.distances) {
                *place = Some(self.frame - u32::from(*back));
            }
            for index in 0..count {
                let stamp = Stamp {
                    source: self.source,
                    encoding: self.encoding,
                    frame: self.frame,
                    index,
                    count,
                    is_key: is_key && frame.spatial == 0,
                    temporal: frame.temporal,
                    spatial: frame.spatial,
                    refers_to,
                    captured,
                };
                let ends = (index == 0, index + 1 == count);
                let structure = (is_key && frame.spatial == 0 && index == 0).then_some(SIZE);
                let mut payload = Vec::new();
                let mut dependencies = None;
                if let VideoCodec::Vp9(_) = settings.codec {
                    let (id, tl0) = (self.picture_id, self.tl0_pic_idx);
                    payload = mode.vp9_descriptor(&frame, id, tl0, ends, structure);
                } else {
                    let number = self.frame as u16;
                    dependencies = Some(mode.descriptor(&frame, number, ends, structure));
                    payload.push(match (settings.codec, structure) {
                        // A slice of another picture where a keyframe begins, and parameter sets elsewhere.
                        (VideoCodec::H264(_), Some(_)) => 0x41,
                        (VideoCodec::H264(_), None) => 0x67,
                        // The aggregation header: one unit, and whether a sequence begins.
                        (_, Some(_)) => 0x18,
                        (_, None) => 0x10,
                    });
                }
                stamp.write(&mut payload);
                payload.resize(size.max(payload.len()), 0x22);
                let marker = frame.spatial == top && ends.1;
                let mut made = self.packet(captured, marker, payload);
                made.dependencies = dependencies;
                packets.push(made);
            }
            self.frame += 1;
        }
        self.since_key += 1;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        packets
    }
}
