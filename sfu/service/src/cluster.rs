//! How the processes of a cluster know each other: a shared secret shown with every call, and TLS with
//! certificates on both sides. Owns both ends of each. Must not know what is called.
//!
//! RFC 6750 (bearer tokens), RFC 8446 (TLS 1.3). Outside the loopback address one of the two is needed.

mod certificates;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    service::interceptor::InterceptedService,
    transport::{
        Channel, Endpoint, Server,
        server::{Router, TcpIncoming},
    },
};
use tower::service_fn;

use crate::{
    config::{Key, Mistakes, Secret, is_loopback},
    pem::PemError,
    settings,
};
use certificates::Certificates;

settings! {
    /// Certificates, all in PEM. Either none of the three files is set, or all are. They are read again when they
    /// change.
    pub struct TlsConfig {
        /// File with the certificates of the authority that signed everybody's.
        ca: Option<String> = None,
        /// File with the certificate of this process, good for servers and clients.
        certificate: Option<String> = None,
        /// File with its private key.
        key: Option<String> = None,
        /// DNS name that stands in everybody's certificate, whatever their address.
        name: String = "plenum".to_owned(),
    }
}

/// Shorter secrets can be guessed.
const MIN_SECRET: usize = 32;

/// Bytes one call may have unread, and all calls of a connection together: far apart, so that slow
/// readers do not hold up the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;

/// Calls of one connection at a time; a control plane keeps one for each of its participants.
const MAX_CALLS: u32 = 100_000;

