//! RTP and RTCP told from what else comes on a transport, by the first bytes. Must not parse.

/// RTP or RTCP, by the first byte (RFC 7983 section 7).
pub(crate) fn is_media(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(128..=191))
}

/// RTCP among what is RTP or RTCP, by the second byte (RFC 5761 section 4).
pub(crate) fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes.get(1), Some(192..=223))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_their_first_bytes() {
        for (bytes, media, rtcp) in [
            (&[][..], false, false),
            (&[0, 1], false, false),
            (&[22, 254], false, false),
            (&[0x80], true, false),
            (&[0x80, 96], true, false),
            // The marker bit and payload type 63, the last below what RTCP uses.
            (&[0x90, 0x80 | 63], true, false),
            (&[0x80, 200], true, true),
            (&[0xbf, 223], true, true),
            (&[0x80, 224], true, false),
            (&[192, 200], false, true),
        ] {
            assert_eq!(
                (is_media(bytes), is_rtcp(bytes)),
                (media, rtcp),
                "{bytes:?}"
            );
        }
    }
}
