//! Another implementation (the one of webrtc-rs) reads what is written here, and is read here.
//!
//! Left out are what it has no words for or gets wrong: transport-wide feedback in which nothing
//! arrived, estimates of zero.

use super::tests::{Owned, arrival, block, info, lost, statuses, twcc_info};
use super::*;
use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use rtc_rtcp::{
    Packet, extended_report as xr, goodbye::Goodbye, packet, payload_feedbacks as payload,
    receiver_report as rr, reception_report::ReceptionReport, sender_report as sr,
    source_description as sdes, transport_feedbacks as transport,
};
use transport::{
    cc_feedback_report as cc, transport_layer_cc as tcc, transport_layer_nack as nack,
};

type Foreign = Box<dyn Packet>;

fn foreign_block(block: &ReportBlock) -> ReceptionReport {
    ReceptionReport {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        total_lost: block.cumulative_lost.cast_unsigned() & 0xff_ffff,
        last_sequence_number: block.highest_sequence,
        jitter: block.jitter,
        last_sender_report: block.last_sr,
        delay: block.delay,
    }
}

/// Every status in a form of chunk that our writer would not choose: vectors of two bits, and a
/// run for each packet of the rest.
fn foreign_chunks(statuses: &[Option<i16>]) -> Vec<tcc::PacketStatusChunk> {
    let symbol = |status: &Option<i16>| match status {
        None => tcc::SymbolTypeTcc::PacketNotReceived,
        Some(0..=255) => tcc::SymbolTypeTcc::PacketReceivedSmallDelta,
        Some(_) => tcc::SymbolTypeTcc::PacketReceivedLargeDelta,
    };
    let (vectors, rest) = statuses.as_chunks::<7>();
    let vectors = vectors.iter().map(|statuses| {
        tcc::PacketStatusChunk::StatusVectorChunk(tcc::StatusVectorChunk {
            type_tcc: tcc::StatusChunkTypeTcc::StatusVectorChunk,
            symbol_size: tcc::SymbolSizeTypeTcc::TwoBit,
            symbol_list: statuses.iter().map(symbol).collect(),
        })
    });
    let runs = rest.iter().map(|status| {
        tcc::PacketStatusChunk::RunLengthChunk(tcc::RunLengthChunk {
            type_tcc: tcc::StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol: symbol(status),
            run_length: 1,
        })
    });
    vectors.chain(runs).collect()
}

fn foreign_twcc(info: &TwccInfo, statuses: &[Option<i16>]) -> Foreign {
    let deltas = statuses.iter().flatten().map(|delta| tcc::RecvDelta {
        type_tcc_packet: match delta {
            0..=255 => tcc::SymbolTypeTcc::PacketReceivedSmallDelta,
            _ => tcc::SymbolTypeTcc::PacketReceivedLargeDelta,
        },
        delta: i64::from(*delta) * tcc::TYPE_TCC_DELTA_SCALE_FACTOR,
    });
    Box::new(tcc::TransportLayerCc {
        sender_ssrc: info.sender,
        media_ssrc: info.media,
        base_sequence_number: info.base,
        packet_status_count: statuses.len() as u16,
        reference_time: info.reference.cast_unsigned() & 0xff_ffff,
        fb_pkt_count: info.report,
        packet_chunks: foreign_chunks(statuses),
        recv_deltas: deltas.collect(),
    })
}

fn foreign_metric(arrival: &Option<Arrival>) -> cc::CcFeedbackMetricBlock {
    let Some(Arrival { ecn, offset }) = *arrival else {
        return cc::CcFeedbackMetricBlock::default();
    };
    cc::CcFeedbackMetricBlock {
        received: true,
        ecn: match ecn {
            Ecn::NotEct => cc::Ecn::NotEct,
            Ecn::Ect1 => cc::Ecn::Ect1,
            Ecn::Ect0 => cc::Ecn::Ect0,
            Ecn::Ce => cc::Ecn::Ce,
        },
        arrival_time_offset: offset.unwrap_or(0x1fff),
    }
}

