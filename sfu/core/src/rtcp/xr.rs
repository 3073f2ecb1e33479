//! Extended reports (RFC 3611), read and written: the two blocks by which a mere receiver measures
//! its round trip time (sections 4.4 and 4.5). Other blocks are passed over.

use super::{
    NtpTime,
    wire::{Word, kind, numbers, put, take, take_slice, words, write_part},
};

const BLOCK_RECEIVER_TIME: u8 = 4;
const BLOCK_DLRR: u8 = 5;

/// Answers that go into one written part, so that it fits a datagram.
const MAX_ANSWERS: usize = 64;

/// An extended report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExtendedReport<'a> {
    /// Who reports.
    pub sender: u32,
    blocks: &'a [u8],
}

/// A block of an extended report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XrBlock<'a> {
    /// When a receiver sent this: asks for a [`Dlrr`].
    ReceiverTime(NtpTime),
    /// Answers to receivers.
    Answers(Answers<'a>),
}

/// The answers of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answers<'a>(&'a [[Word; 3]]);

/// The answer to one receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dlrr {
    /// The receiver.
    pub ssrc: u32,
    /// Compact NTP time that it sent last, 0 for none.
    pub last_rr: u32,
    /// Time from its arrival to this report, in 1/65,536 s.
    pub delay: u32,
}

impl<'a> ExtendedReport<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        words(body)?;
        let (sender, blocks) = body.split_first_chunk()?;
        let mut rest = blocks;
        while !rest.is_empty() {
            next_block(&mut rest)?;
        }
        Some(Self {
            sender: u32::from_be_bytes(*sender),
            blocks,
        })
    }

    /// The blocks that are understood.
    pub(crate) fn blocks(self) -> impl Iterator<Item = XrBlock<'a>> {
        let mut rest = self.blocks;
        std::iter::from_fn(move || next_block(&mut rest)).flatten()
    }
}

/// Takes one block off; `Some(None)` for one that is not understood, `None` for a malformed one.
fn next_block<'a>(rest: &mut &'a [u8]) -> Option<Option<XrBlock<'a>>> {
    let [block, _, high, low] = take(rest)?;
    let len = usize::from(u16::from_be_bytes([high, low])) * 4;
    let mut body = take_slice(rest, len)?;
    match block {
        BLOCK_RECEIVER_TIME => {
            let time = u64::from_be_bytes(take(&mut body)?);
            Some(Some(XrBlock::ReceiverTime(NtpTime(time))))
        }
        BLOCK_DLRR => match words(body)?.as_chunks() {
            (answers, []) => Some(Some(XrBlock::Answers(Answers(answers)))),
            _ => None,
        },
        _ => Some(None),
    }
}

impl<'a> Answers<'a> {
    /// One by one.
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = Dlrr> + 'a {
        self.0.iter().map(|answer| {
            let [ssrc, last_rr, delay] = numbers(answer);
            Dlrr {
                ssrc,
                last_rr,
                delay,
            }
        })
    }
}

/// Appends the time at which a receiver sends this.
pub(crate) fn write_receiver_time(out: &mut Vec<u8>, sender: u32, time: NtpTime) {
    write_part(out, kind::EXTENDED_REPORT, 0, |out| {
        put(out, [sender, u32::from(BLOCK_RECEIVER_TIME) << 24 | 2]);
        out.extend_from_slice(&time.0.to_be_bytes());
    });
}

/// Appends answers to receivers; nothing for none. Many go into several parts.
pub(crate) fn write_dlrr(out: &mut Vec<u8>, sender: u32, answers: &[Dlrr]) {
    for answers in answers.chunks(MAX_ANSWERS) {
        write_part(out, kind::EXTENDED_REPORT, 0, |out| {
            let words = answers.len() as u32 * 3;
            put(out, [sender, u32::from(BLOCK_DLRR) << 24 | words]);
            for answer in answers {
                put(out, [answer.ssrc, answer.last_rr, answer.delay]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Part, Parts, RtcpError};
    use super::*;

    fn read(packet: &[u8]) -> Result<ExtendedReport<'_>, RtcpError> {
        match Parts::new(packet).next().unwrap()? {
            Part::ExtendedReport(report) => Ok(report),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn times_and_answers_are_read_and_written_byte_by_byte() {
        let asked = [
            0x80, 207, 0, 4, 0, 0, 0, 1, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let time = NtpTime(0x0102_0304_0506_0708);
        let report = read(&asked).unwrap();
        assert_eq!(report.sender, 1);
        assert_eq!(
            report.blocks().collect::<Vec<_>>(),
            [XrBlock::ReceiverTime(time)]
        );
        let mut out = Vec::new();
        write_receiver_time(&mut out, 1, time);
        assert_eq!(out, asked);

        let answered = [
            0x80, 207, 0, 5, 0, 0, 0, 2, 5, 0, 0, 3, 0, 0, 0, 1, 3, 4, 5, 6, 0, 0, 0x80, 0,
        ];
        let dlrr = Dlrr {
            ssrc: 1,
            last_rr: time.compact(),
            delay: 0x8000,
        };
        let Some(XrBlock::Answers(answers)) = read(&answered).unwrap().blocks().next() else {
            panic!("an answer");
        };
        assert_eq!(answers.iter().collect::<Vec<_>>(), [dlrr]);
        out.clear();
        write_dlrr(&mut out, 2, &[dlrr]);
        assert_eq!(out, answered);
    }

    #[test]
    fn other_blocks_are_passed_over() {
        let packet = [
            0x80, 207, 0, 8, 0, 0, 0, 1, //
            7, 9, 0, 1, 1, 1, 1, 1, 42, 0, 0, 0, // a block of one word, a block of none
            4, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, //
            5, 0, 0, 0, // no answers
        ];
        let blocks: Vec<_> = read(&packet).unwrap().blocks().collect();
        assert_eq!(
            blocks,
            [
                XrBlock::ReceiverTime(NtpTime(3)),
                XrBlock::Answers(Answers(&[]))
            ]
        );
    }

    #[test]
    fn blocks_cut_short_are_malformed() {
        let table: [&[u8]; 4] = [
            &[0x80, 207, 0, 0],
            &[0x80, 207, 0, 2, 0, 0, 0, 1, 42, 0, 0, 1],
            &[0x80, 207, 0, 3, 0, 0, 0, 1, 4, 0, 0, 1, 0, 0, 0, 0],
            &[0x80, 207, 0, 3, 0, 0, 0, 1, 5, 0, 0, 1, 0, 0, 0, 0],
        ];
        for packet in table {
            let error = read(packet);
            assert_eq!(
                error,
                Err(RtcpError::Malformed("extended report")),
                "{packet:x?}"
            );
        }
    }
}
