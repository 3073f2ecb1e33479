use str0m::IceCreds;

use super::*;

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:S mic\r\na=mid:1\r\na=sendonly\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=sendrecv\r\na=msid:- cam\r\n\
    a=rid:q send\r\na=rid:h send\r\na=simulcast:send q;h\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:3\r\na=recvonly\r\n";

#[test]
fn an_answer_for_the_engine_has_the_credentials_once_and_nothing_we_decide() {
    let section = |mid: &str, more: &str| {
        format!("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:{mid}\r\n{more}a=recvonly\r\n")
    };
    let transport = "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=ice-options:trickle\r\n\
                     a=fingerprint:sha-256 00\r\na=fingerprint:sha-512 11\r\na=setup:active\r\n";
    let media = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\n\
                 a=fmtp:97 apt=96\r\na=extmap:3 urn:x\r\na=rtcp-mux\r\n";
    let noise = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=msid:- t\r\n\
                 a=rtcp:9 IN IP4 0.0.0.0\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 ccm fir\r\n\
                 a=ssrc:1 cname:c\r\na=ssrc-group:FID 1 2\r\n";
    let all = [noise, transport, media].concat();
    let given = format!("v=0\r\n{}{}", section("0", &all), section("1", &all));
    let first = [transport, media].concat();
    let expected = format!("v=0\r\n{}{}", section("0", &first), section("1", media));
    assert_eq!(answer_for_engine(&given), expected);
    // Fingerprints in front of all sections, the rest in each, as pion and webrtc-rs write it.
    let fingerprint = "a=fingerprint:sha-256 00\r\n";
    let rest = "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:active\r\n";
    let [zero, one] = ["0", "1"].map(|mid| section(mid, rest));
    let given = format!("v=0\r\n{fingerprint}{zero}{one}");
    let expected = format!("v=0\r\n{fingerprint}{zero}{}", section("1", ""));
    assert_eq!(answer_for_engine(&given), expected);
    let refused = zero.replace("m=video 9", "m=video 0");
    let given = format!("v=0\r\n{fingerprint}{refused}{one}");
    assert_eq!(answer_for_engine(&given), given);
    // Said once for all sections, before the first.
    let given = format!("v=0\r\n{transport}{}", section("0", &all));
    let expected = format!("v=0\r\n{transport}{}", section("0", media));
    assert_eq!(answer_for_engine(&given), expected);
}

#[test]
fn candidates_are_left_out_and_nothing_else() {
    let text = "v=0\r\na=ice-lite\r\na=candidate:1 1 udp 1 10.1.0.1 7 typ host\r\n\
                a=end-of-candidates\r\n";
    let expected = "v=0\r\na=ice-lite\r\na=end-of-candidates\r\n";
    assert_eq!(without_candidates(text), expected);
}

#[test]
fn formats_are_whole() {
    for (offer, expected) in [
        ("a=rtpmap:101 OPUS/48000", "a=rtpmap:101 OPUS/48000/2"),
        ("a=rtpmap:101 opus/48000/2", "a=rtpmap:101 opus/48000/2"),
        ("a=rtpmap:106 red/48000", "a=rtpmap:106 red/48000"),
        ("a=rtpmap:111", "a=rtpmap:111"),
        (
            "a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e016",
            "a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e016;packetization-mode=1",
        ),
        (
            "a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0",
            "a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0",
        ),
        (
            "a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0",
            "a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0",
        ),
    ] {
        assert_eq!(with_whole_formats(offer), format!("{expected}\r\n"));
    }
}

#[test]
fn sections_tell_who_sends_what() {
    let found = sections(OFFER);
    let told: Vec<_> = found
        .iter()
        .map(|s| (s.kind, s.mid, s.sends, s.track, s.rids.as_slice()))
        .collect();
    assert_eq!(
        told,
        [
            ("application", "0", false, None, &[][..]),
            ("audio", "1", true, Some("mic"), &[]),
            ("video", "2", true, Some("cam"), &["q", "h"]),
            ("video", "3", false, None, &[]),
        ]
    );
}

