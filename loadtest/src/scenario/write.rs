//! A scenario as TOML: what `super::read` reads back as the same scenario.
//!
//! Owns the order of keys. Every value that does anything is written, defaults too, so that a report stays
//! repeatable when a default changes. Explanations are in `super::keys`, not here.

use std::fmt::{Display, Write as _};

use super::{ByteSize, Scenario, Thresholds, VideoLayer, format_duration, section::Word as _};

impl Scenario {
    /// The whole scenario as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = Text::default();
        text.string("name", &self.name);
        text.string("description", &self.description);
        text.plain("rooms", self.rooms);
        text.plain("publishers", self.publishers);
        text.plain("subscribers", self.subscribers);
        text.plain("publishers_subscribe", self.publishers_subscribe);
        text.string("duration", format_duration(self.duration));
        text.string("warm_up", format_duration(self.warm_up));
        text.string("engine", self.engine.word());
        if let Some(room) = &self.room {
            text.string("room", room);
        } else {
            text.string("room_prefix", &self.room_prefix);
        }
        text.plain("seed", self.seed);
        text.plain("rejoin", self.rejoin);
        text.table("[join]");
        text.plain("rate", self.join.rate);
        text.string("timeout", format_duration(self.join.timeout));
        self.write_media(&mut text);
        text.table("[subscribe]");
        text.plain("audio", self.subscribe.audio);
        if let Some(tracks) = self.subscribe.video_tracks {
            text.plain("video_tracks", tracks);
        }
        text.plain("adaptive", self.subscribe.adaptive);
        if self.subscribe.adaptive {
            text.plain("width", self.subscribe.width);
            text.plain("height", self.subscribe.height);
        }
        self.write_changes(&mut text);
        self.thresholds.write(&mut text);
        text.0
    }

    fn write_media(&self, text: &mut Text) {
        if let Some(video) = &self.video {
            text.table("[video]");
            text.string("codec", video.codec.word());
            if let Some(publishers) = video.publishers {
                text.plain("publishers", publishers);
            }
            for layer in &video.layers {
                layer.write(text);
            }
        }
        if let Some(audio) = &self.audio {
            text.table("[audio]");
            text.string("bitrate", audio.bitrate);
            text.plain("talkers", audio.talkers);
            text.string("turn", format_duration(audio.turn));
        }
        if let Some(data) = &self.data {
            text.table("[data]");
            text.plain("rate", data.rate);
            text.string("size", ByteSize::from_bytes(data.size.into()));
            text.string("kinds", data.kinds.word());
        }
    }

    fn write_changes(&self, text: &mut Text) {
        if let Some(churn) = &self.churn {
            text.table("[churn]");
            text.plain("per_minute", churn.per_minute);
            text.string("stay", format_duration(churn.stay));
            text.string("who", churn.who.word());
        }
        if let Some(changes) = &self.layer_changes {
            text.table("[layer_changes]");
            text.plain("per_minute", changes.per_minute);
        }
        if let Some(network) = &self.network {
            text.table("[network]");
            text.string("loss", network.loss);
            text.string("delay", format_duration(network.delay));
            text.string("jitter", format_duration(network.jitter));
            if let Some(rate) = network.rate {
                text.string("rate", rate);
            }
            if network.rate.is_some() || network.squeeze.is_some() {
                text.string("queue", format_duration(network.queue));
            }
            text.string("who", network.who.word());
            if let Some(bursts) = network.bursts {
                text.table("[network.bursts]");
                text.string("every", format_duration(bursts.every));
                text.string("last", format_duration(bursts.last));
                text.string("loss", bursts.loss);
            }
            if let Some(squeeze) = network.squeeze {
                text.table("[network.squeeze]");
                text.string("rate", squeeze.rate);
                text.string("after", format_duration(squeeze.after));
                text.string("length", format_duration(squeeze.length));
            }
        }
    }
}

impl VideoLayer {
    fn write(&self, text: &mut Text) {
        text.table("[[video.layers]]");
        if !self.rid.is_empty() {
            text.string("rid", &self.rid);
        }
        text.plain("width", self.width);
        text.plain("height", self.height);
        text.plain("fps", self.fps);
        text.string("bitrate", self.bitrate);
        text.plain("temporal_layers", self.temporal_layers);
    }
}

impl Thresholds {
    fn write(&self, text: &mut Text) {
        let duration = |duration: Option<_>| duration.map(format_duration);
        let share = |share: Option<super::Share>| share.map(|share| share.to_string());
        let strings = [
            ("max_lost", share(self.max_lost)),
            ("max_unseen", share(self.max_unseen)),
            ("min_decodable_frames", share(self.min_decodable_frames)),
            ("max_latency_p99", duration(self.max_latency_p99)),
            ("max_data_lost", share(self.max_data_lost)),
            ("max_data_latency_p99", duration(self.max_data_latency_p99)),
            ("max_join_p95", duration(self.max_join_p95)),
            ("max_first_frame_p95", duration(self.max_first_frame_p95)),
            ("max_switch_p95", duration(self.max_switch_p95)),
            ("max_failed_joins", share(self.max_failed_joins)),
            ("max_cpu_per_packet", duration(self.max_cpu_per_packet)),
            ("max_rss", self.max_rss.map(|size| size.to_string())),
        ];
        text.table("[thresholds]");
        for (key, value) in strings {
            if let Some(value) = value {
                text.string(key, value);
            }
        }
        for (key, count) in [
            ("max_silent", self.max_silent),
            ("max_freezes", self.max_freezes),
        ] {
            if let Some(count) = count {
                text.plain(key, count);
            }
        }
    }
}

/// Lines so far. Writing to a string cannot fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn table(&mut self, header: &str) {
        let _ = writeln!(self.0, "\n{header}");
    }

    fn plain(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn string(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {}", toml::Value::String(value.to_string()));
    }
}
