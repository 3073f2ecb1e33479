//! All clients of a stage, on a thread and, where time is measured, a core of their own, so that neither their time
//! nor their caches count. The two threads take turns and never run at once. Must not see the shard.

use std::{
    hint::spin_loop,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread::JoinHandle,
    time::Instant,
};

use plenum_proto::node::SessionEvent;
use sfu_core::{Command, ControlId};
use str0m::{Event, config::DtlsCert};

use super::{
    client::{Client, Plan},
    cores,
    mail::{Mail, is_rtp},
    peer::number_of,
};

/// A frame to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Number of the client.
    pub(crate) client: u32,
    /// Index of its track.
    pub(crate) source: usize,
    pub(crate) packets: u8,
}

/// What the clients get in a turn.
pub(crate) struct Turn {
    pub(crate) now: Instant,
    /// From the shard.
    pub(crate) down: Mail,
    /// Empty, to be filled.
    pub(crate) up: Mail,
    pub(crate) events: Vec<(ControlId, SessionEvent)>,
    pub(crate) newcomers: Vec<Plan>,
    pub(crate) frames: Vec<Frame>,
    /// One in so many RTP packets to a client is lost; 0 for none.
    pub(crate) loss_one_in: u64,
}

/// What the clients answer.
pub(crate) struct Answer {
    pub(crate) turn: Turn,
    pub(crate) commands: Vec<Command>,
    pub(crate) tally: Tally,
}

/// What the clients saw up to now.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) connected: u64,
    /// RTP datagrams that came, retransmissions and the lost ones included.
    pub(crate) datagrams: u64,
    /// Packets the engines handed out.
    pub(crate) packets: u64,
    pub(crate) lost: u64,
}

/// The thread.
pub(crate) struct Crowd {
    turns: Option<SyncSender<Turn>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    is_apart: bool,
}

impl Crowd {
    /// `is_apart` keeps the clients and the calling thread to a core each, if there are two, and that one awake: a
    /// worker that has much to do does not sleep.
    pub(crate) fn new(seed: u64, is_apart: bool) -> Self {
        let is_apart = is_apart && cores::keep_to(0);
        let (turns, incoming) = sync_channel::<Turn>(1);
        let (outgoing, answers) = sync_channel(1);
        let run = move || {
            // The engine draws ids from this generator of its thread.
            fastrand::seed(seed);
            if is_apart {
                cores::keep_to(1);
            }
            let mut clients = Clients::new();
            while let Ok(turn) = incoming.recv() {
                if outgoing.send(clients.play(turn)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("clients".into());
        Self {
            turns: Some(turns),
            answers,
            thread: Some(thread.spawn(run).expect("a thread")),
            is_apart,
        }
    }

    /// Lets the clients have their turn, and waits for it.
    pub(crate) fn play(&mut self, turn: Turn) -> Answer {
        let turns = self.turns.as_ref().expect("open until it is dropped");
        turns.send(turn).expect("the clients failed");
        if !self.is_apart {
            return self.answers.recv().expect("the clients failed");
        }
        loop {
            match self.answers.try_recv() {
                Err(TryRecvError::Empty) => spin_loop(),
                answer => return answer.expect("the clients failed"),
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.turns.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Clients {
    clients: Vec<Client>,
    certificate: DtlsCert,
    dirty: Vec<u32>,
    tally: Tally,
}

impl Clients {
    fn new() -> Self {
        let provider = str0m::crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate();
        Self {
            clients: Vec::new(),
            certificate: certificate.expect("a certificate of the clients"),
            dirty: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn play(&mut self, mut turn: Turn) -> Answer {
        let now = turn.now;
        for plan in turn.newcomers.drain(..) {
            let number = u32::try_from(self.clients.len()).expect("few clients");
            let client = Client::new(now, number, &plan, &self.certificate);
            self.clients.push(client);
        }
        self.receive(&turn);
        turn.down.clear();
        for (control, event) in turn.events.drain(..) {
            let number = u32::try_from(control.0).expect("a control of ours");
            self.clients[number as usize].handle_event(now, event);
            self.touch(number * 2);
            self.touch(number * 2 + 1);
        }
        self.pass_time(now);
        for frame in turn.frames.drain(..) {
            self.clients[frame.client as usize].send_frame(now, frame.source, frame.packets);
            self.touch(frame.client * 2);
        }
        let mut commands = Vec::new();
        self.drain(now, &mut turn.up, &mut commands);
        Answer {
            turn,
            commands,
            tally: self.tally,
        }
    }

    fn receive(&mut self, turn: &Turn) {
        for letter in turn.down.letters() {
            if is_rtp(letter.bytes) {
                self.tally.datagrams += 1;
                if turn.loss_one_in > 0 && self.tally.datagrams.is_multiple_of(turn.loss_one_in) {
                    self.tally.lost += 1;
                    continue;
                }
            }
            let Some(number) = number_of(letter.destination) else {
                continue;
            };
            if let Some(peer) = self.peer(number) {
                peer.handle_datagram(turn.now, letter.source, letter.bytes);
                self.touch(number);
            }
        }
    }

    fn pass_time(&mut self, now: Instant) {
        for number in 0..self.clients.len() as u32 * 2 {
            if let Some(peer) = self.peer(number).filter(|peer| peer.is_due(now)) {
                peer.handle_timeout(now);
                self.touch(number);
            }
        }
    }

    fn peer(&mut self, number: u32) -> Option<&mut super::peer::Peer> {
        let client = self.clients.get_mut(number as usize / 2)?;
        if number.is_multiple_of(2) {
            client.publisher.as_mut()
        } else {
            Some(&mut client.subscriber)
        }
    }

    fn touch(&mut self, number: u32) {
        if self.peer(number).is_some_and(|peer| peer.mark_dirty()) {
            self.dirty.push(number);
        }
    }

    fn drain(&mut self, now: Instant, up: &mut Mail, commands: &mut Vec<Command>) {
        for number in std::mem::take(&mut self.dirty) {
            let mut requested = Vec::new();
            let mut tally = self.tally;
            let Some(peer) = self.peer(number) else {
                continue;
            };
            peer.drain(now, up, |event| match event {
                Event::Connected => tally.connected += 1,
                Event::RtpPacket(_) => tally.packets += 1,
                Event::KeyframeRequest(request) => requested.push(request.mid),
                _ => {}
            });
            self.tally = tally;
            let client = &mut self.clients[number as usize / 2];
            for mid in requested {
                client.on_keyframe_request(mid);
            }
            let control = ControlId(u64::from(number / 2));
            commands.extend(
                client
                    .outbox
                    .drain(..)
                    .map(|request| Command::Session { control, request }),
            );
        }
    }
}
