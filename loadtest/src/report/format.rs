//! Numbers as people read them.
//!
//! Owns rounding and units of everything shown. Must not choose what is shown.

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Part of a whole, 0 to 1; shown in percent.
    Share,
    /// Percent, as thresholds have it.
    Percent,
    /// Milliseconds.
    Millis,
    /// Nanoseconds.
    Nanos,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bits per second.
    BitRate,
    /// Things per second.
    PerSecond,
    /// Processors kept busy.
    Cores,
}

impl Unit {
    /// The unit of a threshold's row in the file.
    #[must_use]
    pub fn of_threshold(unit: &str) -> Self {
        match unit {
            "%" => Self::Percent,
            "ms" => Self::Millis,
            "ns" => Self::Nanos,
            "bytes" => Self::Bytes,
            _ => Self::Count,
        }
    }

    /// A number of this unit, three digits that matter.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Count => grouped(value),
            Self::Share => format!("{} %", percent(value * 100.0)),
            Self::Percent => format!("{} %", percent(value)),
            Self::Millis if value >= 1e4 => format!("{} s", digits(value / 1e3)),
            Self::Millis => format!("{} ms", digits(value)),
            Self::Nanos if value >= 1e6 => format!("{} ms", digits(value / 1e6)),
            Self::Nanos if value >= 1e5 => format!("{} µs", digits(value / 1e3)),
            Self::Nanos => format!("{} ns", grouped(value)),
            Self::Seconds => format!("{} s", digits(value)),
            Self::Bytes => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
            Self::BitRate => scaled(value, 1e3, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]),
            Self::PerSecond => format!(
                "{}/s",
                if value < 100.0 {
                    digits(value)
                } else {
                    grouped(value)
                }
            ),
            Self::Cores => format!("{value:.2}"),
        }
    }

    /// As [`show`](Self::show); a dash for a number that was not taken.
    #[must_use]
    pub fn show_or_dash(self, value: Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| self.show(value))
    }
}

/// A whole number with its digits in threes.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value < 0.0 && digits != "0" {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that matter; whole from 100 on.
fn digits(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 {
        grouped(value)
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.001 || size == 0.0 {
        trim(&format!("{value:.*}", if size >= 0.9995 { 2 } else { 3 }))
    } else {
        "<0.001".to_owned()
    }
}

/// Percent, so that what is not quite all or nothing never looks like it.
fn percent(value: f64) -> String {
    let text = trim(&format!("{value:.3}"));
    match text.as_str() {
        "0" if value > 0.0 => "<0.001".to_owned(),
        "100" if value < 100.0 => ">99.999".to_owned(),
        _ => text,
    }
}

fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut unit = 0;
    while value.abs() >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let text = if unit == 0 {
        grouped(value)
    } else {
        digits(value)
    };
    format!("{text} {}", units[unit])
}

fn trim(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// `1 room`, `2 rooms`.
#[must_use]
pub fn plural(count: u64, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {one}{s}", grouped(count as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::Count, 0.0, "0"),
            (Unit::Share, 0.000_012, "0.001 %"),
            (Unit::Share, 0.000_000_1, "<0.001 %"),
            (Unit::Share, 0.999_999_9, ">99.999 %"),
            (Unit::Share, 1.0, "100 %"),
            (Unit::Percent, 0.1, "0.1 %"),
            (Unit::Millis, 0.412_3, "0.412 ms"),
            (Unit::Millis, 0.000_2, "<0.001 ms"),
            (Unit::Millis, 3.456, "3.46 ms"),
            (Unit::Millis, 45.67, "45.7 ms"),
            (Unit::Millis, 2_500.0, "2,500 ms"),
            (Unit::Millis, 12_500.0, "12.5 s"),
            (Unit::Nanos, 1_234.4, "1,234 ns"),
            (Unit::Nanos, 123_456.0, "123 µs"),
            (Unit::Bytes, 25_165_824.0, "24.0 MiB"),
            (Unit::Bytes, 512.0, "512 B"),
            (Unit::BitRate, 76_543_210.0, "76.5 Mbit/s"),
            (Unit::PerSecond, 6_172.8, "6,173/s"),
            (Unit::PerSecond, 12.34, "12.3/s"),
            (Unit::Cores, 0.345, "0.34"),
        ];
        for (unit, value, expected) in cases {
            assert_eq!(unit.show(value), expected, "{unit:?} {value}");
        }
        assert_eq!(Unit::Millis.show_or_dash(None), "–");
        assert_eq!(plural(1, "room"), "1 room");
        assert_eq!(plural(2_000, "room"), "2,000 rooms");
    }
}
