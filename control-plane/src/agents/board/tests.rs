//! Who is asked, who gets it, and what becomes of it: boards of one and of two replicas over one store.

use std::collections::VecDeque;

use super::*;

const ROOM: lk::JobType = lk::JobType::JtRoom;
const PUBLISHER: lk::JobType = lk::JobType::JtPublisher;
const PATIENCE: Duration = Duration::from_secs(5);

/// Replicas of which each has a board, the store they share, and their time.
struct World {
    now: Now,
    boards: Vec<Board>,
    records: BTreeMap<Slot, (JobRecord, Revision)>,
    dispatches: BTreeMap<Slot, DispatchRecord>,
    revision: Revision,
    /// What was said to workers, oldest first.
    said: VecDeque<(u64, Said)>,
    /// The store does not answer.
    is_store_away: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Said {
    Asked(Box<lk::Job>, bool),
    Assigned(Box<Assignment>),
    Ended(String),
}

impl World {
    fn new(replicas: usize) -> Self {
        Self {
            now: Now::read(),
            boards: (0..replicas)
                .map(|n| Board::new(format!("replica {n}"), PATIENCE))
                .collect(),
            records: BTreeMap::new(),
            dispatches: BTreeMap::new(),
            revision: 0,
            said: VecDeque::new(),
            is_store_away: false,
        }
    }

    /// Does something at a replica, and all that follows everywhere.
    fn at(&mut self, replica: usize, change: impl FnOnce(&mut Board, Now) -> Vec<Act>) {
        let acts = change(&mut self.boards[replica], self.now);
        self.perform(replica, acts);
    }

    fn perform(&mut self, replica: usize, acts: Vec<Act>) {
        let mut waiting: VecDeque<(usize, Act)> =
            acts.into_iter().map(|act| (replica, act)).collect();
        while let Some((replica, act)) = waiting.pop_front() {
            match act {
                Act::Tell(key, told) => self.said.push_back((key.0, Said::of(*told))),
                Act::Assign(key, assignment) => {
                    self.said.push_back((key.0, Said::Assigned(assignment)));
                }
                Act::Write(writing) => {
                    let done = self.commit(&writing);
                    let at = writing.at.clone();
                    let mut acts = vec![(
                        replica,
                        self.boards[replica].on_written(self.now, *writing, done),
                    )];
                    if done.is_some() {
                        let record = self.records.get(&at).map(|(record, _)| record.clone());
                        for (n, board) in self.boards.iter_mut().enumerate() {
                            let told = board.on_record(
                                self.now,
                                at.clone(),
                                record.clone(),
                                self.revision,
                            );
                            acts.push((n, told));
                        }
                    }
                    for (n, acts) in acts {
                        waiting.extend(acts.into_iter().map(|act| (n, act)));
                    }
                }
            }
        }
    }

    fn commit(&mut self, writing: &Writing) -> Option<Revision> {
        let known = self.records.get(&writing.at).map(|(_, revision)| *revision);
        let holds = match writing.is {
            Is::Absent => known.is_none(),
            Is::Present => known.is_some(),
            Is::At(revision) => known == Some(revision),
        };
        if !holds || self.is_store_away {
            return None;
        }
        self.revision += 1;
        match &writing.record {
            Some(record) => {
                let entry = (record.clone(), self.revision);
                drop(self.records.insert(writing.at.clone(), entry));
            }
            None => drop(self.records.remove(&writing.at)),
        }
        Some(self.revision)
    }

    /// A room begins, and all replicas hear of it.
    fn room(&mut self, agents: &[&str]) {
        let wish = |name: &&str| v1::AgentWish {
            agent_name: (*name).to_owned(),
            metadata: "m".into(),
            ..v1::AgentWish::default()
        };
        let wishes: Vec<v1::AgentWish> = agents.iter().map(wish).collect();
        self.begin(&wishes, &[]);
    }

    fn begin(&mut self, wishes: &[v1::AgentWish], here: &[v1::Participant]) {
        let info = v1::Room {
            id: "RM_1".into(),
            name: "tea".into(),
            ..v1::Room::default()
        };
        for n in 0..self.boards.len() {
            self.at(n, |board, now| {
                board.on_room(now, info.clone(), wishes.to_vec(), Some(here.to_vec()))
            });
        }
    }

