//! Settings of the signalling gateway: the section `[signal]` of the control plane's configuration.
//! Must not read files or the environment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span;

/// Settings of the signalling gateway. Durations are written like `"15s"` or `"500ms"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignalConfig {
    /// Whether a join creates its room when there is none.
    pub auto_create: bool,
    /// How often clients are to send a sign of life.
    #[serde(with = "span")]
    pub ping_interval: Duration,
    /// How long a client may give no sign of life.
    #[serde(with = "span")]
    pub ping_timeout: Duration,
    /// How often we ping the WebSocket, for proxies that cut idle connections.
    #[serde(with = "span")]
    pub websocket_ping_interval: Duration,
    /// How long a node may take to answer a join, or to take a request.
    #[serde(with = "span")]
    pub node_timeout: Duration,
    /// How long a client may take to read what we send.
    #[serde(with = "span")]
    pub write_timeout: Duration,
    /// How often a client gets a fresh token.
    #[serde(with = "span")]
    pub token_refresh: Duration,
    /// How long a fresh token is good for.
    #[serde(with = "span")]
    pub token_ttl: Duration,
    /// Bytes of one message of a client.
    pub max_message_bytes: usize,
    /// Bytes waiting to be written to one client.
    pub max_write_buffer_bytes: usize,
    /// Messages a second of one client, averaged.
    pub requests_per_second: u32,
    /// Messages one client may send at once.
    pub request_burst: u32,
    /// Joins and resumes admitted a second, averaged; the rest is told to come again in a moment.
    pub joins_per_second: u32,
    /// Joins and resumes admitted at once.
    pub join_burst: u32,
    /// WebSockets open at the same time.
    pub max_connections: usize,
    /// Connections of one participant that wait for their first answer.
    pub max_pending_per_participant: u32,
    /// Bytes of an identity, a participant's name or a room's name.
    pub max_name_bytes: usize,
    /// Bytes of all attributes of a participant, keys and values.
    pub max_attributes_bytes: usize,
}

/// A mistake in the configuration; the operator's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigMistake {
    /// The key below `[signal]`.
    pub key: &'static str,
    /// What is wrong with its value.
    pub problem: &'static str,
}

impl SignalConfig {
    /// Everything that is wrong with the values, at once.
    pub fn mistakes(&self) -> Vec<ConfigMistake> {
        let second = Duration::from_secs(1);
        let checks = [
            (
                self.ping_interval >= second,
                "ping_interval",
                "is below one second",
            ),
            (
                self.ping_timeout > self.ping_interval,
                "ping_timeout",
                "is not longer than ping_interval",
            ),
            (
                self.websocket_ping_interval >= second,
                "websocket_ping_interval",
                "is below one second",
            ),
            (!self.node_timeout.is_zero(), "node_timeout", "is zero"),
            (!self.write_timeout.is_zero(), "write_timeout", "is zero"),
            (
                self.token_refresh >= second,
                "token_refresh",
                "is below one second",
            ),
            (
                self.token_ttl > self.token_refresh,
                "token_ttl",
                "is not longer than token_refresh",
            ),
            (
                self.max_message_bytes >= 64 * 1024,
                "max_message_bytes",
                "is below 65536",
            ),
            (
                self.max_write_buffer_bytes >= 1024 * 1024,
                "max_write_buffer_bytes",
                "is below 1048576",
            ),
            (
                self.requests_per_second > 0,
                "requests_per_second",
                "is zero",
            ),
            (
                self.request_burst >= self.requests_per_second,
                "request_burst",
                "is below requests_per_second",
            ),
            (self.joins_per_second > 0, "joins_per_second", "is zero"),
            (self.join_burst > 0, "join_burst", "is zero"),
            (self.max_connections > 0, "max_connections", "is zero"),
            (
                self.max_pending_per_participant > 0,
                "max_pending_per_participant",
                "is zero",
            ),
            (self.max_name_bytes > 0, "max_name_bytes", "is zero"),
        ];
        checks
            .into_iter()
            .filter(|(is_good, ..)| !is_good)
            .map(|(_, key, problem)| ConfigMistake { key, problem })
            .collect()
    }
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self {
            auto_create: true,
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(15),
            websocket_ping_interval: Duration::from_secs(10),
            node_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            token_refresh: Duration::from_secs(5 * 60),
            token_ttl: Duration::from_secs(10 * 60),
            max_message_bytes: 2 * 1024 * 1024,
            max_write_buffer_bytes: 16 * 1024 * 1024,
            requests_per_second: 100,
            request_burst: 500,
            joins_per_second: 200,
            join_burst: 1000,
            max_connections: 20_000,
            max_pending_per_participant: 5,
            max_name_bytes: 256,
            max_attributes_bytes: 64 * 1024,
        }
    }
}

/// What each key means, for a printed configuration; paths are below `[signal]`.
pub const EXPLAINED: &[(&str, &str)] = &[
    (
        "auto_create",
        "Whether a join creates its room when there is none.",
    ),
    (
        "ping_interval",
        "How often clients are to send a sign of life.",
    ),
    (
        "ping_timeout",
        "How long a client may give no sign of life.",
    ),
    (
        "websocket_ping_interval",
        "How often we ping the WebSocket, for proxies that cut idle connections.",
    ),
    (
        "node_timeout",
        "How long a node may take to answer a join, or to take a request.",
    ),
    (
        "write_timeout",
        "How long a client may take to read what we send.",
    ),
    ("token_refresh", "How often a client gets a fresh token."),
    ("token_ttl", "How long a fresh token is good for."),
    ("max_message_bytes", "Bytes of one message of a client."),
    (
        "max_write_buffer_bytes",
        "Bytes waiting to be written to one client.",
    ),
    (
        "requests_per_second",
        "Messages a second of one client, averaged.",
    ),
    ("request_burst", "Messages one client may send at once."),
    (
        "joins_per_second",
        "Joins and resumes admitted a second, averaged: when a node is lost all come back at once. The rest is told \
         to come again in a moment.",
    ),
    ("join_burst", "Joins and resumes admitted at once."),
    ("max_connections", "WebSockets open at the same time."),
    (
        "max_pending_per_participant",
        "Connections of one participant that wait for their first answer.",
    ),
    (
        "max_name_bytes",
        "Bytes of an identity, a participant's name or a room's name.",
    ),
    (
        "max_attributes_bytes",
        "Bytes of all attributes of a participant, keys and values.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_good_and_survives_toml() {
        let config = SignalConfig::default();
        assert_eq!(config.mistakes(), []);
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<SignalConfig>(&text).unwrap(), config);
    }

    #[test]
    fn every_key_is_explained() {
        let table = toml::Table::try_from(SignalConfig::default()).unwrap();
        let mut keys: Vec<&str> = table.keys().map(String::as_str).collect();
        let mut explained: Vec<&str> = EXPLAINED.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        explained.sort_unstable();
        assert_eq!(keys, explained);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let config: SignalConfig = toml::from_str(
            r#"
            ping_interval = "20s"
            node_timeout = "0s"
            requests_per_second = 0
            "#,
        )
        .unwrap();
        let keys: Vec<_> = config
            .mistakes()
            .into_iter()
            .map(|mistake| mistake.key)
            .collect();
        assert_eq!(
            keys,
            ["ping_timeout", "node_timeout", "requests_per_second"]
        );
    }

    #[test]
    fn unknown_keys_and_bare_numbers_are_refused() {
        for text in ["colour = 1", "ping_interval = 5", "ping_interval = \"5\""] {
            assert!(toml::from_str::<SignalConfig>(text).is_err(), "{text}");
        }
    }
}
