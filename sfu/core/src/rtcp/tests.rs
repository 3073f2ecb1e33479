//! Compound packets as a whole: what is written is read again, and nothing that arrives can stop
//! or overwork the reader.

use std::time::Duration;

use super::*;
use proptest::{collection::vec, option, prelude::*};

/// A part with all that it owns.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Owned {
    Sender(SenderInfo, Vec<ReportBlock>),
    Receiver(u32, Vec<ReportBlock>),
    Names(Vec<(u32, Option<String>)>),
    Bye(Vec<u32>),
    Nack(u32, u32, Vec<u16>),
    Pli(Pli),
    Fir(u32, Vec<FirEntry>),
    Remb(u32, u64, Vec<u32>),
    Twcc(TwccInfo, Vec<Option<i16>>),
    Ccfb(u32, u32, Vec<(u32, u16, Vec<Option<Arrival>>)>),
    ReceiverTime(u32, NtpTime),
    Answers(u32, Vec<Dlrr>),
}

impl Owned {
    pub(super) fn of(part: Part<'_>) -> Self {
        match part {
            Part::SenderReport(report) => Self::Sender(report.info, report.blocks.iter().collect()),
            Part::ReceiverReport(report) => {
                Self::Receiver(report.sender, report.blocks.iter().collect())
            }
            Part::Sdes(sdes) => Self::Names(
                sdes.names()
                    .map(|(ssrc, name)| {
                        (
                            ssrc,
                            name.map(|name| String::from_utf8_lossy(name).into_owned()),
                        )
                    })
                    .collect(),
            ),
            Part::Bye(bye) => Self::Bye(bye.sources().collect()),
            Part::Nack(nack) => Self::Nack(nack.sender, nack.media, nack.sequences().collect()),
            Part::Pli(pli) => Self::Pli(pli),
            Part::Fir(fir) => Self::Fir(fir.sender, fir.entries().collect()),
            Part::Remb(remb) => Self::Remb(remb.sender, remb.bitrate, remb.ssrcs().collect()),
            Part::Twcc(twcc) => {
                let numbered: Vec<_> = twcc.statuses().collect();
                for ((sequence, _), n) in numbered.iter().zip(0..) {
                    assert_eq!(*sequence, twcc.info.base.wrapping_add(n), "in order");
                }
                Self::Twcc(
                    twcc.info,
                    numbered.into_iter().map(|(_, delta)| delta).collect(),
                )
            }
            Part::Ccfb(ccfb) => Self::Ccfb(
                ccfb.sender,
                ccfb.timestamp,
                ccfb.blocks()
                    .map(|block| {
                        let metrics = block.metrics().map(|(_, arrival)| arrival).collect();
                        (block.ssrc, block.base, metrics)
                    })
                    .collect(),
            ),
            Part::ExtendedReport(report) => match report.blocks().next() {
                Some(XrBlock::ReceiverTime(time)) => Self::ReceiverTime(report.sender, time),
                Some(XrBlock::Answers(answers)) => {
                    Self::Answers(report.sender, answers.iter().collect())
                }
                None => Self::Answers(report.sender, Vec::new()),
            },
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sender(info, blocks) => write_sender_report(out, info, blocks),
            Self::Receiver(sender, blocks) => write_receiver_report(out, *sender, blocks),
            Self::Names(names) => {
                for (ssrc, name) in names {
                    write_sdes(out, *ssrc, name.as_deref().unwrap_or_default());
                }
            }
            Self::Bye(sources) => write_bye(out, sources),
            Self::Nack(sender, media, sequences) => {
                write_nack(out, *sender, *media, sequences.iter().copied());
            }
            Self::Pli(pli) => write_pli(out, *pli),
            Self::Fir(sender, entries) => write_fir(out, *sender, entries),
            Self::Remb(sender, bitrate, ssrcs) => {
                write_remb(out, *sender, *bitrate, ssrcs).unwrap();
            }
            Self::Twcc(info, statuses) => write_twcc(out, info, statuses).unwrap(),
            Self::Ccfb(sender, timestamp, blocks) => {
                let blocks: Vec<CcfbSource<'_>> = blocks
                    .iter()
                    .map(|(ssrc, base, metrics)| (*ssrc, *base, metrics.as_slice()))
                    .collect();
                write_ccfb(out, *sender, *timestamp, &blocks).unwrap();
            }
            Self::ReceiverTime(sender, time) => write_receiver_time(out, *sender, *time),
            Self::Answers(sender, answers) => write_dlrr(out, *sender, answers),
        }
    }
}

