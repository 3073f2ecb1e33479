//! Who a source is and that it leaves: SDES with its canonical name (RFC 3550 section 6.5) and BYE
//! (section 6.6), read and written. Other items and the reason of a leave are passed over.

use super::wire::{MAX_COUNT, Word, kind, pad, put, take, take_slice, write_part};

const ITEM_END: u8 = 0;
const ITEM_CNAME: u8 = 1;

/// Descriptions of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sdes<'a> {
    count: u8,
    chunks: &'a [u8],
}

impl<'a> Sdes<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        for _ in 0..count {
            next_chunk(&mut rest)?;
        }
        Some(Self {
            count,
            chunks: body,
        })
    }

    /// Source and canonical name; `None` where it says other things only. A name should be UTF-8.
    pub(crate) fn names(self) -> impl Iterator<Item = (u32, Option<&'a [u8]>)> {
        let mut rest = self.chunks;
        (0..self.count).map_while(move |_| next_chunk(&mut rest))
    }
}

/// Takes one chunk off: source, items, and their end, which fills its word.
fn next_chunk<'a>(rest: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let ssrc = u32::from_be_bytes(take(rest)?);
    let start = rest.len();
    let mut name = None;
    loop {
        let [item] = take(rest)?;
        if item == ITEM_END {
            break;
        }
        let [len] = take(rest)?;
        let text = take_slice(rest, usize::from(len))?;
        if item == ITEM_CNAME {
            name = Some(text);
        }
    }
    let used = start - rest.len();
    take_slice(rest, used.next_multiple_of(4) - used)?;
    Some((ssrc, name))
}

/// Sources that leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bye<'a>(&'a [Word]);

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        // Behind a reason, some pad by less than a word.
        let (words, _) = body.as_chunks();
        words.get(..usize::from(count)).map(Self)
    }

    /// Their SSRCs; there may be none.
    pub(crate) fn sources(self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.0.iter().map(|word| u32::from_be_bytes(*word))
    }
}

/// Appends the canonical name of a source. Of a name longer than 255 bytes the start is taken.
pub(crate) fn write_sdes(out: &mut Vec<u8>, ssrc: u32, name: &str) {
    let name = &name[..name.floor_char_boundary(255)];
    write_part(out, kind::SDES, 1, |out| {
        let start = out.len();
        put(out, [ssrc]);
        out.extend_from_slice(&[ITEM_CNAME, name.len() as u8]);
        out.extend_from_slice(name.as_bytes());
        out.push(ITEM_END);
        pad(out, start);
    });
}

/// Appends the leave of sources, one part for every 31 of them.
pub(crate) fn write_bye(out: &mut Vec<u8>, sources: &[u32]) {
    for sources in sources.chunks(MAX_COUNT) {
        write_part(out, kind::BYE, sources.len() as u8, |out| {
            for ssrc in sources {
                put(out, [*ssrc]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Part, Parts, RtcpError};
    use super::*;

    type Name<'a> = (u32, Option<&'a [u8]>);

    fn names(packet: &[u8]) -> Result<Vec<Name<'_>>, RtcpError> {
        match Parts::new(packet).next().unwrap()? {
            Part::Sdes(sdes) => Ok(sdes.names().collect()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_found_among_other_items() {
        // Two chunks: NAME then CNAME, ended by one zero; TOOL only, ended by a whole word.
        let packet = [
            0x82, 202, 0, 6, //
            0, 0, 0, 9, 2, 1, b'n', 1, 2, b'a', b'b', 0, //
            0, 0, 0, 8, 6, 2, b't', b't', 0, 0, 0, 0,
        ];
        assert_eq!(
            names(&packet),
            Ok(vec![(9, Some(b"ab".as_slice())), (8, None)])
        );
        assert_eq!(names(&[0x80, 202, 0, 0]), Ok(vec![]));
    }

    #[test]
    fn chunks_without_end_are_malformed() {
        let table: [&[u8]; 5] = [
            // No source; no end; an item cut; an item past the end; an end that fills no word.
            &[0x81, 202, 0, 0],
            &[0x81, 202, 0, 1, 0, 0, 0, 9],
            &[0x81, 202, 0, 2, 0, 0, 0, 9, 1, 2, b'a', b'b'],
            &[0x81, 202, 0, 2, 0, 0, 0, 9, 1, 255, b'a', 0],
            // One chunk that is whole, two counted.
            &[0x82, 202, 0, 2, 0, 0, 0, 9, 1, 1, b'a', 0],
        ];
        for packet in table {
            assert_eq!(
                names(packet),
                Err(RtcpError::Malformed("source description")),
                "{packet:x?}"
            );
        }
    }

    #[test]
    fn a_name_is_written_with_its_end() {
        let table: [(&str, &[u8]); 4] = [
            ("", &[0x81, 202, 0, 2, 0, 0, 0, 9, 1, 0, 0, 0]),
            ("a", &[0x81, 202, 0, 2, 0, 0, 0, 9, 1, 1, b'a', 0]),
            (
                "ab",
                &[0x81, 202, 0, 3, 0, 0, 0, 9, 1, 2, b'a', b'b', 0, 0, 0, 0],
            ),
            (
                "é!",
                &[0x81, 202, 0, 3, 0, 0, 0, 9, 1, 3, 0xc3, 0xa9, b'!', 0, 0, 0],
            ),
        ];
        for (name, bytes) in table {
            let mut out = Vec::new();
            write_sdes(&mut out, 9, name);
            assert_eq!(out, bytes, "{name}");
            assert_eq!(names(&out), Ok(vec![(9, Some(name.as_bytes()))]));
        }
        let mut out = Vec::new();
        write_sdes(&mut out, 9, &"é".repeat(200));
        let (_, name) = names(&out).unwrap()[0];
        assert_eq!(name, Some("é".repeat(127).as_bytes()));
    }

    #[test]
    fn a_leave_names_its_sources() {
        // RFC 3550 section 6.6, with the reason "bye".
        let packet = [0x82, 203, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 3, b'b', b'y', b'e'];
        let Part::Bye(bye) = Parts::new(&packet).next().unwrap().unwrap() else {
            panic!("a leave");
        };
        assert_eq!(bye.sources().collect::<Vec<_>>(), [1, 2]);
        let mut out = Vec::new();
        write_bye(&mut out, &[1, 2]);
        assert_eq!(out, [0x82, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        out.clear();
        write_bye(&mut out, &[7; 40]);
        assert_eq!((out[0], out[4 + 31 * 4]), (0x80 | 31, 0x80 | 9));
        // An empty reason and three bytes of padding.
        let padded = [0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3];
        let Part::Bye(bye) = Parts::new(&padded).next().unwrap().unwrap() else {
            panic!("a leave");
        };
        assert_eq!(bye.sources().collect::<Vec<_>>(), [1]);
        let cut = [0x83, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(
            Parts::new(&cut).next().unwrap(),
            Err(RtcpError::Malformed("goodbye"))
        );
    }
}
