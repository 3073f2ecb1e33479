//! Plain RTP packet by packet: what goes on, and what sources are told.

use std::time::{Duration, Instant};

use super::*;
use crate::rtp::Packet;

fn format(mime: &str, payload_type: u8, sets: &[&[u8]]) -> PlainFormat {
    PlainFormat {
        payload_type,
        mime: mime.to_owned(),
        parameters: String::new(),
        parameter_sets: sets.iter().map(|set| set.to_vec()).collect(),
    }
}

fn packet(sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80, 96];
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// What goes on of a packet.
fn take(plain: &mut Plain, now: Instant, bytes: &[u8]) -> Result<Vec<IngressPacket>, BadPacket> {
    let mut given = Vec::new();
    plain.handle_datagram(now, 0, bytes, |packet| given.push(packet))?;
    Ok(given)
}

fn plain(mime: &str, sets: &[&[u8]]) -> Plain {
    let mut plain = Plain::new(0xabcd);
    let formats = [format(mime, 96, sets)];
    let added = plain.add(&formats, KeyframeFeedback::Pli);
    added.expect("a section");
    plain
}

#[test]
fn parameter_sets_go_in_front_of_keyframes_and_take_a_number() {
    let (vps, sps, pps) = ([0x40, 1, 7], [0x42, 1, 8], [0x44, 1, 9]);
    let h264: (&str, Codec, &[&[u8]], &[u8], &[u8]) = (
        "video/H264",
        Codec::H264,
        &[&[0x67, 1], &[0x68, 2]],
        &[0x65, 0x88],
        &[0x41, 0x9a],
    );
    let h265: (&str, Codec, &[&[u8]], &[u8], &[u8]) = (
        "video/H265",
        Codec::H265,
        &[&vps, &sps, &pps],
        &[19 << 1, 1, 0x80],
        &[1 << 1, 1, 0x80],
    );
    for (mime, codec, sets, keyframe, other) in [h264, h265] {
        let (mut plain, now) = (plain(mime, sets), Instant::now());
        let mut numbers = Vec::new();
        for (sequence, payload) in [
            (9, keyframe),
            (10, other),
            (11, other),
            (12, keyframe),
            (13, other),
        ] {
            let timestamp = u32::from(sequence) * 3_000;
            let given = take(&mut plain, now, &packet(sequence, timestamp, 7, payload)).unwrap();
            for packet in &given {
                assert_eq!((packet.timestamp, packet.marker), (timestamp, false));
                numbers.push(packet.sequence - 65_536);
            }
            let is_keyframe: Vec<bool> = given
                .into_iter()
                .map(|packet| {
                    let IngressPacket {
                        sequence,
                        timestamp,
                        marker,
                        payload,
                        ..
                    } = packet;
                    let extensions = ExtensionValues::default();
                    Packet::parse(
                        codec,
                        sequence,
                        timestamp,
                        marker,
                        payload,
                        &extensions,
                        now,
                    )
                    .is_keyframe
                })
                .collect();
            let expected: &[bool] = if payload == keyframe {
                &[true, true]
            } else {
                &[false]
            };
            assert_eq!(is_keyframe, expected, "{mime} {sequence}");
        }
        assert_eq!(
            numbers,
            [9, 10, 11, 12, 13, 14, 15],
            "{mime}: without a gap"
        );
    }
}

#[test]
fn a_packet_that_was_overtaken_keeps_its_number() {
    let (mut plain, now) = (plain("video/H264", &[&[0x67, 1]]), Instant::now());
    let mut number = |sequence, payload: &[u8]| -> Vec<u64> {
        let bytes = packet(sequence, u32::from(sequence), 7, payload);
        let given = take(&mut plain, now, &bytes).unwrap();
        given
            .iter()
            .map(|packet| packet.sequence - 65_536)
            .collect()
    };
    assert_eq!(number(1, &[0x41, 1]), [1]);
    assert_eq!(number(3, &[0x65, 0x88]), [3, 4]);
    assert_eq!(number(2, &[0x41, 1]), [2]);
    assert_eq!(number(4, &[0x41, 1]), [5]);
}

