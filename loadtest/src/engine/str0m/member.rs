//! A participant on its thread: its two transports and who to tell.

use std::time::Instant;

use mio::{Interest, Registry, Token};
use tokio::sync::mpsc::UnboundedSender;

use super::publisher::Publisher;
use super::socket::ReadBuffers;
use super::subscriber::{Offer, Subscriber};
use super::transport::{Transport, TransportSetup};
use crate::engine::received::Received;
use crate::engine::wishes::Wishes;
use crate::engine::{Command, EngineError, Event, ParticipantSetup, PublishTrack, Target};

/// See the module.
pub(super) struct Member {
    id: usize,
    setup: ParticipantSetup,
    events: UnboundedSender<Event>,
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
    /// Of a subscriber's transport that is not open yet.
    wishes: Wishes,
    measuring: bool,
    talking: bool,
    failed: bool,
    /// What its timer is set for.
    pub(super) armed: Option<Instant>,
}

impl Member {
    pub(super) fn new(id: usize, setup: ParticipantSetup, events: UnboundedSender<Event>) -> Self {
        Self {
            id,
            wishes: Wishes::new(&setup.identity),
            setup,
            events,
            publisher: None,
            subscriber: None,
            measuring: false,
            talking: false,
            failed: false,
            armed: None,
        }
    }

