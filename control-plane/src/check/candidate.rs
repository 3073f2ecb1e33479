//! What a session description and a server's URLs say of addresses. Pure functions. RFC 8839 section 5.1,
//! RFC 7065.

use std::net::SocketAddr;

use super::Way;

/// The candidates of a description, each once: UDP and TCP alone.
pub(super) fn candidates(sdp: &str) -> Vec<(Way, SocketAddr)> {
    let mut found = Vec::new();
    for line in sdp.lines() {
        let Some(candidate) = line.strip_prefix("a=").and_then(candidate) else {
            continue;
        };
        if !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

fn candidate(line: &str) -> Option<(Way, SocketAddr)> {
    let mut words = line.strip_prefix("candidate:")?.split_ascii_whitespace();
    // Foundation and component come before the transport, the priority behind it.
    let transport = words.nth(2)?.to_ascii_lowercase();
    let ip = words.nth(1)?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    let way = match transport.as_str() {
        "udp" => Way::Udp,
        "tcp" => Way::Tcp,
        _ => return None,
    };
    Some((way, SocketAddr::new(ip, port)))
}

/// A TURN server's URL in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TurnUrl<'a> {
    pub(super) way: Way,
    pub(super) host: &'a str,
    pub(super) port: u16,
}

/// Takes a URL apart; none for one that is not of TURN.
pub(super) fn turn_url(url: &str) -> Option<TurnUrl<'_>> {
    let (scheme, rest) = url.split_once(':')?;
    let is_secure = match scheme {
        "turn" => false,
        "turns" => true,
        _ => return None,
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let transport = query.strip_prefix("transport=");
    let way = match (
        is_secure,
        transport.unwrap_or(if is_secure { "tcp" } else { "udp" }),
    ) {
        (false, "udp") => Way::TurnUdp,
        (false, "tcp") => Way::TurnTcp,
        (true, "tcp") => Way::TurnTls,
        _ => return None,
    };
    let usual = if is_secure { 5349 } else { 3478 };
    // The colons of an IPv6 address are inside brackets.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (place, usual),
    };
    Some(TurnUrl { way, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_found_once_each() {
        let sdp = "v=0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\n\
                   a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\n\
                   a=candidate:2 1 TCP 1671430143 2001:db8::1 7881 typ host tcptype passive\r\n\
                   a=candidate:3 1 udp 1 name.local 7881 typ host\r\na=candidate:4\r\n";
        let address = |text: &str| text.parse().unwrap();
        assert_eq!(
            candidates(sdp),
            [
                (Way::Udp, address("192.0.2.1:7882")),
                (Way::Tcp, address("[2001:db8::1]:7881")),
            ]
        );
    }

    #[test]
    fn urls_come_apart() {
        for (url, expected) in [
            ("turn:a.example", Some((Way::TurnUdp, "a.example", 3478))),
            (
                "turn:a.example:99?transport=udp",
                Some((Way::TurnUdp, "a.example", 99)),
            ),
            (
                "turn:192.0.2.1:99?transport=tcp",
                Some((Way::TurnTcp, "192.0.2.1", 99)),
            ),
            ("turns:a.example", Some((Way::TurnTls, "a.example", 5349))),
            (
                "turns:[2001:db8::1]:443?transport=tcp",
                Some((Way::TurnTls, "[2001:db8::1]", 443)),
            ),
            (
                "turn:[2001:db8::1]",
                Some((Way::TurnUdp, "[2001:db8::1]", 3478)),
            ),
            ("turns:a.example?transport=udp", None),
            ("turn:a.example:port", None),
            ("stun:a.example", None),
            ("", None),
        ] {
            let expected = expected.map(|(way, host, port)| TurnUrl { way, host, port });
            assert_eq!(turn_url(url), expected, "{url}");
        }
    }
}
