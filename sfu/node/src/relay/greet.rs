//! How a connection between two nodes comes about: one of them calls, both say who they are. Must not decide
//! which of two connections is kept; the peer does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use plenum_proto::relay::{Hello, carried::Kind};
use quinn::{Connection, ConnectionError, Endpoint, Incoming, SendStream, VarInt};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};

use super::{
    Relay,
    link::{Greeted, Remote, remote_of},
    wire::{self, Reader, WireError},
};

/// How long a connection may take from the first byte until both have said who they are.
const GREETING: Duration = Duration::from_secs(3);

/// The connection is refused: another between the two nodes is kept.
const SPARE: VarInt = VarInt::from_u32(1);

/// The other end is not who was called, or says nothing of use.
const STRANGER: VarInt = VarInt::from_u32(2);

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The node has no address that can be called from here.
    #[error("no address to call")]
    NoAddress,
    /// The address cannot be called.
    #[error("cannot call: {0}")]
    Call(#[from] quinn::ConnectError),
    /// Nobody answers, or not as one who holds the secret.
    #[error("no connection: {0}")]
    Connection(#[from] ConnectionError),
    /// It said something else than who it is.
    #[error("no greeting: {0}")]
    Greeting(#[from] WireError),
    /// Somebody else is there.
    #[error("another node answers there")]
    Stranger,
    /// It took too long.
    #[error("took too long")]
    Timeout,
}

/// A connection of which the other end has said who it is, and waits for an answer.
pub(super) struct Offer {
    pub(super) remote: Remote,
    pub(super) greeted: Greeted,
    _pending: OwnedSemaphorePermit,
}

impl Offer {
    /// Says who this node is: the connection is in use from now on.
    pub(super) async fn accept(self, own: &Hello) -> Result<Greeted, WireError> {
        let mut greeted = self.greeted;
        say_hello(&mut greeted.sending, own).await?;
        Ok(greeted)
    }

    /// Another connection is kept.
    pub(super) fn refuse(self) {
        self.greeted.connection.close(SPARE, b"spare");
    }
}

/// Calls a node at its addresses, one after the other.
pub(super) async fn call(
    relay: &Relay,
    callee: &str,
    addresses: &[SocketAddr],
) -> Result<Greeted, CallError> {
    let mut outcome = Err(CallError::NoAddress);
    for address in addresses {
        let Some(endpoint) = relay.endpoint_for(*address) else {
            continue;
        };
        let greeting = timeout(GREETING, call_at(relay, callee, endpoint, *address));
        outcome = greeting.await.unwrap_or(Err(CallError::Timeout));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn call_at(
    relay: &Relay,
    callee: &str,
    endpoint: &Endpoint,
    address: SocketAddr,
) -> Result<Greeted, CallError> {
    let client = relay.client.clone();
    let connection = endpoint.connect_with(client, address, "plenum")?.await?;
    let (mut sending, receiving) = connection.open_bi().await?;
    let hello = Hello {
        callee: callee.to_owned(),
        ..relay.own.clone()
    };
    say_hello(&mut sending, &hello).await?;
    let mut reader = Reader::new(receiving, wire::HELLO_MAX);
    match hear_hello(&mut reader).await? {
        Some((remote, _)) if remote.node_id == callee => Ok(Greeted {
            remote,
            connection,
            sending,
            reader,
        }),
        Some(_) | None => {
            connection.close(STRANGER, b"stranger");
            Err(CallError::Stranger)
        }
    }
}

async fn say_hello(stream: &mut SendStream, own: &Hello) -> Result<(), WireError> {
    wire::write(stream, &wire::encode(Kind::Hello(own.clone()))).await
}

/// Who is there, and whom it means to speak to.
async fn hear_hello(reader: &mut Reader) -> Result<Option<(Remote, String)>, WireError> {
    match reader.next().await? {
        Some(Kind::Hello(hello)) => Ok(remote_of(&hello).map(|remote| (remote, hello.callee))),
        Some(_) | None => Ok(None),
    }
}

/// Takes connections in until the node stops.
pub(super) async fn listen(relay: Arc<Relay>, endpoint: Endpoint) {
    loop {
        let incoming = tokio::select! {
            () = relay.stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        admit(&relay, incoming);
    }
}

/// Whoever has not shown that it is where it says costs no more than a packet.
fn admit(relay: &Arc<Relay>, incoming: Incoming) {
    if !incoming.remote_address_validated() {
        // Its first packet allows for it, or there is nothing to answer.
        let _ = incoming.retry();
        return;
    }
    let Ok(pending) = Arc::clone(&relay.pending).try_acquire_owned() else {
        relay.counters.refused();
        return incoming.refuse();
    };
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        match timeout(GREETING, answer(&relay, incoming, pending)).await {
            Ok(Ok(Some(offer))) => relay.offer(offer).await,
            Ok(Ok(None)) | Ok(Err(_)) | Err(_) => relay.counters.refused(),
        }
    });
}

async fn answer(
    relay: &Relay,
    incoming: Incoming,
    pending: OwnedSemaphorePermit,
) -> Result<Option<Offer>, CallError> {
    let connection: Connection = incoming.accept()?.await?;
    let (sending, receiving) = connection.accept_bi().await?;
    let mut reader = Reader::new(receiving, wire::HELLO_MAX);
    let heard = hear_hello(&mut reader).await?;
    let Some((remote, _)) = heard.filter(|(_, callee)| *callee == relay.own.node_id) else {
        connection.close(STRANGER, b"stranger");
        return Ok(None);
    };
    Ok(Some(Offer {
        remote: remote.clone(),
        greeted: Greeted {
            remote,
            connection,
            sending,
            reader,
        },
        _pending: pending,
    }))
}

/// What a call is for, answered when it is decided.
pub(super) type Answer = oneshot::Sender<Option<u8>>;
