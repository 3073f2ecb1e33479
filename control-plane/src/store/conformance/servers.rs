//! Real etcd servers for the tests of this crate, those of its insides and those of its programs alike; where etcd is
//! not installed, tests say so and pass. Owns the processes and their files. Must not know the store.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

/// Longer than it takes them to find each other.
const PATIENCE: Duration = Duration::from_secs(20);

/// Members of an etcd of our own. Dropped, they are killed.
pub(crate) struct Servers {
    members: Vec<Member>,
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
pub(crate) async fn start(count: usize) -> Option<Servers> {
    let binary = binary()?;
    // Held until the servers are told of them, so that no two are the same.
    let ports: Vec<TcpListener> = (0..count * 2)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    let url = |n: usize| format!("http://{}", ports[n].local_addr().expect("an address"));
    let peers: Vec<String> = (0..count)
        .map(|n| format!("m{n}={}", url(count + n)))
        .collect();
    let arguments: Vec<_> = (0..count).map(|n| (url(n), url(count + n))).collect();
    drop(ports);
    let members = arguments
        .into_iter()
        .enumerate()
        .map(|(n, (url, peer))| {
            let name = format!("plenum-test-{:016x}.etcd", rand::random::<u64>());
            let folder = std::env::temp_dir().join(name);
            let child = Command::new(&binary)
                .args(["--name", &format!("m{n}"), "--log-level", "error"])
                .args(["--listen-client-urls", &url])
                .args(["--advertise-client-urls", &url])
                .args(["--listen-peer-urls", &peer])
                .args(["--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &peers.join(",")])
                .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
                .arg("--data-dir")
                .arg(&folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("etcd starts");
            Member { child, folder, url }
        })
        .collect();
    let servers = Servers { members };
    let deadline = Instant::now() + PATIENCE;
    while !servers.is_healthy().await {
        assert!(Instant::now() < deadline, "etcd does not come up");
        sleep(Duration::from_millis(50)).await;
    }
    Some(servers)
}

impl Servers {
    /// Where clients reach them.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.url.clone())
            .collect()
    }

    async fn is_healthy(&self) -> bool {
        for member in &self.members {
            if !ask(&member.url, "/health")
                .await
                .contains(r#""health":"true""#)
            {
                return false;
            }
        }
        true
    }

    async fn leader(&self) -> usize {
        for (at, member) in self.members.iter().enumerate() {
            let metrics = ask(&member.url, "/metrics").await;
            if metrics
                .lines()
                .any(|line| line == "etcd_server_is_leader 1")
            {
                return at;
            }
        }
        panic!("nobody leads");
    }

    /// Kills the member that leads.
    pub(crate) async fn kill_leader(&mut self) {
        let leader = self.leader().await;
        drop(self.members.remove(leader));
    }

    /// Stops the process that leads, which keeps its connections.
    pub(crate) async fn stop_leader(&self) -> Stopped<'_> {
        let member = &self.members[self.leader().await];
        signal(&member.child, "-STOP");
        let deadline = Instant::now() + PATIENCE;
        while !is_stopped(member.child.id()) {
            assert!(Instant::now() < deadline, "etcd does not stop");
            sleep(Duration::from_millis(1)).await;
        }
        Stopped(member)
    }
}

/// A process that does nothing until this is dropped.
pub(crate) struct Stopped<'a>(&'a Member);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        signal(&self.0.child, "-CONT");
    }
}

/// Whether none of its threads runs any more: on a busy machine they go on for a while after the signal. proc(5) has the
/// state behind the name, which stands in parentheses.
fn is_stopped(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_none_or(|state| state.starts_with('T'))
    })
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let told = Command::new("kill")
        .args([name, &pid])
        .status()
        .expect("kill runs");
    assert!(told.success());
}

/// What a member says at a path; "" when it does not answer.
async fn ask(url: &str, path: &str) -> String {
    let address = url.trim_start_matches("http://");
    let mut text = String::new();
    if let Ok(mut tcp) = TcpStream::connect(address).await {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        if tcp.write_all(request.as_bytes()).await.is_ok() {
            let _ = tcp.read_to_string(&mut text).await;
        }
    }
    text
}
