//! From the tree of what was given to a [`Scenario`]: every key, its default and its bounds.
//!
//! Owns those. What single values cannot show is `super::check`'s. Each key is described in
//! `super::keys`; a test compares the two.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{
    check, mistake::Mistakes, model::*, section::Section, section::Word, source::Entry, units::*,
};
use crate::media::Codec;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// Most participants of one kind in a room, and most rooms.
const MOST: u32 = 10_000;
/// Most layers of simulcast: what browsers send.
const MOST_LAYERS: usize = 3;
/// What a pretended link carries.
const LINKS: RangeInclusive<Bitrate> =
    Bitrate::from_bps(10_000)..=Bitrate::from_bps(10_000_000_000);

impl Word for EngineKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("str0m", Self::Str0m), ("webrtc", Self::Webrtc)];
}

impl Word for Who {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("subscribers", Self::Subscribers),
        ("publishers", Self::Publishers),
        ("all", Self::All),
    ];
}

impl Word for DataKinds {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("reliable", Self::Reliable),
        ("lossy", Self::Lossy),
        ("both", Self::Both),
    ];
}

impl Word for Codec {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("vp8", Self::Vp8),
        ("vp9", Self::Vp9),
        ("h264", Self::H264),
        ("av1", Self::Av1),
    ];
}

/// Reads everything and notes every mistake. With mistakes the value is of no use.
pub(super) fn scenario(root: &Entry, name: &str, mistakes: &Mistakes) -> Scenario {
    let mut section = Section::root(root, mistakes);
    let scenario = Scenario {
        name: section.value("name", name.to_owned()),
        description: section.value("description", String::new()),
        rooms: section.value_in("rooms", 1, 1..=MOST),
        publishers: section.value_in("publishers", 0, 0..=MOST),
        subscribers: section.value_in("subscribers", 0, 0..=MOST),
        publishers_subscribe: section.value("publishers_subscribe", true),
        duration: section.value_in("duration", 30 * SECOND, SECOND..=24 * HOUR),
        warm_up: section.value_in("warm_up", 5 * SECOND, Duration::ZERO..=HOUR),
        engine: section.value("engine", EngineKind::Str0m),
        room: section.optional("room"),
        room_prefix: section.value("room_prefix", "loadtest".to_owned()),
        seed: section.value("seed", 1),
        rejoin: section.value("rejoin", false),
        join: join(section.table_or_empty("join")),
        video: section.table("video").map(video),
        audio: section.table("audio").map(audio),
        data: section.table("data").map(data),
        subscribe: subscribe(section.table_or_empty("subscribe")),
        churn: section.table("churn").map(churn),
        layer_changes: section.table("layer_changes").map(layer_changes),
        network: section.table("network").map(network),
        thresholds: thresholds(section.table_or_empty("thresholds")),
    };
    // Values that could not be read would only make more of the same mistakes.
    if mistakes.is_empty() {
        check::check(&scenario, &section);
    }
    section.finish();
    scenario
}

fn join(mut section: Section<'_>) -> Join {
    let join = Join {
        rate: section.value_in("rate", 20.0, 0.01..=10_000.0),
        timeout: section.value_in("timeout", 15 * SECOND, SECOND..=10 * MINUTE),
    };
    section.finish();
    join
}

fn video(mut section: Section<'_>) -> Video {
    let video = Video {
        codec: section.value("codec", Codec::Vp8),
        publishers: section.optional_in("publishers", 0..=MOST),
        layers: section.tables("layers").into_iter().map(layer).collect(),
    };
    if video.layers.len() > MOST_LAYERS {
        section.mistake(
            "layers",
            format!(
                "has {} tables; there can be {MOST_LAYERS}",
                video.layers.len()
            ),
        );
    }
    section.finish();
    video
}

fn layer(mut section: Section<'_>) -> VideoLayer {
    let layer = VideoLayer {
        rid: section.value("rid", String::new()),
        width: section.required_in("width", 16..=7_680),
        height: section.required_in("height", 16..=4_320),
        fps: section.value_in("fps", 30, 1..=120),
        bitrate: section.required_in(
            "bitrate",
            Bitrate::from_bps(10_000)..=Bitrate::from_bps(50_000_000),
        ),
        temporal_layers: section.value_in("temporal_layers", 1, 1..=3),
    };
    if layer.rid.len() > 8 || !layer.rid.chars().all(|c| c.is_ascii_alphanumeric()) {
        section.mistake("rid", "must be at most 8 letters and digits".to_owned());
    }
    section.finish();
    layer
}

