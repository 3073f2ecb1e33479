//! Link headers (RFC 8288): STUN and TURN servers (RFC 9725 section 4.6), and the extensions of a WHEP
//! session. Must not choose servers.

use http::{HeaderMap, HeaderValue, header::LINK};

use crate::ice_servers::IceServer;

/// Names every server, with its credential where it has one.
pub(super) fn servers(headers: &mut HeaderMap, servers: &[IceServer]) {
    for server in servers {
        for url in &server.urls {
            let mut link = format!("<{url}>; rel=\"ice-server\"");
            if !server.username.is_empty() {
                link.push_str(&format!(
                    "; username={}; credential={}; credential-type=\"password\"",
                    quoted(&server.username),
                    quoted(&server.credential)
                ));
            }
            append(headers, &link);
        }
    }
}

/// Names the extensions of a session that plays.
pub(super) fn extensions(headers: &mut HeaderMap, session: &str) {
    const PREFIX: &str = "urn:ietf:params:whep:ext:core";
    append(
        headers,
        &format!("<{session}/layer>; rel=\"{PREFIX}:layer\""),
    );
    append(
        headers,
        &format!(
            "<{session}/sse>; rel=\"{PREFIX}:server-sent-events\"; events=\"active,inactive,layers\""
        ),
    );
}

fn append(headers: &mut HeaderMap, link: &str) {
    // What the operator wrote may not fit into a header; then the client does without.
    if let Ok(value) = HeaderValue::from_str(link) {
        headers.append(LINK, value);
    }
}

/// A quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_with_their_credentials() {
        let mut headers = HeaderMap::new();
        let stun = IceServer {
            urls: vec!["stun:a.example:3478".into()],
            username: String::new(),
            credential: String::new(),
        };
        let turn = IceServer {
            urls: vec![
                "turn:b.example?transport=udp".into(),
                "turns:b.example".into(),
            ],
            username: "12:ann".into(),
            credential: "a\"b\\c".into(),
        };
        servers(&mut headers, &[stun, turn]);
        let links: Vec<_> = headers.get_all(LINK).iter().collect();
        assert_eq!(
            links,
            [
                r#"<stun:a.example:3478>; rel="ice-server""#,
                r#"<turn:b.example?transport=udp>; rel="ice-server"; username="12:ann"; credential="a\"b\\c"; credential-type="password""#,
                r#"<turns:b.example>; rel="ice-server"; username="12:ann"; credential="a\"b\\c"; credential-type="password""#,
            ]
        );
    }
}
