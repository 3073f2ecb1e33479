//! Media that comes in without WebRTC: the sources of this node, each a participant of a room.
//!
//! Owns the list of them, and their beginning and end. An ingress lives as long as its participant does: it ends with the
//! room, when it is deleted, and when nothing comes any more. Must not touch packets.

mod pin;
mod ports;
mod rtp;
mod rtsp;
pub(crate) mod sdp;
pub(crate) mod seat;
pub(crate) mod targets;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use plenum_proto::{
    ids::IngressId,
    v1::{
        CreateIngressRequest, DeleteIngressRequest, Ingress, IngressState, ListIngressesResponse,
        RtpEndpoint, RtpSource, RtspSource, Track, TrackKind, TrackSource,
        create_ingress_request::Source as Asked,
    },
};
use sfu_core::{KeyframeFeedback, PlainSection};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::{
    pin::Pin,
    ports::{Pair, Ports},
    rtp::Sockets,
    sdp::Medium,
    seat::{Part, Seat, Who},
    targets::{TargetProblem, Targets},
};
pub(crate) use self::{ports::PortProblem, sdp::DescriptionProblem};
use crate::{config::IngressConfig, error::CallError, service::Shared};

/// How often it is looked at whether anything comes.
const LOOK: Duration = Duration::from_secs(1);

/// A source that was silent for so long is waited for.
const SILENT: Duration = Duration::from_secs(3);

/// Why a source is not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngressProblem {
    #[error("source: must be set")]
    NoSource,
    #[error("rtp: this node takes no plain RTP (node.ingress.listen)")]
    Off,
    #[error("limit of ingress.max_sources is {0}")]
    Full(usize),
    #[error("{0} {1}")]
    Description(&'static str, DescriptionProblem),
    #[error("rtp: one of sdp and media must be set")]
    OneDescription,
    #[error("rtp.source_address: must be an IP address")]
    SourceAddress,
    #[error("rtsp.url {0}")]
    Url(&'static str),
    #[error("rtsp.url: {0}")]
    Target(TargetProblem),
    #[error(
        "rtsp.transport: rtsps:// has packets in the connection alone: by UDP they would go in the clear"
    )]
    OpenUdp,
    #[error("rtsp.certificate_sha256: must be 64 hexadecimal digits, and goes with rtsps:// alone")]
    Certificate,
    #[error("TLS cannot be used")]
    Tls(#[source] std::io::Error),
    #[error("rtp: {0}")]
    Ports(#[from] PortProblem),
    #[error("ingress \"{0}\" does not exist")]
    NotFound(String),
}

/// The sources of a node.
pub(crate) struct Ingresses {
    config: IngressConfig,
    ports: Option<Arc<Ports>>,
    targets: Targets,
    entries: Mutex<BTreeMap<String, Place>>,
}

/// What a source and its entry in the list share.
#[derive(Clone)]
struct Place {
    id: String,
    info: Arc<Mutex<Ingress>>,
    stop: CancellationToken,
}

/// A source that is about to begin: its place is given back unless it does.
struct Beginning<'a> {
    ingresses: &'a Ingresses,
    place: &'a Place,
    has_begun: bool,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.has_begun {
            self.ingresses.remove(self.place);
        }
    }
}

impl Place {
    fn info(&self) -> MutexGuard<'_, Ingress> {
        // A field is set as a whole.
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_state(&self, state: IngressState, problem: &str) {
        self.judge(|| (state, problem));
    }

    /// The same by a look at what came: what a reader tells meanwhile is later than that look.
    fn judge<'a>(&self, look: impl FnOnce() -> (IngressState, &'a str)) {
        let mut info = self.info();
        let (state, problem) = look();
        if info.state() != state || info.problem != problem {
            info.set_state(state);
            problem.clone_into(&mut info.problem);
        }
    }

    fn set_participant(&self, id: &str) {
        id.clone_into(&mut self.info().participant_id);
    }
}

