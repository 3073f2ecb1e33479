//! One RTSP connection (RFC 2326): requests, their answers, and what is interleaved with them. Owns the credentials and the
//! numbers of requests. Must not know what is asked for.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use http_auth::{PasswordClient, PasswordParams};
use rtsp_types::{Message, Method, ParseError, Request, Response, StatusCode, Version, headers};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use url::Url;

use super::{CameraProblem, Credentials};

/// Bytes of a message of a camera, body included.
const MESSAGE_MAX: usize = 32 * 1024;

/// How long a camera may take to read what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What comes from a camera.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A packet on an interleaved channel (RFC 2326 section 10.12).
    Packet(u8, Bytes),
    Answer(Response<Vec<u8>>),
    /// It asks something of us.
    Request(Request<Vec<u8>>),
}

/// A request: its method, its URL, and its own headers.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a [(headers::HeaderName, &'a str)],
}

/// A connection to a camera.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// The camera's address.
    pub(super) peer: SocketAddr,
    read: BytesMut,
    number: u32,
    credentials: Option<Credentials>,
    login: Option<PasswordClient>,
}

impl Connection {
    /// Over a stream of TCP, or what was made of one.
    pub(super) fn new(
        stream: Box<dyn Stream>,
        peer: SocketAddr,
        credentials: Option<Credentials>,
    ) -> Self {
        Self {
            stream,
            peer,
            read: BytesMut::new(),
            number: 0,
            credentials,
            login: None,
        }
    }

    /// Asks, with credentials where the camera wants them, and waits for the answer. What is interleaved before it is lost.
    pub(super) async fn ask(
        &mut self,
        asked: Asked<'_>,
    ) -> Result<Response<Vec<u8>>, CameraProblem> {
        // A second time for who asked without them, or whose challenge is too old by now.
        for _ in 0..2 {
            let number = self.send(&asked).await?;
            let answer = self.answer_to(number).await?;
            match answer.status() {
                status if status.is_success() => return Ok(answer),
                StatusCode::Unauthorized => self.take_challenge(&answer)?,
                status => return Err(CameraProblem::Refused(status.into())),
            }
        }
        Err(CameraProblem::Credentials)
    }

    async fn answer_to(&mut self, number: u32) -> Result<Response<Vec<u8>>, CameraProblem> {
        loop {
            match self.next().await? {
                Incoming::Packet(..) => {}
                Incoming::Request(request) => self.decline(&request).await?,
                Incoming::Answer(answer) => {
                    let told = answer.header(&headers::CSEQ);
                    let told = told.and_then(|told| told.as_str().trim().parse().ok());
                    if told.is_none_or(|told: u32| told == number) {
                        return Ok(answer);
                    }
                }
            }
        }
    }

    /// Sends a request; returns its number.
    pub(super) async fn send(&mut self, asked: &Asked<'_>) -> Result<u32, CameraProblem> {
        self.number += 1;
        let method: &str = (&asked.method).into();
        let mut request = Request::builder(asked.method.clone(), Version::V1_0)
            .request_uri(asked.url.clone())
            .header(headers::CSEQ, self.number.to_string())
            .header(headers::USER_AGENT, "plenum");
        for (name, value) in asked.headers {
            request = request.header(name.clone(), *value);
        }
        if let (Some(login), Some(Credentials { username, password })) =
            (&mut self.login, &self.credentials)
        {
            let told = login.respond(&PasswordParams {
                username,
                password,
                uri: asked.url.as_str(),
                method,
                body: Some(&[]),
            });
            // It asks for what cannot be done.
            let told = told.map_err(|_| CameraProblem::Credentials)?;
            request = request.header(headers::AUTHORIZATION, told);
        }
        let mut bytes = Vec::new();
        let request = Message::<rtsp_types::Empty>::from(request.empty());
        request
            .write(&mut bytes)
            .map_err(|_| CameraProblem::Broken)?;
        self.write(&bytes).await?;
        Ok(self.number)
    }

    /// Learns how the camera wants to be given credentials.
    pub(super) fn take_challenge(
        &mut self,
        answer: &Response<Vec<u8>>,
    ) -> Result<(), CameraProblem> {
        let challenge = answer.header(&headers::WWW_AUTHENTICATE);
        let client = challenge.and_then(|text| PasswordClient::try_from(text.as_str()).ok());
        match (client, &self.credentials) {
            (Some(client), Some(_)) => {
                self.login = Some(client);
                Ok(())
            }
            _ => Err(CameraProblem::Credentials),
        }
    }

