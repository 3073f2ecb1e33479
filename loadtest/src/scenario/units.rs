//! Values with units as people write them: `"20s"`, `"1.5M"`, `"0.1%"`, `"2GiB"`.
//!
//! Owns these notations, both ways: what is written reads back as the same value. Must know nothing of
//! scenarios.

use std::{fmt, time::Duration};

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(u64);

/// A part of a whole, 0 to 1; written in percent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// A text that is not what it should be; says what would be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {expected}")]
pub struct InvalidUnit {
    text: String,
    expected: &'static str,
}

/// What a duration looks like.
pub(super) const DURATION: &str = "a duration such as \"20s\", \"500ms\", \"1.5s\" or \"1m30s\"";
/// What a bitrate looks like.
pub(super) const BITRATE: &str = "a bitrate such as \"1.5M\", \"500k\" or \"64000\" (bit/s)";
/// What a share looks like.
pub(super) const SHARE: &str = "a share such as \"0.1%\", from \"0%\" to \"100%\"";
/// What a size looks like.
pub(super) const BYTE_SIZE: &str = "a size such as \"512MiB\" or \"2GiB\"";

/// Nanoseconds of each unit, largest first.
const DURATIONS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const BITRATES: [(&str, u64); 4] = [
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
];
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Bitrate {
    /// Of bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// Bits per second.
    #[must_use]
    pub const fn bps(self) -> u64 {
        self.0
    }
}

impl Share {
    /// None of it.
    pub const NONE: Self = Self(0.0);

    /// Of a ratio, 0 to 1.
    #[must_use]
    pub const fn from_ratio(ratio: f64) -> Self {
        Self(ratio)
    }

    /// The ratio, 0 to 1.
    #[must_use]
    pub const fn ratio(self) -> f64 {
        self.0
    }
}

impl ByteSize {
    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Of bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// Reads a duration; a number without a unit is refused.
///
/// # Errors
/// The text is not one.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidUnit> {
    let invalid = || invalid(text, DURATION);
    let mut rest = text.trim();
    let mut nanos = 0_u64;
    loop {
        let (number, tail) = split_number(rest).ok_or_else(invalid)?;
        let length = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(length);
        let (_, factor) = find(&DURATIONS, unit).ok_or_else(invalid)?;
        nanos = scaled(number, factor)
            .and_then(|part| nanos.checked_add(part))
            .ok_or_else(invalid)?;
        if tail.is_empty() {
            return Ok(Duration::from_nanos(nanos));
        }
        rest = tail;
    }
}

/// Writes a duration so that [`parse_duration`] reads it back.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in DURATIONS {
        let count = nanos / factor;
        nanos %= factor;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

impl std::str::FromStr for Bitrate {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        with_unit(text, &BITRATES)
            .map(Self)
            .ok_or_else(|| invalid(text, BITRATE))
    }
}

impl std::str::FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        with_unit(text, &SIZES)
            .map(Self)
            .ok_or_else(|| invalid(text, BYTE_SIZE))
    }
}

impl std::str::FromStr for Share {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        text.trim()
            .strip_suffix('%')
            .and_then(|number| split_number(number.trim_end()))
            .filter(|(_, tail)| tail.is_empty())
            .and_then(|(number, _)| number.parse::<f64>().ok())
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| invalid(text, SHARE))
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(formatter, self.0, &BITRATES)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(formatter, self.0, &SIZES)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nine digits hide what dividing by 100 and multiplying by it left behind.
        let percent = (self.0 * 1e11).round() / 1e9;
        write!(formatter, "{percent}%")
    }
}

fn invalid(text: &str, expected: &'static str) -> InvalidUnit {
    InvalidUnit {
        text: text.to_owned(),
        expected,
    }
}

fn find(units: &[(&'static str, u64)], name: &str) -> Option<(&'static str, u64)> {
    units.iter().copied().find(|(unit, _)| *unit == name)
}

/// A number (digits, at most one point) and what follows.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, tail) = text.split_at(end);
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.matches('.').count() <= 1;
    plain.then_some((number, tail))
}

/// `number * factor`, exactly: digits after the point finer than one are refused.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return Some(whole);
    }
    let parts = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor);
    let base = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    if parts % base != 0 {
        return None;
    }
    whole.checked_add(u64::try_from(parts / base).ok()?)
}

fn with_unit(text: &str, units: &[(&'static str, u64)]) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let (_, factor) = find(units, unit.trim())?;
    scaled(number, factor)
}

/// In the largest unit that gives at most three digits after the point.
fn write_with_unit(
    formatter: &mut fmt::Formatter<'_>,
    value: u64,
    units: &[(&'static str, u64)],
) -> fmt::Result {
    for (unit, factor) in units.iter().copied() {
        if value >= factor && u128::from(value) * 1_000 % u128::from(factor) == 0 {
            let thousandths = u128::from(value) * 1_000 / u128::from(factor);
            let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
            let fraction = format!("{rest:03}");
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            return write!(formatter, "{whole}{point}{fraction}{unit}");
        }
    }
    let (unit, _) = units.last().copied().unwrap_or_default();
    write!(formatter, "{value}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        let cases: &[(&str, Option<u64>)] = &[
            ("20s", Some(20_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("7us", Some(7_000)),
            ("2h", Some(7_200_000_000_000)),
            ("0s", Some(0)),
            ("20", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.s", None),
            (".5s", None),
            ("1..5s", None),
            ("0.5ns", None),
            ("1 s", None),
            ("1d", None),
            ("99999999999h", None),
        ];
        for (text, nanos) in cases {
            let read = parse_duration(text).ok();
            assert_eq!(read, nanos.map(Duration::from_nanos), "{text}");
            if let Some(duration) = read {
                assert_eq!(
                    parse_duration(&format_duration(duration)).ok(),
                    read,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn bitrates_sizes_and_shares_read_as_written() {
        let bitrates: &[(&str, Option<(u64, &str)>)] = &[
            ("1.5M", Some((1_500_000, "1.5M"))),
            ("500k", Some((500_000, "500k"))),
            ("64000", Some((64_000, "64k"))),
            ("1G", Some((1_000_000_000, "1G"))),
            ("33", Some((33, "33"))),
            ("1234567", Some((1_234_567, "1234.567k"))),
            ("1.5m", None),
            ("M", None),
            ("-3k", None),
            ("0.0001k", None),
        ];
        for (text, expected) in bitrates {
            let read = text.parse::<Bitrate>().ok();
            assert_eq!(
                read.map(Bitrate::bps),
                expected.map(|(bps, _)| bps),
                "{text}"
            );
            if let (Some(read), Some((_, written))) = (read, expected) {
                assert_eq!(read.to_string(), *written, "{text}");
                assert_eq!(written.parse::<Bitrate>().ok(), Some(read), "{text}");
            }
        }
        assert_eq!("2GiB".parse(), Ok(ByteSize(2 << 30)));
        assert_eq!(ByteSize(1536 << 20).to_string(), "1.5GiB");
        assert!("2GB".parse::<ByteSize>().is_err());
        for (text, ratio) in [
            ("0.1%", 0.001),
            ("100%", 1.0),
            ("0%", 0.0),
            ("99.95 %", 0.9995),
        ] {
            let share = text.parse::<Share>().expect(text);
            assert!((share.ratio() - ratio).abs() < 1e-12, "{text}");
            assert_eq!(share.to_string(), text.replace(' ', ""));
        }
        for text in ["0.1", "101%", "-1%", "%", "1e1%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
