//! Writes the header of an outgoing RTP packet (RFC 3550 section 5.1, RFC 8285): what all subscribers
//! share is copied, what is one transport's own is put in. Must not know streams.

use crate::rtp::{Elements, ExtensionMap, MaskPlace, Patch, PlayoutDelay, extension_id, with_mask};

/// The ids under which a client takes our extensions; 0 where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ElementIds([u8; extension_id::LAST as usize + 1]);

impl ElementIds {
    /// What an answer took of our offer.
    pub(super) fn of(answered: &ExtensionMap) -> Self {
        let ours = crate::rtp::extension_map();
        let mut ids = Self::default();
        for (theirs, extension) in answered.iter() {
            let known = ours.id_of(extension.clone()).map(usize::from);
            if let Some(place) = known.and_then(|id| ids.0.get_mut(id)) {
                *place = theirs;
            }
        }
        ids
    }

    pub(super) fn id(&self, ours: u8) -> Option<u8> {
        let theirs = self.0.get(usize::from(ours)).copied()?;
        (theirs != 0).then_some(theirs)
    }
}

/// The longest dependency descriptor that is changed; a longer one goes out as it came. That of a keyframe
/// of nine decode targets has some 100 bytes.
const DEPENDENCIES_MAX: usize = 255;

/// What stands in the fixed part of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    /// The last byte of the payload says how many at its end mean nothing.
    pub(super) is_padded: bool,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
}

/// Extensions of one transport.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own<'a> {
    pub(super) transport_sequence: Option<u16>,
    /// 24 bits: 6 of seconds, 18 of their fraction.
    pub(super) abs_send_time: Option<u32>,
    pub(super) mid: Option<&'a str>,
    /// In place of what the publisher asks for, or beside it.
    pub(super) playout_delay: Option<PlayoutDelay>,
}

