//! The client's side of STUN and TURN: asks a server as a browser would, to tell whether it can be
//! reached.
//!
//! Owns requests, their repetition and the reading of answers. Must not touch a server's state or know a
//! session; it is a stranger to this node like any other. RFC 8489, RFC 8656, RFC 4571 (frames over TCP).

mod link;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use turn_types::{
    AddressFamily,
    attribute::{
        ChannelNumber, Data, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
        XorRelayedAddress,
    },
    channel::ChannelData,
    message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND},
    stun::{
        attribute::{ErrorCode, Nonce, Realm, Username, XorMappedAddress},
        message::{
            BINDING, IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message,
            MessageClass, MessageWriteVec, Method, TransactionId,
        },
        prelude::{AttributeWrite, MessageWrite as _, MessageWriteExt as _},
    },
};

pub use link::{Link, Stream, TlsTrust};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// When a request over UDP is sent again.
const AGAIN: Duration = Duration::from_millis(400);

/// Protocol number of UDP.
const UDP: u8 = 17;

/// Why something could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nothing came back in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    NoAnswer,
    /// The network says no.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// The server says no.
    #[error("refused with {0}: {name}", name = ErrorCode::default_reason_for_code(*.0))]
    Refused(u16),
    /// What came back is no answer.
    #[error("the answer makes no sense")]
    Malformed,
}

/// Asks a server how it sees us.
///
/// # Errors
/// Why there is no answer.
pub async fn binding(link: &mut Link) -> Result<SocketAddr, ProbeError> {
    let request = Message::builder_request(BINDING, MessageWriteVec::new());
    let transaction = request.transaction_id();
    let bytes = exchange(link, transaction, request.finish()).await?;
    let answer = Message::from_bytes(&bytes).map_err(|_| ProbeError::Malformed)?;
    let mapped = answer.attribute::<XorMappedAddress>();
    Ok(mapped.map_err(|_| ProbeError::Malformed)?.addr(transaction))
}

/// A client of a TURN server.
pub struct TurnClient {
    link: Link,
    username: String,
    password: String,
    access: Option<Access>,
    /// Data that came while an answer was waited for.
    waiting: Vec<Vec<u8>>,
}

/// What the server's challenge asks to be shown.
struct Access {
    realm: String,
    nonce: String,
    key: IntegrityKey,
}

impl TurnClient {
    /// A client that has asked for nothing yet.
    pub fn new(link: Link, username: &str, password: &str) -> Self {
        Self {
            link,
            username: username.to_owned(),
            password: password.to_owned(),
            access: None,
            waiting: Vec::new(),
        }
    }

