//! VP8 payloads (RFC 7741): the descriptor with a 15-bit picture id, TL0PICIDX, temporal layer and
//! key index as libwebrtc writes them, and the head of the frame itself (RFC 6386 section 9.1).

use super::{Frame, MAX_PAYLOAD, Packetizer, Packets, fill, parts};

/// Descriptor bytes with every field present.
const DESCRIPTOR: usize = 6;

pub(super) fn packetize(packetizer: &Packetizer, frame: &Frame, packets: &mut Packets) {
    for (index, length) in parts(frame.size, MAX_PAYLOAD - DESCRIPTOR).enumerate() {
        let payload = packets.push();
        put_descriptor(payload, packetizer, frame, index == 0);
        let head = payload.len();
        if index == 0 {
            put_frame_head(payload, packetizer, frame);
        }
        let written = payload.len() - head;
        fill(payload, length, written);
    }
}

fn put_descriptor(payload: &mut Vec<u8>, packetizer: &Packetizer, frame: &Frame, is_first: bool) {
    let place = &frame.place;
    let layered = packetizer.layers > 1;
    // A frame of the highest of several layers is needed by none.
    let is_discardable = layered && place.temporal + 1 == packetizer.layers;
    payload.push(0x80 | u8::from(is_discardable) << 5 | u8::from(is_first) << 4);
    // I, and with layers L, T and K.
    payload.push(if layered { 0xF0 } else { 0x80 });
    payload.extend_from_slice(&(frame.picture_id | 0x8000).to_be_bytes());
    if layered {
        payload.push(place.base_index);
        payload.push(place.temporal << 6 | u8::from(place.is_sync) << 5);
    }
}

/// The frame tag, and for a keyframe the start code and the picture size.
fn put_frame_head(payload: &mut Vec<u8>, packetizer: &Packetizer, frame: &Frame) {
    let keyframe = frame.place.keyframe;
    // Length of the first partition, 19 bits; show_frame set, version 0.
    let partition = (frame.size / 4).min(0x7_FFFF) as u32;
    let tag = u32::from(!keyframe) | 1 << 4 | partition << 5;
    payload.extend_from_slice(&tag.to_le_bytes()[..3]);
    if keyframe {
        payload.extend_from_slice(&[0x9D, 0x01, 0x2A]);
        payload.extend_from_slice(&packetizer.width.to_le_bytes());
        payload.extend_from_slice(&packetizer.height.to_le_bytes());
    }
}
