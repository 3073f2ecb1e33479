//! Credentials of TURN that need no database: a user name that says when it ends and whose it is, and
//! a password that only the holder of a secret can make of it.
//!
//! Owns the form of user names, making credentials and judging them. Must not know what is done with
//! them. The form is the one of "A REST API For Access To TURN Services"
//! (draft-uberti-behave-turn-rest): other TURN servers that share the secret take them, too.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose};

/// Bytes of the tag that stands for a participant.
const TAG_BYTES: usize = 12;

/// Longest user name of ours.
const MAX_USERNAME: usize = 64;

/// What a TURN server and those who hand out its credentials share.
#[derive(Clone)]
pub struct TurnSecret {
    password: hmac::Key,
    tag: hmac::Key,
}

/// What a client shows to a TURN server.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// When it ends (seconds since 1970), a colon, and whose it is.
    pub username: String,
    /// Made of the user name and the secret.
    pub password: String,
}

/// Why a user name is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsernameError {
    /// Not of the form that is handed out.
    #[error("the user name was not made here")]
    Foreign,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
}

impl TurnSecret {
    /// Of the text that is configured.
    pub fn new(text: &str) -> Self {
        Self {
            password: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()),
            tag: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()),
        }
    }

    /// One that nobody knows, for the life of the process.
    pub fn random() -> Self {
        Self::new(&general_purpose::STANDARD.encode(rand::random::<[u8; 32]>()))
    }

    /// A credential for a participant of a room. The same participant has the same tag each time, so
    /// that what it uses is counted together; the tag tells neither room nor identity.
    pub fn mint(&self, room: &str, identity: &str, now: SystemTime, ttl: Duration) -> Credential {
        let mut context = hmac::Context::with_key(&self.tag);
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        context.update(&room.len().to_be_bytes());
        context.update(room.as_bytes());
        context.update(identity.as_bytes());
        let tag = context.sign();
        let tag = tag.as_ref().get(..TAG_BYTES).unwrap_or_default();
        let tag = general_purpose::URL_SAFE_NO_PAD.encode(tag);
        let ends = seconds(now).saturating_add(ttl.as_secs());
        let username = format!("{ends}:{tag}");
        let password = self.password(&username);
        Credential { username, password }
    }

    /// The password that belongs to a user name, whatever the user name says.
    pub(crate) fn password(&self, username: &str) -> String {
        general_purpose::STANDARD.encode(hmac::sign(&self.password, username.as_bytes()))
    }
}

/// Whose a user name is, if it has the form of ours and its time is not over.
pub(crate) fn judge(username: &str, now: SystemTime) -> Result<&str, UsernameError> {
    let (ends, tag) = username
        .split_once(':')
        .filter(|(_, tag)| username.len() <= MAX_USERNAME && !tag.is_empty())
        .ok_or(UsernameError::Foreign)?;
    let ends: u64 = ends.parse().map_err(|_| UsernameError::Foreign)?;
    if ends <= seconds(now) {
        return Err(UsernameError::Expired);
    }
    Ok(tag)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Without the key.
impl fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnSecret(…)")
    }
}

/// Without the password.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn mint(secret: &str, room: &str, identity: &str) -> Credential {
        let now = UNIX_EPOCH + NOW;
        TurnSecret::new(secret).mint(room, identity, now, Duration::from_secs(300))
    }

    #[test]
    fn the_password_is_the_one_that_other_servers_expect() {
        // Base64 of HMAC-SHA1 with the key "north" of this user name, by another implementation.
        let password = TurnSecret::new("north").password("1700000300:ann");
        assert_eq!(password, "LNLZp7pBH06UI6r06K6pl9ucWEU=");
    }

    #[test]
    fn a_user_name_ends_when_it_says() {
        let credential = mint("s", "room", "ann");
        let judged = |seconds| {
            judge(
                &credential.username,
                UNIX_EPOCH + Duration::from_secs(seconds),
            )
        };
        assert!(credential.username.starts_with("1700000300:"));
        assert!(judged(1_700_000_299).is_ok());
        assert_eq!(judged(1_700_000_300), Err(UsernameError::Expired));
    }

    #[test]
    fn a_tag_names_one_participant_of_one_room_and_reveals_neither() {
        let tag = |room, identity| {
            let username = mint("s", room, identity).username;
            judge(&username, UNIX_EPOCH).unwrap().to_owned()
        };
        let ann = tag("room", "ann");
        assert_eq!(ann, tag("room", "ann"));
        for (room, identity) in [("room", "bob"), ("rooma", "nn"), ("other", "ann")] {
            assert_ne!(ann, tag(room, identity), "{room} {identity}");
        }
        assert_ne!(
            mint("s", "room", "ann").password,
            mint("t", "room", "ann").password
        );
    }

    #[test]
    fn other_user_names_are_foreign() {
        let long = format!("1700000300:{}", "a".repeat(64));
        for username in [
            "",
            "ann",
            "ann:1700000300",
            "1700000300:",
            "-1:ann",
            ":ann",
            &long,
        ] {
            let judged = judge(username, UNIX_EPOCH);
            assert_eq!(judged, Err(UsernameError::Foreign), "{username}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?} {:?}", TurnSecret::new("hidden"), mint("s", "r", "i"));
        assert!(!printed.contains("hidden") && !printed.contains(&mint("s", "r", "i").password));
    }
}
