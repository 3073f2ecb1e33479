//! Whom a player plays, and which of their tracks: one participant that the URL names, or whoever
//! publishes first, for as long as they publish. A pure function of what the node tells. Must not ask the
//! node for anything.

use std::collections::BTreeMap;

use plenum_proto::v1::{Participant, ParticipantState, Track, TrackKind, TrackSource, VideoLayer};

use super::offer::Played;

/// What a player follows.
#[derive(Debug)]
pub(super) struct Follow {
    /// Identity of the participant; none = whoever publishes.
    of: Option<String>,
    takes: Played,
    own_id: String,
    /// Everybody else who publishes, by id.
    publishers: BTreeMap<String, Participant>,
    /// Id of the one who is played.
    current: Option<String>,
    audio: Option<String>,
    video: Option<Track>,
}

/// What is to change at the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Change {
    pub(super) unsubscribe: Vec<String>,
    pub(super) subscribe: Vec<String>,
}

impl Follow {
    pub(super) fn new(of: Option<String>, takes: Played, own_id: String) -> Self {
        Self {
            of,
            takes,
            own_id,
            publishers: BTreeMap::new(),
            current: None,
            audio: None,
            video: None,
        }
    }

    /// Takes the state of participants as the node tells it.
    pub(super) fn apply(&mut self, participants: Vec<Participant>) -> Change {
        for participant in participants {
            let is_gone = participant.state() == ParticipantState::Disconnected;
            let is_other = participant.id != self.own_id;
            let is_meant = self
                .of
                .as_ref()
                .is_none_or(|of| *of == participant.identity);
            if is_other && is_meant && !is_gone && !participant.tracks.is_empty() {
                self.publishers.insert(participant.id.clone(), participant);
            } else {
                self.publishers.remove(&participant.id);
            }
        }
        self.choose()
    }

    /// Whether anybody is played.
    pub(super) fn is_active(&self) -> bool {
        self.audio.is_some() || self.video.is_some()
    }

    /// The video that is played.
    pub(super) fn video(&self) -> Option<&Track> {
        self.video.as_ref()
    }

    /// The layers that may be chosen from, and the section they are of.
    pub(super) fn layers(&self) -> (usize, Vec<VideoLayer>) {
        let layers = self.video.as_ref().map(|video| {
            let of_codec = video.codecs.first().map(|codec| codec.layers.clone());
            of_codec
                .filter(|l| !l.is_empty())
                .unwrap_or_else(|| video.layers.clone())
        });
        (self.takes.video_section, layers.unwrap_or_default())
    }

    fn choose(&mut self) -> Change {
        let goes_on = self
            .current
            .take()
            .filter(|id| self.publishers.contains_key(id));
        self.current = goes_on.or_else(|| {
            let joined = |p: &Participant| p.joined_at.as_ref().map(|at| (at.seconds, at.nanos));
            let first = self
                .publishers
                .values()
                .min_by_key(|p| (joined(p), p.id.clone()));
            first.map(|participant| participant.id.clone())
        });
        let played = self.current.as_ref().and_then(|id| self.publishers.get(id));
        let tracks = played.map_or(&[][..], |participant| &participant.tracks);
        let audio = best(tracks, TrackKind::Audio).filter(|_| self.takes.audio);
        let video = best(tracks, TrackKind::Video).filter(|_| self.takes.video);
        let (audio, video) = (audio.map(|track| track.id.clone()), video.cloned());
        let mut change = Change::default();
        let id = |track: &Option<Track>| track.as_ref().map(|track| track.id.clone());
        for (before, after) in [
            (self.audio.clone(), audio.clone()),
            (id(&self.video), id(&video)),
        ] {
            if before != after {
                change.unsubscribe.extend(before);
                change.subscribe.extend(after);
            }
        }
        (self.audio, self.video) = (audio, video);
        change
    }
}

/// The track of a kind to play: the person before their screen.
fn best(tracks: &[Track], kind: TrackKind) -> Option<&Track> {
    let is_screen = |track: &Track| {
        let source = track.source();
        source == TrackSource::ScreenShare || source == TrackSource::ScreenShareAudio
    };
    let of_kind = tracks.iter().filter(|track| track.kind() == kind);
    of_kind.min_by_key(|track| is_screen(track))
}

