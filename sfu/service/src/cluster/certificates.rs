//! The certificates that the processes of a cluster show each other. Owns both ends of a TLS connection, and that
//! certificates are read again when their files change: a new connection takes what is current then, one that is open
//! goes on. Must not know what goes over it.
//!
//! RFC 8446, RFC 9113 section 3.3 (ALPN `h2`). Renewed certificates take effect without a restart; broken files are
//! reported and the last good ones stay.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector, client,
    rustls::{
        self, ClientConfig, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        server::WebPkiClientVerifier,
    },
    server,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{TlsConfig, TrustError};
use crate::pem::{self, PemError};

/// Connections whose other side has not shown its certificate yet; more wait to be accepted.
const MAX_HANDSHAKES: usize = 256;

/// How long it may take to show it.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The protocol spoken inside.
const ALPN: &[u8] = b"h2";

/// Where certificates are.
struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

/// What a file looks like from outside: other content, another stamp.
type Stamp = [Option<(SystemTime, u64, u64)>; 3];

/// Both ends, with the certificates of one moment.
#[derive(Clone)]
struct Ends {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// The certificates of this moment.
pub(super) struct Certificates {
    files: Files,
    /// That stands in everybody's.
    name: ServerName<'static>,
    current: Mutex<(Stamp, Ends)>,
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.ca, &self.certificate, &self.key].map(|path| {
            let about = std::fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len(), about.ino()))
        })
    }

    fn read(&self) -> Result<Ends, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for root in pem::certificates(&self.ca)? {
            roots.add(root).map_err(PemError::of(&self.ca))?;
        }
        let roots = Arc::new(roots);
        let chain = pem::certificates(&self.certificate)?;
        let key = pem::key(&self.key)?;
        let client = client_end(&provider, &roots, chain.clone(), key.clone_key());
        let server = server_end(&provider, roots, chain, key);
        Ok(Ends {
            client: Arc::new(client.map_err(PemError::of(&self.certificate))?),
            server: Arc::new(server.map_err(PemError::of(&self.certificate))?),
        })
    }
}

fn client_end(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn server_end(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let asks = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(asks)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

impl Certificates {
    /// Reads what is configured, if anything is.
    pub(super) fn read(config: &TlsConfig) -> Result<Option<Arc<Self>>, TrustError> {
        let (Some(ca), Some(certificate), Some(key)) =
            (&config.ca, &config.certificate, &config.key)
        else {
            return Ok(None);
        };
        let files = Files {
            ca: ca.into(),
            certificate: certificate.into(),
            key: key.into(),
        };
        let name = ServerName::try_from(config.name.clone())
            .map_err(|_| TrustError::Name(config.name.clone()))?;
        let current = (files.stamp(), files.read()?);
        Ok(Some(Arc::new(Self {
            files,
            name,
            current: Mutex::new(current),
        })))
    }

    /// With the certificates of now. They are looked at with every new connection, of which there are few.
    fn ends(&self) -> Ends {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Before they are read: what changes meanwhile is seen the next time.
        let stamp = self.files.stamp();
        if stamp != current.0 {
            current.0 = stamp;
            match self.files.read() {
                Ok(ends) => {
                    current.1 = ends;
                    tracing::info!("new certificates for the cluster");
                }
                Err(error) => tracing::warn!(%error, "the old certificates stay"),
            }
        }
        current.1.clone()
    }

    /// Connects, and shows ours.
    pub(super) async fn connect(
        self: Arc<Self>,
        to: Uri,
    ) -> io::Result<TokioIo<client::TlsStream<TcpStream>>> {
        let host = to.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = to.port_u16().unwrap_or(443);
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(self.ends().client);
        connector
            .connect(self.name.clone(), tcp)
            .await
            .map(TokioIo::new)
    }

    /// The connections whose other side shows a good one.
    pub(super) fn accepted(
        self: Arc<Self>,
        listener: TcpListener,
    ) -> ReceiverStream<io::Result<server::TlsStream<TcpStream>>> {
        let (to, accepted) = mpsc::channel(1);
        tokio::spawn(self.accept(listener, to));
        ReceiverStream::new(accepted)
    }

    /// Until nobody wants any more.
    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        to: mpsc::Sender<io::Result<server::TlsStream<TcpStream>>>,
    ) {
        let permits = Arc::new(Semaphore::new(MAX_HANDSHAKES));
        loop {
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
                Some((listener.accept().await, permit))
            };
            let next = tokio::select! {
                () = to.closed() => return,
                next = next => next,
            };
            let Some((accepted, permit)) = next else {
                return;
            };
            let (tcp, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection of the cluster cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // A failure here only makes it slower.
            let _ = tcp.set_nodelay(true);
            let acceptor = TlsAcceptor::from(self.ends().server);
            let to = to.clone();
            tokio::spawn(async move {
                let shaken = timeout(HANDSHAKE, acceptor.accept(tcp)).await;
                drop(permit);
                match shaken {
                    // Nobody may want it any more.
                    Ok(Ok(stream)) => drop(to.send(Ok(stream)).await),
                    Ok(Err(error)) => {
                        tracing::debug!(%from, %error, "a connection shows no good certificate");
                    }
                    Err(_) => tracing::debug!(%from, "a connection shows no certificate"),
                }
            });
        }
    }
}