/// The same part in the other's words.
fn foreign(part: &Owned) -> Foreign {
    match part.clone() {
        Owned::Sender(info, blocks) => Box::new(sr::SenderReport {
            ssrc: info.ssrc,
            ntp_time: info.ntp.0,
            rtp_time: info.rtp,
            packet_count: info.packets,
            octet_count: info.octets,
            reports: blocks.iter().map(foreign_block).collect(),
            profile_extensions: Bytes::new(),
        }),
        Owned::Receiver(ssrc, blocks) => Box::new(rr::ReceiverReport {
            ssrc,
            reports: blocks.iter().map(foreign_block).collect(),
            profile_extensions: Bytes::new(),
        }),
        Owned::Names(names) => Box::new(sdes::SourceDescription {
            chunks: names
                .into_iter()
                .map(|(source, name)| sdes::SourceDescriptionChunk {
                    source,
                    items: vec![sdes::SourceDescriptionItem {
                        sdes_type: sdes::SdesType::SdesCname,
                        text: Bytes::from(name.unwrap_or_default()),
                    }],
                })
                .collect(),
        }),
        Owned::Bye(sources) => Box::new(Goodbye {
            sources,
            reason: Bytes::new(),
        }),
        Owned::Nack(sender_ssrc, media_ssrc, lost) => Box::new(nack::TransportLayerNack {
            sender_ssrc,
            media_ssrc,
            nacks: nack::nack_pairs_from_sequence_numbers(&lost),
        }),
        Owned::Pli(Pli { sender, media }) => {
            Box::new(payload::picture_loss_indication::PictureLossIndication {
                sender_ssrc: sender,
                media_ssrc: media,
            })
        }
        Owned::Fir(sender_ssrc, entries) => {
            Box::new(payload::full_intra_request::FullIntraRequest {
                sender_ssrc,
                media_ssrc: 0,
                fir: entries
                    .iter()
                    .map(|entry| payload::full_intra_request::FirEntry {
                        ssrc: entry.ssrc,
                        sequence_number: entry.command,
                    })
                    .collect(),
            })
        }
        Owned::Remb(sender_ssrc, bitrate, ssrcs) => Box::new(
            payload::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate {
                sender_ssrc,
                bitrate: bitrate as f32,
                ssrcs,
            },
        ),
        Owned::Twcc(info, statuses) => foreign_twcc(&info, &statuses),
        Owned::Ccfb(sender_ssrc, report_timestamp, blocks) => Box::new(cc::CcFeedbackReport {
            sender_ssrc,
            report_blocks: blocks
                .into_iter()
                .map(
                    |(media_ssrc, begin_sequence, metrics)| cc::CcFeedbackReportBlock {
                        media_ssrc,
                        begin_sequence,
                        metric_blocks: metrics.iter().map(foreign_metric).collect(),
                    },
                )
                .collect(),
            report_timestamp,
        }),
        Owned::ReceiverTime(sender_ssrc, time) => Box::new(xr::ExtendedReport {
            sender_ssrc,
            reports: vec![Box::new(xr::rrt::ReceiverReferenceTimeReportBlock {
                ntp_timestamp: time.0,
            })],
        }),
        Owned::Answers(sender_ssrc, answers) => Box::new(xr::ExtendedReport {
            sender_ssrc,
            reports: vec![Box::new(xr::dlrr::DLRRReportBlock {
                reports: answers
                    .iter()
                    .map(|answer| xr::dlrr::DLRRReport {
                        ssrc: answer.ssrc,
                        last_rr: answer.last_rr,
                        dlrr: answer.delay,
                    })
                    .collect(),
            })],
        }),
    }
}

/// The statuses that the other read, in order.
fn statuses_of(read: &tcc::TransportLayerCc) -> Vec<Option<i16>> {
    let mut deltas = read.recv_deltas.iter();
    let mut statuses = Vec::new();
    for chunk in &read.packet_chunks {
        let symbols = match chunk {
            tcc::PacketStatusChunk::RunLengthChunk(run) => {
                vec![run.packet_status_symbol; run.run_length.into()]
            }
            tcc::PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
        };
        for symbol in symbols {
            let has_arrived = symbol != tcc::SymbolTypeTcc::PacketNotReceived;
            statuses.push(has_arrived.then(|| {
                let delta = deltas.next().unwrap().delta / tcc::TYPE_TCC_DELTA_SCALE_FACTOR;
                i16::try_from(delta).unwrap()
            }));
        }
    }
    statuses.truncate(read.packet_status_count.into());
    statuses
}

