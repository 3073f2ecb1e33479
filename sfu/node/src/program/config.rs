//! Every setting of `sfu`, with its explanation and default, and which fit together. Must not start anything.

use std::{net::SocketAddr, time::Duration};

use plenum_service::{
    cluster::{self, TlsConfig},
    config::{
        Configuration, HttpConfig, Key, LogConfig, Mistakes, Secret, TelemetryConfig, is_loopback,
    },
    settings,
};

use crate::config::{NodeConfig, SharedSecret};

settings! {
    /// Everything that can be set for `sfu`.
    pub struct SfuConfig {
        /// The listener for health and metrics (/healthz, /readyz, /metrics). Not for clients.
        http: HttpConfig = HttpConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 7872)),
            ..HttpConfig::default()
        },
        /// The control planes, and how both sides know each other.
        cluster: NodeClusterConfig = NodeClusterConfig::default(),
        /// The media. The defaults serve clients on this machine; others need addresses they can reach in `udp`
        /// and `tcp`.
        node: NodeConfig = NodeConfig::default(),
        /// The log, on the standard error stream.
        log: LogConfig = LogConfig::default(),
        /// Metrics and traces.
        telemetry: TelemetryConfig = TelemetryConfig::default(),
    }
}

settings! {
    /// The way between this node and the control planes.
    pub struct NodeClusterConfig {
        /// Control planes to report to, "host:port", as in their `cluster.listen`. One that answers is enough: a
        /// name that stands for all of them is best.
        control_planes: Vec<String> = vec!["127.0.0.1:7870".to_owned()],
        /// Address and port at which control planes open sessions. Not for clients.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7871)),
        /// "host:port" told to control planes; when not set, what is listened on, which must then be an
        /// address of this machine and not 0.0.0.0.
        advertise: Option<String> = None,
        /// Where in its region (`node.region`) the node stands: a rack, a data centre. Rooms go near their
        /// participants.
        zone: String = String::new(),
        /// What media nodes and control planes show each other, at least 32 characters and the same for all.
        /// Without it, and without `tls`, nothing listens or connects outside the loopback address.
        secret: Secret = Secret::new(""),
        /// How long everybody may take to go to other nodes when the process is told to end; rooms are sent off
        /// one after the other within `node.timeouts.drain`. Told a second time, it ends at once.
        drain_limit: Duration = Duration::from_secs(60),
        /// TLS between media nodes and control planes, both sides with certificates.
        tls: TlsConfig = TlsConfig::default(),
    }
}

impl SfuConfig {
    /// The settings of the node: one secret is enough for all that goes on inside the cluster.
    pub(super) fn node(&self) -> NodeConfig {
        let mut node = self.node.clone();
        if node.relay.secret.0.is_empty() {
            node.relay.secret = SharedSecret(self.cluster.secret.expose().to_owned());
        }
        node
    }
}

impl Configuration for SfuConfig {
    const PROGRAM: &'static str = "sfu";

    fn check(&self, mistakes: &mut Mistakes) {
        self.http.check(mistakes);
        self.log.check(mistakes);
        self.telemetry.check(mistakes);
        self.node().check(mistakes);
        let own = &self.cluster;
        own.tls.check("cluster.tls", mistakes);
        cluster::check_secret(&own.secret, mistakes);
        cluster::check_listen(own.listen, &own.secret, &own.tls, mistakes);
        let key = Key::of("cluster.control_planes");
        if own.control_planes.is_empty() {
            mistakes.add(&key, "must name at least one");
        }
        let is_known = !own.secret.expose().is_empty() || own.tls.is_on();
        for address in &own.control_planes {
            match host(address) {
                None => mistakes.add(&key, format!("{address} is not \"host:port\"")),
                Some(host) if !is_known && !is_local(host) => mistakes.add(
                    &key,
                    format!("{address} is another machine: set cluster.secret or cluster.tls"),
                ),
                Some(_) => {}
            }
        }
        let key = Key::of("cluster.advertise");
        match &own.advertise {
            Some(address) if host(address).is_none() => {
                mistakes.add(&key, format!("{address} is not \"host:port\""));
            }
            None if own.listen.ip().is_unspecified() => mistakes.add(
                &key,
                "must be set: control planes cannot reach the address that is listened on",
            ),
            _ => {}
        }
    }
}

/// The host of "host:port".
fn host(address: &str) -> Option<&str> {
    let (host, port) = address.rsplit_once(':')?;
    let is_good = !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok();
    is_good.then(|| host.trim_start_matches('[').trim_end_matches(']'))
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use plenum_service::config::ConfigError;

    use super::*;

    fn mistakes(file: &str) -> Vec<String> {
        match SfuConfig::read_text(file, Vec::new(), Vec::new()) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Wrong(mistakes)) => mistakes
                .all()
                .iter()
                .map(|mistake| mistake.key.to_string())
                .collect(),
            Err(other) => vec![other.to_string()],
        }
    }

    #[test]
    fn the_printed_defaults_read_back_as_the_defaults() {
        let printed = SfuConfig::default_toml();
        let read = SfuConfig::read_text(&printed, Vec::new(), Vec::new()).expect("no mistakes");
        assert_eq!(read, SfuConfig::default(), "{printed}");
    }

    #[test]
    fn nothing_goes_to_or_comes_from_strangers() {
        let secret = format!("secret = \"{}\"\n", "s".repeat(32));
        for (cluster, expected) in [
            ("", &[][..]),
            ("control_planes = [\"localhost:7870\", \"[::1]:7870\"]", &[]),
            (
                "control_planes = [\"plenum:7870\"]",
                &["cluster.control_planes"],
            ),
            ("control_planes = []", &["cluster.control_planes"]),
            ("control_planes = [\"plenum\"]", &["cluster.control_planes"]),
            ("listen = \"10.0.0.1:7871\"", &["cluster.listen"]),
            ("secret = \"short\"", &["cluster.secret"]),
            ("advertise = \"http://x:1\"", &["cluster.advertise"]),
        ] {
            assert_eq!(
                mistakes(&format!("[cluster]\n{cluster}")),
                expected,
                "{cluster}"
            );
        }
        let relay = "[node.relay]\nlisten = [\"127.0.0.1:0\"]";
        assert_eq!(mistakes(relay), ["node.relay.secret"]);
        let with = |rest: &str| mistakes(&format!("[cluster]\n{secret}{rest}"));
        assert!(with(relay).is_empty(), "one secret for all");
        assert!(with("control_planes = [\"plenum:7870\"]").is_empty());
        assert_eq!(with("listen = \"0.0.0.0:7871\""), ["cluster.advertise"]);
        assert!(with("listen = \"0.0.0.0:7871\"\nadvertise = \"node-1:7871\"").is_empty());
    }
}
