use proptest::prelude::*;

use super::{
    Standing::{Other, Pinned},
    *,
};

const fn layer(encoding: u8, temporal: u8) -> Layer {
    let spatial = Layer::ALL_SPATIAL;
    Layer {
        encoding,
        spatial,
        temporal,
    }
}

const ALL: u8 = Layer::ALL_TEMPORAL;
/// Three encodings of 100, 400 and 1500 kbit/s; the middle one also at half its rate.
const CAMERA: &[(Layer, u64)] = &[
    (layer(0, ALL), 100),
    (layer(1, 0), 250),
    (layer(1, ALL), 400),
    (layer(2, ALL), 1_500),
];
const SCREEN: &[(Layer, u64)] = &[(layer(0, ALL), 300), (layer(1, ALL), 2_000)];
const MICROPHONE: &[(Layer, u64)] = &[(layer(0, ALL), 40)];

fn demand(key: char, kind: Kind, ladder: &[(Layer, u64)]) -> Demand<char> {
    let wanted = layer(2, ALL);
    Demand {
        key,
        kind,
        standing: Other,
        area: 0,
        wanted,
        ladder: ladder.to_vec(),
        previous: Previous::New,
    }
}

fn camera(key: char) -> Demand<char> {
    demand(key, Kind::Camera, CAMERA)
}

fn screen(key: char) -> Demand<char> {
    demand(key, Kind::Screen, SCREEN)
}

fn microphone(key: char) -> Demand<char> {
    demand(key, Kind::Audio, MICROPHONE)
}

fn standing(standing: Standing, demand: Demand<char>) -> Demand<char> {
    Demand { standing, ..demand }
}

fn pinned(demand: Demand<char>) -> Demand<char> {
    standing(Pinned(1), demand)
}

