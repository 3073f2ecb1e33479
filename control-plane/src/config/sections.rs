//! Every setting there is, with its explanation and default. Must not hold behaviour.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use plenum_service::{
    cluster::TlsConfig,
    config::{ByteSize, HttpConfig, LogConfig, Secret, TelemetryConfig},
    settings,
};
use sfu_node::NodeConfig;

use crate::{
    agents::AgentsConfig, ice_servers::IceConfig, signal::SignalConfig, webhook::WebhookConfig,
};

/// The API key that is valid until keys are configured.
pub const DEV_KEY: &str = "devkey";
/// Its secret, known to everybody: never accepted where others can reach us.
pub const DEV_SECRET: &str = "secret";

settings! {
    /// Everything that can be set for `plenum`, the whole in one process.
    pub struct Config {
        /// The listener for the page, client signalling and both APIs.
        http: HttpConfig = HttpConfig::default(),
        /// API keys and their secrets: name = "secret". Tokens are signed with them (HS256); a secret
        /// should have at least 32 characters. The development key below is valid only as long as nothing
        /// is set here, and only on the loopback address.
        keys: BTreeMap<String, Secret> = [(DEV_KEY.to_owned(), Secret::new(DEV_SECRET))].into(),
        /// Signalling of clients, over WebSocket.
        signal: SignalConfig = SignalConfig::default(),
        /// STUN and TURN servers that clients are told of.
        ice: IceConfig = IceConfig::default(),
        /// Encoders and players over HTTP: WHIP and WHEP.
        whip: WhipConfig = WhipConfig::default(),
        /// Workers of agents, as LiveKit Agents makes them.
        agents: AgentsConfig = AgentsConfig::default(),
        /// The web page.
        web: WebConfig = WebConfig::default(),
        /// The media node. The defaults serve clients on this machine; others need addresses they can
        /// reach in `udp` and `tcp`.
        node: NodeConfig = NodeConfig::default(),
        /// The APIs for backends: gRPC, and the same calls over Twirp.
        api: ApiConfig = ApiConfig::default(),
        /// What outlives this process.
        store: StoreConfig = StoreConfig::default(),
        /// Webhooks: what happens in rooms, told to your backend over HTTP.
        webhook: WebhookConfig = WebhookConfig::default(),
        /// The log, on the standard error stream.
        log: LogConfig = LogConfig::default(),
        /// Metrics and traces.
        telemetry: TelemetryConfig = TelemetryConfig::default(),
    }
}

settings! {
    /// Everything that can be set for `control-plane`, whose media nodes are processes of their own.
    pub struct ControlPlaneConfig {
        /// The listener for the page, client signalling and both APIs.
        http: HttpConfig = HttpConfig::default(),
        /// API keys and their secrets: name = "secret". Tokens are signed with them (HS256); a secret
        /// should have at least 32 characters. The development key below is valid only as long as nothing
        /// is set here, and only on the loopback address. All replicas need the same.
        keys: BTreeMap<String, Secret> = [(DEV_KEY.to_owned(), Secret::new(DEV_SECRET))].into(),
        /// The listener for media nodes, and how both sides know each other.
        cluster: ClusterConfig = ClusterConfig::default(),
        /// What the replicas agree by, and what outlives them.
        store: ClusterStoreConfig = ClusterStoreConfig::default(),
        /// Signalling of clients, over WebSocket.
        signal: SignalConfig = SignalConfig::default(),
        /// STUN and TURN servers that clients are told of. The TURN server of a media node is one of
        /// them when both have the same secret.
        ice: IceConfig = IceConfig::default(),
        /// Encoders and players over HTTP: WHIP and WHEP.
        whip: WhipConfig = WhipConfig::default(),
        /// Workers of agents, as LiveKit Agents makes them.
        agents: AgentsConfig = AgentsConfig::default(),
        /// The web page.
        web: WebConfig = WebConfig::default(),
        /// The APIs for backends: gRPC, and the same calls over Twirp.
        api: ApiConfig = ApiConfig::default(),
        /// Webhooks: what happens in rooms, told to your backend over HTTP.
        webhook: WebhookConfig = WebhookConfig::default(),
        /// The log, on the standard error stream.
        log: LogConfig = LogConfig::default(),
        /// Metrics and traces.
        telemetry: TelemetryConfig = TelemetryConfig::default(),
    }
}

settings! {
    /// The store of a single process.
    pub struct StoreConfig {
        /// File in which room records are kept, made if it is not there. Without it a restart
        /// forgets them.
        path: Option<String> = None,
    }
}

settings! {
    /// What the replicas agree by.
    pub struct ClusterStoreConfig {
        /// For a single replica without etcd: file in which room records are kept, made
        /// if it is not there. Without it, and without etcd, a restart forgets them.
        path: Option<String> = None,
        /// etcd 3.4 or later, which any number of replicas can share.
        etcd: EtcdSection = EtcdSection::default(),
    }
}

settings! {
    /// Which etcd, and as whom.
    pub struct EtcdSection {
        /// Members, "http://host:2379" or "https://host:2379". None: no etcd, and one replica only.
        endpoints: Vec<String> = Vec::new(),
        /// In front of all keys, so that several clusters can share an etcd.
        prefix: String = "/plenum/".to_owned(),
        /// User, where etcd asks for one.
        user: Option<String> = None,
        /// The user's password.
        password: Option<Secret> = None,
        /// File with the certificates (PEM) that https endpoints are checked with; when not set, the system's.
        ca: Option<String> = None,
        /// Time for one request to one member.
        timeout: Duration = Duration::from_secs(3),
    }
}

settings! {
    /// The listener for media nodes.
    pub struct ClusterConfig {
        /// Address and port at which media nodes report. Not for clients.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7870)),
        /// What media nodes and control planes show each other, at least 32 characters and the same for all.
        /// Without it, and without `tls`, nothing listens or connects outside the loopback address.
        secret: Secret = Secret::new(""),
        /// Where this control plane stands, and so the participants whose signalling comes to it: rooms go to
        /// nodes of the same region, and zone. Empty: not known.
        region: String = String::new(),
        /// Where in the region.
        zone: String = String::new(),
        /// How long a media node that is not heard of counts as alive. It reports three times as often.
        lease: Duration = Duration::from_secs(6),
        /// TLS between media nodes and control planes, both sides with certificates.
        tls: TlsConfig = TlsConfig::default(),
    }
}

settings! {
    /// Encoders and players.
    pub struct WhipConfig {
        /// Sessions at once; more are refused.
        max_sessions: u32 = 10_000,
        /// Time for a client from the answer to its offer until its connection stands.
        connect_timeout: Duration = Duration::from_secs(10),
        /// Sessions of one token that are not connected yet; more are refused. Of these three limits, those who
        /// play have forty times as much: a whole audience may share a token.
        max_pending_per_token: u32 = 5,
        /// Sessions that one token may open each second, averaged.
        posts_per_second: u32 = 20,
        /// Sessions that one token may open at once.
        post_burst: u32 = 50,
        /// Changes (PATCH and the choice of a layer) to one session each second, averaged.
        patches_per_second: u32 = 5,
        /// Changes to one session at once.
        patch_burst: u32 = 30,
        /// Body of one request: a session description, or a part of one.
        max_body: ByteSize = ByteSize::kib(64),
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
