//! Header extensions (RFC 8285): which a transport offers, and the dependency descriptor carried as
//! is.
//!
//! Must not interpret more of the dependency descriptor than its fixed head.

use std::sync::Arc;

use super::{Extension, ExtensionMap, ExtensionValues};

/// The header extensions of a transport, whichever way its media goes: one transport may do both.
/// All ids fit the one-byte form.
///
/// The transmission offset is left out on purpose: it refers to a timestamp that rewriting changes.
pub(crate) fn extension_map() -> ExtensionMap {
    let dependencies = Extension::with_serializer(
        DependencyDescriptorExtension::URI,
        DependencyDescriptorExtension,
    );
    let mut map = ExtensionMap::empty();
    for (id, extension) in (1..).zip([
        Extension::AudioLevel,
        Extension::AbsoluteSendTime,
        Extension::TransportSequenceNumber,
        Extension::RtpMid,
        Extension::RtpStreamId,
        Extension::RepairedRtpStreamId,
        Extension::AbsoluteCaptureTime,
        Extension::PlayoutDelay,
        Extension::VideoContentType,
        Extension::VideoOrientation,
        dependencies,
    ]) {
        map.set(id, extension);
    }
    map
}

/// The raw dependency descriptor of a packet, a user value of [`ExtensionValues`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DependencyDescriptor(pub(crate) Arc<[u8]>);

impl DependencyDescriptor {
    /// Whether it has all that each must have.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.len() >= 3
    }

    /// Whether the template structure is attached to the first packet of a frame: a keyframe
    /// starts.
    pub(crate) fn starts_keyframe(&self) -> bool {
        match *self.0 {
            [head, _, _, flags, ..] => head & 0x80 != 0 && flags & 0x80 != 0,
            _ => false,
        }
    }

    /// Running number of the frame; `None` when malformed.
    pub(crate) fn frame_number(&self) -> Option<u16> {
        match *self.0 {
            [_, high, low, ..] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }
}

/// Carries the dependency descriptor through both ways without reading it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DependencyDescriptorExtension;

impl DependencyDescriptorExtension {
    /// Name of the extension in session descriptions.
    pub(crate) const URI: &str =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

    /// Elements of the one-byte form end at 16 bytes.
    const ONE_BYTE_FORM: usize = 16;
}

impl str0m::rtp::ExtensionSerializer for DependencyDescriptorExtension {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(DependencyDescriptor(bytes)) = values.user_values.get() else {
            return 0;
        };
        let Some(target) = buffer.get_mut(..bytes.len()) else {
            return 0;
        };
        target.copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        if bytes.is_empty() {
            return false;
        }
        values
            .user_values
            .set(DependencyDescriptor(Arc::from(bytes)));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values
            .user_values
            .get()
            .is_some_and(|DependencyDescriptor(bytes)| bytes.len() > Self::ONE_BYTE_FORM)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use str0m::rtp::ExtensionSerializer;

    use super::*;

    #[test]
    fn ids_are_distinct_and_fit_the_one_byte_form() {
        let map = extension_map();
        let ids: BTreeSet<u8> = map.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, (1..=11).collect());
        assert!(ids.iter().all(|id| (1..=14).contains(id)));
    }

    #[test]
    fn dependency_descriptor_passes_through_unread() {
        for length in [1, 3, 16, 17, 255] {
            let bytes: Vec<u8> = (0..length).collect();
            let mut values = ExtensionValues::default();
            assert!(DependencyDescriptorExtension.parse_value(&bytes, &mut values));
            assert_eq!(
                DependencyDescriptorExtension.requires_two_byte_form(&values),
                length > 16
            );
            let mut buffer = [0; 300];
            let written = DependencyDescriptorExtension.write_to(&mut buffer, &values);
            assert_eq!(&buffer[..written], &bytes[..]);
            assert_eq!(
                DependencyDescriptorExtension
                    .write_to(&mut buffer[..usize::from(length) - 1], &values),
                0,
                "no room"
            );
        }
        let mut values = ExtensionValues::default();
        assert!(!DependencyDescriptorExtension.parse_value(&[], &mut values));
        assert_eq!(
            DependencyDescriptorExtension.write_to(&mut [0; 8], &values),
            0
        );
    }

    #[test]
    fn reads_the_fixed_head() {
        let table: [(&[u8], bool, Option<u16>); 6] = [
            (&[], false, None),
            (&[0x80, 1], false, None),
            (&[0x80, 1, 2], false, Some(0x102)),
            (&[0x80, 1, 2, 0x80, 7], true, Some(0x102)),
            (&[0x00, 1, 2, 0x80, 7], false, Some(0x102)),
            (&[0x80, 1, 2, 0x40, 7], false, Some(0x102)),
        ];
        for (bytes, keyframe, number) in table {
            let descriptor = DependencyDescriptor(Arc::from(bytes));
            assert_eq!(descriptor.starts_keyframe(), keyframe, "{bytes:x?}");
            assert_eq!(descriptor.frame_number(), number, "{bytes:x?}");
        }
    }
}
