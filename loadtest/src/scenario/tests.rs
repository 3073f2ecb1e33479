//! Scenarios as people write them, right and wrong.

use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::media::Codec;

const SMALL: &str = "publishers = 2\n[audio]\n";

fn mistakes(text: &str, overrides: &[Override]) -> String {
    match Scenario::read(text, "x.toml", "x", overrides) {
        Ok(scenario) => format!("no mistake: {scenario:?}"),
        Err(error) => error.to_string(),
    }
}

fn flag(key: &str, text: &str) -> Override {
    Override {
        flag: format!("--{}", key.replace('_', "-")),
        key: key.to_owned(),
        text: Some(text.to_owned()),
    }
}

#[test]
fn every_mistake_names_file_line_column_and_key() {
    let cases: &[(&str, &str)] = &[
        (
            "publishers = 2\nsubscriber = 3\n[audio]\n",
            "x.toml:2:1: subscriber: unknown key; did you mean \"subscribers\"?",
        ),
        (
            "publishers = 2\n[audio]\ntone = 3\n",
            "x.toml:3:1: audio.tone: unknown key; known here: bitrate, talkers, turn",
        ),
        (
            "publishers = \"two\"\n[audio]\n",
            "x.toml:1:1: publishers: must be a whole number, not a text",
        ),
        (
            "publishers = 2.5\n[audio]\n",
            "x.toml:1:1: publishers: must be a whole number, not a number with a point",
        ),
        (
            "publishers = -1\n[audio]\n",
            "x.toml:1:1: publishers: must be a whole number from 0 to 4294967295, not -1",
        ),
        (
            "publishers = 20000\n[audio]\n",
            "x.toml:1:1: publishers: must be between 0 and 10000, not 20000",
        ),
        (
            "publishers = 2\nduration = 20\n[audio]\n",
            "x.toml:2:1: duration: must be a duration such as \"20s\"",
        ),
        (
            "publishers = 2\n  duration = \"20\"\n[audio]\n",
            "x.toml:2:3: duration: \"20\" is not a duration",
        ),
        (
            "publishers = 2\nduration = \"0s\"\n[audio]\n",
            "x.toml:2:1: duration: must be between 1s and 24h, not 0s",
        ),
        (
            "publishers = 2\nengine = \"pion\"\n[audio]\n",
            "x.toml:2:1: engine: must be one of \"str0m\", \"webrtc\", not \"pion\"",
        ),
        (
            "publishers = 2\naudio = 3\n",
            "x.toml:2:1: audio: must be a table, not an integer",
        ),
        (
            "publishers = 2\n[video]\n",
            "x.toml:2:2: video.layers: needs at least one table",
        ),
        (
            "publishers = 2\n[video]\nlayers = []\n",
            "x.toml:3:1: video.layers: needs at least one table",
        ),
        (
            "publishers = 2\n[video]\nlayers = 1\n",
            "x.toml:3:1: video.layers: must be an array of tables, not an integer",
        ),
        (
            "publishers = 2\n[[video.layers]]\nwidth = 640\nbitrate = \"1M\"\n",
            "x.toml:2:1: video.layers[0].height: is missing",
        ),
        (
            "publishers = 2\n[[video.layers]]\nwidth = 640\nheight = 360\nbitrate = 1_000_000\n",
            "x.toml:5:1: video.layers[0].bitrate: must be a bitrate",
        ),
        (
            "publishers = 2\n[audio]\n[network]\nloss = \"95%\"\n",
            "x.toml:4:1: network.loss: must be between 0% and 90%, not 95%",
        ),
        (
            "publishers = 2\n[audio]\n[thresholds]\nmax_lost = 0.1\n",
            "x.toml:4:1: thresholds.max_lost: must be a share such as \"0.1%\"",
        ),
        (
            "publishers = 2\nseed = 2026-01-01\n[audio]\n",
            "x.toml:2:1: seed: must be a whole number, not a date",
        ),
        ("publishers = \n", "x.toml:1:14: "),
        (
            "publishers = 2\npublishers = 3\n",
            "x.toml:2:1: duplicate key",
        ),
        ("name = \"é\" \"\n", "x.toml:1:12: "),
    ];
    for (text, expected) in cases {
        let message = mistakes(text, &[]);
        assert!(
            message.contains(expected),
            "{text}\nexpected {expected}\ngot {message}"
        );
    }
}