    fn dispatch(&mut self, id: &str, name: &str, withdrawn: bool) {
        let at = Slot {
            room_id: "RM_1".into(),
            name: id.into(),
        };
        let record = DispatchRecord {
            agent: Some(v1::AgentWish {
                agent_name: name.into(),
                ..v1::AgentWish::default()
            }),
            withdrawn,
            ..DispatchRecord::default()
        };
        self.dispatches.insert(at.clone(), record.clone());
        for n in 0..self.boards.len() {
            let (at, record) = (at.clone(), record.clone());
            self.at(n, |board, now| board.on_dispatch(now, at, Some(record)));
        }
    }

    fn register(&mut self, replica: usize, key: u64, name: &str, kind: lk::JobType) {
        let request = lk::RegisterWorkerRequest {
            r#type: kind.into(),
            agent_name: name.into(),
            ..lk::RegisterWorkerRequest::default()
        };
        self.at(replica, |board, now| {
            board.register(now, WorkerKey(key), request).expect("taken")
        });
    }

    fn wait(&mut self, span: Duration) {
        self.now.instant += span;
        self.now.wall += span;
        for n in 0..self.boards.len() {
            self.at(n, Board::tick);
        }
    }

    fn answer(&mut self, replica: usize, key: u64, job: &str, available: bool) {
        let answer = lk::AvailabilityResponse {
            job_id: job.into(),
            available,
            ..lk::AvailabilityResponse::default()
        };
        self.at(replica, |board, now| {
            board.on_answer(now, WorkerKey(key), answer)
        });
    }

    fn finish(&mut self, replica: usize, key: u64, job: &str, status: lk::JobStatus) {
        let update = lk::UpdateJobStatus {
            job_id: job.into(),
            status: status.into(),
            error: "why".into(),
        };
        self.at(replica, |board, now| {
            board.on_job_status(now, WorkerKey(key), update)
        });
    }

    fn lose(&mut self, replica: usize, key: u64) {
        self.at(replica, |board, now| board.on_lost(now, WorkerKey(key)));
    }

    fn come_back(&mut self, replica: usize, key: u64, jobs: &[&str]) {
        let jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
        self.at(replica, |board, now| {
            board.on_return(now, WorkerKey(key), jobs)
        });
    }

    /// The only thing said since: who is asked, for which job, and whether somebody had it.
    fn asked(&mut self) -> (u64, lk::Job, bool) {
        match self.only() {
            (key, Said::Asked(job, resuming)) => (key, *job, resuming),
            other => panic!("{other:?}"),
        }
    }

    fn only(&mut self) -> (u64, Said) {
        let said: Vec<_> = self.said.drain(..).collect();
        let [only] = <[_; 1]>::try_from(said).expect("one thing is said");
        only
    }

    fn silence(&self) {
        assert_eq!(self.said, []);
    }

    /// A worker is asked for a job and takes it; the job's id.
    fn given(&mut self, replica: usize, key: u64) -> String {
        let (asked, job, _) = self.asked();
        assert_eq!(asked, key);
        self.answer(replica, key, &job.id, true);
        let (to, Said::Assigned(assignment)) = self.only() else {
            panic!("not assigned");
        };
        assert_eq!((to, &assignment.job.id), (key, &job.id));
        job.id
    }

    fn record(&self) -> &JobRecord {
        assert_eq!(self.records.len(), 1);
        &self.records.values().next().expect("one").0
    }

    fn status(&self) -> v1::JobStatus {
        self.record().job.as_ref().expect("a job").status()
    }
}

impl Said {
    fn of(told: Tell) -> Self {
        match told {
            Tell::Availability(asked) => {
                Self::Asked(Box::new(asked.job.expect("a job")), asked.resuming)
            }
            Tell::Termination(ended) => Self::Ended(ended.job_id),
            other => panic!("{other:?}"),
        }
    }
}

fn person(id: &str, kind: v1::ParticipantKind) -> v1::Participant {
    v1::Participant {
        id: id.into(),
        identity: format!("of {id}"),
        kind: kind.into(),
        ..v1::Participant::default()
    }
}

#[test]
fn a_worker_without_a_name_gets_every_room_once() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    world.register(0, 2, "", ROOM);
    let job = world.given(0, 1);
    assert_eq!(world.status(), v1::JobStatus::JobRunning);
    world.wait(Duration::from_secs(60));
    world.finish(0, 1, &job, lk::JobStatus::JsFailed);
    let ended = world.record().job.clone().expect("a job");
    assert_eq!(
        (ended.status(), ended.error.as_str()),
        (v1::JobStatus::JobFailed, "why")
    );
    world.wait(Duration::from_secs(60));
    world.lose(0, 1);
    world.silence();
}

