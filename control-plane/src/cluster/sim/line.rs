//! Connections in memory from replicas to nodes. Owns what a broken way does to them: nothing passes while it is
//! cut, and they end with the process at either end. Must not look into what passes.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tonic::transport::server::Connected;

/// How a way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// What is sent arrives.
    #[default]
    Whole,
    /// What is sent waits.
    Cut,
    /// One end is gone.
    Dead,
}

/// The way between a replica and a node, whatever connections go over it.
#[derive(Default)]
pub(super) struct Way {
    state: Mutex<(State, Vec<Waker>)>,
}

impl Way {
    /// Whoever is dead stays dead.
    pub(super) fn set(&self, state: State) {
        let mut own = self.state.lock().unwrap();
        if own.0 != State::Dead {
            own.0 = state;
            own.1.drain(..).for_each(Waker::wake);
        }
    }

    /// Ready when it is whole; else whoever asks is woken by the next change.
    fn poll(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut own = self.state.lock().unwrap();
        match own.0 {
            State::Whole => {}
            State::Cut => {
                own.1.push(context.waker().clone());
                return Poll::Pending;
            }
            State::Dead => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        // Its death has to be heard of while it waits for bytes.
        own.1.retain(|waker| !waker.will_wake(context.waker()));
        own.1.push(context.waker().clone());
        Poll::Ready(Ok(()))
    }

    /// Waits until it is whole, or whoever would use it is gone.
    pub(super) async fn whole(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll(context)).await
    }
}

/// A node's end of one connection.
pub(super) struct Line {
    pub(super) inner: DuplexStream,
    pub(super) way: Arc<Way>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.way.poll(context))?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.way.poll(context))?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.way.poll(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl Connected for Line {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}
