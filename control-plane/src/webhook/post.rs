//! One attempt to deliver one webhook: where to, signed, and whether it was taken. Owns the connection. Must not try
//! again, nor follow where a receiver points.
//!
//! RFC 9110, RFC 9112. The signature is LiveKit's: a token (JWT, HS256) of the API key in `Authorization`, whose
//! claim `sha256` is the hash of the body.

use std::{fmt, io, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, ClientConfig, RootCertStore},
};
use tokio_util::task::AbortOnDropHandle;

use super::{WebhookConfig, WebhookError, address::is_public};
use crate::auth::{Keys, MintRequest};

/// How long the signature of one attempt is good for.
const SIGNATURE_TTL: Duration = Duration::from_secs(300);

/// Where a webhook goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    is_tls: bool,
    host: String,
    port: u16,
    /// As the `Host` header has it.
    authority: String,
    path: String,
}

/// What is wrong with a URL; the operator's to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be like \"https://example.org/webhook\", without a user")]
pub(super) struct BadUrl;

impl FromStr for Target {
    type Err = BadUrl;

    fn from_str(url: &str) -> Result<Self, BadUrl> {
        let uri: Uri = url.parse().map_err(|_| BadUrl)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadUrl),
        };
        let authority = uri.authority().ok_or(BadUrl)?.as_str();
        let host = uri.host().ok_or(BadUrl)?;
        if authority.contains('@') || host.is_empty() {
            return Err(BadUrl);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            is_tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// The URL is none any more.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The name leads nowhere.
    #[error("the name is not known: {0}")]
    Name(io::Error),
    /// The name leads to a network that webhooks may not go to.
    #[error("it is in a private network, and webhook.allow_private is off")]
    Private,
    /// No connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// The host has no name that a certificate could have.
    #[error("the host cannot be checked")]
    Host,
    /// The connection broke, or was no HTTP.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be made; ours.
    #[error("no request: {0}")]
    Request(String),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The receiver does not take it. Redirects are not followed: they would get around every check.
    #[error("answered with {0}")]
    Status(StatusCode),
}

/// One webhook on its way.
pub(super) struct Letter<'a> {
    pub(super) url: &'a str,
    pub(super) id: &'a str,
    pub(super) sequence: u64,
    pub(super) body: &'a [u8],
}

/// Sends letters.
pub(super) struct Post {
    keys: Arc<Keys>,
    key: String,
    tls: TlsConnector,
    allow_private: bool,
    limit: Duration,
}

impl Post {
    pub(super) fn new(config: &WebhookConfig, keys: Arc<Keys>) -> Result<Self, WebhookError> {
        let key = config.key.clone();
        let first = || keys.names().min().unwrap_or_default().to_owned();
        let is_tls = config.urls.iter().any(|url| url.starts_with("https:"));
        Ok(Self {
            key: key.unwrap_or_else(first),
            tls: tls(is_tls)?,
            allow_private: config.allow_private,
            limit: config.timeout,
            keys,
        })
    }

    /// Delivers a letter, or says why not.
    pub(super) async fn deliver(&self, letter: &Letter<'_>) -> Result<(), PostError> {
        let target: Target = letter.url.parse()?;
        let request = self.request(&target, letter)?;
        timeout(self.limit, self.attempt(&target, request))
            .await
            .unwrap_or(Err(PostError::Late))
    }

    async fn attempt(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(), PostError> {
        let tcp = self.connect(target).await?;
        let status = if target.is_tls {
            let name = ServerName::try_from(target.host.clone()).map_err(|_| PostError::Host)?;
            let tls = self.tls.connect(name, tcp).await;
            ask(tls.map_err(PostError::Connect)?, request).await?
        } else {
            ask(tcp, request).await?
        };
        if status.is_success() {
            Ok(())
        } else {
            Err(PostError::Status(status))
        }
    }

    /// Connects to an address that was judged, not to a name that could lead elsewhere the next time.
    async fn connect(&self, target: &Target) -> Result<TcpStream, PostError> {
        let found = lookup_host((target.host.as_str(), target.port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(PostError::Name)?.collect();
        let mut problem = PostError::Private;
        for address in addresses {
            if !self.allow_private && !is_public(address.ip()) {
                continue;
            }
            // An address that swallows everything must not use up the time of the next one.
            match timeout(self.limit / 4, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => problem = PostError::Connect(error),
                Err(_) => problem = PostError::Connect(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(problem)
    }

    fn request(
        &self,
        target: &Target,
        letter: &Letter<'_>,
    ) -> Result<Request<Full<Bytes>>, PostError> {
        let ours = |error: &dyn fmt::Display| PostError::Request(error.to_string());
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, letter.body);
        let request = MintRequest {
            sha256: BASE64_STANDARD.encode(hash),
            ttl: SIGNATURE_TTL,
            ..MintRequest::default()
        };
        let token = self.keys.mint(&self.key, request).map_err(|e| ours(&e))?;
        let mut token = HeaderValue::try_from(token).map_err(|e| ours(&e))?;
        token.set_sensitive(true);
        Request::post(&target.path)
            .header(HOST, &target.authority)
            .header(USER_AGENT, concat!("plenum/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/webhook+json")
            .header(AUTHORIZATION, token)
            .header("plenum-event-id", letter.id)
            .header("plenum-sequence", letter.sequence)
            .body(Full::new(Bytes::copy_from_slice(letter.body)))
            .map_err(|e| ours(&e))
    }
}

/// Sends one request on a connection of its own; the head of the answer is all that counts.
async fn ask(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, PostError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    Ok(sender.send_request(request).await?.status())
}

/// Receivers are checked by the certificates of the system.
fn tls(is_needed: bool) -> Result<TlsConnector, WebhookError> {
    let failed = |problem: &dyn fmt::Display| WebhookError::Certificates(problem.to_string());
    let mut roots = RootCertStore::empty();
    if is_needed {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(failed(&"none are installed"));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_receiver() {
        let target = |is_tls, host: &str, port, authority: &str, path: &str| Target {
            is_tls,
            host: host.into(),
            port,
            authority: authority.into(),
            path: path.into(),
        };
        for (url, expected) in [
            (
                "https://a.org/x?y=1",
                target(true, "a.org", 443, "a.org", "/x?y=1"),
            ),
            (
                "http://a.org:81",
                target(false, "a.org", 81, "a.org:81", "/"),
            ),
            (
                "http://[::1]:81/x",
                target(false, "::1", 81, "[::1]:81", "/x"),
            ),
        ] {
            assert_eq!(url.parse(), Ok(expected), "{url}");
        }
        for bad in [
            "",
            "a.org",
            "ftp://a.org",
            "https://",
            "https://me:pw@a.org/",
            "/x",
        ] {
            assert_eq!(bad.parse::<Target>(), Err(BadUrl), "{bad}");
        }
    }
}
