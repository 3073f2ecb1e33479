//! A camera that plays (RFC 2326 section 10): from its description to packets, interleaved in the connection or by UDP.
//! Must not know rooms, nor when to try again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rtsp_types::{Method, Response, StatusCode, headers};
use sfu_core::{KeyframeFeedback, PlainSection};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{
    super::{
        Place,
        ports::{Pair, Ports},
        rtp::Sockets,
        sdp::{self, Medium},
        seat::Way,
        sections,
    },
    CameraProblem, Mode,
    connection::{Asked, Connection, Incoming},
};

/// What a session lives without a sign of us, unless the camera says something else (RFC 2326 section 12.37).
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// A camera is given a sign of us no more and no less often.
const SIGN_MIN: Duration = Duration::from_secs(2);
const SIGN_MAX: Duration = Duration::from_secs(30);

/// How long it may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What came of a turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// A packet of a section.
    Packet(u8, Bytes),
    /// Something that is to be answered.
    Asked(Incoming),
}

/// A session that plays.
pub(super) struct Playing {
    connection: Connection,
    /// Of all its media.
    url: Url,
    session: String,
    /// How it is given a sign of us, and how often.
    sign: Method,
    every: Duration,
    /// When the next one is due.
    pub(super) sign_at: Instant,
    /// It asked for credentials, and has not yet said that these are good.
    is_challenged: bool,
    pub(super) sections: Vec<PlainSection>,
    way: Interleaved,
    /// Where packets come by UDP.
    pub(super) sockets: Option<Arc<Sockets>>,
}

/// The channels of each section, for RTP and for RTCP.
type Interleaved = Vec<(u8, u8)>;

/// What a camera says of one medium that was set up.
#[derive(Debug, Default, PartialEq, Eq)]
struct SetUp {
    channels: Option<(u8, u8)>,
    server_port: Option<(u16, u16)>,
}

impl Playing {
    /// Has a camera play. `ports` opens UDP ports for one medium.
    pub(super) async fn begin(
        mut connection: Connection,
        url: &Url,
        mode: Mode,
        ports: &Arc<Ports>,
    ) -> Result<Self, CameraProblem> {
        let sign = sign(&mut connection, url).await?;
        let described = ask(
            &mut connection,
            Method::Describe,
            url,
            &[(headers::ACCEPT, "application/sdp")],
        )
        .await?;
        let text = String::from_utf8_lossy(described.body()).into_owned();
        let base = base_of(&described, url);
        let mut media = sdp::read(&text)?;
        media.retain(|medium| !medium.formats.is_empty());
        if media.is_empty() {
            return Err(CameraProblem::Nothing);
        }
        let mut this = Self {
            connection,
            url: resolve(&base, sdp::control(&text).as_deref())?,
            session: String::new(),
            sign,
            every: SESSION_TIMEOUT,
            sign_at: Instant::now(),
            is_challenged: false,
            sections: sections(&media, KeyframeFeedback::None),
            way: Vec::new(),
            sockets: None,
        };
        let mut pairs = Vec::new();
        let mut servers = Vec::new();
        for medium in &media {
            let url = resolve(&base, medium.control.as_deref())?;
            let pair = match mode {
                Mode::Interleaved => None,
                Mode::Udp => Some(ports.open_any(false).map_err(|_| CameraProblem::Ports)?),
            };
            let told = this.set_up(&url, medium, pair.as_ref()).await?;
            pairs.extend(pair);
            servers.push(told.server_port);
        }
        if mode == Mode::Udp {
            let peer = this.connection.peer.ip();
            this.sockets = Some(Sockets::toward(pairs, peer, &servers));
        }
        this.play().await?;
        Ok(this)
    }

    async fn set_up(
        &mut self,
        url: &Url,
        medium: &Medium,
        pair: Option<&Pair>,
    ) -> Result<SetUp, CameraProblem> {
        let profile = if medium.has_feedback_profile {
            "RTP/AVPF"
        } else {
            "RTP/AVP"
        };
        // There are no more than MEDIA_MAX.
        let channel = self.way.len() as u8 * 2;
        let wanted = match pair {
            None => format!(
                "{profile}/TCP;unicast;interleaved={channel}-{}",
                channel + 1
            ),
            Some(pair) => {
                let (rtp, rtcp) = pair.ports().map_err(|_| CameraProblem::Ports)?;
                format!("{profile};unicast;client_port={rtp}-{rtcp}")
            }
        };
        let session = self.session.clone();
        let mut lines = vec![(headers::TRANSPORT, wanted.as_str())];
        if !session.is_empty() {
            lines.push((headers::SESSION, session.as_str()));
        }
        let answer = match ask(&mut self.connection, Method::Setup, url, &lines).await {
            Ok(answer) => answer,
            // What exactly a camera says that does not have a transport is different with each.
            Err(CameraProblem::Refused(status)) if ![401, 403, 404, 454].contains(&status) => {
                return Err(CameraProblem::Transport(status));
            }
            Err(problem) => return Err(problem),
        };
        let told = text_of(&answer, &headers::SESSION);
        let (session, every) = read_session(told).ok_or(CameraProblem::Broken)?;
        self.session = session;
        self.every = (every / 2).clamp(SIGN_MIN, SIGN_MAX);
        let set_up = read_transport(text_of(&answer, &headers::TRANSPORT));
        self.way
            .push(set_up.channels.unwrap_or((channel, channel + 1)));
        Ok(set_up)
    }