#[test]
fn contradictions_are_mistakes() {
    let two_layers = "[[video.layers]]\nrid = \"q\"\nwidth = 320\nheight = 180\nbitrate = \"150k\"\n\
                      [[video.layers]]\nrid = \"h\"\nwidth = 640\nheight = 360\nbitrate = \"500k\"\n";
    let cases: &[(String, &str)] = &[
        ("rooms = 3\n".to_owned(), "x.toml:1:1: publishers: nobody takes part"),
        ("publishers = 1\n[audio]\n".to_owned(), "x.toml:1:1: subscribers: nobody receives anything"),
        ("publishers = 2\npublishers_subscribe = false\n[audio]\n".to_owned(), "subscribers: nobody receives anything"),
        ("publishers = 2\n".to_owned(), "x.toml:1:1: publishers: have nothing to publish"),
        ("subscribers = 2\n".to_owned(), "publishers: is 0, so others must publish: name their room with room"),
        ("rooms = 2\nsubscribers = 2\nroom = \"a\"\n".to_owned(), "x.toml:3:1: room: names one room, but rooms is more than 1"),
        ("room_prefix = \"a b\"\npublishers = 2\n[audio]\n".to_owned(), "x.toml:1:1: room_prefix: must be 1 to 64 letters"),
        ("rooms = 10000\nsubscribers = 100\npublishers = 1\n[audio]\n".to_owned(), "x.toml:1:1: rooms: 1010000 participants over all rooms are more than 100000"),
        ("publishers = 2\n[audio]\ntalkers = 3\n".to_owned(), "x.toml:3:1: audio.talkers: is more than publishers (2)"),
        (format!("publishers = 2\n[video]\npublishers = 3\n{two_layers}"), "x.toml:3:1: video.publishers: is more than publishers (2)"),
        (format!("publishers = 2\n{}", two_layers.replace("\"h\"", "\"q\"")), "x.toml:8:1: video.layers[1].rid: \"q\" names another layer too"),
        (format!("publishers = 2\n{}", two_layers.replace("rid = \"h\"\n", "")), "x.toml:7:1: video.layers[1].rid: is missing"),
        (format!("publishers = 2\n{}", two_layers.replace("640", "160")), "x.toml:9:1: video.layers[1].width: 160x360 must be larger than the layer before (320x180)"),
        (format!("publishers = 2\n{}", two_layers.replace("500k", "150k")), "x.toml:11:1: video.layers[1].bitrate: 150k must be more than that of the layer before (150k)"),
        (format!("publishers = 2\n{two_layers}[layer_changes]\nper_minute = 2\n"), "x.toml:12:2: layer_changes: nobody asks for a size"),
        ("publishers = 2\n[audio]\n[layer_changes]\nper_minute = 2\n[subscribe]\nadaptive = true\n".to_owned(), "x.toml:3:2: layer_changes: there are no layers to change between"),
        ("publishers = 2\n[audio]\n[churn]\nper_minute = 2\nwho = \"subscribers\"\n".to_owned(), "x.toml:5:1: churn.who: nobody of that kind takes part"),
        ("publishers = 2\n[audio]\n[subscribe]\naudio = false\nvideo_tracks = 0\n".to_owned(), "x.toml:4:1: subscribe.audio: nobody subscribes to anything"),
        ("publishers = 2\n[audio]\n[thresholds]\nmax_freezes = 0\n".to_owned(), "x.toml:4:1: thresholds.max_freezes: nobody watches video"),
        ("publishers = 2\n[audio]\n[thresholds]\nmax_data_lost = \"1%\"\n".to_owned(), "x.toml:4:1: thresholds.max_data_lost: nobody sends messages"),
        ("subscribers = 2\nroom = \"a\"\n[thresholds]\nmax_unseen = \"1%\"\n".to_owned(), "x.toml:4:1: thresholds.max_unseen: nobody publishes media in this scenario"),
        ("publishers = 2\n[data]\n[thresholds]\nmax_silent = 0\n".to_owned(), "x.toml:4:1: thresholds.max_silent: nobody publishes media in this scenario"),
        ("publishers = 2\n[audio]\n[network]\nqueue = \"1s\"\n".to_owned(), "x.toml:4:1: network.queue: does nothing without network.rate or [network.squeeze]"),
        ("publishers = 2\nduration = \"20s\"\n[audio]\n[network.squeeze]\nrate = \"1M\"\nafter = \"20s\"\n".to_owned(), "x.toml:6:1: network.squeeze.after: 20s is not within the measured window: duration is 20s"),
        (format!("publishers = 2\n{two_layers}[subscribe]\nwidth = 320\n"), "x.toml:13:1: subscribe.width: does nothing without subscribe.adaptive = true"),
        (format!("publishers = 2\n{two_layers}[subscribe]\nadaptive = false\nheight = 320\n"), "x.toml:14:1: subscribe.height: does nothing without subscribe.adaptive = true"),
        ("room_prefix = \"p\"\nroom = \"r\"\npublishers = 2\n[audio]\n".to_owned(), "x.toml:1:1: room_prefix: does nothing beside room"),
        (format!("publishers = 2\n{two_layers}[layer_changes]\nper_minute = 2\n[subscribe]\nadaptive = true\nvideo_tracks = 0\n"), "x.toml:12:2: layer_changes: nobody watches video: subscribe.video_tracks is 0"),
        ("publishers = 2\n[audio]\n[network.bursts]\nevery = \"1s\"\nlast = \"50ms\"\nloss = \"0%\"\n".to_owned(), "x.toml:6:1: network.bursts.loss: must be more than 0%"),
        ("engine = \"webrtc\"\npublishers = 2\n[data]\n".to_owned(), "x.toml:1:1: engine: must be \"str0m\" for [data]"),
        ("publishers = 2\n[data]\nsize = \"20B\"\n".to_owned(), "x.toml:3:1: data.size: must be between"),
        ("publishers = 2\n[audio]\n[thresholds]\nmax_switch_p95 = \"1s\"\n".to_owned(), "x.toml:4:1: thresholds.max_switch_p95: nobody switches"),
    ];
    for (text, expected) in cases {
        let message = mistakes(text, &[]);
        assert!(
            message.contains(expected),
            "{text}\nexpected {expected}\ngot {message}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "rooms = 0\nduratoin = \"5s\"\n[video]\ncodec = \"opus\"\n[[video.layers]]\nwidth = 1\n[join]\nrate = \"fast\"\n";
    assert_eq!(
        mistakes(text, &[]),
        "7 mistakes in the scenario x.toml\n\
         \x20 x.toml:1:1: rooms: must be between 1 and 10000, not 0\n\
         \x20 x.toml:2:1: duratoin: unknown key; did you mean \"duration\"?\n\
         \x20 x.toml:4:1: video.codec: must be one of \"vp8\", \"vp9\", \"h264\", \"av1\", not \"opus\"\n\
         \x20 x.toml:5:1: video.layers[0].bitrate: is missing\n\
         \x20 x.toml:5:1: video.layers[0].height: is missing\n\
         \x20 x.toml:6:1: video.layers[0].width: must be between 16 and 7680, not 1\n\
         \x20 x.toml:8:1: join.rate: must be a number, not a text"
    );
}

#[test]
fn flags_win_over_the_file_and_are_named_in_mistakes() {
    let overrides = [
        flag("subscribers", "7"),
        flag("duration", "20s"),
        flag("join.rate", "2.5"),
        flag("engine", "webrtc"),
    ];
    let scenario = Scenario::read(SMALL, "x.toml", "x", &overrides).expect("right");
    assert_eq!((scenario.subscribers, scenario.publishers), (7, 2));
    assert_eq!(scenario.duration, Duration::from_secs(20));
    assert!((scenario.join.rate - 2.5).abs() < f64::EPSILON);
    assert_eq!(scenario.engine, EngineKind::Webrtc);

    let cases: &[(Override, &str)] = &[
        (
            flag("subscribers", "many"),
            "--subscribers: subscribers: must be a whole number from 0 to 4294967295, not many",
        ),
        (
            flag("warm_up", "5"),
            "--warm-up: warm_up: \"5\" is not a duration",
        ),
        (
            flag("video.codec", "vp8"),
            "--video.codec: video.layers: needs at least one table",
        ),
        (
            flag("audio.loud", "yes"),
            "--audio.loud: audio.loud: unknown key",
        ),
        (
            flag("video.layers[0].width", "8"),
            "--video.layers[0].width: video.layers[0].width: \"layers\" is no array",
        ),
        (
            flag("publishers.x", "1"),
            "there is no table that could have \"x\"",
        ),
        (flag("a..b", "1"), "--a..b: a..b: is no key"),
    ];
    for (given, expected) in cases {
        let message = mistakes(SMALL, std::slice::from_ref(given));
        assert!(
            message.contains(expected),
            "expected {expected}\ngot {message}"
        );
    }
}

#[test]
fn fewer_publishers_from_the_command_line_leave_no_contradiction() {
    let scenario = Scenario::load("large-room", &[flag("publishers", "2")]).expect("right");
    assert_eq!(scenario.video_publishers(), 2);
    assert_eq!(scenario.audio.map(|audio| audio.talkers), Some(2));
    let message = mistakes(
        "publishers = 5\n[audio]\n",
        &[flag("publishers", "2"), flag("audio.talkers", "3")],
    );
    assert!(
        message.contains("--audio.talkers: audio.talkers: is more than publishers (2)"),
        "{message}"
    );
}

#[test]
fn what_a_flag_makes_idle_is_no_mistake() {
    let without = |key: &str| Override {
        flag: "--unset".to_owned(),
        key: key.to_owned(),
        text: None,
    };
    let read = |text: &str, flags: &[Override]| {
        let scenario = Scenario::read(text, "x.toml", "x", flags).expect("right");
        let again = Scenario::read(&scenario.to_toml(), "again", "x", &[]);
        assert_eq!(again.expect("right"), scenario);
        scenario
    };
    let meeting = built_in("meeting").expect("built in").toml;
    assert!(
        !read(meeting, &[flag("subscribe.adaptive", "false")])
            .subscribe
            .adaptive
    );
    let narrow = "publishers = 2\n[audio]\n[network]\nrate = \"1M\"\nqueue = \"1s\"\n";
    let network = read(narrow, &[without("network.rate")]).network;
    assert_eq!(network.and_then(|network| network.rate), None);
    let named = "room_prefix = \"p\"\npublishers = 2\n[audio]\n";
    assert_eq!(read(named, &[flag("room", "r")]).room_name(0), "r");

    // Who gives the idle one says it wrongly all the same.
    let message = mistakes(
        meeting,
        &[
            flag("subscribe.adaptive", "false"),
            flag("subscribe.width", "320"),
        ],
    );
    assert!(
        message.contains("--subscribe.width: subscribe.width: does nothing"),
        "{message}"
    );
    let message = mistakes(named, &[flag("room", "r"), flag("room_prefix", "q")]);
    assert!(
        message.contains("--room-prefix: room_prefix: does nothing"),
        "{message}"
    );
}

#[test]
fn keys_can_be_taken_away() {
    let without = |key: &str| Override {
        flag: "--no-video".to_owned(),
        key: key.to_owned(),
        text: None,
    };
    let message = Scenario::load("churn", &[without("video")])
        .map_or_else(|error| error.to_string(), |_| String::new());
    assert!(
        message.contains("thresholds.min_decodable_frames: nobody watches video"),
        "{message}"
    );

    let keys = [
        "video",
        "thresholds.min_decodable_frames",
        "thresholds.max_first_frame_p95",
        "no.such.key",
    ];
    let scenario = Scenario::load("churn", &keys.map(without)).expect("right");
    assert_eq!(
        (scenario.video, scenario.thresholds.min_decodable_frames),
        (None, None)
    );
    assert!(scenario.thresholds.max_lost.is_some());
}

#[test]
fn built_ins_are_right_and_repeat_from_what_the_report_keeps() {
    for built_in in &BUILT_IN {
        let scenario = Scenario::load(built_in.name, &[]).expect(built_in.name);
        assert_eq!(scenario.name, built_in.name);
        assert!(!scenario.description.is_empty());
        // Of what it sends: media, or data alone.
        let thresholds = &scenario.thresholds;
        let most_lost = thresholds.max_lost.or(thresholds.max_data_lost);
        assert!(most_lost.is_some(), "{}", built_in.name);
        let again = Scenario::read(&scenario.to_toml(), "again", "again", &[]);
        assert_eq!(again.expect("right"), scenario);
    }
    let webinar = Scenario::load("webinar", &[]).expect("right");
    let layers = &webinar.video.as_ref().expect("video").layers;
    assert_eq!(
        (
            webinar.publishers,
            layers.len(),
            layers[0].height,
            layers[0].bitrate.bps()
        ),
        (1, 1, 720, 1_500_000)
    );
}

/// A scenario with every key.
const EVERYTHING: &str = r#"
name = "all"
description = "with \"quotes\""
rooms = 1
publishers = 4
subscribers = 5
publishers_subscribe = false
duration = "1m30s"
warm_up = "1.5s"
engine = "str0m"
room = "studio"
seed = 7
[join]
rate = 2.5
timeout = "20s"
[video]
codec = "av1"
publishers = 3
[[video.layers]]
rid = "q"
width = 320
height = 180
fps = 15
bitrate = "150k"
temporal_layers = 2
[[video.layers]]
rid = "f"
width = 1280
height = 720
fps = 30
bitrate = "1.25M"
temporal_layers = 3
[audio]
bitrate = "24k"
talkers = 2
turn = "500ms"
[data]
rate = 20
size = "1KiB"
kinds = "lossy"
[subscribe]
audio = true
video_tracks = 2
adaptive = true
width = 640
height = 360
[churn]
per_minute = 30
stay = "2s"
who = "publishers"
[layer_changes]
per_minute = 6
[network]
loss = "2.5%"
delay = "40ms"
jitter = "7ms"
rate = "3M"
queue = "150ms"
who = "subscribers"
[network.bursts]
every = "1.94s"
last = "60ms"
loss = "90%"
[network.squeeze]
rate = "500k"
after = "5s"
length = "10s"
[thresholds]
max_lost = "0.1%"
max_unseen = "0.2%"
max_silent = 2
min_decodable_frames = "99.95%"
max_freezes = 3
max_latency_p99 = "50ms"
max_data_lost = "1%"
max_data_latency_p99 = "80ms"
max_join_p95 = "2s"
max_first_frame_p95 = "3s"
max_switch_p95 = "1s"
max_failed_joins = "0%"
max_cpu_per_packet = "3.5us"
max_rss = "1.5GiB"
"#;

#[test]
fn every_key_is_read_written_and_described() {
    let scenario = Scenario::read(EVERYTHING, "all.toml", "x", &[]).expect("right");
    assert_eq!(
        scenario.video.as_ref().map(|video| video.codec),
        Some(Codec::Av1)
    );
    assert_eq!(scenario.room_name(0), "studio");
    let written = scenario.to_toml();
    assert_eq!(
        Scenario::read(&written, "again", "x", &[]).expect("right"),
        scenario,
        "{written}"
    );

    let described: BTreeSet<String> = KEYS.iter().map(|key| key.key.to_owned()).collect();
    assert_eq!(described.len(), KEYS.len(), "a key is described twice");
    let mut given = BTreeSet::new();
    collect(
        &toml::Value::Table(written.parse().expect("toml")),
        "",
        &mut given,
    );
    // Beside `room` it would do nothing.
    given.insert("room_prefix".to_owned());
    // Sections that are no switch are described by their keys alone.
    given.retain(|key| {
        !matches!(
            key.as_str(),
            "join" | "subscribe" | "thresholds" | "video.layers[]"
        )
    });
    assert_eq!(given, described);
}

fn collect(value: &toml::Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                keys.insert(path.clone());
                collect(value, &path, keys);
            }
        }
        toml::Value::Array(values) => {
            for value in values {
                collect(value, &format!("{path}[]"), keys);
            }
        }
        _ => {}
    }
}

#[test]
fn a_name_that_is_neither_built_in_nor_a_file_lists_the_built_ins() {
    let error = Scenario::load("webinra", &[]).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "there is no scenario \"webinra\": neither a file nor one of audio, meeting, webinar, churn, large-room, games, thin-link"
    );
    let error = Scenario::load("./nowhere.toml", &[]).expect_err("no file");
    assert_eq!(error.to_string(), "cannot read ./nowhere.toml");
}

#[test]
fn the_file_names_a_scenario_without_a_name() {
    let scenario = Scenario::read(SMALL, "x.toml", "standup", &[]).expect("right");
    assert_eq!(scenario.name, "standup");
    assert_eq!(scenario.room_name(3), "loadtest-3");
}
