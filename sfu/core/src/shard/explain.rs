//! Saying why a participant gets what it gets, from what is known of its subscriptions, their tracks and both
//! links. Must not change anything but the notes it goes by.

use std::time::{Duration, Instant};

use plenum_proto::v1::{self, Asked, Finding, SubscriptionReport};

use super::{
    Shard,
    link::LOSSY,
    state::{Participant, Subscription, Track},
};
use crate::{
    key::{SessionKey, SubscriptionKey},
    subscription::{Choice, Facts, LayerView, Wish, select, side},
    track::Layer,
};

/// Of a thousand packets: from so many on that are missing a picture suffers.
const MISSING: u16 = 10;

/// So long a publisher may take to send what it is asked for: to hear of it, and to begin an encoding.
const COMING: Duration = Duration::from_secs(2);

impl Shard {
    /// Notes that something else is to flow, and why it is not more.
    pub(super) fn note_choice(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        from: Option<Layer>,
        views: &[LayerView],
    ) {
        let facts = self.facts(now, key, views);
        let (Some(facts), Some(subscription)) = (facts, self.subscriptions.get_mut(key)) else {
            return;
        };
        subscription.choices.push(Choice {
            at: now,
            from,
            to: facts.target,
            reason: facts.bound(),
        });
    }

    /// All there is to say of a participant's subscriptions.
    pub(super) fn explain(
        &self,
        now: Instant,
        session: SessionKey,
    ) -> v1::ExplainSubscriptionsResponse {
        let Some(participant) = self.participants.get(session) else {
            return v1::ExplainSubscriptionsResponse::default();
        };
        let keys = participant.subscriptions.iter().copied();
        let demands = keys.clone().filter_map(|key| self.demand_of(now, key));
        v1::ExplainSubscriptionsResponse {
            at: Some(self.anchor.timestamp(now)),
            participant_id: (&participant.member.id).into(),
            link: Some(participant.link.downlink(now)),
            estimate: participant.session.egress.budget(now).unwrap_or(0),
            cap: participant.bandwidth_cap.unwrap_or(0),
            wanted: demands.map(|demand| demand.rate()).sum(),
            subscriptions: keys
                .filter_map(|key| self.explain_one(now, key, participant))
                .collect(),
            feedback: participant.session.egress.feedback().into(),
        }
    }

    fn explain_one(
        &self,
        now: Instant,
        key: SubscriptionKey,
        subscriber: &Participant,
    ) -> Option<SubscriptionReport> {
        let subscription = self.subscriptions.get(key)?;
        let track = self.tracks.get(subscription.track)?;
        let publisher = self.participants.get(track.owner)?;
        let views = track.views(subscription.codec, now);
        let facts = self.facts(now, key, &views)?;
        let step = |layer: Option<Layer>| step(track, &views, layer?);
        let flowing = subscription.forwarder.current().filter(|current| {
            let comes = |view: &LayerView| view.flowing && view.layer.encoding == current.encoding;
            facts.target.is_some() && views.iter().any(comes)
        });
        let sent = subscriber.session.egress.bitrate(now, subscription.slot);
        let flowing = step(flowing).map(|step| v1::Step {
            bitrate: sent.unwrap_or(step.bitrate),
            ..step
        });
        let findings = facts.findings().into_iter().map(|reason| Finding {
            reason: reason.into(),
            side: side(reason).into(),
        });
        // What it took then is not known any more.
        let past = |layer| step(layer).map(|step| v1::Step { bitrate: 0, ..step });
        let history = subscription.choices.iter().map(|choice| v1::Decision {
            at: Some(self.anchor.timestamp(choice.at)),
            from: past(choice.from),
            to: past(choice.to),
            reason: choice.reason.into(),
        });
        Some(SubscriptionReport {
            track_id: (&track.id).into(),
            participant_id: (&publisher.member.id).into(),
            identity: publisher.member.identity.clone(),
            kind: track.info.kind,
            source: track.info.source,
            asked: Some(asked(subscription, step(subscription.wanted))),
            granted: step(facts.granted),
            flowing,
            findings: findings.collect(),
            published: views
                .iter()
                .filter_map(|view| step(Some(view.layer)))
                .collect(),
            uplink: Some(publisher.link.uplink(track.uplink_loss(now))),
            missing: f32::from(missing(track, facts.target)) / 1_000.0,
            history: history.collect(),
        })
    }