impl Ingresses {
    /// None yet. `is_local` says that the node serves its own machine alone.
    pub(crate) fn new(config: IngressConfig, is_local: bool) -> Self {
        Self {
            ports: Ports::new(&config),
            targets: Targets::of_ingress(config.allowed_targets.clone(), is_local),
            entries: Mutex::default(),
            config,
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        // An entry is set as a whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a source in; the room must exist. Plain RTP has joined it when this returns, a camera joins when it plays.
    pub(crate) async fn create(
        shared: &Arc<Shared>,
        request: CreateIngressRequest,
    ) -> Result<Ingress, CallError> {
        let this = &shared.ingresses;
        let who = Who {
            room: request.room,
            identity: request.identity,
            name: request.name,
            metadata: request.metadata,
        };
        let source = request.source.ok_or(IngressProblem::NoSource)?;
        let place = this.hold(&who)?;
        let mut beginning = Beginning {
            ingresses: this,
            place: &place,
            has_begun: false,
        };
        let started = match source {
            Asked::Rtp(source) => this.start_rtp(shared, &who, source, &place).await,
            Asked::Rtsp(source) => this.start_rtsp(shared, who, source, &place).await,
        };
        started?;
        beginning.has_begun = true;
        let info = place.info().clone();
        Ok(info)
    }

    /// A place among the sources, so that there are never too many.
    fn hold(&self, who: &Who) -> Result<Place, IngressProblem> {
        let mut entries = self.entries();
        if entries.len() >= self.config.max_sources {
            return Err(IngressProblem::Full(self.config.max_sources));
        }
        let id = String::from(IngressId::random(rand::random));
        let info = Ingress {
            id: id.clone(),
            room: who.room.clone(),
            identity: who.identity.clone(),
            ..Ingress::default()
        };
        let place = Place {
            id: id.clone(),
            info: Arc::new(Mutex::new(info)),
            stop: CancellationToken::new(),
        };
        entries.insert(id, place.clone());
        Ok(place)
    }

    fn remove(&self, place: &Place) {
        self.entries().remove(&place.id);
    }

    /// Sources in a room, or in all.
    pub(crate) fn list(&self, room: &str) -> ListIngressesResponse {
        let entries = self.entries();
        let all = entries.values().map(|place| place.info().clone());
        ListIngressesResponse {
            ingresses: all
                .filter(|info| room.is_empty() || info.room == room)
                .collect(),
        }
    }

    /// Ends a source.
    pub(crate) fn delete(&self, request: &DeleteIngressRequest) -> Result<(), CallError> {
        let mut entries = self.entries();
        let found = entries.get(&request.id);
        let Some(place) = found.filter(|place| place.info().room == request.room) else {
            return Err(IngressProblem::NotFound(request.id.clone()).into());
        };
        place.stop.cancel();
        entries.remove(&request.id);
        Ok(())
    }

    async fn start_rtsp(
        &self,
        shared: &Arc<Shared>,
        who: Who,
        source: RtspSource,
        place: &Place,
    ) -> Result<(), CallError> {
        let camera = rtsp::Camera::new(source, self.targets.clone(), self.ports.clone())?;
        camera.check().await?;
        place.info().url = camera.url.to_string();
        place.set_state(IngressState::IngressConnecting, "");
        let running = rtsp::Running {
            shared: Arc::clone(shared),
            who,
            camera,
            place: place.clone(),
            idle_timeout: self.config.idle_timeout,
        };
        tracing::info!(ingress = place.id, "camera is taken in");
        shared.sessions.spawn(running.run());
        Ok(())
    }

    async fn start_rtp(
        &self,
        shared: &Arc<Shared>,
        who: &Who,
        source: RtpSource,
        place: &Place,
    ) -> Result<(), CallError> {
        let ports = self.ports.as_ref().ok_or(IngressProblem::Off)?;
        let media = media_of(&source)?;
        let given: Option<IpAddr> = match source.source_address.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| IngressProblem::SourceAddress)?),
        };
        let by_payload_type = match source.one_port {
            true => sdp::by_payload_type(&media)
                .map_err(|problem| IngressProblem::Description(field(&source), problem))?,
            false => Vec::new(),
        };
        let pairs = open(ports, &media, source.one_port).map_err(IngressProblem::from)?;
        let ports = addresses(&pairs, media.len()).map_err(PortProblem::System);
        let ports = ports.map_err(IngressProblem::from)?;
        let pin = Pin::new(given, Sockets::count(pairs.len()));
        let sockets = Sockets::new(pairs, pin, by_payload_type);
        let seat = Seat::take(
            shared,
            who,
            Part::Source(sections(&media, KeyframeFeedback::Pli)),
        )
        .await?;
        let address = self.told_address();
        {
            let mut info = place.info();
            info.participant_id.clone_from(&seat.participant_id);
            info.endpoints = endpoints(address, &media, &ports);
            info.sdp = sdp::write(address, &media, &ports);
        }
        let running = Running {
            shared: Arc::clone(shared),
            seat,
            sockets,
            place: place.clone(),
            idle_timeout: self.config.idle_timeout,
        };
        tracing::info!(ingress = place.id, "plain RTP is taken in");
        shared.sessions.spawn(running.run());
        Ok(())
    }

    fn told_address(&self) -> IpAddr {
        let IngressConfig {
            listen, advertise, ..
        } = &self.config;
        let mut told = advertise.iter().chain(listen).copied();
        told.next()
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
    }
}

/// Plain RTP that comes in.
struct Running {
    shared: Arc<Shared>,
    seat: Seat,
    sockets: Arc<Sockets>,
    place: Place,
    idle_timeout: Duration,
}

impl Running {
    async fn run(mut self) {
        let readers = CancellationToken::new();
        let reading = readers.clone().drop_guard();
        self.sockets
            .read(&self.seat.way, &self.place, &readers, &self.shared.sessions);
        let why = self.follow().await;
        drop(reading);
        self.seat.leave().await;
        self.shared.ingresses.remove(&self.place);
        tracing::info!(ingress = self.place.id, why, "ingress ended");
    }