pub(super) fn block() -> impl Strategy<Value = ReportBlock> {
    let lost = -0x80_0000_i32..0x80_0000;
    (any::<[u32; 4]>(), any::<u8>(), lost, any::<u32>()).prop_map(
        |([ssrc, highest_sequence, jitter, last_sr], fraction_lost, cumulative_lost, delay)| {
            ReportBlock {
                ssrc,
                fraction_lost,
                cumulative_lost,
                highest_sequence,
                jitter,
                last_sr,
                delay,
            }
        },
    )
}

pub(super) fn info() -> impl Strategy<Value = SenderInfo> {
    (any::<[u32; 4]>(), any::<u64>()).prop_map(|([ssrc, rtp, packets, octets], ntp)| SenderInfo {
        ssrc,
        ntp: NtpTime(ntp),
        rtp,
        packets,
        octets,
    })
}

pub(super) fn twcc_info() -> impl Strategy<Value = TwccInfo> {
    let reference = -0x80_0000_i32..0x80_0000;
    (any::<[u32; 2]>(), any::<u16>(), reference, any::<u8>()).prop_map(
        |([sender, media], base, reference, report)| TwccInfo {
            sender,
            media,
            base,
            reference,
            report,
        },
    )
}

/// Statuses in stretches, so that runs, vectors and their borders all occur.
pub(super) fn statuses() -> impl Strategy<Value = Vec<Option<i16>>> {
    let stretch = prop_oneof![
        (1..60_usize).prop_map(|n| vec![None; n]),
        vec((0..=255_i16).prop_map(Some), 1..40),
        vec(any::<i16>().prop_map(Some), 1..20),
        vec(option::of(-20..300_i16), 1..20),
    ];
    vec(stretch, 0..6).prop_map(|stretches| stretches.concat())
}

pub(super) fn arrival() -> impl Strategy<Value = Arrival> {
    let ecn = prop_oneof![
        Just(Ecn::NotEct),
        Just(Ecn::Ect1),
        Just(Ecn::Ect0),
        Just(Ecn::Ce)
    ];
    (ecn, option::of(0..0x1fff_u16)).prop_map(|(ecn, offset)| Arrival { ecn, offset })
}

/// Ascending numbers from anywhere, as a receiver asks for them.
pub(super) fn lost() -> impl Strategy<Value = Vec<u16>> {
    (any::<u16>(), vec(1..40_u16, 1..60)).prop_map(|(start, steps)| {
        steps
            .into_iter()
            .scan(start, |at, step| {
                *at = at.wrapping_add(step);
                Some(*at)
            })
            .collect()
    })
}