    /// Tells the driver; it may have gone.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// When something has to be done; `None`: not before a command or a datagram.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.failed {
            return None;
        }
        let publisher = self.publisher.as_ref().map(Publisher::due);
        let subscriber = self.subscriber.as_ref().map(Subscriber::due);
        publisher.into_iter().chain(subscriber).min()
    }

    pub(super) fn handle_readable(
        &mut self,
        now: Instant,
        target: Target,
        buffers: &mut ReadBuffers,
        received: &mut Received,
    ) {
        let result = match target {
            Target::Publisher => self
                .publisher
                .as_mut()
                .map_or(Ok(()), |publisher| publisher.receive(now, buffers)),
            Target::Subscriber => self.subscriber.as_mut().map_or(Ok(()), |subscriber| {
                subscriber.receive(now, buffers, received)
            }),
        };
        self.settle(result);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, now_ns: u64, received: &mut Received) {
        let publisher = self.publisher.as_mut().map_or(Ok(()), |publisher| {
            if publisher.due() > now {
                return Ok(());
            }
            publisher.handle_timeout(now, now_ns, received)
        });
        let subscriber = self.subscriber.as_mut().map_or(Ok(()), |subscriber| {
            if subscriber.due() > now {
                return Ok(());
            }
            subscriber.handle_timeout(now, now_ns, received)
        });
        self.settle(publisher.and(subscriber));
    }

    pub(super) fn handle(
        &mut self,
        now: Instant,
        now_ns: u64,
        registry: &Registry,
        received: &mut Received,
        command: Command,
    ) {
        let result = self.obey(now, now_ns, registry, received, command);
        self.settle(result);
    }

    fn obey(
        &mut self,
        now: Instant,
        now_ns: u64,
        registry: &Registry,
        received: &mut Received,
        command: Command,
    ) -> Result<(), EngineError> {
        match command {
            Command::Publish(tracks) => self.publish(now, now_ns, registry, tracks)?,
            Command::Offer { sdp, id } => {
                let offer = Offer::parse(&sdp, id)?;
                self.answer(now, now_ns, registry, received, offer)?;
            }
            Command::Answer { sdp } => {
                if let Some(publisher) = &mut self.publisher {
                    publisher.handle_answer(now, now_ns, &sdp)?;
                }
            }
            Command::Candidate { target, candidate } => {
                if let Some(transport) = self.transport(target) {
                    transport.add_candidate(now, &candidate)?;
                }
                self.drain(now, now_ns, received)?;
            }
            Command::EncodingsWanted { cid, wanted } => {
                if let Some(publisher) = &mut self.publisher {
                    publisher.set_wanted(now, &cid, &wanted);
                }
            }
            Command::Talk(talking) => {
                self.talking = talking;
                if let Some(publisher) = &mut self.publisher {
                    publisher.set_talking(talking);
                }
            }
            Command::LayerChange { track } => {
                if let Some(subscriber) = &mut self.subscriber {
                    subscriber.on_layer_change(now_ns, &track);
                }
            }
            Command::Subscribe { track } => self.wishes().on_subscribe(now_ns, &track),
            Command::Rest { track, is_resting } => match &mut self.subscriber {
                Some(subscriber) => subscriber.on_rest(now_ns, &track, is_resting),
                None => self.wishes.on_rest(now_ns, &track, is_resting),
            },
            Command::TrackEnded { track } => match &mut self.subscriber {
                Some(subscriber) => subscriber.on_track_ended(now_ns, received, &track),
                None => self.wishes.on_track_ended(now_ns, received, &track),
            },
            Command::Begin => {
                self.measuring = true;
                match &mut self.subscriber {
                    Some(subscriber) => subscriber.begin(now_ns),
                    None => self.wishes.begin(now_ns),
                }
            }
            Command::End => {
                self.measuring = false;
                if let Some(subscriber) = &mut self.subscriber {
                    subscriber.end(now_ns, received);
                }
            }
            // The thread takes this one: it has to forget us.
            Command::Close => {}
        }
        Ok(())
    }

    /// Takes the server's offer as it was read elsewhere.
    pub(super) fn handle_offer(
        &mut self,
        now: Instant,
        now_ns: u64,
        registry: &Registry,
        received: &mut Received,
        offer: Result<Offer, EngineError>,
    ) {
        let result = offer.and_then(|offer| self.answer(now, now_ns, registry, received, offer));
        self.settle(result);
    }

    fn answer(
        &mut self,
        now: Instant,
        now_ns: u64,
        registry: &Registry,
        received: &mut Received,
        offer: Offer,
    ) -> Result<(), EngineError> {
        let id = offer.id;
        let subscriber = self.subscriber(now, registry)?;
        let sdp = subscriber.handle_offer(now, now_ns, received, offer)?;
        self.tell(Event::Answer { sdp, id });
        Ok(())
    }

    fn wishes(&mut self) -> &mut Wishes {
        match &mut self.subscriber {
            Some(subscriber) => subscriber.wishes(),
            None => &mut self.wishes,
        }
    }

    /// The subscriber's transport, opened when first needed.
    fn subscriber(
        &mut self,
        now: Instant,
        registry: &Registry,
    ) -> Result<&mut Subscriber, EngineError> {
        let setup = self.transport_setup(Target::Subscriber);
        let token = self.token(Target::Subscriber);
        match &mut self.subscriber {
            Some(subscriber) => Ok(subscriber),
            none => {
                let wishes = std::mem::take(&mut self.wishes);
                let mut subscriber = Subscriber::open(setup, self.measuring, wishes, now)?;
                register(registry, subscriber.transport(), token)?;
                Ok(none.insert(subscriber))
            }
        }
    }

    fn publish(
        &mut self,
        now: Instant,
        now_ns: u64,
        registry: &Registry,
        tracks: Vec<PublishTrack>,
    ) -> Result<(), EngineError> {
        let setup = self.transport_setup(Target::Publisher);
        let (mut publisher, sdp) = Publisher::open(setup, tracks, self.setup.messages, now)?;
        register(
            registry,
            publisher.transport(),
            self.token(Target::Publisher),
        )?;
        publisher.set_talking(self.talking);
        publisher.drain(now, now_ns)?;
        self.publisher = Some(publisher);
        self.tell(Event::Offer { sdp });
        Ok(())
    }

    /// Hands in what was received and says goodbye to the server's transports.
    pub(super) fn close(&mut self, now: Instant, now_ns: u64, received: &mut Received) {
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.end(now_ns, received);
            subscriber.transport().close(now);
        }
        if let Some(publisher) = &mut self.publisher {
            publisher.transport().close(now);
        }
    }

    fn drain(
        &mut self,
        now: Instant,
        now_ns: u64,
        received: &mut Received,
    ) -> Result<(), EngineError> {
        if let Some(publisher) = &mut self.publisher {
            publisher.drain(now, now_ns)?;
        }
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.drain(now, now_ns, received)?;
        }
        Ok(())
    }

    /// Sends what waits, tells what happened. After an error the participant does nothing more.
    fn settle(&mut self, result: Result<(), EngineError>) {
        if let Some(publisher) = &mut self.publisher {
            publisher.transport().socket.flush();
            for event in publisher.told() {
                let _ = self.events.send(event);
            }
        }
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.transport().socket.flush();
            for event in subscriber.told() {
                let _ = self.events.send(event);
            }
        }
        if let Err(error) = result
            && !self.failed
        {
            self.failed = true;
            self.tell(Event::Failed(error));
        }
    }

    fn transport(&mut self, target: Target) -> Option<&mut Transport> {
        match target {
            Target::Publisher => self.publisher.as_mut().map(Publisher::transport),
            Target::Subscriber => self.subscriber.as_mut().map(Subscriber::transport),
        }
    }

    fn transport_setup(&self, target: Target) -> TransportSetup {
        TransportSetup {
            local: self.setup.local,
            network: self.setup.network,
            window: self.setup.window.clone(),
            seed: self
                .setup
                .seed
                .wrapping_mul(4)
                .wrapping_add(target as u64 * 2),
        }
    }

    fn token(&self, target: Target) -> Token {
        Token(self.id * 2 + target as usize)
    }
}

fn register(
    registry: &Registry,
    transport: &mut Transport,
    token: Token,
) -> Result<(), EngineError> {
    registry
        .register(&mut transport.socket.io, token, Interest::READABLE)
        .map_err(|error| EngineError::Socket(error.to_string()))
}
