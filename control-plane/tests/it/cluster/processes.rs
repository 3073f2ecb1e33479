//! The processes of a cluster, started for one test and killed with it, and what they say.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use plenum_proto::v1::{ListNodesRequest, node_service_client::NodeServiceClient};
use tokio::time::{Instant, sleep};

use super::{admin, channel};
use crate::{
    servers::{self, Servers},
    signal::soon,
    support::{PATIENCE, with_token},
};

/// Between two looks at something that has to come about.
const LOOK: Duration = Duration::from_millis(20);

/// A process of ours. Dropped, it is killed as by `kill -9`.
struct Process {
    child: Child,
    /// All that it has written to its log.
    log: Arc<Mutex<String>>,
    /// The line that says where it is.
    line: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    async fn start(program: &Path, settings: &[String]) -> Self {
        let mut command = Command::new(program);
        // Nothing of the environment of the tests may reach it.
        command.env_clear();
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (written, to) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(written).lines().map_while(Result::ok) {
                let mut log = to.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let out = child.stdout.take().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).unwrap();
            line
        });
        let line = soon(read).await.unwrap();
        assert!(
            !line.is_empty(),
            "it does not start: {}",
            log.lock().unwrap()
        );
        Self { child, log, line }
    }

    /// The word after `before` in its line.
    fn word(&self, before: &str) -> String {
        let (_, rest) = self.line.split_once(before).unwrap();
        let word = rest.split([' ', ',', '\n']).next().unwrap();
        word.trim_start_matches("http://").to_owned()
    }
}

/// A `control-plane`.
pub(super) struct ControlPlane {
    _process: Process,
    pub(super) http: SocketAddr,
    pub(super) cluster: String,
}

impl ControlPlane {
    /// With these settings.
    pub(super) async fn start(settings: &[&str]) -> Self {
        let mut all = vec![
            "http.listen=127.0.0.1:0".to_owned(),
            "cluster.listen=127.0.0.1:0".to_owned(),
            "cluster.lease=3s".to_owned(),
        ];
        all.extend(settings.iter().map(|&setting| setting.to_owned()));
        let program = Path::new(env!("CARGO_BIN_EXE_control-plane"));
        let process = Process::start(program, &all).await;
        Self {
            http: process.word("clients at ").parse().unwrap(),
            cluster: process.word("media nodes at "),
            _process: process,
        }
    }

    /// Waits until exactly these nodes are there.
    pub(super) async fn knows(&self, nodes: &[Sfu]) {
        let mut expected: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
        expected.sort_unstable();
        let mut api = NodeServiceClient::new(channel(self).await);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let list = with_token(&admin(""), ListNodesRequest {});
            let listed = api.list_nodes(list).await.unwrap().into_inner().nodes;
            if listed.iter().map(|node| &node.id).eq(&expected) {
                return;
            }
            assert!(Instant::now() < deadline, "{listed:?} are there");
            sleep(LOOK).await;
        }
    }
}

/// An `sfu`.
pub(super) struct Sfu {
    process: Process,
    pub(super) id: String,
    pub(super) cluster: String,
}

impl Sfu {
    /// Where the program is: built with the workspace, beside ours. The tests of this crate alone do not build it.
    fn program() -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_BIN_EXE_control-plane")).with_file_name("sfu");
        if !path.is_file() {
            eprintln!(
                "skipped: {} is not built (cargo build --bins)",
                path.display()
            );
            return None;
        }
        Some(path)
    }

    /// A node that reports to these control planes.
    pub(super) async fn start(to: &[&ControlPlane], settings: &[&str]) -> Option<Self> {
        let to: Vec<&str> = to.iter().map(|control| control.cluster.as_str()).collect();
        let mut all = vec![
            "http.listen=127.0.0.1:0".to_owned(),
            "cluster.listen=127.0.0.1:0".to_owned(),
            format!("cluster.control_planes={}", to.join(",")),
            "node.workers=1".to_owned(),
            "node.udp.listen=127.0.0.1:0".to_owned(),
            "node.tcp.listen=127.0.0.1:0".to_owned(),
            "node.timeouts.drain=1s".to_owned(),
        ];
        all.extend(settings.iter().map(|&setting| setting.to_owned()));
        let process = Process::start(&Self::program()?, &all).await;
        let id = process.line.split(' ').nth(2).unwrap().to_owned();
        let cluster = process.word("control planes at ");
        Some(Self {
            process,
            id,
            cluster,
        })
    }

    /// So many nodes that the first of the control planes knows.
    pub(super) async fn several(count: usize, to: &[&ControlPlane]) -> Option<Vec<Self>> {
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(Self::start(to, &[]).await?);
        }
        to[0].knows(&nodes).await;
        Some(nodes)
    }

    pub(super) fn tell_to_end(&self) {
        let pid = self.process.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(told.success());
    }

    /// Waits for its end; its exit code.
    pub(super) async fn ended(mut self) -> Option<i32> {
        loop {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                return status.code();
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until its log says something.
    pub(super) async fn says(&self, text: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.process.log.lock().unwrap().contains(text) {
                return true;
            }
            sleep(LOOK).await;
        }
        false
    }
}

/// A real etcd of one member.
pub(super) struct Etcd(Servers);

impl Etcd {
    /// None where it is not installed.
    pub(super) async fn start() -> Option<Self> {
        servers::start(1).await.map(Self)
    }

    /// For a control plane.
    pub(super) fn setting(&self) -> String {
        format!("store.etcd.endpoints={}", self.0.urls().join(","))
    }
}
