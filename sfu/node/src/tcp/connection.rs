//! One TCP connection: frames of RFC 4571 in and out, and which worker they belong to.
//!
//! Owns the framing and the deadlines. Must not check STUN or know a session: the first frame names a
//! worker by its user fragment, and the worker's core judges it and all that follow.

use std::{
    future::Future,
    io::{self, IoSlice},
    time::Duration,
};

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::mpsc,
    time::timeout,
};

use sfu_core::binding_reply;

use crate::{
    config::TcpConfig,
    stats::TcpEnd,
    stun::{ufrag_of_request, worker_of_ufrag},
    worker::{TcpInput, TcpLink},
};

/// Longest frame accepted. RFC 4571 allows 65,535 bytes; what WebRTC sends fits the path's MTU, and a
/// bound well above it keeps a connection's memory small.
const MAX_FRAME: usize = 16 * 1024;

/// Plain binding requests answered before the first check; somebody tries whether TCP gets through.
const MAX_QUESTIONS: usize = 4;

/// Frames put into one write.
const WRITE_BATCH: usize = 32;

/// Carries a connection to its end; why we ended it, when we did.
pub(super) async fn serve(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    link: TcpLink,
    config: &TcpConfig,
    workers: &[mpsc::Sender<TcpInput>],
) -> Option<TcpEnd> {
    let mut reader = BufReader::with_capacity(MAX_FRAME, reader);
    let mut writer = writer;
    let first = async {
        let mut questions = 0;
        loop {
            let frame = read_frame(&mut reader, config.first_frame_timeout).await?;
            let reply = binding_reply(&frame, link.remote).filter(|_| questions < MAX_QUESTIONS);
            let Some(reply) = reply else {
                return Ok(frame);
            };
            questions += 1;
            let mut bytes = BytesMut::new();
            put_frame(&mut bytes, &reply);
            within(config.first_frame_timeout, writer.write_all(&bytes)).await?;
        }
    };
    let first = match first.await {
        Ok(frame) => frame,
        Err(end) => return end,
    };
    let Some(worker) = worker_of(&first, workers) else {
        return Some(TcpEnd::NotIce);
    };
    let (frames, queue) = mpsc::channel(config.send_queue);
    let opened = async {
        worker.send(TcpInput::Open { link, frames }).await?;
        worker.send(TcpInput::Frame { link, bytes: first }).await
    };
    if opened.await.is_err() {
        // The node stops.
        return None;
    }
    let end = tokio::select! {
        end = read_all(&mut reader, link, config.idle_timeout, worker) => end,
        end = write_all(writer, queue, config.idle_timeout) => end,
    };
    // Fails only when the node stops.
    let _ = worker.send(TcpInput::Closed { link }).await;
    end
}

/// The worker whose session a first frame names.
fn worker_of<'a>(
    frame: &[u8],
    workers: &'a [mpsc::Sender<TcpInput>],
) -> Option<&'a mpsc::Sender<TcpInput>> {
    let ufrag = ufrag_of_request(frame)?;
    match workers {
        // Nothing to choose.
        [only] => Some(only),
        several => several.get(worker_of_ufrag(ufrag)?),
    }
}

async fn read_all(
    reader: &mut (impl AsyncRead + Unpin),
    link: TcpLink,
    idle: Duration,
    worker: &mpsc::Sender<TcpInput>,
) -> Option<TcpEnd> {
    loop {
        match read_frame(reader, idle).await {
            // An empty frame keeps the connection open and says nothing.
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                if worker.send(TcpInput::Frame { link, bytes }).await.is_err() {
                    return None;
                }
            }
            Err(end) => return end,
        }
    }
}

/// Writes what the worker sends, until the worker closes the connection.
async fn write_all(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Bytes>,
    idle: Duration,
) -> Option<TcpEnd> {
    let mut frames = Frames::default();
    while queue.recv_many(frames.renew(), WRITE_BATCH).await > 0 {
        if let Err(end) = within(idle, writer.write_all_buf(&mut frames)).await {
            return end;
        }
    }
    Some(TcpEnd::Closed)
}

/// Frames that go out in one write, from where they are.
#[derive(Debug, Default)]
struct Frames {
    frames: Vec<Bytes>,
    /// Those before are written.
    first: usize,
}

impl Frames {
    /// To be filled again.
    fn renew(&mut self) -> &mut Vec<Bytes> {
        self.frames.clear();
        self.first = 0;
        &mut self.frames
    }

    fn left(&self) -> &[Bytes] {
        self.frames.get(self.first..).unwrap_or_default()
    }
}

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.left().iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.left().first().map_or(&[], |frame| frame)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(self.left());
        pairs
            .map(|(slice, frame)| *slice = IoSlice::new(frame))
            .count()
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(frame) = self.frames.get_mut(self.first) {
            let step = bytes.min(frame.len());
            frame.advance(step);
            bytes -= step;
            if !frame.is_empty() {
                break;
            }
            // Its memory is free for others.
            *frame = Bytes::new();
            self.first += 1;
        }
    }
}

/// Writes a frame with its length before it (RFC 4571 section 2); false when it is too long for one, which nothing
/// is that the core sends.
pub(crate) fn put_frame(out: &mut BytesMut, frame: &[u8]) -> bool {
    let Ok(length) = u16::try_from(frame.len()) else {
        return false;
    };
    out.put_u16(length);
    out.put_slice(frame);
    true
}

/// Reads a whole frame within the time given, however slowly its bytes come.
async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    limit: Duration,
) -> Result<Vec<u8>, Option<TcpEnd>> {
    let read = async {
        let length = usize::from(reader.read_u16().await?);
        if length > MAX_FRAME {
            return Ok(None);
        }
        let mut frame = vec![0; length];
        reader.read_exact(&mut frame).await?;
        Ok(Some(frame))
    };
    within(limit, read).await?.ok_or(Some(TcpEnd::FrameSize))
}

/// A broken connection ends for no reason of ours.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Option<TcpEnd>> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome.map_err(|_| None),
        Err(_) => Err(Some(TcpEnd::Timeout)),
    }
}

#[cfg(test)]
mod tests;
