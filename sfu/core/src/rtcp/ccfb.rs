//! Congestion control feedback (RFC 8888 section 3.1), read and written: per stream, which packets
//! arrived, when, and with which ECN mark.

use super::wire::{TooLong, halves, kind, numbers, pad, put, take, take_slice, words, write_part};

pub(super) const FORMAT_CCFB: u8 = 11;

/// Packets that one block may tell of.
const MAX_METRICS: usize = 16_384;

/// Bytes of blocks that one written part may hold: no datagram carries more.
const MAX_BLOCK_BYTES: usize = 65_535;

/// An arrival time offset that stands for "not known".
const OFFSET_UNKNOWN: u16 = 0x1fff;

/// The ECN mark of a packet (RFC 3168 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ecn {
    /// Not capable of ECN.
    NotEct,
    /// Capable, ECT(1): the mark of L4S.
    Ect1,
    /// Capable, ECT(0).
    Ect0,
    /// Congestion experienced.
    Ce,
}

/// How a packet arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Its mark.
    pub ecn: Ecn,
    /// How long before the timestamp of the feedback, in 1/1,024 s; 0x1ffe for 8 s and more,
    /// `None` where the receiver does not know.
    pub offset: Option<u16>,
}

/// Feedback on any number of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ccfb<'a> {
    /// Who reports.
    pub sender: u32,
    /// When: compact NTP time of the receiver's clock.
    pub timestamp: u32,
    blocks: &'a [u8],
}

/// Feedback on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CcfbBlock<'a> {
    /// The stream.
    pub ssrc: u32,
    /// RTP sequence number of the first packet told of.
    pub base: u16,
    metrics: &'a [[u8; 2]],
}

impl<'a> Ccfb<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        words(body)?;
        let (sender, rest) = body.split_first_chunk()?;
        let (blocks, timestamp) = rest.split_last_chunk()?;
        let mut rest = blocks;
        while !rest.is_empty() {
            CcfbBlock::take(&mut rest)?;
        }
        Some(Self {
            sender: u32::from_be_bytes(*sender),
            timestamp: u32::from_be_bytes(*timestamp),
            blocks,
        })
    }

    /// Stream by stream.
    pub(crate) fn blocks(self) -> impl Iterator<Item = CcfbBlock<'a>> {
        let mut rest = self.blocks;
        std::iter::from_fn(move || CcfbBlock::take(&mut rest))
    }
}

impl<'a> CcfbBlock<'a> {
    /// Takes one block off; `None` at the end, and where it is cut or too large.
    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let head: [u8; 8] = take(rest)?;
        let (head, _) = words(&head)?.split_first_chunk()?;
        let [ssrc, range] = numbers(head);
        let [base, count] = halves(range);
        let count = usize::from(count);
        if count > MAX_METRICS {
            return None;
        }
        let (metrics, _) = take_slice(rest, count.next_multiple_of(2) * 2)?.as_chunks();
        Some(Self {
            ssrc,
            base,
            metrics: metrics.get(..count)?,
        })
    }

    /// How one packet arrived, if it did; `None` when nothing is told of it.
    pub(crate) fn metric(self, sequence: u16) -> Option<Option<Arrival>> {
        let metric = self
            .metrics
            .get(usize::from(sequence.wrapping_sub(self.base)))?;
        Some(arrival_of(u16::from_be_bytes(*metric)))
    }

    /// Packet by packet: RTP sequence number, and how it arrived if it did.
    pub(crate) fn metrics(self) -> impl ExactSizeIterator<Item = (u16, Option<Arrival>)> + 'a {
        let mut sequence = self.base;
        self.metrics.iter().map(move |metric| {
            let told = (sequence, arrival_of(u16::from_be_bytes(*metric)));
            sequence = sequence.wrapping_add(1);
            told
        })
    }
}

fn arrival_of(metric: u16) -> Option<Arrival> {
    if metric & 0x8000 == 0 {
        return None;
    }
    let ecn = match metric >> 13 & 0b11 {
        0b00 => Ecn::NotEct,
        0b01 => Ecn::Ect1,
        0b10 => Ecn::Ect0,
        _ => Ecn::Ce,
    };
    let offset = metric & 0x1fff;
    Some(Arrival {
        ecn,
        offset: (offset != OFFSET_UNKNOWN).then_some(offset),
    })
}

fn metric_of(arrival: Option<Arrival>) -> u16 {
    let Some(Arrival { ecn, offset }) = arrival else {
        return 0;
    };
    let ecn = match ecn {
        Ecn::NotEct => 0b00,
        Ecn::Ect1 => 0b01,
        Ecn::Ect0 => 0b10,
        Ecn::Ce => 0b11,
    };
    let offset = offset.map_or(OFFSET_UNKNOWN, |offset| offset.min(OFFSET_UNKNOWN - 1));
    0x8000 | ecn << 13 | offset
}

/// What is to be written on one stream: SSRC, first sequence number, and how each packet from
/// there on arrived, up to 16,384 of them.
pub(crate) type CcfbSource<'a> = (u32, u16, &'a [Option<Arrival>]);

