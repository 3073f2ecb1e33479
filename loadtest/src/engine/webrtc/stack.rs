//! One transport on the stack: how it is built, and what it tells a participant's driver.
//!
//! Owns the stack's configuration (codecs, interceptors, sockets) and the order of descriptions and
//! candidates. Must not know tracks.

use std::sync::Arc;

use rtc::interceptor::Slot;
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_nack, configure_rtcp_reports, configure_simulcast_extension_headers, configure_twcc,
};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::error::{Error, Result};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, Registry,
    SettingEngineBuilder,
};
use webrtc::runtime::Runtime;

use super::codecs;
use super::network;
use super::repair::RepairNames;
use super::requests::KeyframeListener;
use crate::engine::{EngineError, Event, ParticipantSetup, Target, unix_ns};
use crate::media::Codec;

/// Between the responder to NACKs and the pacer (`Slot::NackResponder`, `Slot::Pacer`).
const REPAIR_NAMES: usize = 3_500;
/// Next to the application: behind all that act on RTCP.
const KEYFRAMES: usize = 14_000;

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        Self::Stack(error.to_string())
    }
}

/// Takes the tracks that the server sends.
pub(super) type OnTrack = Box<dyn Fn(Arc<dyn TrackRemote>) + Send + Sync>;

/// What a transport is opened with, apart from its participant.
pub(super) struct Purpose<'a> {
    pub(super) target: Target,
    pub(super) codecs: &'a [Codec],
    /// Where to tell the SSRCs that keyframes are asked of.
    pub(super) keyframes: Option<UnboundedSender<u32>>,
    pub(super) on_track: OnTrack,
    /// Called when the transport comes up (`true`) or goes down.
    pub(super) on_state: Box<dyn Fn(bool) + Send + Sync>,
}

/// A transport and the candidates that came too early for it.
pub(super) struct Transport {
    connection: Arc<dyn PeerConnection>,
    early: Vec<String>,
    is_described: bool,
}

impl Transport {
    pub(super) async fn open(
        setup: &ParticipantSetup,
        events: &UnboundedSender<Event>,
        purpose: Purpose<'_>,
    ) -> Result<Self> {
        let mut engine = codecs::media_engine(purpose.codecs)?;
        if purpose.target == Target::Subscriber {
            codecs::register_unmeasured(&mut engine)?;
        }
        configure_simulcast_extension_headers(&mut engine)?;
        let registry = configure_nack(Registry::new(), &mut engine);
        let registry = configure_twcc(registry, &mut engine)?;
        let mut registry = configure_rtcp_reports(registry)
            .with(Slot::Custom(REPAIR_NAMES), RepairNames::default());
        if let Some(told) = purpose.keyframes {
            registry = registry.with(Slot::Custom(KEYFRAMES), KeyframeListener::new(told));
        }
        let handler = Handler {
            target: purpose.target,
            events: events.clone(),
            on_track: purpose.on_track,
            on_state: purpose.on_state,
        };
        let seed = setup
            .seed
            .wrapping_mul(4)
            .wrapping_add(purpose.target as u64 * 2);
        let runtime: Arc<dyn Runtime> = network::runtime(setup.network, &setup.window, seed);
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(true)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_setting_engine(settings)
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(handler))
            .with_runtime(runtime)
            .with_udp_addrs(vec![(setup.local, 0)])
            .build()
            .await?;
        Ok(Self {
            connection: Arc::new(connection),
            early: Vec::new(),
            is_described: false,
        })
    }

    pub(super) fn connection(&self) -> &Arc<dyn PeerConnection> {
        &self.connection
    }

    /// Takes the server's offer or answer, and the candidates that came before it.
    pub(super) async fn describe(
        &mut self,
        description: RTCSessionDescription,
    ) -> std::result::Result<(), EngineError> {
        self.connection
            .set_remote_description(description)
            .await
            .map_err(|error| EngineError::Description(error.to_string()))?;
        self.is_described = true;
        for candidate in std::mem::take(&mut self.early) {
            self.add_candidate(candidate).await;
        }
        Ok(())
    }

    /// Adds a candidate of the server; one that we cannot use is ignored, as ICE wants it (RFC 8838).
    pub(super) async fn add_candidate(&mut self, candidate: String) {
        if !self.is_described {
            self.early.push(candidate);
            return;
        }
        let candidate = RTCIceCandidateInit {
            candidate,
            sdp_mid: Some("0".to_owned()),
            sdp_mline_index: Some(0),
            ..RTCIceCandidateInit::default()
        };
        let _ = self.connection.add_ice_candidate(candidate).await;
    }

    /// Says goodbye. Nothing to do about an error: the transport is of no use after.
    pub(super) async fn close(&self) {
        let _ = self.connection.close().await;
    }
}

/// Passes on what the stack tells.
struct Handler {
    target: Target,
    events: UnboundedSender<Event>,
    on_track: OnTrack,
    on_state: Box<dyn Fn(bool) + Send + Sync>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(init) = event.candidate.to_json()
            && !init.candidate.is_empty()
        {
            let _ = self.events.send(Event::Candidate {
                target: self.target,
                candidate: init.candidate,
            });
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let target = self.target;
        let event = match state {
            RTCPeerConnectionState::Connected => Event::Connected {
                target,
                at_ns: unix_ns(),
            },
            RTCPeerConnectionState::Disconnected | RTCPeerConnectionState::Failed => {
                Event::Disconnected { target }
            }
            _ => return,
        };
        (self.on_state)(matches!(event, Event::Connected { .. }));
        let _ = self.events.send(event);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        (self.on_track)(track);
    }
}
