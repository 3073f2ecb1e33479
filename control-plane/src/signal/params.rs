//! What a client says in the URL when it connects. Must not judge it: only its form is looked at
//! here.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use livekit_protocol::client_info::Capability;
use plenum_proto::node::ClientInfo;

use super::frame::Encoding;

/// Longest text about a client's make that is kept, in characters.
const MAX_TEXT: usize = 64;

/// Most capabilities that are kept.
const MAX_CAPABILITIES: usize = 32;

/// Parameters of a connection.
#[derive(Clone, PartialEq)]
pub(crate) struct Params {
    pub(crate) access_token: Option<String>,
    /// How to write until the client has sent a frame.
    pub(crate) encoding: Encoding,
    pub(crate) client: ClientInfo,
    pub(crate) auto_subscribe: bool,
    pub(crate) adaptive_stream: bool,
    pub(crate) allow_pause: bool,
    /// Suffix of a second, publish-only connection of the same identity.
    pub(crate) publish: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The stay to take up; an empty id means that the client does not know it.
    pub(crate) resume: Option<String>,
    /// Whether the client wants its media to go straight to the only other one.
    pub(crate) direct: bool,
    /// The room that the client means; it must be that of its token.
    pub(crate) room: Option<String>,
}

/// A parameter that cannot be read; the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is malformed")]
pub(crate) struct BadParam(pub(crate) &'static str);

impl Params {
    /// Reads the pairs of a query; unknown names are ignored, and of a repeated one the last
    /// counts.
    pub(crate) fn read(pairs: Vec<(String, String)>) -> Result<Self, BadParam> {
        let mut params = Self::default();
        let mut is_resume = false;
        let mut sid = String::new();
        for (name, value) in pairs {
            let client = &mut params.client;
            match name.as_str() {
                "access_token" => params.access_token = Some(value),
                "encoding" => {
                    params.encoding = if value == "json" {
                        Encoding::Json
                    } else {
                        Encoding::Protobuf
                    };
                }
                "protocol" => client.protocol = number(&value, "protocol")?,
                "client_protocol" => client.client_protocol = number(&value, "client_protocol")?,
                "sdk" => client.sdk = text(&value).to_ascii_lowercase(),
                "version" => client.version = text(&value),
                "os" => client.os = text(&value),
                "browser" => client.browser = text(&value),
                "browser_version" => client.browser_version = text(&value),
                "device_model" => client.device_model = text(&value),
                "capabilities" => client.capabilities = capabilities(&value),
                "auto_subscribe" => params.auto_subscribe = flag(&value),
                "adaptive_stream" => params.adaptive_stream = flag(&value),
                "subscriber_allow_pause" => params.allow_pause = flag(&value),
                "publish" => params.publish = (!value.is_empty()).then_some(value),
                "attributes" => params.attributes = attributes(&value)?,
                "reconnect" => is_resume = flag(&value),
                "sid" => sid = value,
                _ => {}
            }
        }
        params.resume = is_resume.then_some(sid);
        Ok(params)
    }

    /// Reads the pairs of a query of the direct API, likewise.
    pub(crate) fn read_direct(pairs: Vec<(String, String)>) -> Self {
        let mut params = Self {
            direct: true,
            ..Self::default()
        };
        for (name, value) in pairs {
            match name.as_str() {
                "access_token" => params.access_token = Some(value),
                "room" => params.room = Some(value),
                "participant" => params.resume = Some(value),
                "sdk" => params.client.sdk = text(&value).to_ascii_lowercase(),
                _ => {}
            }
        }
        params
    }
}

impl Default for Params {
    fn default() -> Self {
        Self {
            access_token: None,
            encoding: Encoding::Protobuf,
            client: ClientInfo::default(),
            auto_subscribe: true,
            adaptive_stream: false,
            allow_pause: false,
            publish: None,
            attributes: BTreeMap::new(),
            resume: None,
            direct: false,
            room: None,
        }
    }
}

fn flag(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

fn number(value: &str, name: &'static str) -> Result<i32, BadParam> {
    value
        .parse()
        .ok()
        .filter(|number| *number >= 0)
        .ok_or(BadParam(name))
}

fn text(value: &str) -> String {
    value
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

/// Names with commas between; those we do not know are left out.
fn capabilities(value: &str) -> Vec<i32> {
    let known = |name: &str| Capability::from_str_name(name).map(i32::from);
    value
        .split(',')
        .filter_map(|name| known(name.trim()))
        .take(MAX_CAPABILITIES)
        .collect()
}

/// JSON of texts in base64; SDKs differ in alphabet and padding.
fn attributes(value: &str) -> Result<BTreeMap<String, String>, BadParam> {
    const BAD: BadParam = BadParam("attributes");
    if value.is_empty() {
        return Ok(BTreeMap::new());
    }
    let alphabet: String = value
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            // A plus that was not escaped arrives as a space.
            '+' | ' ' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    let json = URL_SAFE_NO_PAD.decode(alphabet).map_err(|_| BAD)?;
    serde_json::from_slice(&json).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Params, BadParam> {
        Params::read(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn a_browser_says_all_of_it() {
        let params = read(&[
            ("access_token", "t"),
            ("auto_subscribe", "0"),
            ("sdk", "JS"),
            ("version", "2.23.0"),
            ("protocol", "17"),
            ("client_protocol", "2"),
            ("os", "Linux"),
            ("os_version", "6"),
            ("browser", "chrome"),
            ("browser_version", "140"),
            ("device_model", "unknown\n"),
            ("network", "wifi"),
            (
                "capabilities",
                "CAP_PACKET_TRAILER, CAP_NEW,CAP_COMPRESSION_DEFLATE_RAW",
            ),
            ("adaptive_stream", "1"),
            ("subscriber_allow_pause", "true"),
            ("attributes", "eyJhIjoiYiJ9"),
            ("publish", ""),
        ]);
        let expected = Params {
            access_token: Some("t".into()),
            auto_subscribe: false,
            adaptive_stream: true,
            allow_pause: true,
            attributes: [("a".to_owned(), "b".to_owned())].into(),
            client: ClientInfo {
                sdk: "js".into(),
                version: "2.23.0".into(),
                os: "Linux".into(),
                browser: "chrome".into(),
                browser_version: "140".into(),
                device_model: "unknown".into(),
                protocol: 17,
                client_protocol: 2,
                capabilities: vec![1, 2],
            },
            ..Params::default()
        };
        assert!(params == Ok(expected));
    }

    #[test]
    fn a_resume_names_its_stay() {
        for (pairs, expected) in [
            (&[("reconnect", "1"), ("sid", "PA_a")][..], Some("PA_a")),
            (&[("sid", "PA_a"), ("reconnect", "true")], Some("PA_a")),
            (&[("reconnect", "1")], Some("")),
            (&[("reconnect", "0"), ("sid", "PA_a")], None),
            (&[("sid", "PA_a")], None),
        ] {
            let resume = read(pairs).map(|params| params.resume);
            assert_eq!(resume, Ok(expected.map(str::to_owned)), "{pairs:?}");
        }
    }

    #[test]
    fn attributes_come_in_any_base64() {
        // {"k":"~~~>>>???"} uses both characters in which the alphabets differ.
        for value in [
            "eyJrIjoifn5-Pj4-Pz8_In0",
            "eyJrIjoifn5+Pj4+Pz8/In0=",
            "eyJrIjoifn5 Pj4 Pz8/In0=",
        ] {
            let attributes = read(&[("attributes", value)]).map(|params| params.attributes);
            let expected = [("k".to_owned(), "~~~>>>???".to_owned())].into();
            assert_eq!(attributes, Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, value) in [
            ("attributes", "%"),
            ("attributes", "eyJhIjoxfQ"),
            ("attributes", "W10"),
            ("protocol", "x"),
            ("protocol", "-1"),
            ("client_protocol", "99999999999"),
        ] {
            assert_eq!(
                read(&[(name, value)]).map(|_| ()),
                Err(BadParam(name)),
                "{name}={value}"
            );
        }
    }

    #[test]
    fn texts_are_cut() {
        let long = "x".repeat(1000);
        let params = read(&[("version", &long)]).map(|params| params.client.version.len());
        assert_eq!(params, Ok(MAX_TEXT));
    }
}
