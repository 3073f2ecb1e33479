//! Feedback on single streams, read and written: Generic NACK (RFC 4585 section 6.2.1), PLI
//! (section 6.3.1), FIR (RFC 5104 section 4.3.1), REMB (draft-alvestrand-rmcat-remb-03).

use super::wire::{TooLong, Word, halves, kind, numbers, put, words, write_part};

pub(super) const FORMAT_NACK: u8 = 1;
pub(super) const FORMAT_PLI: u8 = 1;
pub(super) const FORMAT_FIR: u8 = 4;
/// Feedback of an application, told apart by a name behind the two SSRCs.
pub(super) const FORMAT_APPLICATION: u8 = 15;
const REMB: u32 = u32::from_be_bytes(*b"REMB");

/// Entries that go into one written part, so that it fits a datagram.
const MAX_ENTRIES: usize = 128;

/// Asks for packets of a stream again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nack<'a> {
    /// Who asks.
    pub sender: u32,
    /// The stream.
    pub media: u32,
    entries: &'a [Word],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, entries) = words(body)?.split_first_chunk()?;
        let [sender, media] = numbers(head);
        (!entries.is_empty()).then_some(Self {
            sender,
            media,
            entries,
        })
    }

    /// The sequence numbers, as sent: at most 17 for every four bytes, repetitions included.
    pub(crate) fn sequences(self) -> impl Iterator<Item = u16> + 'a {
        self.entries.iter().flat_map(|entry| {
            let [first, following] = halves(u32::from_be_bytes(*entry));
            let mut left = u32::from(following) << 1 | 1;
            std::iter::from_fn(move || {
                let ahead = u16::try_from(left.trailing_zeros()).ok()?;
                // Clears the lowest bit that is set; none left ends it.
                let others = left & left.checked_sub(1)?;
                left = others;
                Some(first.wrapping_add(ahead))
            })
        })
    }
}

/// Says that the decoder lost the picture, and asks for a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pli {
    /// Who asks.
    pub sender: u32,
    /// The stream.
    pub media: u32,
}

impl Pli {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (head, _) = words(body)?.split_first_chunk()?;
        let [sender, media] = numbers(head);
        Some(Self { sender, media })
    }
}

/// Commands keyframes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fir<'a> {
    /// Who asks.
    pub sender: u32,
    entries: &'a [[Word; 2]],
}

/// A keyframe commanded of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirEntry {
    /// The stream.
    pub ssrc: u32,
    /// Number of the command; the same number again is the same command repeated.
    pub command: u8,
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, rest) = words(body)?.split_first_chunk()?;
        // The stream in the head is of no meaning here.
        let [sender, _] = numbers(head);
        match rest.as_chunks() {
            (entries, []) if !entries.is_empty() => Some(Self { sender, entries }),
            _ => None,
        }
    }

    /// The streams.
    pub(crate) fn entries(self) -> impl ExactSizeIterator<Item = FirEntry> + 'a {
        self.entries.iter().map(|[ssrc, [command, ..]]| FirEntry {
            ssrc: u32::from_be_bytes(*ssrc),
            command: *command,
        })
    }
}

/// The bitrate that a receiver thinks it can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remb<'a> {
    /// Who says so.
    pub sender: u32,
    /// In bit/s, over all the streams named; `u64::MAX` for what is larger.
    pub bitrate: u64,
    ssrcs: &'a [Word],
}

impl<'a> Remb<'a> {
    /// Whether feedback of an application is this one.
    pub(super) fn is_named(body: &[u8]) -> bool {
        body.get(8..12)
            .is_some_and(|name| name == REMB.to_be_bytes())
    }

    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, ssrcs) = words(body)?.split_first_chunk()?;
        let [sender, _media, _name, value] = numbers(head);
        let [count, ..] = value.to_be_bytes();
        if ssrcs.len() != usize::from(count) {
            return None;
        }
        let exponent = value >> 18 & 0x3f;
        let bitrate = u128::from(value & 0x3_ffff) << exponent;
        Some(Self {
            sender,
            bitrate: u64::try_from(bitrate).unwrap_or(u64::MAX),
            ssrcs,
        })
    }

    /// The streams it is about.
    pub(crate) fn ssrcs(self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.ssrcs.iter().map(|word| u32::from_be_bytes(*word))
    }
}

