//! Sender and receiver reports (RFC 3550 sections 6.4.1 and 6.4.2), read and written.

use super::{
    NtpTime,
    wire::{MAX_COUNT, Word, kind, numbers, put, words, write_part},
};

/// What a sender says of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderInfo {
    /// The stream.
    pub ssrc: u32,
    /// When the report was sent.
    pub ntp: NtpTime,
    /// The same moment in the stream's RTP clock.
    pub rtp: u32,
    /// Packets sent since the start of the stream, modulo 2^32.
    pub packets: u32,
    /// Payload octets in them, without headers and padding, modulo 2^32.
    pub octets: u32,
}

/// What a receiver says of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportBlock {
    /// The stream.
    pub ssrc: u32,
    /// Of the packets expected since the last report, the part that is missing, in 1/256.
    pub fraction_lost: u8,
    /// Packets expected less packets received since the start, 24 bits; negative where there were
    /// duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number received, the cycles above it.
    pub highest_sequence: u32,
    /// In units of the stream's RTP clock.
    pub jitter: u32,
    /// Compact NTP time of the last sender report received, 0 for none.
    pub last_sr: u32,
    /// Time from its arrival to this report, in 1/65,536 s.
    pub delay: u32,
}

/// The report blocks of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportBlocks<'a>(&'a [[Word; 6]]);

impl<'a> ReportBlocks<'a> {
    fn parse(words: &'a [Word], count: u8) -> Option<Self> {
        // Profile specific extensions may follow.
        let (blocks, _) = words.as_chunks();
        blocks.get(..usize::from(count)).map(Self)
    }

    /// One by one, as sent.
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = ReportBlock> + 'a {
        self.0.iter().map(|block| {
            let [ssrc, lost, highest_sequence, jitter, last_sr, delay] = numbers(block);
            ReportBlock {
                ssrc,
                fraction_lost: (lost >> 24) as u8,
                // Shifted up and back down, the sign fills the upper byte.
                cumulative_lost: (lost << 8).cast_signed() >> 8,
                highest_sequence,
                jitter,
                last_sr,
                delay,
            }
        })
    }
}

/// A sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderReport<'a> {
    /// The sender's own stream.
    pub info: SenderInfo,
    /// What it receives.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (head, rest) = words(body)?.split_first_chunk()?;
        let [ssrc, seconds, fraction, rtp, packets, octets] = numbers(head);
        Some(Self {
            info: SenderInfo {
                ssrc,
                ntp: NtpTime(u64::from(seconds) << 32 | u64::from(fraction)),
                rtp,
                packets,
                octets,
            },
            blocks: ReportBlocks::parse(rest, count)?,
        })
    }
}

/// A receiver report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceiverReport<'a> {
    /// Who sends it.
    pub sender: u32,
    /// What it receives; may be empty.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (head, rest) = words(body)?.split_first_chunk()?;
        let [sender] = numbers(head);
        Some(Self {
            sender,
            blocks: ReportBlocks::parse(rest, count)?,
        })
    }
}

/// Appends a sender report; blocks past the 31st go into receiver reports behind it.
pub(crate) fn write_sender_report(out: &mut Vec<u8>, info: &SenderInfo, blocks: &[ReportBlock]) {
    let (first, more) = blocks.split_at(blocks.len().min(MAX_COUNT));
    write_part(out, kind::SENDER_REPORT, count_of(first), |out| {
        put(out, [info.ssrc]);
        out.extend_from_slice(&info.ntp.0.to_be_bytes());
        put(out, [info.rtp, info.packets, info.octets]);
        put_blocks(out, first);
    });
    if !more.is_empty() {
        write_receiver_report(out, info.ssrc, more);
    }
}

/// Appends a receiver report, which may be empty; one more for every 31 blocks.
pub(crate) fn write_receiver_report(out: &mut Vec<u8>, sender: u32, blocks: &[ReportBlock]) {
    let (first, more) = blocks.split_at(blocks.len().min(MAX_COUNT));
    for blocks in std::iter::once(first).chain(more.chunks(MAX_COUNT)) {
        write_part(out, kind::RECEIVER_REPORT, count_of(blocks), |out| {
            put(out, [sender]);
            put_blocks(out, blocks);
        });
    }
}

fn count_of(blocks: &[ReportBlock]) -> u8 {
    blocks.len().min(MAX_COUNT) as u8
}

