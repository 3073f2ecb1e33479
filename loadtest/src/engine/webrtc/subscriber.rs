//! A subscriber's transport: its answers, and the tasks that read what the server sends.
//!
//! Feedback (RR, NACK, TWCC) is the stack's. Must not send media.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp;
use tokio::sync::mpsc::UnboundedSender;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::RTCSessionDescription;

use super::stack::{Purpose, Transport};
use super::tracks::{Head, Tracks};
use super::{SharedReceived, lock};
use crate::engine::wishes::Wishes;
use crate::engine::{EngineError, Event, ParticipantSetup, Target, unix_ns};
use crate::media::Codec;

/// How often a stream is asked whether it can be decoded.
const LOOK: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Subscriber {
    transport: Transport,
    shared: Shared,
}

/// What the tasks of a subscriber share.
#[derive(Clone)]
struct Shared {
    tracks: Arc<Mutex<Tracks>>,
    received: SharedReceived,
    events: UnboundedSender<Event>,
}

impl Subscriber {
    pub(super) async fn open(
        setup: &ParticipantSetup,
        measuring: bool,
        wishes: Wishes,
        events: &UnboundedSender<Event>,
        received: SharedReceived,
    ) -> Result<Self, EngineError> {
        let shared = Shared {
            tracks: Arc::new(Mutex::new(Tracks::new(measuring, wishes))),
            received,
            events: events.clone(),
        };
        let reader = shared.clone();
        let tracks = Arc::clone(&shared.tracks);
        let purpose = Purpose {
            target: Target::Subscriber,
            codecs: &Codec::ALL,
            keyframes: None,
            on_track: Box::new(move |track| {
                tokio::spawn(reader.clone().read(track));
            }),
            on_state: Box::new(move |is_up| {
                let wishes = &mut lock(&tracks).wishes;
                if is_up {
                    wishes.on_connected(unix_ns());
                } else {
                    wishes.on_cut_off();
                }
            }),
        };
        Ok(Self {
            transport: Transport::open(setup, events, purpose).await?,
            shared,
        })
    }

    pub(super) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Takes the server's offer and tells the answer.
    pub(super) async fn handle_offer(&mut self, sdp: String, id: u32) -> Result<(), EngineError> {
        self.apply_offer(&sdp);
        let offer = RTCSessionDescription::offer(sdp)
            .map_err(|error| EngineError::Description(error.to_string()))?;
        self.transport.describe(offer).await?;
        let connection = self.transport.connection();
        let answer = connection.create_answer(None).await?;
        let sdp = answer.sdp.clone();
        // Before candidates are gathered: nobody could place them.
        let _ = self.shared.events.send(Event::Answer { sdp, id });
        connection.set_local_description(answer).await?;
        Ok(())
    }

    fn apply_offer(&self, sdp: &str) {
        let mut received = lock(&self.shared.received);
        lock(&self.shared.tracks).apply_offer(unix_ns(), &mut received, sdp);
    }

    /// Another layer of `track` has been asked for.
    pub(super) fn on_layer_change(&self, track: &str) {
        lock(&self.shared.tracks).on_layer_change(unix_ns(), track);
    }

    /// `track` is not published any more.
    pub(super) fn on_track_ended(&self, track: &str) {
        let mut received = lock(&self.shared.received);
        lock(&self.shared.tracks).on_track_ended(unix_ns(), &mut received, track);
    }

    /// `track` has been asked for.
    pub(super) fn on_subscribe(&self, track: &str) {
        let mut tracks = lock(&self.shared.tracks);
        tracks.wishes.on_subscribe(unix_ns(), track);
    }

    /// The publisher of `track` has muted it, or sends again.
    pub(super) fn on_rest(&self, track: &str, is_resting: bool) {
        lock(&self.shared.tracks).on_rest(unix_ns(), track, is_resting);
    }

    /// The measured window begins.
    pub(super) fn begin(&self) {
        lock(&self.shared.tracks).begin(unix_ns());
    }

    /// The measured window ends: hands in what was received.
    pub(super) fn end(&self) {
        let mut received = lock(&self.shared.received);
        lock(&self.shared.tracks).end(unix_ns(), &mut received);
    }
}

impl Shared {
    /// Reads one of the stack's tracks until it ends.
    async fn read(self, track: Arc<dyn TrackRemote>) {
        let mut look = tokio::time::interval(LOOK);
        let mut current = None;
        loop {
            tokio::select! {
                event = track.poll() => match event {
                    None | Some(TrackRemoteEvent::OnEnded | TrackRemoteEvent::OnError) => return,
                    Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                        let ssrc = packet.header.ssrc;
                        if current != Some(ssrc) && !self.identify(track.as_ref(), &packet).await {
                            continue;
                        }
                        current = Some(ssrc);
                        self.on_packet(&packet);
                    }
                    Some(_) => {}
                },
                _ = look.tick() => {
                    if let Some(ssrc) = current {
                        self.request_keyframe(track.as_ref(), ssrc).await;
                    }
                }
            }
        }
    }

    /// Finds out what a stream carries; whether that could be told.
    async fn identify(&self, track: &dyn TrackRemote, packet: &rtp::Packet) -> bool {
        let ssrc = packet.header.ssrc;
        let announced = lock(&self.tracks).announced_track(ssrc).map(str::to_owned);
        let name = match announced {
            Some(name) => name,
            None => track.track_id().await,
        };
        let Some(codec) = track.codec(ssrc).await else {
            return false;
        };
        let mut received = lock(&self.received);
        let mut tracks = lock(&self.tracks);
        let Ok(codec) = codec.mime_type.parse::<Codec>() else {
            tracks.on_unmeasured(unix_ns(), &received, &name, &codec.mime_type);
            return false;
        };
        if !tracks.knows(ssrc) {
            tracks.on_stream(unix_ns(), &mut received, ssrc, &name, codec);
        }
        true
    }

    fn on_packet(&self, packet: &rtp::Packet) {
        let header = &packet.header;
        let head = Head {
            ssrc: header.ssrc,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
        };
        let mut received = lock(&self.received);
        let mut tracks = lock(&self.tracks);
        if let Some(event) = tracks.on_packet(unix_ns(), &mut received, head, &packet.payload) {
            // A driver that has gone needs no word.
            let _ = self.events.send(event);
        }
    }

    /// Asks for a keyframe where nothing can be decoded for lack of one (RFC 4585, PLI).
    async fn request_keyframe(&self, track: &dyn TrackRemote, ssrc: u32) {
        if !lock(&self.tracks).wants_keyframe(unix_ns(), ssrc) {
            return;
        }
        let request = PictureLossIndication {
            sender_ssrc: 0,
            media_ssrc: ssrc,
        };
        // An error means that the transport is closing.
        let _ = track.write_rtcp(vec![Box::new(request)]).await;
    }
}