/// Parts as the writers put them into one part each.
fn part() -> impl Strategy<Value = Owned> {
    let ssrc = any::<u32>;
    let fir = (ssrc(), any::<u8>()).prop_map(|(ssrc, command)| FirEntry { ssrc, command });
    let dlrr = any::<[u32; 3]>().prop_map(|[ssrc, last_rr, delay]| Dlrr {
        ssrc,
        last_rr,
        delay,
    });
    let ccfb = (ssrc(), any::<u16>(), vec(option::of(arrival()), 0..40));
    // What 18 bits and an exponent can say.
    let bitrate = (0..0x4_0000_u64, 0..=46_u32).prop_map(|(mantissa, shift)| mantissa << shift);
    prop_oneof![
        (info(), vec(block(), 0..=31)).prop_map(|(info, blocks)| Owned::Sender(info, blocks)),
        (ssrc(), vec(block(), 0..=31)).prop_map(|(s, blocks)| Owned::Receiver(s, blocks)),
        (ssrc(), ".{0,40}").prop_map(|(s, name)| Owned::Names(vec![(s, Some(name))])),
        vec(ssrc(), 1..=31).prop_map(Owned::Bye),
        (ssrc(), ssrc(), lost()).prop_map(|(s, m, lost)| Owned::Nack(s, m, lost)),
        (ssrc(), ssrc()).prop_map(|(sender, media)| Owned::Pli(Pli { sender, media })),
        (ssrc(), vec(fir, 1..20)).prop_map(|(s, entries)| Owned::Fir(s, entries)),
        (ssrc(), bitrate, vec(ssrc(), 0..20)).prop_map(|(s, rate, of)| Owned::Remb(s, rate, of)),
        (twcc_info(), statuses()).prop_map(|(info, statuses)| Owned::Twcc(info, statuses)),
        (ssrc(), ssrc(), vec(ccfb, 0..5)).prop_map(|(s, at, blocks)| Owned::Ccfb(s, at, blocks)),
        (ssrc(), any::<u64>()).prop_map(|(s, time)| Owned::ReceiverTime(s, NtpTime(time))),
        (ssrc(), vec(dlrr, 1..20)).prop_map(|(s, answers)| Owned::Answers(s, answers)),
    ]
}

/// Reads all there is and returns how many items that were: parts, entries, packets told of.
fn drain(packet: &[u8]) -> usize {
    let mut items = 0;
    let mut told = 0;
    let mut has_failed = false;
    for part in Parts::new(packet) {
        assert!(!has_failed, "an error is the last item");
        items += 1;
        let Ok(part) = part else {
            has_failed = true;
            continue;
        };
        items += match part {
            Part::SenderReport(report) => report.blocks.iter().count(),
            Part::ReceiverReport(report) => report.blocks.iter().count(),
            Part::Sdes(sdes) => sdes.names().count(),
            Part::Bye(bye) => bye.sources().count(),
            Part::Nack(nack) => nack.sequences().count(),
            Part::Pli(_) => 0,
            Part::Fir(fir) => fir.entries().count(),
            Part::Remb(remb) => remb.ssrcs().count(),
            Part::Ccfb(ccfb) => ccfb.blocks().map(|block| 1 + block.metrics().count()).sum(),
            Part::Twcc(twcc) => {
                told += twcc.statuses().count();
                0
            }
            Part::ExtendedReport(report) => report.blocks().fold(0, |sum, block| match block {
                XrBlock::ReceiverTime(_) => sum + 1,
                XrBlock::Answers(answers) => sum + 1 + answers.iter().count(),
            }),
        };
    }
    assert!(
        told <= usize::from(MAX_TWCC_STATUSES),
        "{told} packets told of"
    );
    items
}

#[test]
fn what_ends_a_packet_is_named() {
    let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    // What follows a whole part, and the error that it gives.
    let table: [(&[u8], RtcpError); 6] = [
        (&[0x80, 200, 0], RtcpError::Header),
        (&[0x40, 200, 0, 0], RtcpError::Version(1)),
        (&[0x80, 200, 0, 7, 0, 0, 0, 0], RtcpError::Length),
        (&[0xa1, 206, 0, 0], RtcpError::Padding),
        (&[0xa1, 206, 0, 1, 0, 0, 0, 0], RtcpError::Padding),
        (&[0xa1, 206, 0, 1, 0, 0, 0, 5], RtcpError::Padding),
    ];
    for (rest, error) in table {
        // Behind the broken part lies a whole one, which is not read.
        let packet = [&pli, rest, &[]].concat();
        let mut parts = Parts::new(&packet);
        assert!(matches!(parts.next(), Some(Ok(Part::Pli(_)))));
        assert_eq!(parts.next(), Some(Err(error)), "{rest:x?}");
        assert_eq!(parts.next(), None);
    }
    assert_eq!(Parts::new(&[]).next(), None);
}

