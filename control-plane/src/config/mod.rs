//! The configurations of `plenum` and `control-plane`. Owns what may be set and which settings fit
//! together. Must not start anything, nor know how settings are read: `plenum_service` does.

mod front;
mod ice;
mod sections;
mod signal;

use plenum_service::config::{Configuration, Key, Mistakes};

pub use front::Front;
pub use plenum_service::config::{
    ByteSize, ConfigError, HttpConfig, LogConfig, LogFormat, Secret, TelemetryConfig,
};
pub use sections::{
    ApiConfig, ClusterConfig, ClusterStoreConfig, Config, ControlPlaneConfig, DEV_KEY, DEV_SECRET,
    EtcdSection, StoreConfig, WebConfig, WhipConfig,
};

impl Configuration for Config {
    const PROGRAM: &'static str = "plenum";

    fn check(&self, mistakes: &mut Mistakes) {
        self.front().check(mistakes);
        self.node.check(mistakes);
    }
}

impl Configuration for ControlPlaneConfig {
    const PROGRAM: &'static str = "control-plane";

    fn check(&self, mistakes: &mut Mistakes) {
        self.front().check(mistakes);
        let cluster = &self.cluster;
        cluster.tls.check("cluster.tls", mistakes);
        plenum_service::cluster::check_secret(&cluster.secret, mistakes);
        plenum_service::cluster::check_listen(
            cluster.listen,
            &cluster.secret,
            &cluster.tls,
            mistakes,
        );
        check_etcd(&self.store, mistakes);
        if cluster.lease < MIN_LEASE {
            mistakes.add(&Key::of("cluster.lease"), "must be at least 3s");
        }
    }
}

fn check_etcd(store: &ClusterStoreConfig, mistakes: &mut Mistakes) {
    let etcd = &store.etcd;
    let key = Key::of("store.etcd.endpoints");
    for endpoint in &etcd.endpoints {
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            mistakes.add(
                &key,
                format!("{endpoint} must begin with http:// or https://"),
            );
        }
    }
    if store.path.is_some() && !etcd.endpoints.is_empty() {
        mistakes.add(
            &Key::of("store.path"),
            "has no use beside store.etcd.endpoints",
        );
    }
    if etcd.user.is_some() != etcd.password.is_some() {
        mistakes.add(
            &Key::of("store.etcd.user"),
            "goes together with store.etcd.password",
        );
    }
    mistakes.refuse_zero("store.etcd.timeout", etcd.timeout.is_zero());
}

/// Shorter ones would take a node for dead that had to wait for a disk.
const MIN_LEASE: std::time::Duration = std::time::Duration::from_secs(3);

#[cfg(test)]
mod tests;
