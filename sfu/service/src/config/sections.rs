//! The sections that every program has, with explanations, defaults and checks. Must not hold
//! behaviour.

use std::{net::SocketAddr, time::Duration};

use crate::{config::Key, settings};

use super::{
    mistake::Mistakes,
    value::{ByteSize, LogFormat},
};

settings! {
    /// The listener.
    pub struct HttpConfig {
        /// Address and port. Put a TLS proxy in front where others are to reach it: browsers give camera and
        /// microphone only to https pages and to localhost.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7880)),
        /// Ports that a free one is looked for in, the one of `listen` the first. 0: no looking.
        port_range: u16 = 0,
        /// File that the address listened on is written to, for whoever looks for the port.
        address_file: Option<String> = None,
        /// Connections at once, WebSockets included; more wait to be accepted.
        max_connections: u32 = 25_000,
        /// Head of one request.
        max_header: ByteSize = ByteSize::kib(16),
        /// Body of one request.
        max_body: ByteSize = ByteSize::mib(10),
        /// Time for the head of a request, and for the first request of a connection.
        header_timeout: Duration = Duration::from_secs(10),
        /// Time for a request until its response begins, its body included.
        request_timeout: Duration = Duration::from_secs(30),
        /// Requests at once on one HTTP/2 connection.
        max_streams: u32 = 256,
        /// How often a silent HTTP/2 connection is asked whether it is alive.
        keepalive_interval: Duration = Duration::from_secs(20),
        /// How long it may take to answer.
        keepalive_timeout: Duration = Duration::from_secs(20),
        /// After which an HTTP/2 connection without a request is closed; twice as long at most.
        idle_timeout: Duration = Duration::from_secs(300),
        /// How long participants and requests are given to go when the process is told to end.
        shutdown_grace: Duration = Duration::from_secs(5),
    }
}

settings! {
    /// The log.
    pub struct LogConfig {
        /// "text" for people, "json" for collectors.
        format: LogFormat = LogFormat::Text,
        /// A level (error, warn, info, debug, trace), or several by target: "info,control_plane=debug".
        level: String = "info".to_owned(),
    }
}

settings! {
    /// Metrics and traces.
    pub struct TelemetryConfig {
        /// Serve metrics for Prometheus at /metrics.
        prometheus: bool = true,
        /// Address and port of a listener for them alone; `http.listen` has none then. For where that is
        /// open to everybody.
        prometheus_listen: Option<SocketAddr> = None,
        /// Where to send metrics and traces (OTLP over gRPC, without TLS: a collector beside this
        /// process), for example "http://127.0.0.1:4317".
        otlp_endpoint: Option<String> = None,
        /// Share of joins and API calls that are traced, in percent.
        trace_percent: u8 = 100,
    }
}

impl HttpConfig {
    /// Notes what does not work; the section is called `http`.
    pub fn check(&self, mistakes: &mut Mistakes) {
        for (key, is_zero) in [
            ("http.max_connections", self.max_connections == 0),
            ("http.max_streams", self.max_streams == 0),
            ("http.header_timeout", self.header_timeout.is_zero()),
            ("http.request_timeout", self.request_timeout.is_zero()),
            ("http.keepalive_interval", self.keepalive_interval.is_zero()),
            ("http.keepalive_timeout", self.keepalive_timeout.is_zero()),
            ("http.idle_timeout", self.idle_timeout.is_zero()),
            ("http.max_body", self.max_body == ByteSize(0)),
        ] {
            mistakes.refuse_zero(key, is_zero);
        }
        // Requests of client SDKs carry whole session descriptions in their target.
        if self.max_header < ByteSize::kib(8) {
            mistakes.add(&Key::of("http.max_header"), "must be at least 8KiB");
        }
    }
}

impl LogConfig {
    /// Notes what does not work; the section is called `log`.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if let Err(problem) = crate::telemetry::check_level(&self.level) {
            mistakes.add(&Key::of("log.level"), problem);
        }
    }
}

impl TelemetryConfig {
    /// Notes what does not work; the section is called `telemetry`.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.prometheus_listen.is_some() && !self.prometheus {
            let problem = "has no use without telemetry.prometheus";
            mistakes.add(&Key::of("telemetry.prometheus_listen"), problem);
        }
        if let Some(endpoint) = &self.otlp_endpoint
            && !endpoint.starts_with("http://")
        {
            let problem = "must begin with http:// (a collector beside this process, without TLS)";
            mistakes.add(&Key::of("telemetry.otlp_endpoint"), problem);
        }
    }
}
