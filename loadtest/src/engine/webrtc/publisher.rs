//! A publisher's transport: its offer, and the task that makes and sends its media.
//!
//! Owns when a frame is made, when its packets leave, and the reactions to keyframe requests and to
//! what subscribers want. Must not receive media.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp;
use rtc::rtp_transceiver::RTCRtpTransceiverInit;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::RTCSessionDescription;
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RtpTransceiver};

use super::codecs::{self, agreed_extension, agreed_payload_type};
use super::stack::{Purpose, Transport};
use super::stream::{Agreed, Stream};
use super::{SharedReceived, lock};
use crate::engine::pacer::Pacer;
use crate::engine::{
    EngineError, Event, ParticipantSetup, PublishMedia, PublishTrack, Target, unix_ns,
};
use crate::media::{Codec, Stamp};

/// What the media task is told.
enum Word {
    Talk(bool),
    Wanted {
        cid: String,
        wanted: Vec<bool>,
    },
    /// The transport is up or down.
    State(bool),
    /// The server's answer has been taken: numbers to send with, one per section.
    Agreed(Vec<Agreed>),
}

/// See the module.
pub(super) struct Publisher {
    transport: Transport,
    /// In the order of the streams' tracks.
    sections: Vec<Arc<dyn RtpTransceiver>>,
    /// The track of each stream, and whether it has a rid.
    streams: Vec<(usize, Codec, Option<String>)>,
    words: UnboundedSender<Word>,
}

impl Publisher {
    /// Opens the transport and tells the offer.
    pub(super) async fn open(
        setup: &ParticipantSetup,
        tracks: &[PublishTrack],
        events: &UnboundedSender<Event>,
        received: SharedReceived,
    ) -> Result<Self, EngineError> {
        let (words, said) = unbounded_channel();
        let (keyframes, requests) = unbounded_channel();
        let state = words.clone();
        let purpose = Purpose {
            target: Target::Publisher,
            codecs: &codecs_of(tracks),
            keyframes: Some(keyframes),
            on_track: Box::new(|_| {}),
            on_state: Box::new(move |is_up| {
                // The media task ends with the publisher, and needs no word then.
                let _ = state.send(Word::State(is_up));
            }),
        };
        let transport = Transport::open(setup, events, purpose).await?;
        let mut media = Media::new(received);
        let mut sections = Vec::new();
        let mut streams = Vec::new();
        for (index, track) in tracks.iter().enumerate() {
            let made = Stream::of_track(track, setup.seed, Instant::now());
            streams.extend(
                made.iter()
                    .map(|stream| (index, stream.codec, stream.rid.clone())),
            );
            let output = Arc::new(TrackLocalStaticRTP::new(describe(track, &made)));
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Sendonly,
                ..RTCRtpTransceiverInit::default()
            };
            let added = Arc::clone(&output) as Arc<dyn TrackLocal>;
            let connection = transport.connection();
            sections.push(
                connection
                    .add_transceiver_from_track(added, Some(init))
                    .await?,
            );
            media.add(made, &output);
        }
        let offer = transport.connection().create_offer(None).await?;
        // Before candidates are gathered: nobody could place them.
        let _ = events.send(Event::Offer {
            sdp: offer.sdp.clone(),
        });
        transport.connection().set_local_description(offer).await?;
        tokio::spawn(media.run(said, requests));
        Ok(Self {
            transport,
            sections,
            streams,
            words,
        })
    }

    pub(super) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Takes the server's answer.
    pub(super) async fn handle_answer(&mut self, sdp: String) -> Result<(), EngineError> {
        let answer = RTCSessionDescription::answer(sdp)
            .map_err(|error| EngineError::Description(error.to_string()))?;
        self.transport.describe(answer).await?;
        let mut agreed = Vec::new();
        for (section, codec, rid) in &self.streams {
            agreed.push(self.agreed(*section, *codec, rid.as_deref()).await?);
        }
        self.tell(Word::Agreed(agreed));
        Ok(())
    }

    async fn agreed(
        &self,
        section: usize,
        codec: Codec,
        rid: Option<&str>,
    ) -> Result<Agreed, EngineError> {
        let section = &self.sections[section];
        let sender = section.sender().await?;
        let sender = sender.ok_or_else(|| EngineError::Stack("a section without sender".into()))?;
        let parameters = sender.get_parameters().await?.rtp_parameters;
        let payload_type = agreed_payload_type(&parameters, codec).ok_or_else(|| {
            EngineError::Description(format!("the server takes no {}", codec.mime()))
        })?;
        let mid = section.mid().await?.map(Bytes::from);
        let rid = rid.map(|rid| Bytes::copy_from_slice(rid.as_bytes()));
        // Single streams are known by their SSRC.
        let mid = mid.filter(|_| rid.is_some());
        Ok(Agreed {
            payload_type,
            audio_level: agreed_extension(&parameters, codecs::AUDIO_LEVEL),
            mid: agreed_extension(&parameters, codecs::MID).zip(mid),
            rid: agreed_extension(&parameters, codecs::RID).zip(rid),
        })
    }

    pub(super) fn set_talking(&self, talking: bool) {
        self.tell(Word::Talk(talking));
    }

    /// Notes which encodings of a track anyone wants.
    pub(super) fn set_wanted(&self, cid: String, wanted: Vec<bool>) {
        self.tell(Word::Wanted { cid, wanted });
    }

    fn tell(&self, word: Word) {
        // The media task lives as long as this.
        let _ = self.words.send(word);
    }
}

