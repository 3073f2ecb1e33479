//! What every backend of the store has to do, run against each: in memory, in a file, and in etcd where that is
//! installed. A test takes a fresh store and says in its name what it shows.

pub(crate) mod backends;
mod proxy;
mod servers;

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::{Change, Changes, Commit, Is, LeaseId, Outcome, SharedStore};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const LEASE: LeaseId = LeaseId(77);
/// The shortest that etcd keeps to, with a member's own delay.
const TTL: Duration = Duration::from_secs(2);

/// Makes a test of each function for each backend.
macro_rules! conformance {
    ($($name:ident)+) => {
        mod in_memory {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(super::backends::in_memory()).await;
                }
            )+
        }
        mod in_a_file {
            $(
                #[tokio::test]
                async fn $name() {
                    let (store, _file) = super::backends::in_a_file();
                    super::$name(store).await;
                }
            )+
        }
        mod in_etcd {
            $(
                #[tokio::test]
                async fn $name() {
                    if let Some(etcd) = super::backends::etcd(1).await {
                        super::$name(etcd.store()).await;
                    }
                }
            )+
        }
    };
}

conformance! {
    a_commit_happens_as_a_whole_or_not_at_all
    conditions_are_what_they_say
    of_many_who_want_an_entry_one_gets_it
    lists_are_of_a_prefix_in_order_and_in_pages
    a_watch_tells_all_changes_after_a_revision_in_order
    a_lease_keeps_its_entries_as_long_as_it_is_renewed
    a_revoked_lease_takes_its_entries_at_once
    nothing_is_written_under_a_lease_that_is_gone
}

async fn revision(store: &SharedStore, commit: Commit) -> u64 {
    match store.commit(commit).await.unwrap() {
        Outcome::Done(revision) => revision,
        Outcome::Conflict => panic!("a condition does not hold"),
    }
}

async fn value(store: &SharedStore, key: &str) -> Option<String> {
    let entry = store.get(key).await.unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn next(changes: &mut Changes) -> Change {
    let change = timeout(PATIENCE, changes.next()).await;
    change.expect("in time").expect("a change").unwrap()
}

async fn a_commit_happens_as_a_whole_or_not_at_all(store: SharedStore) {
    let both = Commit::default().put("a", "1").put("b", "2");
    let first = revision(&store, both.clone().when("a", Is::Absent)).await;
    let (a, b) = (store.get("a").await.unwrap(), store.get("b").await.unwrap());
    assert_eq!(a.unwrap().revision, first);
    assert_eq!(b.unwrap().revision, first);

    let refused = Commit::default()
        .put("a", "3")
        .delete("b")
        .when("a", Is::Absent);
    assert_eq!(store.commit(refused).await.unwrap(), Outcome::Conflict);
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&store, "b").await.as_deref(), Some("2"));

    let second = revision(&store, Commit::default().delete("b").put("c", "4")).await;
    assert!(second > first);
    assert_eq!(value(&store, "b").await, None);
}

async fn conditions_are_what_they_say(store: SharedStore) {
    let written = revision(&store, Commit::default().put("here", "1")).await;
    for (key, is, holds) in [
        ("here", Is::Present, true),
        ("here", Is::Absent, false),
        ("here", Is::At(written), true),
        ("here", Is::At(written + 1), false),
        ("gone", Is::Present, false),
        ("gone", Is::Absent, true),
        ("gone", Is::At(written), false),
    ] {
        let commit = Commit::default().when(key, is).put("other", "x");
        let outcome = store.commit(commit).await.unwrap();
        assert_eq!(outcome != Outcome::Conflict, holds, "{key} {is:?}");
    }
    let commit = Commit::default()
        .when("here", Is::Present)
        .when("gone", Is::Present);
    assert_eq!(
        store.commit(commit.put("x", "y")).await.unwrap(),
        Outcome::Conflict
    );
}

async fn of_many_who_want_an_entry_one_gets_it(store: SharedStore) {
    let tries = (0..64).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let commit = Commit::default().when("one", Is::Absent);
            store
                .commit(commit.put("one", n.to_string()))
                .await
                .unwrap()
        })
    });
    let mut winners = 0;
    for tried in tries.collect::<Vec<_>>() {
        winners += usize::from(tried.await.unwrap() != Outcome::Conflict);
    }
    assert_eq!(winners, 1);
}

