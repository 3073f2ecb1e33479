//! How time passes: from one moment at which anything happens to the next, and whose turn it is then.
//! Must not add events of its own.

use std::{collections::BTreeMap, time::Duration};

use plenum_proto::node::session_event::Kind as Told;
use sfu_core::{Command, Datagram, Event, Protocol, Shard};

use super::{ClientKey, Tapped, World, laws};
use crate::{
    connection::Outgoing,
    network::{Cargo, Letter, is_repair},
};

impl World {
    /// Lets time pass. Panics with the seed if a law was broken.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.clock.now + span;
        while self.step(end) {}
        self.assert_lawful();
    }

    /// Lets time pass until something holds, at most so long; says whether it came to hold.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.clock.now + limit;
        self.settle();
        let mut held = holds(self);
        while !held && self.step(end) {
            held = holds(self);
        }
        self.assert_lawful();
        held || holds(self)
    }

    /// Goes to the next moment at which anything happens; false when that lies behind `end`.
    fn step(&mut self, end: Duration) -> bool {
        self.settle();
        if std::mem::take(&mut self.owes_account) {
            self.judge_accounts();
        }
        let clock = self.clock;
        let lateness = self.lateness;
        let due = self.shards_mut().filter_map(Shard::poll_timeout).min();
        let due = due.map(|at| at + lateness);
        let due = due.into_iter().chain(self.hop_deadline()).min();
        let shard = due.map(|at| clock.since_start(at));
        let clients = self
            .clients
            .iter()
            .filter_map(|client| client.deadline(&self.clock))
            .min();
        let moments = [
            shard,
            clients,
            self.network.next(),
            self.plain_deadline(),
            Some(self.next_judgement),
        ];
        let next = moments.into_iter().flatten().min().unwrap_or(end);
        if next > end {
            self.clock.now = end;
            return false;
        }
        self.clock.now = self.clock.now.max(next);
        while let Some(cargo) = self.network.pop_due(self.clock.now) {
            self.deliver(cargo);
        }
        self.send_plain();
        let now = self.clock.instant();
        for shard in self.shards_mut() {
            if shard.poll_timeout().is_some_and(|at| at + lateness <= now) {
                shard.handle_timeout(now);
            }
        }
        self.handle_hop_timeouts();
        for client in &mut self.clients {
            if client
                .deadline(&self.clock)
                .is_some_and(|at| at <= self.clock.now)
            {
                client.handle_timeout(&self.clock);
            }
        }
        if self.next_judgement <= self.clock.now {
            self.next_judgement = self.clock.now + laws::INTERVAL;
            self.judge();
            self.owes_account = true;
        }
        true
    }

    fn deliver(&mut self, cargo: Cargo) {
        let now = self.clock.instant();
        match cargo {
            Cargo::ToNode(Letter {
                source,
                destination,
                bytes,
            }) => {
                if let Some(tap) = &mut self.tap {
                    tap.push(Tapped {
                        source,
                        bytes: bytes.clone(),
                    });
                }
                let protocol = Protocol::Udp;
                let datagram = Datagram {
                    source,
                    destination,
                    protocol,
                    bytes: &bytes,
                };
                let index = self.shard_at_address(destination);
                self.shard_mut(index).handle_datagram(now, datagram);
                self.settle_shard(index);
            }
            Cargo::ToClient(Letter {
                source,
                destination,
                bytes,
            }) => {
                let key = self.by_address.get(&destination).copied();
                let mut moved = self.outside.iter();
                let destination = moved
                    .find(|(_, outside)| **outside == destination)
                    .map_or(destination, |(inside, _)| *inside);
                if let Some(client) = key.and_then(|key| self.clients.get_mut(key.0)) {
                    client.handle_datagram(&self.clock, source, destination, &bytes);
                    self.settle_client(key.unwrap_or(ClientKey(0)));
                }
            }
            Cargo::Command { shard, command } => {
                // A refusal is told on the control connection.
                let _ = self.shard_mut(shard).handle_command(now, command);
                self.settle_shard(shard);
            }
            Cargo::Relay { from, to, frame } => {
                let link = self.link_to(from);
                self.shard_mut(to).handle_relay(now, link, frame);
                self.settle_shard(to);
            }
            Cargo::Hop { from, to, bytes } => {
                self.on_hop(from, to, &bytes);
                self.settle_shard(to);
            }
            Cargo::Event { client, event } => {
                if let Some(found) = self.clients.get_mut(client.0) {
                    found.handle_event(&self.clock, event);
                    self.settle_client(client);
                }
            }
        }
    }

    pub(super) fn settle(&mut self) {
        self.tell_plain();
        for index in 0..self.shard_count() {
            self.settle_shard(index);
        }
        for index in 0..self.clients.len() {
            self.settle_client(ClientKey(index));
        }
    }

    /// Sends on what a shard has to say.
    fn settle_shard(&mut self, index: usize) {
        let Self {
            shard,
            edges,
            by_address,
            clients,
            counts,
            network,
            clock,
            stray,
            sink,
            ..
        } = self;
        let shard = match index.checked_sub(1) {
            Some(edge) => &mut edges[edge],
            None => shard,
        };
        while let Some(transmit) = shard.poll_transmit() {
            let sent = transmit.datagrams();
            sent.for_each(|bytes| counts.on_sent_by_node(bytes));
            let Some(key) = by_address.get(&transmit.destination) else {
                stray.push(transmit.destination);
                if let Some((ip, kept)) = sink
                    && *ip == transmit.destination.ip()
                {
                    kept.extend(transmit.datagrams().map(|bytes| Tapped {
                        source: transmit.destination,
                        bytes: bytes.to_vec(),
                    }));
                }
                continue;
            };
            let link = clients[key.0].options.downlink;
            for bytes in transmit.datagrams() {
                let letter = Letter {
                    source: transmit.source,
                    destination: transmit.destination,
                    bytes: bytes.to_vec(),
                };
                network.send(clock.now, &link, letter, false);
            }
        }
        self.carry_frames(index);
        let mut offers = 0;
        while let Some(event) = self.shard_mut(index).poll_event() {
            match event {
                Event::Session { control, event } => {
                    if let Some(Told::Description(told)) = &event.kind {
                        self.counts.on_described_by_node(&told.sdp);
                    }
                    let is_offer =
                        matches!(&event.kind, Some(Told::Description(told)) if told.is_offer);
                    offers += usize::from(is_offer);
                    self.most_offers = self.most_offers.max(offers);
                    let Some(client) = self.by_control.get(&control).copied() else {
                        if let Some(kind) = event.kind {
                            self.answers.entry(control).or_insert(kind);
                        }
                        continue;
                    };
                    let told = &mut self.clients[client.0];
                    // In order, even if the link has become shorter.
                    let at = self.clock.now + told.options.downlink.delay;
                    let at = at.max(told.next_word);
                    told.next_word = at;
                    self.network.deliver_at(at, Cargo::Event { client, event });
                }
                other => self.told.push(other),
            }
        }
    }

    /// Sends on what a client has to say.
    fn settle_client(&mut self, key: ClientKey) {
        let mut out = Vec::new();
        let client = &mut self.clients[key.0];
        client.drain(&self.clock, &mut out);
        let (link, control) = (client.options.uplink, client.control);
        let delay = link.delay + client.options.signalling;
        while let Some(request) = client.outbox.pop_front() {
            let command = Cargo::Command {
                shard: client.options.shard,
                command: Command::of_request(control, request, &self.limits),
            };
            self.network.deliver_at(self.clock.now + delay, command);
        }
        for datagram in in_turn(out) {
            self.counts.on_sent_by_client(&datagram.bytes);
            let letter = Letter {
                source: self
                    .outside
                    .get(&datagram.source)
                    .copied()
                    .unwrap_or(datagram.source),
                destination: datagram.destination,
                bytes: datagram.bytes,
            };
            self.network.send(self.clock.now, &link, letter, true);
        }
    }
}

/// What is sent in one moment, the streams by turns, repair streams last: the engine goes through them in
/// another order in each run.
fn in_turn(out: Vec<Outgoing>) -> impl Iterator<Item = Outgoing> {
    let mut counts = BTreeMap::<_, usize>::new();
    let mut turns: Vec<_> = out
        .into_iter()
        .map(|datagram| {
            let turn = stream_of(&datagram.bytes).map(|(is_repair, ssrc)| {
                let count = counts.entry(ssrc).or_default();
                *count += 1;
                (is_repair, *count, ssrc)
            });
            (turn, datagram)
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, datagram)| datagram)
}

/// Whether a media packet is of a repair stream, and its SSRC; none of anything else.
fn stream_of(bytes: &[u8]) -> Option<(bool, [u8; 4])> {
    match bytes {
        [128..=191, 192..=223, ..] => None,
        [128..=191, marked, _, _, _, _, _, _, ssrc @ ..] => {
            Some((is_repair(*marked), *ssrc.first_chunk()?))
        }
        _ => None,
    }
}
