//! The metrics of the control plane. Owns names, units
//! and label sets, which are closed: no room, no participant, no address. Must not know who reads them.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, MeterProvider as _, UpDownCounter},
};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::signal::SignalMetrics;

/// Which surface a call came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// The gRPC API.
    Grpc,
    /// The Twirp API.
    Twirp,
    /// The page.
    Web,
}

impl Api {
    fn label(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Twirp => "twirp",
            Self::Web => "web",
        }
    }
}

/// The instruments of the control plane.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: Counter<u64>,
    call_duration: Histogram<f64>,
    guest_tokens: Counter<u64>,
}

/// Bounds of the latency histogram, in seconds: calls are local and should take milliseconds.
const LATENCY_BOUNDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

impl Metrics {
    /// Declares all instruments.
    pub(crate) fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("plenum");
        Self {
            calls: meter
                .u64_counter("plenum.api.calls")
                .with_unit("{call}")
                .with_description("API calls answered, by surface, method and gRPC code.")
                .build(),
            call_duration: meter
                .f64_histogram("plenum.api.call.duration")
                .with_unit("s")
                .with_description("Time from an API call to its answer.")
                .with_boundaries(LATENCY_BOUNDS.to_vec())
                .build(),
            guest_tokens: meter
                .u64_counter("plenum.web.guest_tokens")
                .with_unit("{token}")
                .with_description("Tokens given to guests of the page.")
                .build(),
        }
    }

    /// A call was answered. `method` and `code` come from closed sets.
    pub(crate) fn call(&self, api: Api, method: &'static str, code: &'static str, took: Duration) {
        let api = KeyValue::new("api", api.label());
        let method = KeyValue::new("method", method);
        self.call_duration
            .record(took.as_secs_f64(), &[api.clone(), method.clone()]);
        self.calls
            .add(1, &[api, method, KeyValue::new("code", code)]);
    }

    /// A guest was given a token.
    pub(crate) fn guest_token(&self) {
        self.guest_tokens.add(1, &[]);
    }
}

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebhookEnd {
    /// Its receiver took it.
    Delivered,
    /// It was tried for as long as it is kept, or its URL is no longer configured.
    GivenUp,
    /// Too many were waiting.
    Dropped,
}

impl WebhookEnd {
    const ALL: [Self; 3] = [Self::Delivered, Self::GivenUp, Self::Dropped];

    fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
            Self::Dropped => "dropped",
        }
    }
}

/// What waits to be delivered by this replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Webhooks.
    pub(crate) waiting: usize,
    /// For how long the oldest has.
    pub(crate) oldest: Duration,
}

/// The instruments of webhooks.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    meter: Meter,
    ended: Counter<u64>,
    failed: Counter<u64>,
}

impl Webhooks {
    /// Declares all instruments.
    pub(crate) fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("plenum");
        let ended = meter
            .u64_counter("plenum.webhooks")
            .with_unit("{webhook}")
            .with_description("Webhooks that are done with, by what became of them.")
            .build();
        for end in WebhookEnd::ALL {
            ended.add(0, &[KeyValue::new("end", end.label())]);
        }
        Self {
            ended,
            failed: meter
                .u64_counter("plenum.webhooks.attempts.failed")
                .with_unit("{attempt}")
                .with_description("Attempts that no receiver took.")
                .build(),
            meter,
        }
    }

    /// Declares what waits, read whenever somebody asks.
    pub(crate) fn observe(&self, read: impl Fn() -> Backlog + Send + Sync + 'static) {
        let read = Arc::new(read);
        let waiting = Arc::clone(&read);
        self.meter
            .u64_observable_gauge("plenum.webhooks.waiting")
            .with_unit("{webhook}")
            .with_description("Webhooks that wait to be delivered by this replica.")
            .with_callback(move |observer| observer.observe(waiting().waiting as u64, &[]))
            .build();
        self.meter
            .f64_observable_gauge("plenum.webhooks.oldest.age")
            .with_unit("s")
            .with_description("How long the oldest of them has waited.")
            .with_callback(move |observer| observer.observe(read().oldest.as_secs_f64(), &[]))
            .build();
    }

    /// One is done with.
    pub(crate) fn ended(&self, end: WebhookEnd) {
        self.ended.add(1, &[KeyValue::new("end", end.label())]);
    }

    /// An attempt failed; another may follow.
    pub(crate) fn failed(&self) {
        self.failed.add(1, &[]);
    }
}

/// The instruments of the signalling gateway.
#[derive(Debug)]
pub(crate) struct Signalling {
    connections: UpDownCounter<i64>,
    closed: Counter<u64>,
    refused: Counter<u64>,
    answered: Histogram<f64>,
    frames: Counter<u64>,
    received: Counter<u64>,
    ignored: Counter<u64>,
}

