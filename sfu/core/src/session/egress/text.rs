//! How sections of ours stand in descriptions. Must not negotiate.

use super::{Egress, FIXED_STREAM, Formats, KnownFormats, Slot, Tenant};
use crate::session::sdp::{PayloadTypes, SectionText, StreamName};

impl Egress {
    /// What an offer of ours says of a section; nothing of one that is not for media.
    pub(in super::super) fn offered_section(
        &self,
        mid: &str,
        known: &mut KnownFormats<'_>,
    ) -> Option<SectionText> {
        // Who knows feedback by stream prefers it; all others go on with what stands beside it.
        self.section(mid, true, |formats| known.payload_types(formats))
    }

    /// What our answer says of a section of the client's.
    pub(in super::super) fn answered_section(
        &self,
        mid: &str,
        has_feedback_by_stream: bool,
    ) -> Option<SectionText> {
        self.section(mid, has_feedback_by_stream, |_| None)
    }

    fn section(
        &self,
        mid: &str,
        has_feedback_by_stream: bool,
        types_of: impl FnOnce(Formats) -> Option<PayloadTypes>,
    ) -> Option<SectionText> {
        let mut slots = self.slots.iter();
        let slot = slots.find(|slot| slot.mid.as_deref() == Some(mid))?;
        Some(SectionText {
            formats: types_of(slot.formats),
            name: slot.name(mid),
            has_feedback_by_stream,
        })
    }
}

impl Slot {
    fn name(&self, mid: &str) -> Option<StreamName> {
        let (stream, track) = match (&self.wish, self.is_fixed) {
            (_, true) => (FIXED_STREAM.to_owned(), format!("{FIXED_STREAM}-{mid}")),
            (Some(Tenant { stream, track, .. }), false) => (stream.clone(), track.clone()),
            (None, false) => return None,
        };
        Some(StreamName {
            stream,
            track,
            ssrc: self.stream.as_ref().map_or(0, |stream| stream.ssrc),
            repair: self.stream.as_ref().and_then(|stream| stream.repair_ssrc),
        })
    }
}
