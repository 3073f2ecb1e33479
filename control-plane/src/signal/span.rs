//! Durations as texts in configuration, `"500ms"`, `"15s"`, `"10m"`, `"6h"`, for
//! `#[serde(with = "span")]`. Must know nothing else of ours.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

/// Name and milliseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format(*span))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "\"{text}\" is not a duration such as \"500ms\", \"15s\" or \"10m\""
        ))
    })
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(
        number.parse::<u64>().ok()?.checked_mul(*factor)?,
    ))
}

fn format(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (name, factor) = UNITS
        .into_iter()
        .find(|(_, factor)| millis >= *factor && millis % factor == 0)
        .unwrap_or(("s", 1_000));
    format!("{}{name}", millis / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_durations_match() {
        for (text, millis) in [
            ("0s", 0),
            ("1ms", 1),
            ("1500ms", 1500),
            ("15s", 15_000),
            ("10m", 600_000),
            ("6h", 21_600_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "9999999999999999h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
