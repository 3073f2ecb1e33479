//! The floor of a whole node: the bare loop that opens a packet, copies and seals it for every receiver, and
//! sends it on loopback in runs of equal segments (UDP_SEGMENT), with nothing else around it. What a node
//! costs per forwarded packet is stated as a ratio to this, at the same length of runs.
//!
//! Costs are CPU time of the sending thread. On loopback that includes the kernel's half of receiving. It
//! is less where receivers take runs whole (UDP_GRO), which WebRTC clients do not. Measures, and judges nothing.
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
    time::Duration,
};

use clock::cpu_time;
use floor::{Floor, WIRE_BYTES};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

/// Packets to each receiver before they are all taken in, outside what is measured: as many as fit the
/// buffer that a system gives without asking.
const BATCH: usize = 48;

/// Batches of a round.
const BATCHES: usize = 8;

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

/// The bare loop.
struct Loop {
    floor: Floor,
    socket: UdpSocket,
    state: UdpSocketState,
    receivers: Vec<Receiver>,
    buffer: Vec<u8>,
}

/// What a round cost.
struct Round {
    nanos: f64,
    lost: usize,
}

impl Loop {
    fn new(receivers: usize, take_runs: bool) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        let receivers = (0..receivers).map(|_| Receiver::new(take_runs));
        Ok(Self {
            floor: Floor::new(),
            socket,
            state,
            receivers: receivers.collect::<Result<_, _>>()?,
            buffer: vec![0; 65_536],
        })
    }

    /// Nanoseconds of CPU per packet and receiver, at a length of runs.
    fn round(&mut self, run: usize) -> io::Result<Round> {
        let (mut spent, mut sent, mut taken) = (Duration::ZERO, 0, 0);
        for _ in 0..BATCHES {
            // What a socket would have received.
            let mut arrived: Vec<_> = (0..BATCH).map(|_| self.floor.sealed()).collect();
            let begun = cpu_time();
            for frame in arrived.chunks_mut(run) {
                for (index, packet) in frame {
                    self.floor.open(*index, packet);
                }
                for receiver in &self.receivers {
                    let transmit = Transmit {
                        destination: receiver.address,
                        ecn: None,
                        contents: self.floor.run(run),
                        segment_size: (run > 1).then_some(WIRE_BYTES),
                        src_ip: None,
                    };
                    self.state.try_send((&self.socket).into(), &transmit)?;
                    sent += run;
                }
            }
            spent += cpu_time() - begun;
            for receiver in &self.receivers {
                taken += receiver.drain(&mut self.buffer)?;
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
    let mut loops = [Loop::new(receivers, false)?, Loop::new(receivers, true)?];
    let mut seal = Vec::new();
    let mut nanos: [[Vec<f64>; RUNS.len()]; 2] = Default::default();
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
    let [plain, whole] = nanos;
    let rows = RUNS.into_iter().zip(plain.into_iter().zip(whole));
    let rows: Vec<Vec<String>> = rows
        .map(|(run, (plain, whole))| {
            let (plain, whole) = (report::median(plain), report::median(whole));
            vec![
                format!("runs of {run}"),
                format!("{plain:.0}"),
                format!("{:.2}", plain / seal),
                format!("{:.2}", 1e3 / plain),
                format!("{:.2}", 8.0 * WIRE_BYTES as f64 / plain),
                format!("{whole:.0}"),
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
    ];
    report::print(&head, &rows);
    if lost > 0 {
        println!("{lost} datagrams found no room: the numbers are too low");
    }
    Ok(())
}
