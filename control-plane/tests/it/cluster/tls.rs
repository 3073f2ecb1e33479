//! Processes that know each other by certificates, on both sides (RFC 8446), without a secret.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{
    fs,
    path::{Path, PathBuf},
    slice,
};

use plenum_proto::node::{StatusRequest, node_client::NodeClient};
use plenum_service::{
    cluster::{TlsConfig, Trust},
    config::Secret,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::{Code, transport::Endpoint};

use super::{
    join, node_of,
    processes::{ControlPlane, Sfu},
};
use crate::signal::soon;

/// An authority, and one certificate of it for everybody, as files that go with it.
struct Authority(PathBuf);

const FILES: [&str; 3] = ["ca.pem", "tls.pem", "key.pem"];

impl Authority {
    fn new() -> Self {
        let name = format!("tls-{:016x}", rand::random::<u64>());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["plenum".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let texts = [ca.pem(), leaf.pem(), key.serialize_pem()];
        for (file, pem) in FILES.into_iter().zip(texts) {
            fs::write(folder.join(file), pem).unwrap();
        }
        Self(folder)
    }

    /// Its files take the place of another's, as a renewal does it.
    fn replaces(&self, other: &Self) {
        for file in FILES {
            let copy = other.0.join("new");
            fs::copy(self.0.join(file), &copy).unwrap();
            fs::rename(copy, other.0.join(file)).unwrap();
        }
    }

    /// Whether a process at an address takes who shows its certificate, and shows one of its own.
    async fn is_known_at(&self, address: &str) -> bool {
        let file = |name: &str| Some(self.0.join(name).display().to_string());
        let tls = TlsConfig {
            ca: file("ca.pem"),
            certificate: file("tls.pem"),
            key: file("key.pem"),
            ..TlsConfig::default()
        };
        let trust = Trust::new(&Secret::new(""), &tls).unwrap();
        let channel = trust.channel(address).unwrap();
        match soon(NodeClient::new(channel).status(StatusRequest {})).await {
            Ok(_) => true,
            // A control plane answers that it is no node.
            Err(status) => status.code() == Code::Unimplemented,
        }
    }

    fn settings(&self) -> [String; 3] {
        [
            ("ca", "ca.pem"),
            ("certificate", "tls.pem"),
            ("key", "key.pem"),
        ]
        .map(|(key, file)| format!("cluster.tls.{key}={}", self.0.join(file).display()))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn certificates_make_a_cluster_and_keep_strangers_out() {
    let (own, strange) = (Authority::new(), Authority::new());
    let settings = own.settings();
    let settings = settings.each_ref().map(String::as_str);
    let control = ControlPlane::start(&settings).await;
    let Some(node) = Sfu::start(&[&control], &settings).await else {
        return;
    };
    control.knows(slice::from_ref(&node)).await;
    let (mut ann, joined) = join(&control, "tea", "ann").await;
    assert_eq!(node_of(&joined), node.id);
    ann.settle().await;
    // Neither without certificates nor with those of another authority.
    let plain = Endpoint::from_shared(format!("http://{}", node.cluster)).unwrap();
    let mut client = NodeClient::new(plain.connect_lazy());
    client.status(StatusRequest {}).await.unwrap_err();
    let settings = strange.settings();
    let settings = settings.each_ref().map(String::as_str);
    let stranger = Sfu::start(&[&control], &settings).await.unwrap();
    assert!(stranger.says("no control plane takes reports").await);
    control.knows(slice::from_ref(&node)).await;
}

/// New connections take what is in the files now; what is open goes on, and what is broken changes nothing.
#[tokio::test]
async fn renewed_certificates_are_taken_without_a_restart() {
    let (files, renewed) = (Authority::new(), Authority::new());
    let old = Authority::new();
    old.replaces(&files);
    let settings = files.settings();
    let settings = settings.each_ref().map(String::as_str);
    let control = ControlPlane::start(&settings).await;
    let Some(first) = Sfu::start(&[&control], &settings).await else {
        return;
    };
    control.knows(slice::from_ref(&first)).await;
    let (mut ann, _) = join(&control, "tea", "ann").await;
    ann.settle().await;

    fs::write(files.0.join("tls.pem"), "no certificate").unwrap();
    assert!(old.is_known_at(&first.cluster).await);
    assert!(old.is_known_at(&control.cluster).await);
    assert!(first.says("tls.pem cannot be used").await);

    renewed.replaces(&files);
    for at in [&first.cluster, &control.cluster] {
        assert!(renewed.is_known_at(at).await, "the new one is known");
        assert!(!old.is_known_at(at).await, "the old one is not");
    }
    // Each side connects to the other with the new ones, and the first node has gone on all the while.
    let second = Sfu::start(&[&control], &settings).await.unwrap();
    let nodes = [first, second];
    control.knows(&nodes).await;
    ann.settle().await;
    let [first, second] = nodes;
    drop(first);
    control.knows(slice::from_ref(&second)).await;
    let (mut ben, joined) = join(&control, "tea", "ben").await;
    assert_eq!(node_of(&joined), second.id);
    ben.settle().await;
}