#[test]
fn another_source_is_believed_from_its_second_packet_on() {
    let (mut plain, now) = (plain("audio/opus", &[]), Instant::now());
    let mut take = |sequence, ssrc| {
        let taken = take(&mut plain, now, &packet(sequence, 0, ssrc, &[1]));
        taken.map(|given| given.first().map(|packet| *packet.ssrc))
    };
    let first = take(5, 7).unwrap();
    assert!(first.is_some());
    assert_eq!(take(900, 8), Err(BadPacket::Strange), "a stray");
    assert_eq!(take(6, 7), Ok(first));
    assert_eq!(take(900, 8), Err(BadPacket::Strange));
    let second = take(901, 8).unwrap();
    assert_ne!(second, first, "another stream for those behind");
    // The same source, far from where it was.
    assert_eq!(take(30_000, 8), Err(BadPacket::Strange));
    let third = take(30_001, 8).unwrap();
    assert_ne!(third, second);
    assert_eq!(take(30_001, 8), Err(BadPacket::Copy));
}

#[test]
fn sources_are_told_how_they_are_received_and_asked_for_keyframes() {
    let (mut plain, origin) = (plain("video/VP8", &[]), Instant::now());
    let name = *take(&mut plain, origin, &packet(5, 0, 7, &[0x10, 0])).unwrap()[0].ssrc;
    assert!(plain.report(origin + Duration::from_secs(4)).is_empty());
    assert_eq!(plain.report(origin + Duration::from_secs(5)).len(), 1);
    assert!(plain.request_keyframe(Ssrc::from(name)));
    assert!(!plain.request_keyframe(Ssrc::from(name + 1)));
    assert!(!plain.request_keyframe(Ssrc::from(5 << 16)));
    let (section, bytes) = plain.poll().expect("a report");
    let parts: Vec<_> = rtcp::Parts::new(&bytes).map(Result::unwrap).collect();
    let [Part::ReceiverReport(report), Part::Sdes(_)] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!(
        (section, report.blocks.iter().next().map(|b| b.ssrc)),
        (0, Some(7))
    );
    let (_, bytes) = plain.poll().expect("a request");
    let parts: Vec<_> = rtcp::Parts::new(&bytes).map(Result::unwrap).collect();
    let [Part::ReceiverReport(_), Part::Sdes(_), Part::Pli(pli)] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!((pli.sender, pli.media), (0xabcd, 7));
    assert_eq!(plain.poll(), None);
}

#[test]
fn a_source_is_asked_for_keyframes_as_it_takes_it() {
    let now = Instant::now();
    for (keyframes, expected) in [
        (KeyframeFeedback::Pli, vec!["PLI of 7", "PLI of 7"]),
        (KeyframeFeedback::Fir, vec!["FIR 1 of 7", "FIR 2 of 7"]),
        (KeyframeFeedback::None, vec![]),
    ] {
        let mut plain = Plain::new(0xabcd);
        let added = plain.add(&[format("video/VP8", 96, &[])], keyframes);
        added.expect("a section");
        let name = *take(&mut plain, now, &packet(5, 0, 7, &[0x10, 0])).unwrap()[0].ssrc;
        for _ in 0..2 {
            let is_asked = plain.request_keyframe(Ssrc::from(name));
            assert_eq!(is_asked, keyframes != KeyframeFeedback::None);
        }
        let mut told = Vec::new();
        while let Some((_, bytes)) = plain.poll() {
            for part in rtcp::Parts::new(&bytes).map(Result::unwrap) {
                match part {
                    Part::Pli(pli) => told.push(format!("PLI of {}", pli.media)),
                    Part::Fir(fir) => told.extend(
                        fir.entries()
                            .map(|entry| format!("FIR {} of {}", entry.command, entry.ssrc)),
                    ),
                    _ => {}
                }
            }
        }
        assert_eq!(told, expected, "{keyframes:?}");
    }
}

#[test]
fn every_codec_is_matched_with_what_browsers_take() {
    let config = str0m::format::CodecConfig::new_with_defaults();
    for (mime, parameters) in [
        (
            "video/H264",
            "packetization-mode=1; profile-level-id=42C01F; sprop-parameter-sets=Z0LA,aM4=",
        ),
        ("video/H264", "profile-level-id=640028"),
        ("video/H264", "packetization-mode=0;profile-level-id=4D0029"),
        ("video/H264", ""),
        ("video/H265", "sprop-vps=QAE=;sprop-sps=QgE=;sprop-pps=RAE="),
        ("video/VP8", ""),
        ("video/VP9", ""),
        ("video/AV1", ""),
        ("audio/OPUS", "sprop-stereo=1"),
    ] {
        let format = PlainFormat {
            parameters: parameters.to_owned(),
            ..format(mime, 96, &[])
        };
        let params = engine_params(&format).expect(mime);
        assert!(config.match_params(params).is_some(), "{mime} {parameters}");
    }
    for unknown in ["audio/red", "audio/mpeg4-generic", "video/JPEG", ""] {
        assert!(!format(unknown, 96, &[]).is_forwarded(), "{unknown}");
    }
}
