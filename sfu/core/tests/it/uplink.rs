//! A publisher whose link is narrow: it sends fewer layers, as browsers do, and those who watch it go on seeing.

use std::time::Duration;

use plenum_proto::v1::VideoQuality::{High, Low, Medium};
use sfu_sim::{
    ClientKey, ClientOptions, LinkSettings, SourceId, StreamReport, VideoSettings, World, millis,
    seconds,
};

const ROOM: &str = "room";

/// Ann sends over a link of her own to two who watch.
struct Sending {
    world: World,
    ann: ClientKey,
    viewers: [ClientKey; 2],
    camera: SourceId,
    voice: SourceId,
}

fn limited(rate: u64) -> LinkSettings {
    LinkSettings::limited(rate, millis(300))
}

impl Sending {
    fn new(seed: u64, rate: u64, heeds_estimate: bool) -> Self {
        Self::spanning(seed, 1, rate, heeds_estimate)
    }

    /// The same where one of those who watch is on the last of several shards.
    fn spanning(seed: u64, shards: usize, rate: u64, heeds_estimate: bool) -> Self {
        let mut world = World::spanning(seed, shards, |_| {});
        let viewers = [("bob", 0), ("cat", shards - 1)]
            .map(|(name, shard)| world.enter_as(ClientOptions::new(ROOM, name).on(shard)));
        let mut options = ClientOptions::new(ROOM, "ann");
        (options.uplink, options.heeds_estimate) = (limited(rate), heeds_estimate);
        let ann = world.enter_as(options);
        let voice = world.publish_audio(ann);
        let camera = world.publish_video_as(ann, VideoSettings::camera());
        Self {
            world,
            ann,
            viewers,
            camera,
            voice,
        }
    }

    fn reports(&self) -> [StreamReport; 2] {
        self.viewers
            .map(|viewer| self.world.client(viewer).report(self.camera))
    }

    /// Pictures that each viewer sees in so many seconds, per second.
    fn rates(&mut self, span: u64) -> [u64; 2] {
        let before = self.reports().map(|report| report.frames);
        self.world.run_for(seconds(span));
        let after = self.reports().map(|report| report.frames);
        [0, 1].map(|viewer| (after[viewer] - before[viewer]) / span)
    }
}

#[test]
fn those_who_watch_a_publisher_with_a_narrow_link_see_fewer_layers_and_go_on_seeing() {
    let mut sending = Sending::new(700, 900_000, true);
    sending.world.run_for(seconds(12));
    let rates = sending.rates(10);
    let reports = sending.reports();
    let case = format!("{rates:?}, {reports:#?}");
    assert!(rates.iter().all(|rate| *rate >= 28), "{case}");
    assert!(reports.iter().all(|report| report.encoding == 1), "{case}");
    let estimate = sending.world.client(sending.ann).estimate();
    assert!(
        estimate.is_some_and(|bits| bits < 1_100_000),
        "{estimate:?}"
    );

    sending.world.set_uplink(sending.ann, limited(6_000_000));
    let is_whole = |sending: &Sending| sending.reports().iter().all(|r| r.encoding == 2);
    let begun = sending.world.now();
    while !is_whole(&sending) && sending.world.now() < begun + seconds(30) {
        sending.world.run_for(millis(100));
    }
    let took = sending.world.now() - begun;
    assert!(took < seconds(20), "{took:?} until all is sent");
    for (viewer, report) in sending.viewers.into_iter().zip(sending.reports()) {
        assert!(report.longest_gap < millis(500), "{report:#?}");
        let sound = sending.world.client(viewer).report(sending.voice);
        assert!(sound.longest_gap < millis(500), "{sound:#?}");
    }
}

#[test]
fn a_run_in_which_senders_follow_their_links_repeats_from_its_seed() {
    let play = || {
        let mut sending = Sending::new(710, 700_000, true);
        sending.world.run_for(seconds(20));
        sending.reports()
    };
    assert_eq!(play(), play());
}

/// What those who watch saw of a publisher whose link fell for a minute and came back.
#[derive(Debug)]
struct Fall {
    /// Pictures per second meanwhile, of who saw fewer; the first seconds, in which what waits is lost, are left out.
    pictures: u64,
    /// How often somebody was given another encoding, from the fall on.
    switches: usize,
    /// From the return of the link on until both see the largest encoding whole, and keep it.
    returned: Duration,
    /// And until nothing else is asked for any more.
    settled: Duration,
}

fn fall_and_return(seed: u64, shards: usize) -> Fall {
    let mut sending = Sending::spanning(seed, shards, 3_000_000, true);
    let encodings = |sending: &Sending| sending.reports().map(|report| report.encoding);
    let asks_for_one = |sending: &Sending| {
        let demand = sending.world.demand(sending.ann, sending.camera);
        demand == [(Low, false), (Medium, false), (High, true)]
    };
    sending.world.run_for(seconds(20));
    assert!(asks_for_one(&sending));
    assert_eq!(encodings(&sending), [2, 2]);

    let mut seen = [2, 2];
    let mut switches = 0;
    let mut run = |sending: &mut Sending, span: u64| {
        let rates = sending.rates(span);
        let now = encodings(sending);
        switches += (0..2)
            .filter(|viewer| now[*viewer] != seen[*viewer])
            .count();
        seen = now;
        rates[0].min(rates[1])
    };
    sending.world.set_uplink(sending.ann, limited(400_000));
    for _ in 0..5 {
        run(&mut sending, 1);
    }
    let pictures = (0..55).map(|_| run(&mut sending, 1)).sum::<u64>() / 55;

    sending.world.set_uplink(sending.ann, limited(3_000_000));
    let (mut returned, mut settled) = (None, None);
    for second in 1..=60 {
        let is_whole = run(&mut sending, 1) >= 28 && encodings(&sending) == [2, 2];
        returned = is_whole.then(|| returned.unwrap_or(second));
        let is_settled = is_whole && asks_for_one(&sending);
        settled = is_settled.then(|| settled.unwrap_or(second));
    }
    let within = |second: Option<u64>| second.map_or(Duration::MAX, seconds);
    Fall {
        pictures,
        switches,
        returned: within(returned),
        settled: within(settled),
    }
}

fn assert_goes_on(seed: u64, fall: &Fall) {
    let case = format!("seed {seed}: {fall:?}");
    // Without the smaller encodings it was ten.
    assert!(fall.pictures >= 25, "{case}");
    // Down to what flows and up again, by what the publisher's link lets it send.
    assert!(fall.switches <= 12, "{case}");
    assert!(fall.returned <= seconds(12), "{case}");
    assert!(fall.settled <= seconds(18), "{case}");
}

#[test]
fn those_who_watch_the_largest_alone_see_smaller_pictures_while_it_starves_and_have_it_back() {
    for (seed, shards) in [(720, 1), (721, 2), (722, 1), (723, 2)] {
        assert_goes_on(seed, &fall_and_return(seed, shards));
    }
}

#[test]
#[ignore = "long; prints each seed"]
fn the_same_of_a_largest_encoding_that_starves_over_twenty_seeds() {
    for seed in 724..744 {
        let fall = fall_and_return(seed, 1 + seed as usize % 2);
        println!("{seed}: {fall:?}");
        assert_goes_on(seed, &fall);
    }
}