/// Whether the other read what we wrote. Where one thing can be said in several ways, we need not
/// choose its way.
fn says(read: &dyn Packet, part: &Owned) -> bool {
    let any = read.as_any();
    match part {
        Owned::Twcc(info, statuses) => {
            any.downcast_ref::<tcc::TransportLayerCc>()
                .is_some_and(|read| {
                    let read = tcc::TransportLayerCc {
                        packet_chunks: foreign_chunks(&statuses_of(read)),
                        ..read.clone()
                    };
                    read.equal(foreign_twcc(info, statuses).as_ref())
                })
        }
        Owned::Nack(sender, media, lost) => any
            .downcast_ref::<nack::TransportLayerNack>()
            .is_some_and(|read| {
                let asked = read.nacks.iter().flat_map(|pair| pair.into_iter());
                (read.sender_ssrc, read.media_ssrc) == (*sender, *media)
                    && asked.eq(lost.iter().copied())
            }),
        _ => read.equal(foreign(part).as_ref()),
    }
}

/// Parts that both can say.
fn part() -> impl Strategy<Value = Owned> {
    let ssrc = any::<u32>;
    let ccfb = (ssrc(), any::<u16>(), vec(option::of(arrival()), 0..40));
    let bitrate = (1..0x4_0000_u64, 0..=46_u32).prop_map(|(mantissa, shift)| mantissa << shift);
    let arrived = statuses().prop_filter("one arrived", |all| all.iter().any(Option::is_some));
    let fir = (ssrc(), any::<u8>()).prop_map(|(ssrc, command)| FirEntry { ssrc, command });
    let dlrr = any::<[u32; 3]>().prop_map(|[ssrc, last_rr, delay]| Dlrr {
        ssrc,
        last_rr,
        delay,
    });
    prop_oneof![
        (info(), vec(block(), 0..=31)).prop_map(|(info, blocks)| Owned::Sender(info, blocks)),
        (ssrc(), vec(block(), 0..=31)).prop_map(|(s, blocks)| Owned::Receiver(s, blocks)),
        (ssrc(), ".{1,40}").prop_map(|(s, name)| Owned::Names(vec![(s, Some(name))])),
        vec(ssrc(), 1..=31).prop_map(Owned::Bye),
        (ssrc(), ssrc(), lost()).prop_map(|(s, m, lost)| Owned::Nack(s, m, lost)),
        (ssrc(), ssrc()).prop_map(|(sender, media)| Owned::Pli(Pli { sender, media })),
        (ssrc(), vec(fir, 1..20)).prop_map(|(s, entries)| Owned::Fir(s, entries)),
        (ssrc(), bitrate, vec(ssrc(), 0..20)).prop_map(|(s, rate, of)| Owned::Remb(s, rate, of)),
        (twcc_info(), arrived).prop_map(|(info, statuses)| Owned::Twcc(info, statuses)),
        (ssrc(), ssrc(), vec(ccfb, 0..5)).prop_map(|(s, at, blocks)| Owned::Ccfb(s, at, blocks)),
        (ssrc(), any::<u64>()).prop_map(|(s, time)| Owned::ReceiverTime(s, NtpTime(time))),
        (ssrc(), vec(dlrr, 1..20)).prop_map(|(s, answers)| Owned::Answers(s, answers)),
    ]
}

proptest! {
    #[test]
    fn another_implementation_reads_what_is_written(parts in vec(part(), 1..5)) {
        let mut written = Vec::new();
        for part in &parts {
            part.write(&mut written);
        }
        let read = packet::unmarshal(&mut Bytes::from(written)).unwrap();
        prop_assert_eq!(read.len(), parts.len());
        for (read, part) in read.iter().zip(&parts) {
            prop_assert!(says(read.as_ref(), part), "{:?}\n{:?}", read, part);
        }
    }

    #[test]
    fn what_another_implementation_writes_is_read(parts in vec(part(), 1..5)) {
        let theirs: Vec<_> = parts.iter().map(foreign).collect();
        let written = packet::marshal(&theirs).unwrap();
        let read: Result<Vec<_>, _> = Parts::new(&written).map(|part| part.map(Owned::of)).collect();
        prop_assert_eq!(read, Ok(parts));
    }
}
