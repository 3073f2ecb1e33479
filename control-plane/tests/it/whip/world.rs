//! A running `plenum`, tokens for it, and the offers that clients send.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use control_plane::{
    auth::{MintRequest, VideoGrants},
    config::{Config, DEV_KEY},
    run::Running,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, PATIENCE, admin, config, keys, request, send, start};

/// As FFmpeg 8 writes it: no candidates, no feedback, and the other side is to open DTLS.
pub(super) const PUBLISH: &str = "v=0\r\no=FFmpeg 1 2 IN IP4 127.0.0.1\r\ns=FFmpegPublishSession\r\n\
    t=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:a174B\r\n\
    a=ice-pwd:wkl8bGkrYJrOQEzzq8tM7kQZ\r\na=fingerprint:sha-256 \
    EE:FE:A2:E5:6A:21:78:60:71:2C:21:DC:1A:2C:98:12:0C:E8:AD:68:07:61:1B:0E:FC:46:97:1E:BC:97:4A:54\r\n\
    a=setup:passive\r\na=mid:0\r\na=sendonly\r\na=msid:FFmpeg audio\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\na=ssrc:4267647086 cname:FFmpeg\r\na=ssrc:4267647086 msid:FFmpeg audio\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 106\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:a174B\r\n\
    a=ice-pwd:wkl8bGkrYJrOQEzzq8tM7kQZ\r\na=fingerprint:sha-256 \
    EE:FE:A2:E5:6A:21:78:60:71:2C:21:DC:1A:2C:98:12:0C:E8:AD:68:07:61:1B:0E:FC:46:97:1E:BC:97:4A:54\r\n\
    a=setup:passive\r\na=mid:1\r\na=sendonly\r\na=msid:FFmpeg video\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
    a=rtpmap:106 H264/90000\r\na=fmtp:106 \
    level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
    a=ssrc:107169110 cname:FFmpeg\r\na=ssrc:107169110 msid:FFmpeg video\r\n";

pub(super) const SDP: &str = "application/sdp";
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The offer of a player that takes both.
pub(super) fn play_offer() -> String {
    PUBLISH
        .replace("sendonly", "recvonly")
        .replace("setup:passive", "setup:actpass")
}

pub(super) struct World {
    pub(super) running: Running,
    pub(super) to: SocketAddr,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let running = start(config).await;
        let to = running.http_addr();
        Self { running, to }
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        send(self.to, request(method, path, headers, body)).await
    }

    /// POST of a description with a token.
    pub(super) async fn post(&self, path: &str, token: &str, offer: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", SDP)];
        self.ask(Method::POST, path, &headers, offer.to_owned())
            .await
    }

    /// A session that was opened; path and entity tag.
    pub(super) async fn opened(&self, path: &str, token: &str, offer: &str) -> (String, String) {
        let answer = self.post(path, token, offer).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        let (location, tag) = (answer.header("location"), answer.header("etag"));
        (location.to_owned(), tag.to_owned())
    }

    /// PATCH of a fragment.
    pub(super) async fn patch(
        &self,
        path: &str,
        token: &str,
        if_match: Option<&str>,
        fragment: &str,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", FRAGMENT),
        ];
        headers.extend(if_match.map(|tag| ("if-match", tag)));
        self.ask(Method::PATCH, path, &headers, fragment.to_owned())
            .await
    }

    pub(super) async fn delete(&self, path: &str, token: &str) -> StatusCode {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        self.ask(Method::DELETE, path, &headers, "").await.status
    }

    /// The participants of a room as a backend sees them; none where there is no room.
    pub(super) async fn participants(&self, room: &str) -> Vec<Value> {
        let bearer = format!("Bearer {}", admin(room));
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let path = "/twirp/livekit.RoomService/ListParticipants";
        let body = json!({ "room": room }).to_string();
        let answer = self.ask(Method::POST, path, &headers, body).await;
        match answer.json().get("participants") {
            Some(Value::Array(participants)) => participants.clone(),
            _ => Vec::new(),
        }
    }

    /// Waits until a room has so many participants.
    pub(super) async fn until_participants(&self, room: &str, count: usize) {
        let waited = async {
            while self.participants(room).await.len() != count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waited).await;
        assert!(found.is_ok(), "never {count} participants in {room}");
    }
}

/// A token for the room "r".
pub(super) fn token_for(identity: &str, change: impl FnOnce(&mut VideoGrants)) -> String {
    let mut grants = VideoGrants {
        room_join: true,
        room: "r".to_owned(),
        ..VideoGrants::default()
    };
    change(&mut grants);
    let request = MintRequest {
        identity: identity.to_owned(),
        grants,
        ttl: Duration::from_secs(60),
        ..MintRequest::default()
    };
    keys().mint(DEV_KEY, request).expect("a token")
}

pub(super) fn token(identity: &str) -> String {
    token_for(identity, |_| {})
}
