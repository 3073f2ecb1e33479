//! Which subscriptions got nothing though there was something to get, and what they should have had.
//!
//! Owns that judgement, from what viewers say they waited for and what publishers say they sent. Must
//! not measure.
//!
//! Video owes as long as it is published. A server may leave out microphones that are not among the
//! loudest, so audio owes while its publisher talks; one that hardly talked, or is not ours, while
//! others heard it.

use std::collections::HashMap;

use super::directory::{Directory, Sent};
use crate::engine::{PATIENCE_NS, Silence, TrackTotals, Waited};
use crate::media::AudioSource;
use crate::report::model::SilentSubscription;
use crate::scenario::Scenario;
use crate::signal::TrackKind;

/// Payload of a video packet on average, bytes: only where nobody got a track, to tell what was missed.
const VIDEO_PAYLOAD: f64 = 1_100.0;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Silences {
    /// Each subscription that got nothing for a while.
    pub(super) list: Vec<SilentSubscription>,
    /// How many of each track, by the server's id of it.
    pub(super) by_track: HashMap<String, u32>,
    /// How long they waited for a first video frame that never came, by the server's id of the track.
    pub(super) frameless_ms: HashMap<String, Vec<f64>>,
}

/// Packets and frames per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rate {
    packets: f64,
    frames: f64,
}

/// Finds the silent ones, and adds what they should have had to what their tracks expected and lost.
pub(super) fn judge(
    waited: &[Waited],
    tracks: &mut HashMap<String, TrackTotals>,
    directory: &Directory,
    scenario: &Scenario,
    started_ns: u64,
) -> Silences {
    let window_ns = (
        waited.iter().map(|of| of.from_ns).min().unwrap_or(0),
        waited.iter().map(|of| of.to_ns).max().unwrap_or(0),
    );
    // Before anything is added to the totals that they come from.
    let rates: HashMap<String, Rate> = tracks
        .iter()
        .map(|(id, totals)| (id.clone(), rate(id, totals, directory, scenario)))
        .collect();
    let mut found = Silences::default();
    for waited in waited {
        let (Some(entry), Some(totals)) =
            (directory.find(&waited.track), tracks.get_mut(&waited.track))
        else {
            continue;
        };
        let sent = directory.sent(&waited.track);
        // Nobody else publishes in rooms of ours: left over from a run before, which the server has not missed yet.
        if sent.is_none() && scenario.room.is_none() {
            continue;
        }
        let heard_ns = totals
            .measure
            .first_packet_ns
            .zip(totals.measure.last_packet_ns);
        let mut owed_ns = 0;
        let mut from_ns = waited.to_ns;
        for silence in waited.silences() {
            let owed = owed(entry.kind, &silence, sent.as_ref(), heard_ns, window_ns);
            if owed > 0 {
                from_ns = from_ns.min(silence.from_ns);
            }
            owed_ns += owed;
        }
        if entry.kind == TrackKind::Video && !waited.has_frame {
            let (since_ns, to_ns) = lifetime(sent.as_ref(), waited.since_ns, waited.to_ns);
            if to_ns - since_ns > PATIENCE_NS {
                let waits = found.frameless_ms.entry(waited.track.clone()).or_default();
                waits.push((to_ns - since_ns) as f64 / 1e6);
            }
        }
        if owed_ns == 0 {
            continue;
        }
        let rate = rates.get(&waited.track).copied().unwrap_or_default();
        miss(totals, rate, owed_ns, waited);
        *found.by_track.entry(waited.track.clone()).or_default() += 1;
        found.list.push(SilentSubscription {
            room: entry.room,
            viewer: waited.viewer.clone(),
            publisher: entry.publisher,
            track: entry.name,
            kind: match entry.kind {
                TrackKind::Audio => "audio".to_owned(),
                TrackKind::Video => "video".to_owned(),
            },
            from_s: from_ns.saturating_sub(started_ns) as f64 / 1e9,
            seconds: owed_ns as f64 / 1e9,
            whole: waited.is_silent(),
        });
    }
    found.list.sort_by(|a, b| {
        (&a.room, &a.publisher, &a.kind, &a.viewer).cmp(&(
            &b.room,
            &b.publisher,
            &b.kind,
            &b.viewer,
        ))
    });
    found
}

