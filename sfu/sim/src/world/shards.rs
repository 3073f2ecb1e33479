//! The shards of a world and the links between them. Frames between the shards of one node only take time;
//! what is lost with a link is lost on purpose.

use std::{net::SocketAddr, sync::Arc};

use plenum_proto::{node::session_event::Kind, v1};
use sfu_core::{Command, CommandError, ControlId, Forward, RelayFrame, Reply, Shard, ShardStats};

use super::{World, shard_address};
use crate::{network::Cargo, seconds};

impl World {
    pub(super) fn shard_count(&self) -> usize {
        1 + self.edges.len()
    }

    /// A shard, the home being the first.
    pub fn shard_at(&self, index: usize) -> &Shard {
        match index.checked_sub(1) {
            Some(edge) => &self.edges[edge],
            None => &self.shard,
        }
    }

    pub(super) fn shard_mut(&mut self, index: usize) -> &mut Shard {
        match index.checked_sub(1) {
            Some(edge) => &mut self.edges[edge],
            None => &mut self.shard,
        }
    }

    pub(super) fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        [&mut self.shard].into_iter().chain(&mut self.edges)
    }

    pub(super) fn shard_at_address(&self, address: SocketAddr) -> usize {
        (0..self.shard_count())
            .find(|index| shard_address(*index) == address)
            .unwrap_or(0)
    }

    /// Hands a command to a shard at once.
    pub fn command_at(&mut self, index: usize, command: Command) -> Result<Reply, CommandError> {
        let now = self.clock.instant();
        let reply = self.shard_mut(index).handle_command(now, command);
        self.settle();
        reply
    }

    /// Lets a participant of a shard appear in another room too, or says why not.
    pub fn forward(
        &mut self,
        index: usize,
        (room, identity): (&str, &str),
        destination: &str,
    ) -> Result<v1::Participant, String> {
        self.next_control += 1;
        let control = ControlId(self.next_control);
        let destination = v1::RoomConfig {
            name: destination.to_owned(),
            ..v1::RoomConfig::default()
        };
        let forward = Forward {
            room: room.to_owned(),
            identity: identity.to_owned(),
            destination,
            ..Forward::default()
        };
        let command = Command::Forward {
            control,
            forward: Box::new(forward),
            home: self.home_of(index),
        };
        let asked = self.command_at(index, command);
        asked.map_err(|error| error.to_string())?;
        let is_answered = |world: &Self| world.answers.contains_key(&control);
        assert!(self.run_until(seconds(5), is_answered), "no answer");
        match self.answers.remove(&control) {
            Some(Kind::Joined(joined)) => Ok(joined.participant.unwrap_or_default()),
            Some(Kind::Closed(closed)) => Err(closed.message),
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The counters of all shards together.
    pub fn stats(&self) -> ShardStats {
        let mut sum = self.shard.stats();
        for edge in &self.edges {
            let other = edge.stats();
            sum.rooms += other.rooms;
            sum.participants += other.participants;
            sum.tracks += other.tracks;
            sum.subscriptions += other.subscriptions;
            sum.packets_received += other.packets_received;
            sum.packets_offered += other.packets_offered;
            sum.packets_forwarded += other.packets_forwarded;
            sum.packets_padding += other.packets_padding;
            sum.packets_discarded += other.packets_discarded;
            sum.packets_waiting += other.packets_waiting;
            sum.packets_relayed += other.packets_relayed;
            sum.packets_imported += other.packets_imported;
            sum.data_messages += other.data_messages;
            for (sum, other) in sum.drops.iter_mut().zip(other.drops) {
                *sum += other;
            }
        }
        sum
    }

    /// Media packets that went from one shard to another so far.
    pub fn relayed(&self, from: usize, to: usize) -> u64 {
        self.relayed.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Both ends of the links of a shard learn that they are lost; frames under way are, too.
    pub fn lose_links_of(&mut self, index: usize) {
        let concerns = |from: usize, to: usize| from == index || to == index;
        self.network.retain(|cargo| match cargo {
            Cargo::Relay { from, to, .. } | Cargo::Hop { from, to, .. } => !concerns(*from, *to),
            _ => true,
        });
        self.hops.retain(|(from, to), _| !concerns(*from, *to));
        let now = self.clock.instant();
        for other in (0..self.shard_count()).filter(|other| *other != index) {
            let (there, here) = (self.link_to(index), self.link_to(other));
            self.shard_mut(other).handle_link_lost(now, there);
            self.shard_mut(index).handle_link_lost(now, here);
        }
        self.settle();
    }

    /// No frame goes between two shards from now on, and they learn that they have lost each other.
    pub fn part(&mut self, one: usize, two: usize) {
        self.apart.insert((one.min(two), one.max(two)));
        let concerns =
            |from: usize, to: usize| from.min(to) == one.min(two) && from.max(to) == one.max(two);
        self.network.retain(|cargo| match cargo {
            Cargo::Relay { from, to, .. } | Cargo::Hop { from, to, .. } => !concerns(*from, *to),
            _ => true,
        });
        self.hops.retain(|(from, to), _| !concerns(*from, *to));
        let now = self.clock.instant();
        for (here, there) in [(one, two), (two, one)] {
            let link = self.link_to(there);
            self.shard_mut(here).handle_link_lost(now, link);
        }
        self.settle();
    }

    /// Frames go between them again.
    pub fn join_again(&mut self, one: usize, two: usize) {
        self.apart.remove(&(one.min(two), one.max(two)));
    }

    /// What is under way between shards never comes.
    pub fn lose_frames(&mut self) {
        self.network
            .retain(|cargo| !matches!(cargo, Cargo::Relay { .. }));
    }

    /// Sends on the frames of a shard.
    pub(super) fn carry_frames(&mut self, from: usize) {
        while let Some(transmit) = self.shard_mut(from).poll_relay() {
            let to = self.shard_behind(transmit.link);
            assert!(to != from && to < self.shard_count(), "a frame to nowhere");
            if self.apart.contains(&(from.min(to), from.max(to))) {
                let now = self.clock.instant();
                self.shard_mut(from).handle_link_lost(now, transmit.link);
                continue;
            }
            if let RelayFrame::Media(packet) = &transmit.frame {
                *self.relayed.entry((from, to)).or_default() += 1;
                self.check_bytes(packet);
                if self.has_nodes {
                    self.send_packet(from, to, &Arc::clone(packet));
                    continue;
                }
            }
            let at = self.clock.now + self.relay_link.delay;
            let frame = transmit.frame;
            self.network
                .deliver_at(at, Cargo::Relay { from, to, frame });
        }
    }

    /// What crosses as a value here must be able to cross as bytes.
    fn check_bytes(&mut self, packet: &sfu_core::RelayPacket) {
        let (mut bytes, mut again) = (Vec::new(), Vec::new());
        packet.encode(&mut bytes);
        let back = sfu_core::RelayPacket::decode(self.clock.instant(), &bytes);
        back.expect("a packet").encode(&mut again);
        if bytes != again {
            self.breach("link", "a packet changes when it crosses as bytes".into());
        }
    }
}
