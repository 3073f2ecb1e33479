//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1), read
//! and written: which packets of a transport arrived, and how far apart.
//!
//! Must not keep state across packets; numbers are extended by whoever sent the media.

use super::wire::{TooLong, halves, kind, numbers, put, take, take_slice, words, write_part};

pub(super) const FORMAT_TWCC: u8 = 15;

/// Packets that one datagram may tell of, over all its parts: a chunk of two bytes can claim 8,191
/// packets lost, so bytes alone do not bound the work. More than a second of 5,000 packets/s.
pub(crate) const MAX_TWCC_STATUSES: u16 = 8_192;

/// Packets that one run-length chunk can tell of.
const MAX_RUN: usize = 0x1fff;

/// What a report of arrivals says apart from the arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TwccInfo {
    /// Who reports.
    pub sender: u32,
    /// A stream of the transport; of no meaning.
    pub media: u32,
    /// Transport-wide number of the first packet told of.
    pub base: u16,
    /// On the receiver's clock, in 64 ms, 24 bits with sign: where the first delta counts from.
    /// One unit is 256 units of a delta.
    pub reference: i32,
    /// Counts the reports, modulo 256.
    pub report: u8,
}

/// A report of arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Twcc<'a> {
    /// All but the arrivals.
    pub info: TwccInfo,
    count: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Twcc<'a> {
    /// How many packets the report claims to tell of; `None` where it is too short to say.
    pub(super) fn claimed(body: &[u8]) -> Option<u16> {
        let count = body.get(10..12)?.first_chunk()?;
        Some(u16::from_be_bytes(*count))
    }

    /// Costs in proportion to the bytes, whatever the count.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = body.split_at_checked(16)?;
        let (head, _) = words(head)?.split_first_chunk()?;
        let [sender, media, range, times] = numbers(head);
        let [base, count] = halves(range);
        let chunks = rest;
        let mut left = count;
        let mut deltas = 0;
        while left > 0 {
            let chunk = Chunk::new(take(&mut rest)?);
            let told = chunk.left.min(left);
            deltas += chunk.delta_bytes(told)?;
            left -= told;
        }
        let chunks = chunks.get(..chunks.len() - rest.len())?;
        Some(Self {
            info: TwccInfo {
                sender,
                media,
                base,
                reference: times.cast_signed() >> 8,
                report: (times & 0xff) as u8,
            },
            count,
            chunks,
            deltas: take_slice(&mut rest, deltas)?,
        })
    }

    /// The packets told of, in order.
    pub(crate) fn statuses(self) -> TwccStatuses<'a> {
        TwccStatuses {
            sequence: self.info.base,
            left: self.count,
            chunk: Chunk {
                bits: 0,
                width: 0,
                left: 0,
            },
            chunks: self.chunks,
            deltas: self.deltas,
        }
    }
}

/// Packet by packet: its transport-wide number and, if it arrived, the time since the arrival of
/// the one before that did (the first: since the reference time), in 250 µs. At most
/// [`MAX_TWCC_STATUSES`].
#[derive(Debug, Clone)]
pub(crate) struct TwccStatuses<'a> {
    sequence: u16,
    left: u16,
    chunk: Chunk,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl Iterator for TwccStatuses<'_> {
    type Item = (u16, Option<i16>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        while self.chunk.left == 0 {
            self.chunk = Chunk::new(take(&mut self.chunks)?);
        }
        let delta = match self.chunk.symbol() {
            SMALL => {
                let [delta] = take(&mut self.deltas)?;
                Some(i16::from(delta))
            }
            LARGE => Some(i16::from_be_bytes(take(&mut self.deltas)?)),
            _ => None,
        };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some((sequence, delta))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

// Symbols of section 3.1.1. The fourth is reserved: what follows it cannot be known.
const LOST: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;

/// A chunk of two bytes (sections 3.1.3 and 3.1.4), used up symbol by symbol.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// The symbols, the next one in the highest bits.
    bits: u16,
    /// Bits of a symbol; 0 where `bits` is one symbol, repeated.
    width: u16,
    /// Symbols left.
    left: u16,
}

impl Chunk {
    fn new(bytes: [u8; 2]) -> Self {
        let value = u16::from_be_bytes(bytes);
        let (width, left) = match value >> 14 {
            0b10 => (1, 14),
            0b11 => (2, 7),
            _ => {
                return Self {
                    bits: value >> 13 & 0b11,
                    width: 0,
                    left: value & 0x1fff,
                };
            }
        };
        Self {
            bits: value << 2,
            width,
            left,
        }
    }