#[cfg(test)]
mod tests {
    use super::*;
    use TrackSource::{Camera, Microphone, ScreenShare};

    const BOTH: Played = Played {
        audio: true,
        video: true,
        video_section: 1,
    };

    fn person(
        id: &str,
        identity: &str,
        joined: i64,
        tracks: &[(&str, TrackSource)],
    ) -> Participant {
        let tracks = tracks.iter().map(|(id, source)| {
            let is_video = matches!(source, Camera | ScreenShare);
            let kind = if is_video {
                TrackKind::Video
            } else {
                TrackKind::Audio
            };
            Track {
                id: (*id).into(),
                kind: kind.into(),
                source: (*source).into(),
                ..Track::default()
            }
        });
        Participant {
            id: id.into(),
            identity: identity.into(),
            state: ParticipantState::Active.into(),
            joined_at: Some(prost_types::Timestamp {
                seconds: joined,
                nanos: 0,
            }),
            tracks: tracks.collect(),
            ..Participant::default()
        }
    }

    fn change(unsubscribe: &[&str], subscribe: &[&str]) -> Change {
        let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Change {
            unsubscribe: own(unsubscribe),
            subscribe: own(subscribe),
        }
    }

    #[test]
    fn the_first_publisher_is_played_until_it_stops_and_then_the_next() {
        let mut follow = Follow::new(None, BOTH, "PA_me".into());
        let me = person("PA_me", "me#1", 1, &[("TR_x", Camera)]);
        let silent = person("PA_s", "silent", 0, &[]);
        let bob = person("PA_b", "bob", 5, &[("TR_b", Camera)]);
        let ann = person("PA_a", "ann", 9, &[("TR_a", Camera), ("TR_m", Microphone)]);
        assert_eq!(follow.apply(vec![me, silent]), Change::default());
        assert!(!follow.is_active());
        assert_eq!(
            follow.apply(vec![ann.clone()]),
            change(&[], &["TR_m", "TR_a"])
        );
        // Who came before goes on playing, even if the other one was in the room first.
        assert_eq!(follow.apply(vec![bob]), Change::default());
        let gone = Participant {
            state: ParticipantState::Disconnected.into(),
            ..ann
        };
        assert_eq!(
            follow.apply(vec![gone]),
            change(&["TR_m", "TR_a"], &["TR_b"])
        );
        assert!(follow.is_active());
    }

    #[test]
    fn a_named_publisher_is_played_whenever_it_is_there() {
        let mut follow = Follow::new(Some("ann".into()), BOTH, "PA_me".into());
        let bob = person("PA_b", "bob", 5, &[("TR_b", Camera)]);
        let ann = |id: &str, track: &str| person(id, "ann", 9, &[(track, Camera)]);
        assert_eq!(follow.apply(vec![bob]), Change::default());
        assert_eq!(
            follow.apply(vec![ann("PA_1", "TR_1")]),
            change(&[], &["TR_1"])
        );
        let silent = person("PA_1", "ann", 9, &[]);
        assert_eq!(follow.apply(vec![silent]), change(&["TR_1"], &[]));
        assert_eq!(
            follow.apply(vec![ann("PA_2", "TR_2")]),
            change(&[], &["TR_2"])
        );
    }

    #[test]
    fn the_camera_goes_before_the_screen_and_only_what_is_asked_for_is_taken() {
        let takes = Played {
            audio: false,
            ..BOTH
        };
        let mut follow = Follow::new(None, takes, String::new());
        let screen = [("TR_m", Microphone), ("TR_s", ScreenShare)];
        let all = [screen.as_slice(), &[("TR_c", Camera)]].concat();
        assert_eq!(
            follow.apply(vec![person("P", "a", 1, &screen)]),
            change(&[], &["TR_s"])
        );
        assert_eq!(
            follow.apply(vec![person("P", "a", 1, &all)]),
            change(&["TR_s"], &["TR_c"])
        );
    }
}
