//! Certificates and keys that lie in files (PEM, RFC 7468). Owns what is said of a file that holds none. Must not judge
//! what they are good for.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// A file that is not there, or holds not what it should.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used: {problem}", path.display())]
pub struct PemError {
    /// As configured.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl PemError {
    /// Of a file, and what is wrong with it.
    pub fn of<E: ToString>(path: &Path) -> impl Fn(E) -> Self + '_ {
        move |problem| Self {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// The certificates of a file in their order, at least one.
///
/// # Errors
/// What is wrong with the file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(PemError::of(path))?;
    if found.is_empty() {
        return Err(PemError::of(path)("it holds no certificate"));
    }
    Ok(found)
}

/// The first key of a file.
///
/// # Errors
/// What is wrong with the file.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_file(path).map_err(PemError::of(path))
}
