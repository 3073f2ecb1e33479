//! Tracks that a participant has asked for, and whether anything came of each in the measured window.
//!
//! Owns what meters cannot tell: a meter begins with the first packet of a stream, and of what never
//! comes there is none. Must not judge: whether there was anything to come, only publishers know.

use super::received::Received;
use crate::measure::TrackMeasure;

/// A subscription may take this long to begin, and a gap at its end may be this long, nanoseconds.
pub const PATIENCE_NS: u64 = 2_000_000_000;

/// One subscription in the measured window, as its participant saw it. All times in Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// Server's id of the track.
    pub track: String,
    /// Identity of who asked for it.
    pub viewer: String,
    /// Since when it could have come, also before the window.
    pub since_ns: u64,
    /// Where its part of the window begins.
    pub from_ns: u64,
    /// Where that ends.
    pub to_ns: u64,
    /// When the first and the last media packet came, also before the window.
    pub came: Option<(u64, u64)>,
    /// Whether a frame of it could be decoded (audio: a packet came), also before the window.
    pub has_frame: bool,
}

/// A time in which nothing came. All times in Unix nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// When it began, also before the window.
    pub since_ns: u64,
    /// Where its part of the window begins.
    pub from_ns: u64,
    /// Where it ends.
    pub to_ns: u64,
}

impl Waited {
    /// The times at its beginning and at its end in which nothing came, if they are longer than
    /// [`PATIENCE_NS`] from where they began. One that spans it all is told once.
    pub fn silences(&self) -> impl Iterator<Item = Silence> {
        let silence = |since_ns: u64, to_ns: u64| Silence {
            since_ns,
            from_ns: since_ns.max(self.from_ns),
            to_ns,
        };
        let both = match self.came.filter(|(_, last)| *last >= self.from_ns) {
            None => {
                let since_ns = self.came.map_or(self.since_ns, |(_, last)| last);
                [Some(silence(since_ns, self.to_ns)), None]
            }
            Some((first, last)) => [
                Some(silence(self.since_ns, first)),
                Some(silence(last, self.to_ns)),
            ],
        };
        both.into_iter().flatten().filter(|silence| {
            silence.to_ns > silence.from_ns
                && silence.to_ns.saturating_sub(silence.since_ns) > PATIENCE_NS
        })
    }

    /// Whether nothing came in the window.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.came.is_none_or(|(_, last)| last < self.from_ns)
    }

    /// Whether there is anything to say of it.
    fn is_odd(&self) -> bool {
        let has_waited = self.to_ns.saturating_sub(self.since_ns) > PATIENCE_NS;
        (!self.has_frame && has_waited) || self.silences().next().is_some()
    }
}

/// What one participant has asked for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    viewer: String,
    wishes: Vec<Wish>,
    /// Since when the transport is up.
    connected_ns: Option<u64>,
    /// The transport that was up is lost.
    is_cut_off: bool,
    /// Since when the measured window is open.
    window_ns: Option<u64>,
}

#[derive(Debug)]
struct Wish {
    track: String,
    since_ns: u64,
    /// Its publisher has muted it.
    is_resting: bool,
    came: Option<(u64, u64)>,
    has_frame: bool,
}

impl Wishes {
    pub(super) fn new(viewer: &str) -> Self {
        Self {
            viewer: viewer.to_owned(),
            ..Self::default()
        }
    }

    /// The transport is up: from now on something can come.
    pub(super) fn on_connected(&mut self, now_ns: u64) {
        self.connected_ns.get_or_insert(now_ns);
        self.is_cut_off = false;
    }

    /// The transport is lost: what does not come since is told where those are who came back.
    pub(super) fn on_cut_off(&mut self) {
        self.is_cut_off = true;
    }

