//! What a player may ask and be told besides media: the layer to be sent, and events (the extensions
//! "layer" and "server-sent-events" of the WHEP drafts before -02, which players use; WHATWG HTML section
//! 9.2 for the stream). Must not choose a layer itself.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _, stream};
use plenum_proto::v1::{VideoLayer, VideoQuality};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

use super::{play::Follow, problem::Problem, session::random_name};

/// Streams of events of one session at once.
const MAX_STREAMS: usize = 4;

/// The events there are.
const EVENTS: [&str; 3] = ["active", "inactive", "layers"];

/// What a player may be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Told {
    is_active: bool,
    layers: Option<Value>,
}

impl Told {
    /// Takes over what is played now; whether that is news.
    pub(super) fn update(&mut self, follow: &Follow) -> bool {
        let (section, layers) = follow.layers();
        let told = Self {
            is_active: follow.is_active(),
            layers: follow.video().map(|_| describe(section, &layers)),
        };
        let is_news = told != *self;
        *self = told;
        is_news
    }

    /// The events that lead from what was told before to this.
    fn since(&self, before: Option<&Self>) -> Vec<(&'static str, Value)> {
        let was_active = before.is_some_and(|before| before.is_active);
        let mut events = Vec::new();
        match (was_active, self.is_active) {
            (false, true) => events.push(("active", json!({}))),
            (true, false) => events.push(("inactive", json!({}))),
            _ => {}
        }
        let is_new = before.is_none_or(|before| before.layers != self.layers);
        if let Some(layers) = self.layers.as_ref().filter(|_| is_new) {
            events.push(("layers", layers.clone()));
        }
        events
    }
}

fn describe(section: usize, layers: &[VideoLayer]) -> Value {
    let each = layers.iter().enumerate().map(|(index, layer)| {
        let mut told = json!({ "encodingId": name(layer), "simulcastIdx": index });
        for (key, value) in [
            ("width", layer.width),
            ("height", layer.height),
            ("bitrate", layer.bitrate),
        ] {
            if value > 0
                && let Some(told) = told.as_object_mut()
            {
                told.insert(key.to_owned(), value.into());
            }
        }
        told
    });
    let each: Vec<Value> = each.collect();
    json!({ section.to_string(): { "layers": each } })
}

/// What a layer is called: by its stream id, or by custom.
fn name(layer: &VideoLayer) -> &str {
    match (layer.rid.as_str(), layer.quality()) {
        ("", VideoQuality::Low) => "q",
        ("", VideoQuality::Medium) => "h",
        ("", _) => "f",
        (rid, _) => rid,
    }
}

/// The layer that a player wants; nothing = our choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Selection {
    media_id: Option<String>,
    encoding_id: Option<String>,
}

impl Selection {
    /// The step of the ladder that is meant.
    pub(super) fn quality(
        &self,
        section: usize,
        layers: &[VideoLayer],
    ) -> Result<VideoQuality, Problem> {
        if let Some(media) = &self.media_id
            && *media != section.to_string()
        {
            let message = format!("mediaId: the video section is \"{section}\"");
            return Err(Problem::Unsupported(message));
        }
        let Some(wanted) = &self.encoding_id else {
            return Ok(VideoQuality::High);
        };
        let found = layers.iter().find(|layer| name(layer) == wanted);
        found.map(VideoLayer::quality).ok_or_else(|| {
            let names: Vec<&str> = layers.iter().map(name).collect();
            Problem::Unsupported(format!(
                "encodingId: there is no layer \"{wanted}\", there are {names:?}"
            ))
        })
    }
}

/// The streams of events that a player made, by name: which events, and how to end it.
#[derive(Debug, Default)]
pub(super) struct Streams {
    made: Mutex<BTreeMap<String, (Vec<String>, CancellationToken)>>,
}

impl Streams {
    /// Makes a stream of some of the events; returns its name.
    pub(super) fn make(&self, events: Vec<String>) -> Result<String, Problem> {
        if let Some(unknown) = events
            .iter()
            .find(|event| !EVENTS.contains(&event.as_str()))
        {
            let message = format!("there is no event \"{unknown}\", there are {EVENTS:?}");
            return Err(Problem::Unsupported(message));
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MAX_STREAMS {
            let message = format!("a session has at most {MAX_STREAMS} event streams");
            return Err(Problem::Unsupported(message));
        }
        let name = random_name();
        made.insert(name.clone(), (events, CancellationToken::new()));
        Ok(name)
    }

    /// Ends a stream.
    pub(super) fn end(&self, name: &str) -> Result<(), Problem> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, stop) = made.remove(name).ok_or(Problem::NoSession)?;
        stop.cancel();
        Ok(())
    }

    /// The events of a stream, and what ends it.
    pub(super) fn find(&self, name: &str) -> Result<(Vec<String>, CancellationToken), Problem> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(name).cloned().ok_or(Problem::NoSession)
    }
}

