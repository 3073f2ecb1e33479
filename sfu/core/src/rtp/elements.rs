//! Header extension elements as bytes (RFC 8285): those of a packet that go end to end, written once and
//! copied for each subscriber. Must not hold what belongs to one transport.

use std::time::UNIX_EPOCH;

use super::{DependencyDescriptor, ExtensionValues, NtpTime, PlayoutDelay};

/// Ids of the extensions we offer, the same on every transport; see [`extension_map`](super::extension_map).
pub(crate) mod id {
    pub(crate) const AUDIO_LEVEL: u8 = 1;
    pub(crate) const ABS_SEND_TIME: u8 = 2;
    pub(crate) const TRANSPORT_SEQUENCE: u8 = 3;
    pub(crate) const MID: u8 = 4;
    pub(crate) const ABS_CAPTURE_TIME: u8 = 7;
    pub(crate) const PLAYOUT_DELAY: u8 = 8;
    pub(crate) const VIDEO_CONTENT_TYPE: u8 = 9;
    pub(crate) const VIDEO_ORIENTATION: u8 = 10;
    pub(crate) const DEPENDENCY_DESCRIPTOR: u8 = 11;
    /// The highest.
    pub(crate) const LAST: u8 = DEPENDENCY_DESCRIPTOR;
}

/// What a packet says beyond its payload, whoever gets it: elements of id, length and value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elements {
    bytes: [u8; Self::ROOM],
    length: u8,
    /// Kept apart, for it may be long.
    pub(crate) dependencies: Option<DependencyDescriptor>,
}

impl Elements {
    /// Id and length, and the value, of: audio level, playout delay, content type, orientation and
    /// capture time.
    const ROOM: usize = 3 + 5 + 3 + 3 + 18;

    /// The longest value of the one-byte form.
    pub(crate) const ONE_BYTE_FORM: usize = 16;

    /// The elements that go end to end.
    pub(crate) fn of(values: &ExtensionValues) -> Self {
        let mut elements = Self {
            dependencies: values.user_values.get::<DependencyDescriptor>().cloned(),
            ..Self::default()
        };
        if let Some(level) = values.audio_level {
            let voice = u8::from(values.voice_activity.unwrap_or(false)) << 7;
            elements.push(id::AUDIO_LEVEL, &[voice | level.unsigned_abs() & 0x7f]);
        }
        if let (Some(min), Some(max)) = (values.play_delay_min, values.play_delay_max) {
            // 12 bits each, in hundredths of a second.
            let hundredths = |delay: str0m::media::MediaTime| {
                let centis = (delay.as_seconds() * 100.0).round();
                centis.clamp(0.0, 4095.0) as u32
            };
            let both = hundredths(min) << 12 | hundredths(max);
            let [_, a, b, c] = both.to_be_bytes();
            elements.push(id::PLAYOUT_DELAY, &[a, b, c]);
        }
        if let Some(content) = values.video_content_type {
            elements.push(id::VIDEO_CONTENT_TYPE, &[content]);
        }
        if let Some(orientation) = values.video_orientation {
            elements.push(id::VIDEO_ORIENTATION, &[orientation as u8]);
        }
        if let Some(time) = values.abs_capture_time {
            let mut value = [0; 16];
            let since = time.capture_time.duration_since(UNIX_EPOCH);
            let (stamp, offset) = value.split_at_mut(8);
            stamp.copy_from_slice(
                &NtpTime::from_unix(since.unwrap_or_default())
                    .0
                    .to_be_bytes(),
            );
            let mut length = 8;
            if let Some(clock_offset) = time.clock_offset {
                offset.copy_from_slice(&clock_offset.to_be_bytes());
                length = 16;
            }
            elements.push(
                id::ABS_CAPTURE_TIME,
                value.get(..length).unwrap_or_default(),
            );
        }
        elements
    }

    /// Asks for a wait, beside what the publisher asks for.
    pub(crate) fn ask(&mut self, delay: PlayoutDelay) {
        let value = delay.element(self.value(id::PLAYOUT_DELAY));
        let before = std::mem::take(self);
        let others = before.iter().filter(|(id, _)| *id != id::PLAYOUT_DELAY);
        *self = Self::of_list(
            others.chain([(id::PLAYOUT_DELAY, &value[..])]),
            before.dependencies.clone(),
        );
    }

    /// Elements as they were listed by [`Elements::iter`]; what does not fit is left out.
    pub(crate) fn of_list<'a>(
        list: impl IntoIterator<Item = (u8, &'a [u8])>,
        dependencies: Option<DependencyDescriptor>,
    ) -> Self {
        let mut elements = Self {
            dependencies,
            ..Self::default()
        };
        for (id, value) in list {
            elements.push(id, value);
        }
        elements
    }

