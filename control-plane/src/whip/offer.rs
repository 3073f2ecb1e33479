//! What an offer is about: the tracks that a publisher announces with it, whether a player asks for
//! anything, and what our answer must not leave out. Reads only that; everything else of SDP is the node's
//! (RFC 8866, RFC 9725 section 4.4). Must not change media.

use plenum_proto::{
    node::AddTrack,
    v1::{Track, TrackCodec, TrackKind, TrackSource, VideoLayer, VideoQuality},
};

use super::problem::Problem;

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Section<'a> {
    kind: &'a str,
    mid: &'a str,
    sends: bool,
    receives: bool,
    /// Stream and track (RFC 8830).
    msid: Option<(&'a str, &'a str)>,
    /// Stream ids of simulcast, in the order given.
    rids: Vec<&'a str>,
    /// Of the first codec, for example "H264".
    codec: Option<&'a str>,
    payload_types: Vec<&'a str>,
}

/// The tracks that an offer publishes: one of each kind at most (RFC 9725 section 4.4.2).
pub(super) fn published(sdp: &str) -> Result<Vec<AddTrack>, Problem> {
    let sections = media(sdp)?;
    let sending: Vec<_> = sections.iter().filter(|section| section.sends).collect();
    check_kinds(&sending, "publishes nothing: no section of it sends")?;
    check_bundle(sdp, sending.len())?;
    Ok(sending.into_iter().map(announcement).collect())
}

/// What a player's offer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Played {
    pub(super) audio: bool,
    pub(super) video: bool,
    /// Index of the video section.
    pub(super) video_section: usize,
}

/// What an offer asks to be sent.
pub(super) fn played(sdp: &str) -> Result<Played, Problem> {
    let sections = media(sdp)?;
    let receiving: Vec<_> = sections.iter().filter(|section| section.receives).collect();
    check_kinds(&receiving, "plays nothing: no section of it receives")?;
    check_bundle(sdp, receiving.len())?;
    let takes = |kind: &str| receiving.iter().any(|section| section.kind == kind);
    let is_video = |section: &Section<'_>| section.receives && section.kind == "video";
    Ok(Played {
        audio: takes("audio"),
        video: takes("video"),
        video_section: sections.iter().position(is_video).unwrap_or_default(),
    })
}

/// Checks that every section of an offer that carries media got a codec in the answer: there are no
/// partly successful sessions (RFC 9725 section 4.4.3).
pub(super) fn check_answer(offer: &str, answer: &str) -> Result<(), Problem> {
    let (offered, answered) = (sections(offer), sections(answer));
    for section in offered
        .iter()
        .filter(|section| section.kind != "application" && (section.sends || section.receives))
    {
        let found = answered.iter().find(|answer| answer.mid == section.mid);
        let is_served =
            found.is_some_and(|answer| (answer.sends || answer.receives) && answer.codec.is_some());
        if !is_served {
            return Err(Problem::Unsupported(format!(
                "none of the codecs offered for {} is supported",
                section.kind
            )));
        }
    }
    Ok(())
}

/// An answer that says, where the offer does, that RTP and RTCP share a port for good (RFC 8858).
pub(super) fn with_mux_only(answer: &str, offer: &str) -> String {
    if !offer.contains("a=rtcp-mux-only") {
        return answer.to_owned();
    }
    answer.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
}

fn media(sdp: &str) -> Result<Vec<Section<'_>>, Problem> {
    if !sdp.trim_start().starts_with("v=0") {
        let problem = "not a session description: it does not begin with \"v=0\"";
        return Err(Problem::Malformed(problem.to_owned()));
    }
    let sections = sections(sdp);
    for section in &sections {
        if section.mid.is_empty() {
            let problem = format!("the {} section has no a=mid", section.kind);
            return Err(Problem::Malformed(problem));
        }
        if !matches!(section.kind, "audio" | "video" | "application") {
            let problem = format!("sections of kind \"{}\" are not supported", section.kind);
            return Err(Problem::Unsupported(problem));
        }
    }
    Ok(sections)
}