#[test]
fn who_is_named_by_the_room_comes_instead_of_the_unnamed() {
    let mut world = World::new(1);
    world.register(0, 1, "", ROOM);
    world.room(&["helper", "scribe"]);
    world.silence();
    // What is wanted waits for a worker.
    world.register(0, 2, "scribe", ROOM);
    let (key, job, resuming) = world.asked();
    assert_eq!((key, job.metadata.as_str(), resuming), (2, "m", false));
    assert_eq!(job.agent_name, "scribe");
    assert_eq!(job.room.expect("a room").name, "tea");
}

#[test]
fn a_dispatch_brings_an_agent_until_it_is_taken_back() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "helper", ROOM);
    world.silence();
    world.dispatch("AD_1_x", "helper", false);
    let job = world.given(0, 1);
    world.dispatch("AD_1_y", "helper", false);
    let other = world.given(0, 1);
    assert_eq!(world.records.len(), 2, "each dispatch has its own");
    world.dispatch("AD_1_x", "helper", true);
    assert_eq!(world.only(), (1, Said::Ended(job.clone())));
    assert!(
        world
            .record()
            .job
            .as_ref()
            .is_some_and(|left| left.id == other)
    );
    // Its last words come late.
    world.finish(0, 1, &job, lk::JobStatus::JsSuccess);
    assert_eq!(world.records.len(), 1);
    // What the room itself wants can be taken back, too.
    world.dispatch("AD_1_0", "", true);
    world.register(0, 2, "", ROOM);
    world.silence();
}

#[test]
fn every_publisher_gets_a_job_that_ends_with_it() {
    let mut world = World::new(1);
    world.register(0, 1, "", PUBLISHER);
    world.register(0, 2, "", lk::JobType::JtParticipant);
    world.room(&[]);
    let ann = person("PA_1", v1::ParticipantKind::Standard);
    let agent = person("PA_2", v1::ParticipantKind::Agent);
    world.at(0, |board, now| {
        board.on_member(now, "RM_1", ann.clone(), false)
    });
    let of_all = world.given(0, 2);
    world.at(0, |board, now| {
        board.on_member(now, "RM_1", ann.clone(), true)
    });
    let of_publisher = world.given(0, 1);
    world.at(0, |board, now| board.on_member(now, "RM_1", ann, true));
    world.at(0, |board, now| board.on_member(now, "RM_1", agent, true));
    world.silence();
    world.at(0, |board, now| board.on_left(now, "RM_1", "PA_1"));
    let mut ended: Vec<_> = world.said.drain(..).collect();
    ended.sort_by_key(|(key, _)| *key);
    assert_eq!(
        ended,
        [(1, Said::Ended(of_publisher)), (2, Said::Ended(of_all))]
    );
    assert!(world.records.is_empty(), "nothing is kept of it");
}

#[test]
fn who_refuses_or_is_silent_or_full_is_passed_over() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    world.register(0, 2, "", ROOM);
    let (_, job, _) = world.asked();
    world.answer(0, 1, &job.id, false);
    assert_eq!(world.asked().0, 2);
    // It does not answer, and both had their turn: after a while they are asked again.
    world.wait(ANSWER);
    world.silence();
    assert!(world.records.is_empty(), "others may have it meanwhile");
    world.wait(AGAIN);
    let (key, job, _) = world.asked();
    for worker in [1, 2] {
        let full = lk::UpdateWorkerStatus {
            status: Some(lk::WorkerStatus::WsFull.into()),
            ..lk::UpdateWorkerStatus::default()
        };
        world.boards[0].on_status(WorkerKey(worker), &full);
    }
    world.answer(0, key, &job.id, false);
    world.wait(Duration::from_secs(5));
    world.silence();
    world.register(0, 3, "", ROOM);
    let (key, job, _) = world.asked();
    assert_eq!(key, 3);
    // It says that nobody is needed.
    let answer = lk::AvailabilityResponse {
        job_id: job.id,
        terminate: true,
        ..lk::AvailabilityResponse::default()
    };
    world.at(0, |board, now| board.on_answer(now, WorkerKey(3), answer));
    assert_eq!(world.status(), v1::JobStatus::JobSucceeded);
    world.wait(Duration::from_secs(60));
    world.silence();
}

