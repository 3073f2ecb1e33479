//! The floor of a whole node: the bare loop that opens a packet, copies and seals it for every receiver, and
//! sends it on loopback in runs of equal segments (UDP_SEGMENT), with nothing else around it. What a node
//! costs per forwarded packet is stated as a ratio to this, at the same length of runs.
//!
//! Costs are CPU time of the sending thread. On loopback that includes the kernel's half of receiving. It
//! is less where receivers take runs whole (UDP_GRO), which WebRTC clients do not, and more where they wait for
//! what comes one frame at a time, as in a call: each has to be woken, and nothing is in a cache any more. Measures,
//! and judges nothing.
//!
//! `cargo bench -p sfu-node --bench floor -- [--receivers N] [--rounds N]`

#[path = "../../core/benches/support/clock.rs"]
#[expect(dead_code, reason = "the benches of the core use the rest")]
mod clock;
#[path = "../../core/benches/support/floor.rs"]
mod floor;
#[path = "../../core/benches/support/report.rs"]
#[expect(dead_code, reason = "the benches of the core use the rest")]
mod report;

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use clock::cpu_time;
use floor::{Floor, WIRE_BYTES};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::{buffer::spare_capacity, event::epoll};

/// Packets to each receiver before they are all taken in, outside what is measured: as many as fit the
/// buffer that a system gives without asking.
const BATCH: usize = 48;

/// Batches of a round; of one that waits between frames, one.
const BATCHES: usize = 8;

/// Between two frames of a call.
const PACE: Duration = Duration::from_millis(5);

/// Lengths of runs.
const RUNS: [usize; 4] = [1, 4, 8, 16];

/// A receiver that takes what comes and looks at nothing.
struct Receiver {
    socket: UdpSocket,
    address: SocketAddr,
    /// Takes runs whole.
    offload: Option<UdpSocketState>,
}

impl Receiver {
    fn new(takes_runs: bool) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let offload = takes_runs.then(|| UdpSocketState::new((&socket).into()));
        Ok(Self {
            address: socket.local_addr()?,
            offload: offload.transpose()?,
            socket,
        })
    }

    /// Takes all there is; says how many datagrams it was.
    fn drain(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let received = match &self.offload {
                None => self.socket.recv(buffer).map(|_| 1),
                Some(state) => {
                    let mut meta = [RecvMeta::default()];
                    let mut slices = [IoSliceMut::new(buffer)];
                    let received = state.recv((&self.socket).into(), &mut slices, &mut meta);
                    received.map(|_| meta[0].len.div_ceil(meta[0].stride.max(1)))
                }
            };
            match received {
                Ok(datagrams) => taken += datagrams,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Has receivers wait for what comes on a thread of their own, for as long as the process lives; what is returned
/// counts the datagrams they took.
fn wait_elsewhere(receivers: Vec<Receiver>) -> io::Result<Arc<AtomicUsize>> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (receiver, index) in receivers.iter().zip(0..) {
        let data = epoll::EventData::new_u64(index);
        epoll::add(&epoll, &receiver.socket, data, epoll::EventFlags::IN)?;
    }
    let taken = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&taken);
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        let mut ready = Vec::with_capacity(64);
        loop {
            ready.clear();
            epoll::wait(&epoll, spare_capacity(&mut ready), None)?;
            for event in &ready {
                let datagrams = receivers[event.data.u64() as usize].drain(&mut buffer)?;
                counter.fetch_add(datagrams, Ordering::Relaxed);
            }
        }
    });
    Ok(taken)
}

/// Who takes what was sent.
enum Takers {
    /// This thread, after each batch.
    Here(Vec<Receiver>),
    /// Another one, as it comes; so many datagrams by now.
    Elsewhere(Arc<AtomicUsize>),
}

/// The bare loop.
struct Loop {
    floor: Floor,
    socket: UdpSocket,
    state: UdpSocketState,
    addresses: Vec<SocketAddr>,
    takers: Takers,
    buffer: Vec<u8>,
}

/// What a round cost.
struct Round {
    nanos: f64,
    lost: usize,
}

