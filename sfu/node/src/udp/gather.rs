//! Single datagrams gathered for one `sendmmsg` call. Must not decide when: [`send`](super::send) does.
//!
//! What a shard lends must be given back before it lends the next, hence the copy: it costs a few tens
//! of nanoseconds, a system call of its own several hundred.

use std::{
    array,
    io::{self, IoSlice},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    slice,
};

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg, sendto};

/// Datagrams of one call at most.
const GATHERED: usize = 32;

/// Bytes the arena keeps when it is empty.
const KEPT_BYTES: usize = 64 * 1024;

/// Datagrams that go out together, in order.
#[derive(Debug)]
pub(super) struct Gathered {
    arena: Vec<u8>,
    /// Where each datagram ends in the arena.
    ends: Vec<usize>,
    destinations: Vec<SocketAddr>,
    /// The destinations as the kernel wants them; those past the last datagram mean nothing.
    addresses: Box<[SocketAddrAny; GATHERED]>,
}

impl Gathered {
    pub(super) fn new() -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Self {
            arena: Vec::new(),
            ends: Vec::with_capacity(GATHERED),
            destinations: Vec::with_capacity(GATHERED),
            addresses: Box::new(array::from_fn(|_| SocketAddrAny::from(nowhere))),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == GATHERED
    }

    /// Adds a datagram; there must be room.
    pub(super) fn push(&mut self, destination: SocketAddr, bytes: &[u8]) {
        self.addresses[self.ends.len()] = SocketAddrAny::from(destination);
        self.destinations.push(destination);
        self.arena.extend_from_slice(bytes);
        self.ends.push(self.arena.len());
    }

    /// The `i`th datagram and where it goes.
    pub(super) fn datagram(&self, i: usize) -> (SocketAddr, &[u8]) {
        (self.destinations[i], self.bytes(i))
    }

    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEPT_BYTES);
        self.ends.clear();
        self.destinations.clear();
    }

    /// Offers the kernel the datagrams from the `first` on, in one call; how many it took. An error is
    /// about the `first`.
    pub(super) fn send(&self, socket: &UdpSocket, first: usize) -> io::Result<usize> {
        const FEW: usize = 4;
        match self.len() - first {
            0 => Ok(0),
            1 => {
                let address = &self.addresses[first];
                sendto(socket, self.bytes(first), SendFlags::empty(), address)?;
                Ok(1)
            }
            // Message headers are cheap, but not free.
            2..=FEW => self.send_many::<FEW>(socket, first),
            _ => self.send_many::<GATHERED>(socket, first),
        }
    }

    fn send_many<const N: usize>(&self, socket: &UdpSocket, first: usize) -> io::Result<usize> {
        let count = (self.len() - first).min(N);
        let slices: [IoSlice<'_>; N] = array::from_fn(|i| IoSlice::new(self.bytes(first + i)));
        let mut controls: [SendAncillaryBuffer<'_, '_, '_>; N] =
            array::from_fn(|_| SendAncillaryBuffer::default());
        let mut parts = self.addresses[first..].iter().cycle().zip(&slices);
        let mut messages = controls.each_mut().map(|control| match parts.next() {
            Some((address, bytes)) => {
                MMsgHdr::new_with_addr(address, slice::from_ref(bytes), control)
            }
            None => MMsgHdr::new(&[], control),
        });
        Ok(sendmmsg(
            socket,
            &mut messages[..count],
            SendFlags::empty(),
        )?)
    }

    /// The `i`th datagram; past the last, nothing.
    fn bytes(&self, i: usize) -> &[u8] {
        let Some(&end) = self.ends.get(i) else {
            return &[];
        };
        let start = match i.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        &self.arena[start..end]
    }
}
