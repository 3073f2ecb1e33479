//! The keys we keep are those the engine uses: what we protect an engine opens, and the other way
//! round.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use str0m::{
    Candidate, Event, Input, Output,
    media::MediaKind,
    net::{Protocol, Receive},
    rtp::Ssrc,
};

use super::*;
use crate::rtp::Mid;

const CLIENT: &str = "10.0.0.1:1000";
const SERVER: &str = "10.0.0.2:2000";
const STREAM: u32 = 77;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn config() -> RtcConfig {
    RtcConfig::new()
        .set_rtp_mode(true)
        .set_rtcp_report_interval_audio(Duration::from_millis(200))
}

/// A client's engine and one of ours, with a network between them that loses nothing.
struct Pair {
    now: Instant,
    client: Rtc,
    server: Rtc,
    /// What the client sends of SRTP and SRTCP, which here never reaches our engine.
    feedback: Vec<Vec<u8>>,
    events: Vec<Event>,
}

impl Pair {
    fn new(now: Instant, mut client: Rtc, mut server: Rtc) -> Self {
        let candidate = |text| Candidate::host(address(text), "udp").expect("a candidate");
        client.add_local_candidate(candidate(CLIENT));
        client.add_remote_candidate(candidate(SERVER));
        server.add_local_candidate(candidate(SERVER));
        let (mut one, mut other) = (client.direct_api(), server.direct_api());
        one.set_ice_controlling(true);
        one.set_remote_ice_credentials(other.local_ice_credentials());
        other.set_remote_ice_credentials(one.local_ice_credentials());
        one.set_remote_fingerprint(other.local_dtls_fingerprint().clone());
        other.set_remote_fingerprint(one.local_dtls_fingerprint().clone());
        other.start_dtls(false).expect("a server");
        one.start_dtls(true).expect("a client");
        Self {
            now,
            client,
            server,
            feedback: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Lets the network run for a while.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut wire = VecDeque::new();
        loop {
            let mut next = end;
            for is_client in [true, false] {
                let engine = if is_client {
                    &mut self.client
                } else {
                    &mut self.server
                };
                engine
                    .handle_input(Input::Timeout(self.now))
                    .expect("time passes");
                loop {
                    match engine.poll_output().expect("no failure") {
                        Output::Timeout(at) => {
                            next = next.min(at);
                            break;
                        }
                        Output::Transmit(sent) if (128..192).contains(&sent.contents[0]) => {
                            if is_client {
                                self.feedback.push(sent.contents.to_vec());
                            }
                        }
                        Output::Transmit(sent) => wire.push_back((!is_client, sent)),
                        Output::Event(event) if is_client => self.events.push(event),
                        Output::Event(_) => {}
                    }
                }
            }
            for (to_client, sent) in wire.drain(..) {
                let engine = if to_client {
                    &mut self.client
                } else {
                    &mut self.server
                };
                let receive =
                    Receive::new(sent.proto, sent.source, sent.destination, &sent.contents)
                        .expect("a datagram");
                engine
                    .handle_input(Input::Receive(self.now, receive))
                    .expect("taken");
                next = self.now;
            }
            if self.now >= end {
                return;
            }
            self.now = next.max(self.now + Duration::from_millis(1)).min(end);
        }
    }

    /// Lets the client take a datagram of our lane.
    fn deliver(&mut self, bytes: &[u8]) {
        let (from, to) = (address(SERVER), address(CLIENT));
        let receive = Receive::new(Protocol::Udp, from, to, bytes).expect("SRTP");
        self.client
            .handle_input(Input::Receive(self.now, receive))
            .expect("an engine takes anything");
        self.run(Duration::ZERO);
    }

    fn expect_stream(&mut self) {
        let mid = Mid::from("aud");
        let mut api = self.client.direct_api();
        api.declare_media(mid, MediaKind::Audio);
        api.expect_stream_rx(Ssrc::from(STREAM), None, mid, None);
    }

    /// What the client's application got since it was last asked: extended sequence numbers, payloads,
    /// and the RTP time of the newest sender report.
    fn received(&mut self) -> Vec<(u64, Vec<u8>, Option<u64>)> {
        self.events
            .drain(..)
            .filter_map(|event| match event {
                Event::RtpPacket(packet) => Some((
                    *packet.seq_no,
                    packet.payload.to_vec(),
                    packet.last_sender_info.map(|sent| sent.rtp_time.numer()),
                )),
                _ => None,
            })
            .collect()
    }
}

/// A protected packet with the extension for the audio level, so that its header is not the shortest.
fn rtp(sender: &SrtpSender, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 111];
    packet.extend((index as u16).to_be_bytes());
    packet.extend((index as u32 * 960).to_be_bytes());
    packet.extend(STREAM.to_be_bytes());
    packet.extend([0xbe, 0xde, 0, 1, 0x10, 0x2a, 0, 0]);
    let header_len = packet.len();
    packet.extend(payload);
    let mut out = vec![0; packet.len() + sender.overhead()];
    sender
        .protect(&packet, header_len, (STREAM, index), &mut out)
        .expect("room");
    out
}

