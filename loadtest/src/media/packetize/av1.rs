//! AV1 payloads (RTP Payload Format For AV1, version 1.0): aggregation header, and OBUs without
//! their size fields. A keyframe begins with a sequence header OBU and sets N. The heads of the
//! OBUs are real (AV1 bitstream specification 5.3, 5.5, 5.9); the dependency descriptor, a header
//! extension, is not part of the payload and not sent.

use super::super::bits::BitWriter;
use super::{Frame, MAX_PAYLOAD, Packetizer, Packets, fill, parts};

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME: u8 = 6;
/// Aggregation header, OBU header with extension.
const HEADERS: usize = 3;

/// The sequence header OBU, header included, for a picture of this size: main profile, 8 bit 4:2:0.
pub(super) fn sequence_header(width: u16, height: u16) -> Vec<u8> {
    let mut bits = BitWriter::default();
    // Profile, not still, not reduced, no timing, no display delay, one operating point: all layers,
    // level 4.0, main tier.
    bits.put(0, 3)
        .put(0, 1)
        .put(0, 1)
        .put(0, 1)
        .put(0, 1)
        .put(0, 5)
        .put(0, 12)
        .put(8, 5)
        .put(0, 1);
    let (width, height) = (u32::from(width) - 1, u32::from(height) - 1);
    let (width_bits, height_bits) = (width.ilog2() + 1, height.ilog2() + 1);
    bits.put(width_bits - 1, 4).put(height_bits - 1, 4);
    bits.put(width, width_bits).put(height, height_bits);
    // No frame ids, 64x64 superblocks, no filter intra, no intra edge filter; none of the inter
    // tools; no order hint; screen content tools and integer vectors chosen per frame.
    bits.put(0, 4).put(0, 4).put(0, 1).put(0b11, 2);
    // No superres, CDEF, no restoration; 8 bit colour without description, studio range, unknown
    // chroma position, one delta; no film grain.
    bits.put(0b010, 3)
        .put(0b000, 3)
        .put(0, 1)
        .put(0, 2)
        .put(0, 1)
        .put(0, 1);
    let mut unit = vec![OBU_SEQUENCE_HEADER << 3];
    unit.extend_from_slice(&bits.finish());
    unit
}

pub(super) fn packetize(packetizer: &Packetizer, frame: &Frame, packets: &mut Packets) {
    let place = &frame.place;
    let sequence_header = packetizer.parameter_sets.first().filter(|_| place.keyframe);
    let taken = sequence_header.map_or(0, |unit| unit.len() + 1);
    let room = MAX_PAYLOAD - HEADERS - taken;
    let last = frame.size.div_ceil(room).max(1) - 1;
    for (index, length) in parts(frame.size, room).enumerate() {
        let payload = packets.push();
        let leading = sequence_header.filter(|_| index == 0);
        let elements = 1 + u8::from(leading.is_some());
        payload.push(
            u8::from(index > 0) << 7
                | u8::from(index < last) << 6
                | elements << 4
                | u8::from(leading.is_some()) << 3,
        );
        if let Some(unit) = leading {
            payload.push(unit.len() as u8);
            payload.extend_from_slice(unit);
        }
        let head = payload.len();
        if index == 0 {
            put_frame_head(payload, packetizer, frame);
        }
        let written = payload.len() - head;
        fill(payload, length, written);
    }
}

/// The OBU header, with the temporal layer where there are several, and the first bits of the frame
/// header: not a repeat, key or inter, shown.
fn put_frame_head(payload: &mut Vec<u8>, packetizer: &Packetizer, frame: &Frame) {
    let place = &frame.place;
    let layered = packetizer.layers > 1;
    payload.push(OBU_FRAME << 3 | u8::from(layered) << 2);
    if layered {
        payload.push(place.temporal << 5);
    }
    payload.push(if place.keyframe { 0x1F } else { 0x3F });
}
