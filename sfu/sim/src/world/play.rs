//! What a test may do to the world beyond letting time pass: everyday actions of clients.

use std::time::Duration;

use plenum_proto::{
    node::{Leave, Subscribe, TrackSettings, session_request::Kind},
    v1::VideoQuality,
};
use sfu_core::Command;

use super::{ClientKey, World};
use crate::{
    ClientOptions, SourceId, SourceKind, VideoSettings, client::Change, millis, network::Cargo,
    seconds,
};

impl World {
    /// A participant with all rights joins, and is let in.
    pub fn enter(&mut self, room: &str, identity: &str) -> ClientKey {
        self.enter_as(ClientOptions::new(room, identity))
    }

    /// The same with other settings.
    pub fn enter_as(&mut self, options: ClientOptions) -> ClientKey {
        let key = self.join(options);
        let is_in = self.run_until(seconds(5), |world| {
            world.client(key).joined().is_some() || world.closed(key).is_some()
        });
        assert!(is_in, "the join was not answered");
        key
    }

    /// A microphone with a voice is published.
    pub fn publish_audio(&mut self, key: ClientKey) -> SourceId {
        let id = self.new_source();
        let (clock, client) = (self.clock, &mut self.clients[key.0]);
        client.publish(&clock, id, SourceKind::Audio, VideoSettings::default());
        self.set_level(key, id, (-15, true));
        id
    }

    /// A camera in three encodings is published.
    pub fn publish_video(&mut self, key: ClientKey) -> SourceId {
        self.publish_video_as(key, VideoSettings::default())
    }

    /// The same with other settings.
    pub fn publish_video_as(&mut self, key: ClientKey, settings: VideoSettings) -> SourceId {
        let id = self.new_source();
        let (clock, client) = (self.clock, &mut self.clients[key.0]);
        client.publish(&clock, id, SourceKind::Video, settings);
        id
    }

    /// Waits until the node knows the track of a source; returns its id.
    pub fn track_of(&mut self, key: ClientKey, source: SourceId) -> String {
        let is_known = self.run_until(seconds(5), |world| {
            world.client(key).track_id(source).is_some()
        });
        assert!(is_known, "the track was not announced");
        self.client(key)
            .track_id(source)
            .unwrap_or_default()
            .to_owned()
    }

    /// Opens the connection that carries data, and waits for its channels.
    pub fn open_data(&mut self, key: ClientKey) {
        let clock = self.clock;
        let client = &mut self.clients[key.0];
        client.ensure_publisher(&clock);
        client.request_offer();
        let is_open = self.run_until(seconds(10), |world| world.client(key).can_send_data());
        assert!(is_open, "the data channels did not open");
    }

    /// Sets how loud a microphone is (dBov), and whether there is a voice.
    pub fn set_level(&mut self, key: ClientKey, source: SourceId, level: (i8, bool)) {
        let sources = &mut self.clients[key.0].sources;
        if let Some(source) = sources.iter_mut().find(|known| known.id == source) {
            source.level = level;
        }
    }

    /// Mutes or unmutes. With `goes_on_sending` the client sends what it says is muted.
    pub fn mute(&mut self, key: ClientKey, source: SourceId, muted: bool, goes_on_sending: bool) {
        self.clients[key.0].mute(source, muted, goes_on_sending);
    }

    /// A source ends.
    pub fn unpublish(&mut self, key: ClientKey, source: SourceId) {
        self.clients[key.0].unpublish(source);
    }

    /// Subscribes or unsubscribes by name.
    pub fn subscribe(&mut self, key: ClientKey, track: &str, subscribe: bool) {
        let track_ids = vec![track.to_owned()];
        let request = Subscribe {
            track_ids,
            subscribe,
            ..Subscribe::default()
        };
        let (now, client) = (self.clock.now, &mut self.clients[key.0]);
        client.note_wish(now, track, Change::Subscribe(subscribe));
        client.request(Kind::Subscribe(request));
    }

    /// How long the node said of a track that a client wanted that its link has no room for it.
    pub fn paused(&self, key: ClientKey, track: &str) -> Duration {
        self.client(key).paused(self.now(), track)
    }

    /// Nobody is expected to get this track from now on.
    pub fn waive(&mut self, track: &str) {
        let now = self.clock.now;
        for client in &mut self.clients {
            client.note_wish(now, track, Change::Waive);
        }
    }

    /// A client is expected to get nothing from now on: it is about to do itself harm.
    pub fn waive_client(&mut self, key: ClientKey) {
        let client = &mut self.clients[key.0];
        client.options.answers_offers = false;
        client.is_waived = true;
        for source in &mut client.sources {
            (source.is_still, source.flowing_since) = (true, None);
        }
    }

    /// Data that is no envelope is expected from now on.
    pub fn waive_data(&mut self) {
        self.clients
            .iter_mut()
            .for_each(|client| client.takes_any_data = true);
    }

