//! H.264 payloads (RFC 6184), packetization mode 1, constrained baseline. A keyframe is a STAP-A
//! with both parameter sets and an SEI that carries the stamp, then the IDR slice; slices too long
//! for one packet go as FU-A.

use super::super::bits::BitWriter;
use super::{Frame, MAX_PAYLOAD, Packetizer, Packets, Stamp, fill, parts};

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// nal_ref_idc of what all others need.
const REF_HIGH: u8 = 3 << 5;
/// nal_ref_idc of what some others need.
const REF_SOME: u8 = 2 << 5;

/// Sequence and picture parameter set for a picture of this size.
pub(super) fn parameter_sets(width: u16, height: u16) -> Vec<Vec<u8>> {
    let (columns, rows) = (
        u32::from(width).div_ceil(16),
        u32::from(height).div_ceil(16),
    );
    let mut sps = BitWriter::default();
    // Baseline, constrained, level 3.1.
    sps.put(66, 8).put(0xE0, 8).put(31, 8);
    // Set id, log2_max_frame_num - 4, order by decoding (type 2), 3 references, no gaps.
    sps.put_golomb(0)
        .put_golomb(0)
        .put_golomb(2)
        .put_golomb(3)
        .put(0, 1);
    sps.put_golomb(columns - 1).put_golomb(rows - 1);
    // Frames only, direct inference, cropped to the size, no VUI.
    sps.put(0b11, 2);
    let (right, bottom) = (
        (columns * 16 - u32::from(width)) / 2,
        (rows * 16 - u32::from(height)) / 2,
    );
    let is_cropped = right + bottom > 0;
    sps.put(u32::from(is_cropped), 1);
    if is_cropped {
        sps.put_golomb(0)
            .put_golomb(right)
            .put_golomb(0)
            .put_golomb(bottom);
    }
    sps.put(0, 1);

    let mut pps = BitWriter::default();
    // Ids, CAVLC, no field order, one slice group, one reference each way, no weights, QP 26, no
    // chroma offset, deblocking control, no constrained intra, no redundant pictures.
    pps.put_golomb(0)
        .put_golomb(0)
        .put(0, 2)
        .put_golomb(0)
        .put_golomb(0)
        .put_golomb(0);
    pps.put(0, 3)
        .put_golomb(0)
        .put_golomb(0)
        .put_golomb(0)
        .put(0b100, 3);

    [(NAL_SPS, sps), (NAL_PPS, pps)]
        .into_iter()
        .map(|(kind, bits)| {
            let mut unit = vec![REF_HIGH | kind];
            put_escaped(&mut unit, &bits.finish());
            unit
        })
        .collect()
}

/// Appends with a 3 between two zeros and a byte below 4 (section 7.4.1 of H.264).
fn put_escaped(unit: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if *byte < 4 && unit.ends_with(&[0, 0]) {
            unit.push(3);
        }
        unit.push(*byte);
    }
}

pub(super) fn packetize(packetizer: &Packetizer, frame: &Frame, packets: &mut Packets) {
    let place = &frame.place;
    if place.keyframe {
        put_aggregate(packets.push(), &packetizer.parameter_sets);
    }
    let is_discardable = packetizer.layers > 1 && place.temporal + 1 == packetizer.layers;
    let (kind, importance, slice_head) = match (place.keyframe, is_discardable) {
        (true, _) => (NAL_IDR, REF_HIGH, 0x88),
        (false, false) => (NAL_SLICE, REF_SOME, 0x9A),
        (false, true) => (NAL_SLICE, 0, 0x9A),
    };
    if frame.size < MAX_PAYLOAD {
        let payload = packets.push();
        payload.extend_from_slice(&[importance | kind, slice_head]);
        fill(payload, frame.size, 1);
        return;
    }
    let room = MAX_PAYLOAD - 2;
    let last = frame.size.div_ceil(room) - 1;
    for (index, length) in parts(frame.size, room).enumerate() {
        let payload = packets.push();
        let ends = u8::from(index == 0) << 7 | u8::from(index == last) << 6;
        payload.extend_from_slice(&[importance | FU_A, ends | kind]);
        if index == 0 {
            payload.push(slice_head);
        }
        fill(payload, length, usize::from(index == 0));
    }
}

/// Parameter sets and the SEI whose end the stamp overwrites.
fn put_aggregate(payload: &mut Vec<u8>, parameter_sets: &[Vec<u8>]) {
    payload.push(REF_HIGH | STAP_A);
    for unit in parameter_sets {
        payload.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        payload.extend_from_slice(unit);
    }
    // user_data_unregistered: a UUID, then what we like.
    const UUID: [u8; 16] = *b"plenum-load-test";
    let body = UUID.len() + Stamp::LEN;
    payload.extend_from_slice(&((3 + body) as u16).to_be_bytes());
    payload.extend_from_slice(&[NAL_SEI, 5, body as u8]);
    payload.extend_from_slice(&UUID);
    fill(payload, Stamp::LEN, 0);
}
