//! RFC 9725 section 5: floods of offers and of changes, with a good token.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::world::{PUBLISH, World, play_offer, token};

/// How many of so many answers had each status.
fn counted(statuses: &[StatusCode]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for status in statuses {
        *counts.entry(status.as_u16()).or_default() += 1;
    }
    counts
}

async fn flood(world: &World, path: &str, offer: &str, posts: usize) -> BTreeMap<u16, usize> {
    let token = token("flood");
    let mut statuses = Vec::new();
    // In batches, so that the listener's queue is not what is tested.
    for _ in 0..posts / 50 {
        let batch = (0..50).map(|_| world.post(path, &token, offer));
        let answers = futures_util::future::join_all(batch).await;
        statuses.extend(answers.into_iter().map(|answer| answer.status));
    }
    counted(&statuses)
}

#[tokio::test]
async fn a_flood_of_offers_holds_few_places_for_a_short_time() {
    let connect_timeout = Duration::from_secs(2);
    let world = World::with(|config| {
        config.whip.connect_timeout = connect_timeout;
        // Forty of those who play with one token.
        config.whip.max_pending_per_token = 1;
        // Not what is tested here.
        config.whip.posts_per_second = 10_000;
        config.whip.post_burst = 10_000;
    })
    .await;
    let began = Instant::now();
    let counts = flood(&world, "/whep", &play_offer(), 1_000).await;
    let took = began.elapsed();
    let open = counts.get(&201).copied().unwrap_or_default();
    let refused = counts.get(&429).copied().unwrap_or_default();
    assert_eq!(open + refused, 1_000, "{counts:?}");
    // Places come free again while the flood lasts.
    let lives = 1 + usize::try_from(took.as_secs() / connect_timeout.as_secs()).unwrap_or(1_000);
    assert!(open <= 40 * (lives + 1), "{counts:?} in {took:?}");
    // All of them are given back, and the next client is served.
    let another = token("flood");
    let served = async {
        while world.post("/whep", &another, &play_offer()).await.status != StatusCode::CREATED {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), served)
        .await
        .expect("places are given back within 15 s");
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_publisher_that_never_connects_is_gone_soon() {
    let world = World::with(|config| config.whip.connect_timeout = Duration::from_secs(1)).await;
    let began = Instant::now();
    let (path, _) = world.opened("/whip", &token("ann"), PUBLISH).await;
    world.until_participants("r", 1).await;
    world.until_participants("r", 0).await;
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(
        world.delete(&path, &token("ann")).await,
        StatusCode::NOT_FOUND
    );
    world.running.shutdown().await;
}

#[tokio::test]
async fn one_token_opens_a_few_sessions_at_once() {
    let world = World::with(|config| {
        config.whip.posts_per_second = 1;
        config.whip.post_burst = 10;
    })
    .await;
    let counts = flood(&world, "/whip", PUBLISH, 100).await;
    let refused = counts.get(&429).copied().unwrap_or_default();
    assert!(refused >= 80, "{counts:?}");
    let answer = world.post("/whip", &token("flood"), PUBLISH).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
    // Somebody else is not touched by it.
    world.opened("/whip", &token("ann"), PUBLISH).await;
    world.running.shutdown().await;
}

#[tokio::test]
async fn changes_to_a_session_are_counted() {
    let world = World::new().await;
    let ann = token("ann");
    let (path, tag) = world.opened("/whip", &ann, PUBLISH).await;
    let fragment = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
    let changes = (0..60).map(|_| world.patch(&path, &ann, Some(&tag), fragment));
    let answers = futures_util::future::join_all(changes).await;
    let statuses: Vec<_> = answers.into_iter().map(|answer| answer.status).collect();
    let counts = counted(&statuses);
    assert!(
        counts.get(&429).copied().unwrap_or_default() >= 20,
        "{counts:?}"
    );
    assert!(
        counts.get(&204).copied().unwrap_or_default() >= 30,
        "{counts:?}"
    );
    assert_eq!(world.delete(&path, &ann).await, StatusCode::OK);
    world.running.shutdown().await;
}

#[tokio::test]
async fn there_is_a_last_place() {
    let world = World::with(|config| config.whip.max_sessions = 1).await;
    world.opened("/whip", &token("ann"), PUBLISH).await;
    let answer = world.post("/whip", &token("bob"), PUBLISH).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").parse::<u32>().is_ok());
    world.running.shutdown().await;
}