    /// The addresses of a client: of what it publishes, and of what it subscribes to.
    pub fn addresses(&self, key: ClientKey) -> [std::net::SocketAddr; 2] {
        self.client(key).addresses()
    }

    /// Asks for a step of the ladder.
    pub fn ask_quality(&mut self, key: ClientKey, track: &str, quality: VideoQuality) {
        self.settings(key, track, |settings| settings.quality = quality.into());
    }

    /// Tells how a track is shown.
    pub fn settings(
        &mut self,
        key: ClientKey,
        track: &str,
        change: impl FnOnce(&mut TrackSettings),
    ) {
        let mut settings = TrackSettings {
            track_ids: vec![track.to_owned()],
            quality: VideoQuality::High.into(),
            ..TrackSettings::default()
        };
        change(&mut settings);
        let (now, client) = (self.clock.now, &mut self.clients[key.0]);
        let is_shown = !settings.disabled && settings.quality() != VideoQuality::Off;
        client.note_wish(now, track, Change::Show(is_shown));
        client.request(Kind::TrackSettings(settings));
    }

    /// A client leaves by its own will.
    pub fn leave(&mut self, key: ClientKey) {
        let client = &mut self.clients[key.0];
        client.request(Kind::Leave(Leave::default()));
        for source in &mut client.sources {
            source.is_still = true;
            source.flowing_since = None;
        }
    }

    /// The control connection of a client breaks; its media goes on.
    pub fn lose_control(&mut self, key: ClientKey) {
        let (control, delay) = (
            self.client(key).control,
            self.client(key).options.uplink.delay,
        );
        self.by_control.remove(&control);
        let shard = self.client(key).options.shard;
        let command = Command::ControlLost { control };
        self.network
            .deliver_at(self.clock.now + delay, Cargo::Command { shard, command });
    }

    /// A client whose control connection is lost takes its stay up again.
    pub fn resume(&mut self, key: ClientKey) {
        let control = self.open_control(key);
        let client = &mut self.clients[key.0];
        self.by_control.remove(&client.control);
        client.control = control;
        let join = Box::new(client.resume_message());
        let at = self.clock.now + client.options.uplink.delay;
        let shard = client.options.shard;
        let home = self.home_of(shard);
        let command = Command::Join {
            control,
            join,
            home,
        };
        self.network
            .deliver_at(at, Cargo::Command { shard, command });
    }

    /// Restarts ICE of what a client publishes.
    pub fn restart_publisher(&mut self, key: ClientKey) {
        self.clients[key.0].restart_publisher();
    }

    /// A source ceases to make one of its encodings, whatever is asked of it, or makes it again.
    pub fn stop_encoding(
        &mut self,
        key: ClientKey,
        source: SourceId,
        encoding: usize,
        is_stopped: bool,
    ) {
        let mut sources = self.clients[key.0].sources.iter_mut();
        let source = sources.find(|known| known.id == source);
        let encoder = &mut source.expect("a source of this client").encoders[encoding];
        encoder.wants_key |= encoder.is_stopped && !is_stopped;
        encoder.is_stopped = is_stopped;
    }

    /// Keyframe requests that came to a source.
    pub fn keyframe_requests(&self, key: ClientKey, source: SourceId) -> u64 {
        let sources = &self.client(key).sources;
        sources
            .iter()
            .find(|s| s.id == source)
            .map_or(0, |source| source.keyframe_requests)
    }

    /// Which steps of the ladder the node last asked of a source; empty before it asked.
    pub fn demand(&self, key: ClientKey, source: SourceId) -> Vec<(VideoQuality, bool)> {
        self.demand_of(key, source, false)
    }

    /// The same of the camera in its other codec; empty before it is sent.
    pub fn demand_for_backup(&self, key: ClientKey, source: SourceId) -> Vec<(VideoQuality, bool)> {
        self.demand_of(key, source, true)
    }

    fn demand_of(
        &self,
        key: ClientKey,
        source: SourceId,
        is_backup: bool,
    ) -> Vec<(VideoQuality, bool)> {
        let mut sources = self.client(key).sources.iter();
        sources
            .find(|s| s.id == source && s.is_backup == is_backup)
            .map(|s| s.demand.clone())
            .unwrap_or_default()
    }

    /// Waits until a source is seen or heard by a client; returns how long that took.
    pub fn wait_for(&mut self, key: ClientKey, source: SourceId, limit: Duration) -> Duration {
        let (start, frames) = (self.now(), self.client(key).report(source).frames);
        let came = self.run_until(limit, |world| {
            world.client(key).report(source).frames > frames
        });
        assert!(came, "nothing of source {source:?} came within {limit:?}");
        self.now() - start
    }

    /// Frames that come to a client of a source in the next second.
    pub fn frames_per_second(&mut self, key: ClientKey, source: SourceId) -> u64 {
        let before = self.client(key).report(source).frames;
        self.run_for(millis(1_000));
        self.client(key)
            .report(source)
            .frames
            .saturating_sub(before)
    }
}
