//! What is known of a request before its pipeline, stored in its extensions.

use std::{net::IpAddr, sync::Arc};

use axum::extract::Request;

use super::rate_limit::report::Slot;
use crate::telemetry::{
    request_id,
    timing::Timing,
    traces::{Origin, Traces},
};

/// Identity of a request, and what its response reports.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// The request id.
    pub(crate) id: String,
    /// Address of the client's connection; none on the Unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// Parent of the request's span; none without traces.
    pub(crate) origin: Option<Origin>,
    /// Times of the request's steps; none if the client does not ask for them.
    pub(crate) timing: Option<Arc<Timing>>,
    /// Place for the headers of limits and budgets; none if the response has none.
    pub(crate) limits: Option<Slot>,
}

impl RequestContext {
    /// That of a request, with the client's request id or a generated one.
    pub(crate) fn new(
        request: &Request,
        peer: Option<IpAddr>,
        traces: Option<&Traces>,
        limits: Option<Slot>,
    ) -> Self {
        Self {
            id: request_id::of(request.headers()),
            peer,
            origin: traces.map(|traces| traces.origin(request)),
            timing: Timing::requested(request.headers()),
            limits,
        }
    }
}
