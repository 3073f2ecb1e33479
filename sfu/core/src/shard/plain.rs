//! Participants whose media is plain RTP: from the description of what they send to published tracks, and from
//! datagrams to packets. They have no transports; everything behind is as for others. Must not know sockets.

use std::time::{Duration, Instant};

use plenum_proto::node::AddTrack;

use super::{Shard, publish::Bound};
use crate::{
    CommandError, ControlId, DropReason, PlainDatagram, PlainSection, PlainSink, PlainTransmit,
    Protocol,
    key::SessionKey,
    outbox::Route,
    rtp::Mid,
    session::{BadPacket, FORMATS_MAX, PlainRoutes, Role, SECTIONS_MAX, SINKS_MAX, sdp::Section},
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
        let session = self.fresh_plain(control)?;
        check(&sections)?;
        let mut bound: Vec<Bound> = Vec::new();
        for section in sections {
            let participant = self.participants.get_mut(session);
            let plain = participant.and_then(|participant| participant.session.plain.as_mut());
            let mid = plain.and_then(|plain| plain.add(&section.formats, section.keyframes));
            let mid = mid.ok_or_else(|| unsupported(&section))?;
            bound.extend(self.publish_plain(now, session, mid, section));
        }
        self.on_connected(now, session, Role::Publish);
        self.settle_published(now, session, &bound);
        self.touch(session);
        Ok(())
    }

    /// A plain session of which nothing is described yet.
    fn fresh_plain(&self, control: ControlId) -> Result<SessionKey, CommandError> {
        let session = self.controls.get(&control).copied();
        let session = session.filter(|session| {
            let participant = self.participants.get(*session);
            participant.is_some_and(|p| {
                let is_plain = p.session.plain.is_some();
                is_plain && p.tracks.is_empty() && !p.session.egress.has_sections()
            })
        });
        session.ok_or(CommandError::NotAllowed(
            "a description of a session that is not plain, or has one",
        ))
    }

    /// A participant's subscriptions go to these addresses.
    pub(super) fn send_plain(
        &mut self,
        now: Instant,
        control: ControlId,
        sinks: &[PlainSink],
        keyframes: Option<Duration>,
    ) -> Result<(), CommandError> {
        let session = self.fresh_plain(control)?;
        check_count("sinks", sinks.len(), SINKS_MAX)?;
        let sections: Result<Vec<_>, _> =
            sinks.iter().map(|sink| self.plain_routes(sink)).collect();
        let sections = sections?;
        let Some(participant) = self.participants.get_mut(session) else {
            return Ok(());
        };
        participant.session.egress.fix_plain(&sections);
        if let Some(plain) = &mut participant.session.plain {
            plain.keyframes = keyframes;
        }
        for source in sinks.iter().flat_map(|sink| [sink.rtp, sink.rtcp]) {
            // Feedback is taken from where reports go.
            participant.session.add_source(Role::Subscribe, source);
            self.demux
                .add_source(Protocol::Udp, source, session, Role::Subscribe);
        }
        self.on_connected(now, session, Role::Publish);
        self.on_lane_ready(now, session);
        self.touch(session);
        Ok(())
    }

    fn plain_routes(&self, sink: &PlainSink) -> Result<(bool, PlainRoutes), CommandError> {
        let mut candidates = self.config.candidates.iter();
        let ours = candidates.find(|candidate| {
            let is_family = candidate.local.is_ipv4() == sink.rtp.is_ipv4();
            candidate.protocol == Protocol::Udp && is_family
        });
        let source = ours.map(|candidate| candidate.local);
        let source = source.ok_or(CommandError::NotAllowed("an address of another family"))?;
        let is_taken = |address| self.demux.by_source(Protocol::Udp, address).is_some();
        if is_taken(sink.rtp) || is_taken(sink.rtcp) {
            return Err(CommandError::NotAllowed(
                "an address that is in use already",
            ));
        }
        let route = |destination| Route {
            source,
            destination,
            protocol: Protocol::Udp,
        };
        let routes = PlainRoutes {
            rtp: route(sink.rtp),
            rtcp: route(sink.rtcp),
        };
        Ok((sink.is_video, routes))
    }

    fn publish_plain(
        &mut self,
        now: Instant,
        session: SessionKey,
        mid: Mid,
        section: PlainSection,
    ) -> Vec<Bound> {
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

    /// Asks for keyframes where who is sent to had none for long.
    pub(super) fn refresh_plain(&mut self, now: Instant, sessions: &[SessionKey]) {
        let mut due = Vec::new();
        for session in sessions {
            let Some(participant) = self.participants.get(*session) else {
                continue;
            };
            let plain = participant.session.plain.as_ref();
            let Some(span) = plain.and_then(|plain| plain.keyframes) else {
                continue;
            };
            let flowing = participant.subscriptions.iter().filter_map(|key| {
                let subscription = self.subscriptions.get(*key)?;
                let encoding = subscription.forwarder.current()?.encoding;
                let track = self.tracks.get(subscription.track)?;
                let published = track.encodings.get(usize::from(encoding))?;
                let is_due = track.is_video() && published.throttle.is_without(now, span);
                is_due.then_some((subscription.track, encoding))
            });
            due.extend(flowing);
        }
        for (track, encoding) in due {
            self.want_keyframe(now, track, encoding);
        }
    }

    /// Tells sources how they are received, where it is time.
    pub(super) fn report_plain(&mut self, now: Instant, sessions: &[SessionKey]) {
        let mut reports = Vec::new();
        for session in sessions {
            let participant = self.participants.get_mut(*session);
            if let Some(plain) = participant.and_then(|p| p.session.plain.as_mut()) {
                let of_this = plain.report(now);
                reports.extend(of_this.into_iter().map(|report| (*session, report)));
            }
        }
        for (session, report) in reports {
            self.on_ingress_report(now, session, &report);
            self.touch(session);
        }
    }
}

fn check_count(field: &'static str, count: usize, most: usize) -> Result<(), CommandError> {
    let problem = match count {
        0 => Some("must not be empty".to_owned()),
        count if count <= most => None,
        count => Some(format!("has {count} entries, at most {most} are taken")),
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(CommandError::Invalid { field, problem }),
    }
}

fn check(sections: &[PlainSection]) -> Result<(), CommandError> {
    check_count("sections", sections.len(), SECTIONS_MAX)?;
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
