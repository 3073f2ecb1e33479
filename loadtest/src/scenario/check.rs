//! Settings of a scenario that contradict one another.
//!
//! Owns these rules. Must not look at single values (`super::read`).

use super::{
    mistake::Mistake,
    model::{EngineKind, Scenario, Who},
    section::Section,
    units::{Share, format_duration},
};

/// Most participants at a time, over all rooms.
const MOST_PARTICIPANTS: u64 = 100_000;

/// Notes every contradiction at the key that one would change.
pub(super) fn check(scenario: &Scenario, root: &Section<'_>) {
    participants(scenario, root);
    media(scenario, root);
    layers(scenario, root);
    changes(scenario, root);
    idle(scenario, root);
    thresholds(scenario, root);
}

fn participants(scenario: &Scenario, root: &Section<'_>) {
    let in_room = u64::from(scenario.publishers) + u64::from(scenario.subscribers);
    let all = u64::from(scenario.rooms) * in_room;
    if all == 0 {
        root.mistake_at(
            "publishers",
            "nobody takes part: publishers and subscribers are 0",
        );
    } else if all > MOST_PARTICIPANTS {
        root.mistake_at(
            "rooms",
            &format!("{all} participants over all rooms are more than {MOST_PARTICIPANTS}"),
        );
    }
    let received =
        scenario.subscribers > 0 || (scenario.publishers_subscribe && scenario.publishers > 1);
    if all > 0 && !received {
        root.mistake_at(
            "subscribers",
            "nobody receives anything: needs subscribers, or two publishers with publishers_subscribe",
        );
    }
    if scenario.room.is_some() && scenario.rooms > 1 {
        root.mistake_at(
            "room",
            "names one room, but rooms is more than 1; use room_prefix",
        );
    }
    for (key, text) in [
        ("name", Some(&scenario.name)),
        ("room_prefix", Some(&scenario.room_prefix)),
        ("room", scenario.room.as_ref()),
    ] {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_some_and(|text| text.is_empty() || text.len() > 64 || !text.chars().all(plain)) {
            root.mistake_at(
                key,
                "must be 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
            );
        }
    }
}

fn media(scenario: &Scenario, root: &Section<'_>) {
    let is_silent = scenario.video.is_none() && scenario.audio.is_none();
    if scenario.publishers > 0 && is_silent && scenario.data.is_none() {
        root.mistake_at(
            "publishers",
            "have nothing to publish: needs [video], [audio] or [data]",
        );
    }
    if scenario.data.is_some() && scenario.engine != EngineKind::Str0m {
        root.mistake_at("engine", "must be \"str0m\" for [data]");
    }
    if scenario.publishers == 0 && scenario.room.is_none() {
        root.mistake_at(
            "publishers",
            "is 0, so others must publish: name their room with room",
        );
    }
    if let Some(video) = &scenario.video
        && video
            .publishers
            .is_some_and(|count| count > scenario.publishers)
    {
        root.mistake_at(
            "video.publishers",
            &format!("is more than publishers ({})", scenario.publishers),
        );
    }
    if let Some(audio) = &scenario.audio
        && audio.talkers > scenario.publishers
    {
        root.mistake_at(
            "audio.talkers",
            &format!("is more than publishers ({})", scenario.publishers),
        );
    }
    let watches = scenario.subscribe.video_tracks != Some(0);
    if !scenario.subscribe.audio && !watches {
        root.mistake_at("subscribe.audio", "nobody subscribes to anything");
    }
}

fn layers(scenario: &Scenario, root: &Section<'_>) {
    let layers = scenario.video.iter().flat_map(|video| &video.layers);
    let layers: Vec<_> = layers.collect();
    for (index, layer) in layers.iter().enumerate() {
        let key = |name: &str| format!("video.layers[{index}].{name}");
        if layers.len() > 1 && layer.rid.is_empty() {
            root.mistake_at(&key("rid"), "is missing; layers of simulcast need names");
        }
        let Some(below) = index.checked_sub(1).map(|below| layers[below]) else {
            continue;
        };
        if layers[..index]
            .iter()
            .any(|other| other.rid == layer.rid && !layer.rid.is_empty())
        {
            root.mistake_at(
                &key("rid"),
                &format!("\"{}\" names another layer too", layer.rid),
            );
        }
        if layer.width <= below.width || layer.height <= below.height {
            root.mistake_at(
                &key("width"),
                &format!(
                    "{}x{} must be larger than the layer before ({}x{}): lowest first",
                    layer.width, layer.height, below.width, below.height
                ),
            );
        }
        if layer.bitrate <= below.bitrate {
            root.mistake_at(
                &key("bitrate"),
                &format!(
                    "{} must be more than that of the layer before ({})",
                    layer.bitrate, below.bitrate
                ),
            );
        }
    }
}

