//! The lane as a whole: what comes out of it for what is written to it.

mod path;
mod rfc8867;
mod tcp;

use std::collections::BTreeSet;

use proptest::prelude::*;
use slotmap::KeyData;

use super::*;
use crate::{
    Protocol,
    outbox::Route,
    rtcp::write_remb,
    rtp::{Codec, ExtensionValues, Patch, Rewritten},
    srtp::{Profile, contexts},
};

const PAYLOAD_TYPE: PayloadType = PayloadType {
    media: 96,
    repair: Some(97),
};

fn subscription(number: u64) -> SubscriptionKey {
    KeyData::from_ffi(number << 32 | 1).into()
}

/// A transport that is connected, without sections.
fn connected(now: Instant, first_ssrc: u32) -> Egress {
    let profile = Profile::AeadAes128Gcm;
    let material = vec![7; profile.material_len()];
    let (sender, receiver) = contexts(&material, profile, true).unwrap();
    let mut egress = Egress::new(now, first_ssrc, false);
    egress.lane.connect(sender, receiver);
    egress.lane.set_route(
        now,
        Route {
            source: ([10, 0, 0, 1], 1).into(),
            destination: ([10, 0, 0, 2], 2).into(),
            protocol: Protocol::Udp,
        },
    );
    egress
}

fn names(track: &str) -> Names {
    Names {
        track: track.into(),
        alone: format!("P|{track}"),
        shared: Some("P|camera".into()),
    }
}

/// Gives a section to a subscription as an offer and its answer do.
fn serve(egress: &mut Egress, tenant: u64, is_video: bool) -> SlotIndex {
    let slot = egress.open(
        subscription(tenant),
        is_video,
        Formats::All,
        names(&tenant.to_string()),
    );
    egress.renew_streams();
    for slot in &mut egress.slots {
        if slot.is_changed() {
            slot.offered = slot.wish.as_ref().map(|tenant| tenant.subscription);
            slot.payload_types = vec![Some(Some(PAYLOAD_TYPE))];
        }
        if let Some(stream) = &mut slot.stream {
            stream.ids = ElementIds::of(&crate::rtp::extension_map());
        }
    }
    slot
}

fn packet(codec: Codec, sequence: u64, bytes: usize) -> Arc<Packet> {
    let values = ExtensionValues::default();
    let payload: Arc<[u8]> = Arc::from(vec![0x41; bytes]);
    Arc::new(Packet::parse(
        codec,
        sequence,
        0,
        false,
        payload,
        &values,
        Instant::now(),
    ))
}

fn media(packet: &Arc<Packet>, sequence: u64) -> Media<'_> {
    Media {
        packet,
        payload: &packet.payload,
        is_empty: false,
        repeated: None,
        encoding: 0,
        payload_type: PAYLOAD_TYPE,
        rewritten: Rewritten {
            sequence,
            timestamp: 0,
            marker: false,
            patch: Patch::default(),
        },
        captured: packet.arrival,
    }
}

/// Payload type, sequence number and SSRC of all that is queued.
fn drained(outbox: &mut Outbox) -> Vec<(u8, u16, u32)> {
    let mut headers = Vec::new();
    while let Some(run) = outbox.poll() {
        headers.extend(run.datagrams().map(|bytes| {
            let head: [u8; 12] = bytes[..12].try_into().unwrap();
            let [_, kind, s0, s1, _, _, _, _, ssrc @ ..] = head;
            (
                kind & 0x7f,
                u16::from_be_bytes([s0, s1]),
                u32::from_be_bytes(ssrc),
            )
        }));
    }
    headers
}

