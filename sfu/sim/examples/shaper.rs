//! A cable between two network namespaces that can be made bad while it is used: for kernels without netem.
//!
//! It makes two TUN devices; whatever one sends comes out of the other, by the link model of the simulated world.
//! The caller moves each into its namespace and gives it an address. Owns the devices and the time; what happens to
//! a packet is the library's. Needs root, and ends with its input.
//!
//! ```text
//! shaper near far
//! ready near far
//! < down rate=500k queue=300ms     from far to near
//! > down rate=500000 queue=300ms delay=0ms jitter=0ms loss=0 reorder=0 burst=none
//! < up loss=1%                     from near to far
//! < up trace=cell/7                as a link does in the field, drawn from a seed: cell, wifi, crowded; or none
//! > up trace=cell/7
//! < stats
//! > up passed=1203 lost=12 bytes=88231 down passed=…
//! ```

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    error::Error,
    io::{self, BufRead as _, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use sfu_sim::{LinkSettings, Shaper, Trace};
use tun_rs::{DeviceBuilder, SyncDevice};

/// Bytes of the largest packet.
const MTU: u16 = 1_500;

/// Packets that may be under way in one direction; more are lost.
const UNDER_WAY_MAX: usize = 10_000;

/// One direction of the cable.
struct Way {
    settings: LinkSettings,
    /// Goes before the settings, from a moment on.
    trace: Option<(Trace, Duration)>,
    start: Instant,
    shaper: Shaper,
    passed: u64,
    lost: u64,
    bytes: u64,
}

/// A packet under way: when it arrives, its number, its bytes.
type Parcel = Reverse<(Duration, u64, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut names = std::env::args().skip(1);
    let (Some(near), Some(far), None) = (names.next(), names.next(), names.next()) else {
        return Err("usage: shaper NEAR FAR, the names of the two devices".into());
    };
    let (near_end, far_end) = (open(&near)?, open(&far)?);
    let up = connect(Arc::clone(&near_end), Arc::clone(&far_end), 1);
    let down = connect(far_end, near_end, 2);
    say(&format!("ready {near} {far}"))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let line = line.trim();
        let (which, change) = line.split_once(' ').unwrap_or((line, ""));
        let answer = match which {
            "up" => set(&up, change),
            "down" => set(&down, change),
            "stats" => Ok(format!("{} {}", stats("up", &up), stats("down", &down))),
            other => Err(format!("\"{other}\" is none of up, down and stats")),
        };
        match answer {
            Ok(text) if which == "stats" => say(&text)?,
            Ok(text) => say(&format!("{which} {text}"))?,
            Err(problem) => say(&format!("error: {problem}"))?,
        }
    }
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn open(name: &str) -> Result<Arc<SyncDevice>, Box<dyn Error>> {
    let device = DeviceBuilder::new().name(name).mtu(MTU).enable(false);
    let device = device.build_sync();
    let device = device.map_err(|error| format!("device {name} cannot be made: {error}"))?;
    Ok(Arc::new(device))
}

fn lock(way: &Mutex<Way>) -> std::sync::MutexGuard<'_, Way> {
    // No change is made by half.
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(way: &Mutex<Way>, change: &str) -> Result<String, String> {
    let mut way = lock(way);
    if let Some(name) = change.strip_prefix("trace=") {
        way.trace = match name {
            "none" => None,
            name => {
                let trace = name.parse::<Trace>().map_err(|e| e.to_string())?;
                Some((trace, way.start.elapsed()))
            }
        };
        return Ok(change.to_owned());
    }
    way.settings = way.settings.changed(change).map_err(|e| e.to_string())?;
    Ok(way.settings.to_string())
}

fn stats(name: &str, way: &Mutex<Way>) -> String {
    let way = lock(way);
    let (passed, lost, bytes) = (way.passed, way.lost, way.bytes);
    format!("{name} passed={passed} lost={lost} bytes={bytes}")
}

/// Carries what comes out of one device into the other, on two threads.
fn connect(from: Arc<SyncDevice>, to: Arc<SyncDevice>, seed: u64) -> Arc<Mutex<Way>> {
    let start = Instant::now();
    let way = Arc::new(Mutex::new(Way {
        settings: LinkSettings::delayed(Duration::ZERO),
        trace: None,
        start,
        shaper: Shaper::new(seed),
        passed: 0,
        lost: 0,
        bytes: 0,
    }));
    let (sender, receiver) = mpsc::sync_channel(UNDER_WAY_MAX);
    let shared = Arc::clone(&way);
    thread::spawn(move || take(&from, &shared, start, &sender));
    thread::spawn(move || deliver(&to, start, &receiver));
    way
}

/// Decides on every packet as it comes.
fn take(from: &SyncDevice, way: &Mutex<Way>, start: Instant, sender: &SyncSender<Parcel>) {
    let mut buffer = vec![0; usize::from(MTU)];
    loop {
        let Ok(length) = from.recv(&mut buffer) else {
            // The device is down, for example on its way to another namespace.
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let mut way = lock(way);
        let now = start.elapsed();
        let settings = match &way.trace {
            Some((trace, since)) => trace.at(now.saturating_sub(*since)),
            None => way.settings,
        };
        let at = way.shaper.send(now, &settings, length);
        let number = way.passed;
        let bytes = buffer.get(..length).unwrap_or_default();
        let is_sent = at.is_some_and(|at| {
            let parcel = Reverse((at, number, bytes.to_vec()));
            sender.try_send(parcel).is_ok()
        });
        if is_sent {
            way.passed += 1;
            way.bytes += bytes.len() as u64;
        } else {
            way.lost += 1;
        }
    }
}

/// Sends on every packet when its time has come.
fn deliver(to: &SyncDevice, start: Instant, receiver: &Receiver<Parcel>) {
    const IDLE: Duration = Duration::from_secs(3_600);
    let mut waiting: BinaryHeap<Parcel> = BinaryHeap::new();
    loop {
        while waiting
            .peek()
            .is_some_and(|Reverse((at, ..))| *at <= start.elapsed())
        {
            if let Some(Reverse((_, _, bytes))) = waiting.pop() {
                // A device that is down loses what comes, as an unplugged cable does.
                drop(to.send(&bytes));
            }
        }
        let next = waiting.peek();
        let pause = next.map_or(IDLE, |Reverse((at, ..))| at.saturating_sub(start.elapsed()));
        match receiver.recv_timeout(pause) {
            Ok(parcel) => waiting.push(parcel),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
