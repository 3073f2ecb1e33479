//! Who is speaking, by the audio levels publishers measure themselves (RFC 6464).
//!
//! Must not know participants: the shard keeps one [`SpeakerDetector`] for each microphone, and
//! knows whom the keys name.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

/// Listens to one microphone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpeakerDetector {
    window: Option<Window>,
    /// Share of full loudness, 0 to 1, smoothed; 0 while silent.
    level: f32,
    last_frame: Option<Instant>,
    /// Of a microphone on another shard: its level, as that shard says.
    reported: Option<f32>,
}

/// What is counted since `start`.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: Instant,
    frames: u32,
    active: u32,
    /// Sum of the active frames' linear levels.
    loudness: f32,
}

impl SpeakerDetector {
    /// Length of an observation.
    const WINDOW: Duration = Duration::from_millis(400);
    /// Frames quieter than this (dBov) are background.
    const THRESHOLD: i8 = -35;
    /// A publisher that hears a voice itself is believed a little below it.
    const VOICE_THRESHOLD: i8 = -40;
    /// Percent of a window's frames that are active while somebody speaks.
    const ACTIVE_PERCENT: u32 = 40;
    /// Weight of the window just ended; the rest is what was before.
    const SMOOTHING: f32 = 0.5;
    /// Below this a fading speaker has stopped.
    const AUDIBLE: f32 = 0.05;
    /// Silence after which what was heard counts no more (a muted or stalled publisher sends
    /// nothing).
    const SILENCE: Duration = Duration::from_millis(800);

    /// Takes the level of one packet: dBov from 0, the loudest, to -127, and whether the publisher
    /// heard a voice.
    pub(crate) fn observe(&mut self, level: i8, voice: bool, now: Instant) {
        self.close(now);
        self.last_frame = Some(now);
        let window = self.window.get_or_insert_with(|| Window::new(now));
        window.frames = window.frames.saturating_add(1);
        let threshold = if voice {
            Self::VOICE_THRESHOLD
        } else {
            Self::THRESHOLD
        };
        if level >= threshold {
            window.active = window.active.saturating_add(1);
            window.loudness += linear(level);
        }
    }

    /// Takes what the shard says on which the microphone is: 0 to 1.
    pub(crate) fn report(&mut self, level: f32) {
        self.reported = Some(level);
    }

    /// How loud this speaker is, 0 to 1; 0 when nobody speaks.
    pub(crate) fn level(&mut self, now: Instant) -> f32 {
        if let Some(reported) = self.reported {
            return reported;
        }
        self.close(now);
        let is_silent = self
            .last_frame
            .is_none_or(|last| now.saturating_duration_since(last) > Self::SILENCE);
        if is_silent {
            *self = Self::default();
        }
        self.level
    }

    /// Ends the window when it is full.
    fn close(&mut self, now: Instant) {
        let Some(window) = self.window else { return };
        if now.saturating_duration_since(window.start) < Self::WINDOW {
            return;
        }
        self.window = None;
        let speaks = window.active * 100 >= window.frames.max(1) * Self::ACTIVE_PERCENT;
        let heard = if speaks {
            window.loudness / window.frames.max(1) as f32
        } else {
            0.0
        };
        self.level += (heard - self.level) * Self::SMOOTHING;
        if self.level < Self::AUDIBLE {
            self.level = 0.0;
        }
    }
}

impl Window {
    fn new(start: Instant) -> Self {
        Self {
            start,
            frames: 0,
            active: 0,
            loudness: 0.0,
        }
    }
}

/// Loudness on a scale that looks even on a meter: a cautious -60 dBov is 0, full scale is 1.
fn linear(level: i8) -> f32 {
    (f32::from(level) / 60.0 + 1.0).clamp(0.0, 1.0)
}