async fn lists_are_of_a_prefix_in_order_and_in_pages(store: SharedStore) {
    let mut last = 0;
    for key in ["p/b", "p/a", "p/c", "q/a", "o/z"] {
        last = revision(&store, Commit::default().put(key, key)).await;
    }
    let keys = async |after: &str, limit| {
        let listed = store.list("p/", after, limit).await.unwrap();
        assert_eq!(listed.revision, last);
        let keys = listed.entries.into_iter().map(|entry| entry.key);
        keys.collect::<Vec<_>>()
    };
    assert_eq!(keys("", 10).await, ["p/a", "p/b", "p/c"]);
    assert_eq!(keys("", 2).await, ["p/a", "p/b"]);
    assert_eq!(keys("p/b", 2).await, ["p/c"]);
    assert_eq!(keys("p/c", 2).await, [""; 0]);
}

async fn a_watch_tells_all_changes_after_a_revision_in_order(store: SharedStore) {
    let first = revision(&store, Commit::default().put("w/a", "1")).await;
    let second = revision(&store, Commit::default().put("w/b", "2").put("v/x", "-")).await;
    let mut changes = store.watch("w/", first).await.unwrap();
    let third = revision(&store, Commit::default().delete("w/a")).await;
    let told = |key: &str, value: Option<&'static str>, revision| Change {
        key: key.to_owned(),
        value: value.map(Into::into),
        revision,
    };
    assert_eq!(next(&mut changes).await, told("w/b", Some("2"), second));
    assert_eq!(next(&mut changes).await, told("w/a", None, third));
    // One that begins later, as after a broken connection, sees the rest and no more.
    let mut resumed = store.watch("w/", second).await.unwrap();
    let fourth = revision(&store, Commit::default().put("w/c", "4")).await;
    assert_eq!(next(&mut resumed).await, told("w/a", None, third));
    assert_eq!(next(&mut resumed).await, told("w/c", Some("4"), fourth));
    assert_eq!(next(&mut changes).await, told("w/c", Some("4"), fourth));
}

async fn a_lease_keeps_its_entries_as_long_as_it_is_renewed(store: SharedStore) {
    assert!(store.lease(LEASE, TTL).await.unwrap(), "it is fresh");
    let begun = revision(&store, Commit::default().put_leased("l", "1", LEASE)).await;
    let mut changes = store.watch("l", begun).await.unwrap();
    let until = Instant::now() + TTL * 2;
    while Instant::now() < until {
        sleep(TTL / 4).await;
        assert!(!store.lease(LEASE, TTL).await.unwrap(), "it was there");
    }
    assert_eq!(value(&store, "l").await.as_deref(), Some("1"));
    // Not renewed any more, it goes, and whoever watches is told.
    let renewed = Instant::now();
    let gone = next(&mut changes).await;
    assert_eq!((gone.key.as_str(), gone.value), ("l", None));
    assert!(renewed.elapsed() >= TTL / 2, "not before its time");
    assert_eq!(value(&store, "l").await, None);
    assert!(store.lease(LEASE, TTL).await.unwrap(), "it is fresh again");
}

async fn a_revoked_lease_takes_its_entries_at_once(store: SharedStore) {
    store.lease(LEASE, Duration::from_secs(60)).await.unwrap();
    let commit = Commit::default()
        .put_leased("l/1", "1", LEASE)
        .put_leased("l/2", "2", LEASE);
    revision(&store, commit.put("kept", "3")).await;
    store.revoke(LEASE).await.unwrap();
    assert_eq!(value(&store, "l/1").await, None);
    assert_eq!(value(&store, "l/2").await, None);
    assert_eq!(value(&store, "kept").await.as_deref(), Some("3"));
    store.revoke(LEASE).await.unwrap();
}

async fn nothing_is_written_under_a_lease_that_is_gone(store: SharedStore) {
    let commit = Commit::default().put_leased("l", "1", LEASE);
    assert_eq!(
        store.commit(commit.clone()).await.unwrap(),
        Outcome::Conflict
    );
    store.lease(LEASE, Duration::from_secs(60)).await.unwrap();
    revision(&store, commit.clone()).await;
    store.revoke(LEASE).await.unwrap();
    assert_eq!(store.commit(commit).await.unwrap(), Outcome::Conflict);
}

/// What was acknowledged is there after the process ended, with its revisions.
#[tokio::test]
async fn a_file_is_read_back() {
    let (store, file) = backends::in_a_file();
    store.lease(LEASE, TTL).await.unwrap();
    let kept = revision(&store, Commit::default().put("a", "1")).await;
    let leased = revision(&store, Commit::default().put_leased("l", "2", LEASE)).await;
    drop(store);
    let store = file.open_again().await;
    assert_eq!(store.get("a").await.unwrap().unwrap().revision, kept);
    assert_eq!(store.get("l").await.unwrap().unwrap().revision, leased);
    let mut changes = store.watch("l", leased).await.unwrap();
    assert!(revision(&store, Commit::default().put("a", "3")).await > leased);
    // Its lease has its whole time again, and no more.
    assert_eq!(next(&mut changes).await.value, None);
}

