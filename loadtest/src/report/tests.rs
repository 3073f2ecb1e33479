//! Reports: the file's names, the judgement, and what people see.

use super::{steps, *};
use crate::{
    capacity::{CapacityReport, Step, Vary},
    scenario::{ByteSize, Scenario, Share, Thresholds},
};
use std::time::Duration;

/// A run of `webinar`, every number set.
fn sample() -> Report {
    let scenario = Scenario::load("webinar", &[]).expect("right");
    let spread = |middle: f64| {
        Quantiles::of_samples((1..=400_u32).map(|n| {
            let n = f64::from(n);
            middle * (0.6 + n / 500.0 + (n / 400.0).powi(40) * 3.0)
        }))
    };
    let timeline = (1..=34_u32).map(|second| {
        let steady = f64::from(second.min(10)) / 10.0;
        let wave = 1.0 + 0.04 * f64::from(second % 5);
        TimelinePoint {
            t_s: f64::from(second),
            measured: second > 9,
            packets_per_s: 17_500.0 * steady * wave,
            bits_per_s: 153e6 * steady * wave,
            cpu_cores: Some(0.31 * steady * wave),
            client_cpu_cores: 0.62 * steady * wave,
            rss_bytes: Some(31 << 20),
            latency_p50_ms: (second > 1).then_some(0.31 * wave),
            latency_p99_ms: (second > 1).then_some(2.1 * wave * wave),
            connected: second.min(10) * 10 + 1,
        }
    });
    let track = |name: &str, kind: &str, codec: &str, packets: u64, lost: u64| TrackReport {
        room: "loadtest-0".to_owned(),
        publisher: "publisher-0".to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        codec: codec.to_owned(),
        stamped: true,
        subscribers: 100,
        packets_expected: packets + lost,
        packets_received: packets,
        packets_lost: lost,
        packets_published: packets + lost + 5,
        packets_unseen: lost + 5,
        frames_received: if kind == "video" { 74_998 } else { 0 },
        frames_late: u64::from(kind == "video"),
        frames_lost: if kind == "video" { 2 } else { 0 },
        switch_ms: spread(if kind == "video" { 310.0 } else { f64::NAN }).without_buckets(),
        silent: u32::from(kind == "audio"),
        worst_lost_ratio: Some(0.000_4),
        frames_expected: if kind == "video" { 75_000 } else { 0 },
        frames_decodable: if kind == "video" { 74_997 } else { 0 },
        freezes: 1,
        bitrate_bps: if kind == "video" { 1.5e6 } else { 32e3 },
        latency_ms: spread(0.4).without_buckets(),
        jitter_ms: spread(0.9).without_buckets(),
        first_frame_ms: spread(240.0).without_buckets(),
        received_by_encoding: vec![packets / 4, packets * 3 / 4],
        ..TrackReport::default()
    };
    let mut report = Report {
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        url: "ws://127.0.0.1:7880".to_owned(),
        server: Server {
            name: Some("Plenum".to_owned()),
            version: Some("0.1.0".to_owned()),
            pid: Some(4711),
            process: Some("plenum".to_owned()),
        },
        environment: Environment {
            loadtest: "0.1.0".to_owned(),
            os: "Linux 6.18".to_owned(),
            cpu: "A processor at 2.6 GHz".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
        },
        started_at: "2026-11-22T21:26:00Z".to_owned(),
        duration_s: 25.0,
        warm_up_s: 9.0,
        engine: "str0m".to_owned(),
        rooms: 1,
        publishers: 1,
        subscribers: 100,
        packets_forwarded: 437_500,
        packets_lost: 12,
        packets_late: 3,
        packets_duplicated: 1,
        packets_published: 437_522,
        packets_unseen: 22,
        frames_expected: 75_000,
        frames_received: 74_998,
        frames_late: 1,
        frames_decodable: 74_997,
        freezes: 1,
        freeze_seconds: 0.4,
        cpu_seconds: Some(7.75),
        rss_bytes: Rss {
            start: Some(30 << 20),
            end: Some(31 << 20),
            max: Some(32 << 20),
        },
        client_cpu_seconds: 15.5,
        forward_latency_ms: spread(0.4),
        jitter_ms: spread(0.9),
        join_ms: spread(85.0),
        first_frame_ms: spread(240.0),
        bitrate_bps: Bitrates {
            ingress: 1.53e6,
            egress: 153e6,
        },
        subscriptions: 200,
        silent: vec![SilentSubscription {
            room: "loadtest-0".to_owned(),
            viewer: "subscriber-7".to_owned(),
            publisher: "publisher-0".to_owned(),
            track: "microphone".to_owned(),
            kind: "audio".to_owned(),
            from_s: 21.0,
            seconds: 13.0,
            whole: false,
        }],
        joins: Joins {
            attempted: 101,
            succeeded: 101,
            ..Joins::default()
        },
        tracks: vec![
            track("camera", "video", "vp8", 312_500, 12),
            track("microphone", "audio", "opus", 125_000, 0),
        ],
        timeline: timeline.collect(),
        scenario_toml: scenario.to_toml(),
        ..Report::default()
    };
    report.conclude(&scenario.thresholds);
    report
}

