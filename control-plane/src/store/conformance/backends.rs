//! Fresh stores for the conformance suite. etcd is a real server, started for the test.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::super::{Embedded, Etcd, EtcdConfig, SharedStore};
use super::{PATIENCE, servers};

pub(super) fn in_memory() -> SharedStore {
    Arc::new(Embedded::in_memory())
}

/// A file that goes away with its owner.
pub(super) struct TempFile(PathBuf);

pub(super) fn in_a_file() -> (SharedStore, TempFile) {
    let file = TempFile(temporary("redb"));
    (Arc::new(Embedded::open(&file.0).unwrap()), file)
}

impl TempFile {
    /// Once the store that has it has let go.
    pub(super) async fn open_again(&self) -> SharedStore {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Embedded::open(&self.0) {
                Ok(store) => return Arc::new(store),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn temporary(what: &str) -> PathBuf {
    std::env::temp_dir().join(format!("plenum-test-{:016x}.{what}", rand::random::<u64>()))
}

/// An etcd of our own, and what keeps its tests apart.
pub(crate) struct Backend {
    pub(crate) servers: servers::Servers,
    prefix: String,
}

/// So many members that have found each other.
pub(crate) async fn etcd(count: usize) -> Option<Backend> {
    Some(Backend {
        servers: servers::start(count).await?,
        prefix: format!("/test-{:08x}/", rand::random::<u32>()),
    })
}

impl Backend {
    /// A store of one replica.
    pub(crate) fn store(&self) -> SharedStore {
        self.store_at(self.servers.urls(), Duration::from_secs(10))
    }

    /// One that reaches it at other addresses, and waits so long for an answer.
    pub(super) fn store_at(&self, endpoints: Vec<String>, timeout: Duration) -> SharedStore {
        let config = EtcdConfig {
            endpoints,
            prefix: self.prefix.clone(),
            user: None,
            password: None,
            ca: None,
            timeout,
        };
        Arc::new(Etcd::new(&config).unwrap())
    }
}
