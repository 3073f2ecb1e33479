//! Cuts an encoded frame into RTP payloads, one module per codec. Payloads of a frame are of equal
//! length as far as the format allows, as libwebrtc makes them. Only writes headers and filler; the
//! stamps are the caller's.

mod av1;
mod h264;
mod vp8;
mod vp9;

use super::temporal::Place;
use super::{Codec, EncodingSpec, MAX_PAYLOAD, MediaPacket, Stamp};

/// One frame to be cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Bytes of coded picture, not counting what packets add.
    pub(super) size: usize,
    pub(super) place: Place,
    /// Number of the picture for descriptors, counted from a random start; 15 bits are used.
    pub(super) picture_id: u16,
}

/// What a codec needs to know of its encoding.
#[derive(Debug, Clone)]
pub(super) struct Packetizer {
    codec: Codec,
    width: u16,
    height: u16,
    layers: u8,
    /// H.264: sequence and picture parameter set. AV1: the sequence header OBU. Empty for others.
    parameter_sets: Vec<Vec<u8>>,
}

impl Packetizer {
    pub(super) fn new(codec: Codec, spec: &EncodingSpec) -> Self {
        let width = spec.width.clamp(16, 16_384) as u16;
        let height = spec.height.clamp(16, 16_384) as u16;
        let parameter_sets = match codec {
            Codec::H264 => h264::parameter_sets(width, height),
            Codec::Av1 => vec![av1::sequence_header(width, height)],
            Codec::Opus | Codec::Vp8 | Codec::Vp9 => Vec::new(),
        };
        let layers = spec.temporal_layers.clamp(1, 3);
        Self {
            codec,
            width,
            height,
            layers,
            parameter_sets,
        }
    }

    /// Cuts `frame` into `packets`, which hold the payloads of this frame alone afterwards.
    pub(super) fn packetize(&self, frame: &Frame, packets: &mut Packets) {
        packets.restart();
        match self.codec {
            Codec::Vp8 => vp8::packetize(self, frame, packets),
            Codec::Vp9 => vp9::packetize(self, frame, packets),
            Codec::H264 => h264::packetize(self, frame, packets),
            Codec::Av1 => av1::packetize(self, frame, packets),
            Codec::Opus => {}
        }
    }
}

/// The payloads of a frame, in buffers that live as long as the source.
#[derive(Debug, Default)]
pub(super) struct Packets {
    packets: Vec<MediaPacket>,
    used: usize,
}

impl Packets {
    fn restart(&mut self) {
        self.used = 0;
    }

    /// An empty payload to write the next packet to.
    fn push(&mut self) -> &mut Vec<u8> {
        if self.used == self.packets.len() {
            let payload = Vec::with_capacity(MAX_PAYLOAD);
            self.packets.push(MediaPacket {
                payload,
                ..MediaPacket::default()
            });
        }
        self.used += 1;
        let payload = &mut self.packets[self.used - 1].payload;
        payload.clear();
        payload
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [MediaPacket] {
        &mut self.packets[..self.used]
    }
}

/// Lengths of the parts of `total` bytes where a part takes at most `room`: as few as possible, and
/// equal to a byte.
fn parts(total: usize, room: usize) -> impl Iterator<Item = usize> {
    let count = total.div_ceil(room).max(1);
    (0..count).map(move |index| total / count + usize::from(index < total % count))
}

/// Bytes that look like entropy-coded data: no zero among them, hence no H.264 start code.
static FILLER: [u8; MAX_PAYLOAD] = filler();

const fn filler() -> [u8; MAX_PAYLOAD] {
    let mut bytes = [0; MAX_PAYLOAD];
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut at = 0;
    while at < MAX_PAYLOAD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[at] = (state >> 32) as u8 | 1;
        at += 1;
    }
    bytes
}

/// Appends filler until `length` more bytes are there, of which `written` are already.
fn fill(payload: &mut Vec<u8>, length: usize, written: usize) {
    let missing = length.saturating_sub(written);
    payload.extend_from_slice(&FILLER[..missing.min(MAX_PAYLOAD)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_and_equal() {
        for (total, room, expected) in [
            (100, 1190, vec![100]),
            (1190, 1190, vec![1190]),
            (1191, 1190, vec![596, 595]),
            (3500, 1190, vec![1167, 1167, 1166]),
        ] {
            assert_eq!(parts(total, room).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn filler_holds_no_start_code() {
        assert!(FILLER.iter().all(|byte| *byte != 0));
    }
}
