//! Reads bit by bit, most significant first. Must know nothing of what is read.

/// The bits of a value, from a place on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next bits as a number, at most 32 of them; `None` past the end.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            value = value << 1 | u32::from(bit);
            self.at += 1;
        }
        Some(value)
    }

    /// Passes over bits; `None` past the end.
    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= 8 * self.bytes.len()).then_some(())
    }

    /// The next bits as a small number.
    pub(super) fn small(&mut self, count: u32) -> Option<u8> {
        u8::try_from(self.take(count)?).ok()
    }

    /// The next bit.
    pub(super) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit != 0)
    }

    /// A number below `limit` in the non-symmetric code of AV1 (section 4.10.7 of its specification).
    pub(super) fn below(&mut self, limit: u32) -> Option<u32> {
        let width = limit.checked_ilog2()? + 1;
        let short = (1_u32.checked_shl(width)?).checked_sub(limit)?;
        let value = self.take(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.take(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_across_bytes() {
        let mut bits = Bits::new(&[0b1010_0110, 0b1100_0001]);
        assert_eq!(bits.flag(), Some(true));
        assert_eq!(bits.take(5), Some(0b01001));
        assert_eq!(bits.small(4), Some(0b1011));
        assert_eq!(bits.position(), 10);
        assert_eq!(bits.take(7), None);
    }

    #[test]
    fn the_non_symmetric_code_is_as_short_as_it_can_be() {
        // Five values: 0 to 2 take two bits, 3 and 4 take three.
        let mut bits = Bits::new(&[0b0001_1011, 0b1000_0000]);
        let read: Vec<_> = (0..4).map(|_| bits.below(5)).collect();
        assert_eq!(read, [Some(0), Some(1), Some(2), Some(4)]);
        let mut bits = Bits::new(&[0b1100_0000]);
        assert_eq!(bits.below(5), Some(3));
        assert_eq!(Bits::new(&[]).below(1), Some(0), "one value takes no bit");
        assert_eq!(Bits::new(&[0xff]).below(0), None);
    }
}
