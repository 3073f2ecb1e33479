//! The store in etcd (3.4 and later), for any number of control planes. Owns the translation of the contract into
//! etcd's v3 API. Must not retry a commit whose outcome is not known: its caller looks what became of it.
//!
//! All keys stand below one prefix, so that several clusters can share an etcd. A lease has the name that its
//! holder chose, so that any replica can renew it.

mod connection;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use plenum_service::config::Secret;
use tonic::{Code, Status, Streaming};

use super::{
    Change, Changes, Commit, Entry, Is, LeaseId, Listed, Outcome, Revision, Store, StoreError,
    Write,
};
use connection::Connection;

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    unreachable_pub,
    missing_docs,
    reason = "generated code"
)]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

use pb::{
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request as Op,
};

/// Entries of one answer; an answer is at most 4 MiB long.
const PAGE: i64 = 1000;

/// Which etcd, and as whom.
#[derive(Debug, Clone, PartialEq)]
pub struct EtcdConfig {
    /// "http://host:2379" or "https://host:2379", any number of members.
    pub endpoints: Vec<String>,
    /// In front of all keys.
    pub prefix: String,
    /// Where etcd asks for a user.
    pub user: Option<String>,
    /// The user's.
    pub password: Option<Secret>,
    /// File with the certificates that https endpoints are checked with; the system's when not set.
    pub ca: Option<String>,
    /// Time for one request.
    pub timeout: Duration,
}

/// The store in etcd.
pub struct Etcd {
    connection: Connection,
    prefix: String,
}

impl Etcd {
    /// A store at these endpoints; it connects when it is first used.
    ///
    /// # Errors
    /// Endpoints or files that cannot be used.
    pub fn new(config: &EtcdConfig) -> Result<Self, StoreError> {
        Ok(Self {
            connection: Connection::new(config)?,
            prefix: config.prefix.clone(),
        })
    }

    fn key(&self, key: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_bytes()].concat()
    }

    /// A key of etcd's as ours.
    fn name(&self, key: &[u8]) -> Result<String, StoreError> {
        let text = std::str::from_utf8(key).ok();
        text.and_then(|text| text.strip_prefix(&self.prefix))
            .map(str::to_owned)
            .ok_or_else(|| StoreError::Refused("etcd holds a key that is not ours".to_owned()))
    }

    fn entry(&self, kv: pb::KeyValue) -> Result<Entry, StoreError> {
        Ok(Entry {
            key: self.name(&kv.key)?,
            value: kv.value.into(),
            revision: kv.mod_revision.unsigned_abs(),
        })
    }

    fn compare(&self, (key, is): &(String, Is)) -> pb::Compare {
        let (result, target, value) = match is {
            Is::Absent => (
                CompareResult::Equal,
                CompareTarget::Create,
                TargetUnion::CreateRevision(0),
            ),
            Is::Present => (
                CompareResult::Greater,
                CompareTarget::Create,
                TargetUnion::CreateRevision(0),
            ),
            Is::At(revision) => (
                CompareResult::Equal,
                CompareTarget::Mod,
                TargetUnion::ModRevision(signed(*revision)),
            ),
        };
        pb::Compare {
            result: result.into(),
            target: target.into(),
            key: self.key(key),
            target_union: Some(value),
        }
    }

    fn op(&self, write: Write) -> pb::RequestOp {
        let request = match write {
            Write::Put { key, value, lease } => Op::RequestPut(pb::PutRequest {
                key: self.key(&key),
                value: value.into(),
                lease: lease.map_or(0, |lease| signed(lease.0)),
            }),
            Write::Delete { key } => Op::RequestDeleteRange(pb::DeleteRangeRequest {
                key: self.key(&key),
            }),
        };
        pb::RequestOp {
            request: Some(request),
        }
    }
}

