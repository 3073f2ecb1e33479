//! Every setting there is, with its explanation and default. Must not hold behaviour.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use sfu_node::NodeConfig;

use crate::signal::SignalConfig;

use super::{
    setting::settings,
    value::{ByteSize, LogFormat, Secret},
};

/// The API key that is valid until keys are configured.
pub const DEV_KEY: &str = "devkey";
/// Its secret, known to everybody: never accepted where others can reach us.
pub const DEV_SECRET: &str = "secret";

settings! {
    /// Everything that can be set.
    pub struct Config {
        /// The listener for the page, client signalling and both APIs.
        http: HttpConfig = HttpConfig::default(),
        /// API keys and their secrets: name = "secret". Tokens are signed with them (HS256); a secret
        /// should have at least 32 characters. The development key below is valid only as long as nothing
        /// is set here, and only on the loopback address.
        keys: BTreeMap<String, Secret> = [(DEV_KEY.to_owned(), Secret::new(DEV_SECRET))].into(),
        /// Signalling of clients, over WebSocket.
        signal: SignalConfig = SignalConfig::default(),
        /// The web page.
        web: WebConfig = WebConfig::default(),
        /// The media node. The defaults serve clients on this machine; others need addresses they can
        /// reach in `udp` and `tcp`.
        node: NodeConfig = NodeConfig::default(),
        /// The APIs for backends: gRPC, and the same calls over Twirp.
        api: ApiConfig = ApiConfig::default(),
        /// The log, on the standard error stream.
        log: LogConfig = LogConfig::default(),
        /// Metrics and traces.
        telemetry: TelemetryConfig = TelemetryConfig::default(),
    }
}

settings! {
    /// The listener.
    pub struct HttpConfig {
        /// Address and port. Put a TLS proxy in front where others are to reach it: browsers give camera and
        /// microphone only to https pages and to localhost.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7880)),
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
        /// How long participants and requests are given to go when the process is told to end.
        shutdown_grace: Duration = Duration::from_secs(5),
    }
}

settings! {
    /// The page.
    pub struct WebConfig {
        /// Whether the page lets anybody join any room without a token. When not set: only as long as the
        /// development key is in use.
        guest_access: Option<bool> = None,
    }
}

settings! {
    /// The APIs.
    pub struct ApiConfig {
        /// Time for one call.
        request_timeout: Duration = Duration::from_secs(10),
        /// Calls at once; more are refused.
        max_concurrent_requests: u32 = 512,
        /// Event streams at once; more are refused.
        max_event_streams: u32 = 64,
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
        /// Where to send metrics and traces (OTLP over gRPC, without TLS: a collector beside this
        /// process), for example "http://127.0.0.1:4317".
        otlp_endpoint: Option<String> = None,
        /// Share of joins and API calls that are traced, in percent.
        trace_percent: u8 = 100,
    }
}