    async fn play(&mut self) -> Result<(), CameraProblem> {
        let lines = [
            (headers::SESSION, self.session.as_str()),
            (headers::RANGE, "npt=0.000-"),
        ];
        ask(&mut self.connection, Method::Play, &self.url, &lines).await?;
        self.sign_at = Instant::now() + self.every;
        Ok(())
    }

    /// Gives packets that come by UDP to a worker, until it is told to stop.
    pub(super) fn read(
        &self,
        way: &Way,
        place: &Place,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        if let Some(sockets) = &self.sockets {
            sockets.read(way, place, stop, tasks);
        }
    }

    /// What comes next over the connection. Nothing is lost when it is not waited for.
    pub(super) async fn next(&mut self) -> Result<Turn, CameraProblem> {
        loop {
            let (channel, packet) = match self.connection.next().await? {
                Incoming::Packet(channel, packet) => (channel, packet),
                other => return Ok(Turn::Asked(other)),
            };
            let of_channel = |(rtp, rtcp): &(u8, u8)| [*rtp, *rtcp].contains(&channel);
            if let Some(section) = self.way.iter().position(of_channel) {
                return Ok(Turn::Packet(section as u8, packet));
            }
        }
    }

    /// Deals with what is no packet.
    pub(super) async fn handle(&mut self, incoming: Incoming) -> Result<(), CameraProblem> {
        match incoming {
            Incoming::Packet(..) => Ok(()),
            Incoming::Request(request) => self.connection.decline(&request).await,
            Incoming::Answer(answer) => match answer.status() {
                StatusCode::Unauthorized if !self.is_challenged => {
                    self.is_challenged = true;
                    self.connection.take_challenge(&answer)?;
                    self.give_sign().await
                }
                StatusCode::Unauthorized => Err(CameraProblem::Credentials),
                StatusCode::SessionNotFound => Err(CameraProblem::Refused(454)),
                // Whatever it says of it, it has seen the sign.
                _ => {
                    self.is_challenged = false;
                    Ok(())
                }
            },
        }
    }

    /// Lets the camera know that we are still there.
    pub(super) async fn give_sign(&mut self) -> Result<(), CameraProblem> {
        self.sign_at = Instant::now() + self.every;
        self.tell(self.sign.clone()).await
    }

    async fn tell(&mut self, method: Method) -> Result<(), CameraProblem> {
        let asked = Asked {
            method,
            url: &self.url,
            headers: &[(headers::SESSION, self.session.as_str())],
        };
        self.connection.send(&asked).await.map(drop)
    }

    /// Sends RTCP to the source of a section.
    pub(super) async fn send_back(
        &mut self,
        section: u8,
        bytes: &[u8],
    ) -> Result<(), CameraProblem> {
        if let Some(sockets) = &self.sockets {
            sockets.send_back(section, bytes);
            return Ok(());
        }
        match self.way.get(usize::from(section)) {
            Some((_, channel)) => self.connection.send_packet(*channel, bytes).await,
            None => Ok(()),
        }
    }

    /// Says goodbye: some cameras have few places. Nobody waits for an answer.
    pub(super) async fn end(mut self) {
        let _ = timeout(GOODBYE, self.tell(Method::Teardown)).await;
    }
}

async fn ask(
    connection: &mut Connection,
    method: Method,
    url: &Url,
    headers: &[(headers::HeaderName, &str)],
) -> Result<Response<Vec<u8>>, CameraProblem> {
    let asked = Asked {
        method,
        url,
        headers,
    };
    connection.ask(asked).await
}

/// How this camera is given a sign: by what it says that it knows.
async fn sign(connection: &mut Connection, url: &Url) -> Result<Method, CameraProblem> {
    match ask(connection, Method::Options, url, &[]).await {
        Ok(answer) => {
            let known = text_of(&answer, &headers::PUBLIC);
            let mut known = known.split(',');
            Ok(match known.any(|method| method.trim() == "GET_PARAMETER") {
                true => Method::GetParameter,
                false => Method::Options,
            })
        }
        Err(CameraProblem::Refused(_)) => Ok(Method::Options),
        Err(problem) => Err(problem),
    }
}