/// Appends feedback at `timestamp` (compact NTP). All blocks together stay below 64 KiB.
pub(crate) fn write_ccfb(
    out: &mut Vec<u8>,
    sender: u32,
    timestamp: u32,
    blocks: &[CcfbSource<'_>],
) -> Result<(), TooLong> {
    let bytes: usize = blocks
        .iter()
        .map(|(_, _, metrics)| 8 + metrics.len().next_multiple_of(2) * 2)
        .sum();
    let is_too_long = |(_, _, metrics): &CcfbSource<'_>| metrics.len() > MAX_METRICS;
    if bytes > MAX_BLOCK_BYTES || blocks.iter().any(is_too_long) {
        return Err(TooLong);
    }
    write_part(out, kind::TRANSPORT_FEEDBACK, FORMAT_CCFB, |out| {
        put(out, [sender]);
        for (ssrc, base, metrics) in blocks {
            let start = out.len();
            // The length is at most `MAX_METRICS`.
            put(out, [*ssrc, u32::from(*base) << 16 | metrics.len() as u32]);
            for arrival in *metrics {
                out.extend_from_slice(&metric_of(*arrival).to_be_bytes());
            }
            pad(out, start);
        }
        put(out, [timestamp]);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Part, Parts, RtcpError};
    use super::*;

    /// Two streams: three packets (padded to four), and none.
    const TWO: [u8; 36] = [
        0x8b, 205, 0, 8, 0, 0, 0, 1, // sender 1
        0, 0, 0, 7, 0xff, 0xff, 0, 3, // SSRC 7, from 65,535, three packets
        0x80, 0x10, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, // arrived, lost, marked, padding
        0, 0, 0, 8, 0, 9, 0, 0, // SSRC 8, from 9, none
        0x12, 0x34, 0x56, 0x78, // timestamp
    ];

    fn arrived(ecn: Ecn, offset: Option<u16>) -> Option<Arrival> {
        Some(Arrival { ecn, offset })
    }

    #[test]
    fn feedback_is_read_and_written_byte_by_byte() {
        let metrics = [arrived(Ecn::NotEct, Some(16)), None, arrived(Ecn::Ce, None)];
        let Part::Ccfb(ccfb) = Parts::new(&TWO).next().unwrap().unwrap() else {
            panic!("feedback");
        };
        assert_eq!((ccfb.sender, ccfb.timestamp), (1, 0x1234_5678));
        let blocks: Vec<_> = ccfb
            .blocks()
            .map(|block| (block.ssrc, block.base, block.metrics().collect::<Vec<_>>()))
            .collect();
        let first = vec![(0xffff, metrics[0]), (0, None), (1, metrics[2])];
        assert_eq!(blocks, [(7, 0xffff, first), (8, 9, vec![])]);
        let mut out = Vec::new();
        write_ccfb(
            &mut out,
            1,
            0x1234_5678,
            &[(7, 0xffff, &metrics), (8, 9, &[])],
        )
        .unwrap();
        assert_eq!(out, TWO);
    }

    #[test]
    fn marks_and_offsets() {
        let table = [
            (0x7fff, None),
            (0x8000, arrived(Ecn::NotEct, Some(0))),
            (0xa001, arrived(Ecn::Ect1, Some(1))),
            (0xc400, arrived(Ecn::Ect0, Some(1_024))),
            (0xfffe, arrived(Ecn::Ce, Some(0x1ffe))),
            (0x9fff, arrived(Ecn::NotEct, None)),
        ];
        for (metric, arrival) in table {
            assert_eq!(arrival_of(metric), arrival, "{metric:x}");
            let written = if arrival.is_none() { 0 } else { metric };
            assert_eq!(metric_of(arrival), written, "{metric:x}");
        }
        // What lies more than 8 s back is written as that.
        assert_eq!(metric_of(arrived(Ecn::NotEct, Some(u16::MAX))), 0x9ffe);
    }

    #[test]
    fn blocks_that_do_not_fit_are_malformed() {
        let mut oversized = vec![
            0x8b, 205, 0x20, 0x05, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0x40, 0x02,
        ];
        oversized.resize((0x2005 + 1) * 4, 0);
        let mut claims = TWO;
        claims[14..16].copy_from_slice(&[0x40, 0]);
        let table = [
            ("more packets than a block may tell of", oversized),
            ("more packets than bytes", claims.to_vec()),
            ("no timestamp", vec![0x8b, 205, 0, 1, 0, 0, 0, 1]),
            (
                "half a block",
                vec![0x8b, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0],
            ),
        ];
        for (what, packet) in table {
            let error = Parts::new(&packet).next().unwrap();
            assert_eq!(error, Err(RtcpError::Malformed("CCFB")), "{what}");
        }
    }

    #[test]
    fn more_than_a_part_can_carry_is_refused() {
        let most = [None; MAX_METRICS];
        let mut out = Vec::new();
        let long = [None; MAX_METRICS + 1];
        assert_eq!(write_ccfb(&mut out, 1, 2, &[(1, 0, &long)]), Err(TooLong));
        let both: [CcfbSource<'_>; 2] = [(1, 0, &most), (2, 0, &most)];
        assert_eq!(write_ccfb(&mut out, 1, 2, &both), Err(TooLong));
        assert!(out.is_empty());
        write_ccfb(&mut out, 1, 2, &both[..1]).unwrap();
        assert!(Parts::new(&out).all(|part| part.is_ok()));
    }
}
