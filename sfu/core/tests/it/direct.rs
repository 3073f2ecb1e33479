//! Direct calls: who is paired, what is passed on, and when the shard takes over.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use plenum_proto::{
    node::{
        Closed, DirectCandidate, DirectConnected, DirectFailed, DirectOverReason, DirectReport,
        DirectSignal, DirectUnwanted, Join, Joined, Leave, Resume, SessionRequest, direct_report,
        direct_signal, session_event::Kind as Told, session_request::Kind as Asked,
    },
    v1::{
        CloseReason, ParticipantState, Permissions, RoomConfig, TrackSource,
        event::Kind as RoomEvent,
    },
};
use sfu_core::{
    CandidateAddress, Certificate, ClockAnchor, Command, ControlId, CoreConfig, Event, Protocol,
    Shard,
};

/// A shard, and what it told each control connection and the event stream.
struct Desk {
    shard: Shard,
    now: Instant,
    controls: u64,
    told: Vec<(ControlId, Told)>,
    events: Vec<RoomEvent>,
}

impl Desk {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test takes one instant as the origin of its time"
    )]
    fn new() -> Self {
        let local = SocketAddr::from(([10, 1, 0, 1], 7882));
        let address = CandidateAddress {
            protocol: Protocol::Udp,
            local,
            advertised: local,
        };
        let certificate = Certificate::generate().expect("a certificate");
        let now = Instant::now();
        let config = CoreConfig::new(vec![address], certificate);
        let anchor = ClockAnchor::new(now, SystemTime::UNIX_EPOCH);
        Self {
            shard: Shard::new(config, anchor, 1),
            now,
            controls: 0,
            told: Vec::new(),
            events: Vec::new(),
        }
    }

    fn command(&mut self, command: Command) {
        let done = self.shard.handle_command(self.now, command);
        done.expect("the command is taken");
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            match event {
                Event::Session { control, event } => {
                    self.told.push((control, event.kind.expect("a kind")));
                }
                Event::Room(event) => self.events.push(event.kind.expect("a kind")),
                _ => {}
            }
        }
    }

    fn join(&mut self, identity: &str, change: impl FnOnce(&mut Join)) -> ControlId {
        self.controls += 1;
        let control = ControlId(self.controls);
        let mut join = Join {
            room: Some(RoomConfig {
                name: "room".into(),
                ..RoomConfig::default()
            }),
            identity: identity.into(),
            permissions: Some(everything()),
            auto_subscribe: true,
            direct: true,
            ..Join::default()
        };
        change(&mut join);
        self.command(Command::Join {
            control,
            join: Box::new(join),
            home: None,
        });
        control
    }

    fn direct(&mut self, identity: &str) -> ControlId {
        self.join(identity, |_| {})
    }

    fn ask(&mut self, control: ControlId, kind: Asked) {
        let request = SessionRequest { kind: Some(kind) };
        self.command(Command::Session { control, request });
    }

    fn report(&mut self, control: ControlId, kind: direct_report::Kind) {
        self.ask(
            control,
            Asked::DirectReport(DirectReport { kind: Some(kind) }),
        );
    }

    fn signal(&mut self, control: ControlId, kind: direct_signal::Kind) {
        self.ask(
            control,
            Asked::DirectSignal(DirectSignal { kind: Some(kind) }),
        );
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.shard.poll_timeout().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.shard.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn of(&self, control: ControlId) -> impl Iterator<Item = &Told> {
        self.told
            .iter()
            .filter(move |(to, _)| *to == control)
            .map(|(_, told)| told)
    }

    fn joined(&self, control: ControlId) -> &Joined {
        let found = self.of(control).find_map(|told| match told {
            Told::Joined(joined) | Told::Resumed(joined) => Some(joined),
            _ => None,
        });
        found.expect("it was let in")
    }

    /// Identity of the other one, and whether the one told is polite, each time it was told.
    fn peers(&self, control: ControlId) -> Vec<Option<(String, bool)>> {
        let peers = self.of(control).filter_map(|told| match told {
            Told::DirectPeer(peer) => Some(peer),
            _ => None,
        });
        peers
            .map(|told| {
                let peer = told.participant.as_ref()?;
                Some((peer.identity.clone(), told.polite))
            })
            .collect()
    }

    fn over(&self, control: ControlId) -> Vec<DirectOverReason> {
        self.of(control)
            .filter_map(|told| match told {
                Told::DirectOver(over) => Some(over.reason()),
                _ => None,
            })
            .collect()
    }

    fn signals(&self, control: ControlId) -> Vec<direct_signal::Kind> {
        self.of(control)
            .filter_map(|told| match told {
                Told::DirectSignal(signal) => signal.kind.clone(),
                _ => None,
            })
            .collect()
    }

    fn closed(&self, control: ControlId) -> Option<&Closed> {
        self.of(control).find_map(|told| match told {
            Told::Closed(closed) => Some(closed),
            _ => None,
        })
    }

    fn has_offer(&self, control: ControlId) -> bool {
        self.of(control)
            .any(|told| matches!(told, Told::Description(_)))
    }
}