    /// What is known of a subscription now. `views` are those of its track.
    fn facts(&self, now: Instant, key: SubscriptionKey, views: &[LayerView]) -> Option<Facts> {
        let subscription = self.subscriptions.get(key)?;
        let track = self.tracks.get(subscription.track)?;
        let subscriber = self.participants.get(subscription.subscriber)?;
        let uplink = &self.participants.get(track.owner)?.link;
        let every: Vec<_> = views.iter().copied().map(LayerView::whole).collect();
        let wish = &subscription.wish;
        let picture = |layer: Option<Layer>| layer.map(|l| (l.encoding, l.spatial));
        let target = subscription.forwarder.target();
        let comes = |view: &LayerView| view.flowing && Some(view.picture()) == picture(target);
        let comes = views.iter().any(comes);
        let encoding = target.and_then(|layer| track.encodings.get(usize::from(layer.encoding)));
        let encoding = encoding.map(|published| &published.encoding);
        let is_less = !comes || picture(target) < picture(subscription.requested);
        Some(Facts {
            disabled: wish.disabled || wish.quality == Some(v1::VideoQuality::Off),
            muted: track.info.muted,
            unsupported: subscription.told_unsupported,
            connected: subscription.is_live && subscriber.session.egress.lane.is_ready(),
            left_out: track.is_quiet && !subscription.is_pinned,
            best: select(&Wish::default(), &every),
            wanted: subscription.wanted,
            granted: subscription.requested.filter(|_| !subscription.is_paused),
            limit: subscription.limit,
            target,
            comes,
            awaits_keyframe: track.is_video()
                && comes
                && subscription.forwarder.wants_keyframe().is_some(),
            asked_lately: subscription
                .requested_at
                .is_some_and(|at| now.saturating_duration_since(at) < COMING),
            node_late: self.lateness.is_much(),
            uplink_loses: uplink.ingress.loss().max(track.uplink_loss(now)) >= LOSSY
                || encoding.is_some_and(|encoding| comes && encoding.missing() >= MISSING)
                || is_less && uplink.was_lossy(now),
            relay_loses: encoding
                .is_some_and(|encoding| comes && encoding.missing_since() >= MISSING),
            downlink_loses: subscriber.link.egress.loss() >= LOSSY,
        })
    }
}

impl Track {
    /// Share of its packets that did not come to its publisher's node in their turn, of the encoding that fares worst
    /// of those that flow.
    pub(super) fn uplink_loss(&self, now: Instant) -> f32 {
        let encodings = self.encodings.iter().map(|published| &published.encoding);
        let encodings = encodings.filter(|encoding| encoding.is_flowing(now));
        let lost = encodings.map(|encoding| encoding.missing().saturating_add(encoding.late()));
        f32::from(lost.max().unwrap_or(0)) / 1_000.0
    }
}

/// Of a thousand packets of a layer those that never came here.
fn missing(track: &Track, layer: Option<Layer>) -> u16 {
    let encoding = layer.and_then(|layer| track.encodings.get(usize::from(layer.encoding)));
    encoding.map_or(0, |published| {
        let encoding = &published.encoding;
        encoding.missing().saturating_add(encoding.missing_since())
    })
}

fn asked(subscription: &Subscription, step: Option<v1::Step>) -> Asked {
    let wish = &subscription.wish;
    let (width, height) = wish.size.unwrap_or_default();
    Asked {
        disabled: wish.disabled,
        quality: wish.quality.unwrap_or_default().into(),
        width,
        height,
        fps: wish.fps.unwrap_or(0),
        priority: subscription.priority,
        step,
    }
}

/// A layer in the words of applications; `None` where the track has no such encoding any more.
fn step(track: &Track, views: &[LayerView], layer: Layer) -> Option<v1::Step> {
    let of_encoding = views.iter().filter(|v| v.layer.encoding == layer.encoding);
    let (mut spatials, published) = (
        (0_u32..).zip(of_encoding).peekable(),
        track.encodings.get(usize::from(layer.encoding))?,
    );
    let lowest = spatials.peek().copied()?;
    let within = spatials.take_while(|(_, view)| view.layer.spatial <= layer.spatial);
    let (spatial_layer, view) = within.last().unwrap_or(lowest);
    let temporal = layer.temporal.min(view.temporal_layers - 1);
    let rid = published.encoding.info.rid;
    Some(v1::Step {
        quality: view.quality.into(),
        rid: rid.map(|rid| rid.to_string()).unwrap_or_default(),
        spatial_layer,
        temporal_layer: temporal.into(),
        width: view.width,
        height: view.height,
        fps: view.frames(temporal),
        bitrate: view.rate(temporal),
        is_sent: view.flowing,
    })
}