#[tonic::async_trait]
impl Store for Etcd {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let request = pb::RangeRequest {
            key: self.key(key),
            ..pb::RangeRequest::default()
        };
        let answer = self.connection.range(request).await?;
        answer
            .kvs
            .into_iter()
            .next()
            .map(|kv| self.entry(kv))
            .transpose()
    }

    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Listed, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut revision = 0;
        let end = end_of(self.key(prefix));
        let mut from = if after > prefix {
            next_after(self.key(after))
        } else {
            self.key(prefix)
        };
        loop {
            let left = i64::try_from(limit - entries.len()).unwrap_or(i64::MAX);
            let page = left.min(PAGE);
            let request = pb::RangeRequest {
                key: from,
                range_end: end.clone(),
                limit: page,
                sort_order: pb::range_request::SortOrder::Ascend.into(),
                ..pb::RangeRequest::default()
            };
            let answer = self.connection.range(request).await?;
            // Pages are of different moments: a watch has to begin at the oldest.
            if revision == 0 {
                revision = revision_of(answer.header.as_ref());
            }
            let is_last = i64::try_from(answer.kvs.len()).unwrap_or(i64::MAX) < page;
            for kv in answer.kvs {
                entries.push(self.entry(kv)?);
            }
            let Some(last) = entries.last().filter(|_| !is_last && entries.len() < limit) else {
                return Ok(Listed { entries, revision });
            };
            from = next_after(self.key(&last.key));
        }
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let request = pb::TxnRequest {
            compare: commit.conditions.iter().map(|c| self.compare(c)).collect(),
            success: commit.writes.into_iter().map(|w| self.op(w)).collect(),
        };
        let answer = match self.connection.txn(request).await {
            Ok(answer) => answer,
            // "requested lease not found": it is gone, and so is the right to write.
            Err(status) if status.code() == Code::NotFound => return Ok(Outcome::Conflict),
            Err(status) => return Err(error(&status)),
        };
        Ok(if answer.succeeded {
            Outcome::Done(revision_of(answer.header.as_ref()))
        } else {
            Outcome::Conflict
        })
    }

    async fn lease(&self, id: LeaseId, ttl: Duration) -> Result<bool, StoreError> {
        if self.connection.keep_alive(signed(id.0)).await? {
            return Ok(false);
        }
        let ttl = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
        self.connection.grant(signed(id.0), ttl).await
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.connection.revoke(signed(id.0)).await
    }

    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Changes, StoreError> {
        let create = pb::WatchCreateRequest {
            key: self.key(prefix),
            range_end: end_of(self.key(prefix)),
            start_revision: signed(revision) + 1,
            progress_notify: false,
        };
        let (ask, answers) = self.connection.watch(create).await?;
        let watching = Watching {
            answers,
            _ask: ask,
            prefix: self.prefix.clone(),
        };
        Ok(stream::unfold(Some(watching), next_changes)
            .flatten()
            .boxed())
    }
}

struct Watching {
    answers: Streaming<pb::WatchResponse>,
    /// The watch lives as long as its requests are not at their end.
    _ask: tokio::sync::mpsc::Sender<pb::WatchRequest>,
    prefix: String,
}

type Batched = stream::Iter<std::vec::IntoIter<Result<Change, StoreError>>>;

async fn next_changes(watching: Option<Watching>) -> Option<(Batched, Option<Watching>)> {
    let mut watching = watching?;
    let lost = |why: String| Some((stream::iter(vec![Err(StoreError::Unavailable(why))]), None));
    match watching.answers.message().await {
        Ok(Some(answer)) if answer.canceled || answer.compact_revision > 0 => {
            lost(format!("the watch ended: {}", answer.cancel_reason))
        }
        Ok(Some(answer)) => {
            let changes: Vec<_> = answer
                .events
                .into_iter()
                .filter_map(|event| change(&watching.prefix, event))
                .map(Ok)
                .collect();
            Some((stream::iter(changes), Some(watching)))
        }
        Ok(None) => lost("the watch ended".to_owned()),
        Err(status) => lost(status.message().to_owned()),
    }
}

fn change(prefix: &str, event: pb::Event) -> Option<Change> {
    let is_gone = event.r#type() == pb::event::EventType::Delete;
    let kv = event.kv?;
    let key = std::str::from_utf8(&kv.key).ok()?.strip_prefix(prefix)?;
    Some(Change {
        key: key.to_owned(),
        revision: kv.mod_revision.unsigned_abs(),
        value: (!is_gone).then(|| Bytes::from(kv.value)),
    })
}

/// Revisions and leases are signed there, and never negative.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn revision_of(header: Option<&pb::ResponseHeader>) -> Revision {
    header.map_or(0, |header| header.revision.unsigned_abs())
}

/// The first key after all that begin with this.
fn end_of(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return prefix;
        }
    }
    // To the end of all keys.
    vec![0]
}

fn next_after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// What etcd's refusal means.
fn error(status: &Status) -> StoreError {
    let text = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted
        | Code::FailedPrecondition => StoreError::Refused(text),
        _ => StoreError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        assert_eq!(end_of(b"/a/".to_vec()), b"/a0");
        assert_eq!(end_of(vec![1, 255]), vec![2]);
        assert_eq!(end_of(vec![255]), vec![0]);
    }
}
