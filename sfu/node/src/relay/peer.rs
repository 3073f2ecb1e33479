//! Another node, as long as anything goes there: one task that holds the connection to it, or brings one
//! about when something is to be sent. Owns what is void after a lost connection. Must not wait for anything
//! but news.
//!
//! Of two nodes that call each other at once, the call of the one with the smaller number is kept. What the
//! workers on either side knew of each other ends with a connection: each is told, and what a worker sent
//! before it heard of it is thrown away.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use plenum_proto::relay::{Hello, Locate, Nodes, carried::Kind};
use sfu_core::LinkKey;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

use super::{
    Relay,
    greet::{Answer, CallError, Offer, call},
    link::{Between, Greeted, Link, News, lock, sleep_until, workers},
};
use crate::worker::Parcel;

/// What a worker sends to one of another node.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) between: Between,
    pub(crate) parcel: Parcel,
}

/// What else there is to do.
pub(super) enum Order {
    /// A connection came in.
    Offer(Box<Offer>),
    /// A call came to its end.
    Called(Result<Box<Greeted>, CallError>),
    /// On which worker a room is.
    Ask(Question, Answer),
    /// Another node is there.
    Introduce(Hello),
}

/// On which worker of its home is a room?
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) room: String,
    pub(super) epoch: u64,
}

/// Frames that wait for a connection; past it they are lost, and so is what they were about.
const WAITING_MAX: usize = 16_384;

/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(4);

/// From one call to the next: the first, and the longest.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// A node nothing was heard of for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The ways to a peer's task.
#[derive(Clone)]
pub(super) struct Ways {
    pub(super) bundles: mpsc::Sender<Bundle>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) addresses: watch::Sender<Vec<SocketAddr>>,
}

pub(super) struct Peer {
    relay: Arc<Relay>,
    number: u64,
    bundles: mpsc::Receiver<Bundle>,
    orders: mpsc::Receiver<Order>,
    /// To itself, for what its calls bring.
    own_orders: mpsc::WeakSender<Order>,
    addresses: watch::Receiver<Vec<SocketAddr>>,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    link: Option<Link>,
    waiting: Vec<Bundle>,
    waiting_frames: usize,
    /// The question until it is sent, and who asked.
    asks: BTreeMap<u64, (Option<Question>, Answer)>,
    next_ask: u64,
    /// Between these, what the worker here sends is of before the loss, until it says that it knows.
    void: BTreeSet<Between>,
    calling: Option<AbortHandle>,
    calls: u32,
    call_at: Option<Instant>,
    /// What waits is lost then.
    give_up_at: Option<Instant>,
    idle_since: Instant,
}

impl Peer {
    /// Starts the task of a node.
    pub(super) fn start(relay: &Arc<Relay>, number: u64) -> Ways {
        let (bundles, bundles_in) = mpsc::channel(256);
        let (orders, orders_in) = mpsc::channel(64);
        let (addresses, addresses_in) = watch::channel(Vec::new());
        let peer = Self {
            relay: Arc::clone(relay),
            number,
            bundles: bundles_in,
            orders: orders_in,
            own_orders: orders.downgrade(),
            addresses: addresses_in,
            news: mpsc::channel(64),
            link: None,
            waiting: Vec::new(),
            waiting_frames: 0,
            asks: BTreeMap::new(),
            next_ask: 0,
            void: BTreeSet::new(),
            calling: None,
            calls: 0,
            call_at: None,
            give_up_at: None,
            idle_since: Instant::now(),
        };
        relay.runtime.spawn(peer.run());
        Ways {
            bundles,
            orders,
            addresses,
        }
    }

    async fn run(mut self) {
        let stop = self.relay.stop.clone();
        loop {
            let timeout = self.poll_timeout();
            let connection = self.link.as_ref().map(|link| link.connection().clone());
            tokio::select! {
                () = stop.cancelled() => return,
                bundle = self.bundles.recv() => match bundle {
                    Some(bundle) => self.on_bundle(bundle).await,
                    None => return,
                },
                order = self.orders.recv() => match order {
                    Some(order) => self.on_order(order).await,
                    None => return,
                },
                Some(news) = self.news.1.recv() => self.on_news(news),
                Ok(()) = self.addresses.changed(), if self.link.is_none() => self.call(),
                reason = async {
                    match connection {
                        Some(connection) => connection.closed().await,
                        None => std::future::pending().await,
                    }
                } => {
                    tracing::info!(node = self.name(), %reason, "relay connection lost");
                    self.lose().await;
                }
                () = sleep_until(timeout) => {
                    if self.handle_timeout(Instant::now()).await {
                        return;
                    }
                }
            }
        }
    }

