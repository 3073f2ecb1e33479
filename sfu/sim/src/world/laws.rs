//! The laws of the whole: media that should flow does, and nothing is told out of order. Must not change
//! anything.

use std::time::Duration;

use sfu_core::DropReason;

use super::{ClientKey, World};
use crate::{LinkSettings, Violation, client::Source, media::SourceKind};

/// How often the laws are looked at.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// Longest time without a frame while all is well. A layer that is switched off at its source is missed
/// after 1.5 s, and its successor begins with a keyframe.
pub(super) const LIVENESS: Duration = Duration::from_millis(3_000);

/// The same on a link so bad that handshakes and keyframes need several attempts.
const LIVENESS_ON_BAD_LINKS: Duration = Duration::from_secs(15);
const BAD_LINK: f64 = 0.1;

/// A rate at which a keyframe takes long, in bits per second.
const NARROW: u64 = 1_000_000;

/// Whether a link is so bad; `bearable` is the share of single losses that is not.
fn is_bad(link: &LinkSettings, bearable: f64) -> bool {
    let is_narrow = link.rate.is_some_and(|(rate, _)| rate < NARROW);
    link.loss > bearable || link.bursts.is_some() || link.cross.is_some() || is_narrow
}

/// How long the node may say of a track that there is no room for it where there is ample room.
const UNJUSTIFIED: Duration = Duration::from_secs(10);

/// Whether a link surely has room for so many bits per second.
fn has_ample_room(link: &LinkSettings, wanted: u64) -> bool {
    let is_wide = link.rate.is_none_or(|(rate, _)| rate > wanted * 2 + NARROW);
    let is_calm = link.jitter <= Duration::from_millis(10) && link.reordering <= 0.001;
    is_wide && is_calm && link.loss <= 0.005 && link.bursts.is_none() && link.cross.is_none()
}

impl World {
    /// Looks at the laws of the whole.
    pub(super) fn judge(&mut self) {
        for index in 0..self.clients.len() {
            let clock = self.clock;
            let client = &mut self.clients[index];
            client.judge(&clock);
            let place = client.options.join.identity.clone();
            let is_waived = client.is_waived;
            let found = client.violations.drain(..).filter(|_| !is_waived);
            self.violations.extend(found.map(|what| Violation {
                at: clock.now,
                place: place.clone(),
                what,
            }));
        }
        self.judge_liveness();
        self.judge_pauses();
    }

    /// Lets media that should flow stay away for longer: where several things go wrong at once, one waits for another.
    pub fn bear(&mut self, gap: Duration) {
        self.liveness = gap;
    }

    /// Panics if a law was broken.
    pub(super) fn assert_lawful(&mut self) {
        self.judge();
        let found: Vec<_> = self
            .violations
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect();
        assert!(
            found.is_empty(),
            "seed {}: {} violations\n{}\n{}",
            self.seed,
            self.violations.len(),
            found.join("\n"),
            self.summary()
        );
    }

    /// Media that should flow does.
    fn judge_liveness(&mut self) {
        let mut stalled = Vec::new();
        for (index, subscriber) in self.clients.iter().enumerate() {
            let is_cut_off = subscriber.options.downlink.is_cut();
            if subscriber.closed().is_some() || is_cut_off || !subscriber.options.answers_offers {
                continue;
            }
            for (other, publisher) in self.clients.iter().enumerate() {
                let is_same_room = publisher.options.join.room == subscriber.options.join.room;
                if other == index || !is_same_room || publisher.closed().is_some() {
                    continue;
                }
                for source in &publisher.sources {
                    let Some(track) = &source.track_id else {
                        continue;
                    };
                    let (Some(flowing), Some(wanted)) =
                        (source.flowing_since, subscriber.wants_since(track))
                    else {
                        continue;
                    };
                    let frame = subscriber
                        .stream(source.id)
                        .and_then(|s| s.check.report.last_at);
                    // What was asked for on a link that was cut is asked for anew.
                    let restored = publisher.restored.max(subscriber.restored);
                    let since = flowing.max(wanted).max(frame.unwrap_or_default());
                    let since = since.max(restored);
                    let gap = self.clock.now.saturating_sub(since);
                    let links = [
                        publisher.options.uplink,
                        publisher.options.downlink,
                        subscriber.options.uplink,
                        subscriber.options.downlink,
                    ];
                    // A lost handshake is sent again after a second, then two, then four.
                    let has_begun = frame.is_some_and(|frame| frame > restored);
                    let bearable = if has_begun { BAD_LINK } else { 0.0 };
                    let is_bad = links.iter().any(|link| is_bad(link, bearable));
                    if gap
                        > (if is_bad {
                            LIVENESS_ON_BAD_LINKS
                        } else {
                            self.liveness
                        })
                    {
                        let kind = match source.kind {
                            SourceKind::Audio => "audio",
                            SourceKind::Video => "video",
                        };
                        let section = subscriber.section_of(track);
                        let off: Vec<_> = source.encoders.iter().map(|e| e.is_off).collect();
                        let what = format!(
                            "no {kind} of {track} for {gap:?}; section {section:?}, demand {:?}, \
                             off {off:?}, flowing {flowing:?}, wanted {wanted:?}, frame {frame:?}",
                            source.demand
                        );
                        stalled.push((ClientKey(index), what));
                    }
                }
            }
        }
        for (client, what) in stalled {
            let place = self.client(client).options.join.identity.clone();
            self.breach(&place, what);
        }
    }

