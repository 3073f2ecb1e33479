//! Why a participant sees what it sees. Owns who may ask. Must not find reasons; the node does.

use std::time::{Duration, SystemTime};

use plenum_proto::{
    node::{admin_reply::Kind as Reply, admin_request::Kind as Command},
    v1,
};
use prost_types::Timestamp;

use super::calls::Calls;
use crate::{auth::Verified, error::CallError};

impl Calls {
    /// Of each subscription of a participant what was asked, is granted and flows, and why these differ.
    pub(crate) async fn explain_subscriptions(
        &self,
        caller: &Verified,
        request: v1::ExplainSubscriptionsRequest,
    ) -> Result<v1::ExplainSubscriptionsResponse, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.name("identity", &request.identity);
        check.finish()?;
        self.explain(request).await
    }

    /// The same of the caller itself, who needs no more than to be in the room.
    pub(crate) async fn explain_own_subscriptions(
        &self,
        caller: &Verified,
    ) -> Result<v1::ExplainSubscriptionsResponse, CallError> {
        let room = caller.require_join()?.to_owned();
        let identity = caller.identity().to_owned();
        self.explain(v1::ExplainSubscriptionsRequest { room, identity })
            .await
    }

    async fn explain(
        &self,
        request: v1::ExplainSubscriptionsRequest,
    ) -> Result<v1::ExplainSubscriptionsResponse, CallError> {
        let room = request.room.clone();
        let command = Command::ExplainSubscriptions(request);
        match self.command(room, command).await? {
            Reply::Subscriptions(subscriptions) => Ok(subscriptions),
            _ => Err(CallError::UnexpectedReply),
        }
    }
}

/// A step in few words: size, frames and rate, as far as they are known.
pub(crate) fn brief(step: Option<&v1::Step>) -> String {
    let Some(step) = step else {
        return "nothing".to_owned();
    };
    let size = (step.width > 0).then(|| format!("{}x{}", step.width, step.height));
    let fps = (step.fps > 0 && step.width > 0).then(|| format!("{} fps", step.fps));
    let rate = (step.bitrate > 0).then(|| format!("{} kbit/s", step.bitrate.div_ceil(1_000)));
    let parts: Vec<_> = [size, fps, rate].into_iter().flatten().collect();
    match parts.is_empty() {
        true => "of unknown size".to_owned(),
        false => parts.join(", "),
    }
}

/// From one moment to a later one; zero where one of them is not told.
pub(crate) fn since(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Duration {
    let moment = |at: Option<&Timestamp>| SystemTime::try_from(*at?).ok();
    let passed = moment(to).zip(moment(from));
    let passed = passed.and_then(|(to, from)| to.duration_since(from).ok());
    passed.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_as_far_as_it_is_known() {
        let full = v1::Step {
            width: 640,
            height: 360,
            fps: 15,
            bitrate: 449_001,
            ..v1::Step::default()
        };
        let sound = v1::Step {
            fps: 50,
            bitrate: 32_000,
            ..v1::Step::default()
        };
        for (step, expected) in [
            (Some(full), "640x360, 15 fps, 450 kbit/s"),
            (Some(sound), "32 kbit/s"),
            (Some(v1::Step::default()), "of unknown size"),
            (None, "nothing"),
        ] {
            assert_eq!(brief(step.as_ref()), expected);
        }
    }
}