#[test]
fn a_missing_packet_is_sent_again_on_the_stream_that_repairs() {
    let now = Instant::now();
    let mut outbox = Outbox::new(16);
    let mut egress = connected(now, 100);
    let slot = serve(&mut egress, 1, true);
    let sent = packet(Codec::H264, 500, 900);
    assert_eq!(
        egress.write(now, &mut outbox, slot, &media(&sent, 9)),
        Ok(true)
    );
    assert_eq!(drained(&mut outbox), [(96, 9, 100)]);
    let mut repair = |at: Instant, sequence: u16, kept: Option<&Arc<Packet>>| {
        let done = egress.repair(at, &mut outbox, slot, sequence, |encoding, origin| {
            assert_eq!((encoding, origin), (0, 500));
            kept.cloned()
        });
        (
            done,
            drained(&mut outbox).first().map(|head| (head.0, head.2)),
        )
    };
    assert_eq!(repair(now, 9, Some(&sent)), (Repair::Sent, Some((97, 101))));
    assert_eq!(repair(now, 9, Some(&sent)), (Repair::Refused, None));
    assert_eq!(repair(now, 10, Some(&sent)), (Repair::Refused, None));
    let later = now + Duration::from_millis(20);
    assert_eq!(repair(later, 9, None), (Repair::Gone, None));
}

#[test]
fn what_a_client_misses_is_told_stream_by_stream_whatever_its_order() {
    let now = Instant::now();
    let anchor = ClockAnchor::new(now, std::time::SystemTime::UNIX_EPOCH);
    let mut egress = connected(now, 100);
    let slots = [1, 2].map(|tenant| serve(&mut egress, tenant, true));
    let ssrcs = slots.map(|slot| egress.stream_mut(slot).unwrap().ssrc);
    let mut report = Vec::new();
    for (stream, sequences) in [(1, [8, 9]), (0, [5, 6]), (1, [3, 4])] {
        crate::rtcp::write_nack(&mut report, 1, ssrcs[stream], sequences);
    }
    let pli = crate::rtcp::Pli {
        sender: 1,
        media: ssrcs[1],
    };
    crate::rtcp::write_pli(&mut report, pli);
    let mut told = Vec::new();
    egress.take_reports(now, &anchor, &report, &mut told);
    let missing = |slot: usize, sequence| Feedback::Missing {
        slot: slots[slot],
        sequence,
    };
    let expected = [
        Feedback::KeyframeRequest(subscription(2)),
        missing(0, 5),
        missing(0, 6),
        missing(1, 3),
        missing(1, 4),
        missing(1, 8),
        missing(1, 9),
    ];
    assert_eq!(told, expected);
}

#[test]
fn numbers_of_a_stream_that_repairs_are_none_of_media() {
    let now = Instant::now();
    let anchor = ClockAnchor::new(now, std::time::SystemTime::UNIX_EPOCH);
    let mut egress = connected(now, 100);
    let slot = serve(&mut egress, 1, true);
    let stream = egress.stream_mut(slot).unwrap();
    let (media, repairs) = (stream.ssrc, stream.repair_ssrc.unwrap());
    for (ssrc, expected) in [(media, 2), (repairs, 0)] {
        let mut report = Vec::new();
        crate::rtcp::write_nack(&mut report, 1, ssrc, [8, 9]);
        let mut told = Vec::new();
        egress.take_reports(now, &anchor, &report, &mut told);
        assert_eq!(told.len(), expected, "{told:?}");
    }
}

#[test]
fn a_large_picture_is_spread_and_sound_does_not_wait_behind_it() {
    let now = Instant::now();
    let mut outbox = Outbox::new(64);
    let mut egress = connected(now, 100);
    let picture = serve(&mut egress, 1, true);
    let sound = serve(&mut egress, 2, false);
    for sequence in 0..40 {
        let part = packet(Codec::H264, sequence, 1_000);
        egress
            .write(now, &mut outbox, picture, &media(&part, sequence))
            .unwrap();
    }
    let voice = packet(Codec::Opus, 1, 80);
    egress
        .write(now, &mut outbox, sound, &media(&voice, 1))
        .unwrap();
    let first = drained(&mut outbox);
    // 10 ms of 10 Mbit/s, as long as nothing is known of the link.
    assert_eq!(first.len(), 14);
    assert_eq!(first.last(), Some(&(96, 1, 102)));
    let anchor = ClockAnchor::new(now, std::time::SystemTime::UNIX_EPOCH);
    let mut sequences = Vec::new();
    for millis in [5, 10, 15, 20, 25] {
        let at = now + Duration::from_millis(millis);
        egress.handle_timeout(at, &anchor, &mut outbox, &mut |_, _, _| None);
        sequences.extend(
            drained(&mut outbox)
                .iter()
                .map(|(_, sequence, _)| *sequence),
        );
    }
    assert_eq!(sequences, (13..40).collect::<Vec<u16>>());
    // What waits for a tenant that is gone is not sent to the next one.
    for sequence in 40..80 {
        let part = packet(Codec::H264, sequence, 1_000);
        let at = now + Duration::from_millis(40);
        egress
            .write(at, &mut outbox, picture, &media(&part, sequence))
            .unwrap();
    }
    drained(&mut outbox);
    egress.close(subscription(1));
    egress.renew_streams();
    let later = now + Duration::from_millis(80);
    egress.handle_timeout(later, &anchor, &mut outbox, &mut |_, _, _| None);
    let left = drained(&mut outbox);
    assert!(left.iter().all(|(kind, ..)| *kind != 96), "{left:?}");
}