/// Appends a request for `sequences`, best in ascending order; nothing for none. Many go into
/// several parts.
pub(crate) fn write_nack(
    out: &mut Vec<u8>,
    sender: u32,
    media: u32,
    sequences: impl IntoIterator<Item = u16>,
) {
    let mut sequences = sequences.into_iter().peekable();
    while sequences.peek().is_some() {
        write_part(out, kind::TRANSPORT_FEEDBACK, FORMAT_NACK, |out| {
            put(out, [sender, media]);
            for _ in 0..MAX_ENTRIES {
                let Some(first) = sequences.next() else {
                    break;
                };
                let mut mask = 0_u32;
                while let Some(next) = sequences.next_if(|next| next.wrapping_sub(first) <= 16) {
                    mask |= 1 << next.wrapping_sub(first);
                }
                // Bit 0 would be `first` itself.
                put(out, [u32::from(first) << 16 | mask >> 1]);
            }
        });
    }
}

/// Appends a picture loss indication.
pub(crate) fn write_pli(out: &mut Vec<u8>, pli: Pli) {
    write_part(out, kind::PAYLOAD_FEEDBACK, FORMAT_PLI, |out| {
        put(out, [pli.sender, pli.media]);
    });
}

/// Appends full intra requests; many go into several parts.
pub(crate) fn write_fir(out: &mut Vec<u8>, sender: u32, entries: &[FirEntry]) {
    for entries in entries.chunks(MAX_ENTRIES) {
        write_part(out, kind::PAYLOAD_FEEDBACK, FORMAT_FIR, |out| {
            put(out, [sender, 0]);
            for entry in entries {
                put(out, [entry.ssrc, u32::from(entry.command) << 24]);
            }
        });
    }
}