fn text_of<'a>(answer: &'a Response<Vec<u8>>, name: &headers::HeaderName) -> &'a str {
    answer.header(name).map_or("", |value| value.as_str())
}

/// What the URLs of a description are relative to (RFC 2326 appendix C.1.1).
fn base_of(described: &Response<Vec<u8>>, url: &Url) -> Url {
    let told = [headers::CONTENT_BASE, headers::CONTENT_LOCATION];
    let mut told = told
        .iter()
        .filter_map(|name| Url::parse(text_of(described, name).trim()).ok());
    told.next().unwrap_or_else(|| url.clone())
}

/// The URL that a control attribute stands for. What is relative follows the base, with its query, as cameras mean it.
fn resolve(base: &Url, control: Option<&str>) -> Result<Url, CameraProblem> {
    let control = match control.map(str::trim) {
        None | Some("" | "*") => return Ok(base.clone()),
        Some(control) => control,
    };
    if control.starts_with("rtsp://") || control.starts_with("rtsps://") {
        return Url::parse(control).map_err(|_| CameraProblem::Broken);
    }
    let base = base.as_str();
    let slash = if base.ends_with('/') { "" } else { "/" };
    Url::parse(&format!("{base}{slash}{control}")).map_err(|_| CameraProblem::Broken)
}

/// The id in a session header, and after how long without a sign it ends.
fn read_session(text: &str) -> Option<(String, Duration)> {
    let mut parts = text.split(';').map(str::trim);
    let id = parts.next().filter(|id| !id.is_empty())?;
    let mut spans = parts.filter_map(|part| part.strip_prefix("timeout=")?.trim().parse().ok());
    let span = spans.next().map_or(SESSION_TIMEOUT, Duration::from_secs);
    Some((id.to_owned(), span))
}

/// What is read of a transport header.
fn read_transport(text: &str) -> SetUp {
    fn pair<T: std::str::FromStr + Copy>(text: &str, next: fn(T) -> Option<T>) -> Option<(T, T)> {
        let (first, second) = match text.split_once('-') {
            Some((first, second)) => (first.trim().parse().ok()?, second.trim().parse().ok()),
            None => (text.trim().parse().ok()?, None),
        };
        Some((first, second.or_else(|| next(first))?))
    }
    let mut told = SetUp::default();
    for (name, value) in text
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
    {
        match name.trim().to_ascii_lowercase().as_str() {
            "interleaved" => told.channels = pair(value, |first: u8| first.checked_add(1)),
            "server_port" => told.server_port = pair(value, |first: u16| first.checked_add(1)),
            _ => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_urls_are_resolved_as_cameras_mean_them() {
        for (base, control, expected) in [
            ("rtsp://c/live", None, "rtsp://c/live"),
            ("rtsp://c/live", Some("*"), "rtsp://c/live"),
            ("rtsp://c/live/", Some("track1"), "rtsp://c/live/track1"),
            (
                "rtsp://c/live",
                Some("trackID=2"),
                "rtsp://c/live/trackID=2",
            ),
            (
                "rtsp://c/live?ch=1",
                Some("track1"),
                "rtsp://c/live?ch=1/track1",
            ),
            (
                "rtsp://c/live",
                Some("rtsp://10.0.0.9/x/track1"),
                "rtsp://10.0.0.9/x/track1",
            ),
        ] {
            let base = Url::parse(base).unwrap();
            assert_eq!(resolve(&base, control).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn sessions_and_transports_are_read_as_cameras_write_them() {
        for (text, expected) in [
            ("12345678", Some(("12345678", 60))),
            ("12345678;timeout=30", Some(("12345678", 30))),
            ("a ; timeout=90", Some(("a", 90))),
            ("a;timeout=soon", Some(("a", 60))),
            ("", None),
            (";timeout=3", None),
        ] {
            let expected = expected.map(|(id, span)| (id.to_owned(), Duration::from_secs(span)));
            assert_eq!(read_session(text), expected, "{text}");
        }
        for (text, channels, server_port) in [
            (
                "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1",
                Some((0, 1)),
                None,
            ),
            ("RTP/AVP/TCP;unicast;interleaved=4", Some((4, 5)), None),
            (
                "RTP/AVP;unicast; client_port=5-6; Server_Port=7000-7001",
                None,
                Some((7_000, 7_001)),
            ),
            ("RTP/AVP;server_port=65535", None, None),
            ("RTP/AVP/TCP;interleaved=256-257", None, None),
            ("", None, None),
        ] {
            let expected = SetUp {
                channels,
                server_port,
            };
            assert_eq!(read_transport(text), expected, "{text}");
        }
    }
}