    /// The next symbol.
    fn symbol(&mut self) -> u8 {
        self.left = self.left.saturating_sub(1);
        if self.width == 0 {
            return self.bits as u8;
        }
        let symbol = self.bits >> (16 - self.width);
        self.bits <<= self.width;
        symbol as u8
    }

    /// How many bytes of deltas the next `told` symbols stand for; `None` where one is reserved.
    fn delta_bytes(mut self, told: u16) -> Option<usize> {
        if self.width == 0 {
            return Some(delta_len(self.symbol())? * usize::from(told));
        }
        (0..told).map(|_| delta_len(self.symbol())).sum()
    }
}

fn delta_len(symbol: u8) -> Option<usize> {
    match symbol {
        LOST => Some(0),
        SMALL => Some(1),
        LARGE => Some(2),
        _ => None,
    }
}

fn symbol_of(status: Option<i16>) -> u8 {
    match status {
        None => LOST,
        Some(0..=255) => SMALL,
        Some(_) => LARGE,
    }
}

/// Appends a report of the packets from `info.base` on, in order: the delta of each in 250 µs (see
/// [`TwccStatuses`]), `None` for what did not arrive. Up to [`MAX_TWCC_STATUSES`].
pub(crate) fn write_twcc(
    out: &mut Vec<u8>,
    info: &TwccInfo,
    statuses: &[Option<i16>],
) -> Result<(), TooLong> {
    let count = u16::try_from(statuses.len())
        .ok()
        .filter(|count| *count <= MAX_TWCC_STATUSES)
        .ok_or(TooLong)?;
    write_part(out, kind::TRANSPORT_FEEDBACK, FORMAT_TWCC, |out| {
        let range = u32::from(info.base) << 16 | u32::from(count);
        let times = (info.reference << 8).cast_unsigned() | u32::from(info.report);
        put(out, [info.sender, info.media, range, times]);
        let mut rest = statuses;
        while !rest.is_empty() {
            let (chunk, told) = next_chunk(rest);
            out.extend_from_slice(&chunk.to_be_bytes());
            rest = rest.get(told..).unwrap_or_default();
        }
        for delta in statuses.iter().flatten() {
            match u8::try_from(*delta) {
                Ok(small) => out.push(small),
                Err(_) => out.extend_from_slice(&delta.to_be_bytes()),
            }
        }
    });
    Ok(())
}

/// The chunk that tells most of the start of `rest`, and of how many packets it tells.
fn next_chunk(rest: &[Option<i16>]) -> (u16, usize) {
    let symbols = || rest.iter().map(|status| symbol_of(*status));
    let first = rest.first().map_or(LOST, |status| symbol_of(*status));
    let run = symbols()
        .take(MAX_RUN)
        .take_while(|symbol| *symbol == first)
        .count();
    let is_narrow = symbols().take(14).all(|symbol| symbol != LARGE);
    let (width, places) = if is_narrow { (1, 14) } else { (2, 7) };
    if run >= places.min(rest.len()) {
        return (u16::from(first) << 13 | run as u16, run);
    }
    let told = places.min(rest.len());
    let bits = symbols()
        .chain(std::iter::repeat(LOST))
        .take(places)
        .fold(0, |bits, symbol| bits << width | u16::from(symbol));
    let tag = if is_narrow { 0b10 } else { 0b11 };
    (tag << 14 | bits, told)
}

#[cfg(test)]
mod tests {
    use super::super::{Part, Parts, RtcpError};
    use super::*;

    const INFO: TwccInfo = TwccInfo {
        sender: 1,
        media: 2,
        base: 0xfffe,
        reference: -2,
        report: 200,
    };

