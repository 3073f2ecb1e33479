//! Webhooks: what happens in rooms, told to an application's backend over HTTP, in the form that backends of LiveKit
//! know. Owns that everything is delivered at least once for as long as it is worth it, and that what concerns one
//! room comes in order. Must not be waited for by anything else.
//!
//! One replica leads. It reads the events of all nodes, and puts what is to be told into the outbox of the store,
//! together with how far it has read: so nothing is lost or told twice when it ends in between. From the outbox
//! it delivers, room by room.

mod address;
mod body;
mod deliver;
mod outbox;
mod post;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use plenum_service::{
    config::{Key, Mistakes},
    settings,
};

use crate::{
    auth::Keys,
    cluster::{Cluster, lead},
    metrics::Webhooks,
};

use deliver::Deliverer;
use post::{Post, Target};

settings! {
    /// Webhooks.
    pub struct WebhookConfig {
        /// Where events go, "https://…" or "http://…"; each gets all of them. None: no webhooks.
        urls: Vec<String> = Vec::new(),
        /// API key that signs them; when not set, the first by name.
        key: Option<String> = None,
        /// Whether they may go to this machine and to private networks (RFC 1918 and the like), whatever name
        /// leads there.
        allow_private: bool = false,
        /// How long an event is tried again that the receiver does not take.
        keep: Duration = Duration::from_secs(24 * 3600),
        /// Events that wait for delivery; past it new ones are dropped, and counted.
        max_waiting: u32 = 10_000,
        /// Time for one attempt.
        timeout: Duration = Duration::from_secs(10),
        /// Attempts at once.
        max_concurrent: u32 = 32,
    }
}

impl WebhookConfig {
    /// Notes what does not work; the section is called `webhook`.
    pub(crate) fn check(&self, keys: &[&str], mistakes: &mut Mistakes) {
        for url in &self.urls {
            if let Err(problem) = url.parse::<Target>() {
                mistakes.add(&Key::of("webhook.urls"), format!("{url}: {problem}"));
            }
        }
        if let Some(key) = &self.key
            && !keys.contains(&key.as_str())
        {
            mistakes.add(&Key::of("webhook.key"), "must be one of \"keys\"");
        }
        mistakes.refuse_zero("webhook.keep", self.keep.is_zero());
        mistakes.refuse_zero("webhook.max_waiting", self.max_waiting == 0);
        mistakes.refuse_zero("webhook.timeout", self.timeout.is_zero());
        mistakes.refuse_zero("webhook.max_concurrent", self.max_concurrent == 0);
    }
}

/// Why webhooks cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The system's certificates, with which receivers are checked.
    #[error("no certificates to check https receivers with: {0}")]
    Certificates(String),
}

/// What webhooks are made of.
pub(crate) struct Setup {
    /// Where events come from, and the outbox is.
    pub(crate) cluster: Arc<Cluster>,
    /// Sign.
    pub(crate) keys: Arc<Keys>,
    /// What is set.
    pub(crate) config: WebhookConfig,
    /// Count.
    pub(crate) metrics: Webhooks,
}

/// Sends webhooks whenever no other replica does, for as long as it is polled; returns at once when there are none to
/// send.
///
/// # Errors
/// Https receivers cannot be checked.
pub(crate) fn send(
    setup: Setup,
    own: String,
) -> Result<impl Future<Output = ()> + Send + 'static, WebhookError> {
    let Setup {
        cluster,
        keys,
        config,
        metrics,
    } = setup;
    let post = Post::new(&config, keys)?;
    let shared = Arc::new(Deliverer {
        cluster: Arc::clone(&cluster),
        post,
        config,
        metrics,
        work: Mutex::default(),
    });
    let observed = Arc::downgrade(&shared);
    let backlog = move || observed.upgrade().map(|own| own.backlog());
    shared
        .metrics
        .observe(move || backlog().unwrap_or_default());
    Ok(async move {
        if shared.config.urls.is_empty() {
            return;
        }
        let (store, ttl) = (Arc::clone(cluster.store()), cluster.lease());
        lead(store, "webhooks", &own, ttl, |term| {
            let shared = Arc::clone(&shared);
            async move { shared.run(term).await }
        })
        .await;
    })
}
