//! The command line as people type it.

use clap::CommandFactory as _;

use super::{args::OutputArgs, *};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

const TARGET: &str = "--url ws://127.0.0.1:7880 --api-key devkey --api-secret hush";

#[test]
fn flags_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_documented_command_runs_what_it_says() {
    let line = format!(
        "loadtest run webinar {TARGET} --publishers 1 --subscribers 50 --duration 20s --server-pid 7 --json a.json --html a.html"
    );
    let Command::Run(args) = parse(&line).expect("right").command else {
        panic!("no run");
    };
    let scenario = Scenario::load(&args.scenario, &args.overrides.overrides()).expect("right");
    assert_eq!((scenario.publishers, scenario.subscribers), (1, 50));
    assert_eq!(scenario.duration.as_secs(), 20);
    assert_eq!(args.target.server_pid, Some(7));
    assert!(!format!("{args:?}").contains("hush"), "the secret shows");
}

#[test]
fn every_flag_reaches_its_key() {
    let cases = [
        ("--rooms 3", "rooms = 3"),
        ("--publishers 7", "publishers = 7"),
        ("--subscribers 7", "subscribers = 7"),
        ("--duration 9s", "duration = \"9s\""),
        ("--warm-up 2s", "warm_up = \"2s\""),
        ("--join-rate 3.5", "rate = 3.5"),
        ("--codec av1", "codec = \"av1\""),
        ("--engine webrtc", "engine = \"webrtc\""),
        ("--room studio", "room = \"studio\""),
        ("--room-prefix test", "room_prefix = \"test\""),
        ("--seed 99", "seed = 99"),
        ("--loss 2%", "loss = \"2%\""),
        ("--delay 30ms", "delay = \"30ms\""),
        ("--jitter 4ms", "jitter = \"4ms\""),
        ("--set audio.turn=9s", "turn = \"9s\""),
        ("--set video.layers[1].bitrate=600k", "bitrate = \"600k\""),
    ];
    for (flags, expected) in cases {
        let line = format!("loadtest scenarios check meeting {flags}");
        let Command::Scenarios {
            command: Some(command),
        } = parse(&line).expect(flags).command
        else {
            panic!("no command");
        };
        let text = scenarios(&command).expect(flags);
        assert!(text.lines().any(|line| line == expected), "{flags}: {text}");
    }
    let flags = [
        ("--no-video", "[video]"),
        ("--no-audio", "[audio]"),
        ("--unset thresholds.max_lost", "max_lost"),
    ];
    for (flag, gone) in flags {
        for built_in in ["meeting", "webinar", "churn", "large-room"] {
            let line = format!("loadtest scenarios check {built_in} {flag}");
            let Command::Scenarios {
                command: Some(command),
            } = parse(&line).expect(flag).command
            else {
                panic!("no command");
            };
            assert!(!scenarios(&command).expect(&line).contains(gone), "{line}");
        }
    }
}

#[test]
fn wrong_flags_are_refused() {
    for flags in [
        "--step 0",
        "--step twice",
        "--max 0",
        "--start none",
        "--vary people",
        "--precision 0",
        "--tries 0",
        "--threads 0",
        "--set no_value",
        "--volume 11",
    ] {
        let error = parse(&format!("loadtest find-capacity webinar {TARGET} {flags}"));
        assert_eq!(error.expect_err(flags).exit_code(), 2, "{flags}");
    }
}

#[test]
fn a_shown_scenario_is_a_file_that_runs() {
    let listed = scenarios(&ScenariosCommand::List).expect("right");
    assert_eq!(listed.lines().count(), BUILT_IN.len());
    for built_in in &BUILT_IN {
        let name = built_in.name.to_owned();
        let text = scenarios(&ScenariosCommand::Show { name }).expect("right");
        let read = Scenario::read(&text, "copy.toml", "copy", &[]).expect("right");
        assert_eq!(read, Scenario::load(built_in.name, &[]).expect("right"));
    }
    let error = scenarios(&ScenariosCommand::Show {
        name: "party".to_owned(),
    });
    let error = error.expect_err("unknown");
    assert_eq!(error.status(), 2);
    assert_eq!(
        error.to_string(),
        "there is no built-in scenario \"party\"; there are audio, meeting, webinar, churn, large-room, games, thin-link"
    );
}

#[test]
fn a_search_sets_the_load_of_each_step() {
    let line = format!("loadtest find-capacity webinar {TARGET} --vary rooms --subscribers 5");
    let Command::FindCapacity(args) = parse(&line).expect("right").command else {
        panic!("no search");
    };
    let scenario = scenario_at(&args, args.search.vary, 12).expect("right");
    assert_eq!((scenario.rooms, scenario.subscribers), (12, 5));
    let error = scenario_at(&args, args.search.vary, 90_000).expect_err("too many");
    assert!(
        error
            .to_string()
            .contains("--vary rooms: rooms: must be between 1 and 10000"),
        "{error}"
    );
}

/// A server that gives every request this status line; where it is.
fn refusing(status: &'static str) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    format!("ws://{address}")
}

#[test]
fn a_search_goes_down_where_nobody_gets_in_and_ends_where_that_is_no_matter_of_load() {
    let file = std::env::temp_dir().join(format!("loadtest-search-{}.json", std::process::id()));
    for (status, loads) in [
        ("503 Service Unavailable", &[4, 2, 1][..]),
        ("401 Unauthorized", &[]),
    ] {
        let line = format!(
            "loadtest find-capacity webinar --url {} --api-key k --api-secret s --start 4 --tries 1 \
             --join-rate 1000 --quiet --json {}",
            refusing(status),
            file.display()
        );
        let error = execute(&parse(&line).expect("right").command).expect_err(status);
        assert_eq!(error.status(), 3);
        let said = with_causes(&error);
        assert!(
            said.contains(status.split(' ').next().expect("a number")),
            "{said}"
        );
        // What was found is there, and nothing where nothing was.
        let written = std::fs::read_to_string(&file).ok();
        let found = written.map(|text| serde_json::from_str::<CapacityReport>(&text));
        let steps = found.map_or(Vec::new(), |found| found.expect("a report").steps);
        let tried: Vec<u32> = steps.iter().map(|step| step.load).collect();
        assert_eq!(tried, loads, "{status}");
        assert_eq!(file.exists(), !loads.is_empty(), "{status}");
        let _ = std::fs::remove_file(&file);
    }
}

#[test]
fn a_run_that_fails_leaves_no_file_and_keeps_those_of_before() {
    let file = |name: &str| {
        let name = format!("loadtest-{name}-{}.json", std::process::id());
        std::env::temp_dir().join(name)
    };
    let (new, old) = (file("new"), file("old"));
    std::fs::write(&old, "of before").expect("writable");
    let args = OutputArgs {
        json: Some(new.clone()),
        html: Some(old.clone()),
        quiet: true,
    };
    drop(Outputs::open(&args).expect("writable"));
    assert!(!new.exists());
    assert_eq!(std::fs::read_to_string(&old).expect("there"), "of before");
    std::fs::remove_file(&old).expect("ours");
}