    /// The value under this id.
    pub(crate) fn value(&self, id: u8) -> Option<&[u8]> {
        let (_, value) = self.iter().find(|(other, _)| *other == id)?;
        Some(value)
    }

    /// Loudness in dBov and whether the publisher heard a voice (RFC 6464).
    pub(super) fn audio_level(&self) -> Option<(i8, bool)> {
        let byte = *self.value(id::AUDIO_LEVEL)?.first()?;
        Some((-((byte & 0x7f) as i8), byte & 0x80 != 0))
    }

    fn push(&mut self, id: u8, value: &[u8]) {
        let at = usize::from(self.length);
        let end = at + 2 + value.len();
        if let Some([first, second, rest @ ..]) = self.bytes.get_mut(at..end) {
            *first = id;
            *second = value.len() as u8;
            rest.copy_from_slice(value);
            self.length = end as u8;
        }
    }

    /// Ids and values, but for the dependency descriptor.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self
            .bytes
            .get(..usize::from(self.length))
            .unwrap_or_default();
        std::iter::from_fn(move || {
            let [id, length, after @ ..] = rest else {
                return None;
            };
            let (value, tail) = after.split_at_checked(usize::from(*length))?;
            rest = tail;
            Some((*id, value))
        })
    }

    /// Whether a value is longer than the one-byte form has room for.
    pub(crate) fn needs_two_byte_form(&self) -> bool {
        self.dependencies
            .as_ref()
            .is_some_and(|dependencies| dependencies.0.len() > Self::ONE_BYTE_FORM)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use str0m::{
        media::MediaTime,
        rtp::{AbsCaptureTime, Extension, VideoOrientation},
    };

    use super::*;
    use crate::rtp::extension_map;

    #[test]
    fn ids_are_those_that_are_offered() {
        let map = extension_map();
        for (id, extension) in [
            (id::AUDIO_LEVEL, Extension::AudioLevel),
            (id::ABS_SEND_TIME, Extension::AbsoluteSendTime),
            (id::TRANSPORT_SEQUENCE, Extension::TransportSequenceNumber),
            (id::MID, Extension::RtpMid),
            (id::ABS_CAPTURE_TIME, Extension::AbsoluteCaptureTime),
            (id::PLAYOUT_DELAY, Extension::PlayoutDelay),
            (id::VIDEO_CONTENT_TYPE, Extension::VideoContentType),
            (id::VIDEO_ORIENTATION, Extension::VideoOrientation),
        ] {
            assert_eq!(map.id_of(extension.clone()), Some(id), "{extension:?}");
        }
        assert_eq!(map.iter().map(|(id, _)| id).max(), Some(id::LAST));
    }

    #[test]
    fn values_are_written_as_their_specifications_say() {
        let mut values = ExtensionValues {
            audio_level: Some(-30),
            voice_activity: Some(true),
            video_orientation: Some(VideoOrientation::from(2)),
            video_content_type: Some(1),
            play_delay_min: Some(MediaTime::from_hundredths(0x123)),
            play_delay_max: Some(MediaTime::from_hundredths(0x456)),
            abs_capture_time: Some(AbsCaptureTime {
                capture_time: SystemTime::UNIX_EPOCH + Duration::from_millis(500),
                clock_offset: Some(-1),
            }),
            ..ExtensionValues::default()
        };
        let capture = [
            0x83, 0xaa, 0x7e, 0x80, 0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
        ];
        let expected: [(u8, &[u8]); 5] = [
            (id::AUDIO_LEVEL, &[0x80 | 30]),
            (id::PLAYOUT_DELAY, &[0x12, 0x34, 0x56]),
            (id::VIDEO_CONTENT_TYPE, &[1]),
            (id::VIDEO_ORIENTATION, &[2]),
            (id::ABS_CAPTURE_TIME, &capture),
        ];
        let elements = Elements::of(&values);
        assert!(elements.iter().eq(expected));
        assert!(!elements.needs_two_byte_form());
        for (length, two_bytes) in [(3, false), (16, false), (17, true)] {
            let bytes: Arc<[u8]> = Arc::from(vec![7; length]);
            values.user_values.set(DependencyDescriptor(bytes));
            assert_eq!(Elements::of(&values).needs_two_byte_form(), two_bytes);
        }
        assert_eq!(Elements::of(&ExtensionValues::default()).iter().count(), 0);
    }
}
