//! Checks of the settings as a whole. Reports every mistake with the path of its key, so that one
//! look at the file mends all; must not change a setting.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, time::Duration};

use super::{Advertise, MAX_WORKERS, NodeConfig};

/// A mistake in the settings, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Path of the key below the node's table, for example `udp.listen[1]`.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

/// Limits that may be 0: they switch something off that is not needed for a call.
const MAY_BE_ZERO: [&str; 3] = ["data_channels", "metadata_bytes", "attributes_bytes"];

/// Longest of all times: past it a deadline is surely a typing mistake.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Characters of the relay's secret.
const SECRET_MIN: usize = 32;

/// How long a relay connection may be silent.
const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

impl NodeConfig {
    /// All mistakes at once, in the order of the keys.
    pub fn validate(&self) -> Result<(), Vec<ConfigProblem>> {
        let mut problems = Problems::default();
        if self.workers > MAX_WORKERS {
            problems.add("workers", format!("must be at most {MAX_WORKERS}"));
        }
        if self.region.len() > self.limits.name_bytes {
            problems.add(
                "region",
                format!("has more than {} bytes", self.limits.name_bytes),
            );
        }
        if self.udp.listen.is_empty() && self.tcp.listen.is_empty() {
            problems.add(
                "udp.listen",
                "is empty and so is tcp.listen: nobody could connect",
            );
        }
        problems.positive("rooms.spread_participants", self.rooms.spread_participants);
        if !self.discover.stun.is_empty() {
            problems.duration("discover.timeout", self.discover.timeout);
        }
        self.check_udp(&mut problems);
        self.check_tcp(&mut problems);
        self.check_turn(&mut problems);
        self.check_relay(&mut problems);
        self.check_ingress(&mut problems);
        self.check_timeouts(&mut problems);
        for (path, value) in [
            ("events.keep", self.events.keep),
            ("events.keep_bytes", self.events.keep_bytes),
        ] {
            problems.positive(path, value);
        }
        for name in self.limits.zeros() {
            if !MAY_BE_ZERO.contains(&name) {
                problems.add(&format!("limits.{name}"), AT_LEAST_1);
            }
        }
        if problems.0.is_empty() {
            Ok(())
        } else {
            Err(problems.0)
        }
    }

    fn check_udp(&self, problems: &mut Problems) {
        let udp = &self.udp;
        // A node of a wrong number of workers is reported as such, not port by port.
        let workers = self.worker_count().min(MAX_WORKERS);
        let last = u16::try_from(workers - 1).unwrap_or(u16::MAX);
        for (i, listen) in udp.listen.iter().enumerate() {
            let path = format!("udp.listen[{i}]");
            if listen.port().checked_add(last).is_none() {
                problems.add(&path, format!("leaves no ports for {workers} workers"));
            }
            // Worker i of this address and worker j of another must not meet on one port.
            let clash = udp.listen[..i].iter().any(|other| {
                other.ip() == listen.ip()
                    && listen.port() != 0
                    && other.port() != 0
                    && other.port().abs_diff(listen.port()) <= last
            });
            if clash {
                problems.add(&path, "shares a port with an address before it");
            }
        }
        for (i, advertise) in udp.advertise.iter().enumerate() {
            if advertise
                .port
                .is_some_and(|port| port.checked_add(last).is_none())
            {
                let path = format!("udp.advertise[{i}]");
                problems.add(&path, format!("leaves no ports for {workers} workers"));
            }
        }
        let addresses = Addresses {
            table: "udp",
            listen: &udp.listen,
            port_range: udp.port_range,
            advertise: &udp.advertise,
        };
        addresses.check_range(workers, problems);
        addresses.check_advertise(self.discover.is_on(), problems);
        problems.positive("udp.receive_buffer_bytes", udp.receive_buffer_bytes);
        problems.positive("udp.send_buffer_bytes", udp.send_buffer_bytes);
        problems.positive("udp.send_queue", udp.send_queue);
    }

    fn check_tcp(&self, problems: &mut Problems) {
        let tcp = &self.tcp;
        for (i, listen) in tcp.listen.iter().enumerate() {
            if listen.port() != 0 && tcp.listen[..i].contains(listen) {
                problems.add(&format!("tcp.listen[{i}]"), "is listed twice");
            }
        }
        let addresses = Addresses {
            table: "tcp",
            listen: &tcp.listen,
            port_range: tcp.port_range,
            advertise: &tcp.advertise,
        };
        addresses.check_range(1, problems);
        addresses.check_advertise(self.discover.is_on(), problems);
        problems.positive("tcp.max_connections", tcp.max_connections);
        problems.positive(
            "tcp.max_connections_per_source",
            tcp.max_connections_per_source,
        );
        problems.positive("tcp.send_queue", tcp.send_queue);
        problems.duration("tcp.first_frame_timeout", tcp.first_frame_timeout);
        problems.duration("tcp.idle_timeout", tcp.idle_timeout);
    }

