//! Redundant audio (RFC 2198), as far as receivers without it need: the newest block.

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
    use super::red_primary;

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
