//! Cameras that media is taken from over RTSP (RFC 2326), interleaved in the connection or by UDP. Owns when a connection
//! is made and made again, by which way packets come, and that nobody is told the password. Must not read packets.

mod connection;
mod playing;
mod tls;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use plenum_proto::v1::{IngressState, RtspSource, RtspTransport};
use rustls::pki_types::ServerName;
use sfu_core::PlainSection;
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    connection::{Connection, Stream},
    playing::{Playing, Turn},
};
use super::{
    IngressProblem, LOOK, Place,
    ports::Ports,
    sdp,
    seat::{self, Part, Seat, Who},
    targets::{TargetProblem, Targets},
};
use crate::{error::CallError, service::Shared};

/// How long a camera may take until it plays.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a camera may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// From one attempt to the next: twice as long each time.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a camera may send nothing by UDP before another way is tried: what is in between may let nothing through.
const UDP_SILENCE_MAX: Duration = Duration::from_secs(5);

/// By which way packets of a camera come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Interleaved,
    Udp,
}

/// User name and password.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    username: String,
    password: String,
}

/// A camera.
pub(super) struct Camera {
    /// Without credentials.
    pub(super) url: Url,
    credentials: Option<Credentials>,
    targets: Targets,
    /// By TLS, to whom has this name.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    first: Mode,
    ports: Option<Arc<Ports>>,
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Camera({})", self.url)
    }
}

/// Why a camera does not play. Says nothing that a camera or the library made of credentials.
#[derive(Debug, thiserror::Error)]
enum CameraProblem {
    #[error(transparent)]
    Target(#[from] TargetProblem),
    #[error("no answer in time")]
    Timeout,
    #[error("the camera asks for a user name and a password that it takes (401)")]
    Credentials,
    #[error("the camera refuses with status {0}")]
    Refused(u16),
    #[error("the camera refuses to send in this way, with status {0}")]
    Transport(u16),
    #[error("the connection fails, or what comes over it is no RTSP")]
    Broken,
    #[error("its certificate is not trusted, or it speaks no TLS")]
    Untrusted,
    #[error("no UDP port is free")]
    Ports,
    #[error("its description {0}")]
    Description(#[from] sdp::DescriptionProblem),
    #[error("nothing that it has is forwarded here")]
    Nothing,
    #[error("it sends nothing")]
    Mute,
    #[error("it sends nothing any more")]
    Silent,
}

impl CameraProblem {
    /// Whether packets may come by another way.
    fn is_of_way(&self) -> bool {
        matches!(self, Self::Transport(_) | Self::Mute | Self::Ports)
    }
}

impl Camera {
    /// Reads what a caller says of a camera.
    pub(super) fn new(
        source: RtspSource,
        targets: Targets,
        ports: Option<Arc<Ports>>,
    ) -> Result<Self, IngressProblem> {
        let problem = IngressProblem::Url;
        let mut url = Url::parse(&source.url).map_err(|_| problem("is no URL"))?;
        let is_secure = match url.scheme() {
            "rtsp" => false,
            "rtsps" => true,
            _ => return Err(problem("must begin with rtsp:// or rtsps://")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| problem("names no host"))?.to_owned();
        let first = match source.transport() {
            RtspTransport::RtspInterleaved => Mode::Interleaved,
            RtspTransport::RtspUdp if is_secure => return Err(IngressProblem::OpenUdp),
            RtspTransport::RtspUdp => Mode::Udp,
        };
        let pinned = match source.certificate_sha256.as_str() {
            "" => None,
            _ if !is_secure => return Err(IngressProblem::Certificate),
            text => Some(tls::read_digest(text).ok_or(IngressProblem::Certificate)?),
        };
        let tls = is_secure.then(|| secure(&host, pinned)).transpose()?;
        let decoded = |text: &str| {
            let pairs = format!("x={}", text.replace('+', "%2B"));
            let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
            pairs
                .next()
                .map(|(_, text)| text.into_owned())
                .unwrap_or_default()
        };
        let (username, password) = match source.username.is_empty() {
            true => (
                decoded(url.username()),
                decoded(url.password().unwrap_or_default()),
            ),
            false => (source.username, source.password),
        };
        // They fail on URLs without a host alone.
        let _ = (url.set_username(""), url.set_password(None));
        Ok(Self {
            url,
            credentials: (!username.is_empty()).then_some(Credentials { username, password }),
            targets,
            tls,
            first,
            ports,
        })
    }

    /// Whether it may be reached, as far as its name is known.
    pub(super) async fn check(&self) -> Result<(), IngressProblem> {
        match self.find().await {
            Err(problem @ TargetProblem::Forbidden(..)) => Err(IngressProblem::Target(problem)),
            // A name may become known.
            Ok(_) | Err(TargetProblem::Unknown) => Ok(()),
        }
    }

    async fn find(&self) -> Result<SocketAddr, TargetProblem> {
        const PORT: u16 = 554;
        /// RFC 7826 section 19.
        const TLS_PORT: u16 = 322;
        let usual = if self.tls.is_some() { TLS_PORT } else { PORT };
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().unwrap_or(usual);
        self.targets.find(host, port).await
    }

    async fn connect(&self, mode: Mode) -> Result<Playing, CameraProblem> {
        let connecting = timeout(CONNECT_TIMEOUT, self.play(mode));
        connecting.await.unwrap_or(Err(CameraProblem::Timeout))
    }

    async fn play(&self, mode: Mode) -> Result<Playing, CameraProblem> {
        // What was judged is connected to: a name may stand for something else a moment later.
        let stream = connection::connect(self.find().await?).await?;
        let (local, peer) = ends(&stream).map_err(|_| CameraProblem::Broken)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => {
                let secured = connector.connect(name.clone(), stream).await;
                Box::new(secured.map_err(|_| CameraProblem::Untrusted)?)
            }
        };
        let connection = Connection::new(stream, peer, self.credentials.clone());
        let ports = match &self.ports {
            Some(ports) if ports.serves(local.ip()) => Arc::clone(ports),
            _ => Ports::free(local.ip()),
        };
        Playing::begin(connection, &self.url, mode, &ports).await
    }

    /// The other way, where there is one.
    fn other(&self, mode: Mode) -> Option<Mode> {
        match mode {
            Mode::Udp => Some(Mode::Interleaved),
            Mode::Interleaved => self.tls.is_none().then_some(Mode::Udp),
        }
    }
}

/// Our address and the camera's.
fn ends(stream: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

fn secure(
    host: &str,
    pinned: Option<[u8; 32]>,
) -> Result<(TlsConnector, ServerName<'static>), IngressProblem> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned());
    let name =
        name.map_err(|_| IngressProblem::Url("names no host that a certificate can have"))?;
    let connector = tls::connector(pinned).map_err(IngressProblem::Tls)?;
    Ok((connector, name))
}

/// A camera whose media goes to a room.
pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) who: Who,
    pub(super) camera: Camera,
    pub(super) place: Place,
    pub(super) idle_timeout: Duration,
}

/// Why it goes on no more.
struct Over(String);

/// Who takes the camera's media now.
#[derive(Default)]
struct Room {
    seat: Option<(Vec<PlainSection>, Seat)>,
    lost: Option<Instant>,
}

impl Running {
    /// Takes media from the camera until it is deleted, or its participant is put out of the room.
    pub(super) async fn run(self) {
        let mut room = Room::default();
        let why = match self.follow(&mut room).await {
            Ok(()) => "deleted".to_owned(),
            Err(Over(why)) => why,
        };
        if let Some((_, seat)) = room.seat {
            seat.leave().await;
        }
        self.shared.ingresses.remove(&self.place);
        tracing::info!(ingress = self.place.id, why, "ingress ended");
    }