#[test]
fn a_port_of_zero_rejects_unless_in_a_bundle_only() {
    let offer = "m=audio 0 UDP/TLS/RTP/SAVPF 109\r\na=bundle-only\r\na=sendonly\r\na=mid:1\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 120\r\na=mid:2\r\na=sendrecv\r\na=bundle-only\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 120\r\na=mid:3\r\na=sendrecv\r\n";
    let told: Vec<_> = sections(offer)
        .iter()
        .map(|s| (s.mid, s.sends, s.receives))
        .collect();
    assert_eq!(
        told,
        [("1", true, false), ("2", true, true), ("3", false, false)]
    );
}

#[test]
fn credentials_are_ours_and_candidates_name_none() {
    let creds = |ufrag: &str, pass: &str| IceCreds {
        ufrag: ufrag.into(),
        pass: pass.into(),
    };
    let text = "v=0\r\nm=audio 9 X 0\r\n\
        a=candidate:fffeff7e32c583ef85edbb1a 1 tcp 1 10.1.0.1 7 typ host ufrag old tcptype passive\r\n\
        a=candidate:0123456789abcdef 1 udp 1 10.1.0.1 7 typ host ufrag old\r\n\
        a=ice-ufrag:made\r\na=ice-pwd:up\r\n";
    let (made, ours) = (creds("made", "up"), creds("0ours", "secret"));
    let plain = rewritten(text, None, |_| None);
    assert!(
        plain.contains("a=candidate:1 1 tcp 1 10.1.0.1 7 typ host tcptype passive\r\n"),
        "{plain}"
    );
    assert!(plain.contains("a=candidate:2 1 udp 1 "), "{plain}");
    assert!(
        plain.contains("typ host\r\na=ice-ufrag:made\r\na=ice-pwd:up\r\n"),
        "{plain}"
    );
    let named = rewritten(text, Some((&made, &ours)), |_| None);
    assert!(
        named.contains("a=ice-ufrag:0ours\r\na=ice-pwd:secret\r\n"),
        "{named}"
    );
}

#[test]
fn caps_are_named() {
    let limits = Limits {
        sdp_bytes: 10,
        ..Limits::default()
    };
    assert_eq!(
        check(OFFER, &limits),
        Err(SdpProblem::Bytes(OFFER.len(), 10))
    );
    let limits = Limits {
        sdp_sections: 3,
        ..Limits::default()
    };
    assert_eq!(check(OFFER, &limits), Err(SdpProblem::Sections(4, 3)));
    let many = format!(
        "{OFFER}{}",
        "a=candidate:1 1 udp 1 1.2.3.4 5 typ host\r\n".repeat(9)
    );
    let limits = Limits {
        candidates: 2,
        ..Limits::default()
    };
    assert_eq!(check(&many, &limits), Err(SdpProblem::Candidates(9, 8)));
    assert_eq!(check(OFFER, &Limits::default()), Ok(()));
}