#[test]
fn parts_of_other_kinds_are_passed_over_and_padding_is_taken_off() {
    let packet = [
        &[0x80_u8, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e'] as &[u8],
        // TMMBR, an unknown packet type, and an empty one.
        &[0x83, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2],
        &[0x80, 210, 0, 1, 9, 9, 9, 9],
        &[0x80, 192, 0, 0],
        // A goodbye with four bytes of padding.
        &[0xa1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4],
    ]
    .concat();
    let parts: Vec<_> = Parts::new(&packet)
        .map(|part| Owned::of(part.unwrap()))
        .collect();
    assert_eq!(parts, [Owned::Bye(vec![7])]);
}

/// A report goes out at 100 s, arrives 40 ms later, is held for 250 ms, and is answered.
#[test]
fn both_sides_measure_the_round_trip() {
    let trip = Duration::from_millis(80);
    let held = duration_to_compact(Duration::from_millis(250));
    let sent = NtpTime::from_unix(Duration::from_secs(100));
    let back = NtpTime::from_unix(Duration::from_millis(100_330)).compact();
    let is_near = |rtt: Option<Duration>| rtt.unwrap().abs_diff(trip) < Duration::from_micros(50);

    let mut packet = Vec::new();
    write_receiver_time(&mut packet, 7, sent);
    let Some(Ok(Part::ExtendedReport(asked))) = Parts::new(&packet).next() else {
        panic!("an extended report");
    };
    let Some(XrBlock::ReceiverTime(time)) = asked.blocks().next() else {
        panic!("a time");
    };
    let answer = Dlrr {
        ssrc: asked.sender,
        last_rr: time.compact(),
        delay: held,
    };
    let mut packet = Vec::new();
    write_dlrr(&mut packet, 8, &[answer]);
    let read = Parts::new(&packet).next().unwrap().map(Owned::of);
    assert_eq!(read, Ok(Owned::Answers(8, vec![answer])));
    assert!(is_near(rtt(back, answer.last_rr, answer.delay)));
    assert_eq!(rtt(back, 0, answer.delay), None, "asked for nothing");
}

proptest! {
    #[test]
    fn what_is_written_is_read(parts in vec(part(), 0..6)) {
        let mut packet = Vec::new();
        for part in &parts {
            part.write(&mut packet);
            prop_assert_eq!(packet.len() % 4, 0);
        }
        let read: Result<Vec<_>, _> = Parts::new(&packet).map(|part| part.map(Owned::of)).collect();
        prop_assert_eq!(read, Ok(parts));
    }

    #[test]
    fn arbitrary_bytes_end_without_harm(packet in vec(any::<u8>(), 0..1_500)) {
        prop_assert!(drain(&packet) <= packet.len() * 5);
    }

    /// Closer to what a hostile peer sends than noise: real packets with bytes changed, and cut.
    #[test]
    fn changed_packets_end_without_harm(
        parts in vec(part(), 1..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut packet = Vec::new();
        for part in &parts {
            part.write(&mut packet);
        }
        for (at, value) in changes {
            *at.get_mut(&mut packet) = value;
        }
        if is_cut {
            packet.truncate(cut.index(packet.len()));
        }
        prop_assert!(drain(&packet) <= packet.len() * 5);
    }

    /// Headers that lead into every reader, with whatever behind them.
    #[test]
    fn arbitrary_bodies_of_known_parts_end_without_harm(
        kind in 199..=208_u8,
        count in 0..=31_u8,
        is_padded: bool,
        words in vec(any::<[u8; 4]>(), 0..64),
    ) {
        let first = 0x80 | u8::from(is_padded) << 5 | count;
        let mut packet = vec![first, kind, 0, words.len() as u8];
        packet.extend(words.concat());
        prop_assert!(drain(&packet) <= packet.len() * 5);
    }

    #[test]
    fn estimates_are_rounded_down_by_less_than_a_hundred_thousandth(bitrate: u64) {
        let mut packet = Vec::new();
        write_remb(&mut packet, 1, bitrate, &[]).unwrap();
        let Some(Ok(Part::Remb(remb))) = Parts::new(&packet).next() else {
            panic!("an estimate");
        };
        prop_assert!(remb.bitrate <= bitrate);
        prop_assert!(bitrate - remb.bitrate <= bitrate / 100_000);
    }
}
