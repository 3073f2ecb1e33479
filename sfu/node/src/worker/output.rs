//! What a shard has for the world, out: datagrams, frames, events.
//!
//! Owns what happens to those who do not take it in time: they lose datagrams, frames or their control
//! connection. Must never wait.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use plenum_proto::{
    node::{SessionEvent, session_event},
    v1,
};
use sfu_core::{Command, ControlId, Event, NewHome, Protocol, Transmit};
use tokio::sync::mpsc;

use super::turn::{TcpWriter, Worker};
use crate::{homes::HomeLost, stats::WorkerStats, tcp::put_frame, udp::UdpPort};

impl Worker {
    /// Takes what the shard has for the world: all events, and datagrams as far as the budget goes. An
    /// input can make it speak again: a control connection that overflows is reported back to it.
    pub(super) fn drain(&mut self) {
        loop {
            self.transmit();
            let mut commands = Vec::new();
            while let Some(event) = self.shard.poll_event() {
                commands.extend(self.on_event(event));
            }
            if commands.is_empty() {
                break;
            }
            for command in commands {
                let now = self.clock();
                // The stay may be gone already: then there is nothing to lose.
                if let Err(error) = self.shard.handle_command(now, command) {
                    tracing::debug!(%error, "nothing follows from an event");
                }
            }
        }
        while let Some(transmit) = self.shard.poll_relay() {
            self.outgoing.push(transmit);
        }
        while let Some(transmit) = self.shard.poll_plain() {
            if let Some(rtcp) = self.plain.get(&transmit.control) {
                // Lost like a datagram; the next report says it again.
                let _ = rtcp.try_send((transmit.section, transmit.bytes));
            }
        }
        for port in &mut self.ports {
            port.flush();
        }
    }

    fn transmit(&mut self) {
        let Self {
            shard,
            ports,
            tcp,
            counted,
            budget,
            has_backlog,
            ..
        } = self;
        loop {
            if budget.is_spent() {
                // It may be empty all the same: then the next turn finds out.
                *has_backlog = true;
                return;
            }
            let Some(transmit) = shard.poll_transmit() else {
                *has_backlog = false;
                return;
            };
            let bytes = transmit.bytes.len();
            send(ports, tcp, counted, transmit);
            budget.on_sent(bytes, Instant::now);
        }
    }

    /// Passes an event on; what follows for the shard, if it could not be.
    fn on_event(&mut self, event: Event) -> Option<Command> {
        match event {
            Event::Session { control, event } => {
                let lost = self.on_session_event(control, event)?;
                return Some(Command::ControlLost { control: lost });
            }
            Event::HomeLost { room, room_id } => {
                let lost = HomeLost { room, room_id };
                if let Err(HomeLost { room_id, .. }) = self.homeless.tell(lost) {
                    let home = NewHome::Nowhere;
                    return Some(Command::Rehome { room_id, home });
                }
            }
            Event::Room(event) => {
                if let (Some(v1::event::Kind::RoomStarted(_)), Some(room)) =
                    (&event.kind, &event.room)
                {
                    self.directory.started(self.index, &room.name, &room.id);
                }
                self.events.push(*event);
            }
            Event::RoomGone { name } => self.directory.gone(&name),
            Event::HomeMoved { name, home } => {
                tracing::info!(home = home.0, "a room is handed over");
                self.directory.handed_over(&name, home);
            }
            Event::StayBegan {
                room,
                identity,
                participant,
            } => self
                .directory
                .stay_began(self.index, &room, identity, participant),
            Event::StayEnded {
                room,
                identity,
                participant,
            } => self
                .directory
                .stay_ended(self.index, &room, &identity, &participant),
            Event::CloseTcp { remote } => {
                for candidate in &self.core.candidates {
                    self.tcp.remove(&(remote, candidate.local));
                }
            }
        }
        None
    }

    pub(super) fn on_session_event(
        &mut self,
        control: ControlId,
        event: SessionEvent,
    ) -> Option<ControlId> {
        let is_last = matches!(event.kind, Some(session_event::Kind::Closed(_)));
        let outcome = self.controls.get(&control)?.try_send(event);
        if is_last || outcome.is_err() {
            self.controls.remove(&control);
            self.plain.remove(&control);
        }
        match outcome {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Closed(_)) => Some(control),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.counted.controls_overflowed += 1;
                Some(control)
            }
        }
    }
}

impl TcpWriter {
    /// Bytes of frames that are written into one piece of memory.
    const ROOM: usize = 16 * 1024;

    /// Hands a frame to the connection; false when it has no room for it.
    fn send(&mut self, bytes: &[u8]) -> bool {
        if self.room.capacity() < 2 + bytes.len() {
            self.room.reserve(Self::ROOM.max(2 + bytes.len()));
        }
        put_frame(&mut self.room, bytes) && self.frames.try_send(self.room.split().freeze()).is_ok()
    }
}

/// Sends by the socket or connection a transmit names.
pub(super) fn send(
    ports: &mut [UdpPort],
    tcp: &mut HashMap<(SocketAddr, SocketAddr), TcpWriter>,
    counted: &mut WorkerStats,
    transmit: Transmit<'_>,
) {
    match transmit.protocol {
        Protocol::Udp => {
            let Some(port) = ports.iter_mut().find(|p| p.local() == transmit.source) else {
                counted.udp.send_errors += 1;
                return;
            };
            port.send(transmit.destination, transmit.bytes, transmit.segment_size);
        }
        Protocol::Tcp => {
            let writer = tcp.get_mut(&(transmit.destination, transmit.source));
            if writer.is_none_or(|tcp| !tcp.send(transmit.bytes)) {
                counted.tcp_send_dropped += 1;
            }
        }
    }
}
