//! `plenum check`: which ways to the media work from here. Must not know how that is found out.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use plenum_service::cli::AnyError;

use crate::{
    auth::{Keys, MintRequest, VideoGrants},
    banner::base_url,
    check::{self, JoinError, Question, Verdict},
    config::Front,
};

/// Exit status: calls work, though not by every way.
const SOME_WORK: i32 = 1;
/// Exit status: calls do not work.
const NONE_WORK: i32 = 2;

/// Whom to ask. Exit status: 0 when everything offered works, 1 when calls work but not by every way, 2
/// when they do not.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Address of the server; that of this machine unless given.
    #[arg(long)]
    url: Option<String>,
    /// Token that admits to a room.
    #[arg(long, conflicts_with_all = ["api_key", "api_secret"])]
    token: Option<String>,
    /// API key to make a token with; the first one of the configuration unless given.
    #[arg(long, requires = "api_secret")]
    api_key: Option<String>,
    /// Its secret.
    #[arg(long, requires = "api_key")]
    api_secret: Option<String>,
    /// Certificate authorities to trust besides those of the system (PEM).
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
}

impl Check {
    /// Asks; what to print, and the exit status.
    pub(super) async fn ask(self, config: &Front) -> Result<(String, i32), AnyError> {
        let token = match self.token.clone() {
            Some(token) => token,
            None => self.make_token(config)?,
        };
        let question = Question {
            url: self.url.unwrap_or_else(|| base_url(config.http.listen)),
            token,
            authorities: self.authorities,
        };
        Ok(match check::run(&question).await {
            Ok(report) => {
                let status = match report.verdict() {
                    Verdict::Everything => 0,
                    Verdict::Something => SOME_WORK,
                    Verdict::Nothing => NONE_WORK,
                };
                (report.to_string(), status)
            }
            Err(error) => (failed(&error), NONE_WORK),
        })
    }

    fn make_token(&self, config: &Front) -> Result<String, AnyError> {
        let keys = match (&self.api_key, &self.api_secret) {
            (Some(key), Some(secret)) => Keys::new([(key.as_str(), secret.as_str())])?,
            _ => {
                let pairs = config.keys.iter();
                Keys::new(pairs.map(|(name, secret)| (name.as_str(), secret.expose())))?
            }
        };
        let key = keys.names().next().unwrap_or_default().to_owned();
        // A room of its own, which is gone soon after.
        let own = format!("check-{:016x}", rand::random::<u64>());
        let request = MintRequest {
            identity: own.clone(),
            ttl: Duration::from_secs(60),
            grants: VideoGrants {
                room_join: true,
                room: own,
                hidden: true,
                ..VideoGrants::default()
            },
            ..MintRequest::default()
        };
        Ok(keys.mint(&key, request)?)
    }
}

fn failed(error: &JoinError) -> String {
    format!("signalling  FAILS    {error}\nNothing else is known before signalling works.\n")
}