    /// A report with [`INFO`], `count` packets and what follows them, padded with zeros.
    fn report(count: u16, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe];
        packet.extend(count.to_be_bytes());
        packet.extend([0xff, 0xff, 0xfe, 200]);
        packet.extend(rest);
        packet.resize(packet.len().next_multiple_of(4), 0);
        packet[3] = (packet.len() / 4 - 1) as u8;
        packet
    }

    fn read(packet: &[u8]) -> Result<Vec<(u16, Option<i16>)>, RtcpError> {
        match Parts::new(packet).next().unwrap()? {
            Part::Twcc(twcc) => {
                assert_eq!(twcc.info, INFO);
                let statuses: Vec<_> = twcc.statuses().collect();
                assert_eq!(twcc.statuses().size_hint().0, statuses.len());
                Ok(statuses)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn chunks_of_every_form_are_read_and_written() {
        // Count, bytes of chunks and deltas, statuses.
        type Case = (u16, &'static [u8], &'static [Option<i16>]);
        let table: [Case; 7] = [
            (0, &[], &[]),
            // A run of three small deltas, then of two lost.
            (3, &[0x20, 3, 1, 2, 255], &[Some(1), Some(2), Some(255)]),
            (2, &[0x00, 2], &[None, None]),
            // A run of large ones.
            (2, &[0x40, 2, 0xff, 0xff, 1, 0], &[Some(-1), Some(256)]),
            // One bit each: arrived, lost, arrived.
            (3, &[0xa8, 0x00, 4, 5], &[Some(4), None, Some(5)]),
            // Two bits each: small, large, lost, small.
            (
                4,
                &[0xd8, 0x40, 7, 0x80, 0x00, 9],
                &[Some(7), Some(-32_768), None, Some(9)],
            ),
            // A vector of 14, and a run behind it.
            (
                16,
                &[
                    0xbf, 0xfe, 0x20, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6, 6,
                ],
                &[
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    Some(1),
                    None,
                    Some(6),
                    Some(6),
                ],
            ),
        ];
        for (count, rest, statuses) in table {
            let packet = report(count, rest);
            let expected: Vec<_> = (0_u16..)
                .map(|n| 0xfffe_u16.wrapping_add(n))
                .zip(statuses.iter().copied())
                .collect();
            assert_eq!(read(&packet), Ok(expected), "{rest:x?}");
            let mut out = Vec::new();
            write_twcc(&mut out, &INFO, statuses).unwrap();
            assert_eq!(out, packet, "{rest:x?}");
        }
    }

    #[test]
    fn browsers_pad_with_a_padding_length() {
        let mut packet = report(1, &[0x20, 1, 40]);
        packet[0] |= 0x20;
        *packet.last_mut().unwrap() = 1;
        assert_eq!(read(&packet), Ok(vec![(0xfffe, Some(40))]));
        // Padding that reaches into the deltas leaves one too few.
        *packet.last_mut().unwrap() = 2;
        assert_eq!(read(&packet), Err(RtcpError::Malformed("TWCC")));
    }

    #[test]
    fn what_lies_behind_the_count_is_passed_over() {
        // Symbols, a delta, and an empty run before the chunk that counts.
        assert_eq!(
            read(&report(1, &[0xff, 0xff, 0, 3])),
            Err(RtcpError::Malformed("TWCC"))
        );
        assert_eq!(
            read(&report(1, &[0xd5, 0xff, 8, 9])),
            Ok(vec![(0xfffe, Some(8))])
        );
        assert_eq!(
            read(&report(1, &[0x00, 0, 0x20, 0, 0x20, 1, 5])),
            Ok(vec![(0xfffe, Some(5))])
        );
    }

    #[test]
    fn reports_that_lack_something_are_malformed() {
        let table = [
            (
                "no head",
                vec![0x8f, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0],
            ),
            ("no chunk", report(1, &[])),
            ("chunks for fewer packets", report(20, &[0x20, 3, 0x20, 3])),
            ("no deltas", report(4, &[0x20, 4])),
            ("half a delta", report(1, &[0x00, 0, 0x40, 1])),
            ("a reserved run", report(1, &[0x60, 1])),
            ("a reserved symbol", report(3, &[0xc3, 0, 1, 1])),
        ];
        for (what, packet) in table {
            let error = Parts::new(&packet).next().unwrap();
            assert_eq!(error, Err(RtcpError::Malformed("TWCC")), "{what}");
        }
    }

    #[test]
    fn a_small_packet_cannot_claim_much_work() {
        // 24 bytes that claim all numbers there are, then the most that one chunk can tell.
        let error = Err(RtcpError::TooManyStatuses);
        assert_eq!(
            Parts::new(&report(65_535, &[0x1f, 0xff])).next(),
            Some(error)
        );
        assert_eq!(
            Parts::new(&report(8_193, &[0x1f, 0xff, 0, 2])).next(),
            Some(error)
        );
        assert_eq!(
            read(&report(8_192, &[0x1f, 0xff, 0, 1])).unwrap().len(),
            8_192
        );

        // Many such parts in one datagram share the allowance.
        let many = report(5_000, &[0x1f, 0xff]).repeat(60);
        let mut parts = Parts::new(&many);
        let Some(Ok(Part::Twcc(twcc))) = parts.next() else {
            panic!("the first is read");
        };
        assert_eq!(twcc.statuses().count(), 5_000);
        assert_eq!(parts.next(), Some(error));
        assert_eq!(parts.next(), None);

        let mut out = Vec::new();
        assert_eq!(write_twcc(&mut out, &INFO, &[None; 8_193]), Err(TooLong));
        assert!(out.is_empty());
        write_twcc(&mut out, &INFO, &[None; 8_192]).unwrap();
        assert_eq!(out, report(8_192, &[0x1f, 0xff, 0, 1]));
    }
}