#[test]
fn an_offer_goes_one_way() {
    let directions = |sdp: &str| -> Vec<String> {
        let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
        lines
            .filter(|line| ["sendonly", "recvonly", "sendrecv", "inactive"].contains(line))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(directions(OFFER), ["sendonly", "sendrecv", "recvonly"]);
    let sending = sending_only(OFFER);
    assert_eq!(directions(&sending), ["sendonly", "sendonly", "inactive"]);
    let receiving = receiving_only(OFFER);
    assert_eq!(directions(&receiving), ["inactive", "recvonly", "recvonly"]);
    assert_eq!(sending.lines().count(), OFFER.lines().count());
}

#[test]
fn a_section_goes_by_the_name_of_what_it_carries() {
    let named = rewritten(OFFER, None, |mid| {
        let name = StreamName {
            stream: "PA_a|TR_b".into(),
            track: "TR_b".into(),
            ssrc: 7,
            repair: Some(8),
        };
        ["1", "2"].contains(&mid).then(|| SectionText {
            name: (mid == "1").then_some(name),
            ..SectionText::default()
        })
    });
    let lines = "a=msid:PA_a|TR_b TR_b\r\na=ssrc-group:FID 7 8\r\n\
        a=ssrc:7 cname:PA_a|TR_b\r\na=ssrc:7 msid:PA_a|TR_b TR_b\r\n\
        a=ssrc:8 cname:PA_a|TR_b\r\na=ssrc:8 msid:PA_a|TR_b TR_b\r\n";
    assert!(named.contains(lines), "{named}");
    assert_eq!(named.matches("a=msid:").count(), 1, "{named}");
    assert_eq!(rewritten(OFFER, None, |_| None), OFFER);
}

#[test]
fn feedback_by_stream_is_told_of_all_formats_of_a_section() {
    let offer = |line: &str| format!("v=0\r\nm=video 9 X 96 97\r\na=mid:1\r\n{line}\r\n");
    for (line, expected) in [
        ("a=rtcp-fb:96 ack ccfb", true),
        ("a=rtcp-fb:* ack ccfb ", true),
        ("a=rtcp-fb:96 ack rpsi", false),
        ("a=rtcp-fb:96 transport-cc", false),
        ("a=rtcp-fb:ack ccfb", false),
    ] {
        assert_eq!(has_feedback_by_stream(&offer(line)), expected, "{line}");
    }
    let told = rewritten(OFFER, None, |mid| {
        (mid == "3").then(|| SectionText {
            has_feedback_by_stream: true,
            ..SectionText::default()
        })
    });
    assert_eq!(told, format!("{OFFER}a=rtcp-fb:* ack ccfb\r\n"));
}

#[test]
fn opus_options_stand_in_the_section_they_are_meant_for() {
    let answer = "v=0\r\nm=audio 9 X 111\r\na=mid:1\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        m=audio 9 X 111\r\na=mid:2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
    let asked = with_opus_options(answer, |mid| {
        (mid == "2").then_some(OpusOptions {
            dtx: true,
            stereo: true,
        })
    });
    let first = "a=fmtp:111 minptime=10;useinbandfec=1\r\nm=";
    let second = "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;stereo=1;sprop-stereo=1\r\n";
    assert!(asked.contains(first), "{asked}");
    assert!(asked.contains(second), "{asked}");
}

#[test]
fn a_section_has_the_formats_it_is_to_have() {
    let section = |mid: &str, types: &str| {
        format!("m=video 9 UDP/TLS/RTP/SAVPF{types}\r\na=mid:{mid}\r\na=extmap:9 urn:x\r\n")
    };
    let (vp8, repair) = (
        "a=rtpmap:9 VP8/90000\r\na=rtcp-fb:9 nack\r\n",
        "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=9\r\n",
    );
    let vp9 = "a=rtpmap:98 VP9/90000\r\na=rtcp-fb:98 nack\r\na=fmtp:98 profile-id=0\r\n";
    let whole = [&section("1", " 98 9 97"), vp9, vp8, repair].concat();
    let other = [&section("2", " 98 9 97"), vp9, vp8, repair].concat();
    let narrow = [&section("1", " 9 97"), vp8, repair].concat();
    let told = rewritten(&format!("v=0\r\n{whole}{other}"), None, |mid| {
        (mid == "1").then(|| SectionText {
            formats: Some([9, 97].into_iter().collect()),
            ..SectionText::default()
        })
    });
    assert_eq!(told, format!("v=0\r\n{narrow}{other}"));
}

#[test]
fn the_codec_asked_for_stands_first_with_its_retransmission() {
    let answer = "v=0\r\nm=video 9 X 96 97 98 99\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n\
        a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 VP9/90000\r\n\
        a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n";
    let first_line = |codec: &str| {
        let asked = with_codec_first(answer, |mid| (mid == "1").then(|| codec.to_owned()));
        asked.lines().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(first_line("vp9"), "m=video 9 X 98 99 96 97");
    assert_eq!(first_line("VP8"), "m=video 9 X 96 97 98 99");
    assert_eq!(first_line("AV1"), "m=video 9 X 96 97 98 99");
}