/// What is granted, one word for each demand: "-" for paused, else encoding and temporal layer.
fn words(grants: &[Grant<char>]) -> String {
    let word = |grant: &Grant<char>| {
        assert_eq!(grant.paused, grant.layer.is_none());
        match grant.layer {
            None => format!("{}-", grant.key),
            Some(Layer {
                encoding,
                temporal: ALL,
                ..
            }) => format!("{}{encoding}", grant.key),
            Some(Layer {
                encoding, temporal, ..
            }) => format!("{}{encoding}.{temporal}", grant.key),
        }
    };
    grants.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The grants become what the demands had before.
fn keep<K>(demands: &mut [Demand<K>], grants: &[Grant<K>]) {
    for (demand, grant) in demands.iter_mut().zip(grants) {
        demand.previous = grant.layer.map_or(Previous::Paused, Previous::Granted);
    }
}

#[test]
fn budgets_are_shared_by_importance() {
    let two = [camera('a'), camera('b')];
    let low = [
        Demand {
            wanted: layer(0, ALL),
            ..camera('a')
        },
        camera('b'),
    ];
    let all = [
        camera('a'),
        screen('s'),
        microphone('m'),
        pinned(camera('p')),
    ];
    let preferred = [camera('a'), standing(Pinned(5), camera('b'))];
    let unknown = [demand('u', Kind::Camera, &[]), camera('a')];
    let high_only = [Demand {
        wanted: layer(0, 0),
        ..screen('s')
    }];
    for (case, budget, demands, expected) in [
        ("no limit", None, &all[..], "a2 s2 m2 p2"),
        ("plenty", Some(10_000), &all, "a2 s2 m2 p2"),
        ("nothing: audio stays", Some(0), &all, "a- s- m2 p-"),
        ("less than the audio takes", Some(30), &all, "a- s- m2 p-"),
        ("the screen comes first", Some(350), &all, "a- s0 m2 p-"),
        ("then who is pinned", Some(440), &all, "a- s0 m2 p0"),
        (
            "what is too big does not stop the small",
            Some(240),
            &all,
            "a0 s- m2 p0",
        ),
        ("everybody's lowest", Some(540), &all, "a0 s0 m2 p0"),
        (
            "who is pinned is raised first",
            Some(840),
            &all,
            "a0 s0 m2 p1",
        ),
        ("the screen before", Some(2_540), &all, "a0 s2 m2 p1"),
        ("one step each in turn", Some(500), &two, "a1.0 b1.0"),
        (
            "the first of equals gets the rest",
            Some(650),
            &two,
            "a1 b1.0",
        ),
        ("not more than wanted", Some(1_600), &low, "a0 b2"),
        ("the subscriber's own order", Some(100), &preferred, "a- b0"),
        ("unknown rates are free", Some(100), &unknown, "u2 a0"),
        (
            "a wish below the ladder costs its lowest",
            Some(300),
            &high_only,
            "s0.0",
        ),
        ("or is paused", Some(299), &high_only, "s-"),
        ("nobody", Some(100), &[], ""),
    ] {
        assert_eq!(words(&allocate(budget, demands)), expected, "{case}");
    }
}

#[test]
fn what_the_subscriber_pins_stands_above_others_in_every_step() {
    let four = [
        camera('a'),
        standing(Standing::Speaker, camera('s')),
        standing(Pinned(2), camera('q')),
        standing(Pinned(1), camera('p')),
    ];
    let screens = [
        standing(Standing::Speaker, screen('s')),
        screen('t'),
        standing(Pinned(1), screen('p')),
        standing(Pinned(1), camera('c')),
    ];
    for (case, budget, demands, expected) in [
        ("its lowest step comes first", 100, &four[..], "a- s- q- p0"),
        ("in the subscriber's order", 200, &four, "a- s- q0 p0"),
        ("then who speaks", 300, &four, "a- s0 q0 p0"),
        ("then the others", 400, &four, "a0 s0 q0 p0"),
        ("one step more", 550, &four, "a0 s0 q0 p1.0"),
        ("all steps of the first", 1_800, &four, "a0 s0 q0 p2"),
        ("before any of the second", 2_100, &four, "a0 s0 q1 p2"),
        ("all of the second", 3_200, &four, "a0 s0 q2 p2"),
        ("then of who speaks", 3_500, &four, "a0 s1 q2 p2"),
        ("then of the others", 4_900, &four, "a1 s2 q2 p2"),
        (
            "a screen stands above a camera",
            900,
            &screens,
            "s0 t0 p0 c-",
        ),
        (
            "the pinned one above the others",
            2_700,
            &screens,
            "s0 t0 p2 c0",
        ),
        (
            "who shares them is all the same",
            4_400,
            &screens,
            "s2 t0 p2 c0",
        ),
    ] {
        assert_eq!(words(&allocate(Some(budget), demands)), expected, "{case}");
    }
}

#[test]
fn who_begins_to_speak_takes_nothing_from_what_is_pinned() {
    let mut demands = [pinned(camera('p')), camera('a'), camera('b')];
    for speaker in [0, 1, 2] {
        for (place, demand) in demands.iter_mut().enumerate().skip(1) {
            demand.standing = if place == speaker {
                Standing::Speaker
            } else {
                Other
            };
        }
        let grants = allocate(Some(2_000), &demands);
        assert_eq!(words(&grants), "p2 a1.0 b1.0", "{speaker}");
        keep(&mut demands, &grants);
    }
    // Without the pin it does.
    demands[0].standing = Other;
    let grants = allocate(Some(2_000), &demands);
    assert_eq!(words(&grants), "p1.0 a1.0 b2");
}

#[test]
fn wavering_budgets_change_nothing() {
    let mut demands = [camera('a'), camera('b')];
    // From one budget to the next; a ninth stays over when something is raised.
    for (budget, expected) in [
        (500, "a1.0 b1.0"),
        (660, "a1.0 b1.0"),
        (730, "a1.0 b1.0"),
        (732, "a1 b1.0"),
        (650, "a1 b1.0"),
        (649, "a1.0 b1.0"),
        (150, "a0 b-"),
        (223, "a0 b-"),
        (226, "a0 b0"),
        (200, "a0 b0"),
        (9_999, "a2 b2"),
    ] {
        let grants = allocate(Some(budget), &demands);
        assert_eq!(words(&grants), expected, "{budget}");
        keep(&mut demands, &grants);
    }
}

#[test]
fn what_flows_is_not_paused_for_want_of_little() {
    let flows = |key| Demand {
        previous: Previous::Granted(layer(0, ALL)),
        ..camera(key)
    };
    for (case, budget, demands, expected) in [
        ("lacks a tenth", 90, vec![flows('a')], "a0"),
        ("lacks a sixth", 85, vec![flows('a')], "a-"),
        ("does not flow yet", 90, vec![camera('a')], "a-"),
        (
            "two lack a little",
            190,
            vec![flows('a'), flows('b')],
            "a0 b0",
        ),
        ("two lack much", 170, vec![flows('a'), flows('b')], "a0 b-"),
    ] {
        assert_eq!(words(&allocate(Some(budget), &demands)), expected, "{case}");
    }
}

#[test]
fn what_is_shown_larger_is_served_better() {
    let shown = |key, width: u64, height: u64| Demand {
        area: width * height,
        ..camera(key)
    };
    // A speaker's view beside two tiles, in the order of the tiles.
    let demands = [
        shown('a', 320, 180),
        shown('b', 320, 180),
        shown('s', 1_280, 720),
    ];
    for (budget, expected) in [
        (100, "a- b- s0"),
        (200, "a0 b- s0"),
        (300, "a0 b0 s0"),
        (450, "a0 b0 s1.0"),
        (749, "a0 b0 s1"),
        (1_700, "a0 b0 s2"),
        (2_000, "a1.0 b1.0 s2"),
        (2_150, "a1 b1.0 s2"),
    ] {
        assert_eq!(
            words(&allocate(Some(budget), &demands)),
            expected,
            "{budget}"
        );
    }
}

#[test]
fn fewer_frames_come_before_a_smaller_picture() {
    // Spatial layers of one encoding, each at half its frames and whole.
    let step = |spatial, temporal| Layer {
        encoding: 0,
        spatial,
        temporal,
    };
    let top = Layer::ALL_SPATIAL;
    let ladder = [
        (step(0, 0), 60),
        (step(0, ALL), 100),
        (step(1, 1), 250),
        (step(1, ALL), 400),
        (step(top, 1), 1_000),
        (step(top, ALL), 1_500),
    ];
    let demands = [Demand {
        wanted: Layer::whole(0),
        ..demand('a', Kind::Camera, &ladder)
    }];
    for (budget, expected) in [
        (1_500, Some(Layer::whole(0))),
        (1_499, Some(step(top, 1))),
        (999, Some(step(1, ALL))),
        (399, Some(step(1, 1))),
        (99, Some(step(0, 0))),
        (59, None),
    ] {
        let grants = allocate(Some(budget), &demands);
        assert_eq!(grants[0].layer, expected, "{budget}");
    }
}

#[test]
fn what_does_not_fit_is_told_in_halvings() {
    let five = || ['a', 'b', 'c', 'd', 'e'].map(camera).to_vec();
    let hidden = Demand {
        wanted: layer(0, ALL),
        ..camera('h')
    };
    for (case, budget, demands, expected) in [
        ("all fits", 9_000, five(), 0.0),
        ("a third and a fourth", 400, vec![camera('a')], 1.9),
        ("a fifteenth", 100, vec![camera('a')], 3.9),
        ("nothing", 50, five(), 5.0),
        ("sound does not count", 40, vec![microphone('m')], 0.0),
        (
            "what is wanted small is served",
            100,
            vec![hidden.clone()],
            0.0,
        ),
        (
            "what is wanted large counts for more",
            1_600,
            vec![hidden.clone(), camera('a')],
            0.0,
        ),
        (
            "one that is paused is missed however small",
            1_050,
            vec![demand('s', Kind::Screen, &[(layer(2, ALL), 1_000)]), hidden],
            1.5,
        ),
        ("nobody", 100, vec![], 0.0),
    ] {
        let grants = allocate(Some(budget), &demands);
        let told = shortfall(&demands, &grants);
        assert!((told - expected).abs() < 0.1, "{case}: {told}");
    }
}

#[test]
fn rates_that_do_not_ascend_are_taken_as_they_are() {
    let odd = [
        (layer(0, ALL), 500),
        (layer(1, ALL), 200),
        (layer(2, ALL), 900),
    ];
    for (budget, expected) in [(499, "a-"), (500, "a1"), (899, "a1"), (900, "a2")] {
        let grants = allocate(Some(budget), &[demand('a', Kind::Camera, &odd)]);
        assert_eq!(words(&grants), expected, "{budget}");
    }
}

prop_compose! {
    fn standings()(priority in 0_u32..3, speaks: bool) -> Standing {
        Standing::new(priority, speaks)
    }
}

prop_compose! {
    fn ladders()(steps in prop::collection::vec(1_u64..1_000, 0..5)) -> Vec<(Layer, u64)> {
        let mut rate = 0;
        (0..)
            .zip(steps)
            .map(|(encoding, step)| {
                rate += step;
                (Layer::whole(encoding), rate)
            })
            .collect()
    }
}

proptest! {
    /// Whatever is demanded: audio is granted, the rest fits the budget, nothing that fits stays
    /// paused, nothing exceeds the wish, and the same again gives the same.
    #[test]
    fn grants_keep_to_the_rules(
        budget in 0_u64..8_000,
        wishes in prop::collection::vec(
            (ladders(), 0_u8..3, standings(), 0_u8..5),
            0..8,
        ),
    ) {
        let mut demands: Vec<Demand<usize>> = wishes
            .iter()
            .enumerate()
            .map(|(key, (ladder, kind, standing, wanted))| Demand {
                key,
                kind: [Kind::Audio, Kind::Screen, Kind::Camera][usize::from(*kind)],
                standing: *standing,
                area: 0,
                wanted: Layer::whole(*wanted),
                ladder: ladder.clone(),
                previous: Previous::New,
            })
            .collect();
        let grants = allocate(Some(budget), &demands);
        keep(&mut demands, &grants);
        prop_assert_eq!(&allocate(Some(budget), &demands), &grants, "stable");
        let rate = |demand: &Demand<usize>, layer: Layer| {
            demand.ladder.iter().rfind(|(step, _)| *step <= layer).map_or(0, |(_, rate)| *rate)
        };
        let mut audio = 0;
        let mut used = 0;
        for (demand, grant) in demands.iter().zip(&grants) {
            prop_assert_eq!(demand.key, grant.key);
            prop_assert!(grant.layer <= Some(demand.wanted));
            match grant.layer {
                Some(layer) if demand.kind == Kind::Audio => audio += rate(demand, layer),
                Some(layer) => used += rate(demand, layer),
                None => prop_assert_ne!(demand.kind, Kind::Audio),
            }
        }
        prop_assert!(used <= budget.saturating_sub(audio));
        // The last word on fairness: raising comes after the lowest step of all.
        let first = |demand: &Demand<usize>| demand.ladder.first().map_or(0, |(_, rate)| *rate);
        for (demand, grant) in demands.iter().zip(&grants) {
            if grant.layer.is_none() {
                let lowest: u64 = demands
                    .iter()
                    .zip(&grants)
                    .filter(|(demand, grant)| demand.kind != Kind::Audio && grant.layer.is_some())
                    .map(|(demand, _)| first(demand))
                    .sum();
                prop_assert!(lowest + first(demand) > budget.saturating_sub(audio));
            }
        }
    }
}

prop_compose! {
    fn cameras()(
        wishes in prop::collection::vec((ladders(), standings(), 0_u64..4), 1..8),
    ) -> Vec<Demand<usize>> {
        let demand = |(key, (ladder, standing, area)): (usize, (_, _, u64))| Demand {
            key,
            kind: Kind::Camera,
            standing,
            area: area * 57_600,
            wanted: Layer::whole(7),
            ladder,
            previous: Previous::New,
        };
        wishes.into_iter().enumerate().map(demand).collect()
    }
}

proptest! {
    /// With more to share, whoever comes first never gets less.
    #[test]
    fn more_is_never_less_for_the_first(
        demands in cameras(),
        budget in 0_u64..8_000,
        more in 0_u64..8_000,
    ) {
        let first = demands
            .iter()
            .min_by_key(|demand| Candidate::new(demand).rank)
            .map_or(0, |demand| demand.key);
        let alone = |budget| allocate(Some(budget), &demands)[first].layer;
        prop_assert!(alone(budget) <= alone(budget + more) || demands.len() > 1);
        prop_assert!(alone(budget).is_none() || alone(budget + more).is_some());
        let one = &demands[first..=first];
        let of_one = |budget| allocate(Some(budget), one)[0].layer;
        prop_assert!(of_one(budget) <= of_one(budget + more));
    }

    /// An estimate that wavers by a twentieth to either side toggles nothing once things have settled.
    #[test]
    fn a_wavering_estimate_toggles_nothing(
        demands in cameras(),
        budget in 100_u64..8_000,
        wavering in prop::collection::vec(-50_i64..=50, 20..40),
    ) {
        let mut demands = demands;
        let mut changes = 0;
        let mut before = Vec::new();
        let settle = [50, -50, 50, -50, 50, -50, 50, -50];
        for (round, per_mille) in settle.iter().chain(&wavering).enumerate() {
            let part = i64::try_from(budget).unwrap() * per_mille / 1_000;
            let grants = allocate(Some(budget.saturating_add_signed(part)), &demands);
            changes += usize::from(round >= settle.len() && grants != before);
            keep(&mut demands, &grants);
            before = grants;
        }
        prop_assert_eq!(changes, 0);
    }
}