#[test]
fn the_idlest_is_asked() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "helper", ROOM);
    world.register(0, 2, "helper", ROOM);
    for (worker, load) in [(1, 0.48), (2, 0.2)] {
        let status = lk::UpdateWorkerStatus {
            load,
            ..lk::UpdateWorkerStatus::default()
        };
        world.boards[0].on_status(WorkerKey(worker), &status);
    }
    let mut turns = Vec::new();
    for n in 0..8 {
        world.dispatch(&format!("AD_1_x{n}"), "helper", false);
        turns.push(world.asked().0);
    }
    assert_eq!(
        turns,
        [2, 2, 2, 2, 2, 2, 1, 2],
        "until what it was asked for counts as much"
    );
}

#[test]
fn a_lost_worker_has_a_while_to_come_back() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    let job = world.given(0, 1);
    world.lose(0, 1);
    world.register(0, 2, "", ROOM);
    world.come_back(0, 2, &[&job]);
    world.wait(PATIENCE * 2);
    world.silence();
    assert_eq!(
        world.record().job.as_ref().expect("a job").worker_id,
        WorkerKey(2).id()
    );

    world.lose(0, 2);
    world.register(0, 3, "", ROOM);
    world.wait(PATIENCE);
    let (key, again, resuming) = world.asked();
    assert_eq!((key, resuming), (3, true));
    assert_ne!(again.id, job);
    world.answer(0, 3, &again.id, true);
    world.said.clear();
    world.register(0, 4, "", ROOM);
    world.come_back(0, 4, &[&job, "AJ_unknown", "AJ_9_0_r-x"]);
    assert_eq!(world.only(), (4, Said::Ended(job)), "too late");
}

#[test]
fn what_is_wanted_once_fails_with_its_worker() {
    let mut world = World::new(1);
    let once = v1::AgentWish {
        once: true,
        ..v1::AgentWish::default()
    };
    world.register(0, 1, "", ROOM);
    world.begin(&[once], &[]);
    world.given(0, 1);
    world.lose(0, 1);
    world.register(0, 2, "", ROOM);
    world.wait(PATIENCE);
    world.silence();
    let ended = world.record().job.clone().expect("a job");
    assert_eq!(ended.status(), v1::JobStatus::JobFailed);
    assert_eq!(ended.error, "the worker was lost");
}

#[test]
fn of_two_replicas_one_gives_the_job() {
    let mut world = World::new(2);
    world.register(0, 1, "", ROOM);
    world.register(1, 2, "", ROOM);
    world.room(&[]);
    let job = world.given(0, 1);
    world.wait(Duration::from_secs(60));
    world.silence();
    assert_eq!(world.record().replica, "replica 0");
    // Who refuses leaves it to the other.
    world.finish(0, 1, &job, lk::JobStatus::JsSuccess);
    world.dispatch("AD_1_x", "", false);
    let (key, job, _) = world.asked();
    assert_eq!(key, 1);
    world.answer(0, 1, &job.id, false);
    assert_eq!(world.asked().0, 2);
}

#[test]
fn a_worker_takes_its_job_along_to_another_replica() {
    let mut world = World::new(2);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    let job = world.given(0, 1);
    // The first replica has not noticed yet that it is gone.
    world.register(1, 2, "", ROOM);
    world.come_back(1, 2, &[&job]);
    assert_eq!(world.record().replica, "replica 1");
    world.lose(0, 1);
    world.wait(PATIENCE * 2);
    world.silence();
    world.finish(1, 2, &job, lk::JobStatus::JsSuccess);
    assert_eq!(world.status(), v1::JobStatus::JobSucceeded);
}

#[test]
fn a_replica_that_was_cut_off_gives_way() {
    let mut world = World::new(2);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    let job = world.given(0, 1);
    // Its lease is over, and only the other one hears of that.
    let at = world.records.keys().next().expect("a record").clone();
    world.records.clear();
    world.revision += 1;
    world.register(1, 2, "", ROOM);
    let gone = world.revision;
    world.at(1, |board, now| board.on_record(now, at, None, gone));
    // What it writes comes to both.
    let mut said: Vec<_> = world.said.drain(..).collect();
    said.sort_by_key(|(key, _)| *key);
    let [(1, Said::Ended(ended)), (2, Said::Asked(again, _))] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(*ended, job);
    assert_ne!(again.id, job);
    assert_eq!(world.record().replica, "replica 1");
}

