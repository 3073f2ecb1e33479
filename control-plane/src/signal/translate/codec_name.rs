//! Names of codecs: clients say `vp8` or `video/vp8`, we say `video/VP8` (RFC 4855 registrations).
//! Must not know what a codec can do beyond its name.

use plenum_proto::v1::TrackKind;

/// The registered mime type for a name as clients write it; an unknown name is kept, with its kind.
pub(crate) fn mime(kind: TrackKind, name: &str) -> String {
    let plain = plain(name);
    if plain.is_empty() {
        return String::new();
    }
    if let Some((_, mime)) = MIMES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(plain))
    {
        return (*mime).to_owned();
    }
    match kind {
        TrackKind::Audio => format!("audio/{plain}"),
        TrackKind::Video => format!("video/{plain}"),
    }
}

/// The name without its kind.
pub(crate) fn plain(name: &str) -> &str {
    name.rsplit_once('/')
        .map_or(name, |(_, plain)| plain)
        .trim()
}

/// Whether one RTP stream of this codec carries several spatial layers.
pub(crate) fn is_layered(mime: &str) -> bool {
    let plain = plain(mime);
    plain.eq_ignore_ascii_case("vp9") || plain.eq_ignore_ascii_case("av1")
}

const MIMES: [(&str, &str); 10] = [
    ("opus", "audio/opus"),
    ("red", "audio/red"),
    ("pcmu", "audio/PCMU"),
    ("pcma", "audio/PCMA"),
    ("vp8", "video/VP8"),
    ("vp9", "video/VP9"),
    ("av1", "video/AV1"),
    ("h264", "video/H264"),
    ("h265", "video/H265"),
    ("hevc", "video/H265"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_registered_mime_types() {
        for (kind, name, expected) in [
            (TrackKind::Video, "vp8", "video/VP8"),
            (TrackKind::Video, "VP9", "video/VP9"),
            (TrackKind::Video, "video/h264", "video/H264"),
            (TrackKind::Video, "hevc", "video/H265"),
            (TrackKind::Video, "av1", "video/AV1"),
            (TrackKind::Audio, "opus", "audio/opus"),
            (TrackKind::Audio, "audio/RED", "audio/red"),
            (TrackKind::Audio, "g722", "audio/g722"),
            (TrackKind::Video, "h266", "video/h266"),
            (TrackKind::Video, "", ""),
            (TrackKind::Video, "video/", ""),
        ] {
            assert_eq!(mime(kind, name), expected, "{name}");
        }
    }

    #[test]
    fn vp9_and_av1_are_layered() {
        for (mime, expected) in [
            ("video/VP9", true),
            ("av1", true),
            ("video/VP8", false),
            ("audio/opus", false),
        ] {
            assert_eq!(is_layered(mime), expected, "{mime}");
        }
    }
}
