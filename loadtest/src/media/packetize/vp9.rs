//! VP9 payloads (RFC 9628): non-flexible mode, one spatial layer. Keyframes carry the scalability
//! structure with the picture size and, where there are temporal layers, the picture group. The
//! head of the uncompressed header is real (VP9 bitstream specification 6.2).

use super::super::bits::BitWriter;
use super::super::temporal::{Ladder, pattern};
use super::{Frame, MAX_PAYLOAD, Packetizer, Packets, fill, parts};

/// Flags, picture id, layer indices; the structure of the first packet comes on top of that.
const DESCRIPTOR: usize = 5;
const STRUCTURE: usize = 6 + 2 * 4;

pub(super) fn packetize(packetizer: &Packetizer, frame: &Frame, packets: &mut Packets) {
    let structure = if frame.place.keyframe { STRUCTURE } else { 0 };
    let room = MAX_PAYLOAD - DESCRIPTOR - structure;
    let last = frame.size.div_ceil(room).max(1) - 1;
    for (index, length) in parts(frame.size, room).enumerate() {
        let payload = packets.push();
        put_descriptor(payload, packetizer, frame, index == 0, index == last);
        let head = payload.len();
        if index == 0 {
            put_frame_head(payload, packetizer, frame);
        }
        let written = payload.len() - head;
        fill(payload, length, written);
    }
}

fn put_descriptor(
    payload: &mut Vec<u8>,
    packetizer: &Packetizer,
    frame: &Frame,
    is_first: bool,
    is_last: bool,
) {
    let place = &frame.place;
    let layered = packetizer.layers > 1;
    let has_structure = place.keyframe && is_first;
    // I P L F B E V Z: picture id always; not flexible; Z, as no higher spatial layer exists.
    payload.push(
        0x80 | u8::from(!place.keyframe) << 6
            | u8::from(layered) << 5
            | u8::from(is_first) << 3
            | u8::from(is_last) << 2
            | u8::from(has_structure) << 1
            | 1,
    );
    payload.extend_from_slice(&(frame.picture_id | 0x8000).to_be_bytes());
    if layered {
        payload.push(place.temporal << 5 | u8::from(place.is_sync) << 4);
        payload.push(place.base_index);
    }
    if has_structure {
        put_structure(payload, packetizer);
    }
}

/// One spatial layer with its size, and the pictures of the group with what each refers to.
fn put_structure(payload: &mut Vec<u8>, packetizer: &Packetizer) {
    let layered = packetizer.layers > 1;
    payload.push(1 << 4 | u8::from(layered) << 3);
    payload.extend_from_slice(&packetizer.width.to_be_bytes());
    payload.extend_from_slice(&packetizer.height.to_be_bytes());
    if !layered {
        return;
    }
    let length = pattern(packetizer.layers).len();
    payload.push(length as u8);
    let mut ladder = Ladder::new(packetizer.layers);
    for _ in 0..length {
        ladder.step(false);
    }
    for _ in 0..length {
        let place = ladder.step(false);
        payload.push(place.temporal << 5 | u8::from(place.is_sync) << 4 | 1 << 2);
        payload.push(place.reference);
    }
}

fn put_frame_head(payload: &mut Vec<u8>, packetizer: &Packetizer, frame: &Frame) {
    if !frame.place.keyframe {
        // Frame marker 2, profile 0, not a repeat, inter, shown, not error resilient.
        payload.push(0x86);
        return;
    }
    let mut bits = BitWriter::default();
    bits.put(0x82, 8).put(0x49_8342, 24);
    // BT.601, studio range; size less one; render size the same; refresh nothing special.
    bits.put(1, 3).put(0, 1);
    bits.put(u32::from(packetizer.width) - 1, 16)
        .put(u32::from(packetizer.height) - 1, 16);
    bits.put(0, 1);
    payload.extend_from_slice(&bits.finish());
}