#[test]
fn jobs_go_on_while_the_store_is_away_and_are_written_down_after_it_was_lost() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    let job = world.given(0, 1);
    world.is_store_away = true;
    world.records.clear();
    world.at(0, |board, now| {
        board.on_stored(now, BTreeMap::new(), BTreeMap::new())
    });
    world.dispatch("AD_1_x", "", false);
    world.wait(AGAIN);
    world.silence();
    world.is_store_away = false;
    world.wait(AGAIN);
    assert_eq!(world.asked().1.dispatch_id, "AD_1_x");
    let kept = world
        .records
        .values()
        .filter_map(|(record, _)| record.job.as_ref());
    assert!(kept.into_iter().any(|kept| kept.id == job));
}

#[test]
fn an_agent_that_is_there_already_is_not_asked_for() {
    let mut world = World::new(1);
    let mut agent = person("PA_2", v1::ParticipantKind::Agent);
    agent.attributes.insert(AGENT_NAME.into(), String::new());
    world.begin(&[], &[agent]);
    world.register(0, 1, "", ROOM);
    world.silence();
    assert!(world.records.is_empty());
    // Its worker says which job that is.
    world.come_back(0, 1, &["AJ_1_0_r-x"]);
    world.silence();
    assert_eq!(world.record().job.as_ref().expect("a job").id, "AJ_1_0_r-x");
}

/// As when the worker of an agent died while no other was there: nobody remembers its job.
#[test]
fn an_agent_that_was_there_already_is_followed_by_another() {
    let mut agent = person("PA_2", v1::ParticipantKind::Agent);
    agent.attributes.insert(AGENT_NAME.into(), String::new());
    for is_heard in [true, false] {
        let mut world = World::new(1);
        world.begin(&[], std::slice::from_ref(&agent));
        world.register(0, 1, "", ROOM);
        world.silence();
        if is_heard {
            world.at(0, |board, now| board.on_left(now, "RM_1", "PA_2"));
        } else {
            world.begin(&[], &[]);
        }
        world.given(0, 1);
    }
}

#[test]
fn what_ended_unheard_is_forgotten() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    let job = world.given(0, 1);
    world.at(0, |board, _| board.keep_rooms(&[]));
    assert_eq!(world.only(), (1, Said::Ended(job)));
    assert!(!world.boards[0].is_idle());
    world.lose(0, 1);
    assert!(world.boards[0].is_idle());
}

#[test]
fn words_of_others_count_for_nothing() {
    let mut world = World::new(1);
    world.room(&[]);
    world.register(0, 1, "", ROOM);
    world.register(0, 2, "", ROOM);
    let (_, job, _) = world.asked();
    world.answer(0, 2, &job.id, true);
    world.answer(0, 9, &job.id, true);
    for nonsense in ["", "AJ_", "AJ_1_0_r-other", "AJ_9_0_r-x", "x"] {
        world.answer(0, 1, nonsense, true);
        world.finish(0, 1, nonsense, lk::JobStatus::JsFailed);
    }
    world.finish(0, 2, &job.id, lk::JobStatus::JsFailed);
    world.finish(0, 1, &job.id, lk::JobStatus::JsSuccess);
    world.silence();
    assert_eq!(world.status(), v1::JobStatus::JobPending);
    let nan = lk::UpdateWorkerStatus {
        load: f32::NAN,
        ..lk::UpdateWorkerStatus::default()
    };
    world.boards[0].on_status(WorkerKey(1), &nan);
    let long = lk::RegisterWorkerRequest {
        agent_name: "x".repeat(257),
        ..lk::RegisterWorkerRequest::default()
    };
    let later = lk::RegisterWorkerRequest {
        r#type: 77,
        ..lk::RegisterWorkerRequest::default()
    };
    for (request, error) in [(long, RegisterError::Name), (later, RegisterError::Kind)] {
        let refused = world.boards[0].register(world.now, WorkerKey(3), request);
        assert_eq!(refused.err(), Some(error));
    }
}
