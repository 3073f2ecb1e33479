//! How participants' links fare: what is reported of them, how good that is, and who is told. Must not decide
//! what a link takes; the egress lane does.

use std::time::{Duration, Instant};

use plenum_proto::{
    node,
    relay::control::Kind as Spread,
    v1::{ConnectionQuality, LinkReport},
};

use super::{Shard, state::Link};
use crate::{
    key::SessionKey,
    room::quality::{self, Figures, Score},
    session::StreamReport,
};

/// Loss from which on a way counts as lossy.
pub(super) const LOSSY: f32 = 0.03;

impl Shard {
    /// What a participant says of a stream that we send it.
    pub(super) fn on_egress_report(
        &mut self,
        now: Instant,
        session: SessionKey,
        stream: &StreamReport,
    ) {
        if let Some(participant) = self.participants.get_mut(session) {
            let link = &mut participant.link;
            link.egress_loss = stream.loss.unwrap_or(link.egress_loss);
            link.egress_jitter = stream.jitter;
            self.on_report(now, session, stream);
        }
    }

    /// What we see of a stream that a participant sends.
    pub(super) fn on_ingress_report(
        &mut self,
        now: Instant,
        session: SessionKey,
        stream: &StreamReport,
    ) {
        if let Some(participant) = self.participants.get_mut(session) {
            let link = &mut participant.link;
            link.take_uplink(now, stream.loss.unwrap_or(link.ingress_loss), stream.jitter);
            self.on_report(now, session, stream);
        }
    }

    /// Rates a participant's link anew.
    fn on_report(&mut self, now: Instant, session: SessionKey, stream: &StreamReport) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let link = &mut participant.link;
        link.rtt = stream.rtt.or(link.rtt);
        let score = quality::rate(&Figures {
            loss: link.egress_loss.max(link.ingress_loss),
            rtt: link.rtt.unwrap_or_default(),
            jitter: stream.jitter,
        });
        let is_new = link.told != Some(score.quality);
        let is_spread = link.owes_spread(now);
        if !is_new && !is_spread {
            return;
        }
        link.told = Some(score.quality);
        link.spread = Some((now, link.ingress_loss));
        let report = node::QualityReport {
            qualities: vec![node::ParticipantQuality {
                participant_id: (&participant.member.id).into(),
                quality: score.quality.into(),
                score: score.mos,
                uplink: Some(link.uplink(0.0)),
            }],
        };
        let room = participant.room;
        let is_taken = !participant.tracks.is_empty() && !participant.member.permissions.hidden;
        if is_new {
            self.tell_quality(session, &report);
        }
        self.tell_doubles_quality(now, session, &report);
        if is_taken {
            self.spread(room, Spread::Quality(report));
        }
    }

    /// What another shard says of a participant's link; true when its quality is another one.
    pub(super) fn on_uplink(
        &mut self,
        now: Instant,
        session: SessionKey,
        told: &node::ParticipantQuality,
    ) -> bool {
        let Some(participant) = self.participants.get_mut(session) else {
            return false;
        };
        let link = &mut participant.link;
        if let Some(uplink) = &told.uplink {
            let span = |told: Option<prost_types::Duration>| Duration::try_from(told?).ok();
            link.take_uplink(now, uplink.loss, span(uplink.jitter).unwrap_or_default());
            link.rtt = span(uplink.round_trip);
        }
        let quality = ConnectionQuality::try_from(told.quality).ok();
        let is_new = link.told != quality;
        link.told = quality;
        is_new
    }
}

impl Link {
    fn take_uplink(&mut self, now: Instant, loss: f32, jitter: Duration) {
        self.ingress_loss = loss;
        self.ingress_jitter = jitter;
        if loss >= LOSSY {
            self.lossy_at = Some(now);
        }
    }

    /// The way to us. Repairs hide what got lost from the reports of streams; `late` is the share of a track's packets
    /// that had to be sent again.
    pub(super) fn uplink(&self, late: f32) -> LinkReport {
        self.report(self.ingress_loss.max(late), self.ingress_jitter)
    }

    /// The way from us.
    pub(super) fn downlink(&self) -> LinkReport {
        self.report(self.egress_loss, self.egress_jitter)
    }

    fn report(&self, loss: f32, jitter: Duration) -> LinkReport {
        let rtt = self.rtt.unwrap_or_default();
        let Score { mos, quality } = quality::rate(&Figures { loss, rtt, jitter });
        LinkReport {
            quality: quality.into(),
            score: mos,
            loss,
            // A client's figures may be of any size.
            round_trip: self.rtt.and_then(|rtt| rtt.try_into().ok()),
            jitter: jitter.try_into().ok(),
        }
    }

    /// Whether the way to us lost packets lately.
    pub(super) fn was_lossy(&self, now: Instant) -> bool {
        /// An encoder that gave up a layer takes so long to try again.
        const LATELY: Duration = Duration::from_secs(30);
        let at = self.lossy_at;
        at.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
    }

    /// Whether the way to us fares differently enough from what other shards know to tell them.
    fn owes_spread(&self, now: Instant) -> bool {
        const INTERVAL: Duration = Duration::from_secs(1);
        const CHANGE: f32 = 0.01;
        self.spread.is_none_or(|(at, told)| {
            let differs = (told - self.ingress_loss).abs() > CHANGE;
            differs && now.saturating_duration_since(at) >= INTERVAL
        })
    }
}
