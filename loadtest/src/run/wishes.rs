//! What a participant wants of others' tracks: which it subscribes to, and at which size.
//!
//! Owns the choice, from the scenario and the participant's seed. Must not touch engines beyond telling
//! them what was asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{Rng, seq::IteratorRandom};
use tokio::time::Instant;

use super::directory::Entry;
use super::participant::{Subscribed, Visit};
use super::world::ParticipantError;
use crate::engine::Command;
use crate::scenario::{LayerChanges, VideoLayer};
use crate::signal::{RemoteParticipant, Request, TrackKind};

impl Visit {
    /// Notes what others publish now, and asks for what the scenario wants of it.
    pub(super) async fn on_participants(
        &mut self,
        participants: &[RemoteParticipant],
        since_ns: u64,
    ) -> Result<(), ParticipantError> {
        let mut wanted = Vec::new();
        for participant in participants {
            if participant.identity == self.identity {
                continue;
            }
            let gone = participant.gone;
            self.drop_ended(&participant.id, |track| {
                gone || !participant
                    .tracks
                    .iter()
                    .any(|published| published.id == track)
            });
            if gone || !self.seat.subscribes {
                continue;
            }
            for track in &participant.tracks {
                if let Some(subscribed) = self.tracks.get_mut(&track.id) {
                    if std::mem::replace(&mut subscribed.is_muted, track.muted) != track.muted {
                        self.engine.handle(Command::Rest {
                            track: track.id.clone(),
                            is_resting: track.muted,
                        });
                    }
                    continue;
                }
                if !self.takes(track.kind) {
                    continue;
                }
                self.world.directory.add(&track.id, || Entry {
                    room: self.world.scenario.room_name(self.seat.room),
                    publisher: participant.identity.clone(),
                    name: track.name.clone(),
                    kind: track.kind,
                    mime: track.mime.clone(),
                });
                wanted.push((track.id.clone(), track.kind));
                self.engine.handle(Command::Subscribe {
                    track: track.id.clone(),
                });
                if track.muted {
                    self.engine.handle(Command::Rest {
                        track: track.id.clone(),
                        is_resting: true,
                    });
                }
                self.tracks.insert(
                    track.id.clone(),
                    Subscribed {
                        kind: track.kind,
                        publisher: participant.id.clone(),
                        is_muted: track.muted,
                        since_ns,
                        layer: None,
                    },
                );
            }
        }
        self.subscribe(wanted).await
    }

    fn drop_ended(&mut self, publisher: &str, ended: impl Fn(&str) -> bool) {
        let engine = &self.engine;
        self.tracks.retain(|track, subscribed| {
            let keep = subscribed.publisher != publisher || !ended(track);
            if !keep {
                engine.handle(Command::TrackEnded {
                    track: track.clone(),
                });
            }
            keep
        });
    }

    /// Whether one more track of this kind is to be subscribed to.
    fn takes(&self, kind: TrackKind) -> bool {
        let wanted = self.world.scenario.subscribe;
        match kind {
            TrackKind::Audio => wanted.audio,
            TrackKind::Video => wanted.video_tracks.is_none_or(|most| {
                let videos = self
                    .tracks
                    .values()
                    .filter(|track| track.kind == TrackKind::Video);
                videos.count() < most as usize
            }),
        }
    }

    async fn subscribe(
        &mut self,
        wanted: Vec<(String, TrackKind)>,
    ) -> Result<(), ParticipantError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let settings = self.world.scenario.subscribe;
        let videos: Vec<String> = wanted
            .iter()
            .filter(|(_, kind)| *kind == TrackKind::Video)
            .map(|(track, _)| track.clone())
            .collect();
        if !self.options.auto_subscribe {
            let tracks = wanted.into_iter().map(|(track, _)| track).collect();
            let request = Request::Subscription {
                tracks,
                subscribe: true,
            };
            self.sender.send(request).await?;
        }
        if settings.adaptive && !videos.is_empty() {
            let request = Request::TrackSetting {
                tracks: videos,
                width: settings.width,
                height: settings.height,
            };
            self.sender.send(request).await?;
        }
        Ok(())
    }

    /// When this participant asks for another layer next: at random, so that not all do at once.
    pub(super) fn next_layer_change(&mut self) -> Option<Instant> {
        let LayerChanges { per_minute } = self.world.scenario.layer_changes?;
        let several = self.layers().len() > 1;
        if !several || !self.seat.subscribes || per_minute <= 0.0 {
            return None;
        }
        let mean = 60.0 / per_minute;
        Some(Instant::now() + Duration::from_secs_f64(mean * self.random.random_range(0.5..1.5)))
    }

    fn layers(&self) -> &[VideoLayer] {
        self.world
            .scenario
            .video
            .as_ref()
            .map_or(&[], |video| &video.layers)
    }

    /// Asks for another layer of some video track.
    pub(super) async fn change_layer(&mut self) -> Result<(), ParticipantError> {
        let videos = self
            .tracks
            .iter()
            .filter(|(_, track)| track.kind == TrackKind::Video);
        // Sorted, so that the choice follows from the seed.
        let videos: BTreeSet<String> = videos.map(|(track, _)| track.clone()).collect();
        let Some(track) = videos.into_iter().choose(&mut self.random) else {
            return Ok(());
        };
        let highest = self.layers().len() - 1;
        let subscribed = self.tracks.get(&track).and_then(|track| track.layer);
        // Before the first change the highest is shown, unless the size says otherwise.
        let current = subscribed.unwrap_or_else(|| self.shown_layer());
        let others = (0..=highest).filter(|layer| *layer != current);
        let Some(layer) = others.choose(&mut self.random) else {
            return Ok(());
        };
        let (width, height) = (self.layers()[layer].width, self.layers()[layer].height);
        if let Some(subscribed) = self.tracks.get_mut(&track) {
            subscribed.layer = Some(layer);
        }
        let request = Request::TrackSetting {
            tracks: vec![track.clone()],
            width,
            height,
        };
        self.sender.send(request).await?;
        self.engine.handle(Command::LayerChange { track });
        Ok(())
    }

    /// The layer that fits what is shown: the smallest that covers it.
    fn shown_layer(&self) -> usize {
        let settings = self.world.scenario.subscribe;
        let layers = self.layers();
        let fitting = layers
            .iter()
            .position(|layer| layer.width >= settings.width && layer.height >= settings.height);
        fitting
            .filter(|_| settings.adaptive)
            .unwrap_or_else(|| layers.len().saturating_sub(1))
    }
}
