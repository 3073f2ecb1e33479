//! A request on its way to its method: read, run as a call, and written, the same for every service. Must not know any.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use super::{error::TwirpError, wire::Wire};
use crate::{api::Calls, auth::Verified, error::CallError, metrics::Api};

/// What a method needs besides its own message.
pub(super) struct Incoming<'a> {
    pub(super) calls: &'a Arc<Calls>,
    pub(super) headers: &'a HeaderMap,
    pub(super) wire: Wire,
    pub(super) body: &'a Bytes,
}

impl Incoming<'_> {
    /// Runs a method that counts as `name`.
    pub(super) async fn run<M, T, F>(
        self,
        name: &'static str,
        method: impl FnOnce(Arc<Calls>, Verified, M) -> F,
    ) -> Result<Response, TwirpError>
    where
        M: Message + Default + DeserializeOwned,
        T: Message + Serialize,
        F: Future<Output = Result<T, CallError>>,
    {
        let message = self.wire.decode(self.body)?;
        let call = |calls, caller| method(calls, caller, message);
        let answer = self.calls.run(Api::Twirp, name, self.headers, call).await?;
        self.wire.encode(&answer)
    }
}
