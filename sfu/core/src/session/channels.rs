//! Data channels of one participant. Two labels have a meaning: `_reliable` (ordered) and `_lossy`
//! (unordered, no retransmission, RFC 8832). The client sends on its own and receives on ours. Owns
//! the rule for slow readers. A lossy message is dropped when much of its kind waits already
//! (`data_lossy_buffer_bytes`), so that what comes is new. Reliable ones wait in the transport and then
//! in a backlog, both up to a cap (`data_buffer_bytes`), past which they are dropped too: a sender that is
//! faster than a reader must not cost it its stay. A reader that takes nothing at all for long has to
//! reconnect.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use str0m::channel::{ChannelConfig, ChannelId, Reliability};

use super::transport::Transport;
use crate::Limits;

const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";

/// How long a full backlog may stand still.
const STALLED: Duration = Duration::from_secs(10);

/// The channels of one participant.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    /// Ours are offered to the client; else it gets no data.
    are_offered: bool,
    /// Opened by the client: what arrives on them, and whether reliably.
    ingress: Vec<(ChannelId, Option<bool>)>,
    reliable: Option<ChannelId>,
    lossy: Option<ChannelId>,
    reliable_open: bool,
    lossy_open: bool,
    backlog: VecDeque<Vec<u8>>,
    backlog_bytes: usize,
    /// When something last left the backlog, or came to an empty one.
    moved_at: Option<Instant>,
}

/// What became of a message to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// Too much waits already, or it is lossy and the channel not open.
    Dropped,
    /// The reader has stopped to take reliable messages.
    Stalled,
}

impl Channels {
    /// None yet.
    pub(super) fn new(are_offered: bool) -> Self {
        Self {
            are_offered,
            ..Self::default()
        }
    }

    /// Adds our two channels to the offer that is being made.
    pub(super) fn declare(&mut self, api: &mut str0m::change::SdpApi<'_>) {
        if self.reliable.is_some() {
            return;
        }
        self.reliable = Some(api.add_channel_with_config(ChannelConfig {
            label: RELIABLE.to_owned(),
            ..ChannelConfig::default()
        }));
        self.lossy = Some(api.add_channel_with_config(ChannelConfig {
            label: LOSSY.to_owned(),
            ordered: false,
            reliability: Reliability::MaxRetransmits { retransmits: 0 },
            ..ChannelConfig::default()
        }));
    }

    /// A channel is open; false when the client has opened more than it may.
    pub(crate) fn on_open(&mut self, id: ChannelId, label: &str, ours: bool, cap: usize) -> bool {
        if ours {
            self.reliable_open |= self.reliable == Some(id);
            self.lossy_open |= self.lossy == Some(id);
            return true;
        }
        if self.ingress.len() >= cap {
            return false;
        }
        let reliable = match label {
            RELIABLE => Some(true),
            LOSSY => Some(false),
            _ => None,
        };
        self.ingress.push((id, reliable));
        true
    }

    pub(crate) fn on_closed(&mut self, id: ChannelId, ours: bool) {
        if ours {
            self.reliable_open &= self.reliable != Some(id);
            self.lossy_open &= self.lossy != Some(id);
        } else {
            self.ingress.retain(|(open, _)| *open != id);
        }
    }

    /// Whether a message came on a channel of the client that has a meaning, and reliably.
    pub(crate) fn reliability_of(&self, id: ChannelId, ours: bool) -> Option<bool> {
        if ours {
            return None;
        }
        self.ingress
            .iter()
            .find(|(open, _)| *open == id)
            .and_then(|(_, reliable)| *reliable)
    }

    /// Sends to the client.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        transport: &mut Transport,
        reliable: bool,
        message: &[u8],
        limits: &Limits,
    ) -> Sent {
        if !self.are_offered {
            return Sent::Dropped;
        }
        if !reliable {
            let id = self.lossy.filter(|id| {
                self.lossy_open && transport.unacknowledged(*id) <= limits.data_lossy_buffer_bytes
            });
            let sent = id.is_some_and(|id| write(transport, id, message));
            return if sent { Sent::Yes } else { Sent::Dropped };
        }
        if self.backlog.is_empty()
            && self.reliable_open
            && self
                .reliable
                .is_some_and(|id| write(transport, id, message))
        {
            return Sent::Yes;
        }
        if self.backlog_bytes + message.len() > limits.data_buffer_bytes {
            let stands = self.moved_at.is_some_and(|at| now >= at + STALLED);
            return if self.reliable_open && stands {
                Sent::Stalled
            } else {
                Sent::Dropped
            };
        }
        if self.backlog.is_empty() {
            self.moved_at = Some(now);
        }
        self.backlog_bytes += message.len();
        self.backlog.push_back(message.to_vec());
        Sent::Yes
    }

    pub(crate) fn has_backlog(&self) -> bool {
        self.reliable_open && !self.backlog.is_empty()
    }

    /// Bytes that wait for the client, those it has not acknowledged among them.
    pub(crate) fn waiting(&self, transport: &mut Transport) -> usize {
        let ids = [self.reliable, self.lossy].into_iter().flatten();
        let sent: usize = ids.map(|id| transport.unacknowledged(id)).sum();
        sent + self.backlog_bytes
    }

    /// Sends on what waits, as far as the buffer takes it.
    pub(crate) fn flush(&mut self, now: Instant, transport: &mut Transport) {
        let Some(id) = self.reliable.filter(|_| self.reliable_open) else {
            return;
        };
        while let Some(message) = self.backlog.front() {
            if !write(transport, id, message) {
                return;
            }
            self.backlog_bytes -= message.len();
            self.backlog.pop_front();
            self.moved_at = Some(now);
        }
    }
}

fn write(transport: &mut Transport, id: ChannelId, message: &[u8]) -> bool {
    transport
        .engine()
        .channel(id)
        .is_some_and(|mut channel| matches!(channel.write(true, message), Ok(true)))
}
