//! Why a picture is not better than it is: one question tells whose side it is on, and what was decided lately.

use plenum_proto::{
    node::{
        AdminReply, AdminRequest, Simulate, admin_reply::Kind as Answer, admin_request,
        session_request::Kind, simulate,
    },
    v1::{
        ExplainSubscriptionsRequest, ExplainSubscriptionsResponse, Side,
        SubscriptionReason::{self as Reason, *},
        SubscriptionReport, TrackSource,
        VideoQuality::{High, Low, Medium},
    },
};
use sfu_core::{Command, CommandError, Reply};
use sfu_sim::{
    ClientKey, ClientOptions, LinkSettings, SourceId, VideoSettings, World, millis, seconds,
};

fn ask(
    world: &mut World,
    shard: usize,
    identity: &str,
) -> Result<ExplainSubscriptionsResponse, CommandError> {
    let request = AdminRequest {
        kind: Some(admin_request::Kind::ExplainSubscriptions(
            ExplainSubscriptionsRequest {
                room: "room".into(),
                identity: identity.into(),
            },
        )),
        ..AdminRequest::default()
    };
    match world.command_at(shard, Command::Admin(request))? {
        Reply::Admin(AdminReply {
            kind: Some(Answer::Subscriptions(answer)),
        }) => Ok(answer),
        other => panic!("another answer: {other:?}"),
    }
}

pub(super) fn explain(world: &mut World) -> ExplainSubscriptionsResponse {
    ask(world, 0, "bob").expect("an answer")
}

/// What is said of the one camera that Bob sees.
fn only(answer: &ExplainSubscriptionsResponse) -> &SubscriptionReport {
    let [report] = answer.subscriptions.as_slice() else {
        panic!("one subscription: {answer:?}");
    };
    report
}

fn reasons(report: &SubscriptionReport) -> Vec<Reason> {
    report.findings.iter().map(|f| f.reason()).collect()
}

fn side(report: &SubscriptionReport) -> Side {
    report
        .findings
        .first()
        .map_or(Side::Nobody, |finding| finding.side())
}

/// Ann shows a camera of three encodings to Bob, who sees the largest picture.
fn call(seed: u64) -> (World, ClientKey, ClientKey, SourceId, String) {
    let mut world = World::new(seed);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video_as(ann, VideoSettings::camera());
    let track = world.track_of(ann, camera);
    world.run_for(seconds(8));
    (world, ann, bob, camera, track)
}

#[test]
fn who_gets_the_best_there_is_is_told_so() {
    let (mut world, ..) = call(900);
    let answer = explain(&mut world);
    let report = only(&answer);
    assert_eq!(reasons(report), []);
    let flowing = report.flowing.clone().expect("a picture");
    assert_eq!(
        (flowing.quality(), flowing.rid.as_str(), flowing.width),
        (High, "f", 1_280)
    );
    assert_eq!(
        report.granted.as_ref().map(|step| step.quality()),
        Some(High)
    );
    assert!(
        (1_400_000..2_000_000).contains(&flowing.bitrate),
        "{flowing:?}"
    );
    assert_eq!(report.identity, "ann");
    assert_eq!(report.published.len(), 3);
    assert!(answer.wanted >= flowing.bitrate * 9 / 10, "{answer:?}");
    assert!(answer.link.as_ref().is_some_and(|link| link.score > 4.0));
    // Nothing, then what came first, then the best.
    let history = &report.history;
    assert_eq!(history.first().and_then(|d| d.from.clone()), None);
    let last = history.last().expect("decisions");
    assert_eq!(last.to.as_ref().map(|s| s.quality()), Some(High));
    // When it was chosen its keyframe may have been under way still.
    let reason = last.reason();
    assert!(
        matches!(reason, ServedInFull | AwaitingKeyframe),
        "{reason:?}"
    );
}

#[test]
fn a_bad_uplink_is_the_senders() {
    let (mut world, ann, _, _, _) = call(901);
    world.set_link(ann, LinkSettings::lossy(0.15));
    world.run_for(seconds(6));
    let answer = explain(&mut world);
    let report = only(&answer);
    assert_eq!(reasons(report).first(), Some(&UplinkLoss), "{report:?}");
    assert_eq!(side(report), Side::Sender);
    let (uplink, link) = (report.uplink.expect("known"), answer.link.expect("known"));
    assert!(
        uplink.loss > 0.03 && uplink.score < link.score,
        "{uplink:?} {link:?}"
    );
}

