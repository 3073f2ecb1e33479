use proptest::prelude::*;
use sfu_sim::Scalability;

use super::*;

/// Reads a descriptor as it is written by hand, spaces left out.
fn bytes(bits: &[&str]) -> Vec<u8> {
    let bits: Vec<u8> = bits.concat().bytes().filter(|bit| *bit != b' ').collect();
    let byte = |bits: &[u8]| {
        let ones = bits
            .iter()
            .zip((0..8).rev())
            .filter(|(bit, _)| **bit == b'1');
        ones.fold(0, |byte, (_, at)| byte | 1 << at)
    };
    bits.chunks(8).map(byte).collect()
}

/// Two spatial layers in one rate each, the upper predicted from the lower: L2T1.
const L2T1: &[&str] = &[
    "000010 00001",                           // ids from 2; two targets
    "00 10 00 11",                            // S0 S0 S1 S1
    "10 10  10 11  00 10  00 10",             // SS SR -S -S
    "0  1 0001 0  1 0000 0  1 0000 1 0001 0", // none; 2; 1; 1 and 2
    "11 0 1",                                 // two chains, one for each target
    "0000 0000  0010 0001  0001 0001  0001 0001",
    "1 0000000100111111 0000000010110011 0000001001111111 0000000101100111",
];

fn with_structure(head: &str, rest: &str) -> Vec<u8> {
    let parts: Vec<&str> = [head]
        .into_iter()
        .chain(L2T1.iter().copied())
        .chain([rest])
        .collect();
    bytes(&parts)
}

/// Layer, starts, ends, restarts, serves, switches, breaks.
type Read = ((u8, u8), [bool; 3], [u32; 3]);

fn read(frame: &Frame) -> Read {
    (
        (frame.spatial, frame.temporal),
        [frame.starts, frame.ends, frame.restarts],
        [frame.serves, frame.switches, frame.breaks],
    )
}

fn references(frame: &Frame) -> (u16, u64, bool) {
    match frame.references {
        FrameReferences::Numbered { number, before } => (number, before.near, before.is_far),
        FrameReferences::Targets { .. } => panic!("not by number"),
    }
}

#[test]
fn reads_frames_by_the_structure_of_the_last_keyframe() {
    let mut reader = DependencyReader::default();
    assert!(
        reader
            .read(&bytes(&["11 000010", "0000000000000001"]))
            .is_none(),
        "no structure yet"
    );
    let key = with_structure("10 000010 0000000100000000 10000", "");
    let frame = reader.read(&key).unwrap();
    assert_eq!(
        read(&frame),
        ((0, 0), [true, false, true], [0b11, 0b11, 0b11])
    );
    assert_eq!(references(&frame), (256, 0, false));
    assert_eq!(frame.targets.extent(), Some((2, 1)));
    assert_eq!(frame.targets.sizes(), [(320, 180), (640, 360)]);
    let layers: Vec<_> = frame.targets.layers_of(0b11).collect();
    assert_eq!(layers, [(0, 0), (1, 0)]);
    for (bits, expected, before) in [
        // The last packet of the keyframe's lower layer, then its upper one.
        (
            "01 000010 0000000100000000",
            ((0, 0), [false, true, false], [3, 3, 3]),
            0b0,
        ),
        (
            "11 000100 0000000100000001",
            ((1, 0), [true, true, false], [2, 2, 2]),
            0b1,
        ),
        (
            "11 000011 0000000100000010",
            ((0, 0), [true, true, false], [3, 1, 3]),
            0b10,
        ),
        (
            "11 000101 0000000100000011",
            ((1, 0), [true, true, false], [2, 2, 2]),
            0b11,
        ),
        // Indications and references of its own: discardable, 4 bits of distance 3 and 8 of 200.
        (
            "11 000101 0000000100000100 00110  00 01  01 0010 10 11000111 00",
            ((1, 0), [true, true, false], [2, 0, 0]),
            0b100,
        ),
    ] {
        let frame = reader.read(&bytes(&[bits])).unwrap();
        assert_eq!(read(&frame), expected, "{bits}");
        assert_eq!(references(&frame).1, before, "{bits}");
        assert_eq!(references(&frame).2, bits.contains("11000111"), "{bits}");
    }
    // A template that is not there, and each way to be cut off.
    assert!(
        reader
            .read(&bytes(&["11 000110 0000000100000101"]))
            .is_none()
    );
    for length in 0..key.len() {
        assert!(
            DependencyReader::default().read(&key[..length]).is_none(),
            "{length}"
        );
    }
}

#[test]
fn targets_that_are_not_sent_are_not_chosen() {
    let mut reader = DependencyReader::default();
    let all = Some((2, 1));
    let key = reader
        .read(&with_structure("10 000010 0000000000000001 10000", ""))
        .unwrap();
    assert_eq!((key.targets.extent(), key.targets.choose(7, 7)), (all, 1));
    // From frame 4 on the lower one alone; what comes late of the time before changes nothing.
    let narrow = reader
        .read(&bytes(&["11 000011 0000000000000100 01000 01"]))
        .unwrap();
    assert_eq!(
        (narrow.targets.extent(), narrow.targets.choose(7, 7)),
        (Some((1, 1)), 0)
    );
    let late = reader
        .read(&bytes(&["11 000101 0000000000000011 01000 11"]))
        .unwrap();
    assert_eq!(late.targets.choose(7, 7), 0);
    let wide = reader
        .read(&bytes(&["11 000011 0000000000000101 01000 11"]))
        .unwrap();
    assert_eq!((wide.targets.extent(), wide.targets.choose(0, 0)), (all, 0));
    // Only the upper one: better than nothing.
    let upper = reader
        .read(&bytes(&["11 000011 0000000000000111 01000 10"]))
        .unwrap();
    assert_eq!(upper.targets.choose(0, 0), 1);
}

