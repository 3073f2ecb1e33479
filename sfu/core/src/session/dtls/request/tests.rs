//! What is widened and what is not, byte for byte.

use proptest::prelude::*;

use super::*;

/// A message with its header.
fn message(kind: u8, number: u8, body: &[u8]) -> Vec<u8> {
    let length = [0, 0, body.len() as u8];
    [&[kind][..], &length, &[0, number], &[0; 3], &length, body].concat()
}

fn record(kind: u8, epoch: u8, fragment: &[u8]) -> Vec<u8> {
    let length = [0, fragment.len() as u8];
    [
        &[kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 9],
        &length[..],
        fragment,
    ]
    .concat()
}

fn written(datagram: &[u8]) -> Vec<u8> {
    let mut to = vec![0; datagram.len() + GROWTH];
    let length = write(datagram, &mut to);
    to.truncate(length);
    to
}

/// As the library asks: ECDSA, over SHA-256 and SHA-384, of anybody.
const ECDSA: &[u8] = &[1, 64, 0, 4, 4, 3, 5, 3, 0, 0];
const EITHER: &[u8] = &[2, 64, 1, 0, 8, 4, 3, 5, 3, 4, 1, 5, 1, 0, 0];

#[test]
fn a_request_is_widened_in_the_transcript_and_on_the_wire_alike() {
    let bodies: [(&[u8], &[u8]); 4] = [
        (ECDSA, EITHER),
        (
            &[1, 64, 0, 2, 4, 3, 0, 0],
            &[2, 64, 1, 0, 6, 4, 3, 4, 1, 5, 1, 0, 0],
        ),
        (&[0, 0, 0, 0, 0], &[1, 1, 0, 4, 4, 1, 5, 1, 0, 0]),
        // With the name of an authority.
        (
            &[1, 64, 0, 2, 4, 3, 0, 3, 0, 1, 7],
            &[2, 64, 1, 0, 6, 4, 3, 4, 1, 5, 1, 0, 3, 0, 1, 7],
        ),
    ];
    let (hello, done) = (message(1, 0, b"hello"), message(14, 4, &[]));
    for (narrow, wide) in bodies {
        let [from, to] = [narrow, wide].map(|body| message(13, 3, body));
        assert_eq!(to.len(), from.len() + GROWTH);
        let [transcript, sent] = [&from, &to].map(|request| [&hello[..], request, &done].concat());
        assert_eq!(as_sent(&transcript), sent);
        let [datagram, sent] = [&from, &to].map(|request| {
            [&hello, request, &done]
                .map(|message| record(22, 0, message))
                .concat()
        });
        assert_eq!(written(&datagram), sent);
    }
}

#[test]
fn what_is_no_request_for_ecdsa_alone_stays_as_it_is() {
    let request = message(13, 3, ECDSA);
    let mut half = request.clone();
    half[11] -= 1;
    half.pop();
    let cases = [
        ("has RSA in it", message(13, 3, EITHER)),
        ("another message", message(14, 3, ECDSA)),
        ("half of one", half),
        ("kinds beyond the end", message(13, 3, &[9, 64, 0])),
        (
            "signatures beyond the end",
            message(13, 3, &[1, 64, 0, 9, 4, 3]),
        ),
        ("nothing in it", message(13, 3, &[])),
        (
            "two in one record",
            [request.clone(), message(14, 4, &[])].concat(),
        ),
        ("no message", b"not of a handshake at all".to_vec()),
    ];
    for (name, bytes) in cases {
        if name != "two in one record" {
            assert_eq!(as_sent(&bytes), bytes, "{name}");
        }
        let datagram = record(22, 0, &bytes);
        assert_eq!(written(&datagram), datagram, "{name}");
    }
    for datagram in [
        record(22, 1, &request),
        record(23, 0, &request),
        record(22, 0, &request)[..20].to_vec(),
    ] {
        assert_eq!(
            written(&datagram),
            datagram,
            "protected, of another type, cut short"
        );
    }
    let behind = [&b"something"[..], &request].concat();
    assert_eq!(as_sent(&behind), behind);
}

proptest! {
    #[test]
    fn anything_can_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..80), tail in any::<bool>()) {
        let bytes = if tail { [record(22, 0, &message(13, 3, ECDSA)), bytes].concat() } else { bytes };
        let sent = written(&bytes);
        prop_assert!(sent.len() == bytes.len() || sent.len() == bytes.len() + GROWTH);
        let _ = as_sent(&bytes);
    }
}
