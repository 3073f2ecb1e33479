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
    room::quality::{self, Figures, Score, Way},
    session::StreamReport,
};

/// Loss from which on a way counts as lossy.
pub(super) const LOSSY: f32 = 0.03;

/// How often a link is judged anew, at most.
const RATING: Duration = Duration::from_secs(1);

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
            link.take_rtt(stream.rtt);
            take(&mut link.egress, now, stream);
            self.rate_link(now, session);
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
            link.take_rtt(stream.rtt);
            take(&mut link.ingress, now, stream);
            link.note_loss(now);
            self.rate_link(now, session);
        }
    }

    /// What of the pictures that a participant wants the way to it does not carry: how often their rate has to be
    /// halved.
    pub(super) fn note_shortfall(&mut self, now: Instant, session: SessionKey, halvings: f32) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        participant.link.shortfall.take(now, halvings);
        // Where nothing flows any more nothing is reported either.
        if participant.link.told.is_some() && participant.is_here() {
            self.rate_link(now, session);
        }
    }

    /// Rates a participant's link anew, from time to time.
    fn rate_link(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let link = &mut participant.link;
        let since = link.rated_at.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < RATING) {
            return;
        }
        link.rated_at = Some(now);
        let tracks = participant.tracks.iter();
        for track in tracks.filter_map(|key| self.tracks.get(*key)) {
            let encodings = track.encodings.iter().map(|published| &published.encoding);
            for encoding in encodings.filter(|encoding| encoding.is_flowing(now)) {
                let lost = f32::from(encoding.missing() + encoding.late()) / 1_000.0;
                link.late.take(now, encoding.expected_packets(), lost);
            }
        }
        let score = link.score(now);
        let quality = link.verdict.follow(now, score);
        if link.is_lost {
            return;
        }
        let is_new = link.told != Some(quality);
        let is_spread = link.owes_spread(now);
        if !is_new && !is_spread {
            return;
        }
        link.told = Some(quality);
        link.spread = Some((now, link.ingress.loss()));
        self.spread_quality(now, session, score.mos, is_new);
    }

    /// Tells others that nothing comes from a participant any more, or that something does again.
    pub(super) fn note_silence(&mut self, now: Instant, session: SessionKey) {
        /// Media that pauses for less is none that is lost.
        const SILENCE: Duration = Duration::from_secs(5);
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let tracks = participant.tracks.iter();
        let tracks = tracks.filter_map(|key| self.tracks.get(*key));
        let encodings = tracks.flat_map(|track| &track.encodings);
        let media = encodings.filter_map(|published| published.encoding.last_packet());
        let checked = participant.member.heard_at;
        let silent_since = participant
            .member
            .silent_since
            .filter(|_| participant.is_here());
        let silent_since = silent_since.map(|at| media.chain(checked).fold(at, Instant::max));
        let is_lost = silent_since.is_some_and(|at| now.saturating_duration_since(at) >= SILENCE);
        let link = &mut participant.link;
        if is_lost == link.is_lost {
            return;
        }
        link.is_lost = is_lost;
        let score = link.score(now);
        link.told = Some(match is_lost {
            true => ConnectionQuality::Lost,
            false => link.verdict.follow(now, score),
        });
        self.spread_quality(now, session, score.mos, true);
    }

    /// Tells whom it concerns of a participant's quality, and other shards of its way to us.
    fn spread_quality(&mut self, now: Instant, session: SessionKey, score: f32, is_new: bool) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let link = &participant.link;
        let report = node::QualityReport {
            qualities: vec![node::ParticipantQuality {
                participant_id: (&participant.member.id).into(),
                quality: link.told.unwrap_or_default().into(),
                score,
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
            link.ingress = Way::told(now, uplink.loss, span(uplink.jitter).unwrap_or_default());
            link.note_loss(now);
            link.rtt = span(uplink.round_trip);
        }
        let quality = ConnectionQuality::try_from(told.quality).ok();
        let is_new = link.told != quality;
        link.told = quality;
        is_new
    }
}

fn take(way: &mut Way, now: Instant, report: &StreamReport) {
    if let Some(loss) = report.loss {
        way.take_loss(now, report.packets, loss);
    }
    if let Some(jitter) = report.jitter {
        way.take_jitter(now, report.packets, jitter);
    }
}

impl Link {
    fn note_loss(&mut self, now: Instant) {
        if self.ingress.loss() >= LOSSY {
            self.lossy_at = Some(now);
        }
    }

    fn take_rtt(&mut self, told: Option<Duration>) {
        /// One part in so many of what is new.
        const PART: u32 = 4;
        let Some(told) = told else { return };
        let before = self.rtt.unwrap_or(told);
        self.rtt = Some(before - before / PART + told / PART);
    }

    /// Of both ways the worse one's.
    fn score(&self, now: Instant) -> Score {
        let [to_us, from_us] = [
            self.ingress_figures(self.late.mean()),
            self.egress_figures(now),
        ];
        let (to_us, from_us) = (quality::rate(&to_us), quality::rate(&from_us));
        match to_us.mos < from_us.mos {
            true => to_us,
            false => from_us,
        }
    }

    /// The way to us. Repairs hide what got lost from the reports of streams; `late` is the share of a track's packets
    /// that had to be sent again.
    pub(super) fn uplink(&self, late: f32) -> LinkReport {
        self.report(&self.ingress_figures(late))
    }

    /// The way from us.
    pub(super) fn downlink(&self, now: Instant) -> LinkReport {
        self.report(&self.egress_figures(now))
    }

    fn ingress_figures(&self, late: f32) -> Figures {
        Figures {
            loss: self.ingress.loss().max(late),
            rtt: self.rtt.unwrap_or_default(),
            jitter: self.ingress.jitter(),
            shortfall: 0.0,
        }
    }

    fn egress_figures(&self, now: Instant) -> Figures {
        Figures {
            loss: self.egress.loss(),
            rtt: self.rtt.unwrap_or_default(),
            jitter: self.egress.jitter(),
            shortfall: self.shortfall.halvings(now),
        }
    }

    fn report(&self, figures: &Figures) -> LinkReport {
        let Score { mos, quality } = quality::rate(figures);
        LinkReport {
            quality: quality.into(),
            score: mos,
            loss: figures.loss,
            // A client's figures may be of any size.
            round_trip: self.rtt.and_then(|rtt| rtt.try_into().ok()),
            jitter: figures.jitter.try_into().ok(),
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
            let differs = (told - self.ingress.loss()).abs() > CHANGE;
            differs && now.saturating_duration_since(at) >= INTERVAL
        })
    }
}