    fn name(&self) -> String {
        self.relay.name_of(self.number).unwrap_or_default()
    }

    fn has_something(&self) -> bool {
        !self.waiting.is_empty() || !self.asks.is_empty()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tip = self.link.as_ref().and_then(Link::poll_timeout);
        let idle = self.link.is_none().then(|| self.idle_since + FORGOTTEN);
        [tip, self.call_at, self.give_up_at, idle]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the node is to be forgotten.
    async fn handle_timeout(&mut self, now: Instant) -> bool {
        if let Some(link) = &self.link {
            link.handle_timeout(now);
        }
        if self.call_at.is_some_and(|at| at <= now) {
            self.call_at = None;
            self.call();
        }
        if self.give_up_at.is_some_and(|at| at <= now) {
            tracing::warn!(node = self.name(), "no relay connection in time");
            self.relay.counters.unreachable();
            self.give_up().await;
        }
        let is_idle = self.link.is_none() && !self.has_something() && self.calling.is_none();
        if !is_idle {
            self.idle_since = now;
        }
        let is_over = is_idle && self.idle_since + FORGOTTEN <= now;
        if is_over {
            self.relay.forget(self.number);
        }
        is_over
    }

    async fn on_bundle(&mut self, bundle: Bundle) {
        let between = bundle.between;
        match bundle.parcel {
            Parcel::Lost => {
                self.waiting.retain(|waiting| waiting.between != between);
                let is_told = self.void.remove(&between);
                let link = self.link.as_ref().filter(|_| !is_told);
                let stands = link.is_none_or(|link| {
                    let had = lock(&link.used).remove(&between);
                    !had || link.tell(Kind::Lost(workers(between)), false)
                });
                if !stands {
                    self.lose().await;
                }
            }
            Parcel::Frames(_) if self.void.contains(&between) => {}
            Parcel::Frames(mut frames) => match &mut self.link {
                Some(link) => {
                    link.note(between);
                    if !link.send(between, frames) {
                        tracing::warn!(node = self.name(), "relay connection given up: too slow");
                        self.lose().await;
                    }
                }
                None => {
                    frames.retain(|frame| !frame.may_drop());
                    self.waiting_frames += frames.len();
                    let parcel = Parcel::Frames(frames);
                    self.waiting.push(Bundle { between, parcel });
                    if self.waiting_frames > WAITING_MAX {
                        return self.give_up().await;
                    }
                    self.want_link();
                }
            },
        }
    }

    async fn on_order(&mut self, order: Order) {
        match order {
            Order::Offer(offer) => self.on_offer(*offer).await,
            Order::Called(outcome) => {
                self.calling = None;
                match outcome {
                    Ok(greeted) if self.link.is_none() => self.begin(*greeted).await,
                    Ok(greeted) => greeted.connection.close(1_u32.into(), b"spare"),
                    Err(error) => {
                        tracing::debug!(node = self.name(), %error, "relay call failed");
                        self.call_again();
                    }
                }
            }
            Order::Introduce(hello) => {
                if let Some(link) = &self.link {
                    // As with questions.
                    link.tell(Kind::Nodes(Nodes { nodes: vec![hello] }), false);
                }
            }
            Order::Ask(question, answer) => {
                self.next_ask += 1;
                let request = self.next_ask;
                self.asks.retain(|_, (_, answer)| !answer.is_closed());
                self.asks.insert(request, (Some(question), answer));
                self.want_link();
                self.send_asks();
            }
        }
    }

    fn on_news(&mut self, news: News) {
        let News::Located { request, worker } = news;
        if let Some((_, answer)) = self.asks.remove(&request) {
            // It may have been too late for the one who asked.
            let _ = answer.send(worker);
        }
    }

    /// A connection came in while there may be another one, or about to be.
    async fn on_offer(&mut self, offer: Offer) {
        let is_ours_kept = self.relay.number < self.number;
        let has_own = self.calling.is_some() || self.link.is_some();
        if is_ours_kept && has_own {
            return offer.refuse();
        }
        if let Some(call) = self.calling.take() {
            call.abort();
        }
        if self.link.is_some() {
            // The other end would not call if it still had the connection.
            self.lose().await;
        }
        match offer.accept(&self.relay.own).await {
            Ok(greeted) => self.begin(greeted).await,
            Err(_) => self.call_again(),
        }
    }

    /// A connection stands.
    async fn begin(&mut self, greeted: Greeted) {
        (self.calls, self.call_at, self.give_up_at) = (0, None, None);
        self.relay.learn(&greeted.remote);
        tracing::info!(
            node = greeted.remote.node_id,
            address = %greeted.connection.remote_address(),
            "relay connection stands"
        );
        let link = Link::start(&self.relay, greeted, self.news.0.clone());
        let nodes = Kind::Nodes(self.relay.neighbours(self.number));
        let stands = link.tell(nodes, false);
        self.relay.introduce(&link.remote);
        self.link = Some(link);
        self.waiting_frames = 0;
        for bundle in std::mem::take(&mut self.waiting) {
            self.on_bundle(bundle).await;
        }
        self.send_asks();
        if !stands {
            self.lose().await;
        }
    }

    /// A word for the other node, when there is a connection.
    fn send_asks(&mut self) {
        let Some(link) = &self.link else { return };
        for (request, (question, _)) in &mut self.asks {
            if let Some(Question { room, epoch }) = question.take() {
                let locate = Locate {
                    request: *request,
                    room,
                    epoch,
                };
                // A link that takes no more is given up by the next frame.
                link.tell(Kind::Locate(locate), false);
            }
        }
    }

    /// The connection is gone: what the workers here knew by it is void.
    async fn lose(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.relay.counters.lost();
        let used = link.end().await;
        // Asked again by those who still want to know.
        self.asks.retain(|_, (question, _)| question.is_some());
        self.void_all(used).await;
        self.idle_since = Instant::now();
    }

    async fn void_all(&mut self, lost: BTreeSet<Between>) {
        for between in lost {
            self.void.insert(between);
            let link = LinkKey::new(self.number, between.1);
            self.relay.to_worker(between.0, link, Parcel::Lost).await;
        }
    }

    /// There is no connection, and what waits for one is lost.
    async fn give_up(&mut self) {
        (self.give_up_at, self.call_at) = (None, None);
        self.asks.clear();
        self.waiting_frames = 0;
        let waiting = std::mem::take(&mut self.waiting);
        self.void_all(waiting.into_iter().map(|waiting| waiting.between).collect())
            .await;
    }

    fn want_link(&mut self) {
        if self.link.is_none() {
            let until = Instant::now() + PATIENCE;
            self.give_up_at.get_or_insert(until);
            self.call();
        }
    }

    fn call(&mut self) {
        if self.link.is_some()
            || self.calling.is_some()
            || self.call_at.is_some()
            || !self.has_something()
        {
            return;
        }
        let addresses = self.addresses.borrow_and_update().clone();
        let Some(orders) = self.own_orders.upgrade() else {
            return;
        };
        if addresses.is_empty() {
            // Called when they become known.
            return;
        }
        let (relay, callee) = (Arc::clone(&self.relay), self.name());
        let task = tokio::spawn(async move {
            let outcome = call(&relay, &callee, &addresses).await.map(Box::new);
            // A peer that is gone needs no connection.
            let _ = orders.send(Order::Called(outcome)).await;
        });
        self.calling = Some(task.abort_handle());
    }

    /// After a call that failed, a while later.
    fn call_again(&mut self) {
        let wait = BACKOFF[0] * 2_u32.saturating_pow(self.calls.min(8));
        self.calls += 1;
        self.call_at = Some(Instant::now() + wait.min(BACKOFF[1]));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(call) = &self.calling {
            call.abort();
        }
    }
}
