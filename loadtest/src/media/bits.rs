//! Writes bit fields, most significant bit first, for parameter sets and uncompressed headers.

#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    /// Appends the lowest `width` bits of `value`; `width` at most 32.
    pub(super) fn put(&mut self, value: u32, width: u32) -> &mut Self {
        for bit in (0..width).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (((value >> bit) & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
        self
    }

    /// Appends an unsigned Exp-Golomb code (H.264 section 9.1).
    pub(super) fn put_golomb(&mut self, value: u32) -> &mut Self {
        let width = (value + 1).ilog2();
        self.put(0, width).put(value + 1, width + 1)
    }

    /// Ends with a 1 bit and zeros up to the byte, as H.264 and AV1 do.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.put(1, 1);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_packed_from_the_top() {
        let mut bits = BitWriter::default();
        bits.put(0b101, 3).put_golomb(0).put_golomb(5).put(0xFF, 8);
        // 101 1 00110 11111111 and the ending 1.
        assert_eq!(bits.finish(), [0b1011_0011, 0b0111_1111, 0b1100_0000]);
    }
}