fn codecs_of(tracks: &[PublishTrack]) -> Vec<Codec> {
    let mut codecs = vec![Codec::Opus];
    for track in tracks {
        if let PublishMedia::Video { codec, .. } = track.media
            && !codecs.contains(&codec)
        {
            codecs.push(codec);
        }
    }
    codecs
}

/// A track as the stack offers it.
fn describe(track: &PublishTrack, streams: &[Stream]) -> MediaStreamTrack {
    let codec = streams.first().map_or(Codec::Opus, |stream| stream.codec);
    let encoding = |stream: &Stream| RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            rid: stream.rid.clone().unwrap_or_default(),
            ssrc: Some(stream.ssrc),
            rtx: codec.is_video().then(|| RTCRtpRtxParameters {
                // Even, as media's are odd.
                ssrc: stream.ssrc.wrapping_add(1),
            }),
            ..RTCRtpCodingParameters::default()
        },
        active: true,
        codec: codecs::codec(codec),
        ..RTCRtpEncodingParameters::default()
    };
    MediaStreamTrack::new(
        track.cid.clone(),
        track.cid.clone(),
        track.cid.clone(),
        codecs::kind(codec),
        streams.iter().map(encoding).collect(),
    )
}

/// The media task's state.
struct Media {
    received: SharedReceived,
    streams: Vec<(Stream, Arc<TrackLocalStaticRTP>)>,
    /// Per stream; empty until the server has answered.
    agreed: Vec<Agreed>,
    is_up: bool,
    talking: bool,
    /// Video packets that wait for the pacer, with the number of their stream.
    queue: VecDeque<(usize, rtp::Packet)>,
    pacer: Pacer,
}

impl Media {
    fn new(received: SharedReceived) -> Self {
        Self {
            received,
            streams: Vec::new(),
            agreed: Vec::new(),
            is_up: false,
            talking: false,
            queue: VecDeque::new(),
            pacer: Pacer::new(Instant::now()),
        }
    }

    fn add(&mut self, streams: Vec<Stream>, track: &Arc<TrackLocalStaticRTP>) {
        let streams = streams
            .into_iter()
            .map(|stream| (stream, Arc::clone(track)));
        self.streams.extend(streams);
    }

