//! Metrics, traces and request ids.

pub(crate) mod metrics;
pub(crate) mod request_id;
pub(crate) mod traces;
