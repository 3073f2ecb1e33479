//! Calls that happen once however often they are sent: the caller names the call by a key of its own, in the header
//! `idempotency-key`. Owns what is remembered of such calls. Must not know what a call does.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::HeaderMap;
use plenum_proto::v1;
use prost::Message as _;
use tonic::Status;

use super::calls::Calls;
use crate::{
    auth::Verified,
    cluster::PlaceError,
    error::{CallError, Violation},
    store::{Commit, Is, LeaseId, Outcome},
};

/// How long an answer is remembered.
const KEEP: Duration = Duration::from_secs(3600);

/// Bytes of a key.
const MAX_KEY: usize = 128;

tokio::task_local! {
    /// The key of the call that is being answered.
    static KEY: Option<String>;
}

/// Answers a call whose headers are these.
pub(super) async fn scoped<T>(
    headers: &HeaderMap,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let key = match headers.get("idempotency-key").map(|key| key.to_str()) {
        None => None,
        Some(Ok(key)) if !key.is_empty() && key.len() <= MAX_KEY => Some(key.to_owned()),
        Some(_) => {
            return Err(CallError::Invalid(vec![Violation {
                field: "idempotency-key",
                problem: format!("must have 1 to {MAX_KEY} visible ASCII characters"),
            }]));
        }
    };
    KEY.scope(key, call).await
}

impl Calls {
    /// Makes a room, or gives the answer that was given before to the call of the same key.
    pub(super) async fn create_once(
        &self,
        caller: &Verified,
        config: v1::RoomConfig,
    ) -> Result<v1::Room, CallError> {
        let key = KEY.try_with(Clone::clone).ok().flatten();
        let Some(key) = key else {
            return self.cluster.create(config).await;
        };
        let name = format!("idempotency/{}/{key}", caller.api_key());
        let asked = digest(&SHA256, &config.encode_to_vec());
        if let Some(room) = self.remembered(&name, asked.as_ref()).await? {
            return Ok(room);
        }
        let room = self.cluster.create(config).await?;
        let value = [asked.as_ref(), &room.encode_to_vec()].concat();
        let lease = LeaseId::of(&name);
        let store = self.cluster.store();
        store.lease(lease, KEEP).await.map_err(PlaceError::from)?;
        let commit =
            Commit::default()
                .when(&name, Is::Absent)
                .put_leased(&name, Bytes::from(value), lease);
        match store.commit(commit).await.map_err(PlaceError::from)? {
            Outcome::Done(_) => Ok(room),
            // The same call, sent twice at once: both get one answer.
            Outcome::Conflict => {
                let first = self.remembered(&name, asked.as_ref()).await?;
                Ok(first.unwrap_or(room))
            }
        }
    }

    /// The answer that was given to the call of this name.
    async fn remembered(&self, name: &str, asked: &[u8]) -> Result<Option<v1::Room>, CallError> {
        let entry = self.cluster.store().get(name).await;
        let Some(entry) = entry.map_err(PlaceError::from)? else {
            return Ok(None);
        };
        let (before, room) = entry.value.split_at(asked.len().min(entry.value.len()));
        if before != asked {
            let problem = "idempotency-key: was used for another request";
            return Err(Status::failed_precondition(problem).into());
        }
        let room = v1::Room::decode(room).map_err(|_| CallError::UnexpectedReply)?;
        Ok(Some(room))
    }
}
