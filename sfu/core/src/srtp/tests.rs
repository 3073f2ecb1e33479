//! The published vectors, and what an attacker may try.

use std::collections::HashSet;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use proptest::prelude::*;

use super::{
    cipher::{Cipher, ENCRYPTED, counter_mode_iv, gcm_nonce},
    derive::{Master, RTCP, RTP},
    receiver::UnprotectError,
    sender::ProtectError,
    *,
};

const PROFILES: [Profile; 3] = [
    Profile::Aes128CmSha1_80,
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hex digit") as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn material(profile: Profile) -> Vec<u8> {
    (0..profile.material_len())
        .map(|n| (n * 7 + 1) as u8)
        .collect()
}

/// A packet without extensions, protected.
fn protected(sender: &SrtpSender, plain: &[u8], ssrc: u32, index: u64) -> Vec<u8> {
    let mut out = vec![0; plain.len() + sender.overhead()];
    sender.protect(plain, 12, (ssrc, index), &mut out).unwrap();
    out
}

/// What the DTLS client and the DTLS server of one connection hold.
fn both(profile: Profile) -> [(SrtpSender, SrtcpReceiver); 2] {
    [true, false].map(|is_client| contexts(&material(profile), profile, is_client).unwrap())
}

/// A receiver report about two streams.
fn report(ssrc: u32, words: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, (words + 1) as u8];
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..words * 4).map(|n| n as u8));
    packet
}

fn rtp_packet(ssrc: u32, index: u64, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend([0, 0, 1, 2]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..payload).map(|n| (n * 3) as u8));
    packet
}

/// RFC 3711 appendix B.3 and RFC 6188 section 7.
#[test]
fn session_keys_are_those_of_the_vectors() {
    let cases = [
        (
            "E1F97A0D3E018BE0D64FA32C06DE4139",
            "0EC675AD498AFEEBB6960B3AABE6",
            "C61E7A93744F39EE10734AFE3FF7A087",
            "30CBBC08863D8C85D49DB34A9AE1",
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4",
        ),
        (
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
            "3b04803de51ee7c96423ab5b78d2",
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fa31791685ca444a9e07c6c64e93",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
        ),
    ];
    for (key, salt, session_key, session_salt, authentication) in cases {
        let master = Master::new(Profile::Aes128CmSha1_80, &hex(key), &hex(salt)).unwrap();
        for (label, expected) in [
            (RTP.key, session_key),
            (RTP.salt, session_salt),
            (RTP.authentication, authentication),
        ] {
            let expected = hex(expected);
            let mut derived = vec![0xff; expected.len()];
            master.derive(label, &mut derived).unwrap();
            assert_eq!(derived, expected, "label {label}");
        }
    }
    let labels = [RTP, RTCP].map(|labels| [labels.key, labels.authentication, labels.salt]);
    assert_eq!(labels, [[0, 1, 2], [3, 4, 5]]);
}