    async fn follow(&self, room: &mut Room) -> Result<(), Over> {
        let mut wait = WAIT_MIN;
        let mut mode = self.camera.first;
        let mut has_tried_other = false;
        loop {
            let connected = tokio::select! {
                () = self.place.stop.cancelled() => return Ok(()),
                why = ended(room) => return Err(Over(why)),
                connected = self.camera.connect(mode) => connected,
            };
            let problem = match connected {
                Ok(playing) => {
                    let began = Instant::now();
                    let Some(problem) = self.take(playing, room).await? else {
                        return Ok(());
                    };
                    if began.elapsed() > WAIT_MAX {
                        wait = WAIT_MIN;
                    }
                    problem
                }
                Err(problem) => problem,
            };
            let state = IngressState::IngressConnecting;
            self.place.set_state(state, &problem.to_string());
            tracing::debug!(ingress = self.place.id, ?mode, %problem, "a camera does not play");
            let other = self.camera.other(mode).filter(|_| problem.is_of_way());
            if let Some(other) = other {
                mode = other;
                if !std::mem::replace(&mut has_tried_other, true) {
                    continue;
                }
            }
            has_tried_other = false;
            tokio::select! {
                () = self.place.stop.cancelled() => return Ok(()),
                why = ended(room) => return Err(Over(why)),
                () = sleep(jittered(wait)) => wait = (wait * 2).min(WAIT_MAX),
            }
            let since = *room.lost.get_or_insert_with(Instant::now);
            if since.elapsed() > self.idle_timeout
                && let Some((_, seat)) = room.seat.take()
            {
                seat.leave().await;
                self.place.set_participant("");
            }
        }
    }

    /// Passes on what a camera sends until it breaks off; `None` when it is deleted.
    async fn take(
        &self,
        mut playing: Playing,
        room: &mut Room,
    ) -> Result<Option<CameraProblem>, Over> {
        room.lost = None;
        let (_, seat) = self.seat(playing.sections.clone(), room).await?;
        let readers = CancellationToken::new();
        let _reading = readers.clone().drop_guard();
        playing.read(&seat.way, &self.place, &readers, &self.shared.sessions);
        let pass = self.pass(&mut playing, seat).await;
        playing.end().await;
        pass
    }

