//! The sums of a subscription, and of many.

/// Encodings of a track that are told apart: what browsers send at most.
pub(super) const ENCODINGS: usize = 3;

/// What a subscriber, or several, got of a track in the measured window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackMeasure {
    /// Whether stamps were found; without, the figures come from RTP numbers and descriptors.
    pub stamped: bool,
    /// Length of the window in nanoseconds, summed over subscriptions.
    pub window_ns: u64,
    /// RTP numbers from the first to the last that came, without padding.
    pub packets_expected: u64,
    /// Media packets that came, each once, also if reordered or sent again.
    pub packets_received: u64,
    /// Expected and not received.
    pub packets_lost: u64,
    /// Received after one with a higher number: reordered, or sent again.
    pub packets_late: u64,
    /// Received once more.
    pub packets_duplicated: u64,
    /// Received without payload.
    pub packets_padding: u64,
    /// Packets sent by the publisher between the first and the last that came of each stretch of an
    /// encoding, by the stamps.
    pub packets_published: u64,
    /// Of these, how many did not come: lost anywhere on the way, or left out on purpose.
    pub packets_unseen: u64,
    /// Payload bytes of what was received, duplicates left out.
    pub bytes: u64,
    /// Packets received of each encoding, lowest first, by the stamps.
    pub received_by_encoding: [u64; ENCODINGS],
    /// Frames that came or are missing; layers left out on purpose are neither. 0 for audio.
    pub frames_expected: u64,
    /// Of which all packets came.
    pub frames_complete: u64,
    /// Of these, those that were whole only after a newer one was: reordered, or sent again.
    pub frames_late: u64,
    /// Of these, those of which all packets came once more.
    pub frames_duplicated: u64,
    /// Which could be decoded: complete, and so was all they rest on.
    pub frames_decodable: u64,
    /// Keyframes that came, whole or not.
    pub keyframes: u64,
    /// Freezes as W3C webrtc-stats counts them.
    pub freezes: u64,
    /// Their length in nanoseconds.
    pub freeze_ns: u64,
    /// When the first media packet came, in nanoseconds of the run's clock, also before the window.
    /// The earliest of those merged.
    pub first_packet_ns: Option<u64>,
    /// When the last one came, likewise. The latest of those merged.
    pub last_packet_ns: Option<u64>,
    /// When the first decodable frame was whole, likewise; for audio the first packet.
    pub first_frame_ns: Option<u64>,
    /// The longest time in nanoseconds without a media packet, after the first one. The largest of those merged.
    pub longest_gap_ns: u64,
    /// Interarrival jitter (RFC 3550 6.4.1) in nanoseconds, the mean over the window. The largest of
    /// those merged.
    pub jitter_ns: u64,
    /// Times in nanoseconds from a wish for another layer to its first decodable frame.
    pub switches: Vec<u64>,
    /// Wishes for another layer that stood unfulfilled at the end.
    pub switches_open: u64,
}

impl TrackMeasure {
    /// Adds what another subscriber got.
    pub fn merge(&mut self, other: &Self) {
        self.stamped |= other.stamped;
        for (sum, value) in [
            (&mut self.window_ns, other.window_ns),
            (&mut self.packets_expected, other.packets_expected),
            (&mut self.packets_received, other.packets_received),
            (&mut self.packets_lost, other.packets_lost),
            (&mut self.packets_late, other.packets_late),
            (&mut self.packets_duplicated, other.packets_duplicated),
            (&mut self.packets_padding, other.packets_padding),
            (&mut self.packets_published, other.packets_published),
            (&mut self.packets_unseen, other.packets_unseen),
            (&mut self.bytes, other.bytes),
            (&mut self.frames_expected, other.frames_expected),
            (&mut self.frames_complete, other.frames_complete),
            (&mut self.frames_late, other.frames_late),
            (&mut self.frames_duplicated, other.frames_duplicated),
            (&mut self.frames_decodable, other.frames_decodable),
            (&mut self.keyframes, other.keyframes),
            (&mut self.freezes, other.freezes),
            (&mut self.freeze_ns, other.freeze_ns),
            (&mut self.switches_open, other.switches_open),
        ] {
            *sum += value;
        }
        for (sum, value) in self
            .received_by_encoding
            .iter_mut()
            .zip(other.received_by_encoding)
        {
            *sum += value;
        }
        self.first_packet_ns = earliest(self.first_packet_ns, other.first_packet_ns);
        self.last_packet_ns = self.last_packet_ns.max(other.last_packet_ns);
        self.first_frame_ns = earliest(self.first_frame_ns, other.first_frame_ns);
        self.jitter_ns = self.jitter_ns.max(other.jitter_ns);
        self.longest_gap_ns = self.longest_gap_ns.max(other.longest_gap_ns);
        self.switches.extend_from_slice(&other.switches);
    }

    /// Payload bits per second of one subscription on average; 0 for an empty window.
    #[must_use]
    pub fn bitrate(&self) -> u64 {
        let bits = u128::from(self.bytes) * 8 * 1_000_000_000;
        bits.checked_div(u128::from(self.window_ns)).unwrap_or(0) as u64
    }

    /// Decodable frames among those expected; none if none was expected.
    #[must_use]
    pub fn decodable_ratio(&self) -> Option<f64> {
        (self.frames_expected > 0)
            .then(|| self.frames_decodable as f64 / self.frames_expected as f64)
    }
}

fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_and_times_keep_the_extreme() {
        let mut total = TrackMeasure::default();
        let one = TrackMeasure {
            stamped: true,
            window_ns: 1_000_000_000,
            packets_received: 10,
            bytes: 1000,
            frames_expected: 4,
            frames_decodable: 3,
            first_frame_ns: Some(7),
            jitter_ns: 5,
            switches: vec![1],
            ..TrackMeasure::default()
        };
        assert_eq!((total.bitrate(), total.decodable_ratio()), (0, None));
        total.merge(&one);
        assert_eq!(total, one);
        total.merge(&TrackMeasure {
            first_frame_ns: Some(3),
            jitter_ns: 2,
            ..one.clone()
        });
        assert_eq!(
            (
                total.packets_received,
                total.first_frame_ns,
                total.jitter_ns
            ),
            (20, Some(3), 5)
        );
        assert_eq!(
            (total.bitrate(), total.decodable_ratio()),
            (8000, Some(0.75))
        );
        assert_eq!(total.switches, [1, 1]);
    }
}
