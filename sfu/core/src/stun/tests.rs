use proptest::{collection::vec, prelude::*};

use super::*;

/// A message of attributes as they are, padded.
fn message(kind: [u8; 2], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    bytes.extend([0, 0]);
    bytes.extend(COOKIE);
    bytes.extend([7; 12]);
    for (kind, value) in attributes {
        bytes.extend(kind.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = (bytes.len() - HEADER) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

const NAME: (u16, &[u8]) = (USERNAME, b"0ours:theirs");
const SIGNATURE: (u16, &[u8]) = (MESSAGE_INTEGRITY, &[9; INTEGRITY]);

#[test]
fn the_user_name_is_found_behind_other_attributes() {
    let bytes = message(BINDING_REQUEST, &[(0x8022, &[1, 2, 3]), NAME, SIGNATURE]);
    let check = Check::read(&bytes).unwrap();
    assert_eq!((check.username, check.ours), ("0ours:theirs", "0ours"));
    assert_eq!(check.integrity_at, HEADER + 8 + 16);
    assert!(check.is_usual && !check.nominates && !check.has_priority);
}

#[test]
fn what_a_check_says_is_told() {
    let (priority, nominates) = ((PRIORITY, &[0; 4][..]), (USE_CANDIDATE, &[][..]));
    for (attributes, expected) in [
        (&[NAME, priority, SIGNATURE][..], (true, false, true)),
        (&[NAME, nominates, SIGNATURE], (false, true, true)),
        (&[NAME, (0x26, &[1]), SIGNATURE], (false, false, false)),
        (&[NAME, (0x8029, &[0; 8]), SIGNATURE], (false, false, false)),
        // What is not signed does not count.
        (
            &[NAME, SIGNATURE, nominates, priority],
            (false, false, true),
        ),
        (
            &[(USERNAME, b"other:name"), NAME, SIGNATURE],
            (false, false, true),
        ),
    ] {
        let bytes = message(BINDING_REQUEST, attributes);
        let check = Check::read(&bytes).unwrap();
        let told = (check.has_priority, check.nominates, check.is_usual);
        assert_eq!(told, expected, "{attributes:?}");
        assert_eq!(check.ours, "0ours");
    }
}

#[test]
fn what_is_no_check_is_not_read() {
    for (kind, attributes) in [
        ([1, 1], &[NAME, SIGNATURE][..]),
        (BINDING_REQUEST, &[NAME]),
        (BINDING_REQUEST, &[SIGNATURE]),
        (BINDING_REQUEST, &[SIGNATURE, NAME]),
        (BINDING_REQUEST, &[NAME, (MESSAGE_INTEGRITY, &[9; 32])]),
        (BINDING_REQUEST, &[(USERNAME, b"nocolon"), SIGNATURE]),
        (BINDING_REQUEST, &[(USERNAME, &[0xff, b':']), SIGNATURE]),
    ] {
        let bytes = message(kind, attributes);
        assert_eq!(Check::read(&bytes), None, "{kind:?} {attributes:?}");
    }
    let whole = message(BINDING_REQUEST, &[NAME, SIGNATURE]);
    for end in 0..whole.len() {
        assert_eq!(Check::read(&whole[..end]), None, "{end} bytes");
    }
    let mut long = whole;
    long[HEADER + 2..HEADER + 4].copy_from_slice(&u16::MAX.to_be_bytes());
    assert_eq!(Check::read(&long), None);
}

/// Attributes of kinds that are known, of kinds that are not, and of any length.
fn attributes() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let known = prop::sample::select(vec![
        USERNAME,
        MESSAGE_INTEGRITY,
        PRIORITY,
        USE_CANDIDATE,
        ICE_CONTROLLED,
        FINGERPRINT,
        0x802a,
        0x8022,
    ]);
    let value = prop_oneof![
        vec(any::<u8>(), 0..9),
        Just(b"0ours:theirs".to_vec()),
        Just(vec![9; INTEGRITY]),
        Just(vec![0; 4]),
        Just(vec![0; 8]),
    ];
    vec((prop_oneof![4 => known, 1 => any::<u16>()], value), 0..8)
}

proptest! {
    #[test]
    fn attributes_come_back_as_they_were_written(written in attributes()) {
        let parts: Vec<_> = written.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        let bytes = message([0, 1], &parts);
        let read: Option<Vec<_>> = Message::read(&bytes).unwrap().attributes().collect();
        let read = read.expect("all are whole");
        let told: Vec<_> = read.iter().map(|a| (a.kind, a.value)).collect();
        prop_assert_eq!(told, parts);
        for attribute in read {
            prop_assert_eq!(&bytes[attribute.at..][..2], attribute.kind.to_be_bytes());
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_read_on(
        written in attributes(),
        cut in any::<prop::sample::Index>(),
        wrong in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let parts: Vec<_> = written.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        let mut bytes = message([0, 1], &parts);
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 2);
        if let Some(message) = Message::read(&bytes) {
            let mut attributes = message.attributes();
            while let Some(Some(_)) = attributes.next() {}
            prop_assert_eq!(attributes.next(), None);
        }
        if let Some(check) = Check::read(&bytes) {
            prop_assert!(check.integrity_at + 4 + INTEGRITY <= bytes.len());
        }
    }
}