/// How often a silent connection is asked whether it is alive, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the processes of a cluster cannot know each other; always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file of certificates or keys.
    #[error("cluster.tls: {0}")]
    File(#[from] PemError),
    /// The name is none of DNS.
    #[error("cluster.tls.name: {0} is no name")]
    Name(String),
    /// An address is none.
    #[error("cluster: {0}")]
    Address(#[from] tonic::transport::Error),
    /// The secret has characters that no header takes.
    #[error("cluster.secret: only visible ASCII characters can be sent")]
    Secret,
}

impl TlsConfig {
    /// Whether certificates are configured.
    pub fn is_on(&self) -> bool {
        self.ca.is_some()
    }

    /// Notes what does not fit together; `section` is where this one stands.
    pub fn check(&self, section: &str, mistakes: &mut Mistakes) {
        let files = [
            ("ca", &self.ca),
            ("certificate", &self.certificate),
            ("key", &self.key),
        ];
        if files.iter().any(|(_, file)| file.is_some()) {
            for (name, _) in files.iter().filter(|(_, file)| file.is_none()) {
                let key = Key::of(section).child(name);
                mistakes.add(
                    &key,
                    "must be set as well: ca, certificate and key go together",
                );
            }
        }
    }
}

/// Notes what is wrong with `cluster.secret`.
pub fn check_secret(secret: &Secret, mistakes: &mut Mistakes) {
    let text = secret.expose();
    let key = Key::of("cluster.secret");
    if !text.is_empty() && text.len() < MIN_SECRET {
        mistakes.add(&key, format!("must have at least {MIN_SECRET} characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        mistakes.add(&key, "may have visible ASCII characters only");
    }
}

/// Notes a listener that strangers could reach.
pub fn check_listen(listen: SocketAddr, secret: &Secret, tls: &TlsConfig, mistakes: &mut Mistakes) {
    if !is_loopback(listen.ip()) && secret.expose().is_empty() && !tls.is_on() {
        mistakes.add(
            &Key::of("cluster.listen"),
            format!(
                "{listen} is reachable by others: set cluster.secret (for example PLENUM_CLUSTER__SECRET=$(openssl \
                 rand -hex 32)) or cluster.tls, or listen on 127.0.0.1"
            ),
        );
    }
}

/// What a process of a cluster shows the others, and asks of them.
#[derive(Clone)]
pub struct Trust {
    bearer: Option<MetadataValue<Ascii>>,
    certificates: Option<Arc<Certificates>>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bearer, tls) = (self.bearer.is_some(), self.certificates.is_some());
        f.debug_struct("Trust")
            .field("bearer", &bearer)
            .field("tls", &tls)
            .finish()
    }
}

impl Trust {
    /// Shows nothing and asks nothing: within one process.
    pub fn none() -> Self {
        Self {
            bearer: None,
            certificates: None,
        }
    }

    /// Reads what is configured.
    ///
    /// # Errors
    /// Files that cannot be read or used.
    pub fn new(secret: &Secret, tls: &TlsConfig) -> Result<Self, TrustError> {
        let bearer = match secret.expose() {
            "" => None,
            text => {
                let mut value: MetadataValue<Ascii> = format!("Bearer {text}")
                    .parse()
                    .map_err(|_| TrustError::Secret)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self {
            bearer,
            certificates: Certificates::read(tls)?,
        })
    }

    /// Whether a stranger could be told from one of us.
    pub fn is_on(&self) -> bool {
        self.bearer.is_some() || self.certificates.is_some()
    }

    /// The way to `address` ("host:port"); it connects when it is first used, and again when it has to.
    ///
    /// # Errors
    /// An address that is none.
    pub fn channel(&self, address: &str) -> Result<Known, TrustError> {
        // TLS is ours, and not the endpoint's, which would keep the first certificates for ever.
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let channel = match &self.certificates {
            None => endpoint.connect_lazy(),
            Some(certificates) => {
                let certificates = Arc::clone(certificates);
                endpoint.connect_with_connector_lazy(service_fn(move |to| {
                    Arc::clone(&certificates).connect(to)
                }))
            }
        };
        Ok(self.show(channel))
    }

    /// A channel whose calls show who we are.
    pub fn show(&self, channel: Channel) -> Known {
        InterceptedService::new(
            channel,
            Shown {
                bearer: self.bearer.clone(),
            },
        )
    }

    /// A server for the others; wrap its services in [`guard`](Self::guard), and then [`serve`](Self::serve) it.
    pub fn server(&self) -> Server {
        Server::builder()
            .max_concurrent_streams(MAX_CALLS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keepalive_interval(Some(KEEPALIVE * 5))
            .http2_keepalive_timeout(Some(KEEPALIVE * 5))
    }

    /// Serves on `listener` until told to stop; connections are given the time they need to end.
    ///
    /// # Errors
    /// The server cannot go on.
    pub async fn serve(
        self,
        server: Router,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let stop = stop.cancelled_owned();
        match self.certificates {
            Some(certificates) => {
                let incoming = certificates.accepted(listener);
                server.serve_with_incoming_shutdown(incoming, stop).await
            }
            None => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                server.serve_with_incoming_shutdown(incoming, stop).await
            }
        }
    }

    /// Lets nobody in who does not show the secret. Certificates are looked at before.
    pub fn guard(&self) -> Guard {
        Guard {
            bearer: self.bearer.clone(),
        }
    }
}

/// A channel whose calls show who we are.
pub type Known = InterceptedService<Channel, Shown>;

/// Shows the secret with every call.
#[derive(Debug, Clone)]
pub struct Shown {
    bearer: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request
                .metadata_mut()
                .insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

/// Refuses every call that does not show the secret.
#[derive(Debug, Clone)]
pub struct Guard {
    bearer: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.bearer else {
            return Ok(request);
        };
        let shown = request.metadata().get("authorization");
        let is_ours = shown.is_some_and(|shown| {
            // Takes as long whatever is shown, so that it cannot be guessed bit by bit.
            aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), expected.as_bytes())
                .is_ok()
        });
        if is_ours {
            Ok(request)
        } else {
            Err(Status::unauthenticated(
                "cluster.secret is missing or wrong",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting as _;

    fn trust(secret: &str) -> Trust {
        Trust::new(&Secret::new(secret), &TlsConfig::default()).expect("no files")
    }

    fn passes(ours: &str, theirs: &str) -> bool {
        let request =
            trust(theirs).show(Endpoint::from_static("http://127.0.0.1:1").connect_lazy());
        drop(request);
        let mut shown = Shown {
            bearer: trust(theirs).bearer,
        };
        let request = shown.call(Request::new(())).expect("it only adds");
        trust(ours).guard().call(request).is_ok()
    }

    #[tokio::test]
    async fn only_who_shows_the_secret_comes_in() {
        let (ours, other) = ("a".repeat(32), "b".repeat(32));
        assert!(passes(&ours, &ours));
        assert!(passes("", &other), "nothing is asked");
        assert!(!passes(&ours, &other));
        assert!(!passes(&ours, ""));
        assert!(!passes(&ours, &"a".repeat(33)));
    }

    #[test]
    fn nothing_listens_for_strangers() {
        let on = TlsConfig {
            ca: Some("ca.pem".into()),
            ..TlsConfig::default()
        };
        for (listen, secret, tls, accepted) in [
            ("127.0.0.1:1", "", TlsConfig::default(), true),
            ("[::1]:1", "", TlsConfig::default(), true),
            ("0.0.0.0:1", "", TlsConfig::default(), false),
            ("192.0.2.1:1", "secret", TlsConfig::default(), true),
            ("192.0.2.1:1", "", on, true),
        ] {
            let mut mistakes = Mistakes::default();
            check_listen(
                listen.parse().expect("an address"),
                &Secret::new(secret),
                &tls,
                &mut mistakes,
            );
            assert_eq!(mistakes.all().is_empty(), accepted, "{listen} {secret:?}");
        }
    }

    #[test]
    fn files_of_certificates_go_together() {
        let mut tls = TlsConfig::default();
        let given = crate::config::Given::from_table("key = \"k.pem\"".parse().expect("TOML"));
        let mut mistakes = Mistakes::default();
        tls.read(given, &Key::of("cluster.tls"), &mut mistakes);
        tls.check("cluster.tls", &mut mistakes);
        let keys: Vec<&str> = mistakes.all().iter().map(|m| m.key.as_str()).collect();
        assert_eq!(keys, ["cluster.tls.ca", "cluster.tls.certificate"]);
    }
}
