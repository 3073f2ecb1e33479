//! Why a subscriber gets no more of a track than it does, and what was decided for it lately. Pure functions of
//! plain data.
//!
//! Must not decide anything: the selector and the allocator did.

use std::{collections::VecDeque, time::Instant};

use plenum_proto::v1::{Side, SubscriptionReason as Reason};

use crate::track::Layer;

/// What is known of a subscription at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Facts {
    /// The client wants nothing now.
    pub disabled: bool,
    /// The publisher switched the track off.
    pub muted: bool,
    /// The client cannot decode it.
    pub unsupported: bool,
    /// Its section is negotiated, and media can be protected.
    pub connected: bool,
    /// A microphone that is not among the loudest, and that nobody pinned.
    pub left_out: bool,
    /// The best there is, if everything flowed.
    pub best: Option<Layer>,
    /// What serves the wish, if everything flowed.
    pub wanted: Option<Layer>,
    /// The same within what is granted; nothing while paused.
    pub granted: Option<Layer>,
    /// Why less is granted than wanted.
    pub limit: Option<Limit>,
    /// What is to flow.
    pub target: Option<Layer>,
    /// Packets of that come from the publisher.
    pub comes: bool,
    /// A switch waits for a keyframe.
    pub awaits_keyframe: bool,
    /// What is granted was asked of the publisher so lately that it may not have come yet.
    pub asked_lately: bool,
    /// Our own timers fire late, so all we do is.
    pub node_late: bool,
    /// The publisher's way to us loses, or did when it last changed what it sends.
    pub uplink_loses: bool,
    /// Packets that reached the publisher's node did not reach us.
    pub relay_loses: bool,
    /// The way to the client loses.
    pub downlink_loses: bool,
}

/// Why less is granted than wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The link does not carry more of it.
    Link,
    /// The link would, but others have their share first.
    Others,
    /// The client limits what is sent to it.
    Client,
}

impl Limit {
    fn reason(self) -> Reason {
        match self {
            Self::Link => Reason::ReceiverEstimate,
            Self::Others => Reason::ReceiverPriority,
            Self::Client => Reason::ClientCap,
        }
    }
}

impl Facts {
    /// Why what is to flow is not more; the weightiest alone.
    pub(crate) fn bound(&self) -> Reason {
        let is_less = self.granted < self.wanted || self.is_withheld();
        let settled = Self {
            awaits_keyframe: false,
            node_late: self.node_late && is_less,
            uplink_loses: self.uplink_loses && self.is_withheld(),
            relay_loses: false,
            downlink_loses: false,
            ..*self
        };
        let first = settled.findings().into_iter().next();
        first.unwrap_or(Reason::ServedInFull)
    }

    /// All that stands between the client and the best there is, the weightiest first.
    pub(crate) fn findings(&self) -> Vec<Reason> {
        let asks_less = self.wanted < self.best;
        let is_held = self.granted < self.wanted;
        let held = self.limit.filter(|_| is_held).map(Limit::reason);
        let is_withheld = self.is_withheld();
        // In this order: what leaves nothing, what leaves less, what harms what is left, and wishes.
        let every = [
            (self.disabled, Reason::ClientDisabled),
            (self.muted, Reason::PublisherMuted),
            (self.unsupported, Reason::CodecUnsupported),
            (!self.connected, Reason::NotConnected),
            (self.left_out, Reason::NotLoudest),
            // Who is late sees queues and loss where there are none.
            (self.node_late, Reason::NodeOverloaded),
            (is_withheld && self.uplink_loses, Reason::UplinkLoss),
            (is_withheld, Reason::PublisherNotSending),
            (held.is_some(), held.unwrap_or_default()),
            (
                self.awaits_keyframe || self.is_due(),
                Reason::AwaitingKeyframe,
            ),
            (!is_withheld && self.uplink_loses, Reason::UplinkLoss),
            (self.relay_loses, Reason::RelayLoss),
            (self.downlink_loses, Reason::ReceiverLoss),
            (asks_less && !self.disabled, Reason::ClientAsksLess),
        ];
        let holding = every.into_iter().filter(|(holds, _)| *holds);
        let mut reasons: Vec<_> = holding.map(|(_, reason)| reason).collect();
        // Nothing can be said of media that is not there.
        if let Some(at) = reasons.iter().position(|reason| is_final(*reason)) {
            reasons.truncate(at + 1);
        }
        reasons
    }

