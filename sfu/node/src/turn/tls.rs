//! The certificate of TURN over TLS: read from files, and again when they change.
//!
//! Owns which certificate new connections get. Must not accept connections. A renewed certificate takes
//! effect without a restart; a broken one is reported and the last good one stays.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use plenum_service::pem::{self, PemError};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// A file is not there, or is no PEM of the kind it should be.
    #[error(transparent)]
    File(#[from] PemError),
    /// The two do not go together, or are of a kind that is not spoken.
    #[error("certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// Where the certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    /// The chain, PEM, the server's own first.
    pub(super) certificate: PathBuf,
    /// Its key, PEM.
    pub(super) key: PathBuf,
}

impl Files {
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateFileError> {
        let chain = pem::certificates(&self.certificate)?;
        let key = pem::key(&self.key)?;
        CertifiedKey::from_der(chain, key, provider).map_err(CertificateFileError::Unusable)
    }

    /// When they were last written; the newer of the two.
    fn changed(&self) -> io::Result<SystemTime> {
        let of = |path: &PathBuf| std::fs::metadata(path)?.modified();
        Ok(of(&self.certificate)?.max(of(&self.key)?))
    }
}

/// The certificate of this moment.
pub(super) struct Current {
    files: Files,
    provider: Arc<CryptoProvider>,
    key: RwLock<Arc<CertifiedKey>>,
}

impl Current {
    pub(super) fn read(files: Files) -> Result<Arc<Self>, CertificateFileError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = RwLock::new(Arc::new(files.read(&provider)?));
        Ok(Arc::new(Self {
            files,
            provider,
            key,
        }))
    }

    /// What accepts connections with whatever certificate is current then.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, CertificateFileError> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(CertificateFileError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again when they change, until told to stop.
    pub(super) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut known = self.files.changed().ok();
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_some()
        {
            let changed = self.files.changed().ok();
            if changed == known {
                continue;
            }
            known = changed;
            self.read_again();
        }
    }

    fn read_again(&self) {
        match self.files.read(&self.provider) {
            Ok(key) => {
                *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                tracing::info!("new TLS certificate for TURN");
            }
            Err(error) => tracing::warn!(%error, "the TLS certificate for TURN stays the old one"),
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&key))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
