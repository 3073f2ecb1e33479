//! Where to connect: the user's URL, and what a join adds to it.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use thiserror::Error;
use tokio_tungstenite::tungstenite::http::Uri;

use super::PROTOCOL;

/// A server's WebSocket address: scheme, host, port, and a folder if it lives in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: &'static str,
    host: String,
    port: u16,
    folder: String,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("{url:?} is no URL: {reason}")]
    Invalid {
        /// As given.
        url: String,
        /// Why.
        reason: String,
    },
    /// Not a scheme that carries WebSockets.
    #[error("{scheme:?} cannot be joined: use ws, wss, http or https")]
    Scheme {
        /// As given.
        scheme: String,
    },
    /// The host has no address, or none that we reach.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// Of the URL.
        host: String,
        /// Why.
        reason: String,
    },
}

/// What a participant asks for as it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinOptions {
    /// Subscribe to everything there is and will be.
    pub auto_subscribe: bool,
    /// Start low and send [`super::Request::TrackSetting`] with the size shown.
    pub adaptive_stream: bool,
}

impl Address {
    /// Reads what a user gives: `ws://host:7880`, `https://host/folder`.
    ///
    /// # Errors
    /// When it is no URL of a server.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let invalid = |reason: &str| AddressError::Invalid {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri = url.trim().parse().map_err(|_| invalid("cannot be read"))?;
        let (scheme, port) = match uri.scheme_str() {
            Some("ws" | "http") => ("ws", 80),
            Some("wss" | "https") => ("wss", 443),
            Some(scheme) => {
                return Err(AddressError::Scheme {
                    scheme: scheme.to_owned(),
                });
            }
            None => return Err(invalid("it has no scheme (ws://…)")),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        Ok(Self {
            scheme,
            host: host.ok_or_else(|| invalid("it has no host"))?.to_owned(),
            port: uri.port_u16().unwrap_or(port),
            folder: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The URL of a join.
    #[must_use]
    pub fn join_url(&self, token: &str, options: JoinOptions) -> String {
        let flag = |value: bool| if value { '1' } else { '0' };
        format!(
            "{self}/rtc?access_token={token}&protocol={PROTOCOL}&auto_subscribe={}&adaptive_stream={}\
             &sdk=rust&version={}&os=linux",
            flag(options.auto_subscribe),
            flag(options.adaptive_stream),
            env!("CARGO_PKG_VERSION"),
        )
    }

    /// The URL on which a stay is taken up again; `participant` is the server's id of it.
    #[must_use]
    pub fn resume_url(&self, token: &str, options: JoinOptions, participant: &str) -> String {
        let join = self.join_url(token, options);
        format!("{join}&reconnect=1&sid={participant}")
    }

    /// Reads addresses of the same server, with commas between them.
    ///
    /// # Errors
    /// When one is no URL of a server.
    pub fn parse_all(urls: &str) -> Result<Vec<Self>, AddressError> {
        urls.split(',').map(Self::parse).collect()
    }

    /// Address of ours from which packets to the server leave.
    ///
    /// # Errors
    /// When the host has no address or no route leads there.
    pub fn local_address(&self) -> Result<IpAddr, AddressError> {
        let unreachable = |reason: String| AddressError::Unreachable {
            host: self.host.clone(),
            reason,
        };
        let host = self.host.trim_matches(['[', ']']);
        let server: SocketAddr = (host, self.port)
            .to_socket_addrs()
            .map_err(|error| unreachable(error.to_string()))?
            .next()
            .ok_or_else(|| unreachable("it has no address".to_owned()))?;
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        // Connecting a datagram socket sends nothing: it asks for the route.
        UdpSocket::bind(any)
            .and_then(|socket| {
                socket.connect(server)?;
                socket.local_addr()
            })
            .map(|address| address.ip())
            .map_err(|error| unreachable(error.to_string()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scheme,
            host,
            port,
            folder,
        } = self;
        write!(f, "{scheme}://{host}:{port}{folder}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_users_give_them() {
        let cases = [
            ("ws://127.0.0.1:7880", "ws://127.0.0.1:7880"),
            ("http://127.0.0.1:7880/", "ws://127.0.0.1:7880"),
            ("https://meet.example", "wss://meet.example:443"),
            ("wss://meet.example/sfu/", "wss://meet.example:443/sfu"),
            ("ws://[::1]:7880", "ws://[::1]:7880"),
            ("ws://user:word@host:1/?token=x", "ws://host:1"),
        ];
        for (given, shown) in cases {
            let address = Address::parse(given).expect(given);
            assert_eq!(address.to_string(), shown);
        }
        for wrong in ["", "127.0.0.1:7880", "ftp://host", "ws://", "host"] {
            assert!(Address::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_join_says_what_it_wants() {
        let address = Address::parse("ws://h:1").expect("valid");
        let url = address.join_url(
            "t.o.k",
            JoinOptions {
                auto_subscribe: false,
                adaptive_stream: true,
            },
        );
        assert!(
            url.starts_with("ws://h:1/rtc?access_token=t.o.k&protocol=17&"),
            "{url}"
        );
        assert!(
            url.contains("&auto_subscribe=0&adaptive_stream=1&"),
            "{url}"
        );
    }

    #[test]
    fn packets_to_loopback_leave_from_loopback() {
        for url in ["ws://127.0.0.1:9", "ws://localhost:9"] {
            let local = Address::parse(url).expect("valid").local_address();
            assert!(local.is_ok_and(|address| address.is_loopback()), "{url}");
        }
    }
}
