//! A subscribe transport on which the client offers: the sections of its first offer are all there ever
//! are, and subscriptions take them in turn, under one name and one SSRC for each section, so that
//! nothing has to be negotiated when what they carry changes (RFC 8829 section 5.3). Must not know what
//! the tracks are.

use str0m::IceCreds;

use std::time::Instant;

use super::{NegotiateError, Role, Session, sdp};
use crate::{Limits, rtp::Mid};

impl Session {
    /// Takes the client's offer on its subscribe transport and answers. A later offer may restart ICE; a
    /// section that the first did not have carries nothing.
    pub(crate) fn accept_receiving_offer(
        &mut self,
        now: Instant,
        offer: &str,
        fresh: IceCreds,
        limits: &Limits,
    ) -> Result<String, NegotiateError> {
        sdp::check(offer, limits)?;
        let sections: Vec<(Mid, bool)> = sdp::sections(offer)
            .into_iter()
            .filter(|section| section.receives)
            .map(|section| (Mid::from(section.mid), section.kind == "video"))
            .collect();
        let text = self.answer(now, Role::Subscribe, &sdp::receiving_only(offer), fresh)?;
        let (egress, _, transport) = self.sending().ok_or(NegotiateError::Elsewhere)?;
        egress.fix(transport, &sections);
        let has_feedback_by_stream = sdp::has_feedback_by_stream(offer);
        if has_feedback_by_stream {
            egress.lane.take_feedback_by_stream();
        }
        Ok(sdp::rewritten(&text, None, |mid| {
            egress.answered_section(mid, has_feedback_by_stream)
        }))
    }
}
