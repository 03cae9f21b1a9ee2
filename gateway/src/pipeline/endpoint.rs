//! The interface of an endpoint for models: how it prepares a request for a target and encodes the response.
//! `pipeline::driver` serves endpoints.

use std::{collections::BTreeMap, sync::Arc};

use api::GatewayConfig;
use bedrock::{converse::TokenUsage, eventstream::Frame, sse::Event};
use bytes::{Bytes, BytesMut};
use dialects::translation::{Fetch, Fetched, Head};
use http::HeaderMap;

use super::{kept_reasoning::ReasoningStore, record::RequestRecord};
use crate::{
    http::{
        dialect::Dialect,
        error::{GatewayError, Result},
    },
    upstream::{
        call::Prepared,
        target::{Target, Targets},
    },
};

/// Fetched media by URL.
pub(crate) type Media = BTreeMap<String, Fetched>;

/// A request of a client for one target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetRequest<'r> {
    pub(crate) config: &'r GatewayConfig,
    pub(crate) target: &'r Target,
    pub(crate) body: &'r Bytes,
    /// Model and stream flag of the body.
    pub(crate) head: &'r Head,
    /// Media that the request references by URL.
    pub(crate) media: &'r Media,
    /// Headers of the client.
    pub(crate) headers: &'r HeaderMap,
    /// Name of the client.
    pub(crate) client: &'r str,
    /// Signed reasoning of recent responses.
    pub(crate) reasoning: &'r Arc<ReasoningStore>,
}

/// The result of preparing a request.
#[derive(Debug)]
pub(crate) enum Preparation<C> {
    Ready(Box<Prepared<C>>),
    /// The request references media that must be fetched first.
    NeedsMedia(Vec<Fetch>),
}

/// How the response of a target is encoded.
#[derive(Debug)]
pub(crate) enum Encoding<R, P> {
    /// The target uses the client's protocol; what the response needs.
    Passthrough(P),
    /// A response of Converse, with the state of its translation.
    Converse(Box<R>),
}

/// The complete response of a target.
#[derive(Debug)]
pub(crate) struct Reply<'r, C> {
    pub(crate) context: C,
    /// Headers of Bedrock's response.
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: Bytes,
}

/// An endpoint whose requests name a model.
pub(crate) trait Endpoint: Sized + Send + Sync + 'static {
    /// Path, and label of metrics and spans.
    const PATH: &'static str;
    /// Operation in metrics and spans.
    const OPERATION: &'static str;
    const DIALECT: Dialect = Dialect::OpenAi;
    /// State for encoding the response, made for each target.
    type Context: Send + 'static;

    /// The endpoint's state of one request. `created` is in seconds since 1970.
    fn new(model: &str, created: u64) -> Self;

    /// Restricts or changes the targets.
    ///
    /// # Errors
    /// When a target is unusable for this endpoint.
    fn targets(targets: Targets) -> Result<Targets> {
        Ok(targets)
    }

    /// Translates the request for a target.
    ///
    /// # Errors
    /// 400 when the target does not support the request.
    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>>;

    /// Changes an error of the call to Bedrock.
    fn map_error(&self, error: GatewayError) -> GatewayError {
        error
    }

    /// Encodes a complete response and records its token usage.
    ///
    /// # Errors
    /// When it cannot be read, or has no equivalent in the client's dialect.
    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes>;
}

/// An endpoint with streamed responses.
pub(crate) trait StreamingEndpoint: Endpoint {
    /// An encoder for one stream.
    fn encoder(&self, context: Self::Context) -> Box<dyn StreamEncoder>;

    /// Writes an error before the first event of the stream.
    fn write_error(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut);
}

/// Encodes a stream of Bedrock in a client's dialect.
pub(crate) trait StreamEncoder: Send {
    /// Encodes a frame; often writes nothing.
    ///
    /// # Errors
    /// When the event is unexpected. [`Self::error`] follows.
    fn frame(&mut self, _: &Frame, _: &mut BytesMut) -> Result<()> {
        Err(GatewayError::Internal("unexpected event stream"))
    }

    /// Encodes a server-sent event of Bedrock's OpenAI and Anthropic endpoints.
    ///
    /// # Errors
    /// When the event is unexpected. [`Self::error`] follows.
    fn event(&mut self, _: &Event, _: &mut BytesMut) -> Result<()> {
        Err(GatewayError::Internal("unexpected server-sent events"))
    }

    /// Encodes the complete response of a model that does not stream. [`Self::finish`] follows.
    ///
    /// # Errors
    /// When it has no equivalent in the client's dialect.
    fn whole(&mut self, _: &[u8], _: &mut BytesMut) -> Result<()> {
        Err(GatewayError::Internal("expected a stream"))
    }

    /// Writes the end of the stream, which is an error event if the response is incomplete.
    ///
    /// # Errors
    /// Why the response is incomplete, for the record.
    fn finish(&mut self, out: &mut BytesMut) -> Result<()>;

    /// Ends the stream with an error event.
    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut);

    /// Token usage, once known.
    fn usage(&self) -> Option<TokenUsage>;
}

impl<C> From<Prepared<C>> for Preparation<C> {
    fn from(prepared: Prepared<C>) -> Self {
        Self::Ready(Box::new(prepared))
    }
}
