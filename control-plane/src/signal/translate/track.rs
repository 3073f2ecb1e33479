//! Published tracks, both ways. Must not decide what may be published: the node does.

use livekit_protocol::{self as lk, AudioTrackFeature, PacketTrailerFeature, video_layer::Mode};
use plenum_proto::v1::{self, Encryption, TrackKind, TrackSource, VideoQuality};

use super::{codec_name, known};

/// A track as a client announces it; `None` for a kind that carries no media.
#[expect(
    deprecated,
    reason = "older SDKs say stereo and DTX only in the deprecated fields"
)]
pub(crate) fn track_in(request: lk::AddTrackRequest) -> Option<v1::Track> {
    let kind = match request.r#type() {
        lk::TrackType::Audio => TrackKind::Audio,
        lk::TrackType::Video => TrackKind::Video,
        lk::TrackType::Data => return None,
    };
    let source = source_in(request.source());
    let encryption = encryption_in(request.encryption());
    let mut features = known::<AudioTrackFeature>(&request.audio_features);
    for (is_said, feature) in [
        (request.stereo, AudioTrackFeature::TfStereo),
        (request.disable_dtx, AudioTrackFeature::TfNoDtx),
    ] {
        if is_said && !features.contains(&feature.into()) {
            features.push(feature.into());
        }
    }
    let layers: Vec<_> = request.layers.into_iter().map(layer_in).collect();
    let codecs: Vec<_> = request
        .simulcast_codecs
        .into_iter()
        .map(|codec| v1::TrackCodec {
            mime: codec_name::mime(kind, &codec.codec),
            mid: String::new(),
            cid: codec.cid,
            layers: codec.layers.into_iter().map(layer_in).collect(),
        })
        .collect();
    Some(v1::Track {
        id: request.sid,
        name: request.name,
        kind: kind.into(),
        source: source.into(),
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: layers.len() > 1 || codecs.iter().any(|codec| codec.layers.len() > 1),
        layers,
        mime: codecs
            .first()
            .map(|codec| codec.mime.clone())
            .unwrap_or_default(),
        mid: String::new(),
        codecs,
        stream: if request.stream.is_empty() {
            stream_of(source).to_owned()
        } else {
            request.stream
        },
        stereo: features.contains(&AudioTrackFeature::TfStereo.into()),
        disable_red: request.disable_red,
        disable_dtx: features.contains(&AudioTrackFeature::TfNoDtx.into()),
        encryption: encryption.into(),
        audio_features: features,
        backup_codec_policy: request.backup_codec_policy,
        packet_trailer_features: known::<PacketTrailerFeature>(&request.packet_trailer_features),
    })
}

/// A track as clients read it.
#[expect(deprecated, reason = "older SDKs read only the deprecated fields")]
pub(crate) fn track_out(track: v1::Track) -> lk::TrackInfo {
    let kind = track.kind();
    let source = track.source();
    let encryption = track.encryption();
    lk::TrackInfo {
        sid: track.id,
        r#type: match kind {
            TrackKind::Audio => lk::TrackType::Audio,
            TrackKind::Video => lk::TrackType::Video,
        }
        .into(),
        name: track.name,
        muted: track.muted,
        width: track.width,
        height: track.height,
        simulcast: track.simulcast,
        disable_dtx: track.disable_dtx,
        source: source_out(source).into(),
        layers: track.layers.into_iter().map(layer_out).collect(),
        mime_type: track.mime,
        mid: track.mid,
        codecs: track
            .codecs
            .into_iter()
            .map(|codec| codec_out(kind, codec))
            .collect(),
        stereo: track.stereo,
        disable_red: track.disable_red,
        encryption: match encryption {
            Encryption::None => lk::encryption::Type::None,
            Encryption::Gcm => lk::encryption::Type::Gcm,
            Encryption::Custom => lk::encryption::Type::Custom,
        }
        .into(),
        stream: track.stream,
        version: None,
        audio_features: known::<AudioTrackFeature>(&track.audio_features),
        backup_codec_policy: lk::BackupCodecPolicy::try_from(track.backup_codec_policy)
            .unwrap_or(lk::BackupCodecPolicy::PreferRegression)
            .into(),
        packet_trailer_features: known::<PacketTrailerFeature>(&track.packet_trailer_features),
    }
}

