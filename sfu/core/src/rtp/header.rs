//! The header of an RTP packet that comes without a transport's engine (RFC 3550 section 5.1). Must not look
//! into the payload.

use std::ops::Range;

/// What stands in front of a payload, and where that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Without padding.
    pub payload: Range<usize>,
}

impl Header {
    /// Reads a packet; `None` when it is none, or contradicts itself.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        const FIXED: usize = 12;
        let (head, rest) = packet.split_at_checked(FIXED)?;
        let &[first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = head else {
            return None;
        };
        if first >> 6 != 2 {
            return None;
        }
        let mut start = FIXED + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            let extension = rest.get(start - FIXED..)?;
            let &[_, _, high, low] = extension.first_chunk()?;
            start += 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
        }
        let padding = match first & 0x20 {
            0 => 0,
            _ => usize::from(*packet.last()?).max(1),
        };
        let end = packet.len().checked_sub(padding)?;
        (start <= end).then_some(Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload: start..end,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A fixed header with this first byte.
    fn packet(first: u8, behind: &[u8]) -> Vec<u8> {
        let fixed = [first, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
        [&fixed[..], behind].concat()
    }

    #[test]
    fn payloads_by_what_stands_around_them() {
        type Row = (&'static str, u8, &'static [u8], Option<&'static [u8]>);
        let table: [Row; 9] = [
            ("plain", 0x80, &[1, 2], Some(&[1, 2])),
            ("without a payload", 0x80, &[], Some(&[])),
            ("of another version", 0x40, &[1, 2], None),
            ("with a source", 0x81, &[0, 0, 0, 1, 5], Some(&[5])),
            (
                "with an extension",
                0x90,
                &[0xbe, 0xde, 0, 1, 1, 2, 3, 4, 5],
                Some(&[5]),
            ),
            ("with padding", 0xa0, &[5, 0, 0, 3], Some(&[5])),
            ("sources cut off", 0x82, &[0, 0, 0, 1, 5], None),
            ("extension cut off", 0x90, &[0xbe, 0xde, 0, 9, 1], None),
            ("padding of more than there is", 0xa0, &[5, 200], None),
        ];
        for (what, first, behind, expected) in table {
            let bytes = packet(first, behind);
            let header = Header::parse(&bytes);
            let payload = header.as_ref().map(|h| &bytes[h.payload.clone()]);
            assert_eq!(payload, expected, "{what}");
            if let Some(header) = header {
                assert!(header.marker);
                assert_eq!((header.payload_type, header.sequence), (0x60, 0x1234));
                assert_eq!((header.timestamp, header.ssrc), (9, 7));
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(bytes.get(header.payload).is_some());
            }
        }
    }
}
