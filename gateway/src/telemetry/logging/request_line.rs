//! The log line of a request.
//!
//! JSON lines are written directly: `tracing-subscriber` takes several times as long, since it formats each field by
//! itself. The line has the same members in the same order as its lines.

use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

use super::writer::Lines;
use crate::telemetry::json_line::{Line, name};

/// Target of the line, for filters of the log level.
const TARGET: &str = "gateway::pipeline::record";

/// Where JSON lines are written; unset for text.
static JSON: OnceLock<Lines> = OnceLock::new();

/// The fields of the line.
#[derive(Debug)]
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
    pub(crate) first_byte_ms: Option<u64>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cache_read_tokens: Option<u64>,
    pub(crate) cache_write_tokens: Option<u64>,
    /// Part of `cache_write_tokens`.
    pub(crate) cache_write_1h_tokens: Option<u64>,
    /// Cost in US dollars; absent if nothing was billed or a price is unknown.
    pub(crate) cost_usd: Option<f64>,
    /// The part of the request that changed, if a cached prefix was not read.
    pub(crate) cache_break: Option<String>,
    pub(crate) cache_lost_tokens: Option<u64>,
    /// Names, separated by commas.
    pub(crate) dropped_fields: Option<String>,
    /// Names, separated by commas.
    pub(crate) changed_fields: Option<String>,
    pub(crate) aws_request_id: Option<&'a str>,
    pub(crate) trace_id: Option<String>,
    /// Lines that were left out since the last one.
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
        let mut line = Line::new();
        line.plain(name!("timestamp"), |line| {
            // Writing into memory cannot fail.
            let _ = SystemTime.format_time(&mut Writer::new(line));
        });
        line.word(name!("level"), level);
        line.word(name!("message"), "request");
        self.write(&mut line);
        line.word(name!("target"), TARGET);
        lines.send(line.end());
    }

    fn write(&self, line: &mut Line) {
        line.text(name!("request_id"), self.request_id);
        line.word(name!("route"), self.route);
        line.number(name!("status"), self.status.into());
        line.text(name!("reason"), self.reason);
        line.text(name!("client"), self.client);
        line.text(name!("model"), self.model);
        line.text(name!("target_model"), self.target_model);
        line.text(name!("region"), self.region);
        line.flag(name!("stream"), self.stream);
        line.number(name!("attempts"), self.attempts.into());
        line.number(name!("duration_ms"), self.duration_ms);
        line.some_number(name!("first_byte_ms"), self.first_byte_ms);
        line.number(name!("input_tokens"), self.input_tokens);
        line.number(name!("output_tokens"), self.output_tokens);
        line.some_number(name!("cache_read_tokens"), self.cache_read_tokens);
        line.some_number(name!("cache_write_tokens"), self.cache_write_tokens);
        line.some_number(name!("cache_write_1h_tokens"), self.cache_write_1h_tokens);
        if let Some(cost) = self.cost_usd {
            line.value(name!("cost_usd"), &cost);
        }
        line.some_text(name!("cache_break"), self.cache_break.as_deref());
        line.some_number(name!("cache_lost_tokens"), self.cache_lost_tokens);
        line.some_text(name!("dropped_fields"), self.dropped_fields.as_deref());
        line.some_text(name!("changed_fields"), self.changed_fields.as_deref());
        line.some_text(name!("aws_request_id"), self.aws_request_id);
        line.some_text(name!("trace_id"), self.trace_id.as_deref());
        line.some_number(name!("unlogged"), self.unlogged);
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
