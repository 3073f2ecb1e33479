//! What each key of a scenario means, for `loadtest scenarios keys` and the README.
//!
//! Owns the descriptions. A test compares the list with what `super::read` asks for.

/// A key.
#[derive(Debug, Clone, Copy)]
pub struct KeyDoc {
    /// Path; `[]` stands for any element of an array.
    pub key: &'static str,
    /// Value when it is not given; empty: none, `required`: a mistake.
    pub default: &'static str,
    /// What it means.
    pub what: &'static str,
}

const fn key(key: &'static str, default: &'static str, what: &'static str) -> KeyDoc {
    KeyDoc { key, default, what }
}

/// All keys, in the order of a file.
pub const KEYS: &[KeyDoc] = &[
    key("name", "the file's name", "Name in reports."),
    key("description", "", "What it is for, one line."),
    key("rooms", "1", "Rooms, all alike."),
    key(
        "publishers",
        "0",
        "Participants who publish, per room. 0: others publish, in `room`.",
    ),
    key(
        "subscribers",
        "0",
        "Participants who only subscribe, per room, on top of publishers.",
    ),
    key(
        "publishers_subscribe",
        "true",
        "Publishers subscribe to one another.",
    ),
    key(
        "duration",
        "\"30s\"",
        "Length of the measured window, 1s to 24h.",
    ),
    key(
        "warm_up",
        "\"5s\"",
        "From the last join to the measured window, up to 1h.",
    ),
    key(
        "engine",
        "\"str0m\"",
        "WebRTC stack of the participants: `str0m` (for scale) or `webrtc` (webrtc-rs, an independent stack).",
    ),
    key(
        "room",
        "",
        "Exact name of the only room: to measure what others publish there.",
    ),
    key(
        "room_prefix",
        "\"loadtest\"",
        "Rooms are called `PREFIX-0`, `PREFIX-1`, …",
    ),
    key(
        "seed",
        "1",
        "Who talks, who leaves, sizes of frames and simulated losses follow from it.",
    ),
    key(
        "rejoin",
        "false",
        "Participants who are cut off come back as SDKs do: resume when only signalling broke, else join anew.",
    ),
    key("join.rate", "20", "Joins begun per second, over all rooms."),
    key(
        "join.timeout",
        "\"15s\"",
        "A join not done by then has failed.",
    ),
    key("video", "no video", "What publishers send as video."),
    key("video.codec", "\"vp8\"", "`vp8`, `vp9`, `h264` or `av1`."),
    key(
        "video.publishers",
        "all",
        "Publishers of a room who send video; the others send audio only.",
    ),
    key(
        "video.layers",
        "required",
        "One table per encoding, lowest first; two or three are simulcast.",
    ),
    key(
        "video.layers[].rid",
        "required with simulcast",
        "Its name: `q`, `h`, `f`.",
    ),
    key("video.layers[].width", "required", "Pixels."),
    key("video.layers[].height", "required", "Pixels."),
    key("video.layers[].fps", "30", "Frames per second."),
    key(
        "video.layers[].bitrate",
        "required",
        "Bits per second on average: `\"1.5M\"`, `\"500k\"`. Frames vary as an encoder's do.",
    ),
    key("video.layers[].temporal_layers", "1", "1 to 3."),
    key(
        "audio",
        "no audio",
        "What publishers send as audio (Opus, 20 ms packets).",
    ),
    key("audio.bitrate", "\"32k\"", "Bits per second while talking."),
    key(
        "audio.talkers",
        "1",
        "Publishers of a room who talk at a time; the others send silence.",
    ),
    key(
        "audio.turn",
        "\"3s\"",
        "How long one talks before the turn of another.",
    ),
    key(
        "data",
        "no messages",
        "What publishers send over data channels, to all others in the room. Needs the engine `str0m`.",
    ),
    key("data.rate", "60", "Messages per second of each kind."),
    key(
        "data.size",
        "\"200B\"",
        "Payload of a message, 32 B to 15 KiB.",
    ),
    key(
        "data.kinds",
        "\"both\"",
        "`reliable` (retransmitted, in order), `lossy` (sent once, in any order), or `both`, each at the full rate.",
    ),
    key("subscribe.audio", "true", "Subscribe to audio."),
    key(
        "subscribe.video_tracks",
        "all",
        "Video tracks that a participant subscribes to at most.",
    ),
    key(
        "subscribe.adaptive",
        "false",
        "Tell the server the size that is shown, as SDKs with adaptive stream do.",
    ),
    key("subscribe.width", "1280", "That size, pixels."),
    key("subscribe.height", "720", "That size, pixels."),
    key(
        "churn",
        "nobody leaves",
        "Participants who leave and are replaced by new ones.",
    ),
    key(
        "churn.per_minute",
        "required",
        "How many leave per minute, over all rooms.",
    ),
    key(
        "churn.stay",
        "\"5s\"",
        "Nobody leaves sooner after joining.",
    ),
    key(
        "churn.who",
        "\"all\"",
        "`subscribers`, `publishers` or `all`.",
    ),
    key(
        "layer_changes",
        "nobody switches",
        "Subscribers who ask for the size of another layer now and then.",
    ),
    key(
        "layer_changes.per_minute",
        "required",
        "How often each does.",
    ),
    key(
        "network",
        "as it is",
        "A worse network, made by the harness between each participant and the server.",
    ),
    key(
        "network.loss",
        "\"0%\"",
        "Packets dropped at random, each way.",
    ),
    key(
        "network.bursts",
        "none",
        "Losses that come together, each way, on top of those at random.",
    ),
    key(
        "network.bursts.every",
        "required",
        "From the end of one to the beginning of the next, on average.",
    ),
    key(
        "network.bursts.last",
        "required",
        "How long one lasts, on average.",
    ),
    key(
        "network.bursts.loss",
        "\"100%\"",
        "Packets dropped meanwhile. `every = \"1.94s\"`, `last = \"60ms\"` at 100% lose 3% of all.",
    ),
    key("network.delay", "\"0s\"", "Added each way."),
    key(
        "network.jitter",
        "\"0s\"",
        "Added at random on top, from zero to this, each way.",
    ),
    key(
        "network.rate",
        "what comes",
        "Bits per second that the link carries toward the participant: `\"3M\"`.",
    ),
    key(
        "network.queue",
        "\"200ms\"",
        "What would wait longer for its turn on such a link is lost.",
    ),
    key(
        "network.who",
        "\"all\"",
        "Whose network it is: `subscribers`, `publishers` or `all`.",
    ),
    key(
        "network.squeeze",
        "never",
        "A time during which the link carries less toward the participant.",
    ),
    key(
        "network.squeeze.rate",
        "required",
        "Bits per second meanwhile.",
    ),
    key(
        "network.squeeze.after",
        "\"0s\"",
        "When it begins, from the beginning of the measured window.",
    ),
    key("network.squeeze.length", "\"10s\"", "How long it lasts."),
    key(
        "thresholds.max_lost",
        "",
        "Share of packets that never came, of those expected.",
    ),
    key(
        "thresholds.max_unseen",
        "",
        "Share of packets that publishers sent and that never came, whatever numbers the server gives to the rest. For scenarios that leave a server nothing to leave out.",
    ),
    key(
        "thresholds.max_silent",
        "",
        "Subscriptions that got nothing for more than 2 s, at their beginning, at their end or at all, though there was something to get.",
    ),
    key(
        "thresholds.min_decodable_frames",
        "",
        "Share of video frames that could be decoded, of those expected.",
    ),
    key(
        "thresholds.max_freezes",
        "",
        "Times a picture stood still, over all subscribers.",
    ),
    key(
        "thresholds.max_latency_p99",
        "",
        "99 of 100 packets were forwarded faster.",
    ),
    key(
        "thresholds.max_data_lost",
        "",
        "Share of data messages that never came, of those expected; of either kind.",
    ),
    key(
        "thresholds.max_data_latency_p99",
        "",
        "99 of 100 data messages were faster; of either kind.",
    ),
    key(
        "thresholds.max_join_p95",
        "",
        "95 of 100 joins were faster.",
    ),
    key(
        "thresholds.max_first_frame_p95",
        "",
        "95 of 100 first frames were faster.",
    ),
    key(
        "thresholds.max_switch_p95",
        "",
        "95 of 100 changes of layer were faster.",
    ),
    key(
        "thresholds.max_failed_joins",
        "",
        "Share of joins that failed.",
    ),
    key(
        "thresholds.max_cpu_per_packet",
        "",
        "CPU time of the server per forwarded packet: `\"5us\"`. Needs `--server-pid`.",
    ),
    key(
        "thresholds.max_rss",
        "",
        "Memory of the server at its largest: `\"512MiB\"`. Needs `--server-pid`.",
    ),
];