    fn check_turn(&self, problems: &mut Problems) {
        let turn = &self.turn;
        for (name, listen) in [("udp", &turn.udp), ("tcp", &turn.tcp), ("tls", &turn.tls)] {
            for (i, address) in listen.iter().enumerate() {
                let is_told = self
                    .udp
                    .advertise
                    .iter()
                    .any(|a| a.ip.is_ipv4() == address.is_ipv4());
                let has_name =
                    !turn.host.is_empty() || !turn.urls.is_empty() || self.discover.is_on();
                if address.ip().is_unspecified() && !is_told && !has_name {
                    problems.add(
                        &format!("turn.{name}[{i}]"),
                        format!("{} is nowhere to connect to: set turn.host", address.ip()),
                    );
                }
            }
        }
        if turn.is_on() && self.udp.listen.is_empty() {
            problems.add("turn", "relays to media over UDP, and udp.listen is empty");
        }
        if !turn.tls.is_empty() {
            for (path, file) in [("certificate", &turn.certificate), ("key", &turn.key)] {
                if file.as_os_str().is_empty() {
                    problems.add(&format!("turn.{path}"), "is needed for turn.tls");
                }
            }
            if turn.host.is_empty() && turn.urls.is_empty() {
                problems.add(
                    "turn.host",
                    "is needed for turn.tls: the name in the certificate",
                );
            }
        }
        for (i, url) in turn.urls.iter().enumerate() {
            if !["turn:", "turns:"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
            {
                problems.add(
                    &format!("turn.urls[{i}]"),
                    "must begin with turn: or turns:",
                );
            }
        }
        problems.duration("turn.credential_ttl", turn.credential_ttl);
        problems.duration("turn.max_lifetime", turn.max_lifetime);
        for (path, value) in [
            ("turn.max_allocations", turn.max_allocations),
            (
                "turn.max_allocations_per_participant",
                turn.max_allocations_per_participant,
            ),
            (
                "turn.max_allocations_per_source",
                turn.max_allocations_per_source,
            ),
            ("turn.max_connections", turn.max_connections),
            (
                "turn.max_connections_per_source",
                turn.max_connections_per_source,
            ),
        ] {
            problems.positive(path, value);
        }
        // A relay passes whole datagrams or none.
        if turn.bytes_per_second < 10_000 {
            problems.add("turn.bytes_per_second", "must be at least 10000");
        }
    }

    fn check_ingress(&self, problems: &mut Problems) {
        let ingress = &self.ingress;
        for (path, addresses) in [
            ("ingress.listen", &ingress.listen),
            ("ingress.advertise", &ingress.advertise),
        ] {
            if addresses.len() > 1 {
                problems.add(path, "names more than one address");
            }
        }
        let is_unspecified = |ip: &std::net::IpAddr| ip.is_unspecified();
        if ingress.listen.iter().any(is_unspecified) && ingress.advertise.is_empty() {
            let problem = "must say which address senders are told: ingress.listen names none";
            problems.add("ingress.advertise", problem);
        }
        if ingress.advertise.iter().any(is_unspecified) {
            problems.add(
                "ingress.advertise",
                "must be an address that senders can reach",
            );
        }
        if u32::from(ingress.first_port) + u32::from(ingress.ports) > u32::from(u16::MAX) + 1 {
            problems.add("ingress.ports", "reach past the last port, 65535");
        }
        problems.positive("ingress.ports", usize::from(ingress.ports));
        problems.positive("ingress.max_sources", ingress.max_sources);
        problems.duration("ingress.idle_timeout", ingress.idle_timeout);
        problems.positive("egress.max_sinks", self.egress.max_sinks);
    }

    fn check_relay(&self, problems: &mut Problems) {
        let relay = &self.relay;
        for (i, listen) in relay.listen.iter().enumerate() {
            let mut before = relay.listen[..i].iter();
            if before.any(|other| other.is_ipv4() == listen.is_ipv4()) {
                let path = format!("relay.listen[{i}]");
                problems.add(&path, "is the second of its family of addresses");
            }
        }
        let addresses = Addresses {
            table: "relay",
            listen: &relay.listen,
            port_range: 0,
            advertise: &relay.advertise,
        };
        addresses.check_advertise(false, problems);
        let secret = &relay.secret.0;
        if !relay.listen.is_empty() && secret.len() < SECRET_MIN {
            let problem = format!("must have at least {SECRET_MIN} characters of chance");
            problems.add("relay.secret", problem);
        }
        problems.positive("relay.max_nodes", relay.max_nodes);
        if !IDLE.contains(&relay.idle_timeout) {
            problems.add("relay.idle_timeout", "must be from 1s to 1h");
        }
        problems.positive("relay.media_queue_bytes", relay.media_queue_bytes);
        problems.positive("relay.control_queue_bytes", relay.control_queue_bytes);
    }

    fn check_timeouts(&self, problems: &mut Problems) {
        let timeouts = &self.timeouts;
        problems.duration("timeouts.join", timeouts.join);
        problems.duration("timeouts.resume_window", timeouts.resume_window);
        problems.duration("timeouts.connect", timeouts.connect);
        problems.duration("timeouts.direct", timeouts.direct);
        problems.duration("timeouts.empty_room", timeouts.empty_room);
        problems.duration("timeouts.departure", timeouts.departure);
    }
}

/// What UDP, TCP and the relay have in common: where to listen, and what to tell.
struct Addresses<'a> {
    table: &'static str,
    listen: &'a [SocketAddr],
    port_range: u16,
    advertise: &'a [Advertise],
}

