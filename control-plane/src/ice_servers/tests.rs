//! What is configured and what a participant is told.

use super::*;

fn config(text: &str) -> IceConfig {
    toml::from_str(text).unwrap()
}

#[test]
fn fixed_credentials_are_told_as_they_are_and_secrets_make_new_ones() {
    let servers = IceServers::new(&config(
        r#"
        servers = [
            { urls = ["stun:stun.example.org"] },
            { urls = ["turn:a.example.org"], username = "u", credential = "c" },
            { urls = ["turns:b.example.org:443?transport=tcp"], secret = "shared" },
        ]
        "#,
    ));
    let told = servers.ice_servers("room", "ann");
    let access = |i: usize| (told[i].username.as_str(), told[i].credential.as_str());
    assert_eq!(told[0].urls, ["stun:stun.example.org"]);
    assert_eq!(access(0), ("", ""));
    assert_eq!(access(1), ("u", "c"));
    let (ends, _) = told[2].username.split_once(':').unwrap();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let left = ends.parse::<u64>().unwrap() - now.as_secs();
    assert!((12 * 3600 - 5..=12 * 3600).contains(&left), "{left}");
    assert_ne!(told[2].credential, "shared");
    let other = servers.ice_servers("room", "bob");
    assert_ne!(told[2].username, other[2].username);
}

#[test]
fn all_mistakes_are_named() {
    let config = config(
        r#"
        credential_ttl = "30s"
        servers = [
            { urls = ["http://example.org"] },
            { urls = [] , username = "u", credential = "c" },
            { urls = ["turn:t.example.org"] },
            { urls = ["turn:t.example.org"], username = "u" },
            { urls = ["turn:t.example.org"], username = "u", credential = "c", secret = "s" },
            { urls = ["turn:t.example.org"], secret = "s" },
            { urls = ["stun:s.example.org"] },
        ]
        "#,
    );
    let keys: Vec<String> = config.mistakes().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "servers[0].urls",
            "servers[1].urls",
            "servers[2].credential",
            "servers[3].credential",
            "servers[4].secret",
            "credential_ttl",
        ]
    );
}

#[test]
fn the_default_is_good_and_every_key_is_explained() {
    let config = IceConfig::default();
    assert_eq!(config.mistakes(), []);
    let table = toml::Table::try_from(config).unwrap();
    let mut keys: Vec<&str> = table.keys().map(String::as_str).collect();
    let mut explained: Vec<&str> = EXPLAINED.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    explained.sort_unstable();
    assert_eq!(keys, explained);
}

#[test]
fn secrets_are_not_printed() {
    let config = config(
        r#"servers = [{ urls = ["turn:t.example.org"], username = "u", credential = "hidden" },
                      { urls = ["turn:t.example.org"], secret = "hidden" }]"#,
    );
    let told = IceServers::new(&config).ice_servers("room", "ann");
    assert!(!format!("{config:?} {told:?}").contains("hidden"));
}
