//! Why the page shows what it shows: the answer of the API for the person who asks, as JSON for its overlay. Must not
//! tell anybody of others' subscriptions.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use plenum_proto::v1;
use prost_types::Timestamp;
use serde::Serialize;
use tonic::Code;

use super::guest::refuse;
use crate::{
    api::{Calls, brief, since},
    error::CallError,
    metrics::Api,
};

/// What the overlay shows.
#[derive(Debug, Serialize)]
struct Explanation {
    link: Option<Link>,
    /// Bits per second, 0 when nothing limits it.
    estimate: u64,
    cap: u64,
    wanted: u64,
    feedback: &'static str,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug, Serialize)]
struct Link {
    quality: &'static str,
    score: f32,
    loss_percent: f32,
    round_trip_ms: Option<u128>,
    jitter_ms: Option<u128>,
}

#[derive(Debug, Serialize)]
struct Subscription {
    track: String,
    identity: String,
    asked: String,
    is_pinned: bool,
    granted: String,
    flowing: String,
    published: Vec<Published>,
    findings: Vec<Finding>,
    uplink: Option<Link>,
    missing_percent: f32,
    history: Vec<Decision>,
}

#[derive(Debug, Serialize)]
struct Published {
    step: String,
    is_sent: bool,
}

#[derive(Debug, Serialize)]
struct Finding {
    reason: &'static str,
    side: &'static str,
}

#[derive(Debug, Serialize)]
struct Decision {
    /// Milliseconds since it was made.
    ago_ms: u128,
    from: String,
    to: String,
    reason: &'static str,
}

/// What the caller is sent, and why no more.
pub(super) async fn explain(State(calls): State<Arc<Calls>>, headers: HeaderMap) -> Response {
    let method = "web/subscriptions";
    let answer = calls
        .run(Api::Web, method, &headers, |calls, caller| async move {
            calls.explain_own_subscriptions(&caller).await
        })
        .await;
    match answer {
        Ok(answer) => Json(Explanation::of(answer)).into_response(),
        Err(error) => refuse(status(&error), &error.to_string()),
    }
}

fn status(error: &CallError) -> StatusCode {
    match error.code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl Explanation {
    fn of(answer: v1::ExplainSubscriptionsResponse) -> Self {
        let subscription = |report: v1::SubscriptionReport| Subscription {
            asked: match &report.asked {
                Some(asked) if asked.disabled => "nothing".to_owned(),
                asked => brief(asked.as_ref().and_then(|asked| asked.step.as_ref())),
            },
            is_pinned: (report.asked.as_ref()).is_some_and(|asked| asked.priority > 0),
            granted: brief(report.granted.as_ref()),
            flowing: brief(report.flowing.as_ref()),
            published: report.published.iter().map(Published::of).collect(),
            findings: report.findings.iter().map(Finding::of).collect(),
            uplink: report.uplink.as_ref().map(Link::of),
            missing_percent: report.missing * 100.0,
            history: (report.history.iter().rev())
                .map(|decision| Decision::of(answer.at.as_ref(), decision))
                .collect(),
            track: report.track_id,
            identity: report.identity,
        };
        Self {
            link: answer.link.as_ref().map(Link::of),
            estimate: answer.estimate,
            cap: answer.cap,
            wanted: answer.wanted,
            feedback: answer.feedback().as_str_name(),
            subscriptions: answer.subscriptions.into_iter().map(subscription).collect(),
        }
    }
}

impl Link {
    fn of(report: &v1::LinkReport) -> Self {
        let millis = |span: &prost_types::Duration| Duration::try_from(*span).ok();
        let millis = |span: Option<&prost_types::Duration>| Some(millis(span?)?.as_millis());
        Self {
            quality: report.quality().as_str_name(),
            score: report.score,
            loss_percent: report.loss * 100.0,
            round_trip_ms: millis(report.round_trip.as_ref()),
            jitter_ms: millis(report.jitter.as_ref()),
        }
    }
}

impl Published {
    fn of(step: &v1::Step) -> Self {
        Self {
            step: brief(Some(step)),
            is_sent: step.is_sent,
        }
    }
}

impl Finding {
    fn of(finding: &v1::Finding) -> Self {
        Self {
            reason: finding.reason().as_str_name(),
            side: finding.side().as_str_name(),
        }
    }
}

impl Decision {
    fn of(now: Option<&Timestamp>, decision: &v1::Decision) -> Self {
        Self {
            ago_ms: since(decision.at.as_ref(), now).as_millis(),
            from: brief(decision.from.as_ref()),
            to: brief(decision.to.as_ref()),
            reason: decision.reason().as_str_name(),
        }
    }
}