#[test]
fn a_picture_is_spread_by_the_estimate_of_a_client_that_numbers_nothing() {
    let now = Instant::now();
    let mut outbox = Outbox::new(64);
    let mut egress = connected(now, 100);
    let picture = serve(&mut egress, 1, true);
    for slot in &mut egress.slots {
        let stream = slot.stream.as_mut().unwrap();
        stream.ids = ElementIds::default();
    }
    let mut remb = Vec::new();
    write_remb(&mut remb, 1, 800_000, &[]).unwrap();
    let anchor = ClockAnchor::new(now, std::time::SystemTime::UNIX_EPOCH);
    egress.take_reports(now, &anchor, &remb, &mut Vec::new());
    for sequence in 0..15 {
        let part = packet(Codec::H264, sequence, 1_000);
        egress
            .write(now, &mut outbox, picture, &media(&part, sequence))
            .unwrap();
    }
    // 120,000 bits at one and a half times the estimate take 100 ms.
    let pictures = |outbox: &mut Outbox| {
        let sent = drained(outbox);
        sent.iter().filter(|(kind, ..)| *kind == 96).count()
    };
    let mut sent = vec![pictures(&mut outbox)];
    for millis in (5..=100).step_by(5) {
        let at = now + Duration::from_millis(millis);
        egress.handle_timeout(at, &anchor, &mut outbox, &mut |_, _, _| None);
        sent.push(pictures(&mut outbox));
    }
    assert!(sent[..10].iter().sum::<usize>() <= 9, "{sent:?}");
    assert_eq!(sent.iter().sum::<usize>(), 15, "{sent:?}");
}

#[test]
fn who_loses_what_waited_is_told_once() {
    let now = Instant::now();
    let mut outbox = Outbox::new(64);
    let mut egress = connected(now, 100);
    let (large, small) = (serve(&mut egress, 1, true), serve(&mut egress, 2, true));
    let mut write = |egress: &mut Egress, slot, sequence| {
        let part = packet(Codec::H264, sequence, 1_400);
        egress.write(now, &mut outbox, slot, &media(&part, sequence))
    };
    // A second of it waits.
    let mut sequence = 0;
    while !egress.lane.pacer.is_long() {
        write(&mut egress, large, sequence).unwrap();
        sequence += 1;
    }
    assert_eq!(egress.take_cut(), None);
    assert_eq!(write(&mut egress, small, 0), Ok(true));
    assert_eq!(egress.take_cut(), Some(subscription(1)));
    assert_eq!(egress.take_cut(), None);
    assert!(egress.take_discarded() > 0);
    // One that has to give way to itself sends no more of what nobody can decode.
    let mut sequence = 1;
    while !egress.lane.pacer.is_long() {
        write(&mut egress, small, sequence).unwrap();
        sequence += 1;
    }
    let one_more = write(&mut egress, small, sequence);
    assert_eq!(one_more, Err(Unsent::QueueFull));
    assert!(egress.lane.pacer.is_empty());
    assert_eq!(egress.lane.shares.most(), None);
}