#[test]
fn a_keyframe_after_hours_without_one_is_new() {
    let mut reader = DependencyReader::default();
    reader
        .read(&with_structure("10 000010 0000000000000001 10000", ""))
        .unwrap();
    let mut narrow = vec![bytes(&["11 000011 0000000000000100 01000 01"])];
    // 100,000 frames that tell nothing of targets.
    narrow.extend((5..100_000_u32).map(|number| {
        let [.., high, low] = number.to_be_bytes();
        vec![0b1100_0011, high, low]
    }));
    for frame in &narrow {
        assert_eq!(reader.read(frame).unwrap().targets.choose(7, 7), 0);
    }
    let [.., high, low] = 100_000_u32.to_be_bytes();
    let mut key = with_structure("10 000010 0000000000000001 10000", "");
    (key[1], key[2]) = (high, low);
    assert_eq!(reader.read(&key).unwrap().targets.choose(7, 7), 1);
}

#[test]
fn a_mask_is_put_where_it_belongs() {
    let whole = with_structure("10 000010 0000000000000001 10000", "");
    let told = with_structure("10 000010 0000000000000001 11000", "01");
    for (bits, expected) in [
        (
            bytes(&["11 000011 0000000000000100"]),
            bytes(&["11 000011 0000000000000100 01000 01"]),
        ),
        (
            bytes(&["11 000011 0000000000000100 01000 11"]),
            bytes(&["11 000011 0000000000000100 01000 01"]),
        ),
        (
            bytes(&["11 000101 0000000000000100 00110 00 01 01 0010 00"]),
            bytes(&["11 000101 0000000000000100 01110 01 00 01 01 0010 00"]),
        ),
        (whole.clone(), told.clone()),
        (told.clone(), told),
    ] {
        let mut reader = DependencyReader::default();
        reader.read(&whole).unwrap();
        let frame = reader.read(&bits).unwrap();
        let mut out = [0xff; 255];
        let length = with_mask(&bits, frame.mask.unwrap(), 0b01, &mut out).unwrap();
        let trimmed = |bytes: &[u8]| {
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            bytes[..=end].to_vec()
        };
        assert_eq!(trimmed(&out[..length]), trimmed(&expected), "{bits:x?}");
        assert!(length <= bits.len() + 2);
        // It reads as the same frame, of fewer targets.
        let again = reader.read(&out[..length]).unwrap();
        assert_eq!(read(&again), read(&frame));
        assert_eq!(references(&again), references(&frame));
        assert_eq!(again.targets.extent(), Some((1, 1)));
        assert_eq!(
            with_mask(&bits, frame.mask.unwrap(), 1, &mut [0; 2]),
            None,
            "no room"
        );
    }
}

#[test]
fn every_mode_is_read_as_it_is_written() {
    for name in [
        "L1T1", "L1T2", "L1T3", "L2T1", "L2T3", "L3T1", "L3T3", "L3T3_KEY", "S2T1", "S3T3",
    ] {
        let mode = Scalability::named(name).unwrap();
        let mut reader = DependencyReader::default();
        let mut number = 65_530_u16;
        for picture in 0..9 {
            for written in mode.picture(picture) {
                let structure = (picture == 0 && written.spatial == 0).then_some((640, 360));
                let bytes = mode.descriptor(&written, number, (true, true), structure);
                let frame = reader.read(&bytes).unwrap();
                assert_eq!(
                    (frame.spatial, frame.temporal),
                    (written.spatial, written.temporal)
                );
                let before = written
                    .distances
                    .iter()
                    .fold(0, |near, back| near | 1 << (back - 1));
                assert_eq!(
                    references(&frame),
                    (number, before, false),
                    "{name} {picture}"
                );
                assert_eq!(frame.restarts, structure.is_some());
                assert_eq!(frame.targets.extent(), Some((mode.spatial, mode.temporal)));
                let targets: Vec<_> = frame
                    .targets
                    .layers_of(u32::MAX >> (32 - mode.targets().count()))
                    .collect();
                assert!(targets.into_iter().eq(mode.targets()), "{name}");
                number = number.wrapping_add(1);
            }
        }
    }
}

proptest! {
    /// Whatever stands in a descriptor: it is read or refused, and a frame that is read fits its structure.
    #[test]
    fn no_bytes_make_it_panic(
        descriptors in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        mask in any::<u32>(),
    ) {
        let mode = Scalability::named("L3T3").unwrap();
        let mut key = mode.descriptor(&mode.picture(0)[0], 9, (true, true), Some((640, 360)));
        for (at, bits) in flips {
            let at = at.index(key.len());
            key[at] ^= bits;
        }
        let mut reader = DependencyReader::default();
        for bytes in std::iter::once(&key).chain(&descriptors) {
            let Some(frame) = reader.read(bytes) else { continue };
            prop_assert!(frame.serves & frame.switches == frame.switches);
            let target = frame.targets.choose(7, 7);
            frame.targets.layer(target);
            frame.targets.within(target);
            let mut out = [0; 255];
            if let Some(length) = with_mask(bytes, frame.mask.unwrap(), mask, &mut out) {
                prop_assert!(length <= bytes.len() + 7);
            }
        }
    }
}
