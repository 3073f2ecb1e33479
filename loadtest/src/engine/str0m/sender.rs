//! The data messages of a publisher, at their pace.
//!
//! Owns the two channels and when each message leaves. Must not read any: others' come to the subscriber.

use std::time::Instant;

use str0m::Rtc;
use str0m::change::SdpApi;
use str0m::channel::{ChannelConfig, ChannelId, Reliability};

use crate::engine::messages::{MessageStamp, Messages};
use crate::engine::received::Received;
use crate::engine::unix_ns;
use crate::measure::MessageKind;

/// See the module.
pub(super) struct MessageSender {
    messages: Messages,
    lanes: Vec<Lane>,
}

/// One kind.
struct Lane {
    kind: MessageKind,
    id: ChannelId,
    is_open: bool,
    sent: u64,
    due: Instant,
}

impl MessageSender {
    /// Adds the channels to the offer that is being made.
    pub(super) fn declare(api: &mut SdpApi<'_>, messages: Messages, now: Instant) -> Self {
        let mut lanes = Vec::new();
        for kind in MessageKind::ALL {
            // SDKs open both, whatever they send.
            let config = match kind {
                MessageKind::Reliable => ChannelConfig {
                    label: "_reliable".to_owned(),
                    ..ChannelConfig::default()
                },
                MessageKind::Lossy => ChannelConfig {
                    label: "_lossy".to_owned(),
                    ordered: false,
                    reliability: Reliability::MaxRetransmits { retransmits: 0 },
                    ..ChannelConfig::default()
                },
            };
            let id = api.add_channel_with_config(config);
            let is_wanted = match kind {
                MessageKind::Reliable => messages.reliable,
                MessageKind::Lossy => messages.lossy,
            };
            if is_wanted {
                lanes.push(Lane {
                    kind,
                    id,
                    is_open: false,
                    sent: 0,
                    due: now,
                });
            }
        }
        Self { messages, lanes }
    }

    /// A channel is open: its messages begin, spread over the interval by their sender.
    pub(super) fn on_open(&mut self, now: Instant, id: ChannelId) {
        let phase = f64::from(self.messages.sender.wrapping_mul(0x9E37_79B9)) / f64::from(u32::MAX);
        for lane in self.lanes.iter_mut().filter(|lane| lane.id == id) {
            lane.is_open = true;
            lane.due = now + self.messages.interval.mul_f64(phase);
        }
    }

    /// When the next message leaves.
    pub(super) fn due(&self) -> Option<Instant> {
        let open = self.lanes.iter().filter(|lane| lane.is_open);
        open.map(|lane| lane.due).min()
    }

    /// Sends what is due; whether anything was.
    pub(super) fn send(&mut self, now: Instant, rtc: &mut Rtc, received: &mut Received) -> bool {
        let mut is_sent = false;
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_open) {
            if lane.due > now {
                continue;
            }
            received.on_late(now - lane.due);
            while lane.due <= now {
                lane.due += self.messages.interval;
                let stamp = MessageStamp {
                    sender: self.messages.sender,
                    kind: lane.kind,
                    number: lane.sent + 1,
                    sent_ns: unix_ns(),
                };
                let packet = stamp.packet(self.messages.size);
                let channel = rtc.channel(lane.id);
                if channel
                    .is_some_and(|mut channel| matches!(channel.write(true, &packet), Ok(true)))
                {
                    lane.sent += 1;
                    is_sent = true;
                    received.on_sent(self.messages.size);
                } else {
                    received.on_unsent(lane.kind);
                }
            }
        }
        is_sent
    }
}
