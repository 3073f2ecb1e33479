//! Which tracks of a participant go to the sinks of an egress, and what takes the place of one that ended: decisions on
//! plain data. Must not subscribe.

use plenum_proto::v1::{Encryption, Participant, Track, TrackKind, TrackSource};
use sfu_core::{PlainFormat, PlainSink};

use super::EgressProblem;
use crate::ingress::sdp::Medium;

/// What is taken of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) kind: TrackKind,
    pub(super) track: String,
    mime: String,
    /// It is there now.
    is_there: bool,
}

impl Taken {
    /// Follows what a participant publishes now. True where another track is to be taken from now on.
    pub(super) fn follow(&mut self, tracks: &[Track]) -> bool {
        if tracks.iter().any(|track| track.id == self.track) {
            return false;
        }
        let next = best(tracks, self.kind, Some(&self.mime));
        self.is_there = next.is_some();
        if let Some(next) = next {
            self.track.clone_from(&next.id);
        }
        next.is_some()
    }

    /// What there is none of, if so.
    pub(super) fn missing(&self) -> Option<&str> {
        (!self.is_there).then_some(self.mime.as_str())
    }
}

/// What goes to the sinks, and how a player sees it.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Id of the participant whose tracks they are.
    pub(super) from: String,
    pub(super) taken: Vec<Taken>,
    pub(super) media: Vec<Medium>,
    /// For RTP and RTCP of each.
    pub(super) ports: Vec<(u16, u16)>,
}

/// The tracks that go to the sinks, in their order.
pub(super) fn choose(
    others: &[Participant],
    from: &str,
    sinks: &[PlainSink],
) -> Result<Chosen, EgressProblem> {
    let found = others.iter().find(|other| other.identity == from);
    let from = found.ok_or_else(|| EgressProblem::NoParticipant(from.to_owned()))?;
    let mut chosen = Chosen {
        from: from.id.clone(),
        taken: Vec::new(),
        media: Vec::new(),
        ports: Vec::new(),
    };
    for (index, sink) in sinks.iter().enumerate() {
        let kind = match sink.is_video {
            true => TrackKind::Video,
            false => TrackKind::Audio,
        };
        let track = best(&from.tracks, kind, None);
        let format = track.and_then(|track| PlainFormat::as_sent(&track.mime));
        let Some((track, format)) = track.zip(format) else {
            let hidden = from.tracks.iter().any(|track| track.kind() == kind);
            let from = from.identity.clone();
            return Err(match hidden {
                true => EgressProblem::Unreadable(from, kind_name(kind)),
                false => EgressProblem::NoTrack(from, kind_name(kind)),
            });
        };
        chosen.taken.push(Taken {
            kind,
            track: track.id.clone(),
            mime: track.mime.clone(),
            is_there: true,
        });
        chosen.media.push(Medium {
            index,
            kind,
            port: None,
            rtcp_port: None,
            formats: vec![format],
            keyframes: None,
            has_feedback_profile: false,
            control: None,
        });
        chosen.ports.push((sink.rtp.port(), sink.rtcp.port()));
    }
    Ok(chosen)
}

fn kind_name(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Audio => "audio",
        TrackKind::Video => "video",
    }
}

/// Of the tracks of a kind, and of a codec where that is given, the one to take: no screen where there is another.
fn best<'a>(tracks: &'a [Track], kind: TrackKind, mime: Option<&str>) -> Option<&'a Track> {
    let is_screen = |track: &Track| {
        let source = track.source();
        matches!(
            source,
            TrackSource::ScreenShare | TrackSource::ScreenShareAudio
        )
    };
    let fitting = tracks.iter().filter(|track| {
        let is_codec = mime.is_none_or(|mime| track.mime.eq_ignore_ascii_case(mime));
        track.kind() == kind && is_codec && track.encryption() == Encryption::None
    });
    fitting.min_by_key(|track| is_screen(track))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(id: &str, source: TrackSource, mime: &str) -> Track {
        let kind = match mime.starts_with("video/") {
            true => TrackKind::Video,
            false => TrackKind::Audio,
        };
        Track {
            id: id.to_owned(),
            kind: kind.into(),
            source: source.into(),
            mime: mime.to_owned(),
            ..Track::default()
        }
    }

    fn sink(is_video: bool) -> PlainSink {
        let port = if is_video { 5_004 } else { 5_006 };
        PlainSink {
            is_video,
            rtp: ([192, 168, 7, 3], port).into(),
            rtcp: ([192, 168, 7, 3], port + 1).into(),
        }
    }

    fn ann() -> Participant {
        let sealed = Track {
            encryption: Encryption::Gcm.into(),
            ..track("TR_voice", TrackSource::Microphone, "audio/opus")
        };
        Participant {
            identity: "ann".to_owned(),
            tracks: vec![
                track("TR_screen", TrackSource::ScreenShare, "video/VP8"),
                track("TR_camera", TrackSource::Camera, "video/H264"),
                sealed,
            ],
            ..Participant::default()
        }
    }

    #[test]
    fn a_camera_is_taken_before_a_screen() {
        let chosen = choose(&[ann()], "ann", &[sink(true)]).unwrap();
        assert_eq!(chosen.taken[0].track, "TR_camera");
        let format = &chosen.media[0].formats[0];
        assert_eq!(
            (format.payload_type, &chosen.ports[..]),
            (98, &[(5_004, 5_005)][..])
        );
    }

    #[test]
    fn what_is_not_there_or_cannot_be_read_is_named() {
        let mut quiet = ann();
        quiet.identity = "bob".to_owned();
        quiet.tracks.truncate(2);
        let others = [ann(), quiet];
        for (from, expected) in [
            ("ann", "\"ann\" publishes audio that is encrypted"),
            ("bob", "\"bob\" publishes no audio"),
            ("cem", "\"cem\" is not in the room"),
        ] {
            let problem = choose(&others, from, &[sink(true), sink(false)]).unwrap_err();
            assert!(problem.to_string().contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_track_that_ended_is_followed_by_one_of_its_codec() {
        let mut taken = choose(&[ann()], "ann", &[sink(true)]).unwrap().taken;
        let taken = &mut taken[0];
        let mut tracks = ann().tracks;
        assert!(!taken.follow(&tracks), "it is still there");
        tracks.remove(1);
        assert!(!taken.follow(&tracks), "there is one of another codec");
        assert_eq!(
            (taken.missing(), taken.track.as_str()),
            (Some("video/H264"), "TR_camera")
        );
        tracks.push(track("TR_next", TrackSource::ScreenShare, "video/h264"));
        assert!(taken.follow(&tracks));
        assert_eq!((taken.missing(), taken.track.as_str()), (None, "TR_next"));
        assert!(!taken.follow(&tracks));
    }
}
