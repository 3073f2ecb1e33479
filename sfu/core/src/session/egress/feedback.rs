//! What a client says of what we send it (RFC 3550, RFC 4585, RFC 5104, RFC 8888): turned into requests
//! that the shard serves, and into what the estimate is made of. Must not send.

use std::time::{Duration, Instant};

use plenum_proto::v1::FeedbackKind;

use super::{Egress, SlotIndex};
use crate::{
    ClockAnchor,
    key::SubscriptionKey,
    rtcp::{self, NtpTime, Part, ReportBlock},
    session::StreamReport,
};

/// What a client wants, or says of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Feedback {
    /// Its decoder needs a keyframe.
    KeyframeRequest(SubscriptionKey),
    /// A packet did not arrive.
    Missing {
        slot: SlotIndex,
        /// As it stood in the header.
        sequence: u16,
    },
    /// How a stream fares, or all of them.
    Report(StreamReport),
}

/// Nobody this transport knows wrote that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadFeedback;

/// Missing packets of one datagram that are looked at: what a client may ask for at once.
const MISSING_MAX: usize = 512;

impl Feedback {
    /// What of a datagram is served first, whatever order the client tells it in: what is missing stream by
    /// stream, for where less is sent again than is missing, a whole picture is worth more than parts of many.
    fn turn(&self) -> (usize, SubscriptionKey, SlotIndex, u16) {
        let (any, slot) = (SubscriptionKey::default(), SlotIndex(0));
        match *self {
            Self::Report(_) => (0, any, slot, 0),
            Self::KeyframeRequest(subscription) => (1, subscription, slot, 0),
            Self::Missing { slot, sequence } => (2, any, slot, sequence),
        }
    }
}

impl Egress {
    /// What the client reports on packets with.
    pub(crate) fn feedback(&self) -> FeedbackKind {
        self.lane.congestion.feedback()
    }

    /// Takes a protected compound packet, which is overwritten. What it wants is added to `told`.
    pub(crate) fn handle_rtcp(
        &mut self,
        now: Instant,
        anchor: &ClockAnchor,
        bytes: &mut [u8],
        told: &mut Vec<Feedback>,
    ) -> Result<(), BadFeedback> {
        let plain = self.lane.open(bytes).ok_or(BadFeedback)?;
        self.take_reports(now, anchor, plain, told);
        Ok(())
    }

    /// Takes a compound packet that is authentic.
    pub(super) fn take_reports(
        &mut self,
        now: Instant,
        anchor: &ClockAnchor,
        plain: &[u8],
        told: &mut Vec<Feedback>,
    ) {
        let mut missing = 0;
        for part in rtcp::Parts::new(plain) {
            // What was read before a malformed part holds.
            let Ok(part) = part else { break };
            match part {
                Part::SenderReport(report) => {
                    self.on_blocks(now, anchor, report.blocks.iter(), told)
                }
                Part::ReceiverReport(report) => {
                    self.on_blocks(now, anchor, report.blocks.iter(), told);
                }
                Part::Nack(nack) => {
                    // Of a stream that repairs nothing is sent again: its numbers are none of media.
                    let slot = self.slot_of(nack.media);
                    let Some(slot) = slot.filter(|slot| self.carries(*slot, nack.media)) else {
                        continue;
                    };
                    let left = MISSING_MAX.saturating_sub(missing);
                    for sequence in nack.sequences().take(left) {
                        missing += 1;
                        told.push(Feedback::Missing { slot, sequence });
                    }
                }
                Part::Pli(pli) => self.on_keyframe_request(pli.media, told),
                Part::Fir(fir) => {
                    for entry in fir.entries() {
                        self.on_keyframe_request(entry.ssrc, told);
                    }
                }
                Part::Remb(remb) => {
                    self.lane.congestion.on_remb(now, remb.bitrate);
                    self.lane.follow(now);
                }
                Part::Twcc(twcc) => {
                    self.lane.congestion.on_transport_feedback(now, &twcc);
                    told.extend(self.lane.on_told(now));
                }
                Part::Ccfb(ccfb) => {
                    self.lane.congestion.on_stream_feedback(now, ccfb);
                    told.extend(self.lane.on_told(now));
                }
                Part::Sdes(_) | Part::Bye(_) | Part::ExtendedReport(_) => {}
            }
        }
        told.sort_unstable_by_key(Feedback::turn);
    }

    /// Whether the media of a section goes out under this name.
    fn carries(&self, slot: SlotIndex, ssrc: u32) -> bool {
        let stream = self.slots.get(slot.0).and_then(|slot| slot.stream.as_ref());
        stream.is_some_and(|stream| stream.ssrc == ssrc)
    }

    fn on_blocks(
        &mut self,
        now: Instant,
        anchor: &ClockAnchor,
        blocks: impl Iterator<Item = ReportBlock>,
        told: &mut Vec<Feedback>,
    ) {
        let clock = NtpTime::from_unix(anchor.unix(now)).compact();
        // Clients name their streams in any order.
        let (mut all, mut sound, mut shortest) = ((0_u32, 0_u32), (0_u32, 0_u32), None::<Duration>);
        let add = |sum: &mut (u32, u32), (expected, lost): (u32, u32)| {
            *sum = (sum.0.saturating_add(expected), sum.1.saturating_add(lost));
        };
        let told_before = told.len();
        for block in blocks {
            let found = self.known.binary_search_by_key(&block.ssrc, |k| k.ssrc);
            let Some(known) = found.ok().and_then(|index| self.known.get_mut(index)) else {
                continue;
            };
            let rtt = rtcp::rtt(clock, block.last_sr, block.delay);
            shortest = shortest.into_iter().chain(rtt).min();
            // Clients go on telling of streams that rest, which may be many.
            let Some(told_since) = known.take(&block) else {
                continue;
            };
            let slot = known.slot;
            let Some(stream) = self.stream_mut(slot) else {
                continue;
            };
            stream.note_seen();
            let rate = u64::from(stream.rate().max(1));
            let jitter = Duration::from_micros(u64::from(block.jitter) * 1_000_000 / rate);
            add(&mut all, told_since);
            if self.slots.get(slot.0).is_some_and(|slot| !slot.is_video) {
                add(&mut sound, told_since);
            }
            let loss = f32::from(block.fraction_lost) / 256.0;
            told.push(Feedback::Report(StreamReport {
                packets: told_since.0,
                // Of what was sent again in time these blocks do not tell.
                loss: (!self.lane.congestion.tells_of_all()).then_some(loss),
                rtt,
                jitter: Some(jitter),
            }));
        }
        if told.len() == told_before && shortest.is_some() {
            told.push(Feedback::Report(StreamReport {
                packets: 0,
                loss: None,
                rtt: shortest,
                jitter: None,
            }));
        }
        self.lane.rtt = shortest.or(self.lane.rtt);
        self.lane.congestion.on_report(now, all.0, all.1);
        // Of pictures a client may count as received what was sent again. Feedback on packets tells more, and sooner.
        if self.feedback() == FeedbackKind::FeedbackUnknown {
            self.lane.on_losses(now, sound.0, sound.1);
        }
    }

    fn on_keyframe_request(&self, ssrc: u32, told: &mut Vec<Feedback>) {
        let tenant = self.slot_of(ssrc).and_then(|slot| self.tenant(slot));
        told.extend(tenant.map(Feedback::KeyframeRequest));
    }
}
