//! What a shard has for the world, out: datagrams, frames, events.
//!
//! Owns what happens to those who do not take it in time: they lose datagrams, frames or their control
//! connection. Must never wait.

use plenum_proto::{
    node::{SessionEvent, session_event},
    v1,
};
use sfu_core::{Command, ControlId, Event, Protocol, Transmit};
use tokio::sync::mpsc;

use super::turn::Worker;
use crate::udp::Sent;

impl Worker {
    /// Takes all the shard has for the world. An input can make it speak again: a control connection
    /// that overflows is reported back to it.
    pub(super) fn drain(&mut self) {
        loop {
            while let Some(transmit) = self.shard.poll_transmit() {
                self.transmit(transmit);
            }
            let mut lost = Vec::new();
            while let Some(event) = self.shard.poll_event() {
                lost.extend(self.on_event(event));
            }
            if lost.is_empty() {
                return;
            }
            for control in lost {
                let now = self.clock();
                // The stay may be gone already: then there is nothing to lose.
                if let Err(error) = self
                    .shard
                    .handle_command(now, Command::ControlLost { control })
                {
                    tracing::debug!(%error, control = control.0, "lost a control connection");
                }
            }
        }
    }

    pub(super) fn transmit(&mut self, transmit: Transmit) {
        match transmit.protocol {
            Protocol::Udp => {
                let Some(port) = self.ports.iter_mut().find(|p| p.local() == transmit.source)
                else {
                    self.counted.udp_send_errors += 1;
                    return;
                };
                match port.send(transmit.destination, transmit.bytes) {
                    Sent::Taken => {}
                    Sent::PushedOut => self.counted.udp_send_dropped += 1,
                    Sent::Refused => self.counted.udp_send_errors += 1,
                }
            }
            Protocol::Tcp => {
                let tcp = self.tcp.get(&(transmit.destination, transmit.source));
                if tcp.is_none_or(|tcp| tcp.frames.try_send(transmit.bytes).is_err()) {
                    self.counted.tcp_send_dropped += 1;
                }
            }
        }
    }

    /// Passes an event on; the control connection that is lost by it, if one is.
    fn on_event(&mut self, event: Event) -> Option<ControlId> {
        match event {
            Event::Session { control, event } => return self.on_session_event(control, event),
            Event::Room(event) => {
                if let (Some(v1::event::Kind::RoomStarted(_)), Some(room)) =
                    (&event.kind, &event.room)
                {
                    self.directory.started(self.index, &room.name, &room.id);
                }
                self.events.push(*event);
            }
            Event::RoomGone { name } => self.directory.gone(&name),
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