fn audio(mut section: Section<'_>) -> Audio {
    let audio = Audio {
        bitrate: section.value_in(
            "bitrate",
            Bitrate::from_bps(32_000),
            Bitrate::from_bps(6_000)..=Bitrate::from_bps(510_000),
        ),
        talkers: section.value_in("talkers", 1, 0..=MOST),
        turn: section.value_in("turn", 3 * SECOND, Duration::from_millis(100)..=HOUR),
    };
    section.finish();
    audio
}

fn data(mut section: Section<'_>) -> Data {
    let bytes = |bytes| ByteSize::from_bytes(bytes);
    let size = section.value_in("size", bytes(200), bytes(32)..=bytes(15 * 1024));
    let data = Data {
        rate: section.value_in("rate", 60.0, 0.1..=1_000.0),
        size: u32::try_from(size.bytes()).unwrap_or(u32::MAX),
        kinds: section.value("kinds", DataKinds::Both),
    };
    section.finish();
    data
}

fn subscribe(mut section: Section<'_>) -> Subscribe {
    let subscribe = Subscribe {
        audio: section.value("audio", true),
        video_tracks: section.optional_in("video_tracks", 0..=MOST),
        adaptive: section.value("adaptive", false),
        width: section.value_in("width", 1_280, 16..=7_680),
        height: section.value_in("height", 720, 16..=4_320),
    };
    section.finish();
    subscribe
}

fn churn(mut section: Section<'_>) -> Churn {
    let churn = Churn {
        per_minute: section.required_in("per_minute", 0.1..=100_000.0),
        stay: section.value_in("stay", 5 * SECOND, Duration::ZERO..=HOUR),
        who: section.value("who", Who::All),
    };
    section.finish();
    churn
}

fn layer_changes(mut section: Section<'_>) -> LayerChanges {
    let changes = LayerChanges {
        per_minute: section.required_in("per_minute", 0.01..=600.0),
    };
    section.finish();
    changes
}

fn network(mut section: Section<'_>) -> Network {
    let network = Network {
        loss: section.value_in("loss", Share::NONE, Share::NONE..=Share::from_ratio(0.9)),
        bursts: section.table("bursts").map(bursts),
        delay: section.value_in("delay", Duration::ZERO, Duration::ZERO..=10 * SECOND),
        jitter: section.value_in("jitter", Duration::ZERO, Duration::ZERO..=10 * SECOND),
        rate: section.optional_in("rate", LINKS),
        queue: section.value_in("queue", SECOND / 5, Duration::ZERO..=10 * SECOND),
        squeeze: section.table("squeeze").map(squeeze),
        who: section.value("who", Who::All),
    };
    section.finish();
    network
}

fn bursts(mut section: Section<'_>) -> Bursts {
    let bursts = Bursts {
        every: section.required_in("every", SECOND / 100..=HOUR),
        last: section.required_in("last", SECOND / 1_000..=MINUTE),
        loss: section.value_in(
            "loss",
            Share::from_ratio(1.0),
            Share::NONE..=Share::from_ratio(1.0),
        ),
    };
    section.finish();
    bursts
}

fn squeeze(mut section: Section<'_>) -> Squeeze {
    let squeeze = Squeeze {
        rate: section.required_in("rate", LINKS),
        after: section.value_in("after", Duration::ZERO, Duration::ZERO..=24 * HOUR),
        length: section.value_in("length", 10 * SECOND, SECOND / 10..=24 * HOUR),
    };
    section.finish();
    squeeze
}

fn thresholds(mut section: Section<'_>) -> Thresholds {
    let thresholds = Thresholds {
        max_lost: section.optional("max_lost"),
        max_unseen: section.optional("max_unseen"),
        max_silent: section.optional("max_silent"),
        min_decodable_frames: section.optional("min_decodable_frames"),
        max_freezes: section.optional("max_freezes"),
        max_latency_p99: section.optional("max_latency_p99"),
        max_data_lost: section.optional("max_data_lost"),
        max_data_latency_p99: section.optional("max_data_latency_p99"),
        max_join_p95: section.optional("max_join_p95"),
        max_first_frame_p95: section.optional("max_first_frame_p95"),
        max_switch_p95: section.optional("max_switch_p95"),
        max_failed_joins: section.optional("max_failed_joins"),
        max_cpu_per_packet: section.optional("max_cpu_per_packet"),
        max_rss: section.optional("max_rss"),
    };
    section.finish();
    thresholds
}
