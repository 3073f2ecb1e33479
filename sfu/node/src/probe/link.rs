//! The way to a server: datagrams, frames, a stream, or a stream in TLS. Must not know the protocol
//! further than a message's length.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use plenum_service::pem;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

use super::{PATIENCE, ProbeError};

/// Longest message of a server.
const MAX_MESSAGE: usize = 65_536;

/// Whom TLS trusts.
#[derive(Clone)]
pub struct TlsTrust(TlsConnector);

impl TlsTrust {
    /// The authorities that this system trusts, and those of a PEM file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn new(authorities: Option<&Path>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = authorities {
            let own = pem::certificates(path).map_err(io::Error::other)?;
            roots.add_parsable_certificates(own);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// Connects; what drops the packets of a connection is not waited for.
pub(super) async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    match timeout(PATIENCE, TcpStream::connect(server)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Speaks TLS over a stream, where there is somebody to trust; `host` is the name, or address, that the
/// certificate must have.
pub(super) async fn secure(
    host: &str,
    stream: TcpStream,
    trust: Option<&TlsTrust>,
) -> Result<Box<dyn Stream>, ProbeError> {
    let Some(TlsTrust(connector)) = trust else {
        return Ok(Box::new(stream));
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
    match timeout(PATIENCE, connector.connect(name, stream)).await {
        Ok(secured) => Ok(Box::new(secured?)),
        Err(_) => Err(ProbeError::NoAnswer),
    }
}

/// The way to a server.
pub struct Link(Kind);

enum Kind {
    Datagrams(UdpSocket),
    /// Each message with its length before it (RFC 4571).
    Frames(TcpStream),
    Stream(Box<dyn Stream>),
}

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Link {
    /// Datagrams to and from one server.
    ///
    /// # Errors
    /// What the system says.
    pub async fn udp(server: SocketAddr) -> io::Result<Self> {
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        Ok(Self(Kind::Datagrams(socket)))
    }

    /// A media port over TCP.
    ///
    /// # Errors
    /// What the network says.
    pub async fn frames(server: SocketAddr) -> io::Result<Self> {
        Ok(Self(Kind::Frames(connect(server).await?)))
    }

    /// A TURN server over TCP.
    ///
    /// # Errors
    /// What the network says.
    pub async fn tcp(server: SocketAddr) -> io::Result<Self> {
        Ok(Self(Kind::Stream(Box::new(connect(server).await?))))
    }

    /// A TURN server over TLS; `host` is the name its certificate must have.
    ///
    /// # Errors
    /// What the network says, or TLS.
    pub async fn tls(server: SocketAddr, host: &str, trust: &TlsTrust) -> Result<Self, ProbeError> {
        let stream = connect(server).await?;
        let stream = secure(host, stream, Some(trust)).await?;
        Ok(Self(Kind::Stream(stream)))
    }

    /// Messages may get lost.
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self.0, Kind::Datagrams(_))
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Datagrams(socket) => socket.send(message).await.map(drop),
            Kind::Frames(stream) => {
                let length = u16::try_from(message.len()).map_err(io::Error::other)?;
                let frame = [&length.to_be_bytes(), message].concat();
                stream.write_all(&frame).await
            }
            Kind::Stream(stream) => {
                let mut message = message.to_vec();
                message.resize(message.len().next_multiple_of(4), 0);
                stream.write_all(&message).await?;
                stream.flush().await
            }
        }
    }

    /// The next message. Nothing of it is kept when this is given up half-way.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Datagrams(socket) => {
                let mut buffer = vec![0; MAX_MESSAGE];
                let length = socket.recv(&mut buffer).await?;
                buffer.truncate(length);
                Ok(buffer)
            }
            Kind::Frames(stream) => {
                let length = usize::from(stream.read_u16().await?);
                let mut frame = vec![0; length];
                stream.read_exact(&mut frame).await?;
                Ok(frame)
            }
            Kind::Stream(stream) => {
                let mut message = vec![0; 4];
                stream.read_exact(&mut message).await?;
                let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
                // Channel data is padded; STUN has a header of 20 bytes, of which 4 are read.
                let rest = match message[0] >> 6 {
                    0 => length + 16,
                    _ => length.next_multiple_of(4),
                };
                message.resize(4 + rest, 0);
                stream.read_exact(&mut message[4..]).await?;
                Ok(message)
            }
        }
    }
}