#[test]
fn a_thin_downlink_is_the_receivers() {
    let (mut world, _, bob, _, _) = call(902);
    world.set_downlink(bob, LinkSettings::limited(500_000, millis(300)));
    world.run_for(seconds(15));
    let answer = explain(&mut world);
    let report = only(&answer);
    assert_eq!(
        reasons(report).first(),
        Some(&ReceiverEstimate),
        "{report:?}"
    );
    assert_eq!(side(report), Side::Receiver);
    assert!(
        answer.estimate < 700_000 && answer.wanted > 1_000_000,
        "{answer:?}"
    );
    let asked = report.asked.as_ref().and_then(|asked| asked.step.as_ref());
    assert_eq!(asked.map(|step| step.quality()), Some(High));
    assert!(
        report
            .granted
            .as_ref()
            .is_some_and(|step| step.quality() < High)
    );
    let is_remembered = report.history.iter().any(|d| {
        let (from, to) = (d.from.as_ref(), d.to.as_ref());
        d.reason() == ReceiverEstimate && to.map(|s| s.quality()) < from.map(|s| s.quality())
    });
    assert!(is_remembered, "the step down: {report:?}");
}

#[test]
fn what_the_link_would_carry_but_others_get_is_a_matter_of_priority() {
    let (mut world, ann, bob, _, large) = call(903);
    let second = world.publish_video_as(ann, VideoSettings::camera());
    let small = world.track_of(ann, second);
    world.settings(bob, &large, |s| s.priority = 2);
    world.set_downlink(bob, LinkSettings::limited(2_300_000, millis(300)));
    world.run_for(seconds(20));
    let answer = explain(&mut world);
    let of = |track: &str| {
        let found = answer
            .subscriptions
            .iter()
            .find(|report| report.track_id == *track);
        found.expect("both are there")
    };
    let reasons = [reasons(of(&large)), reasons(of(&small))];
    assert!(
        reasons.iter().any(|r| r.first() == Some(&ReceiverPriority)),
        "{reasons:?} {answer:?}"
    );
}

#[test]
fn what_is_pinned_keeps_its_layer_and_the_others_are_told_that_it_goes_first() {
    let mut world = World::new(908);
    let bob = world.enter("room", "bob");
    let people = ["ann", "cat", "dan", "eve"].map(|name| {
        let mut options = ClientOptions::new("room", name);
        options.join.auto_subscribe = false;
        let person = world.enter_as(options);
        let camera = world.publish_video_as(person, VideoSettings::camera());
        (person, camera, world.track_of(person, camera))
    });
    let voice = world.publish_audio(people[3].0);
    world.wait_for(bob, voice, seconds(2));
    world.run_for(seconds(6));
    let encodings = |world: &World| {
        let client = world.client(bob);
        people
            .each_ref()
            .map(|(_, camera, _)| client.report(*camera).encoding)
    };
    assert_eq!(encodings(&world), [2; 4]);
    let pinned = &people[1];
    world.settings(bob, &pinned.2, |s| s.priority = 1);
    world.set_downlink(bob, LinkSettings::limited(3_200_000, millis(300)));
    world.run_for(seconds(12));
    let before = world.client(bob).report(pinned.1);
    // Somebody else speaks all the time.
    for _ in 0..20 {
        world.run_for(seconds(1));
        let [ann, cat, dan, eve] = encodings(&world);
        assert_eq!(cat, 2, "the pinned one");
        assert!(ann < 2 && dan < 2 && eve < 2, "the others give way");
    }
    let after = world.client(bob).report(pinned.1);
    assert_eq!(after.switches, before.switches);
    assert!(after.frames - before.frames > 590, "{after:?}");
    let answer = explain(&mut world);
    for report in &answer.subscriptions {
        let asked = report.asked.as_ref().expect("a wish");
        let is_pinned = report.track_id == pinned.2;
        assert_eq!(asked.priority, u32::from(is_pinned), "{report:?}");
        let reasons = reasons(report);
        if is_pinned {
            assert_eq!(reasons, []);
        } else if report.source() == TrackSource::Camera {
            assert_eq!(reasons.first(), Some(&ReceiverPriority), "{report:?}");
        }
    }
    // Who is pinned no longer gives way to who speaks.
    world.settings(bob, &pinned.2, |s| s.priority = 0);
    world.run_for(seconds(15));
    let [ann, cat, dan, eve] = encodings(&world);
    assert_eq!(eve, 2, "who speaks");
    assert!(ann < 2 && cat < 2 && dan < 2, "{:?}", encodings(&world));
}

#[test]
fn a_layer_that_is_not_sent_is_the_senders() {
    let mut world = World::new(904);
    let ann = world.enter("room", "ann");
    let _bob = world.enter("room", "bob");
    let camera = world.publish_video_as(ann, VideoSettings::camera());
    // What somebody else takes goes on.
    let cat = world.enter("room", "cat");
    let track = world.track_of(ann, camera);
    world.ask_quality(cat, &track, Medium);
    world.run_for(seconds(8));
    world.stop_encoding(ann, camera, 2, true);
    world.run_for(seconds(4));
    let answer = explain(&mut world);
    let report = only(&answer);
    assert_eq!(reasons(report), [PublisherNotSending], "{report:?}");
    assert_eq!(side(report), Side::Sender);
    let sent: Vec<bool> = report.published.iter().map(|step| step.is_sent).collect();
    assert_eq!(sent, [false, true, false]);
    let last = report.history.last().expect("decisions");
    assert_eq!(
        (last.to.as_ref().map(|s| s.quality()), last.reason()),
        (Some(Medium), PublisherNotSending)
    );
}