impl Signalling {
    /// Declares all instruments.
    pub(crate) fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("plenum");
        let counter = |name: &'static str, unit: &'static str, help: &'static str| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(help)
                .build()
        };
        Self {
            connections: meter
                .i64_up_down_counter("plenum.signal.connections")
                .with_unit("{connection}")
                .with_description("Signalling connections that are open.")
                .build(),
            closed: counter(
                "plenum.signal.connections.closed",
                "{connection}",
                "Signalling connections that ended, by reason.",
            ),
            refused: counter(
                "plenum.signal.connections.refused",
                "{connection}",
                "Signalling connections refused before they began, by reason.",
            ),
            answered: meter
                .f64_histogram("plenum.signal.join.duration")
                .with_unit("s")
                .with_description("Time the node took to answer a join or resume, by its answer.")
                .with_boundaries(LATENCY_BOUNDS.to_vec())
                .build(),
            frames: counter(
                "plenum.signal.frames",
                "{frame}",
                "Frames that came from clients.",
            ),
            received: counter(
                "plenum.signal.received",
                "By",
                "Bytes that came from clients.",
            ),
            ignored: counter(
                "plenum.signal.messages.ignored",
                "{message}",
                "Messages of clients that were ignored, by reason.",
            ),
        }
    }
}

impl SignalMetrics for Signalling {
    fn on_refused(&self, why: &'static str) {
        self.refused.add(1, &[KeyValue::new("reason", why)]);
    }

    fn on_answered(&self, how: &'static str, took: Duration) {
        self.answered
            .record(took.as_secs_f64(), &[KeyValue::new("answer", how)]);
    }

    fn on_opened(&self) {
        self.connections.add(1, &[]);
    }

    fn on_closed(&self, why: &'static str) {
        self.connections.add(-1, &[]);
        self.closed.add(1, &[KeyValue::new("reason", why)]);
    }

    fn on_frame(&self, bytes: usize) {
        self.frames.add(1, &[]);
        self.received.add(bytes as u64, &[]);
    }

    fn on_ignored(&self, why: &'static str) {
        self.ignored.add(1, &[KeyValue::new("reason", why)]);
    }
}

/// Declares the number of open sockets, read whenever somebody asks.
pub(crate) fn observe_connections(
    provider: &SdkMeterProvider,
    read: impl Fn() -> u64 + Send + Sync + 'static,
) {
    provider
        .meter("plenum")
        .u64_observable_gauge("plenum.http.connections")
        .with_unit("{connection}")
        .with_description("Sockets that are open, WebSockets included.")
        .with_callback(move |observer| observer.observe(read(), &[]))
        .build();
}

/// What the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreCall {
    Get,
    List,
    Commit,
    Lease,
    Revoke,
    Watch,
}

impl StoreCall {
    const ALL: [Self; 6] = [
        Self::Get,
        Self::List,
        Self::Commit,
        Self::Lease,
        Self::Revoke,
        Self::Watch,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Commit => "commit",
            Self::Lease => "lease",
            Self::Revoke => "revoke",
            Self::Watch => "watch",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreAnswer {
    /// It was done, or a condition did not hold.
    Done,
    /// No answer, or no majority.
    Unavailable,
    /// Rights, sizes, a full disk.
    Refused,
}

impl StoreAnswer {
    const ALL: [Self; 3] = [Self::Done, Self::Unavailable, Self::Refused];

    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// The instrument of the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreCalls(Counter<u64>);

impl StoreCalls {
    /// Declares it.
    pub(crate) fn new(provider: &SdkMeterProvider) -> Self {
        let calls = provider
            .meter("plenum")
            .u64_counter("plenum.store.calls")
            .with_unit("{call}")
            .with_description("Calls of the store, by call and answer.")
            .build();
        let own = Self(calls);
        // There from the start, so that the first failure is a rise.
        for call in StoreCall::ALL {
            for answer in StoreAnswer::ALL {
                own.add(0, call, answer);
            }
        }
        own
    }

    /// It answered, or did not.
    pub(crate) fn answered(&self, call: StoreCall, answer: StoreAnswer) {
        self.add(1, call, answer);
    }

    fn add(&self, count: u64, call: StoreCall, answer: StoreAnswer) {
        let labels = [
            KeyValue::new("call", call.label()),
            KeyValue::new("answer", answer.label()),
        ];
        self.0.add(count, &labels);
    }
}

/// Media nodes, as this replica sees them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NodeCounts {
    /// That take rooms.
    pub(crate) open: u64,
    /// That are there, and take none.
    pub(crate) closed: u64,
    /// That went without a word, since the replica started.
    pub(crate) lost: u64,
}

/// Declares how many media nodes there are, read whenever somebody asks.
pub(crate) fn observe_nodes(
    provider: &SdkMeterProvider,
    read: impl Fn() -> NodeCounts + Send + Sync + 'static,
) {
    let meter = provider.meter("plenum");
    let read = Arc::new(read);
    let lost = Arc::clone(&read);
    meter
        .u64_observable_gauge("plenum.nodes")
        .with_unit("{node}")
        .with_description("Media nodes known, by whether they take rooms (open) or not (closed).")
        .with_callback(move |observer| {
            let counts = read();
            for (state, count) in [("open", counts.open), ("closed", counts.closed)] {
                observer.observe(count, &[KeyValue::new("state", state)]);
            }
        })
        .build();
    meter
        .u64_observable_counter("plenum.nodes.lost")
        .with_unit("{node}")
        .with_description("Media nodes that went without having said so.")
        .with_callback(move |observer| observer.observe(lost().lost, &[]))
        .build();
}