    /// Passes on what is for the sender, until there is a reason to end.
    async fn follow(&mut self) -> String {
        let began = Instant::now();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Seat { events, rtcp, .. } = &mut self.seat;
            tokio::select! {
                () = self.place.stop.cancelled() => return "deleted".to_owned(),
                why = seat::ended(events) => return why,
                Some((section, bytes)) = rtcp.recv() => self.sockets.send_back(section, &bytes),
                _ = look.tick() => {
                    let silent = || self.sockets.heard().map(|at| at.elapsed());
                    self.place.judge(|| match silent() {
                        Some(since) if since < SILENT => (IngressState::IngressReceiving, ""),
                        _ => (IngressState::IngressWaiting, ""),
                    });
                    if silent().unwrap_or_else(|| began.elapsed()) >= self.idle_timeout {
                        return "nothing comes".to_owned();
                    }
                }
            }
        }
    }
}

/// The field of a request that describes the media.
fn field(source: &RtpSource) -> &'static str {
    if source.sdp.is_empty() {
        "rtp.media"
    } else {
        "rtp.sdp"
    }
}

fn media_of(source: &RtpSource) -> Result<Vec<Medium>, IngressProblem> {
    let problem = |problem| IngressProblem::Description(field(source), problem);
    let media: Vec<Medium> = match (source.sdp.is_empty(), source.media.is_empty()) {
        (false, true) => sdp::read(&source.sdp).map_err(problem)?,
        (true, false) => {
            let media = source.media.iter().enumerate();
            let media: Result<_, _> = media.map(|(i, m)| sdp::medium_of(i, m)).collect();
            media.map_err(problem)?
        }
        _ => return Err(IngressProblem::OneDescription),
    };
    if media.len() > sdp::MEDIA_MAX {
        return Err(problem(DescriptionProblem::Media(media.len())));
    }
    match media.iter().position(|medium| medium.formats.is_empty()) {
        Some(index) => Err(problem(DescriptionProblem::Unsupported(index))),
        None => Ok(media),
    }
}

/// Opens the ports that media come to.
fn open(ports: &Arc<Ports>, media: &[Medium], one_port: bool) -> Result<Vec<Pair>, PortProblem> {
    let wanted = if one_port {
        media.get(..1).unwrap_or_default()
    } else {
        media
    };
    let pair = |medium: &Medium| match medium.port {
        Some(port) if one_port => ports.open(port, port),
        Some(port) => ports.open(
            port,
            medium.rtcp_port.unwrap_or_else(|| port.saturating_add(1)),
        ),
        None => ports.open_any(one_port),
    };
    wanted.iter().map(pair).collect()
}

/// The ports for RTP and RTCP of each medium.
fn addresses(pairs: &[Pair], media: usize) -> std::io::Result<Vec<(u16, u16)>> {
    let ports: Result<Vec<_>, _> = pairs.iter().map(Pair::ports).collect();
    let ports = ports?;
    Ok((0..media)
        .filter_map(|index| ports.get(index).or_else(|| ports.first()).copied())
        .collect())
}

fn endpoints(address: IpAddr, media: &[Medium], ports: &[(u16, u16)]) -> Vec<RtpEndpoint> {
    let usual = media.iter().map(|medium| medium.formats.first());
    usual
        .zip(ports)
        .filter_map(|(format, (port, rtcp_port))| {
            let format = format?;
            Some(RtpEndpoint {
                mime: format.mime.clone(),
                payload_type: format.payload_type.into(),
                address: address.to_string(),
                port: (*port).into(),
                rtcp_port: (*rtcp_port).into(),
            })
        })
        .collect()
}

/// Media as the core takes them: the first of a kind is the participant's camera or microphone. `unless_told` is how they
/// are asked for keyframes where their description says nothing of it.
fn sections(media: &[Medium], unless_told: KeyframeFeedback) -> Vec<PlainSection> {
    media
        .iter()
        .map(|medium| PlainSection {
            track: Track {
                kind: medium.kind.into(),
                source: match medium.kind {
                    TrackKind::Audio => TrackSource::Microphone.into(),
                    TrackKind::Video => TrackSource::Camera.into(),
                },
                stereo: medium
                    .formats
                    .iter()
                    .any(|f| f.parameters.contains("sprop-stereo=1")),
                disable_red: true,
                ..Track::default()
            },
            formats: medium.formats.clone(),
            keyframes: medium.keyframes.unwrap_or(unless_told),
        })
        .collect()
}

impl IngressProblem {
    /// What a limit is called, where one is reached.
    pub(crate) fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Full(_) => Some("ingress.max_sources"),
            Self::Ports(PortProblem::Full(_)) => Some("ingress.ports"),
            _ => None,
        }
    }

    /// The field of the request at fault, where one is.
    pub(crate) fn field(&self) -> Option<&'static str> {
        match self {
            Self::NoSource => Some("source"),
            Self::Description(field, _) => Some(field),
            Self::OneDescription | Self::Ports(PortProblem::Outside(..)) => Some("rtp"),
            Self::SourceAddress => Some("rtp.source_address"),
            Self::Url(_) | Self::Target(_) => Some("rtsp.url"),
            Self::OpenUdp => Some("rtsp.transport"),
            Self::Certificate => Some("rtsp.certificate_sha256"),
            _ => None,
        }
    }
}
