//! The configuration of `plenum`: one documented structure, read from a TOML file, then the environment
//! (`PLENUM_HTTP__LISTEN` is `http.listen`), then flags (`--set http.listen=…`). Owns what may be set
//! and which settings fit together. Must not start anything.

mod external;
mod given;
mod mistake;
mod node;
mod sections;
mod setting;
mod signal;
mod value;

use std::{net::IpAddr, path::Path};

use toml::Table;

use given::{Given, Variable, variable};
use mistake::Key;
use setting::Setting as _;

pub use mistake::{ConfigError, Mistake, Mistakes};
pub use sections::{
    ApiConfig, Config, DEV_KEY, DEV_SECRET, HttpConfig, LogConfig, TelemetryConfig, WebConfig,
};
pub(crate) use value::parse_duration;
pub use value::{ByteSize, LogFormat, Secret};

impl Config {
    /// Reads and checks a configuration. `environment` are all variables of the process; `flags` are pairs
    /// of a setting's path and its text.
    ///
    /// # Errors
    /// All mistakes at once, each with the path of its key.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = file.map(|path| {
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            })
        });
        Self::read(
            text.transpose()?.as_deref().unwrap_or_default(),
            environment,
            flags,
        )
    }

    /// As [`load`](Self::load), of the text of a file.
    ///
    /// # Errors
    /// All mistakes at once, each with the path of its key.
    pub fn read(
        file: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut given = Given::from_table(file.parse::<Table>().map_err(ConfigError::NotToml)?);
        for (name, text) in environment {
            if let Variable::Path(path) = variable(&name) {
                given.set(&path, text);
            }
        }
        for (path, text) in flags {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            given.set(&path, text);
        }
        let mut config = Self::default();
        let mut mistakes = Mistakes::default();
        setting::Setting::read(&mut config, given, &Key::root(), &mut mistakes);
        config.check(&mut mistakes);
        if mistakes.all().is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Wrong(mistakes))
        }
    }

    /// Checks what one setting alone cannot show, for configurations that were not read from text.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        self.check(&mut mistakes);
        if mistakes.all().is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Wrong(mistakes))
        }
    }

    /// The defaults as TOML, each setting with its explanation.
    pub fn default_toml() -> String {
        let mut out = String::new();
        Self::default().print(&Key::root(), &[ABOUT], &mut out);
        out.trim_start().to_owned()
    }

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

    fn check(&self, mistakes: &mut Mistakes) {
        self.check_keys(mistakes);
        self.check_limits(mistakes);
        node::check(&self.node, mistakes);
        signal::check(&self.signal, mistakes);
        if let Err(problem) = crate::telemetry::check_level(&self.log.level) {
            mistakes.add(&Key::of("log.level"), problem);
        }
        if let Some(endpoint) = &self.telemetry.otlp_endpoint
            && !endpoint.starts_with("http://")
        {
            let problem = "must begin with http:// (a collector beside this process, without TLS)";
            mistakes.add(&Key::of("telemetry.otlp_endpoint"), problem);
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

    fn check_limits(&self, mistakes: &mut Mistakes) {
        let http = &self.http;
        for (key, is_zero) in [
            ("http.max_connections", http.max_connections == 0),
            ("http.max_streams", http.max_streams == 0),
            ("http.header_timeout", http.header_timeout.is_zero()),
            ("http.request_timeout", http.request_timeout.is_zero()),
            ("http.keepalive_interval", http.keepalive_interval.is_zero()),
            ("http.keepalive_timeout", http.keepalive_timeout.is_zero()),
            ("http.max_body", http.max_body == ByteSize(0)),
            ("api.request_timeout", self.api.request_timeout.is_zero()),
            (
                "api.max_concurrent_requests",
                self.api.max_concurrent_requests == 0,
            ),
            ("api.max_event_streams", self.api.max_event_streams == 0),
        ] {
            if is_zero {
                mistakes.add(&Key::of(key), "must be more than zero");
            }
        }
        // Requests of client SDKs carry whole session descriptions in their target.
        if http.max_header < ByteSize::kib(8) {
            mistakes.add(&Key::of("http.max_header"), "must be at least 8KiB");
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

const ABOUT: &str = " Configuration of plenum. Every setting can also be given as an environment variable\n\
                     # (PLENUM_HTTP__LISTEN is http.listen) or a flag (--set http.listen=…); a flag goes\n\
                     # over a variable, and a variable over this file.";

#[cfg(test)]
mod tests;
