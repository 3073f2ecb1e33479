//! A publisher whose link is narrow: it sends fewer layers, as browsers do, and those who watch it go on seeing.

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
        let mut world = World::new(seed);
        let viewers = ["bob", "cat"].map(|name| world.enter(ROOM, name));
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