fn sender_report(sender: &mut SrtpSender, rtp_time: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(STREAM.to_be_bytes());
    packet.extend((3_900_000_000u64 << 32).to_be_bytes());
    packet.extend(rtp_time.to_be_bytes());
    packet.extend([0; 8]);
    sender.protect_rtcp(&mut packet, 0).expect("room");
    packet
}

/// Makes instances that shake no hands, but say at once that this profile was negotiated.
#[derive(Debug)]
struct Script(SrtpProfile);

struct Scripted {
    profile: SrtpProfile,
    steps: Vec<DtlsOutput<'static>>,
    made: Instant,
}

fn scripted_material(profile: SrtpProfile) -> Vec<u8> {
    (0..profile.keying_material_len() as u8).collect()
}

impl DtlsProvider for Script {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        SharedConfig { repeats: false }.generate_certificate()
    }

    fn new_dtls(
        &self,
        _: &DtlsCert,
        now: Instant,
        _: DtlsVersion,
        _: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Scripted {
            profile: self.0,
            steps: Vec::new(),
            made: now,
        }))
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl DtlsInstance for Scripted {
    fn set_active(&mut self, _: bool) {
        let material = KeyingMaterial::new(&scripted_material(self.profile));
        self.steps = vec![
            DtlsOutput::KeyingMaterial(material, self.profile),
            DtlsOutput::Connected,
        ];
    }

    fn handle_packet(&mut self, _: &[u8]) -> Result<(), DtlsImplError> {
        Ok(())
    }

    fn poll_output<'a>(&mut self, _: &'a mut [u8]) -> DtlsOutput<'a> {
        let never = self.made + Duration::from_secs(86_400);
        self.steps.pop().unwrap_or(DtlsOutput::Timeout(never))
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), DtlsImplError> {
        Ok(())
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(data.len())
    }

    fn is_active(&self) -> bool {
        true
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        None
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        Ok(())
    }
}

/// A client that talks SRTP of a given profile with us, and our contexts.
fn scripted(profile: SrtpProfile) -> (Pair, SrtpSender, SrtcpReceiver) {
    static SCRIPTS: [Script; 3] = [
        Script(SrtpProfile::AES128_CM_SHA1_80),
        Script(SrtpProfile::AEAD_AES_128_GCM),
        Script(SrtpProfile::AEAD_AES_256_GCM),
    ];
    let script = SCRIPTS
        .iter()
        .find(|script| script.0 == profile)
        .expect("a script");
    let provider = Arc::new(CryptoProvider {
        dtls_provider: script,
        ..crypto::from_feature_flags()
    });
    let now = Instant::now();
    let engine = |config: RtcConfig| config.set_crypto_provider(provider.clone()).build(now);
    let mut pair = Pair::new(now, engine(config()), engine(config().set_ice_lite(true)));
    pair.run(Duration::from_secs(1));
    pair.expect_stream();
    let ours = super::profile(profile).expect("ours");
    let (sender, receiver) =
        srtp::contexts(&scripted_material(profile), ours, false).expect("keys");
    (pair, sender, receiver)
}

#[test]
fn an_engine_takes_what_the_lane_sends_in_every_profile() {
    for profile in SrtpProfile::ALL {
        let (mut pair, mut sender, mut receiver) = scripted(*profile);
        // The sequence number rolls over on the way.
        let indexes = 65_530..65_545;
        for index in indexes.clone() {
            pair.deliver(&rtp(&sender, index, &[index as u8; 50]));
            pair.run(Duration::from_millis(20));
        }
        let expected: Vec<_> = indexes.map(|n| (n, vec![n as u8; 50], None)).collect();
        assert_eq!(pair.received(), expected, "{profile}");

        pair.deliver(&sender_report(&mut sender, 4_000));
        pair.deliver(&rtp(&sender, 65_545, b"after"));
        let reported = [(65_545, b"after".to_vec(), Some(4_000))];
        assert_eq!(pair.received(), reported, "{profile}");

        pair.run(Duration::from_secs(2));
        assert!(
            pair.feedback.len() > 3,
            "{profile}: {}",
            pair.feedback.len()
        );
        for packet in &pair.feedback {
            let mut plain = packet.clone();
            let length = receiver.unprotect(&mut plain).expect("authentic");
            assert_eq!(length % 4, 0, "a compound of whole words");
            let first = 4 * (usize::from(plain[2]) << 8 | usize::from(plain[3])) + 4;
            assert!((200..=207).contains(&plain[1]) && first <= length, "RTCP");
            assert!(receiver.unprotect(&mut packet.clone()).is_err(), "again");
        }
    }
}