/// Appends an estimate in bit/s, rounded down to its 18 highest bits. Up to 255 streams.
pub(crate) fn write_remb(
    out: &mut Vec<u8>,
    sender: u32,
    bitrate: u64,
    ssrcs: &[u32],
) -> Result<(), TooLong> {
    let count = u8::try_from(ssrcs.len()).map_err(|_| TooLong)?;
    let exponent = (u64::BITS - bitrate.leading_zeros()).saturating_sub(18);
    let mantissa = (bitrate >> exponent) as u32;
    write_part(out, kind::PAYLOAD_FEEDBACK, FORMAT_APPLICATION, |out| {
        let value = u32::from(count) << 24 | exponent << 18 | mantissa;
        put(out, [sender, 0, REMB, value]);
        for ssrc in ssrcs {
            put(out, [*ssrc]);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Part, Parts, RtcpError};
    use super::*;

    fn first(packet: &[u8]) -> Result<Part<'_>, RtcpError> {
        Parts::new(packet).next().unwrap()
    }

    #[test]
    fn lost_packets_are_named() {
        // First number, mask; what it asks for. Bit 0 of the mask is the next number.
        let table: [([u8; 4], &[u16]); 5] = [
            ([0, 10, 0, 0], &[10]),
            ([0, 10, 0, 1], &[10, 11]),
            ([0, 10, 0x80, 0x02], &[10, 12, 26]),
            ([0xff, 0xff, 0, 3], &[0xffff, 0, 1]),
            (
                [0xff, 0xf8, 0xff, 0xff],
                &[
                    0xfff8, 0xfff9, 0xfffa, 0xfffb, 0xfffc, 0xfffd, 0xfffe, 0xffff, 0, 1, 2, 3, 4,
                    5, 6, 7, 8,
                ],
            ),
        ];
        for (entry, sequences) in table {
            let mut packet = vec![0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2];
            packet.extend(entry);
            let Part::Nack(nack) = first(&packet).unwrap() else {
                panic!("a request");
            };
            assert_eq!((nack.sender, nack.media), (1, 2));
            assert_eq!(nack.sequences().collect::<Vec<_>>(), sequences);
            let mut out = Vec::new();
            write_nack(&mut out, 1, 2, sequences.iter().copied());
            assert_eq!(out, packet);
        }
    }

    #[test]
    fn requests_are_packed_and_split() {
        let mut out = Vec::new();
        write_nack(&mut out, 1, 2, []);
        assert!(out.is_empty());
        // A repetition is asked for once, an earlier number begins an entry of its own.
        write_nack(&mut out, 1, 2, [5, 5, 6, 4]);
        assert_eq!(out[12..], [0, 5, 0, 1, 0, 4, 0, 0]);
        out.clear();
        let sparse: Vec<u16> = (0..300).map(|n| n * 17).collect();
        write_nack(&mut out, 1, 2, sparse.iter().copied());
        let mut read = Vec::new();
        let mut parts = 0;
        for part in Parts::new(&out) {
            let Part::Nack(nack) = part.unwrap() else {
                panic!("requests only");
            };
            read.extend(nack.sequences());
            parts += 1;
        }
        assert_eq!((read, parts), (sparse, 3));
    }

    #[test]
    fn keyframes_are_asked_for() {
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let expected = Pli {
            sender: 1,
            media: 2,
        };
        assert_eq!(first(&pli), Ok(Part::Pli(expected)));
        let mut out = Vec::new();
        write_pli(&mut out, expected);
        assert_eq!(out, pli);

        let fir = [
            0x84, 206, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, //
            0, 0, 0, 7, 255, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0,
        ];
        let entries = [(7, 255), (8, 1)].map(|(ssrc, command)| FirEntry { ssrc, command });
        let Part::Fir(read) = first(&fir).unwrap() else {
            panic!("a command");
        };
        assert_eq!(read.sender, 1);
        assert_eq!(read.entries().collect::<Vec<_>>(), entries);
        out.clear();
        write_fir(&mut out, 1, &entries);
        assert_eq!(out, fir);
    }

    #[test]
    fn estimates_carry_any_bitrate() {
        // Value word without the count; bit/s.
        let table = [
            ([0x00, 0x00, 0x00], 0),
            ([0x03, 0xff, 0xff], 0x3_ffff),
            ([0x06, 0x00, 0x00], 0x4_0000),
            // 5 Mbit/s = 156,250 << 5.
            ([0x16, 0x62, 0x5a], 5_000_000),
            ([0xbb, 0xff, 0xff], 0x3_ffff << 46),
        ];
        for (value, bitrate) in table {
            let mut packet = vec![
                0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1,
            ];
            packet.extend(value);
            packet.extend([0, 0, 0, 9]);
            let Part::Remb(remb) = first(&packet).unwrap() else {
                panic!("an estimate");
            };
            assert_eq!((remb.sender, remb.bitrate), (1, bitrate), "{value:x?}");
            assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [9]);
            let mut out = Vec::new();
            write_remb(&mut out, 1, bitrate, &[9]).unwrap();
            let Part::Remb(again) = first(&out).unwrap() else {
                panic!("an estimate");
            };
            assert_eq!(again.bitrate, bitrate);
        }
        let mut largest = [0xff; 20];
        largest[..17].copy_from_slice(&[
            0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 0,
        ]);
        let Part::Remb(remb) = first(&largest).unwrap() else {
            panic!("an estimate");
        };
        assert_eq!(remb.bitrate, u64::MAX);
        let mut out = Vec::new();
        assert_eq!(write_remb(&mut out, 1, 1, &[0; 256]), Err(TooLong));
        assert!(out.is_empty());
    }

    #[test]
    fn other_feedback_of_applications_is_passed_over() {
        let other = [
            0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'G', b'O', b'O', b'G', 9, 9, 9, 9,
        ];
        assert_eq!(Parts::new(&other).next(), None);
        assert_eq!(Parts::new(&[0x8f, 206, 0, 1, 0, 0, 0, 1]).next(), None);
    }

    #[test]
    fn lengths_that_fit_no_entry_are_malformed() {
        let table: [(&[u8], &str); 6] = [
            (&[0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], "NACK"),
            (&[0x81, 205, 0, 1, 0, 0, 0, 1], "NACK"),
            (&[0x81, 206, 0, 1, 0, 0, 0, 1], "PLI"),
            (&[0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], "FIR"),
            (
                &[0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
                "FIR",
            ),
            (
                &[
                    0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0, 0, 9,
                ],
                "REMB",
            ),
        ];
        for (packet, name) in table {
            assert_eq!(
                first(packet),
                Err(RtcpError::Malformed(name)),
                "{packet:x?}"
            );
        }
    }
}