    /// Says that we serve nothing.
    pub(super) async fn decline(
        &mut self,
        request: &Request<Vec<u8>>,
    ) -> Result<(), CameraProblem> {
        let number = request.header(&headers::CSEQ);
        let status = match request.method() {
            // Some look in this way whether we are there.
            Method::Options | Method::GetParameter | Method::SetParameter => StatusCode::Ok,
            _ => StatusCode::NotImplemented,
        };
        let mut answer = Response::builder(Version::V1_0, status);
        if let Some(number) = number {
            answer = answer.header(headers::CSEQ, number.clone());
        }
        let mut bytes = Vec::new();
        let answer = Message::<rtsp_types::Empty>::from(answer.empty());
        answer
            .write(&mut bytes)
            .map_err(|_| CameraProblem::Broken)?;
        self.write(&bytes).await
    }

    /// Sends a packet on an interleaved channel.
    pub(super) async fn send_packet(
        &mut self,
        channel: u8,
        packet: &[u8],
    ) -> Result<(), CameraProblem> {
        let length = u16::try_from(packet.len()).map_err(|_| CameraProblem::Broken)?;
        let mut bytes = vec![b'$', channel];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(packet);
        self.write(&bytes).await
    }

    /// Writes the whole. Whoever gives up waiting may have sent half a message, and must not go on.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), CameraProblem> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_TIMEOUT, written).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(CameraProblem::Broken),
        }
    }

    /// The next that comes. Nothing is lost when it is not waited for.
    pub(super) async fn next(&mut self) -> Result<Incoming, CameraProblem> {
        loop {
            if let Some(incoming) = parse(&mut self.read)? {
                return Ok(incoming);
            }
            let read = self.stream.read_buf(&mut self.read).await;
            if read.map_err(|_: io::Error| CameraProblem::Broken)? == 0 {
                return Err(CameraProblem::Broken);
            }
        }
    }
}

/// Takes the first message, once it is whole.
fn parse(read: &mut BytesMut) -> Result<Option<Incoming>, CameraProblem> {
    const HEAD: usize = 4;
    // Between messages some send empty lines.
    let empty = read.iter().take_while(|byte| b"\r\n".contains(byte));
    read.advance(empty.count());
    if let [b'$', channel, high, low, ..] = read[..] {
        let length = usize::from(u16::from_be_bytes([high, low]));
        if read.len() < HEAD + length {
            return Ok(None);
        }
        read.advance(HEAD);
        let packet = read.split_to(length).freeze();
        return Ok(Some(Incoming::Packet(channel, packet)));
    }
    let is_short = read.len() <= MESSAGE_MAX;
    // Without the end of a head nothing is to be read yet.
    if read.first() == Some(&b'$') || (is_short && !read.windows(4).any(|end| end == b"\r\n\r\n")) {
        return Ok(None);
    }
    match Message::<Vec<u8>>::parse(&read[..]) {
        Ok((message, length)) => {
            read.advance(length);
            match message {
                Message::Response(answer) => Ok(Some(Incoming::Answer(answer))),
                Message::Request(request) => Ok(Some(Incoming::Request(request))),
                Message::Data(_) => Err(CameraProblem::Broken),
            }
        }
        Err(ParseError::Incomplete(_)) if is_short => Ok(None),
        Err(_) => Err(CameraProblem::Broken),
    }
}

/// Connects over TCP.
pub(super) async fn connect(to: SocketAddr) -> Result<TcpStream, CameraProblem> {
    let stream = TcpStream::connect(to).await;
    stream.map_err(|_| CameraProblem::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_packets_are_told_apart_wherever_the_bytes_are_cut() {
        let bytes = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 5\r\n\r\nhello$\x02\x00\x03abc\r\n\
            OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n$\x01\x00\x00RTSP/1.0 454 Session Not Found\r\nCSeq: 4\r\n\r\n";
        for step in [1, 2, 3, 7, 50, bytes.len()] {
            let mut read = BytesMut::new();
            let mut told = Vec::new();
            for part in bytes.chunks(step) {
                read.extend_from_slice(part);
                while let Some(incoming) = parse(&mut read).expect("good messages") {
                    told.push(match incoming {
                        Incoming::Packet(channel, packet) => format!("{channel} {packet:?}"),
                        Incoming::Answer(answer) => {
                            format!("{:?} {}", answer.status(), answer.body().len())
                        }
                        Incoming::Request(request) => format!("{:?}", request.method()),
                    });
                }
            }
            let expected = [
                "Ok 5",
                "2 b\"abc\"",
                "Options",
                "1 b\"\"",
                "SessionNotFound 0",
            ];
            assert_eq!(told, expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_no_rtsp_or_has_no_end_is_refused() {
        let long = format!("RTSP/1.0 200 OK\r\n{}", "X: y\r\n".repeat(10_000));
        let body = format!(
            "RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
            "z".repeat(MESSAGE_MAX)
        );
        for text in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            long.as_bytes(),
            body.as_bytes(),
        ] {
            let mut read = BytesMut::from(text);
            assert!(matches!(parse(&mut read), Err(CameraProblem::Broken)));
        }
        assert!(matches!(
            parse(&mut BytesMut::from(&b"RTSP/1.0 200"[..])),
            Ok(None)
        ));
    }
}
