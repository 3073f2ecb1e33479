//! A running `plenum`, and the smallest clients that can ask it something.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use control_plane::{
    auth::{Keys, MintRequest, VideoGrants},
    config::{Config, DEV_KEY, DEV_SECRET},
    run::{self, Running},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

/// Longer than anything here takes; a test that gets there has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The defaults, on ports the system chooses.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.http.listen.set_port(0);
    for address in config
        .node
        .udp
        .listen
        .iter_mut()
        .chain(&mut config.node.tcp.listen)
    {
        address.set_port(0);
    }
    // Small, so that many nodes at once do not take the machine's memory.
    config.node.udp.receive_buffer_bytes = 64 * 1024;
    config.node.udp.send_buffer_bytes = 64 * 1024;
    config
}

/// A running `plenum` with its defaults.
pub(crate) async fn plenum() -> Running {
    start(config()).await
}

/// A running `plenum` with these settings.
pub(crate) async fn start(config: Config) -> Running {
    run::start(config).await.expect("plenum starts")
}

/// The development key.
pub(crate) fn keys() -> Keys {
    Keys::new([(DEV_KEY, DEV_SECRET)]).expect("a good key")
}

/// A token with these grants.
pub(crate) fn token(grants: VideoGrants) -> String {
    let ttl = Duration::from_secs(60);
    keys()
        .mint(
            DEV_KEY,
            MintRequest {
                grants,
                ttl,
                ..MintRequest::default()
            },
        )
        .expect("a token")
}

/// A token that may do everything in `room`, and create and list rooms.
pub(crate) fn admin(room: &str) -> String {
    token(VideoGrants {
        room_create: true,
        room_list: true,
        room_admin: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    })
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let tcp = TcpStream::connect(to).await.expect("a connection");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp))
        .await
        .expect("HTTP/1");
    let connection = tokio::spawn(connection);
    let answered = async {
        let (parts, body) = sender
            .send_request(request)
            .await
            .expect("an answer")
            .into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("in time");
    connection.abort();
    answer
}

/// A request with some headers.
pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "plenum");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).expect("a request")
}

/// GET with some headers.
pub(crate) async fn get(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(to, request(Method::GET, path, headers, "")).await
}

/// POST of JSON.
pub(crate) async fn post_json(to: SocketAddr, path: &str, json: &serde_json::Value) -> Answer {
    let headers = [("content-type", "application/json")];
    send(to, request(Method::POST, path, &headers, json.to_string())).await
}

/// A gRPC channel.
pub(crate) async fn channel(running: &Running) -> Channel {
    Endpoint::from_shared(format!("http://{}", running.http_addr()))
        .expect("an address")
        .timeout(PATIENCE)
        .connect()
        .await
        .expect("a connection")
}

/// A gRPC request with a token.
pub(crate) fn with_token<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let value = format!("Bearer {token}").parse().expect("text");
    request.metadata_mut().insert("authorization", value);
    request
}