#[test]
fn an_engine_refuses_what_was_changed_on_the_way() {
    for profile in SrtpProfile::ALL {
        let (mut pair, sender, _) = scripted(*profile);
        pair.deliver(&rtp(&sender, 99, b"first"));
        assert_eq!(pair.received().len(), 1);
        let packet = rtp(&sender, 100, b"payload");
        // From the sequence number on: the bytes before tell the parser what to parse.
        for at in 2..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x20;
            pair.deliver(&changed);
            assert_eq!(pair.received(), [], "{profile}: byte {at}");
        }
        pair.deliver(&packet);
        assert_eq!(pair.received(), [(100, b"payload".to_vec(), None)]);
    }
}

#[test]
fn a_handshake_hands_both_ends_the_same_keys() {
    for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13, DtlsVersion::Auto] {
        let now = Instant::now();
        let (client, mut of_client) = build(config().set_dtls_version(version), now, false);
        let ours = config()
            .set_ice_lite(true)
            .set_dtls_version(DtlsVersion::Auto);
        let (server, mut of_server) = build(ours, now, false);
        let mut pair = Pair::new(now, client, server);
        assert!(of_client.take().is_none() && of_server.take().is_none());
        pair.run(Duration::from_secs(2));
        let client_keys = of_client.take().expect("keys of the client");
        let server_keys = of_server.take().expect("keys of the server");
        assert!(client_keys.is_client && !server_keys.is_client);
        assert!(client_keys.material == server_keys.material);
        assert!(of_server.take().is_none(), "handed over once");
        let shown = format!("{server_keys:?}");
        assert_eq!(
            shown,
            "Keying { profile: AeadAes256Gcm, is_client: false, .. }"
        );

        let (sender, mut receiver) = server_keys.contexts().expect("contexts");
        let (mut sender_there, _) = client_keys.contexts().expect("contexts");
        let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
        sender_there.protect_rtcp(&mut packet, 0).expect("room");
        assert_eq!(receiver.unprotect(&mut packet), Ok(8), "{version}");
        pair.expect_stream();
        pair.deliver(&rtp(&sender, 5, b"through"));
        assert_eq!(
            pair.received(),
            [(5, b"through".to_vec(), None)],
            "{version}"
        );
    }
}

/// An engine of the library's own making, as others have it, gets on with ours at either end.
#[test]
fn the_shared_configuration_speaks_with_others() {
    let now = Instant::now();
    let (server, mut keys) = build(config().set_ice_lite(true), now, false);
    let mut pair = Pair::new(now, config().build(now), server);
    pair.run(Duration::from_secs(2));
    let (sender, _) = keys.take().expect("keys").contexts().expect("contexts");
    pair.expect_stream();
    pair.deliver(&rtp(&sender, 5, b"through"));
    assert_eq!(pair.received(), [(5, b"through".to_vec(), None)]);

    for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        let (client, mut keys) = build(config().set_dtls_version(DtlsVersion::Auto), now, false);
        let server = config()
            .set_ice_lite(true)
            .set_dtls_version(version)
            .build(now);
        Pair::new(now, client, server).run(Duration::from_secs(2));
        assert!(keys.take().expect("keys").is_client, "{version}");
    }
}

#[test]
fn each_engine_has_its_own_slot() {
    let now = Instant::now();
    let build = |is_lite| build(config().set_ice_lite(is_lite), now, false);
    let ((server, mut first), (_idle, mut second), (client, _)) =
        (build(true), build(true), build(false));
    Pair::new(now, client, server).run(Duration::from_secs(2));
    assert!(first.take().is_some());
    assert!(second.take().is_none());
}

#[test]
fn a_configuration_is_made_once_per_size_and_role() {
    let config = |mtu, role| shared_config(mtu, role, false).expect("valid");
    for role in [Role::Server, Role::Client] {
        let same = |a, b| Arc::ptr_eq(&config(a, role), &config(b, role));
        assert!(same(None, None));
        assert!(same(Some(1_200), Some(1_200)));
        assert!(!same(Some(1_100), Some(1_200)));
    }
    for role in [Role::Server, Role::Client] {
        // More sizes than are kept still work, and leave room for what is added to a request.
        for mtu in 1_300..1_305 {
            assert_eq!(config(Some(mtu), role).mtu() + request::GROWTH, mtu);
        }
        let too_small = shared_config(Some(500), role, false).expect_err("a flight is more");
        assert!(too_small.to_string().contains("500"), "{too_small}");
    }
}