/// All events of a session, for clients that only know how to read a stream.
pub(super) fn every() -> (Vec<String>, CancellationToken) {
    let events = EVENTS.iter().map(|event| (*event).to_owned());
    (events.collect(), CancellationToken::new())
}

/// Tells events as they come, until the session ends or `stop`.
pub(super) fn events(
    told: watch::Receiver<Told>,
    (wanted, stop): (Vec<String>, CancellationToken),
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send + 'static> {
    let mut before: Option<Told> = None;
    let news = WatchStream::new(told).flat_map(move |told| {
        let events = told.since(before.as_ref());
        before = Some(told);
        let wanted = events
            .into_iter()
            .filter(|(name, _)| wanted.iter().any(|wanted| wanted == name))
            .map(|(name, data)| Ok(Event::default().event(name).data(data.to_string())));
        stream::iter(wanted.collect::<Vec<_>>())
    });
    let until = async move { stop.cancelled().await };
    Sse::new(news.take_until(until)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// So often a silent stream shows that it is alive, for proxies that cut idle connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(rid: &str, quality: VideoQuality, width: u32) -> VideoLayer {
        VideoLayer {
            rid: rid.into(),
            quality: quality.into(),
            width,
            ..VideoLayer::default()
        }
    }

    #[test]
    fn a_layer_is_chosen_by_its_name() {
        let layers = [
            layer("lo", VideoQuality::Low, 320),
            layer("", VideoQuality::Medium, 640),
        ];
        let quality = |text: &str| {
            let selection: Selection = serde_json::from_str(text).unwrap();
            selection
                .quality(1, &layers)
                .map_err(|problem| problem.to_string())
        };
        assert_eq!(quality("{}"), Ok(VideoQuality::High));
        assert_eq!(quality(r#"{"encodingId":"lo"}"#), Ok(VideoQuality::Low));
        assert_eq!(
            quality(r#"{"encodingId":"h","mediaId":"1"}"#),
            Ok(VideoQuality::Medium)
        );
        assert!(
            quality(r#"{"encodingId":"x"}"#)
                .unwrap_err()
                .contains(r#"["lo", "h"]"#)
        );
        assert!(
            quality(r#"{"mediaId":"0"}"#)
                .unwrap_err()
                .contains("mediaId")
        );
        assert!(serde_json::from_str::<Selection>(r#"{"temporalLayerId":0}"#).is_err());
    }

    #[test]
    fn events_tell_what_changed() {
        let told = |is_active, layers: &[VideoLayer]| Told {
            is_active,
            layers: (!layers.is_empty()).then(|| describe(1, layers)),
        };
        let names = |now: &Told, before: Option<&Told>| -> Vec<&str> {
            now.since(before)
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        let idle = told(false, &[]);
        let one = told(true, &[layer("a", VideoQuality::Low, 0)]);
        let two = told(true, &[layer("a", VideoQuality::Low, 320)]);
        assert_eq!(names(&idle, None), [""; 0]);
        assert_eq!(names(&one, None), ["active", "layers"]);
        assert_eq!(names(&one, Some(&idle)), ["active", "layers"]);
        assert_eq!(names(&two, Some(&one)), ["layers"]);
        assert_eq!(names(&idle, Some(&two)), ["inactive"]);
        assert_eq!(
            two.layers.unwrap().to_string(),
            r#"{"1":{"layers":[{"encodingId":"a","simulcastIdx":0,"width":320}]}}"#
        );
    }

    #[test]
    fn a_session_has_a_few_streams() {
        let streams = Streams::default();
        let name = streams.make(vec!["layers".into()]).unwrap();
        assert_eq!(streams.find(&name).unwrap().0, ["layers"]);
        streams.end(&name).unwrap();
        assert!(streams.find(&name).is_err() && streams.end(&name).is_err());
        assert!(streams.make(vec!["viewercount".into()]).is_err());
        for _ in 0..MAX_STREAMS {
            streams.make(Vec::new()).unwrap();
        }
        assert!(streams.make(Vec::new()).is_err());
    }
}