#[test]
fn names_that_scripts_rely_on_are_there() {
    let json = serde_json::to_value(sample()).expect("json");
    for pointer in [
        "/packets_forwarded",
        "/packets_lost",
        "/frames_decodable_ratio",
        "/freezes",
        "/cpu_ns_per_forwarded_packet",
        "/forward_latency_ms/p50",
        "/forward_latency_ms/p95",
        "/forward_latency_ms/p99",
        "/forward_latency_ms/max",
        "/join_ms/p50",
        "/join_ms/p95",
        "/first_frame_ms/p50",
        "/first_frame_ms/p95",
        "/rss_bytes/start",
        "/rss_bytes/end",
        "/rss_bytes/max",
        "/bitrate_bps/in",
        "/bitrate_bps/out",
        "/thresholds/0/passed",
        "/timeline/9/latency_p99_ms",
        "/tracks/0/packets_lost",
        "/tracks/1/silent",
        "/packets_expected",
        "/packets_published",
        "/packets_unseen",
        "/packets_unseen_ratio",
        "/frames_received",
        "/frames_late",
        "/frames_lost",
        "/frames_duplicated",
        "/tracks/0/packets_late",
        "/tracks/0/packets_duplicated",
        "/tracks/0/packets_unseen",
        "/tracks/0/frames_received",
        "/tracks/0/frames_late",
        "/tracks/0/frames_lost",
        "/tracks/0/frames_duplicated",
        "/tracks/0/switch_ms/p95",
        "/subscriptions",
        "/subscriptions_silent",
        "/silent/0/viewer",
        "/silent/0/seconds",
    ] {
        assert!(
            json.pointer(pointer).is_some_and(|value| !value.is_null()),
            "{pointer}"
        );
    }
    let read: Report = serde_json::from_value(json).expect("our own");
    assert!(read == sample());
}

#[test]
fn numbers_not_taken_are_null_under_the_same_names() {
    let mut report = Report::default();
    report.conclude(&Thresholds::default());
    let json = serde_json::to_value(report).expect("json");
    for pointer in [
        "/frames_decodable_ratio",
        "/cpu_ns_per_forwarded_packet",
        "/forward_latency_ms/p99",
        "/join_ms/p50",
        "/rss_bytes/max",
    ] {
        assert!(
            json.pointer(pointer)
                .is_some_and(serde_json::Value::is_null),
            "{pointer}"
        );
    }
}

#[test]
fn what_follows_from_other_numbers_is_computed() {
    let report = sample();
    let near = |found: Option<f64>, expected: f64| {
        found.is_some_and(|found| (found - expected).abs() < expected * 1e-9)
    };
    assert!(near(report.cpu_ns_per_forwarded_packet, 7.75e9 / 437_500.0));
    assert!(near(report.packets_lost_ratio, 12.0 / 437_512.0));
    assert_eq!((report.packets_expected, report.frames_lost), (437_512, 2));
    assert!(near(report.packets_unseen_ratio, 22.0 / 437_522.0));
    assert!(near(report.frames_decodable_ratio, 74_997.0 / 75_000.0));
    assert!(near(Some(report.packets_per_second), 17_500.0));
}

#[test]
fn a_busy_machine_is_noted() {
    // Seconds of the harness and of the server in 25 s on two processors.
    for (harness, server, noted) in [
        (15.5, Some(7.75), false),
        (30.0, Some(15.0), true),
        (45.0, None, true),
    ] {
        let mut report = sample();
        (report.client_cpu_seconds, report.cpu_seconds) = (harness, server);
        report.conclude(&Thresholds::default());
        assert_eq!(report.notes.len(), usize::from(noted), "{:?}", report.notes);
    }
}