fn everything() -> Permissions {
    Permissions {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        can_update_metadata: true,
        ..Permissions::default()
    }
}

fn peer(identity: &str, polite: bool) -> Option<(String, bool)> {
    Some((identity.to_owned(), polite))
}

#[test]
fn two_are_paired_and_what_one_says_reaches_the_other_alone() {
    let mut desk = Desk::new();
    let ann = desk.direct("ann");
    assert_eq!(desk.peers(ann), []);
    let bob = desk.direct("bob");
    assert_eq!(desk.peers(ann), [peer("bob", false)]);
    assert_eq!(desk.peers(bob), [peer("ann", true)]);
    assert!(!desk.has_offer(ann) && !desk.has_offer(bob));
    let shown = desk.joined(bob).others[0].clone();
    assert!(shown.direct && shown.identity == "ann", "{shown:?}");

    let candidate = DirectCandidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".into(),
        mid: Some("0".into()),
        section: Some(0),
        username_fragment: Some("abcd".into()),
    };
    let offer = direct_signal::Kind::Offer("v=0".into());
    desk.signal(ann, offer.clone());
    desk.signal(ann, direct_signal::Kind::Candidate(candidate.clone()));
    desk.signal(bob, direct_signal::Kind::Answer("v=0".into()));
    assert_eq!(
        desk.signals(bob),
        [offer, direct_signal::Kind::Candidate(candidate)]
    );
    assert_eq!(
        desk.signals(ann),
        [direct_signal::Kind::Answer("v=0".into())]
    );

    for control in [ann, bob] {
        desk.report(control, direct_report::Kind::Connected(DirectConnected {}));
    }
    let active = desk.events.iter().filter(|event| {
        matches!(event, RoomEvent::ParticipantUpdated(p) if p.state() == ParticipantState::Active && p.direct)
    });
    assert_eq!(active.count(), 2);
    desk.run_for(Duration::from_secs(120));
    assert_eq!(desk.over(ann), []);
    let stats = desk.shard.stats();
    assert_eq!((stats.participants, stats.datagrams_sent), (2, 0));
}

#[test]
fn one_who_leaves_is_replaced_by_the_next() {
    let mut desk = Desk::new();
    let ann = desk.direct("ann");
    let bob = desk.direct("bob");
    desk.ask(bob, Asked::Leave(Leave::default()));
    assert_eq!(desk.peers(ann), [peer("bob", false), None]);
    desk.signal(ann, direct_signal::Kind::Offer("v=0".into()));
    let cleo = desk.direct("cleo");
    assert_eq!(desk.peers(ann).last(), Some(&peer("cleo", false)));
    assert_eq!(
        desk.signals(cleo),
        [],
        "what was meant for bob is for nobody"
    );
    // The same one again, as after a page was loaded anew.
    let again = desk.direct("cleo");
    assert_eq!(
        desk.closed(cleo).expect("told").reason(),
        CloseReason::DuplicateIdentity
    );
    assert_eq!(desk.peers(ann)[3..], [None, peer("cleo", false)]);
    assert_eq!(desk.peers(again), [peer("ann", true)]);
}

#[test]
fn a_third_of_any_kind_ends_it_for_all() {
    for is_direct in [true, false] {
        let mut desk = Desk::new();
        let (ann, bob) = (desk.direct("ann"), desk.direct("bob"));
        let third = desk.join("cleo", |join| join.direct = is_direct);
        for control in [ann, bob] {
            assert_eq!(desk.over(control), [DirectOverReason::DirectOverOthers]);
        }
        assert_eq!(desk.over(third).len(), usize::from(is_direct));
        // What they still say goes nowhere.
        desk.signal(ann, direct_signal::Kind::Offer("v=0".into()));
        assert_eq!(desk.signals(bob), []);
    }
    // Nor does one begin beside somebody whose media the shard carries.
    let mut desk = Desk::new();
    desk.join("ann", |join| join.direct = false);
    let bob = desk.direct("bob");
    assert_eq!(desk.over(bob), [DirectOverReason::DirectOverOthers]);
}

#[test]
fn who_joins_again_keeps_the_stay() {
    let mut desk = Desk::new();
    let (ann, bob) = (desk.direct("ann"), desk.direct("bob"));
    let id = desk.joined(ann).participant.clone().expect("itself").id;
    desk.report(ann, direct_report::Kind::Failed(DirectFailed {}));
    for control in [ann, bob] {
        assert_eq!(desk.over(control), [DirectOverReason::DirectOverFailed]);
    }
    let before = desk.events.len();
    let again = desk.join("ann", |join| join.direct = false);
    let own = desk.joined(again).participant.clone().expect("itself");
    assert_eq!((own.id.as_str(), own.direct), (id.as_str(), false));
    assert_eq!(desk.joined(again).others.len(), 1);
    assert!(desk.has_offer(again));
    assert_eq!(
        desk.closed(ann).expect("told").reason(),
        CloseReason::Migration
    );
    let since: Vec<_> = desk.events[before..].iter().collect();
    assert!(
        matches!(since[..], [RoomEvent::ParticipantUpdated(p)] if p.identity == "ann"),
        "{since:?}"
    );
    assert_eq!(desk.shard.stats().participants, 2);
}

