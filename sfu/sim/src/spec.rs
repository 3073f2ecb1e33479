//! Settings of a link as text, for tools that take them from a command line: "rate=500k queue=300ms delay=20ms
//! jitter=5ms loss=1% reorder=0.1% burst=5s/200ms/80% cross=tcp", or one over time: "cell/7". Must not know what is done
//! with them.

use std::{fmt, str::FromStr, time::Duration};

use crate::{Bursts, Cross, LinkSettings, Trace, seconds};

/// Why a text is no change of a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not of the form key=value.
    #[error("\"{0}\" is not of the form key=value")]
    Form(String),
    /// There is no such key.
    #[error(
        "there is no \"{0}\"; there are rate, queue, delay, jitter, loss, reorder, burst and cross"
    )]
    Key(String),
    /// The value is not what the key takes.
    #[error("{key}=\"{value}\" is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// As given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
}

/// What the queue before a rate holds that is given without one.
const QUEUE: Duration = Duration::from_millis(300);

const RATE: &str = "a rate in bit/s such as 500k or 3M; 0 is no limit";
const SPAN: &str = "a time such as 20ms or 1.5s";
const SHARE: &str = "a share such as 0.01 or 1%";
const BURST: &str = "none, or EVERY/LAST/SHARE such as 5s/200ms/80%";

const TRACE: &str = "cell, wifi or crowded with a seed, such as cell/7";

/// How long a trace goes on.
const TRACE_SPAN: Duration = seconds(3_600);

const CROSS: &str = "none, tcp, or RATE/ON/OFF such as 1M/2s/20s";

impl LinkSettings {
    /// These settings with what a text names changed; nothing is changed by half.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn changed(&self, text: &str) -> Result<Self, SpecError> {
        let mut settings = *self;
        let mut queue = settings.rate.map_or(QUEUE, |(_, queue)| queue);
        let mut rate = settings.rate.map(|(rate, _)| rate);
        for word in text.split_whitespace() {
            let form = || SpecError::Form(word.to_owned());
            let (key, value) = word.split_once('=').ok_or_else(form)?;
            let wrong = |key: &'static str, expected: &'static str| {
                let value = value.to_owned();
                move || SpecError::Value {
                    key,
                    value,
                    expected,
                }
            };
            match key {
                "rate" => {
                    let bits = bits(value).ok_or_else(wrong("rate", RATE))?;
                    rate = (bits > 0).then_some(bits);
                }
                "queue" => queue = span(value).ok_or_else(wrong("queue", SPAN))?,
                "delay" => settings.delay = span(value).ok_or_else(wrong("delay", SPAN))?,
                "jitter" => settings.jitter = span(value).ok_or_else(wrong("jitter", SPAN))?,
                "loss" => settings.loss = share(value).ok_or_else(wrong("loss", SHARE))?,
                "reorder" => {
                    settings.reordering = share(value).ok_or_else(wrong("reorder", SHARE))?;
                }
                "burst" => settings.bursts = bursts(value).ok_or_else(wrong("burst", BURST))?,
                "cross" => settings.cross = cross(value).ok_or_else(wrong("cross", CROSS))?,
                other => return Err(SpecError::Key(other.to_owned())),
            }
        }
        settings.rate = rate.map(|rate| (rate, queue));
        Ok(settings)
    }
}

impl FromStr for Trace {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let wrong = || SpecError::Value {
            key: "trace",
            value: text.to_owned(),
            expected: TRACE,
        };
        let (kind, seed) = text.split_once('/').ok_or_else(wrong)?;
        let seed = seed.parse().map_err(|_| wrong())?;
        match kind {
            "cell" => Ok(Self::cell(seed, TRACE_SPAN)),
            "wifi" => Ok(Self::wifi(seed, TRACE_SPAN)),
            "crowded" => Ok(Self::crowded_wifi(seed, TRACE_SPAN)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for LinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |span: Duration| span.as_secs_f64() * 1_000.0;
        match self.rate {
            Some((rate, queue)) => write!(f, "rate={rate} queue={}ms", ms(queue))?,
            None => write!(f, "rate=0")?,
        }
        write!(
            f,
            " delay={}ms jitter={}ms",
            ms(self.delay),
            ms(self.jitter)
        )?;
        write!(f, " loss={} reorder={}", self.loss, self.reordering)?;
        match self.bursts {
            Some(Bursts { every, last, loss }) => {
                write!(f, " burst={}ms/{}ms/{loss}", ms(every), ms(last))?;
            }
            None => write!(f, " burst=none")?,
        }
        match self.cross {
            Some(Cross::Tcp) => write!(f, " cross=tcp"),
            Some(Cross::OnOff { rate, on, off }) => {
                write!(f, " cross={rate}/{}ms/{}ms", ms(on), ms(off))
            }
            None => write!(f, " cross=none"),
        }
    }
}

fn bits(text: &str) -> Option<u64> {
    let scales = [("k", 1e3), ("M", 1e6), ("G", 1e9)];
    let scaled = scales
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)));
    let (number, scale) = scaled.unwrap_or((text, 1.0));
    let bits = number.parse::<f64>().ok()? * scale;
    (0.0..=1e12).contains(&bits).then_some(bits as u64)
}