/// Where the media comes from, as clients read it.
pub(crate) fn source_out(source: TrackSource) -> lk::TrackSource {
    match source {
        TrackSource::SourceUnknown => lk::TrackSource::Unknown,
        TrackSource::Camera => lk::TrackSource::Camera,
        TrackSource::Microphone => lk::TrackSource::Microphone,
        TrackSource::ScreenShare => lk::TrackSource::ScreenShare,
        TrackSource::ScreenShareAudio => lk::TrackSource::ScreenShareAudio,
    }
}

/// A step of a ladder, as clients read it.
pub(crate) fn quality_out(quality: VideoQuality) -> lk::VideoQuality {
    match quality {
        VideoQuality::Low => lk::VideoQuality::Low,
        VideoQuality::Medium => lk::VideoQuality::Medium,
        VideoQuality::High => lk::VideoQuality::High,
        VideoQuality::Off => lk::VideoQuality::Off,
    }
}

/// A step of a ladder, as clients say it.
pub(crate) fn quality_in(quality: lk::VideoQuality) -> VideoQuality {
    match quality {
        lk::VideoQuality::Low => VideoQuality::Low,
        lk::VideoQuality::Medium => VideoQuality::Medium,
        lk::VideoQuality::High => VideoQuality::High,
        lk::VideoQuality::Off => VideoQuality::Off,
    }
}

fn codec_out(kind: TrackKind, codec: v1::TrackCodec) -> lk::SimulcastCodecInfo {
    let mode = match kind {
        TrackKind::Audio => Mode::Unused,
        // Simulcast names each stream by a rid; without rids a layered codec sends all in one
        // stream.
        TrackKind::Video
            if codec_name::is_layered(&codec.mime)
                && codec.layers.iter().all(|layer| layer.rid.is_empty()) =>
        {
            Mode::MultipleSpatialLayersPerStream
        }
        TrackKind::Video => Mode::OneSpatialLayerPerStream,
    };
    lk::SimulcastCodecInfo {
        mime_type: codec.mime,
        mid: codec.mid,
        cid: codec.cid,
        layers: codec.layers.into_iter().map(layer_out).collect(),
        video_layer_mode: mode.into(),
        sdp_cid: String::new(),
    }
}

fn layer_in(layer: lk::VideoLayer) -> v1::VideoLayer {
    v1::VideoLayer {
        quality: quality_in(layer.quality()).into(),
        width: layer.width,
        height: layer.height,
        bitrate: layer.bitrate,
        ssrc: layer.ssrc,
        rid: layer.rid,
        spatial_layer: layer.spatial_layer,
    }
}

fn layer_out(layer: v1::VideoLayer) -> lk::VideoLayer {
    lk::VideoLayer {
        quality: quality_out(layer.quality()).into(),
        width: layer.width,
        height: layer.height,
        bitrate: layer.bitrate,
        ssrc: layer.ssrc,
        spatial_layer: layer.spatial_layer,
        rid: layer.rid,
        repair_ssrc: 0,
    }
}

fn source_in(source: lk::TrackSource) -> TrackSource {
    match source {
        lk::TrackSource::Unknown => TrackSource::SourceUnknown,
        lk::TrackSource::Camera => TrackSource::Camera,
        lk::TrackSource::Microphone => TrackSource::Microphone,
        lk::TrackSource::ScreenShare => TrackSource::ScreenShare,
        lk::TrackSource::ScreenShareAudio => TrackSource::ScreenShareAudio,
    }
}

fn encryption_in(encryption: lk::encryption::Type) -> Encryption {
    match encryption {
        lk::encryption::Type::None => Encryption::None,
        lk::encryption::Type::Gcm => Encryption::Gcm,
        lk::encryption::Type::Custom => Encryption::Custom,
    }
}

/// Camera and microphone are played in sync, and so are a screen and its sound.
fn stream_of(source: TrackSource) -> &'static str {
    match source {
        TrackSource::Camera | TrackSource::Microphone => "camera",
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screenshare",
        TrackSource::SourceUnknown => "unknown",
    }
}
