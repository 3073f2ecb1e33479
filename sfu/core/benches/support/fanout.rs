//! One room: cameras, and a crowd that subscribes to some of them. Must not measure by itself.

use std::time::Duration;

use super::{
    client::{Media, Plan, Takes},
    crowd::Frame,
    millis,
    stage::{Costs, Stage},
};

/// Who is in a room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) publishers: u32,
    /// Cameras of each publisher.
    pub(crate) cameras: usize,
    pub(crate) subscribers: u32,
    pub(crate) takes: Takes,
}

impl Cast {
    /// One camera, and so many who see it.
    pub(crate) fn one_to(subscribers: u32) -> Self {
        Self {
            publishers: 1,
            cameras: 1,
            subscribers,
            takes: Takes::Everything,
        }
    }
}

/// A room in which media flows.
pub(crate) struct Fanout {
    pub(crate) stage: Stage,
    /// Number of the publisher, and which of its cameras.
    cameras: Vec<(u32, usize)>,
    subscribers: u32,
}

/// How media is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// Packets of a frame, which come at once.
    pub(crate) packets: u8,
    /// From frame to frame of a source.
    pub(crate) interval: Duration,
    /// How many of the cameras send; the others are silent.
    pub(crate) active: usize,
}

impl Flow {
    /// 250 packets of one source per second, one by one.
    pub(crate) const PACKET: Self = Self {
        packets: 1,
        interval: millis(4),
        active: 1,
    };

    /// Twice as many, two at a time.
    pub(crate) const PAIR: Self = Self {
        packets: 2,
        ..Self::PACKET
    };

    /// The same as one by one, six at a time.
    pub(crate) const FRAME: Self = Self {
        packets: 6,
        interval: millis(24),
        active: 1,
    };
}

/// What came of a while of media.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Packets of publishers.
    pub(crate) received: u64,
    /// Packets to subscribers.
    pub(crate) forwarded: u64,
    pub(crate) costs: Costs,
}

impl Sample {
    /// Nanoseconds per forwarded packet.
    pub(crate) fn nanos(&self) -> f64 {
        self.costs.time().as_nanos() as f64 / self.forwarded as f64
    }
}

impl Fanout {
    /// Between two turns of the clients, and so about how long a datagram is under way.
    const STEP: Duration = millis(4);

    /// All connected, and media of all cameras flowing for so long.
    pub(crate) fn new(mut stage: Stage, cast: Cast, warm_up: Duration) -> Self {
        let mut join = |count: u32, publishes: Vec<Media>, subscribes: Takes| {
            for index in 0..count {
                // Not all at once, so that their reports do not come in the same moment.
                if index % 10 == 9 {
                    stage.turn(millis(10), Vec::new());
                }
                stage.join(Plan {
                    room: "room".into(),
                    publishes: publishes.clone(),
                    subscribes,
                    is_hidden: publishes.is_empty(),
                });
            }
            stage.connect();
            stage.rest(millis(100), millis(10));
        };
        join(
            cast.publishers,
            vec![Media::Video; cast.cameras],
            Takes::Nothing,
        );
        join(cast.subscribers, Vec::new(), cast.takes);
        let cameras = (0..cast.cameras)
            .flat_map(|camera| (0..cast.publishers).map(move |publisher| (publisher, camera)));
        let mut made = Self {
            stage,
            cameras: cameras.collect(),
            subscribers: cast.subscribers,
        };
        let all = Flow {
            active: made.cameras.len(),
            ..Flow::FRAME
        };
        made.play(all, warm_up);
        made
    }

    /// Media flows for a while; panics unless all of it reaches everybody.
    pub(crate) fn play(&mut self, flow: Flow, span: Duration) -> Sample {
        let before = self.stage.shard.stats();
        self.stage.costs = Costs::default();
        let end = self.stage.now + span;
        while self.stage.now < end {
            let frame = |&(client, source): &(u32, usize)| Frame {
                client,
                source,
                packets: flow.packets,
            };
            let frames = self.cameras.iter().take(flow.active).map(frame);
            let frames = frames.collect();
            self.stage.turn(Self::STEP, frames);
            // So that what was sent is under way for as long, however rarely pictures are taken.
            self.stage
                .rest(flow.interval.saturating_sub(Self::STEP), Self::STEP);
        }
        let after = self.stage.shard.stats();
        Sample {
            received: after.packets_received - before.packets_received,
            forwarded: after.packets_forwarded - before.packets_forwarded,
            costs: self.stage.costs,
        }
    }

    /// The same, for a steady state: panics unless everything went to everybody.
    pub(crate) fn measure(&mut self, flow: Flow, span: Duration) -> Sample {
        let sample = self.play(flow, span);
        let expected = sample.received * u64::from(self.subscribers);
        assert!(
            sample.received > 0 && sample.forwarded == expected,
            "{} of {expected} forwarded, of {}; {:?}",
            sample.forwarded,
            sample.received,
            self.stage.shard.stats()
        );
        sample
    }
}
