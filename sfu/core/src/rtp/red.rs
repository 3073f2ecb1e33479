//! Redundant audio (RFC 2198): the newest block, for receivers without it, and the head of a payload of several
//! blocks. Must not choose who gets how much.

/// Packets before the newest that a payload repeats at most.
pub(crate) const REDUNDANT_MAX: usize = 5;

/// A block of an earlier packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RedBlock<'a> {
    /// Ticks that it is older than the newest.
    pub(crate) age: u32,
    pub(crate) payload: &'a [u8],
}

impl RedBlock<'_> {
    /// Whether it can be told of: its age has 14 bits, its length 10.
    pub(crate) fn fits(&self) -> bool {
        (1..1 << 14).contains(&self.age) && (1..1 << 10).contains(&self.payload.len())
    }
}

/// Appends a payload: the earlier blocks, the oldest first, and the newest. `payload_type` is that of each.
pub(crate) fn write_red(
    out: &mut Vec<u8>,
    payload_type: u8,
    earlier: &[RedBlock<'_>],
    newest: &[u8],
) {
    for block in earlier {
        let length = block.payload.len() as u32;
        let [_, high, middle, low] = (block.age << 10 | length & 0x3ff).to_be_bytes();
        out.extend_from_slice(&[0x80 | payload_type, high, middle, low]);
    }
    out.push(payload_type & 0x7f);
    for block in earlier {
        out.extend_from_slice(block.payload);
    }
    out.extend_from_slice(newest);
}

/// The primary block of a RED payload; `None` when malformed.
pub(crate) fn red_primary(payload: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut redundant) = (payload, 0_usize);
    loop {
        match rest {
            // F = 1: 7 bits of payload type, 14 of timestamp offset, 10 of block length.
            [head, _, high, low, after @ ..] if head & 0x80 != 0 => {
                redundant += usize::from(high & 0x03) << 8 | usize::from(*low);
                rest = after;
            }
            [head, blocks @ ..] if head & 0x80 == 0 => return blocks.get(redundant..),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_blocks_go_before_the_newest() {
        let block = |age, payload| RedBlock { age, payload };
        let mut out = vec![9];
        write_red(
            &mut out,
            111,
            &[block(1_920, &[1, 2]), block(960, &[3])],
            &[4, 5],
        );
        // Ages of 14 bits, lengths of 10.
        let heads = [
            0x80 | 111,
            0b0001_1110,
            0,
            2,
            0x80 | 111,
            0b0000_1111,
            0,
            1,
            111,
        ];
        assert_eq!(out[1..10], heads);
        assert_eq!(out[10..], [1, 2, 3, 4, 5]);
        assert_eq!(red_primary(&out[1..]), Some(&[4, 5][..]));
        for (age, length, fits) in [
            (1, 1, true),
            (16_383, 1_023, true),
            (16_384, 1, false),
            (0, 1, false),
            (960, 1_024, false),
            (960, 0, false),
        ] {
            assert_eq!(
                block(age, &[0; 2_000][..length]).fits(),
                fits,
                "{age} {length}"
            );
        }
    }

    #[test]
    fn the_newest_block_is_the_last() {
        for (payload, expected) in [
            (&[111, 1, 2, 3][..], Some(&[1, 2, 3][..])),
            (&[0x80 | 111, 0, 0, 2, 111, 9, 9, 1, 2], Some(&[1, 2])),
            (
                &[0x80 | 111, 0, 0, 1, 0x80 | 111, 0, 0, 2, 111, 8, 9, 9, 5],
                Some(&[5]),
            ),
            (&[111], Some(&[])),
            (&[0x80 | 111, 0, 0, 5, 111, 1], None),
            (&[0x80 | 111, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(red_primary(payload), expected, "{payload:x?}");
        }
    }
}