    /// Asks for a relay of a family of addresses; where it is.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn allocate(&mut self, is_ipv6: bool) -> Result<SocketAddr, ProbeError> {
        let transport = RequestedTransport::new(UDP);
        let family = RequestedAddressFamily::new(AddressFamily::IPV6);
        let mut attributes: Vec<&dyn AttributeWrite> = vec![&transport];
        if is_ipv6 {
            attributes.push(&family);
        }
        let bytes = self.request(ALLOCATE, |_| Vec::new(), &attributes).await?;
        let answer = Message::from_bytes(&bytes).map_err(|_| ProbeError::Malformed)?;
        let relayed = answer.attribute::<XorRelayedAddress>();
        let relayed = relayed.map_err(|_| ProbeError::Malformed)?;
        Ok(relayed.addr(answer.transaction_id()))
    }

    /// Sets how long the relay lives from now on; 0 gives it up.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn refresh(&mut self, seconds: u32) -> Result<(), ProbeError> {
        let lifetime = Lifetime::new(seconds);
        self.request(REFRESH, |_| Vec::new(), &[&lifetime]).await?;
        Ok(())
    }

    /// Asks to exchange datagrams with a peer.
    ///
    /// # Errors
    /// Why not.
    pub async fn permit(&mut self, peer: SocketAddr) -> Result<(), ProbeError> {
        let peers = |transaction| vec![XorPeerAddress::new(peer, transaction)];
        self.request(CREATE_PERMISSION, peers, &[]).await?;
        Ok(())
    }

    /// Asks for a channel to a peer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<(), ProbeError> {
        let peers = |transaction| vec![XorPeerAddress::new(peer, transaction)];
        let number = ChannelNumber::new(channel);
        self.request(CHANNEL_BIND, peers, &[&number]).await?;
        Ok(())
    }

    /// Sends a request about a peer that has no other form here.
    ///
    /// # Errors
    /// What comes back.
    pub async fn ask(&mut self, method: Method, peer: SocketAddr) -> Result<(), ProbeError> {
        let peers = |transaction| vec![XorPeerAddress::new(peer, transaction)];
        self.request(method, peers, &[]).await?;
        Ok(())
    }

    /// Sends a datagram to a peer.
    ///
    /// # Errors
    /// What the network says; whether it arrives nobody does.
    pub async fn send(&mut self, peer: SocketAddr, bytes: &[u8]) -> Result<(), ProbeError> {
        let mut message = Message::builder_indication(SEND, MessageWriteVec::new());
        let transaction = message.transaction_id();
        add(&mut message, &XorPeerAddress::new(peer, transaction))?;
        add(&mut message, &Data::new(bytes))?;
        Ok(self.link.send(&message.finish()).await?)
    }

    /// Asks a peer how it sees the relay, which shows that datagrams go there and come back.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask_peer(&mut self, peer: SocketAddr) -> Result<(), ProbeError> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let request = Message::builder_request(BINDING, MessageWriteVec::new());
            self.send(peer, &request.finish()).await?;
            // In a stream nothing gets lost, and what was begun has to be read to its end.
            let until = if self.link.is_datagram() {
                end.min(Instant::now() + AGAIN)
            } else {
                end
            };
            if let Ok(received) = timeout_at(until, self.receive()).await {
                return received.map(drop);
            }
        }
        Err(ProbeError::NoAnswer)
    }

    /// Sends a datagram by a channel.
    ///
    /// # Errors
    /// What the network says; whether it arrives nobody does.
    pub async fn send_by(&mut self, channel: u16, bytes: &[u8]) -> Result<(), ProbeError> {
        let mut message = vec![0; 4 + bytes.len()];
        ChannelData::new(channel, bytes).write_into_unchecked(&mut message);
        Ok(self.link.send(&message).await?)
    }

    /// The next datagram of a peer, by a channel or not.
    ///
    /// # Errors
    /// Why none comes.
    pub async fn receive(&mut self) -> Result<Vec<u8>, ProbeError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let bytes = match self.waiting.pop() {
                Some(bytes) => bytes,
                None => next(&mut self.link, end).await?,
            };
            if let Some(data) = data_of(&bytes) {
                return Ok(data);
            }
        }
    }

    /// Sends a request with what the server wants shown, and once more when its nonce is old.
    async fn request(
        &mut self,
        method: Method,
        peers: impl Fn(TransactionId) -> Vec<XorPeerAddress>,
        attributes: &[&dyn AttributeWrite],
    ) -> Result<Vec<u8>, ProbeError> {
        let mut tries = 0;
        loop {
            let mut message = Message::builder_request(method, MessageWriteVec::new());
            let transaction = message.transaction_id();
            for attribute in attributes {
                add(&mut message, *attribute)?;
            }
            for peer in peers(transaction) {
                add(&mut message, &peer)?;
            }
            self.sign(&mut message)?;
            let bytes = self.exchange(transaction, message.finish()).await?;
            let answer = Message::from_bytes(&bytes).map_err(|_| ProbeError::Malformed)?;
            if answer.has_class(MessageClass::Success) {
                return Ok(bytes);
            }
            let code = answer.attribute::<ErrorCode>();
            let code = code.map_err(|_| ProbeError::Malformed)?.code();
            let is_challenge = code == ErrorCode::STALE_NONCE
                || (code == ErrorCode::UNAUTHORIZED && self.access.is_none());
            tries += 1;
            if !is_challenge || tries > 2 {
                return Err(ProbeError::Refused(code));
            }
            self.on_challenge(&answer)?;
        }
    }

    fn sign(&self, message: &mut MessageWriteVec) -> Result<(), ProbeError> {
        let Some(access) = &self.access else {
            return Ok(());
        };
        let malformed = |_| ProbeError::Malformed;
        add(message, &Username::new(&self.username).map_err(malformed)?)?;
        add(message, &Realm::new(&access.realm).map_err(malformed)?)?;
        add(message, &Nonce::new(&access.nonce).map_err(malformed)?)?;
        message
            .add_message_integrity_with_key(&access.key, IntegrityAlgorithm::Sha1)
            .map_err(malformed)
    }

    fn on_challenge(&mut self, answer: &Message<'_>) -> Result<(), ProbeError> {
        let malformed = |_| ProbeError::Malformed;
        let realm = answer.attribute::<Realm>().map_err(malformed)?;
        let nonce = answer.attribute::<Nonce>().map_err(malformed)?;
        let realm = realm.realm().to_owned();
        let credentials = LongTermKeyCredentials::new(
            self.username.clone(),
            self.password.clone(),
            realm.clone(),
        );
        self.access = Some(Access {
            realm,
            nonce: nonce.nonce().to_owned(),
            key: credentials.make_key(IntegrityAlgorithm::Sha1),
        });
        Ok(())
    }

    async fn exchange(
        &mut self,
        transaction: TransactionId,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, ProbeError> {
        exchange_with(&mut self.link, transaction, request, &mut self.waiting).await
    }
}