#[test]
fn what_waits_is_known_by_section_without_looking_through_it() {
    let now = Instant::now();
    let anchor = ClockAnchor::new(now, std::time::SystemTime::UNIX_EPOCH);
    let mut outbox = Outbox::new(64);
    let mut egress = connected(now, 100);
    let slots = [1, 2, 3].map(|tenant| serve(&mut egress, tenant, true));
    // The same by looking through all that waits.
    let most = |egress: &Egress| {
        let mut sums = [Some(0); 3];
        for (queued, bytes) in egress.lane.pacer.waiting() {
            if let Queued::Media(waiting) = queued {
                let sum = &mut sums[waiting.slot];
                *sum = sum
                    .filter(|_| !waiting.is_keyframe())
                    .map(|sum| sum + bytes);
            }
        }
        let most = sums.iter().enumerate().max_by_key(|(_, sum)| **sum)?;
        most.1.filter(|sum| *sum > 0).map(|_| most.0)
    };
    let mut known = Vec::new();
    for step in 0..900_u64 {
        // Four times as much as goes out in that time.
        let at = now + Duration::from_micros(step * 10);
        let slot = (step * step % 7 % 3) as usize;
        // A single NAL unit of H.264: parameter sets start a keyframe.
        let mut part = packet(Codec::H264, step, 700 + 100 * slot);
        if step % 97 == 5 {
            Arc::make_mut(&mut part).is_keyframe = true;
        }
        let _ = egress.write(at, &mut outbox, slots[slot], &media(&part, step));
        if step % 5 == 0 {
            egress.handle_timeout(at, &anchor, &mut outbox, &mut |_, _, _| None);
        }
        if step % 211 == 210 {
            egress.drop_waiting(slots[slot]);
        }
        assert_eq!(egress.lane.shares.most(), most(&egress), "step {step}");
        known.push(egress.lane.shares.most());
    }
    known.sort_unstable();
    known.dedup();
    assert!(known.len() > 2, "{known:?}");
}

#[test]
fn what_has_waited_for_seconds_is_not_sent_any_more() {
    let now = Instant::now();
    let anchor = ClockAnchor::new(now, std::time::SystemTime::UNIX_EPOCH);
    let mut outbox = Outbox::new(64);
    let mut egress = connected(now, 100);
    let picture = serve(&mut egress, 1, true);
    for sequence in 0..40 {
        let part = packet(Codec::H264, sequence, 1_000);
        egress
            .write(now, &mut outbox, picture, &media(&part, sequence))
            .unwrap();
    }
    let sent = drained(&mut outbox).len() as u64;
    let later = now + Duration::from_secs(4);
    egress.handle_timeout(later, &anchor, &mut outbox, &mut |_, _, _| None);
    let left = drained(&mut outbox);
    assert!(left.iter().all(|(kind, ..)| *kind != 96), "{left:?}");
    assert_eq!(egress.take_discarded(), 40 - sent);
    assert_eq!(egress.take_cut(), Some(subscription(1)));
}

#[test]
fn a_section_of_the_client_serves_one_track_after_another_under_one_name() {
    let now = Instant::now();
    let mut outbox = Outbox::new(16);
    let mut egress = connected(now, 100);
    egress.is_fixed = true;
    let open = |egress: &mut Egress, tenant: u64| {
        let names = names(&tenant.to_string());
        let slot = egress.open(subscription(tenant), true, Formats::All, names);
        egress.slots[slot.0].payload_types = vec![Some(Some(PAYLOAD_TYPE))];
        slot
    };
    assert!(!egress.has_place(true), "before the client's offer");
    let mut stream = Stream::new(7, Some(8), 0);
    stream.ids = ElementIds::of(&crate::rtp::extension_map());
    egress.slots.push(Slot {
        is_fixed: true,
        stream: Some(stream),
        ..Slot::new(true)
    });
    assert!(egress.has_place(true) && !egress.has_place(false));
    let slot = open(&mut egress, 1);
    assert!(egress.is_serving(slot) && !egress.has_place(true));
    assert!(!egress.is_changed(), "there is nothing to offer");
    let sent = packet(Codec::H264, 500, 900);
    assert!(
        egress
            .write(now, &mut outbox, slot, &media(&sent, 9))
            .is_ok()
    );
    egress.close(subscription(1));
    assert!(!egress.is_serving(slot) && egress.has_place(true));
    assert_eq!(
        egress.write(now, &mut outbox, slot, &media(&sent, 10)),
        Err(Unsent::NotServing)
    );

    assert_eq!(open(&mut egress, 2), slot);
    // The number stays used, and what the track before sent is not sent again for the next.
    assert_eq!(
        egress.write(now, &mut outbox, slot, &media(&sent, 9)),
        Err(Unsent::Used)
    );
    let find = |_, _| Some(Arc::clone(&sent));
    let again = egress.repair(now, &mut outbox, slot, 9, find);
    assert_eq!(again, Repair::Refused);
    assert!(
        egress
            .write(now, &mut outbox, slot, &media(&sent, 10))
            .is_ok()
    );
    assert_eq!(drained(&mut outbox), [(96, 9, 7), (96, 10, 7)]);
}

