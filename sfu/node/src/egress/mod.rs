//! Media that goes out without WebRTC: the sinks of this node, each a participant of a room that subscribes to the media of
//! another one.
//!
//! Owns the list of them, and where they may send. An egress lives as long as its participant does: it ends with the
//! room, when whose media it takes left, and when it is deleted. Must not touch packets: the worker sends them from its
//! own socket.

mod choice;
mod running;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plenum_proto::{
    ids::EgressId,
    v1::{CreateEgressRequest, DeleteEgressRequest, Egress, ListEgressesResponse, RtpSink},
};
use sfu_core::PlainSink;
use tokio_util::sync::CancellationToken;

use self::running::{Running, Where};
use crate::{
    config::EgressConfig,
    error::CallError,
    ingress::targets::{TargetProblem, Targets},
    service::Shared,
};

/// How often there is a keyframe at least, unless something else is asked for.
const KEYFRAMES: Duration = Duration::from_secs(3);

/// Publishers are asked no more often.
const KEYFRAMES_MIN: Duration = Duration::from_millis(500);

/// Why a sink is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EgressProblem {
    #[error("rtp: must be set, with a port for video or audio")]
    NoSink,
    #[error("rtp.address: must be an IP address")]
    Address,
    #[error("rtp.{0}: must be from 1 to 65534")]
    Port(&'static str),
    #[error("rtp: media and RTCP need ports of their own, or rtcp_mux")]
    SamePort,
    #[error("rtp.keyframe_interval: must be 0, or 500 ms and more")]
    Keyframes,
    #[error("rtp.address: {0}")]
    Target(TargetProblem),
    #[error("limit of egress.max_sinks is {0}")]
    Full(usize),
    #[error("from_identity: \"{0}\" is not in the room")]
    NoParticipant(String),
    #[error("from_identity: \"{0}\" publishes no {1}")]
    NoTrack(String, &'static str),
    #[error(
        "from_identity: \"{0}\" publishes {1} that is encrypted end to end, or goes in no plain RTP"
    )]
    Unreadable(String, &'static str),
    #[error("egress \"{0}\" does not exist")]
    NotFound(String),
}

impl EgressProblem {
    /// The field of the request at fault, where one is.
    pub(crate) fn field(&self) -> Option<&'static str> {
        match self {
            Self::NoSink | Self::Port(_) | Self::SamePort => Some("rtp"),
            Self::Keyframes => Some("rtp.keyframe_interval"),
            Self::Address | Self::Target(_) => Some("rtp.address"),
            Self::NoParticipant(_) | Self::NoTrack(..) | Self::Unreadable(..) => {
                Some("from_identity")
            }
            Self::Full(_) | Self::NotFound(_) => None,
        }
    }
}

/// The sinks of a node.
pub(crate) struct Egresses {
    config: EgressConfig,
    targets: Targets,
    entries: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    info: Egress,
    stop: CancellationToken,
}

/// A sink that is about to begin: its place is given back unless it does.
struct Beginning<'a> {
    egresses: &'a Egresses,
    id: &'a str,
    has_begun: bool,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.has_begun {
            self.egresses.remove(self.id);
        }
    }
}