fn changes(scenario: &Scenario, root: &Section<'_>) {
    if let Some(churn) = scenario.churn {
        somebody(scenario, root, "churn.who", churn.who);
    }
    if let Some(network) = scenario.network {
        somebody(scenario, root, "network.who", network.who);
    }
    if scenario.layer_changes.is_some() {
        let layers = scenario
            .video
            .as_ref()
            .map_or(0, |video| video.layers.len());
        if scenario.publishers > 0 && layers < 2 {
            root.mistake_at(
                "layer_changes",
                "there are no layers to change between: needs [[video.layers]] twice",
            );
        } else if scenario.subscribe.video_tracks == Some(0) {
            root.mistake_at(
                "layer_changes",
                "nobody watches video: subscribe.video_tracks is 0",
            );
        } else if !scenario.subscribe.adaptive {
            root.mistake_at(
                "layer_changes",
                "nobody asks for a size: needs subscribe.adaptive = true",
            );
        }
    }
}

/// Keys that do nothing beside the others.
fn idle(scenario: &Scenario, root: &Section<'_>) {
    let network = scenario.network;
    let has_link = network.is_some_and(|link| link.rate.is_some() || link.squeeze.is_some());
    let without_link = "does nothing without network.rate or [network.squeeze]";
    let without_size = "does nothing without subscribe.adaptive = true";
    for (key, is_idle, why) in [
        ("network.queue", !has_link, without_link),
        (
            "subscribe.width",
            !scenario.subscribe.adaptive,
            without_size,
        ),
        (
            "subscribe.height",
            !scenario.subscribe.adaptive,
            without_size,
        ),
        (
            "room_prefix",
            scenario.room.is_some(),
            "does nothing beside room, which names the only room",
        ),
    ] {
        if is_idle && root.is_given(key) {
            root.mistake_at(key, why);
        }
    }
    if let Some(squeeze) = network.and_then(|network| network.squeeze)
        && squeeze.after >= scenario.duration
    {
        root.mistake_at(
            "network.squeeze.after",
            &format!(
                "{} is not within the measured window: duration is {}",
                format_duration(squeeze.after),
                format_duration(scenario.duration)
            ),
        );
    }
    if network.is_some_and(|network| network.bursts.is_some_and(|b| b.loss == Share::NONE)) {
        root.mistake_at("network.bursts.loss", "must be more than 0%");
    }
}

fn somebody(scenario: &Scenario, root: &Section<'_>, key: &str, who: Who) {
    let publishers = who.includes(true) && scenario.publishers > 0;
    let subscribers = who.includes(false) && scenario.subscribers > 0;
    if !publishers && !subscribers {
        root.mistake_at(key, "nobody of that kind takes part");
    }
}

fn thresholds(scenario: &Scenario, root: &Section<'_>) {
    let limits = &scenario.thresholds;
    let shows = scenario.subscribe.video_tracks != Some(0);
    let video = (scenario.video.is_some() || scenario.publishers == 0) && shows;
    let of_video = [
        (
            "min_decodable_frames",
            limits.min_decodable_frames.is_some(),
        ),
        ("max_freezes", limits.max_freezes.is_some()),
        ("max_first_frame_p95", limits.max_first_frame_p95.is_some()),
    ];
    for (key, _) in of_video.into_iter().filter(|(_, given)| *given && !video) {
        root.mistake_at(
            &format!("thresholds.{key}"),
            "nobody watches video in this scenario",
        );
    }
    let is_silent = scenario.video.is_none() && scenario.audio.is_none();
    if limits.max_unseen.is_some() && (is_silent || scenario.publishers == 0) {
        root.mistake_at(
            "thresholds.max_unseen",
            "nobody publishes media in this scenario",
        );
    }
    if limits.max_silent.is_some() && is_silent && scenario.publishers > 0 {
        root.mistake_at(
            "thresholds.max_silent",
            "nobody publishes media in this scenario",
        );
    }
    let of_data = [
        ("max_data_lost", limits.max_data_lost.is_some()),
        (
            "max_data_latency_p99",
            limits.max_data_latency_p99.is_some(),
        ),
    ];
    let no_data = scenario.data.is_none();
    for (key, _) in of_data.into_iter().filter(|(_, given)| *given && no_data) {
        root.mistake_at(
            &format!("thresholds.{key}"),
            "nobody sends messages: needs [data]",
        );
    }
    if limits.max_switch_p95.is_some() && scenario.layer_changes.is_none() {
        root.mistake_at(
            "thresholds.max_switch_p95",
            "nobody switches: needs [layer_changes]",
        );
    }
}

impl Section<'_> {
    /// Notes a mistake at a path, or where the nearest table around it stands.
    fn mistake_at(&self, path: &str, message: &str) {
        self.note(Mistake {
            place: self.place_of(path),
            key: path.to_owned(),
            message: message.to_owned(),
        });
    }
}
