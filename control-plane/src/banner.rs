//! The words `plenum` greets with. Must not print them.

use std::{fmt::Write as _, net::SocketAddr};

use rand::{Rng, seq::IndexedRandom as _};

use crate::config::{DEV_KEY, DEV_SECRET, Front};

/// What a start looks like to the person who made it.
pub(crate) struct Greeting<'a> {
    /// Where pages, clients and backends reach us.
    pub(crate) http: SocketAddr,
    /// Where media is received.
    pub(crate) udp: &'a [SocketAddr],
    /// Where media is received that cannot come by UDP.
    pub(crate) tcp: &'a [SocketAddr],
    /// As it was started.
    pub(crate) config: &'a Front,
    /// A room for the join link.
    pub(crate) room: &'a str,
}

impl Greeting<'_> {
    /// The text, with a line break at the end.
    pub(crate) fn text(&self) -> String {
        let base = base_url(self.http);
        let mut text = format!("\n  Plenum {}\n\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<9} {value}");
        };
        line("Open", &base);
        if self.config.guest_access() {
            line("Join", &format!("{base}/?room={}", self.room));
        } else {
            line("Join", "plenum token create --room ROOM --identity WHO");
        }
        line("Clients", &format!("ws{}", base.trim_start_matches("http")));
        if self.config.is_dev() {
            line(
                "API key",
                &format!("{DEV_KEY}, secret {DEV_SECRET} (for development only)"),
            );
        } else {
            let names: Vec<&str> = self.config.keys.keys().map(String::as_str).collect();
            line("API keys", &names.join(", "));
        }
        line("Media", &media(self.udp, self.tcp));
        text.push_str("\n  Ctrl-C ends all rooms; once more ends at once.\n\n");
        text
    }
}

/// The address as others write it. One that means "all" is shown as this machine.
pub(crate) fn base_url(http: SocketAddr) -> String {
    match http {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{}", v6.port()),
        other => format!("http://{other}"),
    }
}

fn media(udp: &[SocketAddr], tcp: &[SocketAddr]) -> String {
    let all = |kind: &str, addresses: &[SocketAddr]| {
        let addresses: Vec<String> = addresses.iter().map(|a| format!("{kind} {a}")).collect();
        addresses.join(", ")
    };
    let parts = [all("udp", udp), all("tcp", tcp)];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A name that is easy to say and unlikely to be in use.
pub(crate) fn friendly_room(random: &mut impl Rng) -> String {
    let mut word = |words: &[&'static str]| words.choose(random).copied().unwrap_or("room");
    let (first, second) = (word(&HOW), word(&WHAT));
    format!("{first}-{second}-{:04}", random.random_range(0..10_000))
}

const HOW: [&str; 16] = [
    "airy", "bold", "bright", "cheerful", "cosy", "eager", "fond", "grand", "happy", "kind",
    "light", "neat", "open", "proud", "ready", "smart",
];

const WHAT: [&str; 16] = [
    "arch", "beach", "birch", "cabin", "dune", "fern", "field", "finch", "hill", "lake", "moor",
    "oak", "path", "reef", "shore", "tower",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_says_where_to_go() {
        let mut config = crate::config::Config::default().front();
        let text = |config: &Front| {
            let udp = ["127.0.0.1:7882".parse().unwrap()];
            let tcp = ["127.0.0.1:7881".parse().unwrap()];
            let http = "0.0.0.0:7880".parse().unwrap();
            Greeting {
                http,
                udp: &udp,
                tcp: &tcp,
                config,
                room: "kind-oak-0001",
            }
            .text()
        };
        let dev = text(&config);
        for part in [
            "http://127.0.0.1:7880/?room=kind-oak-0001",
            "ws://127.0.0.1:7880",
            "devkey, secret secret",
            "udp 127.0.0.1:7882, tcp 127.0.0.1:7881",
        ] {
            assert!(dev.contains(part), "{part} missing in {dev}");
        }
        config.keys = [("mine".to_owned(), crate::config::Secret::new("hush"))].into();
        let own = text(&config);
        assert!(
            own.contains("API keys  mine") && own.contains("plenum token create"),
            "{own}"
        );
        assert!(!own.contains("hush") && !own.contains("?room="), "{own}");
    }

    #[test]
    fn a_room_has_a_friendly_name() {
        let room = friendly_room(&mut rand::rng());
        assert_eq!(room.split('-').count(), 3, "{room}");
    }
}