    /// Whether what would be taken does not come.
    fn is_absent(&self) -> bool {
        let picture = |layer: Option<Layer>| layer.map(|layer| (layer.encoding, layer.spatial));
        let is_paused = self.granted.is_none() && self.limit.is_some();
        !is_paused && (!self.comes || picture(self.target) < picture(self.granted))
    }

    /// Whether the publisher does not send what it was asked for in time.
    fn is_withheld(&self) -> bool {
        self.is_absent() && !self.asked_lately
    }

    /// Whether it may be about to send what it was asked for.
    fn is_due(&self) -> bool {
        self.is_absent() && self.asked_lately
    }
}

/// Whether nothing flows for this reason, whatever else holds.
fn is_final(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ClientDisabled
            | Reason::PublisherMuted
            | Reason::CodecUnsupported
            | Reason::NotConnected
            | Reason::NotLoudest
    )
}

/// Whose side a reason is on.
pub(crate) fn side(reason: Reason) -> Side {
    match reason {
        Reason::ServedInFull | Reason::ClientDisabled | Reason::ClientAsksLess => Side::Nobody,
        Reason::PublisherMuted
        | Reason::PublisherNotSending
        | Reason::UplinkLoss
        | Reason::AwaitingKeyframe => Side::Sender,
        Reason::RelayLoss | Reason::NotLoudest | Reason::NodeOverloaded => Side::Node,
        Reason::ClientCap
        | Reason::CodecUnsupported
        | Reason::ReceiverEstimate
        | Reason::ReceiverPriority
        | Reason::ReceiverLoss
        | Reason::NotConnected => Side::Receiver,
    }
}

/// A change of what is to flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// When.
    pub at: Instant,
    /// What was to flow until then.
    pub from: Option<Layer>,
    /// What is to flow since.
    pub to: Option<Layer>,
    /// Why it is not more.
    pub reason: Reason,
}

/// The newest choices for one subscription.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choices(VecDeque<Choice>);

impl Choices {
    /// How many are kept.
    const MAX: usize = 16;

