//! Messages on the ordered stream between two nodes: each with its length before it. Must not know what they
//! mean. Whoever reads them has proven to hold the cluster's secret; a message past the cap still ends the
//! connection, not the process.

use plenum_proto::relay::{Carried, carried::Kind};
use prost::Message as _;
use quinn::{RecvStream, SendStream};

/// Bytes of one message: a room of thousands with their metadata.
pub(super) const MESSAGE_MAX: usize = 32 * 1024 * 1024;

/// Bytes of the first message: who the other end is.
pub(super) const HELLO_MAX: usize = 16 * 1024;

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// Why nothing more is read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The other end closed the stream.
    #[error("the stream ended")]
    Ended,
    /// The connection is gone.
    #[error("the connection is lost")]
    Lost,
    /// A message longer than allowed.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// Bytes that are no message.
    #[error("not a message")]
    Malformed(#[from] prost::DecodeError),
}

/// The message as bytes, with its length.
pub(super) fn encode(kind: Kind) -> Vec<u8> {
    let message = Carried { kind: Some(kind) };
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    // A vector has always room.
    let _ = message.encode(&mut bytes);
    bytes
}

/// Writes one message.
pub(super) async fn write(stream: &mut SendStream, bytes: &[u8]) -> Result<(), WireError> {
    stream.write_all(bytes).await.map_err(|_| WireError::Lost)
}

/// Reads messages.
pub(super) struct Reader {
    stream: RecvStream,
    bytes: bytes::BytesMut,
    most: usize,
}

impl Reader {
    /// Reads messages of at most so many bytes.
    pub(super) fn new(stream: RecvStream, most: usize) -> Self {
        let bytes = bytes::BytesMut::new();
        Self {
            stream,
            bytes,
            most,
        }
    }

    /// From now on messages may be so long.
    pub(super) fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// The next message; waits for it. `None` is one of a kind that this version does not know.
    pub(super) async fn next(&mut self) -> Result<Option<Kind>, WireError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message.kind);
            }
            match self.stream.read_chunk(READ, true).await {
                Ok(Some(chunk)) => self.bytes.extend_from_slice(&chunk.bytes),
                Ok(None) => return Err(WireError::Ended),
                Err(_) => return Err(WireError::Lost),
            }
        }
    }

    /// A message that has come whole; does not wait.
    pub(super) fn take(&mut self) -> Result<Option<Carried>, WireError> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.most {
            return Err(WireError::TooLong(length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let _ = self.bytes.split_to(4);
        let message = self.bytes.split_to(length);
        Ok(Some(Carried::decode(&*message)?))
    }
}