/// Appends a header; returns its length.
pub(super) fn write(
    out: &mut Vec<u8>,
    fixed: Fixed,
    ids: &ElementIds,
    own: Own<'_>,
    elements: Option<&Elements>,
    (patch, mask): (&Patch, Option<MaskPlace>),
) -> usize {
    const VERSION: u8 = 2 << 6;
    const EXTENSION: u8 = 1 << 4;
    let start = out.len();
    let mut head = [0; 12];
    head[0] = VERSION | u8::from(fixed.is_padded) << 5;
    head[1] = u8::from(fixed.marker) << 7 | fixed.payload_type & 0x7f;
    head[2..4].copy_from_slice(&fixed.sequence.to_be_bytes());
    head[4..8].copy_from_slice(&fixed.timestamp.to_be_bytes());
    head[8..].copy_from_slice(&fixed.ssrc.to_be_bytes());
    out.extend_from_slice(&head);
    // Whoever takes the descriptor, the only long element, takes the form that it needs.
    let takes_long = ids.id(extension_id::DEPENDENCY_DESCRIPTOR).is_some();
    let two_bytes = takes_long && elements.is_some_and(Elements::needs_two_byte_form);
    let profile: [u8; 4] = if two_bytes {
        [0x10, 0, 0, 0]
    } else {
        [0xbe, 0xde, 0, 0]
    };
    out.extend_from_slice(&profile);
    let first = out.len();
    let mut put = |ours: u8, value: &[u8]| {
        let theirs = ids.id(ours)?;
        let length = u8::try_from(value.len()).ok()?;
        if two_bytes {
            out.extend_from_slice(&[theirs, length]);
        } else {
            // Values of 1 to 16 bytes, ids up to 14.
            out.push(theirs << 4 | length.checked_sub(1)? & 0x0f);
        }
        out.extend_from_slice(value);
        Some(out.len() - value.len())
    };
    if let Some(number) = own.transport_sequence {
        put(extension_id::TRANSPORT_SEQUENCE, &number.to_be_bytes());
    }
    if let Some(time) = own.abs_send_time {
        let [_, value @ ..] = time.to_be_bytes();
        put(extension_id::ABS_SEND_TIME, &value);
    }
    if let Some(mid) = own.mid {
        put(extension_id::MID, mid.as_bytes());
    }
    if let Some(delay) = own.playout_delay {
        let published = elements.and_then(|elements| elements.value(extension_id::PLAYOUT_DELAY));
        put(extension_id::PLAYOUT_DELAY, &delay.element(published));
    }
    let mut dependencies = None;
    if let Some(elements) = elements {
        for (id, value) in elements.iter() {
            if id != extension_id::PLAYOUT_DELAY || own.playout_delay.is_none() {
                put(id, value);
            }
        }
        if let Some(descriptor) = &elements.dependencies {
            let mut changed = [0; DEPENDENCIES_MAX];
            let value = patch
                .active_targets
                .zip(mask)
                .and_then(|(active, place)| {
                    let length = with_mask(&descriptor.0, place, active.get(), &mut changed)?;
                    changed.get(..length)
                })
                // The form of all elements was chosen by its length as it came.
                .filter(|value| two_bytes || value.len() <= Elements::ONE_BYTE_FORM)
                .unwrap_or(&descriptor.0);
            dependencies = put(extension_id::DEPENDENCY_DESCRIPTOR, value);
        }
    }
    if let Some(bytes) = dependencies.and_then(|at| out.get_mut(at..)) {
        patch.apply_to_dependencies(bytes);
    }
    let length = out.len() - first;
    if length == 0 {
        out.truncate(start + 12);
        return 12;
    }
    let words = length.div_ceil(4);
    out.resize(first + words * 4, 0);
    if let Some(head) = out.get_mut(start..first) {
        head[0] |= EXTENSION;
        head[14..16].copy_from_slice(&(words as u16).to_be_bytes());
    }
    out.len() - start
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use str0m::media::MediaTime;

    use super::*;
    use crate::rtp::{DependencyDescriptor, ExtensionValues, extension_map};

    const FIXED: Fixed = Fixed {
        payload_type: 96,
        marker: true,
        is_padded: false,
        sequence: 0x0102,
        timestamp: 0x0304_0506,
        ssrc: 0x0708_090a,
    };

    fn all() -> ElementIds {
        ElementIds::of(&extension_map())
    }

    fn written(ids: &ElementIds, own: Own<'_>, elements: Option<&Elements>) -> Vec<u8> {
        let mut out = vec![0xff];
        let patch = Patch {
            frame_number: Some(0x0a0b),
            ..Patch::default()
        };
        let length = write(&mut out, FIXED, ids, own, elements, (&patch, None));
        assert_eq!(out.len(), 1 + length);
        assert_eq!(length % 4, 0);
        out.split_off(1)
    }

    #[test]
    fn a_header_without_extensions_has_twelve_bytes() {
        let bare = written(&all(), Own::default(), None);
        assert_eq!(bare, [0x80, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let own = Own {
            transport_sequence: Some(1),
            mid: Some("7"),
            ..Own::default()
        };
        // A client that took no extension.
        assert_eq!(written(&ElementIds::default(), own, None), bare);
    }

    #[test]
    fn extensions_go_under_the_ids_the_client_took() {
        let values = ExtensionValues {
            audio_level: Some(-30),
            ..ExtensionValues::default()
        };
        let elements = Elements::of(&values);
        let own = Own {
            transport_sequence: Some(0x1234),
            abs_send_time: Some(0x00ab_cdef),
            mid: Some("ab"),
            ..Own::default()
        };
        let mut ids = all();
        ids.0[usize::from(extension_id::ABS_SEND_TIME)] = 0;
        ids.0[usize::from(extension_id::MID)] = 9;
        let bytes = written(&ids, own, Some(&elements));
        assert_eq!(bytes[0], 0x90);
        assert_eq!(
            bytes[12..],
            [
                0xbe, 0xde, 0, 2, 0x31, 0x12, 0x34, 0x91, b'a', b'b', 0x10, 30
            ]
        );
        let bytes = written(&all(), own, None);
        assert_eq!(
            bytes[12..],
            [
                0xbe, 0xde, 0, 3, 0x31, 0x12, 0x34, 0x22, 0xab, 0xcd, 0xef, 0x41, b'a', b'b', 0, 0
            ]
        );
    }

    #[test]
    fn one_playout_delay_is_asked_for() {
        let values = ExtensionValues {
            play_delay_min: Some(MediaTime::from_millis(800)),
            play_delay_max: Some(MediaTime::from_millis(2_560)),
            ..ExtensionValues::default()
        };
        let elements = Elements::of(&values);
        let bytes = written(&all(), Own::default(), Some(&elements));
        assert_eq!(bytes[16..], [0x82, 0x05, 0x01, 0x00]);
        for (millis, expected) in [
            (310, [0x82, 0x05, 0x01, 0x00]),
            (900, [0x82, 0x05, 0xa1, 0x00]),
        ] {
            let own = Own {
                playout_delay: Some(PlayoutDelay::new(Duration::from_millis(millis))),
                ..Own::default()
            };
            let bytes = written(&all(), own, Some(&elements));
            assert_eq!(bytes[16..], expected, "{millis}");
        }
    }

    #[test]
    fn a_long_dependency_descriptor_takes_the_two_byte_form() {
        for (length, head) in [(4_usize, [0xbe, 0xde]), (20, [0x10, 0])] {
            let mut values = ExtensionValues::default();
            let bytes: Arc<[u8]> = Arc::from(vec![7; length]);
            values.user_values.set(DependencyDescriptor(bytes));
            let elements = Elements::of(&values);
            let bytes = written(&all(), Own::default(), Some(&elements));
            assert_eq!(bytes[12..14], head);
            let value_at = 16 + if length > 16 { 2 } else { 1 };
            assert_eq!(bytes[value_at..value_at + 4], [7, 0x0a, 0x0b, 7]);
            assert_eq!(bytes.len(), (value_at + length).next_multiple_of(4));
        }
    }
}
