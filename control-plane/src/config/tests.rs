//! What the configuration promises: printed documentation that cannot drift, and mistakes all at once.

use super::*;

fn read(file: &str) -> Result<Config, Vec<String>> {
    read_all(file, &[], &[])
}

fn read_all(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, Vec<String>> {
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect()
    };
    Config::read_text(file, own(environment), own(flags)).map_err(|error| match error {
        ConfigError::Wrong(mistakes) => mistakes
            .all()
            .iter()
            .map(|m| format!("{}: {}", m.key, m.problem))
            .collect(),
        other => vec![other.to_string()],
    })
}

#[test]
fn the_printed_defaults_read_back_as_the_defaults() {
    let printed = Config::default_toml();
    assert_eq!(read(&printed), Ok(Config::default()), "{printed}");
}

#[test]
fn every_printed_setting_has_a_comment() {
    let printed = Config::default_toml();
    let lines: Vec<&str> = printed.lines().collect();
    let mut settings = 0;
    for (index, line) in lines.iter().enumerate() {
        let is_unset = line.starts_with("# ") && line.contains(" = (not set; ");
        let is_setting = is_unset || !(line.starts_with('#') || line.is_empty());
        // API keys are names of the operator: their section explains them.
        if !is_setting || line.starts_with("\"devkey\"") {
            continue;
        }
        settings += 1;
        let above = index.checked_sub(1).map_or("", |above| lines[above]);
        assert!(
            above.starts_with("# ") && above.len() > 3,
            "no comment above {line:?}"
        );
        assert!(line.len() <= 100, "{line:?} is too long");
    }
    assert!(settings > 25, "{settings} settings found:\n{printed}");
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_keys() {
    let file = r#"
        typo = 1
        [http]
        listen = "nowhere"
        max_streams = 0
        max_header = "1KiB"
        [api]
        request_timeout = 10
        [log]
        format = "xml"
        level = "=="
        [telemetry]
        otlp_endpoint = "collector:4317"
    "#;
    let mistakes = read_all(
        file,
        &[("PLENUM_HTTP__LISTNE", "x"), ("PLENUM_LOG", "x")],
        &[("web.guest_access", "perhaps")],
    )
    .unwrap_err();
    for key in [
        "typo:",
        "http.listen:",
        "http.listne:",
        "http.max_streams:",
        "http.max_header:",
        "api.request_timeout:",
        "telemetry.otlp_endpoint:",
        "web.guest_access:",
        "log:",
    ] {
        assert!(
            mistakes.iter().any(|m| m.starts_with(key)),
            "{key} missing in {mistakes:#?}"
        );
    }
    let mistakes = read("[log]\nformat = \"xml\"\nlevel = \"==\"").unwrap_err();
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\nmax_streams = 1\n[log]\nlevel = \"warn\"";
    let environment = [
        ("PLENUM_HTTP__LISTEN", "127.0.0.1:2"),
        ("PLENUM_HTTP__MAX_STREAMS", "2"),
        ("PLENUM_WEB__GUEST_ACCESS", "false"),
        ("PLENUM_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/"),
    ];
    let config = read_all(file, &environment, &[("http.listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.http.max_streams, 2);
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.web.guest_access, Some(false));
}

#[test]
fn own_keys_replace_the_development_key() {
    for (file, environment) in [
        ("[keys]\nmine = \"s1\"", &[][..]),
        ("", &[("PLENUM_KEYS", "mine=s1")][..]),
        ("", &[("PLENUM_KEYS__mine", "s1")][..]),
    ] {
        let config = read_all(file, environment, &[]).unwrap();
        assert_eq!(
            config.keys.keys().collect::<Vec<_>>(),
            ["mine"],
            "{file} {environment:?}"
        );
        assert!(!config.front().is_dev() && !config.front().guest_access());
    }
    assert!(Config::default().front().is_dev() && Config::default().front().guest_access());
}

#[test]
fn the_development_key_stays_on_the_loopback_address() {
    for (listen, keys, accepted) in [
        ("127.0.0.1:7880", "", true),
        ("[::1]:7880", "", true),
        ("0.0.0.0:7880", "", false),
        ("[::]:7880", "", false),
        ("192.0.2.1:7880", "", false),
        ("0.0.0.0:7880", "[keys]\nmine = \"s1\"", true),
        (
            "0.0.0.0:7880",
            "[keys]\nmine = \"s1\"\ndevkey = \"secret\"",
            false,
        ),
    ] {
        let result = read(&format!("[http]\nlisten = \"{listen}\"\n{keys}"));
        assert_eq!(result.is_ok(), accepted, "{listen} {keys}: {result:?}");
        if let Err(mistakes) = result {
            assert!(mistakes[0].starts_with("http.listen: "), "{mistakes:?}");
            assert!(mistakes[0].contains("\"keys\""), "{mistakes:?}");
        }
    }
}
