//! The way to etcd: its members, of which the one that answered last is asked first, and who we are there. Owns
//! time limits, and going on to the next member. Must not know what is asked.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{
    EtcdConfig, StoreError, error,
    pb::{
        self, auth_client::AuthClient, kv_client::KvClient, lease_client::LeaseClient,
        watch_client::WatchClient,
    },
};

/// How long a member may take to accept a connection before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a silent connection is asked whether it is alive, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(3);

/// Requests at once of one replica.
const MAX_REQUESTS: usize = 512;

/// Bytes of one answer.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

pub(super) struct Connection {
    members: Vec<Channel>,
    /// The member to ask first.
    first: AtomicUsize,
    timeout: Duration,
    /// etcd refuses more than 5000 requests that wait; several replicas share it.
    slots: Semaphore,
    user: Option<(String, String)>,
    token: Mutex<Option<MetadataValue<Ascii>>>,
}

impl Connection {
    pub(super) fn new(config: &EtcdConfig) -> Result<Self, StoreError> {
        let refused =
            |what: &str, why: &dyn std::fmt::Display| StoreError::Refused(format!("{what}: {why}"));
        let ca = config.ca.as_deref().map(|path| {
            std::fs::read(path)
                .map(Certificate::from_pem)
                .map_err(|why| refused(path, &why))
        });
        let ca = ca.transpose()?;
        let mut members = Vec::new();
        for address in &config.endpoints {
            let mut endpoint = Endpoint::from_shared(address.clone())
                .map_err(|why| refused(address, &why))?
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEPALIVE)
                .keep_alive_timeout(KEEPALIVE)
                .keep_alive_while_idle(true);
            if address.starts_with("https://") {
                let tls = match &ca {
                    Some(ca) => ClientTlsConfig::new().ca_certificate(ca.clone()),
                    None => ClientTlsConfig::new().with_native_roots(),
                };
                endpoint = endpoint
                    .tls_config(tls)
                    .map_err(|why| refused(address, &why))?;
            }
            members.push(endpoint.connect_lazy());
        }
        if members.is_empty() {
            return Err(StoreError::Refused("no etcd endpoint is set".to_owned()));
        }
        let password = config.password.as_ref().map(|p| p.expose().to_owned());
        Ok(Self {
            members,
            first: AtomicUsize::new(0),
            timeout: config.timeout,
            slots: Semaphore::new(MAX_REQUESTS),
            user: config
                .user
                .clone()
                .map(|user| (user, password.unwrap_or_default())),
            token: Mutex::default(),
        })
    }

    /// Reads may be asked again of another member; nothing is changed by them.
    pub(super) async fn range(
        &self,
        request: pb::RangeRequest,
    ) -> Result<pb::RangeResponse, StoreError> {
        self.again(|channel| {
            let request = request.clone();
            async move {
                let request = self.known(request).await?;
                let mut client = KvClient::new(channel).max_decoding_message_size(MAX_ANSWER);
                Ok(client.range(request).await?.into_inner())
            }
        })
        .await
        .map_err(|status| error(&status))
    }

    /// Asked once, unless it has certainly not arrived.
    pub(super) async fn txn(&self, request: pb::TxnRequest) -> Result<pb::TxnResponse, Status> {
        self.once(|channel| {
            let request = request.clone();
            async move {
                let request = self.known(request).await?;
                Ok(KvClient::new(channel).txn(request).await?.into_inner())
            }
        })
        .await
    }

    /// Whether the lease was still there to be renewed.
    pub(super) async fn keep_alive(&self, id: i64) -> Result<bool, StoreError> {
        let ask = |channel| async move {
            let asked = tokio_stream::once(pb::LeaseKeepAliveRequest { id });
            let request = self.known(asked).await?;
            let answer = LeaseClient::new(channel).lease_keep_alive(request).await?;
            answer.into_inner().message().await
        };
        let answer = self.again(ask).await.map_err(|status| error(&status))?;
        Ok(answer.is_some_and(|answer| answer.ttl > 0))
    }

    /// Whether it is ours anew; it is not when somebody else has taken it meanwhile.
    pub(super) async fn grant(&self, id: i64, ttl: i64) -> Result<bool, StoreError> {
        let request = pb::LeaseGrantRequest { ttl, id };
        let answer = self
            .once(|channel| async move {
                let request = self.known(request).await?;
                let answer = LeaseClient::new(channel).lease_grant(request).await?;
                Ok(answer.into_inner())
            })
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::FailedPrecondition => Ok(false),
            Err(status) => Err(error(&status)),
        }
    }

    pub(super) async fn revoke(&self, id: i64) -> Result<(), StoreError> {
        let request = pb::LeaseRevokeRequest { id };
        let answer = self
            .again(|channel| async move {
                let request = self.known(request).await?;
                LeaseClient::new(channel).lease_revoke(request).await?;
                Ok(())
            })
            .await;
        match answer {
            Err(status) if status.code() != Code::NotFound => Err(error(&status)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Returns when the watch stands.
    pub(super) async fn watch(
        &self,
        create: pb::WatchCreateRequest,
    ) -> Result<(mpsc::Sender<pb::WatchRequest>, Streaming<pb::WatchResponse>), StoreError> {
        let asked = pb::WatchRequest {
            request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
        };
        self.again(|channel| {
            let asked = asked.clone();
            async move {
                let (ask, requests) = mpsc::channel(1);
                ask.try_send(asked)
                    .map_err(|_| Status::internal("a queue of one takes one"))?;
                let mut request = self.known(ReceiverStream::new(requests)).await?;
                // A member cut off from its leader ends the watch, where it would say nothing for ever.
                let required = MetadataValue::from_static("true");
                request.metadata_mut().insert("hasleader", required);
                let mut client = WatchClient::new(channel).max_decoding_message_size(MAX_ANSWER);
                let mut answers = client.watch(request).await?.into_inner();
                match answers.message().await? {
                    Some(first) if first.created && !first.canceled => Ok((ask, answers)),
                    Some(first) => Err(Status::unavailable(first.cancel_reason)),
                    None => Err(Status::unavailable("the watch ended at once")),
                }
            }
        })
        .await
        .map_err(|status| error(&status))
    }

    /// Asks one member after the other until one answers.
    async fn again<T, F>(&self, ask: impl Fn(Channel) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.each(ask, |code| {
            matches!(
                code,
                Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled
            )
        })
        .await
    }

    /// Asks the next member only when the one before could not even be connected to, or said that it did
    /// nothing.
    async fn once<T, F>(&self, ask: impl Fn(Channel) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.each(ask, |_| false).await
    }

    async fn each<T, F>(
        &self,
        ask: impl Fn(Channel) -> F,
        is_for_next: impl Fn(Code) -> bool,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        // Never closed.
        let _slot = self.slots.acquire().await;
        let first = self.first.load(Ordering::Relaxed);
        let mut refused = Status::unavailable("no member answers");
        for turn in 0..=self.members.len() {
            let at = (first + turn) % self.members.len();
            let asked = timeout(self.timeout, ask(self.members[at].clone())).await;
            let answer =
                asked.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
            let status = match answer {
                Ok(answer) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(status) => status,
            };
            // A token is good for minutes only, and not after etcd was restarted.
            let is_stranger = status.code() == Code::Unauthenticated
                || status.message().contains("invalid auth token");
            if is_stranger && self.user.is_some() && turn < self.members.len() {
                *self.lock() = None;
                refused = status;
                continue;
            }
            // Nobody answers any more at this member: the next request begins with the next one.
            if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) {
                self.first
                    .store((at + 1) % self.members.len(), Ordering::Relaxed);
            }
            if !is_for_next(status.code()) && !is_unsent(&status) {
                return Err(status);
            }
            refused = status;
        }
        Err(refused)
    }

    /// A request that says who we are.
    async fn known<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let Some((user, password)) = &self.user else {
            return Ok(request);
        };
        let known = self.lock().clone();
        let token = match known {
            Some(token) => token,
            None => {
                let at = self.first.load(Ordering::Relaxed) % self.members.len();
                let asked = pb::AuthenticateRequest {
                    name: user.clone(),
                    password: password.clone(),
                };
                let mut client = AuthClient::new(self.members[at].clone());
                let answer = client.authenticate(asked).await?.into_inner();
                let mut token: MetadataValue<Ascii> = answer
                    .token
                    .parse()
                    .map_err(|_| Status::internal("etcd gave a token that no header takes"))?;
                token.set_sensitive(true);
                *self.lock() = Some(token.clone());
                token
            }
        };
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<MetadataValue<Ascii>>> {
        // A token is replaced as a whole.
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request was not sent at all: there was no connection. Nor was it done when etcd has no leader.
fn is_unsent(status: &Status) -> bool {
    use std::error::Error as _;
    let mut cause = status.source();
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
        {
            return true;
        }
        cause = error.source();
    }
    status.message().contains("etcdserver: no leader")
}