/// RFC 3711 appendix B.2: the keystream under one key at three counters, and its far end.
#[test]
fn the_keystream_is_that_of_the_vectors() {
    let salt: [u8; 14] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let cipher = Cipher::counter_mode(&key, &[0; 20], salt).unwrap();
    let plain = vec![0; 0xff02 * 16];
    let mut rest = vec![0; plain.len() + cipher.tag_len()];
    cipher.seal_rtp(&[], &plain, (0, 0), &mut rest).unwrap();
    for (block, expected) in [
        (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ] {
        assert_eq!(rest[block * 16..][..16], hex(expected), "block {block:#x}");
    }
}

fn gcm_vector_key(bytes: u8) -> Cipher {
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    Cipher::gcm(&(0..bytes).collect::<Vec<_>>(), salt).unwrap()
}

/// RFC 7714 sections 16.1.1 and 16.2.1.
#[test]
fn rtp_under_gcm_is_that_of_the_vectors() {
    let header = hex("8040f17b8041f8d35501a0b2");
    let payload = hex("47616c6c696120657374206f6d6e6973206469766973612069\
         6e207061727465732074726573");
    let cases = [
        (
            16,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b\
             36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            32,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f\
             1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (key_len, expected) in cases {
        let mut rest = vec![0; payload.len() + 16];
        gcm_vector_key(key_len)
            .seal_rtp(&header, &payload, (0x5501_a0b2, 0xf17b), &mut rest)
            .unwrap();
        assert_eq!(rest, hex(expected), "a key of {key_len} bytes");
    }
}

/// RFC 7714 sections 17.1 and 17.2, both ways; 17.3 is authentic, but in the clear.
#[test]
fn rtcp_under_gcm_is_that_of_the_vectors() {
    let plain = hex(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
         deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    let cases = [
        (
            16,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32d\
             c676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf872\
             45d9eade800005d4",
        ),
        (
            32,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50\
             a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6c\
             b26ac3be800005d4",
        ),
    ];
    for (key_len, expected) in cases {
        let cipher = gcm_vector_key(key_len);
        let mut packet = plain.clone();
        packet.resize(plain.len() + 20, 0);
        cipher.seal_rtcp(&mut packet, 0x4d61_7273, 0x5d4).unwrap();
        assert_eq!(packet, hex(expected), "a key of {key_len} bytes");
        let opened = cipher.open_rtcp(&mut packet, 0x4d61_7273).unwrap();
        assert_eq!(opened, (plain.len(), ENCRYPTED | 0x5d4));
        assert_eq!(packet[..plain.len()], plain);
    }
}

#[test]
fn material_of_a_wrong_length_is_refused() {
    for (profile, expected) in PROFILES.into_iter().zip([60, 56, 88]) {
        for actual in [0, expected - 1, expected + 1] {
            let refused = contexts(&vec![0; actual], profile, true).map(drop);
            assert_eq!(refused, Err(KeyError::Length { expected, actual }));
        }
        assert!(contexts(&vec![0; expected], profile, true).is_ok());
    }
}

#[test]
fn rtcp_passes_both_ways_and_each_way_has_its_keys() {
    for profile in PROFILES {
        let [(mut client, mut of_server), (mut server, mut of_client)] = both(profile);
        for n in 0..40 {
            let plain = report(9, n);
            let mut out = b"before".to_vec();
            out.extend(&plain);
            client.protect_rtcp(&mut out, 6).unwrap();
            assert_eq!(&out[..6], b"before");
            assert_eq!(out.len(), 6 + plain.len() + client.rtcp_overhead());
            let mut back = out[6..].to_vec();
            assert_eq!(
                of_server.unprotect(&mut back),
                Err(UnprotectError::NotAuthentic)
            );
            let packet = &mut out[6..];
            assert_eq!(of_client.unprotect(packet), Ok(plain.len()), "{profile:?}");
            assert_eq!(packet[..plain.len()], plain);

            let mut out = plain.clone();
            server.protect_rtcp(&mut out, 0).unwrap();
            assert_eq!(
                of_server.unprotect(&mut out),
                Ok(plain.len()),
                "{profile:?}"
            );
        }
    }
}

#[test]
fn a_packet_sent_again_is_refused() {
    for profile in PROFILES {
        let [(mut sender, _), (_, mut receiver)] = both(profile);
        let mut sent = Vec::new();
        for _ in 0..100 {
            let mut out = report(9, 6);
            sender.protect_rtcp(&mut out, 0).unwrap();
            sent.push(out);
        }
        for packet in sent.iter().rev().take(64) {
            assert!(
                receiver.unprotect(&mut packet.clone()).is_ok(),
                "late, but new"
            );
        }
        for packet in &sent {
            assert_eq!(
                receiver.unprotect(&mut packet.clone()),
                Err(UnprotectError::Replayed)
            );
        }
    }
}

#[test]
fn a_change_of_any_bit_is_refused() {
    for profile in PROFILES {
        let [(mut sender, _), (_, mut receiver)] = both(profile);
        let mut out = report(9, 6);
        sender.protect_rtcp(&mut out, 0).unwrap();
        for bit in 0..out.len() * 8 {
            let mut forged = out.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                receiver.unprotect(&mut forged),
                Err(UnprotectError::NotAuthentic),
                "{profile:?}: bit {bit}"
            );
        }
        assert!(
            receiver.unprotect(&mut out).is_ok(),
            "forgeries changed nothing"
        );
    }
}

#[test]
fn an_authentic_packet_in_the_clear_is_refused() {
    // Only counter mode lays such a packet out alike; under GCM its tag covers other bytes.
    let material = material(Profile::Aes128CmSha1_80);
    let (_, mut receiver) = contexts(&material, Profile::Aes128CmSha1_80, false).unwrap();
    let master = Master::new(Profile::Aes128CmSha1_80, &material[..16], &material[32..46]).unwrap();
    let mut key = [0; 20];
    master.derive(RTCP.authentication, &mut key).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let mut packet = report(9, 2);
    packet.extend(7u32.to_be_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, &packet);
    packet.extend(&tag.as_ref()[..10]);
    assert_eq!(
        receiver.unprotect(&mut packet),
        Err(UnprotectError::NotEncrypted)
    );
}

#[test]
fn an_rtcp_index_is_never_used_twice() {
    for profile in PROFILES {
        let [(mut sender, _), (_, mut receiver)] = both(profile);
        sender.set_next_rtcp_index((1 << 31) - 1);
        let mut last = report(9, 6);
        sender.protect_rtcp(&mut last, 0).unwrap();
        assert!(receiver.unprotect(&mut last).is_ok());
        for _ in 0..2 {
            let mut out = report(9, 6);
            assert_eq!(
                sender.protect_rtcp(&mut out, 0),
                Err(ProtectError::Exhausted)
            );
            assert_eq!(out, report(9, 6), "nothing was encrypted");
        }
    }
}

#[test]
fn what_does_not_fit_is_not_protected() {
    for profile in PROFILES {
        let [(mut sender, _), _] = both(profile);
        for length in 0..12 {
            let mut out = vec![0; length + sender.overhead()];
            let refused = sender.protect(&vec![0; length], 12, (0, 0), &mut out);
            assert_eq!(refused, Err(ProtectError::TooShort), "{length}");
        }
        let packet = vec![0; 100];
        let room = 100 + sender.overhead();
        for room in [0, 100, room - 1, room + 1] {
            let refused = sender.protect(&packet, 12, (0, 0), &mut vec![0; room]);
            assert_eq!(refused, Err(ProtectError::TooShort), "{room}");
        }
        let mut out = vec![0; room];
        for header_len in [0, 11, 101, usize::MAX / 2] {
            let refused = sender.protect(&packet, header_len, (0, 0), &mut out);
            assert_eq!(refused, Err(ProtectError::TooShort), "{header_len}");
        }
        let refused = sender.protect(&packet, 12, (0, 1 << 48), &mut out);
        assert_eq!(refused, Err(ProtectError::Exhausted));
        for (length, start) in [(0, 0), (7, 0), (20, 13), (20, 20), (20, 21)] {
            let mut out = vec![0; length];
            let refused = sender.protect_rtcp(&mut out, start);
            assert_eq!(
                refused,
                Err(ProtectError::TooShort),
                "{length} from {start}"
            );
            assert_eq!(out.len(), length);
        }
    }
}

/// An RTP packet without payload, as one of padding only could be before its padding.
#[test]
fn a_bare_header_is_protected() {
    for profile in PROFILES {
        let [(sender, _), _] = both(profile);
        let packet = protected(&sender, &rtp_packet(5, 9, 0), 5, 9);
        assert_ne!(packet[12..], vec![0; sender.overhead()]);
    }
}

#[test]
fn nothing_shows_keys() {
    let [(sender, receiver), _] = both(Profile::AeadAes256Gcm);
    assert_eq!(
        format!("{sender:?} {receiver:?}"),
        "SrtpSender(…) SrtcpReceiver(…)"
    );
}

#[test]
fn a_context_is_small() {
    // Beside it the library keeps some 600 bytes of prepared key for RTP, and as many for RTCP.
    assert!(size_of::<SrtpSender>() <= 96, "{}", size_of::<SrtpSender>());
    assert!(
        size_of::<SrtcpReceiver>() <= 72,
        "{}",
        size_of::<SrtcpReceiver>()
    );
}

/// Opens an RTP packet of the DTLS client with a GCM key made apart from the code above.
fn open_gcm(profile: Profile, packet: &mut [u8], ssrc: u32, index: u64) -> Option<usize> {
    let material = material(profile);
    let (keys, salts) = material.split_at(2 * profile.key_len());
    let master = Master::new(profile, &keys[..profile.key_len()], &salts[..12]).ok()?;
    let mut key = vec![0; profile.key_len()];
    let mut nonce = [0; 12];
    master.derive(RTP.key, &mut key).ok()?;
    master.derive(RTP.salt, &mut nonce).ok()?;
    let counted = [&[0, 0][..], &ssrc.to_be_bytes(), &index.to_be_bytes()[2..]].concat();
    nonce
        .iter_mut()
        .zip(counted)
        .for_each(|(byte, mask)| *byte ^= mask);
    let algorithm = match profile {
        Profile::AeadAes256Gcm => &AES_256_GCM,
        _ => &AES_128_GCM,
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).ok()?);
    let (header, sealed) = packet.split_at_mut(12);
    let nonce = Nonce::assume_unique_for_key(nonce);
    Some(
        key.open_in_place(nonce, Aad::from(header), sealed)
            .ok()?
            .len(),
    )
}

proptest! {
    #[test]
    fn rtp_comes_back_whatever_its_index(
        ssrc: u32,
        index in 0u64..1 << 48,
        payload in 0usize..1_400,
        is_long: bool,
    ) {
        let profile = if is_long { Profile::AeadAes256Gcm } else { Profile::AeadAes128Gcm };
        let [(sender, _), _] = both(profile);
        let plain = rtp_packet(ssrc, index, payload);
        let mut packet = protected(&sender, &plain, ssrc, index);
        prop_assert_eq!(&packet[..12], &plain[..12]);
        prop_assert_eq!(open_gcm(profile, &mut packet, ssrc, index), Some(payload));
        prop_assert_eq!(&packet[..plain.len()], &plain[..]);
    }

    #[test]
    fn no_bytes_of_strangers_do_harm(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        profile in 0usize..3,
    ) {
        let [(_, mut receiver), _] = both(PROFILES[profile]);
        prop_assert!(receiver.unprotect(&mut bytes).is_err());
    }

    #[test]
    fn a_cut_packet_is_refused(cut in 0usize..60, profile in 0usize..3) {
        let [(mut sender, _), (_, mut receiver)] = both(PROFILES[profile]);
        let mut out = report(9, 12);
        sender.protect_rtcp(&mut out, 0).unwrap();
        out.truncate(cut);
        prop_assert!(receiver.unprotect(&mut out).is_err());
    }

    /// Different packets never share a nonce or a first counter, nor counters of their blocks.
    #[test]
    fn no_nonce_repeats(
        pairs in proptest::collection::hash_set(
            (prop_oneof![0u32..4, any::<u32>()], prop_oneof![0u64..8, 0u64..1 << 48]),
            2..60,
        ),
        salt: [u8; 14],
    ) {
        let short: [u8; 12] = salt[..12].try_into().unwrap();
        let nonces: HashSet<[u8; 12]> = pairs
            .iter()
            .map(|(ssrc, index)| *gcm_nonce(&short, *ssrc, *index).as_ref())
            .collect();
        prop_assert_eq!(nonces.len(), pairs.len());
        let counters: HashSet<[u8; 14]> = pairs
            .iter()
            .map(|(ssrc, index)| counter_mode_iv(&salt, *ssrc, *index)[..14].try_into().unwrap())
            .collect();
        prop_assert_eq!(counters.len(), pairs.len());
    }
}