fn check_kinds(sections: &[&Section<'_>], none: &str) -> Result<(), Problem> {
    for kind in ["audio", "video"] {
        let count = sections.iter().filter(|s| s.kind == kind).count();
        if count > 1 {
            return Err(Problem::Unsupported(format!(
                "the offer has {count} {kind} tracks; a session carries one at most"
            )));
        }
    }
    if sections.is_empty() {
        return Err(Problem::Unsupported(format!("the offer {none}")));
    }
    Ok(())
}

fn check_bundle(sdp: &str, sections: usize) -> Result<(), Problem> {
    if sections > 1 && !sdp.contains("a=group:BUNDLE ") {
        let problem = "the offer must bundle its sections (a=group:BUNDLE)";
        return Err(Problem::Unsupported(problem.to_owned()));
    }
    Ok(())
}

fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if let Some(rest) = line.strip_prefix("m=") {
            let mut words = rest.split(' ');
            let kind = words.next().unwrap_or_default();
            let payload_types: Vec<&str> = words.skip(2).collect();
            // Port 0 says that a section is rejected or bundled with the first; offers of ours are not.
            let carries = kind != "application" && !payload_types.is_empty();
            sections.push(Section {
                kind,
                sends: carries,
                receives: carries,
                payload_types,
                ..Section::default()
            });
            continue;
        }
        let (Some(section), Some(attribute)) = (sections.last_mut(), line.strip_prefix("a="))
        else {
            continue;
        };
        read_attribute(section, attribute);
    }
    sections
}

fn read_attribute<'a>(section: &mut Section<'a>, attribute: &'a str) {
    match attribute.split_once(':') {
        Some(("mid", mid)) => section.mid = mid,
        Some(("msid", msid)) => section.msid = Some(msid.split_once(' ').unwrap_or((msid, ""))),
        Some(("rid", rid)) => {
            let mut words = rid.split(' ');
            if let (Some(id), Some("send")) = (words.next(), words.next()) {
                section.rids.push(id);
            }
        }
        Some(("rtpmap", map)) => {
            if let Some((payload_type, codec)) = map.split_once(' ')
                && section.payload_types.first() == Some(&payload_type)
            {
                section.codec = codec.split('/').next();
            }
        }
        None => match attribute {
            "recvonly" => section.sends = false,
            "sendonly" => section.receives = false,
            "inactive" => (section.sends, section.receives) = (false, false),
            _ => {}
        },
        _ => {}
    }
}

fn announcement(section: &Section<'_>) -> AddTrack {
    let is_video = section.kind == "video";
    let (stream, track) = section.msid.unwrap_or_default();
    let cid = if track.is_empty() { section.mid } else { track };
    let mime = section
        .codec
        .map(|codec| format!("{}/{codec}", section.kind))
        .unwrap_or_default();
    // Sizes are not known: clients say of themselves in which order theirs are by the names of streams,
    // and the node takes the rest in the order given.
    let layers: Vec<VideoLayer> = section
        .rids
        .iter()
        .enumerate()
        .map(|(index, rid)| VideoLayer {
            quality: quality(rid, index).into(),
            rid: (*rid).to_owned(),
            ..VideoLayer::default()
        })
        .collect();
    let (kind, source) = if is_video {
        (TrackKind::Video, TrackSource::Camera)
    } else {
        (TrackKind::Audio, TrackSource::Microphone)
    };
    AddTrack {
        cid: cid.to_owned(),
        track: Some(Track {
            kind: kind.into(),
            source: source.into(),
            simulcast: layers.len() > 1,
            codecs: vec![TrackCodec {
                mime: mime.clone(),
                cid: cid.to_owned(),
                layers: layers.clone(),
                ..TrackCodec::default()
            }],
            layers,
            mime,
            stream: stream.to_owned(),
            ..Track::default()
        }),
    }
}

