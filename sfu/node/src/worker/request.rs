//! Requests of the rest of the node, put to the shard and answered.
//!
//! Owns the list of control connections a worker has. An answer goes out after everything that
//! follows from the request, so that whoever gets it finds directory and events in step with it.

use plenum_proto::node::{AdminReply, SessionEvent};
use sfu_core::{Command, CommandError, ControlId, Reply};
use tokio::sync::mpsc;

use super::{Request, RequestError, turn::Worker};
use crate::service::admin_room;

impl Worker {
    pub(super) fn on_request(&mut self, request: Request) {
        match request {
            Request::Join {
                control,
                join,
                epoch,
                home,
                events,
                reply,
            } => {
                // Asked here, where the room cannot end in between.
                let room = join.room.as_ref().map_or("", |room| &room.name);
                let admitted = self.directory.admit(room, epoch);
                let command = Command::Join {
                    control,
                    join,
                    home,
                };
                let outcome = admitted.map_err(Into::into);
                let outcome = outcome.and_then(|()| self.open(control, events, command));
                // A caller that is gone shows in its control connection, here and below.
                let _ = reply.send(outcome);
            }
            Request::Forward {
                control,
                forward,
                epochs,
                home,
                events,
                reply,
            } => {
                let directory = &self.directory;
                let here = directory.admit(&forward.room, epochs.0);
                let there = directory.admit(&forward.destination.name, epochs.1);
                let there = there.map_err(RequestError::StaleDestination);
                let admitted = here.map_err(RequestError::from).and(there);
                let command = Command::Forward {
                    control,
                    forward,
                    home,
                };
                let outcome = admitted.and_then(|()| self.open(control, events, command));
                let _ = reply.send(outcome);
            }
            Request::Session { control, command } => self.on_session(control, *command),
            Request::Describe {
                control,
                sections,
                rtcp,
                reply,
            } => {
                let outcome = self.command(Command::DescribePlain { control, sections });
                if outcome.is_ok() && self.controls.contains_key(&control) {
                    self.plain.insert(control, rtcp);
                }
                let _ = reply.send(outcome.map(drop).map_err(Into::into));
            }
            Request::SendPlain {
                control,
                sinks,
                keyframes,
                reply,
            } => {
                let outcome = self.command(Command::SendPlain {
                    control,
                    sinks,
                    keyframes,
                });
                let _ = reply.send(outcome.map(drop).map_err(Into::into));
            }
            Request::ControlLost { control } => {
                self.plain.remove(&control);
                if self.controls.remove(&control).is_some() {
                    self.lose_control(control);
                }
            }
            Request::Admin { request, reply } => {
                let room = admin_room(&request).unwrap_or_default();
                if let Err(stale) = self.directory.admit(room, request.epoch) {
                    let _ = reply.send(Err(stale.into()));
                    return;
                }
                let outcome = self
                    .command(Command::Admin(*request))
                    .map(|reply| match reply {
                        Reply::Admin(reply) => reply,
                        Reply::Accepted | Reply::Guests(_) => AdminReply::default(),
                    });
                let _ = reply.send(outcome.map_err(Into::into));
            }
            Request::EndAll { reply } => {
                if let Err(error) = self.command(Command::EndAll) {
                    tracing::warn!(%error, "rooms could not be ended");
                }
                let _ = reply.send(());
            }
            Request::MoveGuests {
                keep,
                except,
                reply,
            } => {
                let left = match self.command(Command::MoveGuests { keep, except }) {
                    Ok(Reply::Guests(left)) => left,
                    _ => 0,
                };
                let _ = reply.send(left);
            }
            Request::MoveAway { room, reply } => {
                if let Err(error) = self.command(Command::MoveAway { room }) {
                    tracing::warn!(%error, "rooms could not be moved");
                }
                let _ = reply.send(());
            }
            Request::Rehome {
                room_id,
                home,
                reply,
            } => {
                if let Err(error) = self.command(Command::Rehome { room_id, home }) {
                    tracing::warn!(%error, "a room does not find its new home");
                }
                let _ = reply.send(());
            }
            Request::Stats { reply } => {
                self.clock();
                self.publish();
                let _ = reply.send(self.stats());
            }
        }
    }

    /// A command whose answer is an event of a new control connection.
    fn open(
        &mut self,
        control: ControlId,
        events: mpsc::Sender<SessionEvent>,
        command: Command,
    ) -> Result<(), RequestError> {
        self.controls.insert(control, events);
        let outcome = self.command(command);
        if outcome.is_err() {
            self.controls.remove(&control);
        }
        outcome.map(drop).map_err(Into::into)
    }

    fn on_session(&mut self, control: ControlId, command: Command) {
        match self.command(command) {
            Ok(_) => {}
            Err(CommandError::NotFound { .. }) => {
                self.controls.remove(&control);
            }
            Err(error) => tracing::debug!(%error, control = control.0, "request refused"),
        }
    }

    /// Puts a command to the shard; what follows from it has gone out when this returns.
    pub(super) fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        let now = self.clock();
        let outcome = self.shard.handle_command(now, command);
        self.drain();
        outcome
    }

    pub(super) fn lose_control(&mut self, control: ControlId) {
        // The stay may be gone already: then there is nothing to lose.
        if let Err(error) = self.command(Command::ControlLost { control }) {
            tracing::debug!(%error, control = control.0, "lost a control connection");
        }
    }
}
