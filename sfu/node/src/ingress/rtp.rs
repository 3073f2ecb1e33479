//! Plain RTP that is sent to us: from sockets to the worker, and what the worker has to say back to the sender.
//! Must not read packets further than to which medium they belong.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::net::UdpSocket;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{IngressState, LOOK, Place, pin::Pin, ports::Pair, seat::Way};

/// Bytes of a datagram that are read; a longer one is no packet of the Internet.
const DATAGRAM_MAX: usize = 2_048;

/// The sockets of one source.
pub(super) struct Sockets {
    pairs: Vec<Pair>,
    pin: Mutex<Pin>,
    /// Which medium a payload type belongs to, where all come to one port.
    by_payload_type: Vec<(u8, u8)>,
    /// Where the sender takes the RTCP of each medium, as it told.
    told: Vec<Option<SocketAddr>>,
}

/// One of them.
struct Reader {
    sockets: Arc<Sockets>,
    socket: Arc<UdpSocket>,
    place: Place,
    /// Its number: twice that of the medium, and one more where it is for RTCP alone.
    number: usize,
}

impl Sockets {
    /// One pair for each medium, or one for all whose payload types are told.
    pub(super) fn new(pairs: Vec<Pair>, pin: Pin, by_payload_type: Vec<(u8, u8)>) -> Arc<Self> {
        Arc::new(Self {
            pairs,
            pin: Mutex::new(pin),
            by_payload_type,
            told: Vec::new(),
        })
    }

    /// Sockets of so many pairs.
    pub(super) fn count(pairs: usize) -> usize {
        pairs * 2
    }

    fn pin(&self) -> MutexGuard<'_, Pin> {
        // Each field is set as a whole.
        self.pin.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a datagram on a socket is taken. The first one after silence is told before anybody can see what it
    /// brings.
    fn admit(&self, number: usize, from: SocketAddr, bytes: &[u8], place: &Place) -> bool {
        let now = Instant::now();
        let (is_taken, heard) = {
            let mut pin = self.pin();
            let heard = pin.heard();
            (pin.admit(now, number, from, bytes), heard)
        };
        if is_taken && heard.is_none_or(|at| now.saturating_duration_since(at) >= LOOK) {
            place.set_state(IngressState::IngressReceiving, "");
        }
        is_taken
    }

    /// When the last packet came.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.pin().heard()
    }

    /// Reads all of them until it is told to stop.
    pub(super) fn read(
        self: &Arc<Self>,
        way: &Way,
        place: &Place,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        for (index, pair) in self.pairs.iter().enumerate() {
            let is_muxed = Arc::ptr_eq(&pair.rtp, &pair.rtcp);
            let rtcp = (!is_muxed).then(|| (&pair.rtcp, index * 2 + 1));
            for (socket, number) in [(&pair.rtp, index * 2)].into_iter().chain(rtcp) {
                let reader = Reader {
                    sockets: Arc::clone(self),
                    socket: Arc::clone(socket),
                    place: place.clone(),
                    number,
                };
                let (way, stop) = (way.clone(), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = reader.run(&way) => {}
                    }
                });
            }
        }
    }

    /// The same for a sender that has told from where it sends RTP and RTCP. A way to it is opened through what is in
    /// front of us, by a packet without media and a report without blocks.
    pub(super) fn toward(
        pairs: Vec<Pair>,
        sender: IpAddr,
        ports: &[Option<(u16, u16)>],
    ) -> Arc<Self> {
        const PACKET: [u8; 12] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 0];
        for (pair, ports) in pairs.iter().zip(ports) {
            if let Some((rtp, rtcp)) = *ports {
                // Lost like any datagram.
                let _ = pair.rtp.try_send_to(&PACKET, (sender, rtp).into());
                let _ = pair.rtcp.try_send_to(&REPORT, (sender, rtcp).into());
            }
        }
        let rtcp = ports
            .iter()
            .map(|ports| Some((sender, ports.as_ref()?.1).into()));
        Arc::new(Self {
            pin: Mutex::new(Pin::new(Some(sender), Self::count(pairs.len()))),
            pairs,
            by_payload_type: Vec::new(),
            told: rtcp.collect(),
        })
    }

    /// Sends RTCP to the sender of a medium, from where its own RTCP comes to.
    pub(super) fn send_back(&self, section: u8, bytes: &[u8]) {
        let index = if self.by_payload_type.is_empty() {
            usize::from(section)
        } else {
            0
        };
        let Some(pair) = self.pairs.get(index) else {
            return;
        };
        if let Some(to) = self.rtcp_peer(index, Arc::ptr_eq(&pair.rtp, &pair.rtcp)) {
            // Lost like any datagram: the next report says it again.
            let _ = pair.rtcp.try_send_to(bytes, to);
        }
    }

    /// Where the sender takes RTCP: where it told, or sends its own from, else beside its RTP (RFC 3550 section 11).
    fn rtcp_peer(&self, index: usize, is_muxed: bool) -> Option<SocketAddr> {
        if let Some(Some(told)) = self.told.get(index) {
            return Some(*told);
        }
        let pin = self.pin();
        let rtp = pin.peer(index * 2)?;
        if is_muxed {
            return Some(rtp);
        }
        let beside = || Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        pin.peer(index * 2 + 1).or_else(beside)
    }
}

impl Reader {
    async fn run(&self, way: &Way) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            // An error is about a datagram of ours that nobody took.
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else {
                continue;
            };
            let bytes = &buffer[..length];
            if self.sockets.admit(self.number, from, bytes, &self.place)
                && let Some(section) = self.section(bytes)
            {
                way.give(section, bytes);
            }
        }
    }

    fn section(&self, bytes: &[u8]) -> Option<u8> {
        let known = &self.sockets.by_payload_type;
        let second = *bytes.get(1)?;
        // RTCP names its stream, whatever it is given as (RFC 5761 section 4).
        if known.is_empty() || (192..=223).contains(&second) {
            return u8::try_from(self.number / 2).ok();
        }
        let of_type = known.iter().find(|(number, _)| *number == second & 0x7f);
        of_type.map(|(_, section)| *section)
    }
}