/// Three members, and the one that leads is killed, then another stopped: commits go on with the majority, and a
/// watch can be taken up without a gap.
#[tokio::test]
async fn etcd_goes_on_without_its_leader() {
    let Some(mut etcd) = backends::etcd(3).await else {
        return;
    };
    let store = etcd.store();
    let begun = revision(&store, Commit::default().put("n/0", "0")).await;
    etcd.servers.kill_leader().await;
    goes_on(&store, begun).await;
}

/// Three members, and the process of the one that leads does nothing for a while, with its connections standing.
#[tokio::test]
async fn etcd_goes_on_while_its_leader_is_stopped() {
    let Some(etcd) = backends::etcd(3).await else {
        return;
    };
    let store = etcd.store_at(etcd.servers.urls(), Duration::from_secs(1));
    let begun = revision(&store, Commit::default().put("n/0", "0")).await;
    let stopped = etcd.servers.stop_leader().await;
    goes_on(&store, begun).await;
    drop(stopped);
    goes_on(&store, begun).await;
}

/// The link to the only member is cut: whoever asks is told so soon, and all goes on when it is whole again.
#[tokio::test]
async fn a_link_that_was_cut_is_taken_up_again() {
    let Some(etcd) = backends::etcd(1).await else {
        return;
    };
    let link = proxy::Link::to(&etcd.servers.urls()[0]).await;
    let store = etcd.store_at(vec![link.url()], Duration::from_secs(1));
    is_told_and_goes_on(&store, || link.cut(), || link.heal()).await;
}

/// The same of a member whose process is stopped.
#[tokio::test]
async fn a_server_that_was_stopped_is_taken_up_again() {
    let Some(etcd) = backends::etcd(1).await else {
        return;
    };
    let store = etcd.store_at(etcd.servers.urls(), Duration::from_secs(1));
    let begun = revision(&store, Commit::default().put("n/0", "0")).await;
    let stopped = etcd.servers.stop_leader().await;
    let asked = Instant::now();
    store.get("n/0").await.unwrap_err();
    assert!(asked.elapsed() < TOLD, "{:?}", asked.elapsed());
    drop(stopped);
    goes_on(&store, begun).await;
}

/// By when whoever asks has to know that the store does not answer, by a timeout of a second.
const TOLD: Duration = Duration::from_secs(4);

async fn is_told_and_goes_on(store: &SharedStore, cut: impl Fn(), heal: impl Fn()) {
    let begun = revision(store, Commit::default().put("n/0", "0")).await;
    let mut changes = store.watch("n/", begun).await.unwrap();
    cut();
    let asked = Instant::now();
    store.get("n/0").await.unwrap_err();
    let commit = Commit::default().put("other", "1");
    store.commit(commit).await.unwrap_err();
    assert!(asked.elapsed() < TOLD * 2, "{:?}", asked.elapsed());
    // A watch ends rather than be silent for ever.
    let ended = timeout(PATIENCE, changes.next()).await;
    assert!(!matches!(ended.expect("in time"), Some(Ok(_))));
    heal();
    goes_on(store, begun).await;
}

/// Commits come through again, and a watch can be taken up without a gap.
async fn goes_on(store: &SharedStore, begun: u64) {
    let mut done = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    let own = rand::random::<u32>();
    for n in 1..=20 {
        let key = format!("n/{own}/{n}");
        // A commit whose outcome is not known is looked at before it is tried again.
        loop {
            assert!(Instant::now() < deadline, "no commit in time");
            let commit = Commit::default()
                .when(&key, Is::Absent)
                .put(&key, n.to_string());
            match store.commit(commit).await {
                Ok(Outcome::Done(revision)) => {
                    done.push((key, revision));
                    break;
                }
                Ok(Outcome::Conflict) => {
                    let entry = store.get(&key).await.unwrap().unwrap();
                    done.push((key, entry.revision));
                    break;
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }
    let mut changes = store.watch(&format!("n/{own}/"), begun).await.unwrap();
    for (key, revision) in done {
        let change = next(&mut changes).await;
        assert_eq!((change.key, change.revision), (key, revision));
    }
}
