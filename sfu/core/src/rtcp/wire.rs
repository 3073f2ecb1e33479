//! What all parts share: words of four bytes, and the header with its length field
//! (RFC 3550 section 6.4.1). Must know no format.

/// The unit in which RTCP counts lengths.
pub(super) type Word = [u8; 4];

/// Packet types, RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2.
pub(super) mod kind {
    pub(in crate::rtcp) const SENDER_REPORT: u8 = 200;
    pub(in crate::rtcp) const RECEIVER_REPORT: u8 = 201;
    pub(in crate::rtcp) const SDES: u8 = 202;
    pub(in crate::rtcp) const BYE: u8 = 203;
    pub(in crate::rtcp) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(in crate::rtcp) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(in crate::rtcp) const EXTENDED_REPORT: u8 = 207;
}

/// Sources or report blocks that the five count bits of a header can tell.
pub(super) const MAX_COUNT: usize = 31;

/// The input is more than one part can carry. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than one RTCP part can carry")]
pub(crate) struct TooLong;

/// Takes the first `N` bytes off `rest`.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// Takes the first `len` bytes off `rest`.
pub(super) fn take_slice<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

/// The bytes as words; `None` where they are no whole number of them.
pub(super) fn words(bytes: &[u8]) -> Option<&[Word]> {
    match bytes.as_chunks() {
        (words, []) => Some(words),
        _ => None,
    }
}

/// `N` words as numbers.
pub(super) fn numbers<const N: usize>(words: &[Word; N]) -> [u32; N] {
    words.map(u32::from_be_bytes)
}

/// The high and the low half of a word.
pub(super) fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

/// Appends words.
pub(super) fn put<const N: usize>(out: &mut Vec<u8>, words: [u32; N]) {
    for word in words {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// Appends one part: the header, what `body` appends, and zeros up to the next word. `count` is
/// the five bits of count or format. The caller keeps the body below the 256 KiB of the length
/// field.
pub(super) fn write_part(out: &mut Vec<u8>, kind: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count & 0x1f, kind, 0, 0]);
    body(out);
    pad(out, start);
    let words = (out.len() - start) / 4 - 1;
    debug_assert!(words <= usize::from(u16::MAX), "a part of {words} words");
    let length = u16::try_from(words).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(start + 2..start + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends zeros until what follows `start` is a whole number of words.
pub(super) fn pad(out: &mut Vec<u8>, start: usize) {
    out.resize(start + (out.len() - start).next_multiple_of(4), 0);
}
