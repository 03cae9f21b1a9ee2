//! Logs, metrics, traces, request ids and `Server-Timing`.

pub(crate) mod audit;
mod json_line;
mod line_queue;
pub(crate) mod logging;
pub(crate) mod metrics;
pub(crate) mod otlp;
pub(crate) mod request_id;
pub(crate) mod sampler;
pub(crate) mod timing;
pub(crate) mod traces;

/// Label of requests to unknown paths, and of models that only a failed request names.
pub(crate) const OTHER: &str = "other";
