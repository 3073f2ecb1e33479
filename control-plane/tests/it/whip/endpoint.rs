//! Opening a session: what comes of an offer, and what is refused.

use http::{Method, StatusCode};

use super::world::{PUBLISH, SDP, World, play_offer, token, token_for};
use crate::support::get;

#[tokio::test]
async fn an_encoder_becomes_a_participant_with_its_tracks() {
    let world = World::new().await;
    let answer = world.post("/whip", &token("ann"), PUBLISH).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert_eq!(answer.header("content-type"), SDP);
    let location = answer.header("location");
    let id = location.strip_prefix("/session/").expect("a path");
    // 6 bits a character: RFC 9725 section 5 and RFC 4086 want more than 122.
    assert!(id.len() * 6 >= 122, "{location}");
    let tag = answer.header("etag");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert_eq!(
        answer.header("accept-patch"),
        "application/trickle-ice-sdpfrag"
    );
    let sdp = answer.text();
    for expected in [
        "a=ice-lite\r\n",
        "a=setup:active\r\n",
        "a=group:BUNDLE 0 1\r\n",
    ] {
        assert!(sdp.contains(expected), "{expected} in {sdp}");
    }
    assert_eq!(sdp.matches("a=recvonly\r\n").count(), 2, "{sdp}");
    for line in sdp.lines().filter(|line| line.starts_with("a=candidate:")) {
        let foundation = line["a=candidate:".len()..].split(' ').next();
        let is_number = foundation.is_some_and(|text| text.parse::<u64>().is_ok());
        assert!(is_number, "encoders misread {line}");
    }
    let participants = world.participants("r").await;
    assert_eq!(participants.len(), 1);
    assert_eq!(participants[0]["identity"], "ann");
    assert_eq!(participants[0]["kind"], "INGRESS");
    let tracks = participants[0]["tracks"].as_array().expect("tracks");
    let kinds: Vec<_> = tracks
        .iter()
        .map(|track| (&track["source"], &track["mimeType"]))
        .map(|(source, mime)| (source.as_str().unwrap_or(""), mime.as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        kinds,
        [("MICROPHONE", "audio/opus"), ("CAMERA", "video/H264")]
    );
    world.running.shutdown().await;
}

#[tokio::test]
async fn the_room_may_stand_in_the_url_and_the_token_too() {
    let world = World::new().await;
    let ann = token("ann");
    for path in ["/whip/", "/whip/r"] {
        let answer = world.post(path, &ann, PUBLISH).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{path}");
    }
    let path = format!("/whip?access_token={ann}");
    let headers = [("content-type", "application/sdp; charset=utf-8")];
    let answer = world.ask(Method::POST, &path, &headers, PUBLISH).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    // The newest of one identity is the one that stays.
    world.until_participants("r", 1).await;
    world.running.shutdown().await;
}

#[tokio::test]
async fn offers_of_one_kind_and_with_simulcast_are_taken() {
    let world = World::new().await;
    let audio = PUBLISH.split("m=video").next().expect("a part").to_owned();
    let audio = audio.replace("BUNDLE 0 1", "BUNDLE 0");
    let answer = world.post("/whip", &token("audio"), &audio).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let video = PUBLISH.replace("a=sendonly\r\na=msid:FFmpeg audio", "a=inactive");
    let rids = "a=rtpmap:106 H264/90000\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=rid:q send\r\n\
        a=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n";
    let video = video.replace("a=rtpmap:106 H264/90000\r\n", rids);
    let video = video.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n");
    let answer = world.post("/whip", &token("video"), &video).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let sdp = answer.text();
    assert!(sdp.contains("a=simulcast:recv q;h;f\r\n"), "{sdp}");
    assert!(sdp.contains("a=rtcp-mux-only\r\n"), "{sdp}");
    world.running.shutdown().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_offer_is_told() {
    let world = World::new().await;
    let ann = token("ann");
    let two_videos = PUBLISH.replace("m=audio", "m=video");
    let no_codec = PUBLISH.replace("H264/90000", "H999/90000");
    let no_fingerprint: String = PUBLISH
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=fingerprint"))
        .collect();
    let listening = token_for("lis", |grants| grants.can_publish = Some(false));
    let looking = token_for("loo", |grants| grants.can_subscribe = Some(false));
    let no_camera = token_for("mic", |grants| {
        grants.can_publish_sources = Some(vec!["microphone".into()]);
    });
    let elsewhere = token_for("els", |grants| grants.room = "other".into());
    let no_join = token_for("noj", |grants| grants.room_join = false);
    let play = play_offer();
    for (path, token, offer, status, detail) in [
        ("/whip", "", PUBLISH, 401, "no access token"),
        ("/whip", "x.y.z", PUBLISH, 401, "malformed"),
        ("/whip", &no_join, PUBLISH, 403, "roomJoin"),
        ("/whip", &listening, PUBLISH, 403, "canPublish"),
        ("/whep", &looking, &play, 403, "canSubscribe"),
        ("/whip", &no_camera, PUBLISH, 403, "this source"),
        ("/whip/r", &elsewhere, PUBLISH, 403, "another room"),
        ("/whep/r/ann", &elsewhere, &play, 403, "another room"),
        ("/whip", &ann, "hello", 400, "v=0"),
        ("/whip", &ann, &no_fingerprint, 400, "fingerprint"),
        ("/whip", &ann, &play, 422, "publishes nothing"),
        ("/whip", &ann, &two_videos, 422, "2 video tracks"),
        ("/whip", &ann, &no_codec, 422, "codecs offered for video"),
        ("/whep", &ann, PUBLISH, 422, "plays nothing"),
        (
            "/whep",
            &ann,
            &no_codec.replace("sendonly", "recvonly"),
            422,
            "codecs",
        ),
    ] {
        let answer = world.post(path, token, offer).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{path} {detail}: {}",
            answer.text()
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let told = answer.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(told.contains(detail), "{detail}: {told}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(
            challenge == "Bearer",
            status == 401,
            "{detail}: {challenge}"
        );
    }
    assert_eq!(world.participants("r").await.len(), 0, "nothing is left");
    world.running.shutdown().await;
}

#[tokio::test]
async fn other_types_sizes_and_methods_are_refused() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", token("ann"));
    for kind in ["", "text/plain", "application/json"] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = world.ask(Method::POST, "/whip", &headers, PUBLISH).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let headers = [("authorization", bearer.as_str()), ("content-type", SDP)];
    let answer = world
        .ask(Method::POST, "/whip", &headers, vec![b'v'; 65 * 1024])
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = world.ask(Method::POST, "/whip", &headers, vec![0xff]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = world.ask(method.clone(), "/whip", &headers, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert_eq!(
        get(world.to, "/whip", &[]).await.status,
        StatusCode::NO_CONTENT
    );
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_room_that_must_exist_is_missed() {
    let world = World::with(|config| config.signal.auto_create = false).await;
    let answer = world.post("/whip", &token("ann"), PUBLISH).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
    world.running.shutdown().await;
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let world = World::new().await;
    let preflight = [
        ("origin", "https://elsewhere.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    for (path, name, accepted) in [
        ("/whip", "accept-post", SDP),
        ("/whep/r/ann", "accept-post", SDP),
        (
            "/session/x",
            "accept-patch",
            "application/trickle-ice-sdpfrag",
        ),
        ("/session/x/layer", "accept-post", "application/json"),
    ] {
        let answer = world.ask(Method::OPTIONS, path, &preflight, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header(name), accepted, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(
            answer.header("access-control-allow-headers"),
            "authorization,content-type"
        );
        for method in ["POST", "PATCH", "DELETE"] {
            assert!(
                answer
                    .header("access-control-allow-methods")
                    .contains(method)
            );
        }
    }
    let answer = world.post("/whip", "", PUBLISH).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let exposed = answer.header("access-control-expose-headers");
    for name in ["Location", "Link", "ETag"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    world.running.shutdown().await;
}
