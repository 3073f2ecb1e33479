//! A participant on this engine: a task that does as its driver commands, one command after another.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::publisher::Publisher;
use super::stack::Transport;
use super::subscriber::Subscriber;
use super::{SharedReceived, lock};
use crate::engine::wishes::Wishes;
use crate::engine::{Command, EngineError, Event, ParticipantSetup, PublishTrack, Target, unix_ns};

struct Member {
    setup: ParticipantSetup,
    events: UnboundedSender<Event>,
    received: SharedReceived,
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
    /// Of a subscriber's transport that is not open yet.
    wishes: Wishes,
    /// Candidates of a transport that is not open yet.
    early: Vec<(Target, String)>,
    talking: bool,
    measuring: bool,
}

/// Runs a participant until it is closed or dropped.
pub(super) async fn run(
    setup: ParticipantSetup,
    events: UnboundedSender<Event>,
    received: SharedReceived,
    mut commands: UnboundedReceiver<Command>,
) {
    let mut member = Member {
        wishes: Wishes::new(&setup.identity),
        setup,
        events,
        received,
        publisher: None,
        subscriber: None,
        early: Vec::new(),
        talking: false,
        measuring: false,
    };
    let mut has_failed = false;
    while let Some(command) = commands.recv().await {
        if matches!(command, Command::Close) {
            break;
        }
        if has_failed {
            continue;
        }
        if let Err(error) = member.handle(command).await {
            has_failed = true;
            member.tell(Event::Failed(error));
        }
    }
    member.close().await;
    member.tell(Event::Closed);
}

impl Member {
    fn tell(&self, event: Event) {
        // A driver that has gone needs no word.
        let _ = self.events.send(event);
    }

    async fn handle(&mut self, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Publish(tracks) => self.publish(&tracks).await?,
            Command::Offer { sdp, id } => self.answer(sdp, id).await?,
            Command::Answer { sdp } => {
                if let Some(publisher) = &mut self.publisher {
                    publisher.handle_answer(sdp).await?;
                }
            }
            Command::Candidate { target, candidate } => match self.transport(target) {
                Some(transport) => transport.add_candidate(candidate).await,
                None => self.early.push((target, candidate)),
            },
            Command::EncodingsWanted { cid, wanted } => {
                if let Some(publisher) = &self.publisher {
                    publisher.set_wanted(cid, wanted);
                }
            }
            Command::Talk(talking) => {
                self.talking = talking;
                if let Some(publisher) = &self.publisher {
                    publisher.set_talking(talking);
                }
            }
            Command::LayerChange { track } => {
                if let Some(subscriber) = &self.subscriber {
                    subscriber.on_layer_change(&track);
                }
            }
            Command::Subscribe { track } => match &self.subscriber {
                Some(subscriber) => subscriber.on_subscribe(&track),
                None => self.wishes.on_subscribe(unix_ns(), &track),
            },
            Command::Rest { track, is_resting } => match &self.subscriber {
                Some(subscriber) => subscriber.on_rest(&track, is_resting),
                None => self.wishes.on_rest(unix_ns(), &track, is_resting),
            },
            Command::TrackEnded { track } => match &self.subscriber {
                Some(subscriber) => subscriber.on_track_ended(&track),
                None => {
                    let received = lock(&self.received);
                    self.wishes.on_track_ended(unix_ns(), &received, &track);
                }
            },
            Command::Begin => {
                self.measuring = true;
                match &self.subscriber {
                    Some(subscriber) => subscriber.begin(),
                    None => self.wishes.begin(unix_ns()),
                }
            }
            Command::End => {
                self.measuring = false;
                if let Some(subscriber) = &self.subscriber {
                    subscriber.end();
                }
            }
            // Taken by the caller.
            Command::Close => {}
        }
        Ok(())
    }

    async fn publish(&mut self, tracks: &[PublishTrack]) -> Result<(), EngineError> {
        let received = SharedReceived::clone(&self.received);
        let publisher = Publisher::open(&self.setup, tracks, &self.events, received).await?;
        publisher.set_talking(self.talking);
        self.publisher = Some(publisher);
        self.add_early(Target::Publisher).await;
        Ok(())
    }

    async fn answer(&mut self, sdp: String, id: u32) -> Result<(), EngineError> {
        if self.subscriber.is_none() {
            let received = SharedReceived::clone(&self.received);
            let wishes = std::mem::take(&mut self.wishes);
            let (setup, events) = (&self.setup, &self.events);
            let opened = Subscriber::open(setup, self.measuring, wishes, events, received);
            self.subscriber = Some(opened.await?);
            self.add_early(Target::Subscriber).await;
        }
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.handle_offer(sdp, id).await?;
        }
        Ok(())
    }

    /// Adds the candidates that came before their transport.
    async fn add_early(&mut self, target: Target) {
        for (of, candidate) in std::mem::take(&mut self.early) {
            if of != target {
                self.early.push((of, candidate));
            } else if let Some(transport) = self.transport(target) {
                transport.add_candidate(candidate).await;
            }
        }
    }

    fn transport(&mut self, target: Target) -> Option<&mut Transport> {
        match target {
            Target::Publisher => self.publisher.as_mut().map(Publisher::transport),
            Target::Subscriber => self.subscriber.as_mut().map(Subscriber::transport),
        }
    }

    /// Hands in what was received, and says goodbye.
    async fn close(&mut self) {
        if let Some(mut subscriber) = self.subscriber.take() {
            subscriber.end();
            subscriber.transport().close().await;
        }
        if let Some(mut publisher) = self.publisher.take() {
            publisher.transport().close().await;
        }
    }
}
