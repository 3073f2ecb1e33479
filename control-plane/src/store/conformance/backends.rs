//! Fresh stores for the conformance suite. etcd is a real server, started for the test; where it is not installed,
//! its tests say so and pass.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::super::{Commit, Embedded, Etcd, EtcdConfig, SharedStore};
use super::PATIENCE;

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

/// Members of an etcd of our own.
pub(crate) struct Servers {
    members: Vec<Member>,
    prefix: String,
}

struct Member {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The server: `PLENUM_TEST_ETCD` names it, or it is in the path.
fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("PLENUM_TEST_ETCD").map(PathBuf::from);
    let found = named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("etcd"))
            .find(|file| file.is_file())
    });
    if found.is_none() {
        eprintln!("skipped: etcd is not installed (see .ci/run)");
    }
    found
}

/// So many members that have found each other.
pub(crate) async fn etcd(count: usize) -> Option<Servers> {
    let binary = binary()?;
    // Held until the servers are told of them, so that no two are the same.
    let ports: Vec<TcpListener> = (0..count * 2)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let url = |n: usize| format!("http://{}", ports[n].local_addr().unwrap());
    let peers: Vec<String> = (0..count)
        .map(|n| format!("m{n}={}", url(count + n)))
        .collect();
    let arguments: Vec<_> = (0..count)
        .map(|n| (url(n), url(count + n), temporary("etcd")))
        .collect();
    drop(ports);
    let members = arguments
        .into_iter()
        .enumerate()
        .map(|(n, (url, peer, folder))| {
            let child = Command::new(&binary)
                .args(["--name", &format!("m{n}"), "--log-level", "error"])
                .args([
                    "--listen-client-urls",
                    &url,
                    "--advertise-client-urls",
                    &url,
                ])
                .args([
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                ])
                .args(["--initial-cluster", &peers.join(",")])
                .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
                .arg("--data-dir")
                .arg(&folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            Member { child, folder, url }
        })
        .collect();
    let servers = Servers {
        members,
        prefix: format!("/test-{:08x}/", rand::random::<u32>()),
    };
    let store = servers.store();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = store.commit(Commit::default().put("ready", "1")).await {
        assert!(Instant::now() < deadline, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
    Some(servers)
}

impl Servers {
    /// A store of one replica.
    pub(crate) fn store(&self) -> SharedStore {
        let config = EtcdConfig {
            endpoints: self
                .members
                .iter()
                .map(|member| member.url.clone())
                .collect(),
            prefix: self.prefix.clone(),
            user: None,
            password: None,
            ca: None,
            timeout: Duration::from_secs(10),
        };
        Arc::new(Etcd::new(&config).unwrap())
    }

    /// Kills the member that leads.
    pub(super) async fn kill_leader(&mut self) {
        let mut leader = None;
        for (at, member) in self.members.iter().enumerate() {
            if is_leader(&member.url).await {
                leader = Some(at);
            }
        }
        drop(self.members.remove(leader.expect("one leads")));
    }
}

/// Whether a member leads, as its metrics have it.
async fn is_leader(url: &str) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.trim_start_matches("http://");
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).await.unwrap();
    text.lines().any(|line| line == "etcd_server_is_leader 1")
}