fn put_blocks(out: &mut Vec<u8>, blocks: &[ReportBlock]) {
    for block in blocks {
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        put(
            out,
            [
                block.ssrc,
                u32::from(block.fraction_lost) << 24 | lost.cast_unsigned() & 0xff_ffff,
                block.highest_sequence,
                block.jitter,
                block.last_sr,
                block.delay,
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Part, Parts, RtcpError};
    use super::*;

    /// RFC 3550 section 6.4.1: one sender report with one block, all fields distinct.
    const SENDER: [u8; 52] = [
        0x81, 200, 0, 12, // version 2, one block, 13 words
        0x11, 0x22, 0x33, 0x44, // SSRC
        0x83, 0xaa, 0x7e, 0x80, 0x80, 0x00, 0x00, 0x00, // half a second into 1970
        0x00, 0x01, 0x5f, 0x90, // RTP 90,000
        0x00, 0x00, 0x00, 0x07, // packets
        0x00, 0x00, 0x10, 0x00, // octets
        0xaa, 0xbb, 0xcc, 0xdd, // block: SSRC
        0x40, 0xff, 0xff, 0xfe, // a quarter lost, -2 in total
        0x00, 0x02, 0xff, 0xff, // two cycles, 65,535
        0x00, 0x00, 0x00, 0x63, // jitter
        0x7e, 0x80, 0x80, 0x00, // LSR
        0x00, 0x01, 0x80, 0x00, // DLSR: 1.5 s
    ];

    const INFO: SenderInfo = SenderInfo {
        ssrc: 0x1122_3344,
        ntp: NtpTime(0x83aa_7e80_8000_0000),
        rtp: 90_000,
        packets: 7,
        octets: 4_096,
    };

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0xaabb_ccdd,
        fraction_lost: 64,
        cumulative_lost: -2,
        highest_sequence: 0x2_ffff,
        jitter: 99,
        last_sr: 0x7e80_8000,
        delay: 0x1_8000,
    };

    fn only(packet: &[u8]) -> Result<Part<'_>, RtcpError> {
        let mut parts = Parts::new(packet);
        let part = parts.next().unwrap();
        assert!(parts.next().is_none());
        part
    }

    #[test]
    fn a_sender_report_is_read_and_written_byte_by_byte() {
        let Part::SenderReport(report) = only(&SENDER).unwrap() else {
            panic!("a sender report");
        };
        assert_eq!(report.info, INFO);
        assert_eq!(report.blocks.iter().collect::<Vec<_>>(), [BLOCK]);
        let mut out = Vec::new();
        write_sender_report(&mut out, &INFO, &[BLOCK]);
        assert_eq!(out, SENDER);
        out.clear();
        write_receiver_report(&mut out, 5, &[]);
        assert_eq!(out, [0x80, 201, 0, 1, 0, 0, 0, 5]);
    }

    #[test]
    fn extensions_of_a_profile_are_passed_over() {
        let mut packet = SENDER;
        packet[0] = 0x80;
        let Part::SenderReport(report) = only(&packet).unwrap() else {
            panic!("a sender report");
        };
        assert_eq!((report.info, report.blocks.iter().len()), (INFO, 0));
    }

    #[test]
    fn a_count_that_the_length_does_not_bear_is_malformed() {
        for (kind, name) in [(200, "sender report"), (201, "receiver report")] {
            let mut packet = SENDER;
            packet[0] = 0x83;
            packet[1] = kind;
            assert_eq!(only(&packet), Err(RtcpError::Malformed(name)));
        }
        assert_eq!(
            only(&[0x80, 200, 0, 0]),
            Err(RtcpError::Malformed("sender report"))
        );
    }

    #[test]
    fn more_blocks_than_a_part_can_count_go_into_further_parts() {
        let blocks: Vec<_> = (0..70).map(|ssrc| ReportBlock { ssrc, ..BLOCK }).collect();
        let mut out = Vec::new();
        write_sender_report(&mut out, &INFO, &blocks);
        let mut read = Vec::new();
        let mut counts = Vec::new();
        for part in Parts::new(&out) {
            let blocks = match part.unwrap() {
                Part::SenderReport(report) => report.blocks,
                Part::ReceiverReport(report) => report.blocks,
                other => panic!("{other:?}"),
            };
            counts.push(blocks.iter().len());
            read.extend(blocks.iter());
        }
        assert_eq!(counts, [31, 31, 8]);
        assert_eq!(read, blocks);
    }

    #[test]
    fn losses_saturate_at_24_bits() {
        for (written, read) in [
            (i32::MAX, 0x7f_ffff),
            (i32::MIN, -0x80_0000),
            (0x7f_ffff, 0x7f_ffff),
            (-1, -1),
        ] {
            let mut out = Vec::new();
            let cumulative_lost = written;
            write_receiver_report(
                &mut out,
                1,
                &[ReportBlock {
                    cumulative_lost,
                    ..BLOCK
                }],
            );
            let Part::ReceiverReport(report) = only(&out).unwrap() else {
                panic!("a receiver report");
            };
            let block = report.blocks.iter().next().unwrap();
            assert_eq!((block.cumulative_lost, block.fraction_lost), (read, 64));
        }
    }
}