/// The addresses that a name stands for; an address stands for itself.
///
/// # Errors
/// What the resolver says.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    Ok(tokio::net::lookup_host((bare, port)).await?.collect())
}

/// Opens a stream to a server by its name, in TLS where there is somebody to trust.
///
/// # Errors
/// What the resolver, the network or TLS says.
pub async fn open(
    host: &str,
    port: u16,
    trust: Option<&TlsTrust>,
) -> Result<Box<dyn Stream>, ProbeError> {
    let mut outcome = Err(ProbeError::NoAnswer);
    for address in resolve(host, port).await? {
        match link::connect(address).await {
            Ok(stream) => return link::secure(host, stream, trust).await,
            Err(error) => outcome = Err(error.into()),
        }
    }
    outcome
}

async fn exchange(
    link: &mut Link,
    transaction: TransactionId,
    request: Vec<u8>,
) -> Result<Vec<u8>, ProbeError> {
    exchange_with(link, transaction, request, &mut Vec::new()).await
}

/// Sends a request until its answer comes; what else comes goes to `waiting`.
async fn exchange_with(
    link: &mut Link,
    transaction: TransactionId,
    request: Vec<u8>,
    waiting: &mut Vec<Vec<u8>>,
) -> Result<Vec<u8>, ProbeError> {
    let end = Instant::now() + PATIENCE;
    link.send(&request).await?;
    let mut again = Instant::now() + AGAIN;
    loop {
        let until = if link.is_datagram() {
            end.min(again)
        } else {
            end
        };
        match next(link, until).await {
            Ok(bytes) => match Message::from_bytes(&bytes) {
                Ok(message) if message.is_response() && message.transaction_id() == transaction => {
                    return Ok(bytes);
                }
                _ => waiting.push(bytes),
            },
            Err(ProbeError::NoAnswer) if Instant::now() < end => {
                link.send(&request).await?;
                again = Instant::now() + AGAIN;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn next(link: &mut Link, until: Instant) -> Result<Vec<u8>, ProbeError> {
    match timeout_at(until, link.receive()).await {
        Ok(received) => Ok(received?),
        Err(_) => Err(ProbeError::NoAnswer),
    }
}

/// What a peer sent, if a message carries that.
fn data_of(bytes: &[u8]) -> Option<Vec<u8>> {
    if let Ok(data) = ChannelData::parse(bytes) {
        return Some(data.data().to_vec());
    }
    let message = Message::from_bytes(bytes).ok()?;
    if !message.has_method(DATA) {
        return None;
    }
    let data = message.attribute::<Data<'_>>().ok()?;
    Some(data.data().to_vec())
}

fn add(message: &mut MessageWriteVec, attribute: &dyn AttributeWrite) -> Result<(), ProbeError> {
    message
        .add_attribute(attribute)
        .map_err(|_| ProbeError::Malformed)
}
