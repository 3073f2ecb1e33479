//! The fate of each packet of a track for one subscriber: forwarded, left out, or where it
//! switches.
//!
//! Must not choose the target: the selector and the allocator do.

use super::{
    numbering::Unplaced,
    rewriter::Rewriter,
    targets::{Passage, TargetFilter},
    temporal::TemporalFilter,
};
use crate::{
    DropReason,
    ahead::fetch,
    rtp::{Packet, Rewritten},
    track::{Layer, SenderClock},
};

/// Forwards one track to one subscriber.
#[derive(Debug, Clone)]
pub(crate) struct Forwarder {
    target: Option<Layer>,
    rewriter: Rewriter,
    filter: Filter,
    /// The layer asked for of the encoding under way.
    limit: Layer,
    /// The newest sequence number of each encoding, taken or not.
    newest: [Option<u64>; Self::ENCODINGS],
    /// Packets in a row that were too old to number.
    too_old: u8,
    is_video: bool,
}

/// Which frames of an encoding go through.
#[derive(Debug, Clone)]
enum Filter {
    /// By temporal layer.
    Temporal(TemporalFilter),
    /// By decode target.
    Targets(Box<TargetFilter>),
}

/// What happens to a packet.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// It is sent, so changed.
    Forward(Rewritten),
    /// It is left out, but its number was kept free: a packet without media goes out under it.
    Fill(Rewritten),
    /// It is not sent.
    Drop(DropReason),
}

impl Forwarder {
    /// So many packets in a row can't be late: the stream was renumbered.
    const RENUMBERED: u8 = 50;

    /// Nor can one packet so far back be late.
    const REORDERED: u64 = 1_000;

    /// Of how many encodings the newest packet is known; of more a late one is not told. Two codecs of three.
    const ENCODINGS: usize = 6;

