//! Which control plane a command asks, and with what token; and what all that list and delete are told. Must not
//! know what is asked.

use std::time::Duration;

use clap::Args;
use plenum_service::{cli::AnyError, config::parse_duration};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{
    auth::{Keys, MintRequest, VideoGrants},
    banner::base_url,
    config::Front,
};

/// How long the token for one command is good.
const TTL: Duration = Duration::from_secs(60);

/// Which control plane is asked.
#[derive(Debug, Args)]
pub(super) struct At {
    /// Address of the API; that of the configuration unless given.
    #[arg(long)]
    url: Option<String>,
    /// API key to sign with; the first one unless given.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
}

/// What is listed of a kind of thing that rooms have.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Room; all unless given.
    #[arg(long, default_value = "")]
    pub(super) room: String,
    #[command(flatten)]
    pub(super) at: At,
}

/// Which one of them goes.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Its id, as `list` tells it.
    pub(super) id: String,
    /// Its room.
    #[arg(long)]
    pub(super) room: String,
    #[command(flatten)]
    pub(super) at: At,
}

/// Puts a token to every call.
#[derive(Clone)]
pub(super) struct Bearer(AsciiMetadataValue);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl At {
    /// A connection on which one may do what the grants say.
    pub(super) async fn connect(
        &self,
        config: &Front,
        grants: VideoGrants,
    ) -> Result<InterceptedService<Channel, Bearer>, AnyError> {
        let url = self.url.clone();
        let url = url.unwrap_or_else(|| base_url(config.http.listen));
        let token = self.token(config, grants)?;
        let mut token: AsciiMetadataValue = format!("Bearer {token}").parse()?;
        token.set_sensitive(true);
        let channel = Endpoint::from_shared(url)?.connect().await?;
        Ok(InterceptedService::new(channel, Bearer(token)))
    }

    fn token(&self, config: &Front, grants: VideoGrants) -> Result<String, AnyError> {
        let pairs = config
            .keys
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose()));
        let keys = Keys::new(pairs)?;
        let first = keys.names().next().unwrap_or_default();
        let request = MintRequest {
            grants,
            ttl: TTL,
            ..MintRequest::default()
        };
        Ok(keys.mint(self.key.as_deref().unwrap_or(first), request)?)
    }
}

/// Reads a duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "must be a duration such as 30s".to_owned())
}