/// The step that a stream stands for, as the node has it.
fn quality(rid: &str, index: usize) -> VideoQuality {
    match (rid, index) {
        ("q", _) => VideoQuality::Low,
        ("h", _) => VideoQuality::Medium,
        ("f", _) => VideoQuality::High,
        (_, 0) => VideoQuality::Low,
        (_, 1) => VideoQuality::Medium,
        _ => VideoQuality::High,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a well-known encoder writes it: no candidates, no feedback, and we are to open DTLS.
    const ENCODER: &str = "v=0\r\no=FFmpeg 1 2 IN IP4 127.0.0.1\r\ns=FFmpegPublishSession\r\nt=0 0\r\n\
        a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:passive\r\n\
        a=mid:0\r\na=sendonly\r\na=msid:FFmpeg audio\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 106\r\na=mid:1\r\na=sendonly\r\na=msid:FFmpeg video\r\n\
        a=rtpmap:106 H264/90000\r\n";

    fn tracks(sdp: &str) -> Vec<(String, String, usize)> {
        let found = published(sdp).unwrap();
        let told = found.into_iter().map(|add| {
            let track = add.track.unwrap();
            (add.cid, track.mime, track.layers.len())
        });
        told.collect()
    }

    fn refused(sdp: &str) -> (u16, String) {
        let problem = published(sdp).unwrap_err();
        (problem.status().as_u16(), problem.to_string())
    }

    #[test]
    fn an_encoders_offer_announces_its_tracks() {
        assert_eq!(
            tracks(ENCODER),
            [
                ("audio".into(), "audio/opus".into(), 0),
                ("video".into(), "video/H264".into(), 0)
            ]
        );
        let alone = ENCODER.replace("a=sendonly\r\na=msid:FFmpeg audio", "a=inactive");
        assert_eq!(tracks(&alone).len(), 1);
    }

    #[test]
    fn simulcast_and_a_missing_msid_are_understood() {
        let sdp = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\na=sendrecv\r\n\
            a=rtpmap:97 rtx/90000\r\na=rtpmap:96 VP8/90000\r\n\
            a=rid:f send\r\na=rid:q send\r\na=simulcast:send f;q\r\n";
        assert_eq!(tracks(sdp), [("v".into(), "video/VP8".into(), 2)]);
        let track = published(sdp).unwrap().remove(0).track.unwrap();
        let steps: Vec<_> = track.layers.iter().map(VideoLayer::quality).collect();
        assert_eq!(steps, [VideoQuality::High, VideoQuality::Low]);
    }

    #[test]
    fn offers_that_cannot_be_served_are_refused() {
        let again = |kind: &str| ENCODER.replace("m=video", &format!("m={kind}"));
        for (sdp, status, text) in [
            ("hello".to_owned(), 400, "begin with \"v=0\""),
            (ENCODER.replace("a=mid:1\r\n", ""), 400, "no a=mid"),
            (
                ENCODER.replace("sendonly", "recvonly"),
                422,
                "publishes nothing",
            ),
            (again("audio"), 422, "2 audio tracks"),
            (again("text"), 422, "\"text\""),
            (ENCODER.replace("BUNDLE", "LS"), 422, "must bundle"),
        ] {
            let (found, message) = refused(&sdp);
            assert_eq!((found, message.contains(text)), (status, true), "{message}");
        }
    }

    #[test]
    fn a_player_asks_for_what_it_receives() {
        let sdp = ENCODER.replace("sendonly", "recvonly");
        let both = Played {
            audio: true,
            video: true,
            video_section: 1,
        };
        assert_eq!(played(&sdp), Ok(both));
        assert!(
            played(ENCODER)
                .unwrap_err()
                .to_string()
                .contains("plays nothing")
        );
    }

    #[test]
    fn an_answer_must_serve_every_section() {
        let answer = ENCODER.replace("sendonly", "recvonly");
        assert_eq!(check_answer(ENCODER, &answer), Ok(()));
        let lacks = answer.replace(
            "m=video 9 UDP/TLS/RTP/SAVPF 106",
            "m=video 0 UDP/TLS/RTP/SAVPF",
        );
        let problem = check_answer(ENCODER, &lacks).unwrap_err();
        assert!(problem.to_string().contains("video"), "{problem}");
    }

    #[test]
    fn sharing_a_port_for_good_is_said_where_it_was_asked() {
        let asked = "a=rtcp-mux\r\na=rtcp-mux-only\r\n";
        assert_eq!(with_mux_only("a=rtcp-mux\r\n", asked), asked);
        assert_eq!(
            with_mux_only("a=rtcp-mux\r\n", "a=rtcp-mux\r\n"),
            "a=rtcp-mux\r\n"
        );
    }
}