/// Who speaks now, the loudest first, each with a level of 1 to [`LEVELS`]: coarse enough that a
/// report only differs when something happened. `heard` are loudnesses of 0 to 1. Of several microphones of one speaker the loudest
/// counts; equal levels keep the order given.
pub(crate) fn choose_speakers<K: Copy + PartialEq>(
    heard: impl IntoIterator<Item = (K, f32)>,
) -> Vec<(K, u8)> {
    let mut speakers: Vec<(K, u8)> = Vec::new();
    for (key, level) in heard {
        let level = step(level);
        match speakers.iter_mut().find(|(other, _)| *other == key) {
            Some((_, loudest)) => *loudest = level.max(*loudest),
            None => speakers.push((key, level)),
        }
    }
    speakers.retain(|&(_, level)| level > 0);
    speakers.sort_by_key(|&(_, level)| Reverse(level));
    speakers
}

/// The step of a loudness, 0 to [`LEVELS`].
fn step(level: f32) -> u8 {
    // Between 0 and `LEVELS`, so the cast is exact after the ceiling.
    (level.clamp(0.0, 1.0) * f32::from(LEVELS)).ceil() as u8
}

/// Steps of loudness.
pub(crate) const LEVELS: u8 = 8;

/// How often speakers are looked at: changes are told at most this often.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    /// Feeds a second of frames, of which `active` in ten are at `level` and the rest silent;
    /// returns the moment after.
    fn feed(
        detector: &mut SpeakerDetector,
        mut now: Instant,
        level: i8,
        voice: bool,
        active: u32,
    ) -> Instant {
        for frame in 0..50 {
            let level = if frame % 10 < active { level } else { -127 };
            detector.observe(level, voice, now);
            now += FRAME;
        }
        now
    }

    #[test]
    fn speech_is_told_from_background() {
        for (case, level, voice, active, speaks) in [
            ("loud and steady", -10, true, 10, true),
            ("with pauses", -20, true, 4, true),
            ("a few noises", -10, true, 3, false),
            ("background", -50, false, 10, false),
            ("just quiet, with a voice", -39, true, 10, true),
            ("just quiet, without one", -39, false, 10, false),
            ("silence", -127, false, 10, false),
        ] {
            let mut detector = SpeakerDetector::default();
            let now = feed(&mut detector, Instant::now(), level, voice, active);
            assert_eq!(detector.level(now) > 0.0, speaks, "{case}");
        }
    }

    #[test]
    fn speakers_fade_and_a_silent_publisher_is_none() {
        let mut detector = SpeakerDetector::default();
        let mut now = feed(&mut detector, Instant::now(), -10, true, 10);
        let loud = detector.level(now);
        assert!(loud > 0.5);
        assert!(detector.level(now + Duration::from_millis(700)) > 0.0);
        for _ in 0..5 {
            now = feed(&mut detector, now, -127, false, 10);
        }
        assert!(detector.level(now) <= 0.0, "faded");
        now = feed(&mut detector, now, -10, true, 10);
        assert!(detector.level(now) > 0.5);
        assert!(detector.level(now + Duration::from_secs(1)) <= 0.0, "muted");
    }

    #[test]
    fn the_loudest_come_first_and_ties_keep_their_order() {
        let now = Instant::now();
        let levels = [('a', -30), ('b', -5), ('c', -127), ('d', -5), ('a', -20)];
        let mut detectors = levels.map(|_| SpeakerDetector::default());
        let mut end = now;
        for (detector, (_, level)) in detectors.iter_mut().zip(levels) {
            end = feed(detector, now, level, false, 10);
        }
        let mut choose = |now| {
            let keys = levels.iter().map(|&(key, _)| key);
            choose_speakers(keys.zip(detectors.iter_mut().map(|d| d.level(now))))
        };
        let speakers = choose(end);
        let order: Vec<char> = speakers.iter().map(|&(key, _)| key).collect();
        assert_eq!(order, ['b', 'd', 'a']);
        assert!(
            speakers
                .iter()
                .all(|(_, level)| (1..=LEVELS).contains(level))
        );
        assert_eq!(choose(end + Duration::from_secs(2)), []);
    }

    #[test]
    fn levels_are_coarse() {
        for (level, expected) in [
            (-1.0, 0),
            (0.0, 0),
            (0.05, 1),
            (0.125, 1),
            (0.13, 2),
            (9.0, 8),
        ] {
            assert_eq!(step(level), expected, "{level}");
        }
    }
}
