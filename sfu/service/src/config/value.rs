//! The types of settings: units are types, and every type says what it expects. Must not know which
//! setting uses which.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use super::{
    given::Given,
    mistake::{Key, Mistakes},
    setting::{Setting, Value, print_section},
};

/// A text nobody may see in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u32);

impl ByteSize {
    /// So many KiB.
    pub const fn kib(n: u32) -> Self {
        Self(n * 1024)
    }

    /// So many MiB.
    pub const fn mib(n: u32) -> Self {
        Self(n * 1024 * 1024)
    }

    /// As a length.
    pub fn bytes(self) -> usize {
        self.0 as usize
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl Value for String {
    fn expects() -> String {
        "text in quotes".into()
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn to_toml(&self) -> Option<toml::Value> {
        Some(toml::Value::String(self.clone()))
    }
}

impl Value for bool {
    fn expects() -> String {
        "true or false".into()
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        value.as_bool()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn to_toml(&self) -> Option<toml::Value> {
        Some(toml::Value::Boolean(*self))
    }
}

macro_rules! whole_number {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn expects() -> String {
                format!("a whole number from 0 to {}", <$type>::MAX)
            }
            fn from_toml(value: &toml::Value) -> Option<Self> {
                value.as_integer().and_then(|number| number.try_into().ok())
            }
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn to_toml(&self) -> Option<toml::Value> {
                Some(toml::Value::Integer(i64::from(*self)))
            }
        }
    )+};
}

whole_number!(u8, u16, u32);

/// A value written as text both in TOML and in the environment.
macro_rules! written_as_text {
    ($type:ty, $expects:literal, $parse:expr, $print:expr) => {
        impl Value for $type {
            fn expects() -> String {
                $expects.into()
            }
            fn from_toml(value: &toml::Value) -> Option<Self> {
                value.as_str().and_then(Self::from_text)
            }
            fn from_text(text: &str) -> Option<Self> {
                $parse(text)
            }
            fn to_toml(&self) -> Option<toml::Value> {
                Some(toml::Value::String($print(self)))
            }
        }
    };
}

written_as_text!(
    SocketAddr,
    "an address with a port, such as \"127.0.0.1:7880\"",
    |text: &str| text.parse().ok(),
    ToString::to_string
);
written_as_text!(
    std::net::IpAddr,
    "an IP address, such as \"192.0.2.1\"",
    |text: &str| text.parse().ok(),
    ToString::to_string
);
written_as_text!(
    Duration,
    "a duration such as \"30s\"",
    parse_duration,
    |duration: &Self| { print_duration(*duration) }
);
written_as_text!(
    ByteSize,
    "a size such as \"16KiB\"",
    parse_size,
    |size: &Self| print_size(*size)
);
written_as_text!(
    LogFormat,
    "\"text\" or \"json\"",
    |text: &str| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    },
    |format: &Self| match format {
        Self::Text => "text".to_owned(),
        Self::Json => "json".to_owned(),
    }
);
written_as_text!(
    Secret,
    "text in quotes",
    |text: &str| Some(Secret::new(text)),
    |secret: &Self| secret.0.clone()
);

impl<T: Value> Value for Option<T> {
    fn expects() -> String {
        T::expects()
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        T::from_toml(value).map(Some)
    }
    fn from_text(text: &str) -> Option<Self> {
        // An empty variable is how a deployment file says "not set".
        if text.is_empty() {
            Some(None)
        } else {
            T::from_text(text).map(Some)
        }
    }
    fn to_toml(&self) -> Option<toml::Value> {
        self.as_ref().and_then(T::to_toml)
    }
}

impl<T: Value> Value for Vec<T> {
    fn expects() -> String {
        format!("a list, each {}", T::expects())
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_toml).collect()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(T::from_text)
            .collect()
    }
    fn to_toml(&self) -> Option<toml::Value> {
        Some(toml::Value::Array(
            self.iter().filter_map(T::to_toml).collect(),
        ))
    }
}

/// Secrets by name. What is given replaces the default as a whole: a forgotten development key must
/// not stay valid beside the real ones.
impl Setting for BTreeMap<String, Secret> {
    const IS_TABLE: bool = true;

    fn read(&mut self, given: Given, key: &Key, mistakes: &mut Mistakes) {
        self.clear();
        let table = match given {
            Given::Text(text) => {
                for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
                    match pair.split_once('=') {
                        Some((name, secret)) => {
                            self.insert(name.trim().to_owned(), Secret::new(secret.trim()));
                        }
                        None => mistakes.add(key, "must be pairs such as \"name=secret,…\""),
                    }
                }
                return;
            }
            other => other.into_table(key, mistakes),
        };
        for (name, value) in table.into_iter().flatten() {
            let mut secret = Secret::new("");
            secret.read(value, &key.child(&name), mistakes);
            self.insert(name, secret);
        }
    }

    fn print(&self, key: &Key, about: &[&str], out: &mut String) {
        print_section(key, about, out);
        for (name, secret) in self {
            let name = toml::Value::String(name.clone());
            let secret = toml::Value::String(secret.0.clone());
            out.push_str(&format!("{name} = {secret}\n"));
        }
    }
}

const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads "30s", "500ms", "5m", "6h".
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let (_, millis) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*millis).map(Duration::from_millis)
}

fn print_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    print_unit(millis, &DURATION_UNITS, "ms")
}

const SIZE_UNITS: [(&str, u64); 3] = [("MiB", 1024 * 1024), ("KiB", 1024), ("B", 1)];

fn parse_size(text: &str) -> Option<ByteSize> {
    let (number, unit) = split_unit(text)?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number
        .checked_mul(*bytes)
        .and_then(|bytes| u32::try_from(bytes).ok())
        .map(ByteSize)
}

fn print_size(size: ByteSize) -> String {
    print_unit(u64::from(size.0), &SIZE_UNITS, "B")
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

/// In the largest unit that loses nothing.
fn print_unit(value: u64, units: &[(&str, u64)], smallest: &str) -> String {
    units
        .iter()
        .find(|(_, size)| value != 0 && value.is_multiple_of(*size))
        .map_or_else(
            || format!("{value}{smallest}"),
            |(unit, size)| format!("{}{unit}", value / size),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_they_print() {
        for text in ["500ms", "30s", "90s", "5m", "6h", "0ms"] {
            assert_eq!(print_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["16KiB", "10MiB", "100B", "0B"] {
            assert_eq!(print_size(parse_size(text).unwrap()), text);
        }
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "30 s",
            "99999999999999999999s",
            "1d",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        for bad in ["", "16", "16kb", "5GiB", "9999999MiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_outside_their_range_are_refused() {
        assert_eq!(u16::from_toml(&toml::Value::Integer(65_536)), None);
        assert_eq!(u16::from_toml(&toml::Value::Integer(-1)), None);
        assert_eq!(u16::from_text("7880"), Some(7880));
        assert_eq!(u16::from_toml(&toml::Value::String("7880".into())), None);
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "(secret)");
    }
}