#[derive(Debug, Clone)]
enum Step {
    /// A packet with a number this far from the highest.
    Write(i64),
    /// A request for the packet this far back.
    Repair(u16),
    /// The section goes to another subscription.
    Renew,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (-100_i64..3_000).prop_map(Step::Write),
        10 => Just(Step::Write(1)),
        6 => (0_u16..600).prop_map(Step::Repair),
        1 => Just(Step::Renew),
    ]
}

proptest! {
    /// Under one key no SSRC and number come together twice: across late packets and copies, what is
    /// sent again, changes of tenant and the wrap of the numbers (RFC 3711 section 9.1).
    #[test]
    fn no_nonce_is_used_twice(
        first_ssrc in prop_oneof![any::<u32>(), Just(u32::MAX - 3)],
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut outbox = Outbox::new(16);
        let mut egress = connected(now, first_ssrc);
        let (mut tenant, mut highest) = (1, 30_000_u64);
        let mut slot = serve(&mut egress, tenant, true);
        let mut used = BTreeSet::new();
        let mut newest: std::collections::BTreeMap<u32, u64> = Default::default();
        let kept = packet(Codec::H264, 1, 100);
        for step in steps {
            now += Duration::from_millis(11);
            match step {
                Step::Write(ahead) => {
                    let sequence = highest.saturating_add_signed(ahead);
                    highest = highest.max(sequence);
                    let _ = egress.write(now, &mut outbox, slot, &media(&kept, sequence));
                }
                Step::Repair(back) => {
                    let sequence = (highest as u16).wrapping_sub(back);
                    let find = |_, _| Some(Arc::clone(&kept));
                    egress.repair(now, &mut outbox, slot, sequence, find);
                }
                Step::Renew => {
                    egress.close(subscription(tenant));
                    tenant += 1;
                    // The next tenant's numbers begin anew.
                    highest = 30_000;
                    slot = serve(&mut egress, tenant, true);
                }
            }
            for (_, sequence, ssrc) in drained(&mut outbox) {
                // The index nearest to the newest that ends in these bits, as receivers read it.
                let last = newest.entry(ssrc).or_insert_with(|| sequence.into());
                let ahead = sequence.wrapping_sub(*last as u16).cast_signed();
                let index = last.saturating_add_signed(i64::from(ahead));
                *last = index.max(*last);
                prop_assert!(used.insert((ssrc, index)), "{ssrc} {index} twice");
            }
        }
    }
}

#[test]
fn only_the_first_track_of_a_section_shares_a_stream() {
    let mut egress = connected(Instant::now(), 100);
    let mut stream_of = |tenant: u64| {
        let slot = serve(&mut egress, tenant, true);
        let stream = egress.slots[slot.0].wish.as_ref().unwrap().stream.clone();
        (slot, stream)
    };
    let (first, stream) = stream_of(1);
    assert_eq!(stream, "P|camera");
    let (second, stream) = stream_of(2);
    assert_eq!(stream, "P|camera");
    assert_ne!(first, second);
    egress.close(subscription(1));
    serve(&mut egress, 3, false);
    // Given back and offered so, the section serves another track, which clients would take for the first.
    let slot = serve(&mut egress, 4, true);
    assert_eq!(slot, first);
    let wish = egress.slots[slot.0].wish.as_ref().unwrap();
    assert_eq!((wish.stream.as_str(), wish.track.as_str()), ("P|4", "4"));
}
