//! The log line of a request.
//!
//! JSON lines are written directly: `tracing-subscriber` takes several times as long, since it formats each field by
//! itself. The line has the same members in the same order as its lines.

use std::sync::OnceLock;

use serde::Serialize;
use tracing::Level;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

use super::writer::Lines;

/// Target of the line, for filters of the log level.
const TARGET: &str = "gateway::pipeline::record";
/// Bytes of a usual line.
const USUAL_BYTES: usize = 768;

/// Where JSON lines are written; unset for text.
static JSON: OnceLock<Lines> = OnceLock::new();

/// The fields of the line.
#[derive(Debug, Serialize)]
pub(crate) struct RequestLine<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    /// Empty after success.
    pub(crate) reason: &'a str,
    pub(crate) client: &'a str,
    pub(crate) model: &'a str,
    pub(crate) target_model: &'a str,
    pub(crate) region: &'a str,
    pub(crate) stream: bool,
    pub(crate) attempts: u32,
    pub(crate) duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_byte_ms: Option<u64>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_write_tokens: Option<u64>,
    /// Part of `cache_write_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_write_1h_tokens: Option<u64>,
    /// Cost in US dollars; absent if nothing was billed or a price is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost_usd: Option<f64>,
    /// The part of the request that changed, if a cached prefix was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_break: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_lost_tokens: Option<u64>,
    /// Names, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped_fields: Option<String>,
    /// Names, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed_fields: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aws_request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<String>,
    /// Lines that were left out since the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unlogged: Option<u64>,
}

/// Writes the lines of requests as JSON.
pub(super) fn write_json(lines: Lines) {
    // Set once: a process has one logger.
    let _ = JSON.set(lines);
}

impl RequestLine<'_> {
    /// Writes the line, unless the log level excludes it. Errors of the gateway or of AWS are warnings.
    pub(crate) fn log(&self) {
        let is_warning = self.status >= 500;
        let is_enabled = if is_warning {
            tracing::enabled!(target: TARGET, Level::WARN)
        } else {
            tracing::enabled!(target: TARGET, Level::INFO)
        };
        if !is_enabled {
            return;
        }
        match JSON.get() {
            Some(lines) => self.send(lines, if is_warning { "WARN" } else { "INFO" }),
            None => self.log_text(is_warning),
        }
    }

    fn send(&self, lines: &Lines, level: &'static str) {
        let mut line = String::with_capacity(USUAL_BYTES);
        line.push_str("{\"timestamp\":\"");
        // Writing into a string cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut line));
        line.push_str("\",\"level\":\"");
        line.push_str(level);
        line.push_str("\",\"message\":\"request\"");
        let mut line = line.into_bytes();
        let start = line.len();
        // Not by `flatten`, which takes twice as long.
        if serde_json::to_writer(&mut line, self).is_ok()
            && let Some(open) = line.get_mut(start)
        {
            *open = b',';
            line.pop();
            line.extend_from_slice(b",\"target\":\"");
            line.extend_from_slice(TARGET.as_bytes());
            line.extend_from_slice(b"\"}\n");
            lines.send(&line);
        }
    }

    fn log_text(&self, is_warning: bool) {
        // The level is a constant of each call.
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    target: TARGET,
                    request_id = self.request_id,
                    route = self.route,
                    status = self.status,
                    reason = self.reason,
                    client = self.client,
                    model = self.model,
                    target_model = self.target_model,
                    region = self.region,
                    stream = self.stream,
                    attempts = self.attempts,
                    duration_ms = self.duration_ms,
                    first_byte_ms = self.first_byte_ms,
                    input_tokens = self.input_tokens,
                    output_tokens = self.output_tokens,
                    cache_read_tokens = self.cache_read_tokens,
                    cache_write_tokens = self.cache_write_tokens,
                    cache_write_1h_tokens = self.cache_write_1h_tokens,
                    cost_usd = self.cost_usd,
                    cache_break = self.cache_break,
                    cache_lost_tokens = self.cache_lost_tokens,
                    dropped_fields = self.dropped_fields,
                    changed_fields = self.changed_fields,
                    aws_request_id = self.aws_request_id,
                    trace_id = self.trace_id,
                    unlogged = self.unlogged,
                    "request"
                )
            };
        }
        if is_warning {
            log!(warn);
        } else {
            log!(info);
        }
    }
}
