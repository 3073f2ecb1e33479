//! What publishers say they sent, from the numbers in stamps: of the packets between the first and
//! the last that came of an encoding, how many came. What is missing was lost anywhere on the way or
//! left out by the forwarding unit; RTP numbers tell the two apart.

use crate::media::Stamp;

/// One stretch of packets of the same encoding.
#[derive(Debug, Clone, Copy)]
struct Run {
    encoding: u8,
    first: u32,
    last: u32,
}

impl Run {
    fn spanned(&self) -> u64 {
        u64::from(self.last.wrapping_sub(self.first)) + 1
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    run: Option<Run>,
    previous: Option<Run>,
    spanned_before: u64,
    seen: u64,
}

impl Published {
    /// Takes the stamp of a packet that came for the first time. Only one that came in order can
    /// begin another encoding: a late one is from before.
    pub(super) fn on_packet(&mut self, stamp: &Stamp, in_order: bool) {
        let number = stamp.sequence;
        if let Some(run) = self
            .run
            .as_mut()
            .filter(|run| run.encoding == stamp.encoding)
        {
            if number.wrapping_sub(run.last) as i32 > 0 {
                run.last = number;
            } else if (number.wrapping_sub(run.first) as i32) < 0 {
                if self.spanned_before == 0 && !in_order {
                    // From before the count.
                    return;
                }
                run.first = number;
            }
            self.seen += 1;
        } else if in_order {
            let run = Run {
                encoding: stamp.encoding,
                first: number,
                last: number,
            };
            self.previous = self.run.replace(run);
            self.spanned_before += self.previous.map_or(0, |run| run.spanned());
            self.seen += 1;
        } else if self.previous.is_some_and(|run| {
            run.encoding == stamp.encoding
                && number.wrapping_sub(run.first) <= run.last.wrapping_sub(run.first)
        }) {
            self.seen += 1;
        }
    }

    /// Counts from the next packet.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
    }

    /// Packets that publishers sent in the stretches forwarded.
    pub(super) fn spanned(&self) -> u64 {
        self.spanned_before + self.run.map_or(0, |run| run.spanned())
    }

    /// Of these, how many did not come.
    pub(super) fn unseen(&self) -> u64 {
        self.spanned().saturating_sub(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_counted_within_an_encoding_and_not_across_a_switch() {
        // Encoding, number, in order.
        type Case<'a> = (&'a [(u8, u32, bool)], (u64, u64));
        let cases: [Case<'_>; 4] = [
            (&[(0, 5, true), (0, 6, true), (0, 7, true)], (3, 0)),
            (&[(0, 5, true), (0, 8, true), (0, 6, false)], (4, 1)),
            (
                &[(0, 5, true), (0, 6, true), (2, 900, true), (2, 902, true)],
                (5, 1),
            ),
            // A late one of the old encoding after the switch.
            (
                &[(0, 5, true), (0, 7, true), (2, 900, true), (0, 6, false)],
                (4, 0),
            ),
        ];
        for (trace, expected) in cases {
            let mut published = Published::default();
            for (encoding, sequence, in_order) in trace {
                let stamp = Stamp {
                    encoding: *encoding,
                    sequence: *sequence,
                    ..Stamp::default()
                };
                published.on_packet(&stamp, *in_order);
            }
            assert_eq!(
                (published.spanned(), published.unseen()),
                expected,
                "{trace:?}"
            );
        }
    }
}
