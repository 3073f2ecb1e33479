//! Who takes part: a pure function of the scenario.

use std::time::Duration;

use crate::engine::{Messages, PublishMedia, PublishTrack};
use crate::media::EncodingSpec;
use crate::scenario::{DataKinds, Scenario};
use crate::signal::{Layer, NewTrack};

/// Names of the tracks a publisher has.
pub const MICROPHONE: &str = "microphone";
/// See [`MICROPHONE`].
pub const CAMERA: &str = "camera";

/// Whether a participant publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It publishes, and may subscribe.
    Publisher,
    /// It only subscribes.
    Subscriber,
}

/// A place in a room. With churn, one participant after another takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Number over all rooms.
    pub number: u32,
    /// Room.
    pub room: u32,
    /// Number among those of its role in the room.
    pub index: u32,
    /// Whether its participant publishes.
    pub role: Role,
    /// Whether it publishes audio.
    pub audio: bool,
    /// Whether it publishes video.
    pub video: bool,
    /// Whether it subscribes.
    pub subscribes: bool,
}

/// All seats in the order of joining: publishers of every room before subscribers, rooms in turn.
#[must_use]
pub fn plan(scenario: &Scenario) -> Vec<Seat> {
    let mut seats: Vec<Seat> = Vec::new();
    for (role, count) in [
        (Role::Publisher, scenario.publishers),
        (Role::Subscriber, scenario.subscribers),
    ] {
        let publishes = role == Role::Publisher;
        for index in 0..count {
            seats.extend((0..scenario.rooms).map(|room| Seat {
                number: 0,
                room,
                index,
                role,
                audio: publishes && scenario.audio.is_some(),
                video: publishes && index < scenario.video_publishers(),
                subscribes: !publishes || scenario.publishers_subscribe,
            }));
        }
    }
    for (number, seat) in (0..).zip(&mut seats) {
        seat.number = number;
    }
    seats
}

impl Seat {
    /// Identity of the participant of `generation` on this seat; the first is 0. `process` tells apart
    /// harnesses that share a room, which may happen only when the scenario names one.
    #[must_use]
    pub fn identity(&self, scenario: &Scenario, generation: u32, process: u32) -> String {
        let role = match self.role {
            Role::Publisher => "publisher",
            Role::Subscriber => "subscriber",
        };
        let mut identity = format!("{role}-{}", self.index);
        if generation > 0 {
            identity += &format!("-{generation}");
        }
        if scenario.room.is_some() {
            identity += &format!("@{process}");
        }
        identity
    }