    /// The measured window begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.window_ns = Some(now_ns);
    }

    /// A track is asked for.
    pub(super) fn on_subscribe(&mut self, now_ns: u64, track: &str) {
        self.wishes.retain(|wish| wish.track != track);
        self.wishes.push(Wish {
            track: track.to_owned(),
            since_ns: now_ns,
            is_resting: false,
            came: None,
            has_frame: false,
        });
    }

    /// A stream that carried `track` ends.
    pub(super) fn on_stream(&mut self, track: &str, measure: &TrackMeasure) {
        let came = measure.first_packet_ns.zip(measure.last_packet_ns);
        let Some(wish) = self.wishes.iter_mut().find(|wish| wish.track == track) else {
            return;
        };
        if let Some((first, last)) = came {
            wish.has_frame |= measure.first_frame_ns.is_some();
            let (from, to) = wish.came.unwrap_or((first, last));
            wish.came = Some((from.min(first), to.max(last)));
        }
    }

    /// A packet of `track` came that no meter reads.
    pub(super) fn on_unmeasured(&mut self, now_ns: u64, track: &str) {
        if let Some(wish) = self.wishes.iter_mut().find(|wish| wish.track == track) {
            wish.has_frame = true;
            wish.came = Some((wish.came.map_or(now_ns, |(first, _)| first), now_ns));
        }
    }

    /// The publisher of a track has muted it, or sends again.
    pub(super) fn on_rest(&mut self, now_ns: u64, track: &str, is_resting: bool) {
        let Some(wish) = self.wishes.iter_mut().find(|wish| wish.track == track) else {
            return;
        };
        if wish.is_resting && !is_resting {
            // What came before says nothing about what is to come.
            (wish.since_ns, wish.came) = (now_ns, None);
        }
        wish.is_resting = is_resting;
    }

    /// A track has ended: hands in what came of it. Its streams have ended before.
    pub(super) fn on_track_ended(&mut self, now_ns: u64, received: &Received, track: &str) {
        if let Some(at) = self.wishes.iter().position(|wish| wish.track == track) {
            let wish = self.wishes.swap_remove(at);
            self.hand_in(now_ns, received, wish);
        }
    }

    /// The measured window ends: hands in what came of all. Streams have ended before.
    pub(super) fn end(&mut self, now_ns: u64, received: &Received) {
        for wish in std::mem::take(&mut self.wishes) {
            self.hand_in(now_ns, received, wish);
        }
        self.window_ns = None;
    }

    fn hand_in(&self, now_ns: u64, received: &Received, wish: Wish) {
        // Who did not get in is counted where joins are.
        let (Some(window_ns), Some(connected_ns)) = (self.window_ns, self.connected_ns) else {
            return;
        };
        if wish.is_resting {
            return;
        }
        let since_ns = wish.since_ns.max(connected_ns);
        let from_ns = since_ns.max(window_ns);
        let until_ns = wish.came.filter(|_| self.is_cut_off);
        let waited = Waited {
            track: wish.track,
            viewer: self.viewer.clone(),
            since_ns,
            from_ns,
            to_ns: until_ns.map_or(now_ns, |(_, last)| last.max(from_ns)),
            came: wish.came,
            has_frame: wish.has_frame,
        };
        let is_odd = waited.is_odd();
        received.add_wish(waited, is_odd);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::Collector;

    const SECOND: u64 = 1_000_000_000;

    fn stream(first: u64, last: u64) -> TrackMeasure {
        TrackMeasure {
            first_packet_ns: Some(first * SECOND),
            last_packet_ns: Some(last * SECOND),
            first_frame_ns: Some(first * SECOND),
            ..TrackMeasure::default()
        }
    }

    /// What one says who is connected at 1 s and asks at `asked`, while the window is open from 10 to
    /// 30 s; silences in seconds.
    fn silences(asked: u64, streams: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let collector = Arc::new(Collector::default());
        let received = Received::new(Arc::clone(&collector));
        let mut wishes = Wishes::new("viewer");
        wishes.on_subscribe(asked * SECOND, "TR");
        wishes.on_connected(SECOND);
        wishes.begin(10 * SECOND);
        for (first, last) in streams {
            wishes.on_stream("TR", &stream(*first, *last));
        }
        wishes.end(30 * SECOND, &received);
        let tracks = collector.take_tracks();
        assert_eq!(tracks["TR"].subscriptions, 1, "the subscription counts");
        let waited = collector.take_waited();
        let silences = waited.iter().flat_map(Waited::silences);
        silences
            .map(|silence| (silence.from_ns / SECOND, silence.to_ns / SECOND))
            .collect()
    }

    #[test]
    fn what_never_comes_comes_late_or_stops_is_told() {
        type Case<'a> = (u64, &'a [(u64, u64)], &'a [(u64, u64)]);
        let cases: [Case<'_>; 9] = [
            // Asked for at, streams, silences.
            (0, &[(1, 30)], &[]),
            (0, &[], &[(10, 30)]),
            // It came, and had ended before the window.
            (0, &[(1, 9)], &[(10, 30)]),
            (0, &[(15, 30)], &[(10, 15)]),
            (0, &[(1, 20)], &[(20, 30)]),
            // Under another SSRC it went on.
            (0, &[(1, 20), (21, 30)], &[]),
            (0, &[(12, 13), (14, 15)], &[(10, 12), (15, 30)]),
            // A start takes a while.
            (20, &[(22, 30)], &[]),
            (29, &[], &[]),
        ];
        for (asked, streams, expected) in cases {
            assert_eq!(silences(asked, streams), expected, "{asked} {streams:?}");
        }
    }

    #[test]
    fn who_is_cut_off_waits_no_longer() {
        let collector = Arc::new(Collector::default());
        let received = Received::new(Arc::clone(&collector));
        let mut wishes = Wishes::new("viewer");
        wishes.on_connected(0);
        wishes.begin(0);
        wishes.on_subscribe(0, "TR");
        wishes.on_stream("TR", &stream(1, 10));
        wishes.on_cut_off();
        wishes.end(20 * SECOND, &received);
        assert!(collector.take_waited().is_empty());
    }

    #[test]
    fn what_no_meter_reads_has_come_all_the_same() {
        let collector = Arc::new(Collector::default());
        let received = Received::new(Arc::clone(&collector));
        let mut wishes = Wishes::new("viewer");
        wishes.on_connected(0);
        wishes.begin(0);
        wishes.on_subscribe(0, "TR");
        wishes.on_unmeasured(SECOND, "TR");
        wishes.on_unmeasured(9 * SECOND, "TR");
        wishes.end(10 * SECOND, &received);
        assert!(collector.take_waited().is_empty());
        assert_eq!(collector.take_tracks()["TR"].subscriptions, 1);
    }

    #[test]
    fn a_track_that_is_muted_or_not_connected_owes_nothing() {
        let collector = Arc::new(Collector::default());
        let received = Received::new(Arc::clone(&collector));
        let mut muted = Wishes::new("viewer");
        muted.on_connected(0);
        muted.begin(0);
        muted.on_subscribe(0, "TR");
        muted.on_rest(0, "TR", true);
        muted.end(30 * SECOND, &received);
        let mut outside = Wishes::new("outside");
        outside.begin(0);
        outside.on_subscribe(0, "TR");
        outside.end(30 * SECOND, &received);
        assert!(collector.take_waited().is_empty() && collector.take_tracks().is_empty());

        muted.begin(0);
        muted.on_subscribe(0, "TR");
        muted.on_rest(0, "TR", true);
        muted.on_rest(25 * SECOND, "TR", false);
        muted.on_track_ended(30 * SECOND, &received, "TR");
        let waited = collector.take_waited();
        let since = waited.iter().map(|waited| waited.since_ns / SECOND);
        assert_eq!(since.collect::<Vec<_>>(), [25]);
    }
}