/// How much of a silence there was something to get, nanoseconds; nothing for as long as a start takes.
fn owed(
    kind: TrackKind,
    silence: &Silence,
    sent: Option<&Sent>,
    heard_ns: Option<(u64, u64)>,
    (window_from_ns, window_to_ns): (u64, u64),
) -> u64 {
    let Silence {
        since_ns,
        from_ns,
        to_ns,
    } = *silence;
    let talk = sent.filter(|sent| {
        kind == TrackKind::Audio && sent.talked_ns(window_from_ns, window_to_ns) > PATIENCE_NS
    });
    let (all, in_window) = match (kind, talk) {
        (TrackKind::Video, _) => {
            let (begin, end) = lifetime(sent, since_ns, to_ns);
            (end - begin, end.saturating_sub(begin.max(from_ns)))
        }
        (TrackKind::Audio, Some(sent)) => (
            sent.talked_ns(since_ns, to_ns),
            sent.talked_ns(from_ns, to_ns),
        ),
        (TrackKind::Audio, None) => {
            let Some((first, last)) = heard_ns else {
                return 0;
            };
            let until = last.min(to_ns);
            (
                until.saturating_sub(first.max(since_ns)),
                until.saturating_sub(first.max(from_ns)),
            )
        }
    };
    if all > PATIENCE_NS { in_window } else { 0 }
}

/// The part of a time in which a track was sent; all of it where only others know.
fn lifetime(sent: Option<&Sent>, from_ns: u64, to_ns: u64) -> (u64, u64) {
    sent.map_or((from_ns, to_ns), |sent| sent.within(from_ns, to_ns))
}

/// What one subscription of a track gets: as those who got it, else as the scenario has it sent.
fn rate(id: &str, totals: &TrackTotals, directory: &Directory, scenario: &Scenario) -> Rate {
    let measure = &totals.measure;
    let seconds = measure.window_ns as f64 / 1e9;
    if measure.packets_expected > 0 && seconds > 0.0 {
        return Rate {
            packets: measure.packets_expected as f64 / seconds,
            frames: measure.frames_expected as f64 / seconds,
        };
    }
    let is_ours = directory.sent(id).is_some();
    let kind = directory.find(id).map(|entry| entry.kind);
    match kind.filter(|_| is_ours) {
        Some(TrackKind::Audio) => Rate {
            packets: 1.0 / AudioSource::INTERVAL.as_secs_f64(),
            frames: 0.0,
        },
        // Of simulcast the least: it takes nothing to forward that.
        Some(TrackKind::Video) => {
            let layer = scenario
                .video
                .as_ref()
                .and_then(|video| video.layers.first());
            layer.map_or_else(Rate::default, |layer| {
                let frames = f64::from(layer.fps);
                let bytes = layer.bitrate.bps() as f64 / 8.0 / frames;
                Rate {
                    packets: frames * (bytes / VIDEO_PAYLOAD).ceil(),
                    frames,
                }
            })
        }
        None => Rate::default(),
    }
}

/// Adds what a subscription missed in `owed_ns`.
fn miss(totals: &mut TrackTotals, rate: Rate, owed_ns: u64, waited: &Waited) {
    let seconds = owed_ns as f64 / 1e9;
    let packets = (rate.packets * seconds).round() as u64;
    let measure = &mut totals.measure;
    measure.packets_expected += packets;
    measure.packets_lost += packets;
    measure.frames_expected += (rate.frames * seconds).round() as u64;
    measure.longest_gap_ns = measure.longest_gap_ns.max(owed_ns);
    let stay_ns = waited.to_ns.saturating_sub(waited.from_ns).max(1);
    let share = if waited.is_silent() {
        1.0
    } else {
        owed_ns as f64 / stay_ns as f64
    };
    totals.worst_lost_ratio = Some(totals.worst_lost_ratio.unwrap_or(0.0).max(share));
}

#[cfg(test)]
mod tests {
    use super::super::directory::Entry;
    use super::*;
    use crate::engine::Collector;
    use crate::measure::TrackMeasure;
    use crate::media::Codec;

    const SECOND: u64 = 1_000_000_000;

    fn entry(kind: TrackKind) -> Entry {
        Entry {
            room: "loadtest-0".to_owned(),
            publisher: "publisher-0".to_owned(),
            name: "track".to_owned(),
            kind,
            mime: String::new(),
        }
    }

    /// A viewer who asks at 0 s of a window from 10 to 30 s.
    fn waited(track: &str, viewer: &str, came: Option<(u64, u64)>) -> Waited {
        Waited {
            track: track.to_owned(),
            viewer: viewer.to_owned(),
            since_ns: 0,
            from_ns: 10 * SECOND,
            to_ns: 30 * SECOND,
            came: came.map(|(first, last)| (first * SECOND, last * SECOND)),
            has_frame: came.is_some(),
        }
    }

    /// What somebody got who got all of it.
    fn heard(packets: u64, frames: u64) -> TrackMeasure {
        TrackMeasure {
            window_ns: 20 * SECOND,
            packets_expected: packets,
            packets_received: packets,
            frames_expected: frames,
            frames_decodable: frames,
            first_packet_ns: Some(SECOND),
            last_packet_ns: Some(30 * SECOND),
            ..TrackMeasure::default()
        }
    }