#[test]
fn thresholds_judge_what_was_found() {
    let base = sample();
    let ms = |ms| Some(Duration::from_millis(ms));
    let lost = |ratio| Thresholds {
        max_lost: Some(Share::from_ratio(ratio)),
        ..Thresholds::default()
    };
    type Change = fn(&mut Report);
    let nothing: Change = |_| {};
    let cases: Vec<(Thresholds, Change, bool)> = vec![
        (lost(0.001), nothing, true),
        (lost(0.0), nothing, false),
        (lost(0.0), |report| report.packets_lost = 0, true),
        // Nothing came at all: that is no success.
        (
            lost(0.5),
            |report| (report.packets_lost, report.packets_forwarded) = (0, 0),
            false,
        ),
        (
            Thresholds {
                min_decodable_frames: Some(Share::from_ratio(0.999)),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                min_decodable_frames: Some(Share::from_ratio(1.0)),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        (
            Thresholds {
                max_freezes: Some(1),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_freezes: Some(0),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        (
            Thresholds {
                max_freezes: Some(5),
                ..Thresholds::default()
            },
            |report| report.frames_expected = 0,
            false,
        ),
        (
            Thresholds {
                max_latency_p99: ms(50),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_latency_p99: ms(0),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        (
            Thresholds {
                max_latency_p99: ms(50),
                ..Thresholds::default()
            },
            |report| report.forward_latency_ms = Quantiles::default(),
            false,
        ),
        (
            Thresholds {
                max_join_p95: ms(2_000),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_first_frame_p95: ms(1),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        (
            Thresholds {
                max_switch_p95: ms(1_000),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        (
            Thresholds {
                max_failed_joins: Some(Share::NONE),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_failed_joins: Some(Share::NONE),
                ..Thresholds::default()
            },
            |report| report.joins.failed = 1,
            false,
        ),
        (
            Thresholds {
                max_cpu_per_packet: Some(Duration::from_micros(20)),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_cpu_per_packet: Some(Duration::from_micros(20)),
                ..Thresholds::default()
            },
            |report| report.cpu_seconds = None,
            false,
        ),
        (
            Thresholds {
                max_rss: Some(ByteSize::from_bytes(32 << 20)),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_rss: Some(ByteSize::from_bytes(31 << 20)),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        (
            Thresholds {
                max_unseen: Some(Share::from_ratio(0.001)),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_unseen: Some(Share::NONE),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        (
            Thresholds {
                max_unseen: Some(Share::from_ratio(0.5)),
                ..Thresholds::default()
            },
            |report| report.packets_published = 0,
            false,
        ),
        (
            Thresholds {
                max_silent: Some(1),
                ..Thresholds::default()
            },
            nothing,
            true,
        ),
        (
            Thresholds {
                max_silent: Some(0),
                ..Thresholds::default()
            },
            nothing,
            false,
        ),
        // Nobody asked for anything: that is no success.
        (
            Thresholds {
                max_silent: Some(9),
                ..Thresholds::default()
            },
            |report| report.subscriptions = 0,
            false,
        ),
        (Thresholds::default(), nothing, true),
    ];
    for (limits, change, passes) in cases {
        let mut report = base.clone();
        change(&mut report);
        report.conclude(&limits);
        assert_eq!(report.passed, passes, "{:?}", report.thresholds);
    }
}

#[test]
fn the_table_says_what_matters() {
    let text = table::render(&sample());
    for expected in [
        "webinar: 1 room, 1 publisher and 100 subscribers, at ws://127.0.0.1:7880",
        "server plenum, which says Plenum 0.1.0",
        "packets forwarded",
        "437,500",
        "17,714 ns",
        "forwarding latency",
        "publisher-0 video vp8",
        "packets unseen",
        "frames late",
        "switch p95",
        "FAIL freezes 1, at most 0",
        "ok   packets lost 0.003 %, at most 0.1 %",
        "FAIL silent subscriptions 1, at most 0",
        "subscriber-7: of publisher-0's audio nothing for 13.0 s from 21.0 s",
        "Thresholds: FAILED: 2 of 9 thresholds",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 125),
        "{text}"
    );
}

#[test]
fn the_page_has_all_and_loads_nothing() {
    let page = html::render(&sample());
    for expected in [
        "Load test: webinar",
        "FAILED: 2 of 9 thresholds",
        "Silent subscriptions",
        "subscriber-7",
        "100 (1 silent)",
        "Video frames",
        "switch p95",
        "unseen",
        "1 of 200 subscriptions silent",
        "frames decodable",
        "✗ failed",
        "✓ passed",
        "Forwarding latency",
        "Packets forwarded",
        "Out of the server",
        "Processors kept busy",
        "Memory of the server",
        "Participants in",
        "Times",
        "first frame",
        "class=\"sortable tracks\"",
        "publisher-0",
        "Scenario as it ran",
        "[[video.layers]]",
        "A processor at 2.6 GHz",
        "2026-11-22T21:26:00Z",
        "prefers-color-scheme: dark",
        "25 / 75 %",
    ] {
        assert!(page.contains(expected), "{expected} is missing");
    }
    assert_eq!(page.matches("<figure").count(), 10);
    assert_self_contained(&page);
}

/// Nothing in the page may be fetched, and no number may have come out wrong.
fn assert_self_contained(page: &str) {
    for forbidden in [
        "src=", "href=", "http://", "https://", "url(", "@import", "NaN", "inf\"", "null",
    ] {
        assert!(!page.contains(forbidden), "{forbidden} is in the page");
    }
}

#[test]
fn names_cannot_write_into_the_page() {
    let evil = "<script>alert('x')</script>\"&";
    let mut report = sample();
    let track = &mut report.tracks[0];
    let silent = &mut report.silent[0];
    for text in [
        &mut report.scenario,
        &mut report.description,
        &mut report.engine,
        &mut report.started_at,
        &mut report.scenario_toml,
        &mut report.environment.cpu,
        &mut report.thresholds[0].name,
        &mut track.publisher,
        &mut track.room,
        &mut track.codec,
        &mut track.name,
        &mut silent.viewer,
        &mut silent.publisher,
        &mut silent.track,
        &mut silent.kind,
        &mut silent.room,
    ] {
        evil.clone_into(text);
    }
    report.url = format!("ws://{evil}");
    report.server.name = Some(evil.to_owned());
    report.server.process = Some(evil.to_owned());
    report.notes = vec![evil.to_owned()];
    report.errors = vec![ErrorCount {
        message: evil.to_owned(),
        count: 2,
    }];
    let found = CapacityReport {
        format: model::FORMAT,
        scenario: evil.to_owned(),
        url: report.url.clone(),
        vary: Vary::Subscribers,
        capacity: Some(1),
        limit: Some(2),
        steps: vec![
            Step::of_report(1, report.clone()),
            Step::of_error(2, evil.to_owned()),
        ],
    };
    for page in [
        html::render(&report),
        compare::render_html((evil, &report), (evil, &sample())),
        steps::render_html(&found),
    ] {
        assert!(
            !page.contains("<script>alert") && !page.contains("'x'"),
            "a name was not escaped"
        );
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    }
}

#[test]
fn an_empty_report_can_be_shown() {
    let mut report = Report::default();
    report.conclude(&Thresholds::default());
    assert!(table::render(&report).contains("no thresholds set"));
    assert_self_contained(&html::render(&report));
    assert_self_contained(&compare::render_html(("a", &report), ("b", &sample())));
}

#[test]
fn a_comparison_says_which_is_better() {
    let left = sample();
    let mut right = sample();
    right.cpu_seconds = Some(3.1);
    right.frames_decodable = 70_000;
    right.packets_lost = 12;
    right.conclude(&Scenario::load("webinar", &[]).expect("right").thresholds);
    right.scenario_toml = right.scenario_toml.replace("seed = 1", "seed = 2");
    right.notes = vec!["the server has no version".to_owned()];
    let text = compare::render_text(("plenum.json", &left), ("other.json", &right));
    let line = |name: &str| {
        text.lines()
            .find(|line| line.contains(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        line("CPU per forwarded packet").ends_with("0.40  better"),
        "{text}"
    );
    assert!(line("share decodable").ends_with("worse"), "{text}");
    assert!(line("packets lost").trim_end().ends_with("1.00"), "{text}");
    assert!(
        text.contains("The scenarios differ. Only in A: seed = 1. Only in B: seed = 2."),
        "{text}"
    );
    assert!(text.contains("B: the server has no version"), "{text}");
    let page = compare::render_html(("plenum.json", &left), ("other.json", &right));
    assert!(page.contains("better") && page.contains("A: plenum.json") && page.contains("<figure"));
    assert_self_contained(&page);
}

#[test]
fn a_search_is_shown_step_by_step() {
    let mut small = sample();
    small.conclude(&Thresholds::default());
    let found = CapacityReport {
        format: model::FORMAT,
        scenario: "webinar".to_owned(),
        url: "ws://127.0.0.1:7880".to_owned(),
        vary: Vary::Subscribers,
        capacity: Some(100),
        limit: Some(200),
        steps: vec![
            Step::of_report(100, small),
            Step::of_report(200, sample()),
            Step::of_error(400, "no answer".to_owned()),
        ],
    };
    assert_eq!(
        steps::conclusion(&found),
        "capacity: 100 subscribers (200 failed: silent subscriptions, freezes)"
    );
    assert!(steps::line(&found.steps[1]).ends_with("failed: silent subscriptions, freezes"));
    assert!(steps::line(&found.steps[2]).ends_with("failed: no answer"));
    let page = steps::render_html(&found);
    assert_eq!(page.matches("<figure").count(), 6);
    assert_self_contained(&page);
    let json = serde_json::to_string(&found).expect("json");
    assert!(serde_json::from_str::<CapacityReport>(&json).expect("our own") == found);

    let none = CapacityReport {
        capacity: None,
        limit: Some(50),
        steps: vec![],
        ..found.clone()
    };
    assert_eq!(
        steps::conclusion(&none),
        "capacity: fewer than 50 subscribers (failed: )"
    );
    let all = CapacityReport {
        limit: None,
        ..found
    };
    assert_eq!(
        steps::conclusion(&all),
        "capacity: at least 100 subscribers, the most that was tried"
    );
}