    /// A paused forwarder. Of an SRTP stream the receiver guesses the rollover counter 0, so
    /// `first_sequence` is to be below 32,768.
    pub(crate) fn new(first_sequence: u16, first_timestamp: u32) -> Self {
        Self {
            target: None,
            rewriter: Rewriter::new(first_sequence, first_timestamp),
            filter: Filter::Temporal(TemporalFilter::new(Layer::ALL_TEMPORAL)),
            limit: Layer::whole(0),
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

    /// Packets that were let through will not be sent: nothing more is of use before a keyframe.
    pub(crate) fn cut(&mut self) {
        self.rewriter.end();
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
        let begins = is_newest && packet.is_keyframe && !packet.is_cut_short();
        match (self.is_video, begins) {
            (true, false) => Decision::Drop(DropReason::AwaitingKeyframe),
            (false, _) if !is_newest => Decision::Drop(DropReason::Stale),
            _ => Decision::Forward(self.begin(encoding, packet, target, clocks)),
        }
    }

    /// Whether nothing was ever forwarded: what came before may still begin it.
    pub(crate) fn is_fresh(&self) -> bool {
        self.rewriter.is_fresh()
    }

    /// Packets of an encoding that were offered before are offered again, in order.
    pub(crate) fn rewind(&mut self, encoding: u8) {
        if let Some(newest) = self.newest.get_mut(usize::from(encoding)) {
            *newest = None;
        }
    }

    /// Asks for what a next packet will touch.
    pub(crate) fn fetch(&self) {
        fetch(&self.target);
        fetch(&self.filter);
        fetch(&self.newest);
        fetch(&self.is_video);
        self.rewriter.fetch();
    }

    /// The same of what can only be found once that is there.
    pub(crate) fn fetch_deep(&self) {
        match &self.filter {
            Filter::Temporal(filter) => filter.fetch(),
            Filter::Targets(filter) => fetch(&**filter),
        }
        self.rewriter.fetch_deep();
    }

    /// What is to be forwarded.
    pub(crate) fn target(&self) -> Option<Layer> {
        self.target
    }

    /// What is forwarded now; `None` when nothing is, because it is paused or waits for the first
    /// keyframe.
    pub(crate) fn current(&self) -> Option<Layer> {
        let (encoding, _) = self.rewriter.segment()?;
        let (spatial, temporal) = match &self.filter {
            Filter::Temporal(filter) => (Layer::ALL_SPATIAL, filter.current()),
            Filter::Targets(filter) => filter.current(),
        };
        Some(Layer {
            encoding,
            spatial,
            temporal,
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
        let is_stuck = matches!(&self.filter, Filter::Targets(filter) if filter.is_stuck());
        (!is_current || is_stuck).then_some(target.encoding)
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
        self.limit = target;
        self.filter = Filter::of(packet, target);
        // The first frame is in by definition; the filter is to know it.
        let passage = self.filter.admits(packet, target).ok();
        let mut rewritten = self.rewriter.begin(encoding, packet, clocks);
        if let Some(passage) = passage {
            passage.apply(&mut rewritten);
        }
        rewritten
    }

    fn forward_current(&mut self, encoding: u8, packet: &Packet, target: Layer) -> Decision {
        // On the way to another encoding this one stays as it is.
        if target.encoding == encoding {
            self.limit = target;
        }
        let mut passage = Passage::of(packet);
        if self.is_video {
            if packet.is_keyframe && self.filter.is_outgrown(packet) {
                self.filter = Filter::of(packet, self.limit);
            }
            match self.filter.admits(packet, self.limit) {
                // The rest of its frame went: what can't be sent of it is to be missed.
                Ok(_) if packet.is_cut_short() => return Decision::Drop(DropReason::SpatialLayer),
                Ok(passes) => passage = passes,
                // The rest of its frame may have gone; it is to be missed, too.
                Err(_) if self.filter.is_forgotten(packet) => {
                    return Decision::Drop(DropReason::Stale);
                }
                Err(reason) => {
                    return match self.rewriter.drop(packet) {
                        Some(rewritten) => Decision::Fill(rewritten),
                        None => Decision::Drop(reason),
                    };
                }
            }
        }
        match self.rewriter.forward(packet) {
            Ok(mut rewritten) => {
                self.too_old = 0;
                passage.apply(&mut rewritten);
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

impl Filter {
    /// For an encoding that begins with this packet.
    fn of(packet: &Packet, target: Layer) -> Self {
        if packet.frame.is_some() {
            Self::Targets(Box::new(TargetFilter::new(packet)))
        } else {
            Self::Temporal(TemporalFilter::new(target.temporal))
        }
    }

    /// Whether the stream began to tell of decode targets, or ceased to.
    fn is_outgrown(&self, packet: &Packet) -> bool {
        matches!(self, Self::Targets(_)) != packet.frame.is_some()
    }

    /// Whether a packet is so late that nobody knows what became of others of its frame.
    fn is_forgotten(&self, packet: &Packet) -> bool {
        match self {
            Self::Temporal(filter) => filter.is_forgotten(packet),
            Self::Targets(filter) => filter.is_forgotten(packet),
        }
    }

    /// How a packet passes, or why it does not.
    fn admits(&mut self, packet: &Packet, limit: Layer) -> Result<Passage, DropReason> {
        let (spatial, temporal) = match packet.thinned {
            None => (limit.spatial, limit.temporal),
            Some(_) => packet.bounded((limit.spatial, limit.temporal)),
        };
        match (self, &packet.frame) {
            (Self::Temporal(filter), None) => filter
                .admits(packet, temporal)
                .then(|| Passage::of(packet))
                .ok_or(DropReason::TemporalLayer),
            (Self::Targets(filter), Some(frame)) => {
                let passage = filter.admits(packet, frame, (spatial, temporal));
                passage.ok_or_else(|| {
                    let (_, temporal) = filter.current();
                    if frame.temporal > temporal {
                        DropReason::TemporalLayer
                    } else {
                        DropReason::SpatialLayer
                    }
                })
            }
            // What can't be told passes, if it can.
            _ if packet.is_cut_short() => Err(DropReason::SpatialLayer),
            _ => Ok(Passage::of(packet)),
        }
    }
}

#[cfg(test)]
mod tests;
