//! `plenum token create`: a token by hand. Must not check what the holder may ask for: whoever has the
//! secret may sign anything.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;

use crate::{
    auth::{Keys, KeysError, MintError, MintRequest, VideoGrants},
    banner::base_url,
    config::Front,
};

/// What the token is to allow. With an identity it admits that participant to the room.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Room it is for.
    #[arg(long, required_unless_present_any = ["create_rooms", "list_rooms", "manage_nodes", "manage_ingress", "manage_egress"])]
    room: Option<String>,
    /// Participant it admits; without one it is a token for a backend.
    #[arg(long, requires = "room")]
    identity: Option<String>,
    /// Name shown to others.
    #[arg(long, default_value = "")]
    name: String,
    /// Free text for the application.
    #[arg(long, default_value = "")]
    metadata: String,
    /// Attribute of the participant; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = plenum_service::cli::pair)]
    attribute: Vec<(String, String)>,
    /// How long it is valid.
    #[arg(long, default_value = "6h", value_parser = ttl)]
    ttl: Duration,
    /// May do everything in the room.
    #[arg(long, requires = "room")]
    admin: bool,
    /// May create and end rooms.
    #[arg(long)]
    create_rooms: bool,
    /// May list rooms, and watch the events of all.
    #[arg(long)]
    list_rooms: bool,
    /// May ask the API for tokens with no more rights than its own.
    #[arg(long)]
    create_tokens: bool,
    /// May see, cordon and drain media nodes.
    #[arg(long)]
    manage_nodes: bool,
    /// May have media taken in that comes without WebRTC.
    #[arg(long)]
    manage_ingress: bool,
    /// May have media sent out without WebRTC.
    #[arg(long)]
    manage_egress: bool,
    /// May not publish audio and video.
    #[arg(long)]
    no_publish: bool,
    /// May not publish data.
    #[arg(long)]
    no_publish_data: bool,
    /// May not subscribe.
    #[arg(long)]
    no_subscribe: bool,
    /// May change its own name, metadata and attributes.
    #[arg(long)]
    update_own_metadata: bool,
    /// Is not shown to others.
    #[arg(long)]
    hidden: bool,
    /// Is an agent.
    #[arg(long)]
    agent: bool,
    /// Is a recorder.
    #[arg(long)]
    recorder: bool,
    /// API key to sign with; the first one unless given.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Address of the page for the join link; that of this machine unless given.
    #[arg(long)]
    url: Option<String>,
}

/// Why there is no token; the caller's to mend.
#[derive(Debug, thiserror::Error)]
pub(super) enum CreateError {
    /// The configured keys cannot be used.
    #[error("keys: {0}")]
    Keys(#[from] KeysError),
    /// The token cannot be made.
    #[error("the token cannot be made")]
    Mint(#[from] MintError),
}

impl Create {
    /// The token in a line, and the link to join in another when it admits somebody.
    pub(super) fn text(self, config: &Front) -> Result<String, CreateError> {
        let pairs = config
            .keys
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose()));
        let keys = Keys::new(pairs)?;
        let first = keys.names().next().unwrap_or_default().to_owned();
        let key = self.key.clone().unwrap_or(first);
        let base = self
            .url
            .clone()
            .unwrap_or_else(|| base_url(config.http.listen));
        let joins = self.room.clone().filter(|_| self.identity.is_some());
        let token = keys.mint(&key, self.into_request())?;
        Ok(match joins {
            Some(room) => format!("{token}\n{}\n", join_link(&base, &room, &token)),
            None => format!("{token}\n"),
        })
    }

    fn into_request(self) -> MintRequest {
        let may = |denied: bool| denied.then_some(false);
        let grants = VideoGrants {
            room_create: self.create_rooms,
            room_list: self.list_rooms,
            room_admin: self.admin,
            room_join: self.identity.is_some(),
            room: self.room.unwrap_or_default(),
            can_publish: may(self.no_publish),
            can_publish_data: may(self.no_publish_data),
            can_subscribe: may(self.no_subscribe),
            can_update_own_metadata: self.update_own_metadata.then_some(true),
            hidden: self.hidden,
            agent: self.agent,
            recorder: self.recorder,
            token_create: self.create_tokens,
            node_admin: self.manage_nodes,
            ingress_admin: self.manage_ingress,
            room_record: self.manage_egress,
            ..VideoGrants::default()
        };
        MintRequest {
            identity: self.identity.unwrap_or_default(),
            name: self.name,
            metadata: self.metadata,
            attributes: self.attribute.into_iter().collect::<BTreeMap<_, _>>(),
            kind: if self.agent {
                "agent".to_owned()
            } else {
                String::new()
            },
            grants,
            ttl: self.ttl,
            ..MintRequest::default()
        }
    }
}

/// The token goes into the fragment, which browsers do not send: it stays out of every log.
fn join_link(base: &str, room: &str, token: &str) -> String {
    let mut escaped = String::new();
    for byte in room.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    format!(
        "{}/?room={escaped}#token={token}",
        base.trim_end_matches('/')
    )
}

fn ttl(text: &str) -> Result<Duration, String> {
    plenum_service::config::parse_duration(text)
        .filter(|ttl| *ttl >= Duration::from_secs(1))
        .ok_or_else(|| "must be a duration such as \"6h\" or \"30m\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    fn create(arguments: &str) -> Result<String, clap::Error> {
        use clap::Parser as _;
        let line = Line::try_parse_from(["create"].into_iter().chain(arguments.split(' ')))?;
        Ok(line
            .create
            .text(&crate::config::Config::default().front())
            .expect("the development key signs"))
    }

    #[test]
    fn a_token_holds_what_was_asked_for() {
        let text = create(
            "--room my/room --identity ada --name Ada --ttl 30m --admin --no-publish --hidden \
             --attribute a=b --url https://example.org/",
        );
        let text = text.unwrap();
        let (token, link) = text.trim_end().split_once('\n').unwrap();
        assert_eq!(
            link,
            format!("https://example.org/?room=my%2Froom#token={token}")
        );

        let verified = Keys::new([("devkey", "secret")])
            .unwrap()
            .verify(token)
            .unwrap();
        let grants = verified.grants();
        assert_eq!(
            (verified.identity(), grants.room.as_str()),
            ("ada", "my/room")
        );
        assert!(grants.room_join && grants.room_admin && grants.hidden && !grants.room_create);
        assert_eq!(
            (grants.can_publish, grants.can_subscribe),
            (Some(false), None)
        );
        assert_eq!(verified.claims().name, "Ada");
    }

    #[test]
    fn a_token_of_a_backend_has_no_link() {
        let text = create("--create-rooms --list-rooms").unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for arguments in [
            "--identity ada",
            "--name Ada",
            "--room r --identity a --ttl 5",
            "--list-rooms --admin",
        ] {
            assert!(create(arguments).is_err(), "{arguments}");
        }
    }
}
