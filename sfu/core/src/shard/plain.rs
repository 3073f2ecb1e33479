//! Participants whose media is plain RTP: from the description of what they send to published tracks, and from
//! datagrams to packets. They have no transports; everything behind is as for others. Must not know sockets.

use std::time::Instant;

use plenum_proto::node::AddTrack;

use super::Shard;
use crate::{
    CommandError, ControlId, DropReason, PlainDatagram, PlainSection, PlainTransmit,
    key::{SessionKey, TrackKey},
    rtp::Mid,
    session::{BadPacket, FORMATS_MAX, Role, SECTIONS_MAX, sdp::Section},
};

/// RTCP that waits to be fetched; the oldest goes first.
const OUTGOING_MAX: usize = 1_024;

impl Shard {
    /// Takes a datagram of plain RTP or RTCP. Bad bytes are a counted [`DropReason`].
    pub fn handle_plain(&mut self, now: Instant, datagram: PlainDatagram<'_>) {
        self.now = now;
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.bytes.len() as u64;
        let session = self.controls.get(&datagram.control).copied();
        let participant = session.and_then(|session| self.participants.get_mut(session));
        let plain = participant.and_then(|participant| participant.session.plain.as_mut());
        let Some((session, plain)) = session.zip(plain) else {
            return self.stats.drop(DropReason::UnknownStream);
        };
        // A packet, and what may have to go in front of it.
        let mut packets = [None, None];
        let taken = plain.handle_datagram(now, datagram.section, datagram.bytes, |packet| {
            if let Some(free) = packets.iter_mut().find(|packet| packet.is_none()) {
                *free = Some(packet);
            }
        });
        for packet in packets.into_iter().flatten() {
            self.on_packet(now, session, packet);
        }
        match taken {
            Ok(()) => {}
            Err(BadPacket::Malformed) => self.stats.drop(DropReason::Malformed),
            Err(BadPacket::Unknown) => self.stats.drop(DropReason::UnknownStream),
            Err(BadPacket::Copy | BadPacket::Strange) => self.stats.drop(DropReason::OutOfPlace),
        }
        if self.has_many_pending() {
            self.flush();
        }
    }

    /// The next RTCP for the source of plain RTP.
    #[must_use]
    pub fn poll_plain(&mut self) -> Option<PlainTransmit> {
        self.plain.pop_front()
    }

    /// A participant's media is described: its tracks are published.
    pub(super) fn describe_plain(
        &mut self,
        now: Instant,
        control: ControlId,
        sections: Vec<PlainSection>,
    ) -> Result<(), CommandError> {
        let session = self.controls.get(&control).copied();
        let session = session.filter(|session| {
            let participant = self.participants.get(*session);
            participant.is_some_and(|p| p.session.plain.is_some() && p.tracks.is_empty())
        });
        let session = session.ok_or(CommandError::NotAllowed(
            "a description of a session that is not plain, or has one",
        ))?;
        check(&sections)?;
        let mut bound: Vec<(String, TrackKey)> = Vec::new();
        for section in sections {
            let participant = self.participants.get_mut(session);
            let plain = participant.and_then(|participant| participant.session.plain.as_mut());
            let mid = plain.and_then(|plain| plain.add(&section.formats));
            let mid = mid.ok_or_else(|| unsupported(&section))?;
            bound.extend(self.publish_plain(now, session, mid, section));
        }
        self.on_connected(now, session, Role::Publish);
        self.settle_published(now, session, &bound);
        self.touch(session);
        Ok(())
    }

    fn publish_plain(
        &mut self,
        now: Instant,
        session: SessionKey,
        mid: Mid,
        section: PlainSection,
    ) -> Vec<(String, TrackKey)> {
        let mut track = section.track;
        if let Some(usual) = section.formats.first() {
            track.mime.clone_from(&usual.mime);
        }
        let is_video = track.mime.starts_with("video/");
        let cid = mid.to_string();
        let add = AddTrack {
            cid: cid.clone(),
            track: Some(track),
        };
        self.add_track(now, session, add);
        let section = Section {
            kind: if is_video { "video" } else { "audio" },
            mid: &cid,
            sends: true,
            track: Some(&cid),
            ..Section::default()
        };
        self.bind_sections(session, &[section])
    }

    /// Takes over what a session has to say to its sources.
    pub(super) fn fetch_plain(&mut self, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let control = participant.member.control;
        let (Some(plain), Some(control)) = (participant.session.plain.as_mut(), control) else {
            return;
        };
        while let Some((section, bytes)) = plain.poll() {
            if self.plain.len() >= OUTGOING_MAX {
                self.plain.pop_front();
            }
            self.plain.push_back(PlainTransmit {
                control,
                section,
                bytes,
            });
        }
    }

    /// Tells sources how they are received, where it is time.
    pub(super) fn report_plain(&mut self, now: Instant) {
        let mut reports = Vec::new();
        for (session, participant) in &mut self.participants {
            if let Some(plain) = &mut participant.session.plain {
                let of_this = plain.report(now);
                reports.extend(of_this.into_iter().map(|report| (session, report)));
            }
        }
        for (session, report) in reports {
            self.on_ingress_report(now, session, &report);
            self.touch(session);
        }
    }
}

fn check(sections: &[PlainSection]) -> Result<(), CommandError> {
    let problem = match sections.len() {
        0 => Some("must not be empty".to_owned()),
        1..=SECTIONS_MAX => None,
        count => Some(format!(
            "has {count} entries, at most {SECTIONS_MAX} are taken"
        )),
    };
    if let Some(problem) = problem {
        return Err(CommandError::Invalid {
            field: "sections",
            problem,
        });
    }
    match sections.iter().find(|s| s.formats.len() > FORMATS_MAX) {
        None => Ok(()),
        Some(_) => Err(CommandError::Limit {
            limit: "formats",
            value: FORMATS_MAX as u64,
        }),
    }
}

fn unsupported(section: &PlainSection) -> CommandError {
    let mimes: Vec<&str> = section.formats.iter().map(|f| f.mime.as_str()).collect();
    CommandError::Invalid {
        field: "formats",
        problem: format!("nothing of [{}] is forwarded", mimes.join(", ")),
    }
}
