//! One listener for everything: HTTP/1, HTTP/2 without TLS, and upgrades. Owns accepting, the limits of
//! a connection, and its end. Must not know what is served.
//!
//! RFC 9112, RFC 9113. None of the libraries below bounds a connection that sends nothing, or a
//! header that never ends, unless told to: every limit stands here in the open.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::HttpConfig;

/// Streams a client may reset before we have looked at them (CVE-2023-44487); past it the connection ends.
const MAX_PENDING_RESETS: usize = 20;

/// Streams we may reset for a client's mistakes; past it the connection ends.
const MAX_ERROR_RESETS: usize = 128;

/// Headers of one request.
const MAX_HEADERS: usize = 100;

/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes the address that is configured, or the first free one of its range, and writes it down where that is asked
/// for. Needs a tokio runtime.
///
/// # Errors
/// There is none, or the file cannot be written.
pub fn bind(config: &HttpConfig) -> io::Result<TcpListener> {
    let listener = first_free(config.listen, config.port_range, listen)?;
    if let Some(path) = &config.address_file {
        std::fs::write(path, format!("{}\n", listener.local_addr()?))?;
    }
    Ok(listener)
}

/// Binds the first port from `first` on that nobody has; `range` of 0 is that port alone.
///
/// # Errors
/// None is free, or the system says something else.
pub fn first_free<T>(
    first: SocketAddr,
    range: u16,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    for offset in 0..range {
        let mut address = first;
        address.set_port(first.port().saturating_add(offset));
        match bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    bind(first)
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port whose last connections are not forgotten yet can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A listener that serves until it is shut down.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    connections: Arc<Semaphore>,
    max_connections: u32,
    stop: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves `app` on `listener`.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(listener: TcpListener, app: Router, limits: &HttpConfig) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let connections = Arc::new(Semaphore::new(limits.max_connections as usize));
        let stop = CancellationToken::new();
        let connection = Connection {
            app,
            builder: builder(limits),
            first_request: limits.header_timeout,
            idle: limits.idle_timeout,
            stop: stop.clone(),
        };
        let accepting = tokio::spawn(accept(listener, connection, Arc::clone(&connections)));
        let max_connections = limits.max_connections;
        Ok(Self {
            address,
            connections,
            max_connections,
            stop,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads how many sockets are open; does not keep the listener.
    pub fn open_connections(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let (connections, max) = (Arc::clone(&self.connections), self.max_connections as usize);
        // One permit waits in the accepting loop for the next connection.
        move || (max - connections.available_permits()).saturating_sub(1) as u64
    }

    /// Stops accepting, lets requests and upgraded connections end, and returns after `grace` at most.
    pub async fn shutdown(self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.stop.cancel();
        // The loop ends as soon as it sees the token; it holds nothing that could be lost.
        let _ = self.accepting.await;
        // Every socket holds a permit for as long as it is open, upgraded or not.
        if timeout_at(
            deadline,
            self.connections.acquire_many(self.max_connections),
        )
        .await
        .is_err()
        {
            let open = self.max_connections as usize - self.connections.available_permits();
            tracing::warn!(open, "connections are still open at the end");
        }
    }
}

/// What every connection is served with.
#[derive(Clone)]
struct Connection {
    app: Router,
    builder: auto::Builder<TokioExecutor>,
    first_request: Duration,
    idle: Duration,
    stop: CancellationToken,
}

fn builder(limits: &HttpConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header.bytes())
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header.0)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}

async fn accept(listener: TcpListener, connection: Connection, permits: Arc<Semaphore>) {
    let stop = connection.stop.clone();
    loop {
        let next = async {
            // Past the limit connections wait in the kernel's queue, which is short and refuses the rest.
            let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            next = next => next,
        };
        match accepted {
            None => return,
            Some((Ok((tcp, from)), permit)) => {
                tokio::spawn(serve(tcp, from, permit, connection.clone()));
            }
            // The client went away before it was its turn: the next one may be fine.
            Some((Err(error), _)) if is_of_one_connection(&error) => {}
            Some((Err(error), _)) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

async fn serve(
    tcp: TcpStream,
    from: SocketAddr,
    permit: OwnedSemaphorePermit,
    connection: Connection,
) {
    // Signalling and calls are small and wanted at once; a failure here only makes them slower.
    let _ = tcp.set_nodelay(true);
    let requests = Arc::new(Requests::default());
    let service = {
        let (app, requests) = (connection.app, Arc::clone(&requests));
        service_fn(move |request: Request<Incoming>| {
            let open = requests.begin();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(from));
            let app = app.clone();
            async move {
                let response = app.oneshot(request).await.unwrap_or_else(|e| match e {});
                Ok::<_, Infallible>(response.map(|body| Answering { body, _open: open }))
            }
        })
    };
    let io = TokioIo::new(Counted {
        tcp,
        _permit: permit,
    });
    let mut served = pin!(
        connection
            .builder
            .serve_connection_with_upgrades(io, service)
    );
    let mut silent = pin!(sleep_until(Instant::now() + connection.first_request));
    let mut is_stopping = false;
    let result = loop {
        tokio::select! {
            result = served.as_mut() => break result,
            () = silent.as_mut(), if !is_stopping => match requests.now() {
                Now::Nothing => return,
                Now::Idle(since) if since.elapsed() >= connection.idle => {
                    is_stopping = true;
                    served.as_mut().graceful_shutdown();
                }
                Now::Idle(since) => silent.as_mut().reset(since + connection.idle),
                Now::Busy => silent.as_mut().reset(Instant::now() + connection.idle),
            },
            () = connection.stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// The requests of one connection that are not answered in full.
#[derive(Default)]
struct Requests(Mutex<(usize, Option<Instant>)>);

/// How it stands with them.
enum Now {
    /// None came yet.
    Nothing,
    /// None is there since then.
    Idle(Instant),
    /// Some are.
    Busy,
}

impl Requests {
    fn begin(self: &Arc<Self>) -> Open {
        self.lock().0 += 1;
        Open(Arc::clone(self))
    }

    fn now(&self) -> Now {
        match *self.lock() {
            (0, None) => Now::Nothing,
            (0, Some(since)) => Now::Idle(since),
            _ => Now::Busy,
        }
    }

    fn lock(&self) -> MutexGuard<'_, (usize, Option<Instant>)> {
        // Both are set at once.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, until it is dropped.
struct Open(Arc<Requests>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        *requests = (requests.0 - 1, Some(Instant::now()));
    }
}

/// The body of an answer: with its end the request is over.
struct Answering {
    body: Body,
    _open: Open,
}

impl hyper::body::Body for Answering {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that counts as open until it is dropped, also after an upgrade took it over.
struct Counted {
    tcp: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_of_the_range_is_found_and_written_down() {
        let path = std::env::temp_dir().join(format!("plenum-address-{}", std::process::id()));
        // An address of our own, so that nobody else is after its ports.
        let mut config = HttpConfig {
            listen: SocketAddr::from(([127, 83, 5, 1], 41_500)),
            port_range: 2,
            address_file: Some(path.to_string_lossy().into_owned()),
            ..HttpConfig::default()
        };
        let first = bind(&config).expect("free");
        let second = bind(&config).expect("the next one");
        assert_eq!(second.local_addr().expect("bound").port(), 41_501);
        let written = std::fs::read_to_string(&path).expect("written");
        assert_eq!(written, "127.83.5.1:41501\n");
        assert!(bind(&config).is_err(), "the range is used up");
        config.port_range = 0;
        assert!(bind(&config).is_err(), "it is not looked for another");
        drop(first);
        assert!(bind(&config).is_ok());
        let _ = std::fs::remove_file(&path);
    }
}
