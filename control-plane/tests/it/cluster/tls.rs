//! Processes that know each other by certificates, on both sides (RFC 8446), without a secret.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{
    fs,
    path::{Path, PathBuf},
    slice,
};

use plenum_proto::node::{StatusRequest, node_client::NodeClient};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::transport::Endpoint;

use super::{
    join, node_of,
    processes::{ControlPlane, Sfu},
};

/// An authority, and one certificate of it for everybody, as files that go with it.
struct Authority(PathBuf);

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
        for (file, pem) in [
            ("ca.pem", ca.pem()),
            ("tls.pem", leaf.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            fs::write(folder.join(file), pem).unwrap();
        }
        Self(folder)
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