    fn found(
        directory: &Directory,
        codec: Codec,
        heard: Option<&TrackMeasure>,
        all: &[Waited],
    ) -> (Silences, TrackTotals) {
        let collector = Collector::default();
        if let Some(measure) = heard {
            collector.add_subscription("TR", codec, measure);
        }
        for waited in all {
            collector.add_wish(waited.clone(), true);
        }
        let mut tracks = collector.take_tracks();
        let scenario = Scenario::load("webinar", &[]).expect("built in");
        let waited = collector.take_waited();
        let found = judge(&waited, &mut tracks, directory, &scenario, SECOND);
        (found, tracks.remove("TR").expect("the track"))
    }

    #[test]
    fn a_viewer_who_gets_no_video_lost_what_others_got() {
        let directory = Directory::default();
        directory.add("TR", || entry(TrackKind::Video));
        directory.on_sent("TR", 0);
        let both = [waited("TR", "b", None), waited("TR", "a", Some((1, 24)))];
        let (found, totals) = found(&directory, Codec::Vp8, Some(&heard(3_000, 600)), &both);
        let told: Vec<_> = found
            .list
            .iter()
            .map(|of| (of.viewer.as_str(), of.from_s, of.seconds, of.whole))
            .collect();
        assert_eq!(told, [("a", 23.0, 6.0, false), ("b", 9.0, 20.0, true)]);
        assert_eq!(found.by_track["TR"], 2);
        assert_eq!(found.frameless_ms["TR"], [30_000.0]);
        let measure = &totals.measure;
        assert_eq!(
            (measure.packets_expected, measure.packets_lost),
            (3_000 + 3_900, 3_900)
        );
        assert_eq!(
            (measure.frames_expected, measure.frames_decodable),
            (600 + 780, 600)
        );
        assert_eq!(totals.worst_lost_ratio, Some(1.0));
        assert_eq!(measure.longest_gap_ns, 20 * SECOND);
    }

    #[test]
    fn what_nobody_gets_is_reckoned_from_the_scenario() {
        let directory = Directory::default();
        directory.add("TR", || entry(TrackKind::Video));
        directory.on_sent("TR", 0);
        let (found, totals) = found(&directory, Codec::Vp8, None, &[waited("TR", "a", None)]);
        assert_eq!(found.list.len(), 1);
        // 30 frames of 6,250 bytes a second for 20 s.
        assert_eq!(
            (totals.measure.packets_lost, totals.measure.frames_expected),
            (30 * 6 * 20, 30 * 20)
        );
    }

    #[test]
    fn nothing_is_owed_before_it_is_published_and_after_it_ended() {
        for (from, to, seconds) in [
            (0, 30, 20.0),
            (29, 30, 0.0),
            (0, 5, 0.0),
            (25, 28, 3.0),
            (8, 11, 1.0),
        ] {
            let directory = Directory::default();
            directory.add("TR", || entry(TrackKind::Video));
            directory.on_sent("TR", from * SECOND);
            directory.on_stopped("TR", to * SECOND);
            let (found, _) = found(&directory, Codec::Vp8, None, &[waited("TR", "a", None)]);
            let told: f64 = found.list.iter().map(|of| of.seconds).sum();
            assert!((told - seconds).abs() < 1e-9, "{from} {to}: {told}");
        }
    }

    #[test]
    fn what_a_run_before_left_in_the_room_owes_nothing() {
        let directory = Directory::default();
        directory.add("TR", || entry(TrackKind::Video));
        let (found, totals) = found(&directory, Codec::Vp8, None, &[waited("TR", "a", None)]);
        assert!(found.list.is_empty() && found.frameless_ms.is_empty());
        assert_eq!(totals.measure.packets_lost, 0);
    }

    #[test]
    fn audio_is_owed_while_its_publisher_talks_or_others_hear_it() {
        let talks: [&[(u64, bool)]; 3] = [
            &[],
            &[(12, true), (18, false)],
            // Less than what could be missed for other reasons.
            &[(12, true), (13, false)],
        ];
        for (talk, is_heard, seconds) in [
            (talks[0], false, 0.0),
            (talks[0], true, 20.0),
            (talks[1], false, 6.0),
            (talks[1], true, 6.0),
            (talks[2], false, 0.0),
            (talks[2], true, 20.0),
        ] {
            let directory = Directory::default();
            directory.add("TR", || entry(TrackKind::Audio));
            directory.on_sent("TR", 0);
            for (at, talks) in talk {
                directory.on_talk("TR", at * SECOND, *talks);
            }
            let measure = heard(1_000, 0);
            let all = [waited("TR", "a", None)];
            let (found, totals) =
                found(&directory, Codec::Opus, is_heard.then_some(&measure), &all);
            let told: f64 = found.list.iter().map(|of| of.seconds).sum();
            assert!((told - seconds).abs() < 1e-9, "{talk:?} {is_heard}: {told}");
            assert_eq!(totals.measure.packets_lost, (seconds * 50.0) as u64);
        }
    }
}