#[test]
fn who_does_not_join_again_is_missed() {
    let mut desk = Desk::new();
    let (ann, bob) = (desk.direct("ann"), desk.direct("bob"));
    desk.report(bob, direct_report::Kind::Unwanted(DirectUnwanted {}));
    assert_eq!(desk.over(ann), [DirectOverReason::DirectOverWish]);
    desk.run_for(Duration::from_secs(31));
    let closed = desk.closed(ann).expect("told");
    assert_eq!(closed.reason(), CloseReason::ConnectionTimeout);
    assert_eq!(desk.shard.stats().participants, 0);
}

#[test]
fn a_way_that_does_not_come_about_in_time_is_given_up() {
    let mut desk = Desk::new();
    let (ann, bob) = (desk.direct("ann"), desk.direct("bob"));
    desk.report(ann, direct_report::Kind::Connected(DirectConnected {}));
    desk.run_for(Duration::from_secs(9));
    assert_eq!(desk.over(bob), []);
    desk.run_for(Duration::from_secs(2));
    for control in [ann, bob] {
        assert_eq!(desk.over(control), [DirectOverReason::DirectOverLate]);
    }
}

#[test]
fn rights_that_want_watching_over_exclude_it() {
    let cases: [fn(&mut Permissions); 6] = [
        |p| p.can_publish = false,
        |p| p.can_subscribe = false,
        |p| p.can_publish_data = false,
        |p| p.can_publish_sources = vec![TrackSource::Microphone.into()],
        |p| p.hidden = true,
        |p| p.recorder = true,
    ];
    for (index, change) in cases.into_iter().enumerate() {
        let mut desk = Desk::new();
        let ann = desk.direct("ann");
        let mut permissions = everything();
        change(&mut permissions);
        let bob = desk.join("bob", |join| join.permissions = Some(permissions));
        for control in [ann, bob] {
            let reasons = desk.over(control);
            assert_eq!(
                reasons,
                [DirectOverReason::DirectOverRights],
                "case {index}"
            );
        }
    }
}

#[test]
fn who_comes_back_is_told_again_and_only_a_direct_stay_is_taken_up() {
    let mut desk = Desk::new();
    let (ann, bob) = (desk.direct("ann"), desk.direct("bob"));
    desk.command(Command::ControlLost { control: bob });
    desk.signal(ann, direct_signal::Kind::Offer("v=0".into()));
    assert_eq!(desk.signals(bob), [], "nobody listens");
    let resume = |join: &mut Join| join.resume = Some(Resume::default());
    let back = desk.join("bob", resume);
    assert_eq!(desk.peers(back), [peer("ann", true)]);
    assert_eq!(desk.peers(ann).len(), 1, "ann has noticed nothing");
    desk.signal(ann, direct_signal::Kind::Offer("v=1".into()));
    assert_eq!(desk.signals(back).len(), 1);

    let other = desk.join("bob", |join| {
        resume(join);
        join.direct = false;
    });
    let closed = desk.closed(other).expect("told");
    assert_eq!(closed.reason(), CloseReason::StateMismatch);
}

#[test]
fn what_does_not_belong_is_refused_and_hurts_nobody() {
    let mut desk = Desk::new();
    let (ann, bob) = (desk.direct("ann"), desk.direct("bob"));
    desk.signal(ann, direct_signal::Kind::Offer("x".repeat(64 * 1024 + 1)));
    desk.signal(
        ann,
        direct_signal::Kind::Candidate(DirectCandidate {
            username_fragment: Some("x".repeat(64 * 1024 + 1)),
            ..DirectCandidate::default()
        }),
    );
    desk.ask(ann, Asked::AddTrack(Default::default()));
    desk.ask(ann, Asked::Description(Default::default()));
    desk.ask(ann, Asked::DirectSignal(DirectSignal::default()));
    desk.ask(ann, Asked::DirectReport(DirectReport::default()));
    let refused = desk
        .of(ann)
        .filter(|told| matches!(told, Told::RequestResponse(_)));
    assert_eq!(refused.count(), 4);
    assert_eq!(desk.signals(bob), []);
    assert!(desk.closed(ann).is_none());

    // Somebody whose media comes here has no part in it.
    let mut desk = Desk::new();
    let ann = desk.join("ann", |join| join.direct = false);
    desk.signal(ann, direct_signal::Kind::Offer("v=0".into()));
    desk.report(ann, direct_report::Kind::Failed(DirectFailed {}));
    assert_eq!(desk.over(ann), []);
}

#[test]
fn a_flood_ends_its_sender_alone() {
    let mut desk = Desk::new();
    let (ann, bob) = (desk.direct("ann"), desk.direct("bob"));
    for _ in 0..1_001 {
        desk.signal(ann, direct_signal::Kind::Restart(Default::default()));
    }
    assert_eq!(
        desk.closed(ann).expect("told").reason(),
        CloseReason::LimitExceeded
    );
    assert!(desk.closed(bob).is_none());
    assert_eq!(desk.signals(bob).len(), 1_000);
    assert_eq!(desk.peers(bob).last(), Some(&None));
}