    /// Takes note of one; the oldest goes when there are too many.
    pub(crate) fn push(&mut self, choice: Choice) {
        if self.0.len() >= Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back(choice);
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Choice> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn whole(encoding: u8) -> Option<Layer> {
        Some(Layer {
            encoding,
            spatial: Layer::ALL_SPATIAL,
            temporal: Layer::ALL_TEMPORAL,
        })
    }

    /// All three encodings are there, and the largest flows.
    const GOOD: Facts = Facts {
        disabled: false,
        muted: false,
        unsupported: false,
        connected: true,
        left_out: false,
        best: whole(2),
        wanted: whole(2),
        granted: whole(2),
        limit: None,
        target: whole(2),
        comes: true,
        awaits_keyframe: false,
        asked_lately: false,
        node_late: false,
        uplink_loses: false,
        relay_loses: false,
        downlink_loses: false,
    };

    #[test]
    fn each_difference_has_its_reasons() {
        use Reason::*;
        let held = |limit, granted| Facts {
            limit: Some(limit),
            granted,
            target: granted,
            ..GOOD
        };
        let cases: [(&str, Facts, &[Reason]); 21] = [
            ("all is well", GOOD, &[]),
            (
                "hidden",
                Facts {
                    disabled: true,
                    wanted: None,
                    granted: None,
                    target: None,
                    ..GOOD
                },
                &[ClientDisabled],
            ),
            (
                "muted, and lossy",
                Facts {
                    muted: true,
                    downlink_loses: true,
                    ..GOOD
                },
                &[PublisherMuted],
            ),
            (
                "no codec",
                Facts {
                    unsupported: true,
                    ..GOOD
                },
                &[CodecUnsupported],
            ),
            (
                "not negotiated",
                Facts {
                    connected: false,
                    target: None,
                    ..GOOD
                },
                &[NotConnected],
            ),
            (
                "silent",
                Facts {
                    left_out: true,
                    target: None,
                    ..GOOD
                },
                &[NotLoudest],
            ),
            (
                "a small tile",
                Facts {
                    wanted: whole(0),
                    granted: whole(0),
                    target: whole(0),
                    ..GOOD
                },
                &[ClientAsksLess],
            ),
            (
                "too thin a link",
                held(Limit::Link, whole(1)),
                &[ReceiverEstimate],
            ),
            (
                "paused for others",
                held(Limit::Others, None),
                &[ReceiverPriority],
            ),
            (
                "a cap of the client",
                held(Limit::Client, whole(0)),
                &[ClientCap],
            ),
            (
                "half the frames",
                Facts {
                    granted: Some(Layer {
                        temporal: 0,
                        ..Layer::whole(2)
                    }),
                    limit: Some(Limit::Link),
                    ..GOOD
                },
                &[ReceiverEstimate],
            ),
            (
                "a layer is not sent",
                Facts {
                    target: whole(0),
                    ..GOOD
                },
                &[PublisherNotSending],
            ),
            (
                "nor is it over a bad link",
                Facts {
                    target: whole(0),
                    uplink_loses: true,
                    ..GOOD
                },
                &[UplinkLoss, PublisherNotSending],
            ),
            (
                "nothing comes",
                Facts {
                    comes: false,
                    ..GOOD
                },
                &[PublisherNotSending],
            ),
            (
                "a keyframe is on its way",
                Facts {
                    awaits_keyframe: true,
                    ..GOOD
                },
                &[AwaitingKeyframe],
            ),
            (
                "a layer may be about to come",
                Facts {
                    target: whole(0),
                    asked_lately: true,
                    ..GOOD
                },
                &[AwaitingKeyframe],
            ),
            (
                "loss on every way",
                Facts {
                    uplink_loses: true,
                    relay_loses: true,
                    downlink_loses: true,
                    ..GOOD
                },
                &[UplinkLoss, RelayLoss, ReceiverLoss],
            ),
            (
                "we are late ourselves",
                Facts {
                    node_late: true,
                    ..GOOD
                },
                &[NodeOverloaded],
            ),
            (
                "and so seems the link to be thin and lossy",
                Facts {
                    node_late: true,
                    downlink_loses: true,
                    ..held(Limit::Link, whole(1))
                },
                &[NodeOverloaded, ReceiverEstimate, ReceiverLoss],
            ),
            (
                "muted, whoever is late",
                Facts {
                    muted: true,
                    node_late: true,
                    ..GOOD
                },
                &[PublisherMuted],
            ),
            (
                "a thin link that loses",
                Facts {
                    downlink_loses: true,
                    ..held(Limit::Link, whole(1))
                },
                &[ReceiverEstimate, ReceiverLoss],
            ),
        ];
        for (case, facts, expected) in cases {
            assert_eq!(facts.findings(), expected, "{case}");
        }
    }

    #[test]
    fn a_choice_is_bound_by_what_holds_the_layer_and_not_by_what_harms_it() {
        let lossy = Facts {
            uplink_loses: true,
            downlink_loses: true,
            awaits_keyframe: true,
            node_late: true,
            ..GOOD
        };
        assert_eq!(lossy.bound(), Reason::ServedInFull);
        let lossy = Facts {
            granted: whole(1),
            limit: Some(Limit::Link),
            ..lossy
        };
        assert_eq!(lossy.bound(), Reason::NodeOverloaded);
        let lossy = Facts {
            node_late: false,
            ..lossy
        };
        assert_eq!(lossy.bound(), Reason::ReceiverEstimate);
        let withheld = Facts {
            granted: whole(2),
            target: whole(0),
            ..lossy
        };
        assert_eq!(withheld.bound(), Reason::UplinkLoss);
    }

    #[test]
    fn the_newest_choices_are_kept() {
        let at = Instant::now();
        let mut choices = Choices::default();
        for encoding in 0..40 {
            choices.push(Choice {
                at,
                from: None,
                to: whole(encoding),
                reason: Reason::ServedInFull,
            });
        }
        let kept: Vec<_> = choices
            .iter()
            .filter_map(|d| d.to)
            .map(|l| l.encoding)
            .collect();
        assert_eq!(kept, (24..40).collect::<Vec<_>>());
    }
}
