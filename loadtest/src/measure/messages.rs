//! What a participant got of the data messages of others: how many, in which order, how late.
//!
//! Owns the accounting of one receiver. Each sender numbers its messages of each kind; what came of them in the
//! measured window is held against the numbers from the first to the last that came.

use std::collections::HashMap;

use hdrhistogram::Histogram;

/// Numbers back from the highest in which a message is known to have come before.
const WINDOW: u64 = u128::BITS as u64;

/// How a message was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Retransmitted, in order.
    Reliable,
    /// Sent once, in any order.
    Lossy,
}

impl MessageKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Reliable, Self::Lossy];
}

/// What one or several receivers got of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageMeasure {
    /// Pairs of a sender and a receiver between which anything came.
    pub streams: u64,
    /// Numbers from the first to the last that came.
    pub expected: u64,
    /// Messages that came, each once.
    pub received: u64,
    /// Of these, those that came after one with a higher number.
    pub disordered: u64,
    /// Messages that came once more.
    pub duplicated: u64,
}

impl MessageMeasure {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.streams += other.streams;
        self.expected += other.expected;
        self.received += other.received;
        self.disordered += other.disordered;
        self.duplicated += other.duplicated;
    }
}

/// The messages of one sender to one receiver.
#[derive(Debug)]
struct Stream {
    first: u64,
    highest: u64,
    /// Which of the last numbers came; the lowest bit is the highest number.
    came: u128,
    received: u64,
    disordered: u64,
    duplicated: u64,
}

impl Stream {
    fn new(number: u64) -> Self {
        Self {
            first: number,
            highest: number,
            came: 1,
            received: 1,
            disordered: 0,
            duplicated: 0,
        }
    }

    fn on_message(&mut self, number: u64) {
        if number > self.highest {
            let ahead = number - self.highest;
            self.came = if ahead < WINDOW {
                self.came << ahead
            } else {
                0
            };
            self.came |= 1;
            self.highest = number;
            self.received += 1;
            return;
        }
        let behind = self.highest - number;
        // Too old to know whether it came before: it counts as new, once.
        let bit = if behind < WINDOW { 1_u128 << behind } else { 0 };
        if self.came & bit != 0 {
            self.duplicated += 1;
            return;
        }
        self.came |= bit;
        self.first = self.first.min(number);
        self.received += 1;
        self.disordered += 1;
    }
}

/// What one receiver gets in the measured window.
#[derive(Debug, Default)]
pub struct MessageMeter {
    streams: HashMap<(u32, MessageKind), Stream>,
}

impl MessageMeter {
    /// A message of a sender came.
    pub fn on_message(&mut self, sender: u32, kind: MessageKind, number: u64) {
        self.streams
            .entry((sender, kind))
            .and_modify(|stream| stream.on_message(number))
            .or_insert_with(|| Stream::new(number));
    }

    /// What came of one kind.
    #[must_use]
    pub fn measure(&self, kind: MessageKind) -> MessageMeasure {
        let mut total = MessageMeasure::default();
        for (_, stream) in self.streams.iter().filter(|((_, of), _)| *of == kind) {
            total.merge(&MessageMeasure {
                streams: 1,
                expected: stream.highest - stream.first + 1,
                received: stream.received,
                disordered: stream.disordered,
                duplicated: stream.duplicated,
            });
        }
        total
    }
}

/// All receivers of one kind.
#[derive(Debug, Clone)]
pub struct MessageTotals {
    /// Sum of what they got.
    pub measure: MessageMeasure,
    /// From sending to reading, nanoseconds.
    pub latency: Histogram<u64>,
    /// Messages that senders could not send: what they had sent before was still waiting.
    pub unsent: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(numbers: &[u64]) -> MessageMeasure {
        let mut meter = MessageMeter::default();
        for number in numbers {
            meter.on_message(1, MessageKind::Lossy, *number);
        }
        assert_eq!(
            meter.measure(MessageKind::Reliable),
            MessageMeasure::default()
        );
        meter.measure(MessageKind::Lossy)
    }

    #[test]
    fn losses_order_and_repetitions_are_told_apart() {
        for (numbers, expected) in [
            // Numbers, and: expected, received, disordered, duplicated.
            (&[][..], [0, 0, 0, 0]),
            (&[7], [1, 1, 0, 0]),
            (&[7, 8, 9], [3, 3, 0, 0]),
            (&[7, 9, 8], [3, 3, 1, 0]),
            (&[7, 10], [4, 2, 0, 0]),
            (&[7, 7, 8, 7], [2, 2, 0, 2]),
            (&[7, 500, 6], [495, 3, 1, 0]),
        ] {
            let m = measured(numbers);
            let found = [m.expected, m.received, m.disordered, m.duplicated];
            assert_eq!(found, expected, "{numbers:?}");
        }
    }

    #[test]
    fn senders_are_apart() {
        let mut meter = MessageMeter::default();
        for (sender, number) in [(1, 5), (2, 900), (1, 6)] {
            meter.on_message(sender, MessageKind::Reliable, number);
        }
        let found = meter.measure(MessageKind::Reliable);
        assert_eq!((found.streams, found.expected, found.received), (2, 3, 3));
    }
}