impl Egresses {
    /// None yet. `is_local` says that the node serves its own machine alone.
    pub(crate) fn new(config: EgressConfig, is_local: bool) -> Self {
        Self {
            targets: Targets::of_egress(config.allowed_targets.clone(), is_local),
            entries: Mutex::default(),
            config,
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // An entry is set as a whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the media of a participant somewhere; the room must exist.
    pub(crate) async fn create(
        shared: &Arc<Shared>,
        request: CreateEgressRequest,
    ) -> Result<Egress, CallError> {
        let this = &shared.egresses;
        let to = this.judge(request.rtp.as_ref())?;
        let id = String::from(EgressId::random(rand::random));
        let stop = CancellationToken::new();
        let info = Egress {
            id: id.clone(),
            room: request.room,
            identity: request.identity,
            from_identity: request.from_identity,
            ..Egress::default()
        };
        this.hold(&info, &stop)?;
        let mut beginning = Beginning {
            egresses: this,
            id: &id,
            has_begun: false,
        };
        let running = Running::begin(shared, info, &to, stop).await?;
        let info = running.info().clone();
        this.update(&info);
        tracing::info!(egress = id, "plain RTP is sent");
        shared.sessions.spawn(running.run());
        beginning.has_begun = true;
        Ok(info)
    }

    /// A place among the sinks, so that there are never too many.
    fn hold(&self, info: &Egress, stop: &CancellationToken) -> Result<(), EgressProblem> {
        let mut entries = self.entries();
        if entries.len() >= self.config.max_sinks {
            return Err(EgressProblem::Full(self.config.max_sinks));
        }
        let entry = Entry {
            info: info.clone(),
            stop: stop.clone(),
        };
        entries.insert(info.id.clone(), entry);
        Ok(())
    }

    /// What is known of one by now.
    fn update(&self, info: &Egress) {
        if let Some(entry) = self.entries().get_mut(&info.id) {
            entry.info.clone_from(info);
        }
    }

    fn remove(&self, id: &str) {
        self.entries().remove(id);
    }

    /// Where a caller wants media sent, where it may go there.
    fn judge(&self, rtp: Option<&RtpSink>) -> Result<Where, EgressProblem> {
        let rtp = rtp.ok_or(EgressProblem::NoSink)?;
        let address: IpAddr = rtp.address.parse().map_err(|_| EgressProblem::Address)?;
        let address = address.to_canonical();
        if !self.targets.may_reach(address) {
            return Err(EgressProblem::Target(self.targets.forbidden(address)));
        }
        let mut sinks = Vec::new();
        for (name, port, is_video) in [
            ("video_port", rtp.video_port, true),
            ("audio_port", rtp.audio_port, false),
        ] {
            if port == 0 {
                continue;
            }
            let port = u16::try_from(port).ok().filter(|port| *port < u16::MAX);
            let port = port.ok_or(EgressProblem::Port(name))?;
            let rtcp = if rtp.rtcp_mux { port } else { port + 1 };
            sinks.push(PlainSink {
                is_video,
                rtp: SocketAddr::new(address, port),
                rtcp: SocketAddr::new(address, rtcp),
            });
        }
        match &sinks[..] {
            [] => return Err(EgressProblem::NoSink),
            [one, other] if !rtp.rtcp_mux && (one.rtp.port().abs_diff(other.rtp.port()) < 2) => {
                return Err(EgressProblem::SamePort);
            }
            _ => {}
        }
        let keyframes = match rtp.keyframe_interval.map(Duration::try_from) {
            None => Some(KEYFRAMES),
            Some(Ok(Duration::ZERO)) => None,
            Some(Ok(span)) if span >= KEYFRAMES_MIN => Some(span),
            Some(_) => return Err(EgressProblem::Keyframes),
        };
        Ok(Where { sinks, keyframes })
    }

    /// Sinks of a room, or of all.
    pub(crate) fn list(&self, room: &str) -> ListEgressesResponse {
        let entries = self.entries();
        let all = entries.values().map(|entry| entry.info.clone());
        ListEgressesResponse {
            egresses: all
                .filter(|info| room.is_empty() || info.room == room)
                .collect(),
        }
    }

    /// Ends one.
    pub(crate) fn delete(&self, request: &DeleteEgressRequest) -> Result<(), CallError> {
        let mut entries = self.entries();
        let found = entries.get(&request.id);
        let Some(entry) = found.filter(|entry| entry.info.room == request.room) else {
            return Err(EgressProblem::NotFound(request.id.clone()).into());
        };
        entry.stop.cancel();
        entries.remove(&request.id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egresses() -> Egresses {
        let config = EgressConfig {
            allowed_targets: vec!["192.168.7.0/24".parse().unwrap()],
            ..EgressConfig::default()
        };
        Egresses::new(config, false)
    }

    fn sink(address: &str, video_port: u32, audio_port: u32) -> RtpSink {
        RtpSink {
            address: address.to_owned(),
            video_port,
            audio_port,
            ..RtpSink::default()
        }
    }

    fn muxed(sink: RtpSink) -> RtpSink {
        RtpSink {
            rtcp_mux: true,
            ..sink
        }
    }

    fn paced(seconds: i64, millis: i32) -> RtpSink {
        RtpSink {
            keyframe_interval: Some(prost_types::Duration {
                seconds,
                nanos: millis * 1_000_000,
            }),
            ..sink("192.168.7.3", 5004, 0)
        }
    }

    #[test]
    fn only_allowed_addresses_and_good_ports_are_taken() {
        let egresses = egresses();
        for (rtp, expected) in [
            (sink("192.168.7.3", 5004, 0), "one"),
            (sink("192.168.7.3", 5004, 5006), "two"),
            (sink("::ffff:192.168.7.3", 5004, 0), "one"),
            (
                sink("192.168.8.3", 5004, 0),
                "rtp.address: 192.168.8.3 is not",
            ),
            (sink("1.1.1.1", 5004, 0), "rtp.address: 1.1.1.1 is not"),
            (sink("127.0.0.1", 5004, 0), "rtp.address: 127.0.0.1 is not"),
            (sink("host.example", 5004, 0), "rtp.address: must be"),
            (sink("192.168.7.3", 65_535, 0), "rtp.video_port: must be"),
            (sink("192.168.7.3", 0, 70_000), "rtp.audio_port: must be"),
            (sink("192.168.7.3", 0, 0), "rtp: must be set"),
            (sink("192.168.7.3", 5004, 5004), "rtp: media and RTCP"),
            (sink("192.168.7.3", 5005, 5004), "rtp: media and RTCP"),
            (muxed(sink("192.168.7.3", 5004, 5004)), "two"),
            (muxed(sink("192.168.7.3", 5005, 5004)), "two"),
            (paced(0, 499), "rtp.keyframe_interval: must be"),
            (paced(-1, 0), "rtp.keyframe_interval: must be"),
            (paced(0, 500), "one"),
            (paced(0, 0), "one"),
        ] {
            let told = match egresses.judge(Some(&rtp)) {
                Ok(to) if to.sinks.len() == 1 => "one".to_owned(),
                Ok(_) => "two".to_owned(),
                Err(problem) => problem.to_string(),
            };
            assert!(told.starts_with(expected), "{rtp:?}: {told}");
        }
        assert!(egresses.judge(None).is_err());
    }
}