impl Addresses<'_> {
    /// The range must hold a port for each of so many sockets of an address.
    fn check_range(&self, sockets: usize, problems: &mut Problems) {
        let (table, range) = (self.table, self.port_range);
        if range == 0 {
            return;
        }
        let path = format!("{table}.port_range");
        if usize::from(range) < sockets {
            problems.add(&path, format!("must be at least {sockets}, one a worker"));
        }
        for (i, listen) in self.listen.iter().enumerate() {
            if listen.port() == 0 {
                let problem = format!("needs a port, for {table}.port_range to begin at");
                problems.add(&format!("{table}.listen[{i}]"), problem);
            } else if listen.port().checked_add(range - 1).is_none() {
                problems.add(&path, format!("goes past port {} from {listen}", u16::MAX));
            }
        }
    }

    /// Clients must be told addresses that exist, and it must be clear which socket each stands for.
    fn check_advertise(&self, is_discovered: bool, problems: &mut Problems) {
        let Self {
            table,
            listen,
            advertise,
            ..
        } = self;
        for (i, address) in listen.iter().enumerate() {
            if address.ip().is_unspecified()
                && !is_discovered
                && !advertise
                    .iter()
                    .any(|a| a.ip.is_ipv4() == address.is_ipv4())
            {
                problems.add(
                    &format!("{table}.listen[{i}]"),
                    format!(
                        "{} is nowhere to connect to: add to {table}.advertise, or say in discover \
                         where to learn it",
                        address.ip()
                    ),
                );
            }
        }
        for (i, address) in advertise.iter().enumerate() {
            let path = format!("{table}.advertise[{i}]");
            if address.ip.is_unspecified() || address.ip.is_multicast() {
                problems.add(&path, format!("{} is nowhere to connect to", address.ip));
            }
            if address.port == Some(0) {
                problems.add(&path, "port 0 is nowhere to connect to");
            } else if address.port.is_some() && self.port_range != 0 {
                let problem = format!("cannot have a port: {table}.port_range leaves it open");
                problems.add(&path, problem);
            }
            if advertise[..i].contains(address) {
                problems.add(&path, "is listed twice");
            }
            let sockets = listen
                .iter()
                .filter(|l| l.is_ipv4() == address.ip.is_ipv4())
                .count();
            if sockets != 1 {
                problems.add(
                    &path,
                    format!(
                        "needs exactly one address of its family in {table}.listen, not {sockets}"
                    ),
                );
            }
        }
    }
}

const AT_LEAST_1: &str = "must be at least 1";

#[derive(Default)]
struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn add(&mut self, path: &str, problem: impl Into<String>) {
        self.0.push(ConfigProblem {
            path: path.to_owned(),
            problem: problem.into(),
        });
    }

    fn positive(&mut self, path: &str, value: usize) {
        if value == 0 {
            self.add(path, AT_LEAST_1);
        }
    }

    fn duration(&mut self, path: &str, value: Duration) {
        if value.is_zero() || value > MAX_TIMEOUT {
            self.add(path, "must be more than 0s and at most 168h");
        }
    }
}
