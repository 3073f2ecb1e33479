//! The laws of the whole: media that should flow does, every packet is accounted for, and nothing is
//! told out of order. Must not change anything.

use std::time::Duration;

use sfu_core::DropReason;

use super::{ClientKey, World};
use crate::{LinkSettings, Violation, media::SourceKind};

/// How often the laws are looked at.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// Longest time without a frame while all is well. A layer that is switched off at its source is missed
/// after 1.5 s, and its successor begins with a keyframe.
pub(super) const LIVENESS: Duration = Duration::from_millis(3_000);

/// The same on a link so bad that handshakes and keyframes need several attempts.
const LIVENESS_ON_BAD_LINKS: Duration = Duration::from_secs(15);
const BAD_LINK: f64 = 0.1;

/// A rate at which a keyframe takes long, in bits per second.
const NARROW: u64 = 1_000_000;

/// Whether a link is so bad; `bearable` is the share of single losses that is not.
fn is_bad(link: &LinkSettings, bearable: f64) -> bool {
    let is_narrow = link.rate.is_some_and(|(rate, _)| rate < NARROW);
    link.loss > bearable || link.bursts.is_some() || is_narrow
}

/// Datagrams by what their first bytes say.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    /// RTP sent by clients, retransmissions included.
    client_rtp: u64,
    /// The same of the node.
    node_rtp: u64,
}

impl Counts {
    pub(super) fn on_sent_by_client(&mut self, bytes: &[u8]) {
        self.client_rtp += u64::from(is_rtp(bytes));
    }

    pub(super) fn on_sent_by_node(&mut self, bytes: &[u8]) {
        self.node_rtp += u64::from(is_rtp(bytes));
    }
}

/// RTP and not RTCP (RFC 5761).
fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, kind, ..] if !(192..=223).contains(kind))
}

/// Why a packet was not handed to a subscriber, of those it was offered to.
const FORWARDING: [DropReason; 10] = [
    DropReason::NotWanted,
    DropReason::AwaitingKeyframe,
    DropReason::TemporalLayer,
    DropReason::SpatialLayer,
    DropReason::Paused,
    DropReason::Stale,
    DropReason::CodecUnsupported,
    DropReason::NotConnected,
    DropReason::NotLoudest,
    DropReason::QueueFull,
];

impl World {
    /// Looks at the laws of the whole.
    pub(super) fn judge(&mut self) {
        for index in 0..self.clients.len() {
            let clock = self.clock;
            let client = &mut self.clients[index];
            client.judge(&clock);
            let place = client.options.join.identity.clone();
            let is_waived = client.is_waived;
            let found = client.violations.drain(..).filter(|_| !is_waived);
            self.violations.extend(found.map(|what| Violation {
                at: clock.now,
                place: place.clone(),
                what,
            }));
        }
        self.judge_liveness();
        self.judge_conservation();
    }

    /// Lets media that should flow stay away for longer: where several things go wrong at once, one waits for another.
    pub fn bear(&mut self, gap: Duration) {
        self.liveness = gap;
    }

    /// Panics if a law was broken.
    pub(super) fn assert_lawful(&mut self) {
        self.judge();
        let found: Vec<_> = self
            .violations
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect();
        assert!(
            found.is_empty(),
            "seed {}: {} violations\n{}\n{}",
            self.seed,
            self.violations.len(),
            found.join("\n"),
            self.summary()
        );
    }

    /// Every packet offered to a subscription was forwarded, or dropped for a reason that is counted.
    fn judge_conservation(&mut self) {
        for index in 0..self.shard_count() {
            let stats = self.shard_at(index).stats();
            let dropped: u64 = FORWARDING.iter().map(|reason| stats.dropped(*reason)).sum();
            let offered = stats.packets_offered;
            if offered != stats.packets_forwarded + dropped {
                let forwarded = stats.packets_forwarded;
                self.breach(
                    &format!("shard {index}"),
                    format!("{offered} offered, {forwarded} forwarded, {dropped} dropped"),
                );
            }
        }
    }