    async fn pass(
        &self,
        playing: &mut Playing,
        seat: &mut Seat,
    ) -> Result<Option<CameraProblem>, Over> {
        let way = seat.way.clone();
        let mut heard = None;
        let began = Instant::now();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Seat { events, rtcp, .. } = &mut *seat;
            let sign_at = playing.sign_at;
            // What is begun to be written is written to its end: only waiting is given up.
            let done = tokio::select! {
                () = self.place.stop.cancelled() => return Ok(None),
                why = seat::ended(events) => return Err(Over(why)),
                Some((section, bytes)) = rtcp.recv() => playing.send_back(section, &bytes).await,
                () = sleep_until(sign_at) => playing.give_sign().await,
                _ = look.tick() => self.look(playing, &mut heard, began),
                turn = playing.next() => match turn {
                    Ok(Turn::Packet(section, bytes)) => {
                        self.place.set_state(IngressState::IngressReceiving, "");
                        way.give(section, &bytes);
                        heard = Some(Instant::now());
                        Ok(())
                    }
                    Ok(Turn::Asked(incoming)) => playing.handle(incoming).await,
                    Err(problem) => Err(problem),
                },
            };
            if let Err(problem) = done {
                return Ok(Some(problem));
            }
        }
    }

    /// Whether anything comes still.
    fn look(
        &self,
        playing: &Playing,
        heard: &mut Option<Instant>,
        began: Instant,
    ) -> Result<(), CameraProblem> {
        if let Some(at) = playing.sockets.as_ref().and_then(|sockets| sockets.heard()) {
            *heard = Some(at);
        }
        let most = match playing.sockets {
            Some(_) if heard.is_none() => UDP_SILENCE_MAX,
            _ => SILENCE_MAX,
        };
        match heard {
            _ if heard.unwrap_or(began).elapsed() < most => Ok(()),
            None => Err(CameraProblem::Mute),
            Some(_) => Err(CameraProblem::Silent),
        }
    }

    /// The participant for what a camera has: the one that is there, unless it has something else by now.
    async fn seat<'a>(
        &self,
        sections: Vec<PlainSection>,
        room: &'a mut Room,
    ) -> Result<&'a mut (Vec<PlainSection>, Seat), Over> {
        if room
            .seat
            .as_ref()
            .is_none_or(|(known, _)| *known != sections)
        {
            if let Some((_, before)) = room.seat.take() {
                before.leave().await;
            }
            let taken = Seat::take(&self.shared, &self.who, Part::Source(sections.clone())).await;
            let seat = taken.map_err(|error: CallError| Over(error.to_string()))?;
            self.place.set_participant(&seat.participant_id);
            room.seat = Some((sections, seat));
        }
        room.seat
            .as_mut()
            .ok_or_else(|| Over("no participant".to_owned()))
    }
}

/// Waits until the participant is put out of the room; for ever where there is none.
async fn ended(room: &mut Room) -> String {
    match &mut room.seat {
        Some((_, seat)) => seat::ended(&mut seat.events).await,
        None => std::future::pending().await,
    }
}

/// Many cameras behind one switch come back at different moments.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(url: &str, username: &str) -> Result<Camera, IngressProblem> {
        let source = RtspSource {
            url: url.to_owned(),
            username: username.to_owned(),
            password: "told".to_owned(),
            ..RtspSource::default()
        };
        Camera::new(source, Targets::of_ingress(Vec::new(), true), None)
    }

    #[test]
    fn credentials_are_taken_out_of_the_url() {
        for (url, username, expected) in [
            (
                "rtsp://ann:p%40ss+w@cam:8554/live?x=1",
                "",
                Some(("ann", "p@ss+w")),
            ),
            ("rtsp://ann@cam:8554/live?x=1", "", Some(("ann", ""))),
            (
                "rtsp://ann:old@cam:8554/live?x=1",
                "bob",
                Some(("bob", "told")),
            ),
            ("rtsp://cam:8554/live?x=1", "", None),
        ] {
            let camera = camera(url, username).unwrap();
            assert_eq!(camera.url.as_str(), "rtsp://cam:8554/live?x=1", "{url}");
            let credentials = camera.credentials.as_ref();
            let credentials = credentials.map(|c| (c.username.as_str(), c.password.as_str()));
            assert_eq!(credentials, expected, "{url}");
            assert_eq!(format!("{camera:?}"), "Camera(rtsp://cam:8554/live?x=1)");
        }
    }

    #[test]
    fn other_urls_are_refused_without_being_repeated() {
        for url in [
            "",
            "cam/live",
            "http://u:secret@cam/",
            "rtsp:///live",
            "file:///etc/passwd",
        ] {
            let Err(problem) = camera(url, "") else {
                panic!("{url} was taken")
            };
            let text = problem.to_string();
            assert!(
                text.starts_with("rtsp.url") && !text.contains("secret"),
                "{text}"
            );
        }
    }
}
