//! `plenum explain ROOM IDENTITY`: why a participant sees what it sees, asked of the API and laid out for people. Must
//! not find reasons.

use std::{fmt::Write as _, time::Duration};

use clap::Args;
use plenum_proto::v1::{
    self, ExplainSubscriptionsRequest, Side, SubscriptionReason as Reason,
    participant_service_client::ParticipantServiceClient,
};
use plenum_service::cli::AnyError;

use super::at::At;
use crate::{
    api::{brief, since},
    auth::VideoGrants,
    config::Front,
};

/// `plenum explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Name of the room.
    room: String,
    /// Identity of the participant who sees it.
    identity: String,
    #[command(flatten)]
    at: At,
}

impl Explain {
    /// Asks the API; what there is to show.
    pub(super) async fn ask(self, config: &Front) -> Result<String, AnyError> {
        let grants = VideoGrants {
            room_admin: true,
            room: self.room.clone(),
            ..VideoGrants::default()
        };
        let mut client = ParticipantServiceClient::new(self.at.connect(config, grants).await?);
        let request = ExplainSubscriptionsRequest {
            room: self.room,
            identity: self.identity,
        };
        let answer = client.explain_subscriptions(request).await?;
        Ok(text(&answer.into_inner()))
    }
}

/// Everything, one subscription after the other.
fn text(answer: &v1::ExplainSubscriptionsResponse) -> String {
    let rate = |bits: u64, none: &str| match bits {
        0 => none.to_owned(),
        bits => format!("{} kbit/s", bits / 1_000),
    };
    let mut text = format!(
        "download: {}; carries {}, {} wanted; {}\n",
        link(answer.link.as_ref()),
        rate(answer.estimate, "whatever is asked"),
        rate(answer.wanted, "nothing"),
        reports(answer.feedback()),
    );
    // Writing to a string cannot fail.
    if answer.cap > 0 {
        let _ = writeln!(text, "the client allows {}", rate(answer.cap, ""));
    }
    for report in &answer.subscriptions {
        let source = report.source().as_str_name().to_lowercase();
        let _ = writeln!(
            text,
            "\n{} of {} ({})",
            report.track_id, report.identity, source
        );
        let asked = report.asked.as_ref().filter(|asked| !asked.disabled);
        let pinned = match asked.map_or(0, |asked| asked.priority) {
            0 => String::new(),
            priority => format!("; pinned, place {priority} of its kind"),
        };
        let asked = brief(asked.and_then(|asked| asked.step.as_ref()));
        let (granted, flowing) = (report.granted.as_ref(), report.flowing.as_ref());
        let _ = writeln!(text, "  asked    {asked}{pinned}");
        let _ = writeln!(text, "  granted  {}", brief(granted));
        let _ = writeln!(text, "  flowing  {}", brief(flowing));
        let _ = writeln!(text, "  upload   {}", link(report.uplink.as_ref()));
        for finding in &report.findings {
            let (side, why) = (whose(finding.side()), sentence(finding.reason()));
            let _ = writeln!(text, "  why      {side}: {why}");
        }
        for decision in &report.history {
            let _ = writeln!(
                text,
                "  {:>5.1} s ago  {} -> {}: {}",
                since(decision.at.as_ref(), answer.at.as_ref()).as_secs_f32(),
                brief(decision.from.as_ref()),
                brief(decision.to.as_ref()),
                sentence(decision.reason()),
            );
        }
    }
    text
}

fn link(report: Option<&v1::LinkReport>) -> String {
    let Some(report) = report else {
        return "not known".to_owned();
    };
    let quality = report.quality().as_str_name().to_lowercase();
    let span = report.round_trip;
    let span = span.and_then(|span| Duration::try_from(span).ok());
    let span = span.map(|span| format!(", {} ms there and back", span.as_millis()));
    format!(
        "{quality} ({:.1} of 4.5), {:.1} % lost{}",
        report.score,
        report.loss * 100.0,
        span.unwrap_or_default(),
    )
}

/// What tells of each packet that arrives.
fn reports(feedback: v1::FeedbackKind) -> &'static str {
    match feedback {
        v1::FeedbackKind::FeedbackUnknown => "no reports on packets",
        v1::FeedbackKind::FeedbackTransportWide => "reports on packets by transport",
        v1::FeedbackKind::FeedbackByStream => "reports on packets by stream (RFC 8888)",
    }
}

/// Whose side a finding is on, for people.
fn whose(side: Side) -> &'static str {
    match side {
        Side::Nobody => "nobody",
        Side::Sender => "sender",
        Side::Node => "service",
        Side::Receiver => "receiver",
    }
}

/// A reason as a sentence.
fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::ServedInFull => "The best there is.",
        Reason::ClientDisabled => "Not wanted now: it is hidden or switched off.",
        Reason::ClientAsksLess => "It is shown small: less is asked for than there is.",
        Reason::ClientCap => "The receiver itself limits what may be sent to it.",
        Reason::CodecUnsupported => "The receiver cannot decode this codec.",
        Reason::PublisherMuted => "The sender has switched it off.",
        Reason::PublisherNotSending => {
            "The sender does not send what is asked for: its upload or its device does not keep up."
        }
        Reason::UplinkLoss => "The sender's upload loses packets.",
        Reason::RelayLoss => "Packets get lost between the nodes of the service.",
        Reason::ReceiverEstimate => "The receiver's download does not carry more.",
        Reason::ReceiverPriority => {
            "The receiver's download is shared, and others go first or get their part."
        }
        Reason::ReceiverLoss => "The receiver's download loses packets.",
        Reason::AwaitingKeyframe => "Waiting for a picture of the sender to begin with.",
        Reason::NotConnected => "The receiver's connection is not ready yet.",
        Reason::NotLoudest => "Not among the loudest microphones of this large room.",
        Reason::NodeOverloaded => {
            "The node of the service is late with its work: it has too much of it."
        }
    }
}
