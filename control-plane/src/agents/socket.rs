//! A worker's WebSocket at `/agent`: binary frames, a `WorkerMessage` or `ServerMessage` in each. Owns who may
//! register, signs of life, and the caps of one worker. Must not decide who gets a job.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{
        State,
        ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade},
    },
    response::{IntoResponse as _, Response},
    routing::any,
};
use http::{HeaderMap, StatusCode};
use livekit_protocol::{
    self as lk, server_message::Message as Tell, worker_message::Message as Said,
};
use prost::Message as _;
use tokio::{
    sync::{Semaphore, mpsc::Receiver},
    time::{self, MissedTickBehavior, timeout},
};

use super::{Hub, board::WorkerKey};
use crate::{
    auth,
    linger::linger,
    signal::{Refusal, rate::Rate, refusal_text},
};

/// Bytes read from a connection at once; the library's own choice is 128 KiB for each.
const READ_BUFFER: usize = 8 * 1024;

/// Messages a second of one worker, averaged, and at once: it may have a few hundred jobs.
const PER_SECOND: u32 = 100;
const BURST: u32 = 2_000;

/// How long a worker may take to register.
const REGISTER: Duration = Duration::from_secs(10);

/// How often we ping, and how long a worker may give no sign of life.
const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

/// How long a worker may take to read what we send.
const WRITE: Duration = Duration::from_secs(10);

struct Shared {
    hub: Arc<Hub>,
    places: Arc<Semaphore>,
}

/// Why a worker's connection ends: code and text of the close frame (RFC 6455 section 7.4).
type End = (u16, String);

/// The code of a frame that is too big, or none; what follows it can't be read.
const UNREADABLE: u16 = 1009;

/// The path, to be merged into a server.
pub(crate) fn router(hub: Arc<Hub>) -> Router {
    let places = hub.config.max_workers as usize;
    let shared = Arc::new(Shared {
        hub,
        places: Arc::new(Semaphore::new(places)),
    });
    Router::new()
        .route("/agent", any(connect))
        .route("/agent/", any(connect))
        .with_state(shared)
}

async fn connect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return Refusal::NoUpgrade.into_response();
    };
    let api_key = match admit(&shared.hub, &headers) {
        Ok(api_key) => api_key,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        let full = "too many workers".to_owned();
        return refusal_text(StatusCode::SERVICE_UNAVAILABLE, full);
    };
    let most = shared.hub.config.max_message.bytes();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(most)
        .max_frame_size(most)
        .on_upgrade(move |socket| async move {
            run(&shared.hub, socket, &api_key).await;
            drop(place);
        })
}

/// The API key of a token that lets a worker register.
fn admit(hub: &Hub, headers: &HeaderMap) -> Result<String, Refusal> {
    let verified = hub.keys().verify(auth::bearer(headers)?)?;
    verified.require_agent()?;
    Ok(verified.api_key().to_owned())
}

async fn run(hub: &Arc<Hub>, mut socket: WebSocket, api_key: &str) {
    let end = match timeout(REGISTER, register(hub, &mut socket, api_key)).await {
        Ok(Ok((key, told))) => {
            tracing::info!(worker = key.id(), "worker registered");
            let end = serve(hub, &mut socket, key, told).await;
            hub.lost(key);
            tracing::info!(worker = key.id(), why = end.1, "worker gone");
            end
        }
        Ok(Err(end)) => end,
        Err(_) => (1008, "no registration in time".to_owned()),
    };
    let (code, reason) = end;
    let close = Frame::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }));
    if timeout(WRITE, socket.send(close))
        .await
        .is_ok_and(|sent| sent.is_ok())
    {
        linger(&mut socket, code != UNREADABLE).await;
    }
}