fn span(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s')?, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * scale;
    (0.0..=3_600.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

fn share(text: &str) -> Option<f64> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().ok()? * scale;
    (0.0..=1.0).contains(&share).then_some(share)
}

/// The outer option is whether the text is right.
fn bursts(text: &str) -> Option<Option<Bursts>> {
    if text == "none" {
        return Some(None);
    }
    let mut parts = text.split('/');
    let bursts = Bursts {
        every: span(parts.next()?)?,
        last: span(parts.next()?)?,
        loss: share(parts.next()?)?,
    };
    let is_whole = parts.next().is_none() && !bursts.every.is_zero();
    is_whole.then_some(Some(bursts))
}

/// The outer option is whether the text is right.
fn cross(text: &str) -> Option<Option<Cross>> {
    match text {
        "none" => return Some(None),
        "tcp" => return Some(Some(Cross::Tcp)),
        _ => {}
    }
    let mut parts = text.split('/');
    let cross = Cross::OnOff {
        rate: bits(parts.next()?)?,
        on: span(parts.next()?)?,
        off: span(parts.next()?)?,
    };
    parts.next().is_none().then_some(Some(cross))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::millis;

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let first = LinkSettings::default()
            .changed("rate=3M queue=200ms delay=20ms loss=1% burst=5s/0.2s/80% cross=1M/2s/20s")
            .expect("right");
        assert_eq!(first.rate, Some((3_000_000, millis(200))));
        assert_eq!((first.delay, first.loss), (millis(20), 0.01));
        let (rate, on, off) = (1_000_000, millis(2_000), millis(20_000));
        assert_eq!(first.cross, Some(Cross::OnOff { rate, on, off }));
        let second = first
            .changed("rate=0.5M jitter=5ms burst=none cross=tcp")
            .expect("right");
        let expected = LinkSettings {
            rate: Some((500_000, millis(200))),
            jitter: millis(5),
            bursts: None,
            cross: Some(Cross::Tcp),
            ..first
        };
        assert_eq!(second, expected);
        assert_eq!(first.changed("rate=0").expect("right").rate, None);
        for settings in [first, second] {
            let again = LinkSettings::default().changed(&settings.to_string());
            assert_eq!(again, Ok(settings));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, complaint) in [
            ("rate", "\"rate\" is not of the form key=value"),
            ("speed=1", "there is no \"speed\""),
            ("rate=fast", "rate=\"fast\" is not a rate"),
            ("delay=20", "delay=\"20\" is not a time"),
            ("loss=120%", "loss=\"120%\" is not a share"),
            ("cross=udp", "cross=\"udp\" is not none, tcp, or RATE"),
            ("burst=1s/2s", "burst=\"1s/2s\" is not none, or EVERY"),
        ] {
            let error = LinkSettings::default().changed(text).expect_err(text);
            assert!(error.to_string().starts_with(complaint), "{error}");
        }
        for text in ["cell", "cell/x", "moon/1"] {
            let error = text.parse::<Trace>().expect_err(text);
            let complaint = format!("trace=\"{text}\" is not cell, wifi or crowded");
            assert!(error.to_string().starts_with(&complaint), "{error}");
        }
    }

    #[test]
    fn a_trace_is_drawn_from_its_name() {
        let trace: Trace = "wifi/3".parse().expect("right");
        let drawn = Trace::wifi(3, seconds(60));
        for second in [0, 7, 59] {
            assert_eq!(trace.at(seconds(second)), drawn.at(seconds(second)));
        }
    }
}
