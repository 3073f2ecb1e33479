//! Sockets of the stack, with a worse network put in between where the scenario asks for one.
//!
//! Owns the datagrams that the pretended network holds. Must not look into them.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use super::lock;
use crate::engine::shaper::{Shaper, Window};
use crate::scenario::Network;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime for a participant's stack.
pub(super) fn runtime(network: Option<Network>, window: &Window, seed: u64) -> Arc<dyn Runtime> {
    match network {
        None => Arc::new(TokioRuntime),
        Some(network) => Arc::new(ShapedRuntime {
            network,
            window: window.clone(),
            seed: AtomicU64::new(seed),
        }),
    }
}

/// Tokio, with UDP sockets that lose and delay.
#[derive(Debug)]
struct ShapedRuntime {
    network: Network,
    window: Window,
    /// Of the next direction of a socket.
    seed: AtomicU64,
}

impl Runtime for ShapedRuntime {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let seed = self.seed.fetch_add(2, Ordering::Relaxed);
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        let link = Link {
            out: Shaper::out(self.network, seed),
            back: Shaper::back(self.network, self.window.clone(), seed.wrapping_add(1)),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
            reader: None,
        };
        Ok(Arc::new(ShapedSocket {
            inner,
            link: Mutex::new(link),
        }))
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(async move { TokioRuntime.connect_tcp(remote).await })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { TokioRuntime.resolve_host(host).await })
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}

/// A socket behind the pretended network. Its reader moves what is held, both ways.
#[derive(Debug)]
struct ShapedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    link: Mutex<Link>,
}

#[derive(Debug)]
struct Link {
    out: Shaper,
    back: Shaper,
    /// Wakes the reader when the next datagram has passed.
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to; none while nothing is held.
    armed: Option<Instant>,
    /// Who reads. Sends come from elsewhere, and what they add may be due sooner.
    reader: Option<Waker>,
}

impl Link {
    fn due(&self) -> Option<Instant> {
        self.out.due().into_iter().chain(self.back.due()).min()
    }

    /// Sets the timer for the reader; whether it has run out already.
    fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        self.reader = Some(context.waker().clone());
        self.armed = self.due();
        let Some(due) = self.armed else { return false };
        self.timer.as_mut().reset(due.into());
        self.timer.as_mut().poll(context).is_ready()
    }

    /// Has the reader set its timer anew if something is due before that runs out.
    fn wake_reader(&self) {
        let is_sooner = match (self.due(), self.armed) {
            (Some(due), Some(armed)) => due < armed,
            (due, None) => due.is_some(),
            (None, Some(_)) => false,
        };
        if is_sooner && let Some(reader) = &self.reader {
            reader.wake_by_ref();
        }
    }
}

impl ShapedSocket {
    /// Takes everything that waits in the kernel onto the pretended network.
    fn take_in(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
        back: &mut Shaper,
    ) -> io::Result<()> {
        while let Poll::Ready(read) = self.inner.poll_recv(context, buffers, meta) {
            let now = Instant::now();
            for (meta, buffer) in meta.iter().zip(&*buffers).take(read?) {
                let bytes = buffer.get(..meta.len).unwrap_or_default();
                for datagram in bytes.chunks(meta.stride.max(1)) {
                    back.handle(now, 0, meta.addr, datagram);
                }
            }
        }
        Ok(())
    }

    /// Sends what has passed the pretended network. A full kernel buffer loses it, as networks do.
    fn let_out(&self, context: &mut Context<'_>, out: &mut Shaper) {
        while let Some(held) = out.poll(Instant::now()) {
            let transmit = Transmit {
                destination: held.remote,
                ecn: None,
                contents: &held.bytes,
                segment_size: None,
                src_ip: None,
            };
            let _ = self.inner.poll_send(context, &transmit);
        }
    }
}

impl AsyncUdpSocket for ShapedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let mut link = lock(&self.link);
        let now = Instant::now();
        let segment = transmit
            .segment_size
            .unwrap_or(transmit.contents.len())
            .max(1);
        for datagram in transmit.contents.chunks(segment) {
            link.out.handle(now, 0, transmit.destination, datagram);
        }
        link.wake_reader();
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut link = lock(&self.link);
        self.take_in(context, buffers, meta, &mut link.back)?;
        loop {
            self.let_out(context, &mut link.out);
            let now = Instant::now();
            let mut count = 0;
            while count < buffers.len().min(meta.len()) {
                let Some(held) = link.back.poll(now) else {
                    break;
                };
                let length = held.bytes.len().min(buffers[count].len());
                buffers[count][..length].copy_from_slice(&held.bytes[..length]);
                meta[count] = RecvMeta::default();
                meta[count].addr = held.remote;
                meta[count].len = length;
                meta[count].stride = length.max(1);
                count += 1;
            }
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            if !link.is_due(context) {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::scenario::{Share, Who};

    #[tokio::test]
    async fn datagrams_pass_after_the_delay_even_when_nothing_comes_back() {
        let network = Network {
            loss: Share::from_ratio(0.0),
            bursts: None,
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            rate: None,
            queue: Duration::ZERO,
            squeeze: None,
            who: Who::All,
        };
        let runtime = runtime(Some(network), &Window::default(), 1);
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let far = bind();
        far.set_nonblocking(true).expect("a setting");
        let far_address = far.local_addr().expect("an address");
        let far = tokio::net::UdpSocket::from_std(far).expect("a socket");
        let near = runtime.wrap_udp_socket(bind()).expect("a socket");

        // The reader waits before anything is sent, as the stack's does.
        let reading = tokio::spawn({
            let near = Arc::clone(&near);
            async move {
                let mut bytes = [0; 64];
                let mut buffers = [IoSliceMut::new(&mut bytes)];
                let mut meta = [RecvMeta::default()];
                let read = poll_fn(|context| near.poll_recv(context, &mut buffers, &mut meta));
                read.await.map(|_| meta[0].len)
            }
        });
        tokio::task::yield_now().await;

        let start = Instant::now();
        near.send_to(b"there", far_address).await.expect("sent");
        let mut bytes = [0; 64];
        let (length, near_address) = far.recv_from(&mut bytes).await.expect("received");
        assert!(length == 5 && start.elapsed() >= Duration::from_millis(20));
        far.send_to(b"and back", near_address).await.expect("sent");
        assert_eq!(reading.await.expect("read").expect("received"), 8);
        assert!(start.elapsed() >= Duration::from_millis(40));
    }
}
