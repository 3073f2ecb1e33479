//! What `plenum` and `control-plane` have in common: everything that clients and backends meet. Must not
//! hold settings of its own.

use std::collections::BTreeMap;

use plenum_service::config::{
    ByteSize, HttpConfig, Key, LogConfig, Mistakes, Secret, TelemetryConfig, is_loopback,
};

use super::{ApiConfig, Config, ControlPlaneConfig, DEV_KEY, DEV_SECRET, WebConfig, WhipConfig};
use crate::{
    agents::AgentsConfig, ice_servers::IceConfig, signal::SignalConfig, webhook::WebhookConfig,
};

/// The settings of the front; see [`Config`] for what each means.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in `Config`")]
pub struct Front {
    pub http: HttpConfig,
    pub keys: BTreeMap<String, Secret>,
    pub signal: SignalConfig,
    pub ice: IceConfig,
    pub whip: WhipConfig,
    pub agents: AgentsConfig,
    pub web: WebConfig,
    pub api: ApiConfig,
    pub webhook: WebhookConfig,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
}

/// Both configurations name their sections alike.
macro_rules! front {
    ($config:ident) => {
        impl $config {
            /// What clients and backends meet.
            pub fn front(&self) -> Front {
                let config = self.clone();
                Front {
                    http: config.http,
                    keys: config.keys,
                    signal: config.signal,
                    ice: config.ice,
                    whip: config.whip,
                    agents: config.agents,
                    web: config.web,
                    api: config.api,
                    webhook: config.webhook,
                    log: config.log,
                    telemetry: config.telemetry,
                }
            }
        }
    };
}

front!(Config);
front!(ControlPlaneConfig);

impl Front {
    /// Whether the key that everybody knows is accepted.
    pub fn is_dev(&self) -> bool {
        self.keys
            .get(DEV_KEY)
            .is_some_and(|secret| secret.expose() == DEV_SECRET)
    }

    /// Whether anybody may join without a token, by asking for one.
    pub fn guest_access(&self) -> bool {
        self.web.guest_access.unwrap_or_else(|| self.is_dev())
    }

    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        self.check_keys(mistakes);
        self.http.check(mistakes);
        self.log.check(mistakes);
        self.telemetry.check(mistakes);
        super::signal::check(&self.signal, mistakes);
        super::ice::check(&self.ice, mistakes);
        let names: Vec<&str> = self.keys.keys().map(String::as_str).collect();
        self.webhook.check(&names, mistakes);
        let api = &self.api;
        for (key, is_zero) in [
            ("api.request_timeout", api.request_timeout.is_zero()),
            (
                "api.max_concurrent_requests",
                api.max_concurrent_requests == 0,
            ),
            ("api.max_event_streams", api.max_event_streams == 0),
        ] {
            mistakes.refuse_zero(key, is_zero);
        }
        self.check_whip(mistakes);
        self.agents.check(mistakes);
    }

    fn check_whip(&self, mistakes: &mut Mistakes) {
        let whip = &self.whip;
        for (key, is_zero) in [
            ("whip.max_sessions", whip.max_sessions == 0),
            ("whip.connect_timeout", whip.connect_timeout.is_zero()),
            (
                "whip.max_pending_per_token",
                whip.max_pending_per_token == 0,
            ),
            ("whip.posts_per_second", whip.posts_per_second == 0),
            ("whip.post_burst", whip.post_burst == 0),
            ("whip.patches_per_second", whip.patches_per_second == 0),
            ("whip.patch_burst", whip.patch_burst == 0),
            ("whip.max_body", whip.max_body == ByteSize(0)),
        ] {
            mistakes.refuse_zero(key, is_zero);
        }
    }

    fn check_keys(&self, mistakes: &mut Mistakes) {
        let keys = Key::of("keys");
        if self.keys.is_empty() {
            mistakes.add(&keys, "must hold at least one API key");
        }
        let pairs = self
            .keys
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose()));
        if let Err(error) = crate::auth::Keys::new(pairs) {
            mistakes.add(&keys, error.to_string());
        }
        if self.is_dev() && !is_loopback(self.http.listen.ip()) {
            mistakes.add(
                &Key::of("http.listen"),
                format!(
                    "{} is reachable by others, but \"keys\" holds the development key \"{DEV_KEY}\", \
                     whose secret everybody knows; set \"keys\" to a key of your own (for example \
                     PLENUM_KEYS=mykey=$(openssl rand -hex 32)), or listen on 127.0.0.1",
                    self.http.listen
                ),
            );
        }
    }
}
