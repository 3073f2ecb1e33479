//! Workers of agents at two replicas: a job is given once, wherever room and worker are, and outlives the replica.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{Either, select};
use livekit_protocol::{
    MigrateJobRequest, server_message::Message as Tell, worker_message::Message as Say,
};
use plenum_proto::v1::{ListDispatchesRequest, agent_service_client::AgentServiceClient};

use super::{
    admin, channel, create, join,
    processes::{ControlPlane, Etcd, Sfu},
};
use crate::{agents::Worker, signal::soon, support::with_token};

/// Rooms that begin at once.
const ROOMS: usize = 30;

/// The next thing that either worker is told, and by which.
async fn either(workers: &mut [Worker; 2]) -> (usize, Tell) {
    let [first, second] = workers;
    let (first, second) = (Box::pin(first.hear()), Box::pin(second.hear()));
    match select(first, second).await {
        Either::Left((told, _)) => (0, told),
        Either::Right((told, _)) => (1, told),
    }
}

#[tokio::test]
async fn two_replicas_give_each_job_once_and_one_goes_on_alone() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.setting();
    let first = ControlPlane::start(&[&store]).await;
    let second = ControlPlane::start(&[&store]).await;
    let Some(nodes) = Sfu::several(1, &[&first, &second]).await else {
        return;
    };
    second.knows(&nodes).await;
    let mut workers = [
        Worker::register(first.http, "").await,
        Worker::register(second.http, "").await,
    ];
    // Made at one replica, heard of by both.
    for n in 0..ROOMS {
        create(&first, &format!("room-{n}"), "").await;
    }
    let mut jobs: [Vec<String>; 2] = Default::default();
    let mut rooms = BTreeSet::new();
    while rooms.len() < ROOMS {
        let (at, told) = soon(either(&mut workers)).await;
        let Tell::Availability(asked) = told else {
            panic!("{told:?}");
        };
        let assignment = workers[at].accept(asked.job.expect("a job")).await;
        let job = assignment.job.expect("a job");
        let room = job.room.expect("a room").name;
        assert!(rooms.insert(room.clone()), "{room} has an agent already");
        jobs[at].push(job.id);
    }
    let held: BTreeMap<&String, usize> = (jobs.iter().enumerate())
        .flat_map(|(at, jobs)| jobs.iter().map(move |job| (job, at)))
        .collect();
    assert_eq!(held.len(), ROOMS);

    // One replica is killed; its worker comes to the other, and keeps what it has.
    drop(first);
    let mut back = Worker::register(second.http, "").await;
    let job_ids = jobs[0].clone();
    back.say(Say::MigrateJob(MigrateJobRequest { job_ids }))
        .await;
    let (_ann, _) = join(&second, "another", "ann").await;
    let [_, stayed] = workers;
    let mut workers = [back, stayed];
    let (at, told) = soon(either(&mut workers)).await;
    let Tell::Availability(asked) = told else {
        panic!("{told:?}");
    };
    let job = asked.job.expect("a job");
    assert_eq!(job.room.as_ref().expect("a room").name, "another");
    workers[at].accept(job).await;
    let mut api = AgentServiceClient::new(channel(&second).await);
    let mut listed = BTreeSet::new();
    for room in &rooms {
        let request = ListDispatchesRequest {
            room: room.clone(),
            ..ListDispatchesRequest::default()
        };
        let answer = api.list_dispatches(with_token(&admin(room), request)).await;
        let dispatches = answer.unwrap().into_inner().dispatches;
        listed.extend(
            dispatches
                .into_iter()
                .flat_map(|d| d.jobs)
                .map(|job| job.id),
        );
    }
    assert!(
        listed.iter().eq(held.into_keys()),
        "the same jobs as before"
    );
}