#[test]
fn wishes_and_caps_of_the_client_are_nobodys_fault() {
    let (mut world, ann, bob, camera, track) = call(905);
    let mut told = Vec::new();
    world.ask_quality(bob, &track, Low);
    world.run_for(seconds(2));
    told.push(reasons(only(&explain(&mut world))));
    world.settings(bob, &track, |settings| settings.disabled = true);
    world.run_for(seconds(2));
    told.push(reasons(only(&explain(&mut world))));
    world.settings(bob, &track, |settings| {
        settings.disabled = false;
        settings.quality = High.into();
    });
    let cap = |bits| {
        Kind::Simulate(Simulate {
            kind: Some(simulate::Kind::SubscriberBandwidth(bits)),
        })
    };
    world.client_mut(bob).request(cap(400_000));
    world.run_for(seconds(4));
    let answer = explain(&mut world);
    assert_eq!(answer.cap, 400_000);
    told.push(reasons(only(&answer)));
    world.client_mut(bob).request(cap(0));
    world.mute(ann, camera, true, false);
    world.run_for(seconds(2));
    told.push(reasons(only(&explain(&mut world))));
    let expected: [&[Reason]; 4] = [
        &[ClientAsksLess],
        &[ClientDisabled],
        &[ClientCap],
        &[PublisherMuted],
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_shard_of_the_subscriber_answers_and_knows_the_uplink_of_others() {
    let mut world = World::spanning(906, 2, |_| {});
    let ann = world.enter_as(ClientOptions::new("room", "ann"));
    let _bob = world.enter_as(ClientOptions::new("room", "bob").on(1));
    let _camera = world.publish_video_as(ann, VideoSettings::camera());
    world.run_for(seconds(6));
    let elsewhere = ask(&mut world, 0, "bob");
    assert!(
        matches!(elsewhere, Err(CommandError::Elsewhere { .. })),
        "{elsewhere:?}"
    );
    let good = ask(&mut world, 1, "bob").expect("an answer");
    assert_eq!(reasons(only(&good)), []);
    world.set_link(ann, LinkSettings::lossy(0.15));
    world.run_for(seconds(6));
    let answer = ask(&mut world, 1, "bob").expect("an answer");
    let report = only(&answer);
    assert_eq!(reasons(report).first(), Some(&UplinkLoss), "{report:?}");
    assert!(
        report
            .uplink
            .as_ref()
            .is_some_and(|uplink| uplink.loss > 0.03),
        "{report:?}"
    );
}

#[test]
fn what_is_lost_between_nodes_is_ours() {
    let lossy = LinkSettings {
        loss: 0.0,
        ..LinkSettings::delayed(millis(10))
    };
    let mut world = World::of_nodes(907, 2, lossy, |_| {});
    let ann = world.enter_as(ClientOptions::new("room", "ann"));
    let bob = world.enter_as(ClientOptions::new("room", "bob").on(1));
    let camera = world.publish_video_as(ann, VideoSettings::camera());
    world.wait_for(bob, camera, seconds(5));
    world.run_for(seconds(5));
    world.set_relay_link(LinkSettings { loss: 0.5, ..lossy });
    world.run_for(seconds(3));
    let answer = ask(&mut world, 1, "bob").expect("an answer");
    let report = only(&answer);
    assert_eq!(reasons(report).first(), Some(&RelayLoss), "{report:?}");
    assert_eq!(side(report), Side::Node);
    assert!(report.missing > 0.01, "{report:?}");
}

#[test]
fn a_node_that_is_late_is_named_and_no_link() {
    let (mut world, ..) = call(912);
    world.set_lateness(millis(60));
    world.run_for(seconds(3));
    let answer = explain(&mut world);
    let report = only(&answer);
    assert_eq!(reasons(report).first(), Some(&NodeOverloaded), "{report:?}");
    assert_eq!(side(report), Side::Node);
    world.set_lateness(millis(0));
    world.run_for(seconds(4));
    let answer = explain(&mut world);
    assert!(!reasons(only(&answer)).contains(&NodeOverloaded));
}

#[test]
fn a_node_that_stands_still_once_is_not_named() {
    let (mut world, ..) = call(913);
    for still in [100, 600] {
        world.set_lateness(millis(still));
        world.run_for(millis(still));
        world.set_lateness(millis(0));
        for _ in 0..30 {
            world.run_for(millis(100));
            let answer = explain(&mut world);
            let found = reasons(only(&answer));
            assert!(!found.contains(&NodeOverloaded), "{still}: {found:?}");
        }
    }
}
