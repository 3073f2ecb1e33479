//! TURN over TCP, with or without TLS: one connection carries one client and at most one relay.
//!
//! Owns how messages follow each other in a stream, the deadlines, and the end of the relay with its
//! connection. Must not know the protocol further than a message's length. RFC 8656 section 2.1 and 12.5,
//! RFC 8489 section 6.2.2.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::mpsc,
    time::timeout,
};

use super::{
    allocation::{Allocation, CHANNEL_HEADER, ToClient},
    server::{Sender, Server},
    stats::TurnDrop,
};

/// Longest message of a client.
const MAX_MESSAGE: usize = 8192;

/// Bytes of a STUN header.
const STUN_HEADER: usize = 20;

/// Messages that wait for a client; past it they are dropped, as a network would.
const QUEUE: usize = 256;

/// Messages put into one write.
const WRITE_BATCH: usize = 32;

/// How long a client may take to a relay, or may stay without one, and how long it may take what is sent
/// to it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Carries a connection to its end.
pub(super) async fn serve(
    server: Arc<Server>,
    stream: impl AsyncRead + AsyncWrite,
    client: SocketAddr,
) {
    let (reader, writer) = tokio::io::split(stream);
    let (queue, waiting) = mpsc::channel(QUEUE);
    let mut connection = Connection {
        server: &server,
        client,
        way: ToClient::Stream(queue),
        allocation: None,
    };
    let mut reader = BufReader::with_capacity(MAX_MESSAGE, reader);
    let mut writing = std::pin::pin!(write_all(writer, waiting));
    let end = tokio::select! {
        end = connection.read_all(&mut reader) => {
            if let Some(allocation) = connection.allocation.take() {
                allocation.end();
            }
            drop(connection);
            // Nothing more comes: what waits goes out, and then the writer is done.
            match end {
                Ok(()) => writing.await,
                ended => ended,
            }
        }
        end = &mut writing => end,
    };
    if let Err(Some(reason)) = end {
        server.counters.on_drop(reason);
    }
}

/// Why a connection ends: a reason of ours, or none.
type End = Option<TurnDrop>;

struct Connection<'a> {
    server: &'a Arc<Server>,
    client: SocketAddr,
    way: ToClient,
    allocation: Option<Arc<Allocation>>,
}

impl Connection<'_> {
    /// Reads until the client goes away or its relay ends.
    async fn read_all(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<(), End> {
        let mut bytes = Vec::new();
        let too_late = tokio::time::sleep(PATIENCE);
        tokio::pin!(too_late);
        let allocation = loop {
            tokio::select! {
                () = &mut too_late => return Err(Some(TurnDrop::Timeout)),
                read = read_message(reader, &mut bytes) => read?,
            }
            if let Some(made) = self.take(&bytes) {
                break made;
            }
        };
        let carried = allocation.carry();
        tokio::pin!(carried);
        loop {
            tokio::select! {
                () = &mut carried => return Ok(()),
                read = read_message(reader, &mut bytes) => read?,
            }
            self.take(&bytes);
        }
    }

    /// Takes a message; the relay that was made by it.
    fn take(&mut self, bytes: &[u8]) -> Option<Arc<Allocation>> {
        let sender = Sender {
            address: self.client,
            way: &self.way,
            allocation: self.allocation.as_ref(),
        };
        let outcome = self.server.handle(Instant::now(), &sender, bytes);
        if let Some(reply) = outcome.reply
            && let Err(reason) = self.way.send(reply)
        {
            self.server.counters.on_drop(reason);
        }
        if outcome.made.is_some() {
            self.allocation.clone_from(&outcome.made);
        }
        outcome.made
    }
}

/// Reads a whole message: STUN, or channel data with its padding cut off.
async fn read_message(
    reader: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<(), End> {
    bytes.clear();
    bytes.resize(CHANNEL_HEADER, 0);
    lost(reader.read_exact(bytes).await)?;
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let (whole, padded) = match bytes[0] >> 6 {
        0 => (STUN_HEADER + length, STUN_HEADER + length),
        1 => {
            let whole = CHANNEL_HEADER + length;
            (whole, whole.next_multiple_of(4))
        }
        _ => return Err(Some(TurnDrop::Malformed)),
    };
    if padded > MAX_MESSAGE {
        return Err(Some(TurnDrop::Malformed));
    }
    bytes.resize(padded, 0);
    // Once begun it has to come.
    let rest = reader.read_exact(&mut bytes[CHANNEL_HEADER..]);
    in_time(async { lost(rest.await) }).await?;
    bytes.truncate(whole);
    Ok(())
}

/// Writes what is for the client.
async fn write_all(
    mut writer: impl AsyncWrite + Unpin,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) -> Result<(), End> {
    let mut messages = Vec::with_capacity(WRITE_BATCH);
    while waiting.recv_many(&mut messages, WRITE_BATCH).await > 0 {
        let bytes = messages.concat();
        messages.clear();
        let written = async {
            lost(writer.write_all(&bytes).await)?;
            lost(writer.flush().await)
        };
        in_time(written).await?;
    }
    Ok(())
}

async fn in_time<T>(work: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    match timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Some(TurnDrop::Timeout)),
    }
}

/// A broken connection ends for no reason of ours.
fn lost<T>(outcome: io::Result<T>) -> Result<T, End> {
    outcome.map_err(|_| None)
}
