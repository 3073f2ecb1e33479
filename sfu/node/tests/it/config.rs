use sfu_node::{NodeConfig, StartError};

fn problems(text: &str) -> Vec<String> {
    let config: NodeConfig = toml::from_str(text).unwrap();
    config
        .validate()
        .err()
        .unwrap_or_default()
        .iter()
        .map(|p| p.path.clone())
        .collect()
}

#[test]
fn the_defaults_are_right_and_survive_a_file() {
    let config = NodeConfig::default();
    assert_eq!(config.validate(), Ok(()));
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<NodeConfig>(&text).unwrap(), config);
    assert_eq!(toml::from_str::<NodeConfig>("").unwrap(), config);
}

#[test]
fn every_mistake_is_reported_with_its_path() {
    let text = r#"
        workers = 40
        [udp]
        listen = ["0.0.0.0:7882", "127.0.0.1:65530"]
        advertise = ["[2001:db8::7]:7882"]
        send_queue = 0
        [tcp]
        listen = ["127.0.0.1:7881", "127.0.0.1:7881"]
        idle_timeout = "0s"
        [timeouts]
        resume_window = "9000h"
        [events]
        keep = 0
        [limits]
        rooms = 0
        data_channels = 0
    "#;
    let expected = [
        "workers",
        "udp.listen[1]",
        "udp.listen[0]",
        "udp.advertise[0]",
        "udp.send_queue",
        "tcp.listen[1]",
        "tcp.idle_timeout",
        "timeouts.resume_window",
        "events.keep",
        "limits.rooms",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn addresses_are_checked_as_a_whole() {
    let cases: [(&str, &[&str]); 14] = [
        ("[udp]\nlisten = []\n[tcp]\nlisten = []", &["udp.listen"]),
        ("[udp]\nlisten = []", &[]),
        (
            "[udp]\nlisten = ['0.0.0.0:1']\nadvertise = ['203.0.113.7']",
            &[],
        ),
        (
            "[udp]\nlisten = ['[::]:1']\nadvertise = ['203.0.113.7']",
            &["udp.listen[0]", "udp.advertise[0]"],
        ),
        (
            "[udp]\nlisten = ['10.0.0.1:1', '10.0.0.2:1']\nadvertise = ['203.0.113.7']",
            &["udp.advertise[0]"],
        ),
        (
            "[tcp]\nadvertise = ['0.0.0.0', '203.0.113.7:0']",
            &["tcp.advertise[0]", "tcp.advertise[1]"],
        ),
        (
            "workers = 3\n[udp]\nlisten = ['10.0.0.1:10', '10.0.0.1:12']",
            &["udp.listen[1]"],
        ),
        (
            "workers = 2\n[udp]\nlisten = ['10.0.0.1:10', '10.0.0.1:12']",
            &[],
        ),
        (
            "workers = 2\n[udp]\nadvertise = ['203.0.113.7:65535']",
            &["udp.advertise[0]"],
        ),
        (
            "workers = 2\n[udp]\nport_range = 1\n[tcp]\nport_range = 1",
            &["udp.port_range"],
        ),
        (
            "workers = 2\n[udp]\nport_range = 4\nadvertise = ['203.0.113.7', '203.0.113.8:1']",
            &["udp.advertise[1]"],
        ),
        (
            "[udp]\nlisten = ['127.0.0.1:65530']\nport_range = 7\n[tcp]\nlisten = ['127.0.0.1:0']\n\
             port_range = 2",
            &["udp.port_range", "tcp.listen[0]"],
        ),
        (
            "[discover]\ngiven = ['10.0.0.1']\n[udp]\nlisten = ['0.0.0.0:1', '[::]:1']",
            &[],
        ),
        (
            "[discover]\nstun = ['a:1']\ntimeout = '0s'",
            &["discover.timeout"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(text), expected, "{text}");
    }
}

#[test]
fn a_turn_server_needs_what_clients_need() {
    let cases: [(&str, &[&str]); 8] = [
        ("udp = ['127.0.0.1:3478']", &[]),
        ("udp = ['0.0.0.0:3478']", &["turn.udp[0]"]),
        ("udp = ['0.0.0.0:3478']\nhost = 'turn.example.org'", &[]),
        (
            "tls = ['127.0.0.1:443']",
            &["turn.certificate", "turn.key", "turn.host"],
        ),
        (
            "tls = ['127.0.0.1:443']\ncertificate = 'c'\nkey = 'k'\nhost = 'h'",
            &[],
        ),
        ("urls = ['http://turn.example.org']", &["turn.urls[0]"]),
        ("credential_ttl = '0s'", &["turn.credential_ttl"]),
        (
            "max_allocations = 0\nbytes_per_second = 1",
            &["turn.max_allocations", "turn.bytes_per_second"],
        ),
    ];
    for (turn, expected) in cases {
        assert_eq!(problems(&format!("[turn]\n{turn}")), expected, "{turn}");
    }
    let no_media = "[udp]\nlisten = []\n[turn]\nudp = ['127.0.0.1:3478']";
    assert_eq!(problems(no_media), ["turn"]);
}

#[test]
fn a_relay_needs_a_secret_and_addresses_others_can_reach() {
    let secret = "0123456789abcdef0123456789abcdef";
    let cases: [(String, &[&str]); 5] = [
        (
            format!("listen = ['127.0.0.1:1']\nsecret = '{secret}'"),
            &[],
        ),
        ("listen = ['127.0.0.1:1']".into(), &["relay.secret"]),
        (
            format!("listen = ['0.0.0.0:1']\nsecret = '{secret}'"),
            &["relay.listen[0]"],
        ),
        (
            format!("listen = ['10.0.0.1:1', '[::1]:1', '10.0.0.2:1']\nsecret = '{secret}'"),
            &["relay.listen[2]"],
        ),
        (
            "secret = 'short'\nidle_timeout = '100ms'\nmax_nodes = 0".into(),
            &["relay.max_nodes", "relay.idle_timeout"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(&format!("[relay]\n{text}")), expected, "{text}");
    }
    let config: NodeConfig = toml::from_str(&format!("[relay]\nsecret = '{secret}'")).unwrap();
    assert!(!format!("{config:?}").contains(secret), "no log shows it");
}

#[test]
fn unknown_keys_and_unreadable_values_are_refused() {
    for text in [
        "worker = 1",
        "[udp]\nport = 1",
        "[limits]\nroom = 1",
        "[timeouts]\njoin = 10",
        "[timeouts]\njoin = '10'",
        "[udp]\nadvertise = ['example.org']",
        "[discover]\nstun = ['example.org']",
        "[discover]\ngiven = ['example.org']",
        "workers = -1",
    ] {
        assert!(toml::from_str::<NodeConfig>(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_node_does_not_start_with_mistakes() {
    let config = NodeConfig {
        workers: 37,
        ..NodeConfig::default()
    };
    match sfu_node::start(config).await.err() {
        Some(StartError::Config(problems)) => {
            assert_eq!(problems[0].to_string(), "workers: must be at most 36")
        }
        other => panic!("{other:?}"),
    }
}
