//! The fate of each packet of a track for one subscriber: forwarded, left out, or where it
//! switches.
//!
//! Must not choose the target: the selector and the allocator do.

use super::{numbering::Unplaced, rewriter::Rewriter, temporal::TemporalFilter};
use crate::{
    DropReason,
    rtp::{Packet, Rewritten},
    track::{Layer, SenderClock},
};

/// Forwards one track to one subscriber.
#[derive(Debug, Clone)]
pub(crate) struct Forwarder {
    target: Option<Layer>,
    rewriter: Rewriter,
    temporal: TemporalFilter,
    /// The newest sequence number of each encoding, taken or not.
    newest: [Option<u64>; Self::ENCODINGS],
    /// Packets in a row that were too old to number.
    too_old: u8,
    is_video: bool,
}

/// What happens to a packet.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// It is sent, so changed.
    Forward(Rewritten),
    /// It is not sent.
    Drop(DropReason),
}

impl Forwarder {
    /// So many packets in a row can't be late: the stream was renumbered.
    const RENUMBERED: u8 = 50;

    /// Nor can one packet so far back be late.
    const REORDERED: u64 = 1_000;

    /// Of how many encodings the newest packet is known; of more a late one is not told.
    const ENCODINGS: usize = 4;

    /// A paused forwarder. Of an SRTP stream the receiver guesses the rollover counter 0, so
    /// `first_sequence` is to be below 32,768.
    pub(crate) fn new(first_sequence: u16, first_timestamp: u32) -> Self {
        Self {
            target: None,
            rewriter: Rewriter::new(first_sequence, first_timestamp),
            temporal: TemporalFilter::new(Layer::ALL_TEMPORAL),
            newest: [None; Self::ENCODINGS],
            too_old: 0,
            is_video: true,
        }
    }

    /// Sets what is to be forwarded; `None` pauses. The current encoding goes on until a keyframe
    /// of the target's comes.
    pub(crate) fn retarget(&mut self, target: Option<Layer>) {
        if target.is_none() {
            self.rewriter.end();
        }
        self.target = target;
    }

    /// The RTP stream of an encoding begins anew with other numbers: what is forwarded of it goes
    /// on from its next packet (audio) or keyframe (video).
    pub(crate) fn restart(&mut self, encoding: u8) {
        if self
            .rewriter
            .segment()
            .is_some_and(|(current, _)| current == encoding)
        {
            self.rewriter.end();
        }
        if let Some(newest) = self.newest.get_mut(usize::from(encoding)) {
            *newest = None;
        }
        self.too_old = 0;
    }

    /// Decides on a packet of an encoding. `clocks` are the encodings' last sender reports, by
    /// index.
    pub(crate) fn decide(
        &mut self,
        encoding: u8,
        packet: &Packet,
        clocks: &[Option<SenderClock>],
    ) -> Decision {
        let is_newest = self.is_newest(encoding, packet.sequence);
        let Some(target) = self.target else {
            return Decision::Drop(DropReason::Paused);
        };
        self.is_video = packet.codec.is_video();
        if let Some((current, codec)) = self.rewriter.segment()
            && current == encoding
        {
            // Audio goes on from Opus to RED and back: same clock, and no keyframe needed.
            let goes_on = codec == packet.codec
                || !self.is_video && codec.clock_rate() == packet.codec.clock_rate();
            if goes_on {
                return self.forward_current(encoding, packet, target);
            }
            if !is_newest {
                return Decision::Drop(DropReason::Stale);
            }
            // Another codec in the same stream starts as another encoding does.
            self.rewriter.end();
        }
        if target.encoding != encoding {
            return Decision::Drop(DropReason::NotWanted);
        }
        // A packet behind others that were not taken, or that were taken before a pause, is no
        // place to start.
        match (self.is_video, is_newest && packet.is_keyframe) {
            (true, false) => Decision::Drop(DropReason::AwaitingKeyframe),
            (false, _) if !is_newest => Decision::Drop(DropReason::Stale),
            _ => Decision::Forward(self.begin(encoding, packet, target, clocks)),
        }
    }

    /// What is to be forwarded.
    pub(crate) fn target(&self) -> Option<Layer> {
        self.target
    }

    /// What is forwarded now; `None` when nothing is, because it is paused or waits for the first
    /// keyframe.
    pub(crate) fn current(&self) -> Option<Layer> {
        let (encoding, _) = self.rewriter.segment()?;
        Some(Layer {
            encoding,
            temporal: self.temporal.current(),
        })
    }

    /// The encoding whose keyframe is awaited. Meaningful for video tracks only: before the first
    /// packet an audio track is not told from one.
    pub(crate) fn wants_keyframe(&self) -> Option<u8> {
        let target = self.target.filter(|_| self.is_video)?;
        let is_current = self
            .rewriter
            .segment()
            .is_some_and(|(current, _)| current == target.encoding);
        (!is_current).then_some(target.encoding)
    }

    /// Whether a packet is ahead of all before it of its encoding.
    fn is_newest(&mut self, encoding: u8, sequence: u64) -> bool {
        let Some(newest) = self.newest.get_mut(usize::from(encoding)) else {
            return true;
        };
        let behind = newest.and_then(|newest| newest.checked_sub(sequence));
        let is_newest = behind.is_none_or(|behind| behind >= Self::REORDERED);
        if is_newest {
            *newest = Some(sequence);
        }
        is_newest
    }

    fn begin(
        &mut self,
        encoding: u8,
        packet: &Packet,
        target: Layer,
        clocks: &[Option<SenderClock>],
    ) -> Rewritten {
        self.too_old = 0;
        self.temporal = TemporalFilter::new(target.temporal);
        // The first frame is in by definition; the filter is to know it.
        self.temporal.admits(packet, target.temporal);
        self.rewriter.begin(encoding, packet, clocks)
    }

    fn forward_current(&mut self, encoding: u8, packet: &Packet, target: Layer) -> Decision {
        // On the way to another encoding this one stays as it is.
        let limit = if target.encoding == encoding {
            target.temporal
        } else {
            self.temporal.limit()
        };
        if self.is_video && !self.temporal.admits(packet, limit) {
            self.rewriter.drop(packet);
            return Decision::Drop(DropReason::TemporalLayer);
        }
        match self.rewriter.forward(packet) {
            Ok(rewritten) => {
                self.too_old = 0;
                Decision::Forward(rewritten)
            }
            Err(Unplaced::Duplicate) => Decision::Drop(DropReason::Stale),
            Err(Unplaced::TooOld) => {
                self.too_old = self.too_old.saturating_add(1);
                if self.too_old >= Self::RENUMBERED {
                    self.restart(encoding);
                }
                Decision::Drop(DropReason::Stale)
            }
        }
    }
}

#[cfg(test)]
mod tests;