    /// All packets that were under way have arrived. Everything the clients sent was taken or dropped
    /// for a reason, and everything forwarded was received; only where the links lose nothing.
    pub fn assert_all_accounted(&mut self) {
        let lossless = self.network.lost == 0;
        assert!(lossless, "with loss nothing can be said");
        let stats = self.stats();
        let sent: u64 = self.clients.iter().map(|client| client.media_sent).sum();
        let refused = [
            DropReason::UnknownStream,
            DropReason::SsrcLimit,
            DropReason::UnvalidatedSource,
            DropReason::Malformed,
        ];
        let refused: u64 = refused.iter().map(|reason| stats.dropped(*reason)).sum();
        assert_eq!(
            sent, self.counts.client_rtp,
            "clients sent again what was not lost"
        );
        assert!(
            stats.packets_received <= sent && sent <= stats.packets_received + refused,
            "{sent} sent, {} taken, {refused} refused",
            stats.packets_received
        );
        let received: u64 = self
            .clients
            .iter()
            .map(|client| client.media_received)
            .sum();
        assert_eq!(
            stats.packets_forwarded - stats.packets_discarded + stats.packets_padding,
            self.counts.node_rtp,
            "forwarded, and on the wire"
        );
        assert_eq!(
            stats.packets_forwarded - stats.packets_discarded,
            received,
            "forwarded, and received by clients"
        );
    }

    /// Media that should flow does.
    fn judge_liveness(&mut self) {
        let mut stalled = Vec::new();
        for (index, subscriber) in self.clients.iter().enumerate() {
            let is_cut_off = subscriber.options.downlink.is_cut();
            if subscriber.closed().is_some() || is_cut_off || !subscriber.options.answers_offers {
                continue;
            }
            for (other, publisher) in self.clients.iter().enumerate() {
                let is_same_room = publisher.options.join.room == subscriber.options.join.room;
                if other == index || !is_same_room || publisher.closed().is_some() {
                    continue;
                }
                for source in &publisher.sources {
                    let Some(track) = &source.track_id else {
                        continue;
                    };
                    let (Some(flowing), Some(wanted)) =
                        (source.flowing_since, subscriber.wants_since(track))
                    else {
                        continue;
                    };
                    let frame = subscriber
                        .stream(source.id)
                        .and_then(|s| s.check.report.last_at);
                    // What was asked for on a link that was cut is asked for anew.
                    let restored = publisher.restored.max(subscriber.restored);
                    let since = flowing.max(wanted).max(frame.unwrap_or_default());
                    let since = since.max(restored);
                    let gap = self.clock.now.saturating_sub(since);
                    let links = [
                        publisher.options.uplink,
                        publisher.options.downlink,
                        subscriber.options.uplink,
                        subscriber.options.downlink,
                    ];
                    // A lost handshake is sent again after a second, then two, then four.
                    let has_begun = frame.is_some_and(|frame| frame > restored);
                    let bearable = if has_begun { BAD_LINK } else { 0.0 };
                    let is_bad = links.iter().any(|link| is_bad(link, bearable));
                    if gap
                        > (if is_bad {
                            LIVENESS_ON_BAD_LINKS
                        } else {
                            self.liveness
                        })
                    {
                        let kind = match source.kind {
                            SourceKind::Audio => "audio",
                            SourceKind::Video => "video",
                        };
                        let section = subscriber.section_of(track);
                        let off: Vec<_> = source.encoders.iter().map(|e| e.is_off).collect();
                        let what = format!(
                            "no {kind} of {track} for {gap:?}; section {section:?}, demand {:?}, \
                             off {off:?}, flowing {flowing:?}, wanted {wanted:?}, frame {frame:?}",
                            source.demand
                        );
                        stalled.push((ClientKey(index), what));
                    }
                }
            }
        }
        for (client, what) in stalled {
            let place = self.client(client).options.join.identity.clone();
            self.breach(&place, what);
        }
    }

    /// The counters of the shard in one line, drops by name.
    pub fn summary(&self) -> String {
        let stats = self.stats();
        let drops = DropReason::ALL
            .iter()
            .filter(|reason| stats.dropped(**reason) > 0);
        let drops: Vec<_> = drops
            .map(|reason| format!("{} {}", reason.label(), stats.dropped(*reason)))
            .collect();
        let sent: u64 = self.clients.iter().map(|client| client.media_sent).sum();
        let received: u64 = self
            .clients
            .iter()
            .map(|client| client.media_received)
            .sum();
        format!(
            "clients sent {sent}, node took {}, offered {}, forwarded {}, clients received {received}; \
             dropped: {}",
            stats.packets_received,
            stats.packets_offered,
            stats.packets_forwarded,
            drops.join(", ")
        )
    }

    pub(super) fn breach(&mut self, place: &str, what: String) {
        self.violations.push(Violation {
            at: self.clock.now,
            place: place.to_owned(),
            what,
        });
    }
}
