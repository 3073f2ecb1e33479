//! Cameras that media is taken from over RTSP (RFC 2326), interleaved in the TCP connection: the protocol is the
//! library's. Owns when a connection is made and made again, and that nobody is told the password. Must not read
//! packets.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use plenum_proto::v1::{IngressState, RtspSource};
use retina::client::{
    Credentials, InitialTimestampPolicy, PacketItem, PlayOptions, Playing, Session, SessionOptions,
    SetupOptions, TcpTransportOptions, TeardownPolicy, Transport,
};
use sfu_core::PlainSection;
use tokio::time::{sleep, timeout};
use url::Url;

use super::{
    IngressProblem, Place, sdp,
    seat::{self, Part, Seat, Who},
    sections,
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

/// A camera.
pub(super) struct Camera {
    /// Without credentials.
    pub(super) url: Url,
    credentials: Option<Credentials>,
    targets: Targets,
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Camera({})", self.url)
    }
}

/// A camera that plays.
struct Connected {
    session: Session<Playing>,
    sections: Vec<PlainSection>,
    /// Which section each of its streams is.
    section_of: Vec<Option<u8>>,
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
    #[error("the connection fails, or what comes over it is no RTSP")]
    Broken,
    #[error("its description {0}")]
    Description(#[from] sdp::DescriptionProblem),
    #[error("nothing that it has is forwarded here")]
    Nothing,
    #[error("it sends nothing any more")]
    Silent,
}

impl From<retina::Error> for CameraProblem {
    fn from(error: retina::Error) -> Self {
        // Its text has what the camera wrote, and goes nowhere.
        match error.status_code() {
            Some(401) => Self::Credentials,
            Some(status) => Self::Refused(status),
            None => Self::Broken,
        }
    }
}

impl Camera {
    /// Reads what a caller says of a camera.
    pub(super) fn new(source: RtspSource, targets: Targets) -> Result<Self, IngressProblem> {
        let problem = IngressProblem::Url;
        let mut url = Url::parse(&source.url).map_err(|_| problem("is no URL"))?;
        match url.scheme() {
            "rtsp" => {}
            "rtsps" => return Err(problem("is of RTSP over TLS, which is not spoken here")),
            _ => return Err(problem("must begin with rtsp://")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(problem("names no host"));
        }
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
        })
    }

    /// Whether it may be reached, as far as its name is known.
    pub(super) async fn check(&self) -> Result<(), IngressProblem> {
        match self.find().await {
            Err(problem @ TargetProblem::Forbidden(_)) => Err(IngressProblem::Target(problem)),
            // A name may become known.
            Ok(_) | Err(TargetProblem::Unknown) => Ok(()),
        }
    }

    async fn find(&self) -> Result<SocketAddr, TargetProblem> {
        const PORT: u16 = 554;
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().unwrap_or(PORT);
        self.targets.find(host, port).await
    }

    async fn connect(&self) -> Result<Connected, CameraProblem> {
        let connecting = timeout(CONNECT_TIMEOUT, self.play());
        connecting.await.unwrap_or(Err(CameraProblem::Timeout))
    }

    async fn play(&self) -> Result<Connected, CameraProblem> {
        let address = self.find().await?;
        // The library looks the name up again: it is to find what was judged.
        let mut url = self.url.clone();
        let _ = url.set_ip_host(address.ip());
        let options = SessionOptions::default()
            .creds(self.credentials.clone())
            .teardown(TeardownPolicy::Never);
        let mut session = Session::describe(url, options).await?;
        let text = String::from_utf8_lossy(session.sdp()).into_owned();
        let mut media = sdp::read(&text)?;
        media.retain(|medium| !medium.formats.is_empty());
        let mut section_of = vec![None; session.streams().len()];
        for (section, medium) in (0..).zip(&media) {
            let Some(place) = section_of.get_mut(medium.index) else {
                return Err(CameraProblem::Broken);
            };
            *place = Some(section);
            let transport = Transport::Tcp(TcpTransportOptions::default());
            let options = SetupOptions::default().transport(transport);
            session.setup(medium.index, options).await?;
        }
        if media.is_empty() {
            return Err(CameraProblem::Nothing);
        }
        // Sound and picture are brought together by sender reports.
        let options = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Ignore);
        Ok(Connected {
            session: session.play(options).await?,
            sections: sections(&media),
            section_of,
        })
    }
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
        loop {
            let connected = tokio::select! {
                () = self.place.stop.cancelled() => return Ok(()),
                why = ended(room) => return Err(Over(why)),
                connected = self.camera.connect() => connected,
            };
            let problem = match connected {
                Ok(connected) => {
                    let began = Instant::now();
                    let Some(problem) = self.take(connected, room).await? else {
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
            tracing::debug!(ingress = self.place.id, %problem, "a camera does not play");
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
        mut connected: Connected,
        room: &mut Room,
    ) -> Result<Option<CameraProblem>, Over> {
        room.lost = None;
        let (_, seat) = self.seat(connected.sections.clone(), room).await?;
        let way = seat.way.clone();
        loop {
            let Seat { events, rtcp, .. } = &mut *seat;
            let item = tokio::select! {
                () = self.place.stop.cancelled() => return Ok(None),
                why = seat::ended(events) => return Err(Over(why)),
                // The library reports by itself, and passes nothing else on to a camera.
                Some(_) = rtcp.recv() => continue,
                item = timeout(SILENCE_MAX, connected.session.next()) => item,
            };
            let (stream, bytes) = match &item {
                Err(_) => return Ok(Some(CameraProblem::Silent)),
                Ok(None) => return Ok(Some(CameraProblem::Broken)),
                Ok(Some(Err(error))) => return Ok(Some(error.clone().into())),
                Ok(Some(Ok(PacketItem::Rtp(packet)))) => (packet.stream_id(), packet.raw()),
                Ok(Some(Ok(PacketItem::Rtcp(packet)))) => (packet.stream_id(), packet.raw()),
                Ok(Some(Ok(_))) => continue,
            };
            if let Some(Some(section)) = connected.section_of.get(stream) {
                self.place.set_state(IngressState::IngressReceiving, "");
                way.give(*section, bytes);
            }
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
        };
        Camera::new(source, Targets::with_public(Vec::new(), true))
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
            "rtsps://u:secret@cam/",
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
