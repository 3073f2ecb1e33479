//! Offer and answer of a session's transports (RFC 8829): the client offers on the publish transport,
//! we offer on the subscribe transport, one offer at a time. Must not know what the tracks are.

use std::time::Instant;

use str0m::{IceCreds, change::SdpOffer};

use super::{
    Answer, Role, Session, Shape,
    egress::KnownFormats,
    sdp::{self, SdpProblem, SectionWish},
    transport::{Fault, guarded},
};
use crate::{Limits, key::SubscriptionKey};

/// Why a description was refused. The client is at fault unless the variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NegotiateError {
    #[error(transparent)]
    Cap(#[from] SdpProblem),
    #[error("the session description does not parse: {0}")]
    Malformed(String),
    #[error("the session description is refused: {0}")]
    Refused(String),
    #[error("an answer without an offer")]
    NoOffer,
    #[error("an answer to an older offer")]
    Stale,
    /// Ours: such a session is never asked.
    #[error("the participant is connected elsewhere")]
    Elsewhere,
    /// Ours: the engine failed inside.
    #[error("the session failed inside")]
    Fault,
}

/// An offer of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) id: u32,
    pub(crate) sdp: String,
    /// Track ids by mid.
    pub(crate) tracks: Vec<(String, String)>,
}

impl Session {
    /// Takes the client's offer on its publish transport and answers.
    pub(crate) fn accept_offer(
        &mut self,
        now: Instant,
        offer: &str,
        fresh: IceCreds,
        limits: &Limits,
        wishes: &[SectionWish],
    ) -> Result<String, NegotiateError> {
        sdp::check(offer, limits)?;
        let text = self.answer(now, Role::Publish, &sdp::sending_only(offer), fresh)?;
        let wish = |mid: &str| wishes.iter().find(|wish| wish.mid == mid);
        let text = sdp::with_codec_first(&text, |mid| wish(mid)?.codec.clone());
        Ok(sdp::with_opus_options(&text, |mid| wish(mid)?.opus))
    }

    /// The engine's answer to an offer on a transport, with credentials that name this worker.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        role: Role,
        offer: &str,
        fresh: IceCreds,
    ) -> Result<String, NegotiateError> {
        let offer = sdp::with_whole_formats(&sdp::without_candidates(offer));
        let parsed = SdpOffer::from_sdp_string(&offer)
            .map_err(|error| NegotiateError::Malformed(error.to_string()))?;
        let contain = self.contain_faults;
        let transport = self.transport_mut(role).ok_or(NegotiateError::Elsewhere)?;
        transport
            .catch_up(now)
            .map_err(|Fault| NegotiateError::Fault)?;
        let before = transport.ice_username();
        let rtc = transport.engine();
        let result = guarded(contain, || rtc.sdp_api().accept_offer(parsed))
            .map_err(|Fault| NegotiateError::Fault)?;
        let answer = result.map_err(|error| NegotiateError::Refused(error.to_string()))?;
        let text = answer.to_sdp_string();
        let is_restart = transport.ice_username() != before;
        let mut api = transport.engine().direct_api();
        let engines = api.local_ice_credentials();
        // When the client restarted ICE: ours are the credentials that name this worker.
        let ours = is_restart.then_some((&engines, &fresh));
        let text = sdp::rewritten(&text, ours, |_| None);
        if is_restart {
            api.set_local_ice_credentials(fresh);
        }
        Ok(text)
    }

    /// Makes an offer of what changed on the subscribe transport. Nothing comes while an offer waits for
    /// its answer, or nothing changed.
    pub(crate) fn make_offer(&mut self) -> Option<Offer> {
        if self.shape != Shape::TwoWay {
            return None;
        }
        if self
            .subscribe_ref()
            .is_some_and(|transport| transport.pending.is_some())
        {
            return None;
        }
        let restart = self.ice_restart.take();
        if restart.is_none() && self.offer_id > 0 && !self.egress.is_changed() {
            return None;
        }
        let Self {
            transports,
            egress,
            channels,
            ..
        } = self;
        let transport = transports.subscribe.as_mut()?;
        egress.renew_streams();
        let mut api = transport.engine().sdp_api();
        channels.declare(&mut api);
        egress.offer(&mut api);
        // Candidates stay: our addresses have not changed, the client's have.
        let engines = restart.as_ref().map(|_| api.ice_restart(true));
        let (offer, pending) = api.apply()?;
        transport.pending = Some(pending);
        self.offer_id += 1;
        let mut known = KnownFormats::new(transport.engine_ref().codec_config());
        let ours = engines.as_ref().zip(restart.as_ref());
        let sdp = sdp::rewritten(&offer.to_sdp_string(), ours, |mid| {
            egress.offered_section(mid, &mut known)
        });
        self.offered_credentials = restart;
        let offer = Offer {
            id: self.offer_id,
            sdp,
            tracks: self.egress.tracks_by_mid().collect(),
        };
        self.last_offer = Some(offer.clone());
        Some(offer)
    }

    /// The offer that still waits for its answer, to be sent again after a resume.
    pub(crate) fn unanswered_offer(&self) -> Option<Offer> {
        let waits = self
            .subscribe_ref()
            .is_some_and(|transport| transport.pending.is_some());
        self.last_offer.clone().filter(|_| waits)
    }

    /// Takes the client's answer. Returns the subscriptions that can flow from now on.
    pub(crate) fn accept_answer(
        &mut self,
        now: Instant,
        answer: Answer,
    ) -> Result<Vec<SubscriptionKey>, NegotiateError> {
        if answer.id != 0 && answer.id != self.offer_id {
            return Err(NegotiateError::Stale);
        }
        let parsed = answer.read?;
        let Self {
            transports,
            egress,
            contain_faults,
            offered_credentials,
            ..
        } = self;
        let transport = transports
            .subscribe
            .as_mut()
            .ok_or(NegotiateError::NoOffer)?;
        let pending = transport.pending.take().ok_or(NegotiateError::NoOffer)?;
        transport
            .catch_up(now)
            .map_err(|Fault| NegotiateError::Fault)?;
        let rtc = transport.engine();
        let result = guarded(*contain_faults, || {
            rtc.sdp_api().accept_answer(pending, parsed)
        })
        .map_err(|Fault| NegotiateError::Fault)?;
        result.map_err(|error| NegotiateError::Refused(error.to_string()))?;
        if let Some(ours) = offered_credentials.take() {
            transport
                .engine()
                .direct_api()
                .set_local_ice_credentials(ours);
        }
        if answer.has_feedback_by_stream {
            egress.lane.take_feedback_by_stream();
        }
        Ok(egress.on_answer(transport))
    }
}