    /// Runs until the publisher is dropped.
    async fn run(
        mut self,
        mut words: UnboundedReceiver<Word>,
        mut requests: UnboundedReceiver<u32>,
    ) {
        loop {
            let due = self.due();
            tokio::select! {
                word = words.recv() => match word {
                    Some(word) => self.on_word(Instant::now(), word),
                    None => return,
                },
                Some(ssrc) = requests.recv() => self.on_keyframe_request(Instant::now(), ssrc),
                () = tokio::time::sleep_until(due.into()) => {
                    let now = Instant::now();
                    self.make_frames(now).await;
                    self.send_paced(now).await;
                }
            }
        }
    }

    fn is_sending(&self) -> bool {
        self.is_up && !self.agreed.is_empty()
    }

    fn due(&self) -> Instant {
        let idle = Instant::now() + Duration::from_secs(1);
        if !self.is_sending() {
            return idle;
        }
        let wanted = self.streams.iter().filter(|(stream, _)| stream.wanted);
        let due = wanted
            .map(|(stream, _)| stream.due)
            .fold(idle, Instant::min);
        if self.queue.is_empty() {
            due
        } else {
            due.min(self.pacer.due())
        }
    }

    fn on_word(&mut self, now: Instant, word: Word) {
        match word {
            Word::Talk(talking) => self.talking = talking,
            Word::Wanted { cid, wanted } => {
                for (stream, _) in self.streams.iter_mut().filter(|(of, _)| of.cid == cid) {
                    let wanted = wanted.get(stream.encoding).copied().unwrap_or(true);
                    stream.set_wanted(now, wanted);
                }
            }
            Word::State(is_up) => {
                self.is_up = is_up;
                for (stream, _) in &mut self.streams {
                    stream.start(now);
                }
            }
            Word::Agreed(agreed) => self.agreed = agreed,
        }
    }

    fn on_keyframe_request(&mut self, now: Instant, ssrc: u32) {
        for (stream, _) in &mut self.streams {
            if stream.ssrc == ssrc {
                stream.on_keyframe_request(now);
            }
        }
    }

    /// Makes the frames that are due. Audio leaves at once, video through the pacer.
    async fn make_frames(&mut self, now: Instant) {
        if !self.is_sending() {
            return;
        }
        let mut audio = Vec::new();
        for (index, (stream, _)) in self.streams.iter_mut().enumerate() {
            let Some(agreed) = self.agreed.get(index) else {
                continue;
            };
            let queue = &mut self.queue;
            if stream.wanted && stream.due <= now {
                lock(&self.received).on_late(now - stream.due);
            }
            while stream.wanted && stream.due <= now {
                let is_video = stream.codec.is_video();
                stream.make(now, self.talking, agreed, |packet| {
                    if is_video {
                        queue.push_back((index, packet));
                    } else {
                        audio.push((index, packet));
                    }
                });
            }
        }
        for (index, packet) in audio {
            self.send(index, packet).await;
        }
    }

    async fn send_paced(&mut self, now: Instant) {
        if self.queue.is_empty() {
            return;
        }
        let wanted = self.streams.iter().filter(|(stream, _)| stream.wanted);
        self.pacer
            .advance(now, wanted.map(|(stream, _)| stream.bitrate).sum());
        while self.pacer.may_send() {
            let Some((index, packet)) = self.queue.pop_front() else {
                return;
            };
            self.pacer.on_sent(packet.payload.len());
            self.send(index, packet).await;
        }
    }

    async fn send(&self, index: usize, mut packet: rtp::Packet) {
        let mut payload = BytesMut::from(packet.payload);
        Stamp::write_time(&mut payload, unix_ns());
        packet.payload = payload.freeze();
        let length = packet.payload.len();
        // An error means that the transport is closing; what it did not send was not sent.
        if self.streams[index].1.write_rtp(packet).await.is_ok() {
            lock(&self.received).on_sent(length);
        }
    }
}