async fn register(
    hub: &Arc<Hub>,
    socket: &mut WebSocket,
    api_key: &str,
) -> Result<(WorkerKey, Receiver<Tell>), End> {
    loop {
        let frame = heard(socket.recv().await)?;
        match read(&frame)? {
            Some(Said::Register(request)) => {
                let taken = hub.register(api_key, request);
                return taken.map_err(|error| (1008, error.to_string()));
            }
            Some(_) => return Err((1008, "the first message registers".to_owned())),
            None => {}
        }
    }
}

async fn serve(
    hub: &Arc<Hub>,
    socket: &mut WebSocket,
    key: WorkerKey,
    mut told: Receiver<Tell>,
) -> End {
    let mut rate = Rate::new(Instant::now(), PER_SECOND, BURST);
    let mut ping = time::interval(PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = time::Instant::now();
    loop {
        let sent = tokio::select! {
            () = hub.closing.cancelled() => return (1001, "shutting down".to_owned()),
            () = time::sleep_until(last + SILENCE) => return (1001, "no sign of life".to_owned()),
            message = told.recv() => match message {
                Some(message) => write(socket, message).await,
                None => return (1008, "too slow".to_owned()),
            },
            frame = socket.recv() => {
                let frame = match heard(frame) {
                    Ok(frame) => frame,
                    Err(end) => return end,
                };
                last = time::Instant::now();
                if !rate.take(Instant::now()) {
                    return (1008, "too many messages".to_owned());
                }
                match read(&frame) {
                    Ok(Some(Said::Ping(ping))) => write(socket, pong(ping)).await,
                    Ok(Some(said)) => {
                        take(hub, key, said);
                        Ok(())
                    }
                    Ok(None) => Ok(()),
                    Err(end) => return end,
                }
            }
            _ = ping.tick() => send(socket, Frame::Ping(Vec::new().into())).await,
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

fn take(hub: &Arc<Hub>, key: WorkerKey, said: Said) {
    hub.change(|board, now| match said {
        Said::Availability(answer) => board.on_answer(now, key, answer),
        Said::UpdateWorker(status) => {
            board.on_status(key, &status);
            Vec::new()
        }
        Said::UpdateJob(update) => board.on_job_status(now, key, update),
        Said::MigrateJob(request) => board.on_return(now, key, request.job_ids),
        // It has registered, and jobs that it makes up for itself are its own.
        Said::Register(_) | Said::SimulateJob(_) | Said::Ping(_) => Vec::new(),
    });
}

/// What was read from a connection.
fn heard(frame: Option<Result<Frame, axum::Error>>) -> Result<Frame, End> {
    match frame {
        Some(Ok(frame)) => Ok(frame),
        Some(Err(error)) => Err((UNREADABLE, error.to_string())),
        None => Err(lost()),
    }
}

/// The message in a frame; none in those that are no message, or that a later protocol knows.
fn read(frame: &Frame) -> Result<Option<Said>, End> {
    match frame {
        Frame::Binary(bytes) => lk::WorkerMessage::decode(bytes.clone())
            .map(|message| message.message)
            .map_err(|_| (1007, "no worker message".to_owned())),
        Frame::Text(_) => Err((1003, "messages are binary".to_owned())),
        Frame::Ping(_) | Frame::Pong(_) => Ok(None),
        Frame::Close(_) => Err((1000, String::new())),
    }
}

async fn write(socket: &mut WebSocket, message: Tell) -> Result<(), End> {
    let message = lk::ServerMessage {
        message: Some(message),
    };
    send(socket, Frame::Binary(message.encode_to_vec().into())).await
}

async fn send(socket: &mut WebSocket, frame: Frame) -> Result<(), End> {
    match timeout(WRITE, socket.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(lost()),
        Err(_) => Err((1008, "too slow".to_owned())),
    }
}

fn pong(ping: lk::WorkerPing) -> Tell {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Tell::Pong(lk::WorkerPong {
        last_timestamp: ping.timestamp,
        timestamp: i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX),
    })
}

fn lost() -> End {
    (1000, "connection lost".to_owned())
}