    /// Everything random of that participant follows from this.
    #[must_use]
    pub fn seed(&self, scenario: &Scenario, generation: u32) -> u64 {
        let place = u64::from(self.number) << 32 | u64::from(generation);
        // Neighbours must not have neighbouring seeds: a multiplicative mix.
        (scenario.seed ^ place)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(31)
            .wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    /// Data messages of its participant. `next_number` gives it a number.
    #[must_use]
    pub fn messages(
        &self,
        scenario: &Scenario,
        next_number: impl FnOnce() -> u32,
    ) -> Option<Messages> {
        let data = scenario.data.filter(|_| self.role == Role::Publisher)?;
        Some(Messages {
            sender: next_number(),
            interval: Duration::from_secs_f64(1.0 / data.rate),
            size: data.size as usize,
            reliable: data.kinds != DataKinds::Lossy,
            lossy: data.kinds != DataKinds::Reliable,
        })
    }

    /// Tracks of its participant: how they are announced and what is sent. `next_number` gives a number
    /// for each.
    #[must_use]
    pub fn tracks(
        &self,
        scenario: &Scenario,
        identity: &str,
        mut next_number: impl FnMut() -> u32,
    ) -> Vec<(NewTrack, PublishTrack)> {
        let mut tracks = Vec::new();
        let mut push = |name: &str, mime, layers, media| {
            let number = next_number();
            let cid = format!("{name}-{number}-{identity}");
            let announced = NewTrack {
                cid: cid.clone(),
                name: name.to_owned(),
                mime,
                layers,
            };
            tracks.push((announced, PublishTrack { cid, number, media }));
        };
        if let Some(audio) = scenario.audio.filter(|_| self.audio) {
            let media = PublishMedia::Audio {
                bitrate: audio.bitrate.bps(),
            };
            push(
                MICROPHONE,
                crate::media::Codec::Opus.mime(),
                Vec::new(),
                media,
            );
        }
        if let Some(video) = scenario.video.as_ref().filter(|_| self.video) {
            let simulcast = video.layers.len() > 1;
            let layers = video.layers.iter().map(|layer| Layer {
                rid: if simulcast {
                    layer.rid.clone()
                } else {
                    String::new()
                },
                width: layer.width,
                height: layer.height,
                bitrate: u32::try_from(layer.bitrate.bps()).unwrap_or(u32::MAX),
            });
            let encodings = video.layers.iter().map(|layer| EncodingSpec {
                rid: simulcast.then(|| layer.rid.clone()),
                width: layer.width,
                height: layer.height,
                fps: layer.fps,
                bitrate: layer.bitrate.bps(),
                temporal_layers: layer.temporal_layers,
            });
            let media = PublishMedia::Video {
                codec: video.codec,
                encodings: encodings.collect(),
            };
            push(CAMERA, video.codec.mime(), layers.collect(), media);
        }
        tracks
    }
}

/// Whether publisher `index` of `publishers` talks in turn number `turn` when `talkers` talk at a time.
#[must_use]
pub fn is_talking(index: u32, publishers: u32, talkers: u32, turn: u64) -> bool {
    if publishers == 0 || talkers == 0 {
        return false;
    }
    let first = (turn % u64::from(publishers)) * u64::from(talkers) % u64::from(publishers);
    let behind = (u64::from(index) + u64::from(publishers) - first) % u64::from(publishers);
    behind < u64::from(talkers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(overrides: impl FnOnce(&mut Scenario)) -> Scenario {
        let mut scenario = Scenario::load("meeting", &[]).expect("built in");
        overrides(&mut scenario);
        scenario
    }

    #[test]
    fn publishers_come_first_and_rooms_in_turn() {
        let scenario = scenario(|s| {
            (s.rooms, s.publishers, s.subscribers) = (2, 1, 2);
        });
        let seats = plan(&scenario);
        let order: Vec<_> = seats
            .iter()
            .map(|seat| (seat.room, seat.identity(&scenario, 0, 7)))
            .collect();
        let expected = [
            (0, "publisher-0"),
            (1, "publisher-0"),
            (0, "subscriber-0"),
            (1, "subscriber-0"),
            (0, "subscriber-1"),
            (1, "subscriber-1"),
        ];
        assert!(
            order
                .iter()
                .map(|(room, name)| (*room, name.as_str()))
                .eq(expected),
            "{order:?}"
        );
        assert!(
            seats
                .iter()
                .zip(0..)
                .all(|(seat, number)| seat.number == number)
        );
    }

    #[test]
    fn who_publishes_what() {
        let scenario = scenario(|s| {
            (s.rooms, s.publishers, s.subscribers) = (1, 3, 1);
            if let Some(video) = &mut s.video {
                video.publishers = Some(1);
            }
            s.publishers_subscribe = false;
        });
        let names = |seat: &Seat| {
            let mut number = 0;
            let tracks = seat.tracks(&scenario, "x", || {
                number += 1;
                number
            });
            tracks
                .into_iter()
                .map(|(track, _)| track.name)
                .collect::<Vec<_>>()
        };
        let seats = plan(&scenario);
        assert_eq!(names(&seats[0]), [MICROPHONE, CAMERA]);
        assert_eq!(names(&seats[1]), [MICROPHONE]);
        assert!(names(&seats[3]).is_empty());
        assert!(!seats[0].subscribes && seats[3].subscribes);
    }

    #[test]
    fn nobody_takes_the_identity_of_another() {
        let mut scenario = scenario(|_| {});
        let seat = plan(&scenario).remove(0);
        assert_eq!(seat.identity(&scenario, 2, 7), "publisher-0-2");
        scenario.room = Some("studio".to_owned());
        assert_ne!(
            seat.identity(&scenario, 0, 7),
            seat.identity(&scenario, 0, 8)
        );
    }

    #[test]
    fn one_encoding_has_no_rid() {
        let scenario = scenario(|s| {
            if let Some(video) = &mut s.video {
                video.layers.truncate(1);
            }
        });
        let tracks = plan(&scenario)[0].tracks(&scenario, "x", || 1);
        let Some((
            announced,
            PublishTrack {
                media: PublishMedia::Video { encodings, .. },
                ..
            },
        )) = tracks.last()
        else {
            panic!("{tracks:?}");
        };
        assert_eq!(
            (announced.layers[0].rid.as_str(), &encodings[0].rid),
            ("", &None)
        );
    }

    #[test]
    fn everyone_talks_in_turn() {
        let who = |talkers, turn| {
            (0..5)
                .filter(|index| is_talking(*index, 5, talkers, turn))
                .collect::<Vec<_>>()
        };
        assert_eq!(who(2, 0), [0, 1]);
        assert_eq!(who(2, 1), [2, 3]);
        assert_eq!(who(2, 2), [0, 4]);
        assert_eq!(who(9, 3), [0, 1, 2, 3, 4]);
        assert!(who(0, 1).is_empty());
        assert!(!is_talking(0, 0, 1, 7));
    }

    #[test]
    fn seeds_differ_by_seat_generation_and_scenario() {
        let one = scenario(|s| s.seed = 1);
        let seats = plan(&one);
        let mut seeds: Vec<u64> = seats
            .iter()
            .flat_map(|seat| [0, 1].map(|generation| seat.seed(&one, generation)))
            .collect();
        let count = seeds.len();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), count);
        let two = scenario(|s| s.seed = 2);
        assert_ne!(seats[0].seed(&one, 0), seats[0].seed(&two, 0));
    }
}