impl Loop {
    fn new(receivers: usize, take_runs: bool, wait: bool) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        let receivers = (0..receivers).map(|_| Receiver::new(take_runs));
        let receivers = receivers.collect::<Result<Vec<_>, _>>()?;
        let addresses = receivers.iter().map(|receiver| receiver.address).collect();
        Ok(Self {
            floor: Floor::new(),
            socket,
            state,
            addresses,
            takers: if wait {
                Takers::Elsewhere(wait_elsewhere(receivers)?)
            } else {
                Takers::Here(receivers)
            },
            buffer: vec![0; 65_536],
        })
    }

    /// Nanoseconds of CPU per packet and receiver, at a length of runs.
    fn round(&mut self, run: usize) -> io::Result<Round> {
        let is_paced = matches!(self.takers, Takers::Elsewhere(_));
        let (mut spent, mut sent, mut taken) = (Duration::ZERO, 0, 0);
        for _ in 0..if is_paced { 1 } else { BATCHES } {
            // What a socket would have received.
            let mut arrived: Vec<_> = (0..BATCH).map(|_| self.floor.sealed()).collect();
            let begun = cpu_time();
            for frame in arrived.chunks_mut(run) {
                for (index, packet) in frame {
                    self.floor.open(*index, packet);
                }
                for receiver in &self.addresses {
                    let transmit = Transmit {
                        destination: *receiver,
                        ecn: None,
                        contents: self.floor.run(run),
                        segment_size: (run > 1).then_some(WIRE_BYTES),
                        src_ip: None,
                    };
                    self.state.try_send((&self.socket).into(), &transmit)?;
                    sent += run;
                }
                if is_paced {
                    thread::sleep(PACE);
                }
            }
            spent += cpu_time() - begun;
            match &self.takers {
                Takers::Here(receivers) => {
                    for receiver in receivers {
                        taken += receiver.drain(&mut self.buffer)?;
                    }
                }
                Takers::Elsewhere(counter) => {
                    thread::sleep(PACE);
                    taken += counter.swap(0, Ordering::Relaxed);
                }
            }
        }
        Ok(Round {
            nanos: spent.as_nanos() as f64 / sent as f64,
            lost: sent - taken,
        })
    }
}

fn main() -> io::Result<()> {
    let number = |name, default| {
        let given = report::option(name).and_then(|n| n.parse().ok());
        given.unwrap_or(default)
    };
    let (receivers, rounds) = (number("--receivers", 50), number("--rounds", 15));
    let mut loops = [
        Loop::new(receivers, false, false)?,
        Loop::new(receivers, true, false)?,
        Loop::new(receivers, false, true)?,
    ];
    let mut seal = Vec::new();
    let mut nanos: [[Vec<f64>; RUNS.len()]; 3] = Default::default();
    let mut lost = 0;
    for _ in 0..rounds {
        seal.push(loops[0].floor.measure().as_nanos() as f64);
        for (bare, nanos) in loops.iter_mut().zip(&mut nanos) {
            for (run, nanos) in RUNS.into_iter().zip(nanos) {
                let round = bare.round(run)?;
                nanos.push(round.nanos);
                lost += round.lost;
            }
        }
    }
    let seal = report::median(seal);
    println!(
        "\nthe bare loop, {receivers} receivers, {WIRE_BYTES} bytes, copy + seal {seal:.0} ns"
    );
    let rows: Vec<Vec<String>> = (0..RUNS.len())
        .map(|row| {
            let [plain, whole, paced] = [0, 1, 2].map(|way| {
                let nanos: &Vec<f64> = &nanos[way][row];
                report::median(nanos.iter().copied())
            });
            vec![
                format!("runs of {}", RUNS[row]),
                format!("{plain:.0}"),
                format!("{:.2}", plain / seal),
                format!("{:.2}", 1e3 / plain),
                format!("{:.2}", 8.0 * WIRE_BYTES as f64 / plain),
                format!("{whole:.0}"),
                format!("{paced:.0}"),
            ]
        })
        .collect();
    let head = [
        "",
        "ns CPU",
        "seals",
        "Mpackets/core-s",
        "Gbit/core-s",
        "ns, receivers with GRO",
        "ns, at the pace of a call",
    ];
    report::print(&head, &rows);
    if lost > 0 {
        println!("{lost} datagrams found no room: the numbers are too low");
    }
    Ok(())
}