    /// What a client would show, in bits per second with headers.
    fn wanted_by(&self, key: usize) -> u64 {
        let subscriber = &self.clients[key];
        let sources = self.clients.iter().flat_map(|publisher| &publisher.sources);
        let shown = sources.filter(|source| !source.is_gone && subscriber.would_show(source));
        shown.map(Source::bitrate).sum()
    }

    /// No track is paused for long that the link has room for.
    fn judge_pauses(&mut self) {
        let now = self.clock.now;
        for index in 0..self.clients.len() {
            let is_told = self.clients[index].pauses().next().is_some();
            let wanted = if is_told { self.wanted_by(index) } else { 0 };
            let client = &mut self.clients[index];
            let links = [client.options.downlink, client.options.uplink];
            let is_ample = is_told && links.iter().all(|link| has_ample_room(link, wanted));
            client.ample_since = match client.ample_since {
                since if is_ample => Some(since.unwrap_or(now).max(client.restored)),
                _ => None,
            };
            let Some(ample) = client.ample_since.filter(|_| client.closed().is_none()) else {
                continue;
            };
            let pauses = client.pauses();
            let long =
                pauses.filter(|(_, since)| now.saturating_sub(ample.max(*since)) > UNJUSTIFIED);
            let what: Vec<_> = long
                .map(|(track, since)| {
                    format!("{track} is paused since {since:?}, with room for {wanted} bit/s since {ample:?}")
                })
                .collect();
            let place = client.options.join.identity.clone();
            what.into_iter().for_each(|what| self.breach(&place, what));
        }
    }

    /// The counters of the shard in one line, drops by name.
    pub fn summary(&self) -> String {
        let stats = self.stats();
        let drops = DropReason::ALL
            .iter()
            .filter(|reason| stats.dropped(**reason) > 0);
        let drops: Vec<_> = drops
            .map(|reason| format!("{} {}", reason.label(), stats.dropped(*reason)))
            .collect();
        let sent: u64 = self.clients.iter().map(|client| client.media_sent).sum();
        let received: u64 = self
            .clients
            .iter()
            .map(|client| client.media_received)
            .sum();
        format!(
            "clients sent {sent}, node took {}, offered {}, forwarded {}, clients received {received}; \
             dropped: {}",
            stats.packets_received,
            stats.packets_offered,
            stats.packets_forwarded,
            drops.join(", ")
        )
    }

    pub(super) fn breach(&mut self, place: &str, what: String) {
        self.violations.push(Violation {
            at: self.clock.now,
            place: place.to_owned(),
            what,
        });
    }
}

#[cfg(test)]
mod tests {
    use plenum_proto::node::{SessionEvent, StreamState, StreamStates, session_event::Kind};

    use super::*;
    use crate::seconds;

    #[test]
    #[should_panic(expected = "is paused since")]
    fn a_pause_without_reason_breaks_a_law() {
        let mut world = World::new(1);
        let ann = world.enter("room", "ann");
        let bob = world.enter("room", "bob");
        let camera = world.publish_video(ann);
        world.wait_for(bob, camera, seconds(5));
        let track_id = world.track_of(ann, camera);
        let states = vec![StreamState {
            track_id: track_id.clone(),
            paused: true,
            ..StreamState::default()
        }];
        let kind = Some(Kind::StreamStates(StreamStates { states }));
        let clock = world.clock;
        world.clients[bob.0].handle_event(&clock, SessionEvent { kind });
        world.run_for(seconds(9));
        assert_eq!(world.paused(bob, &track_id), seconds(9));
        world.run_for(seconds(2));
    }
}
