//! The end of a record: settles budgets, charges rate limits, and writes metrics, span, audit record and log line.

use std::time::Duration;

use api::prices::Nanodollars;
use dialects::families::base_model_id;

use super::{Outcome, RequestRecord};
use crate::{
    measure::{self, Step as Part},
    pipeline::{budget::Ended, conversation::CacheBreak, cost::Cost},
    telemetry::{
        OTHER, audit, logging::request_line::RequestLine, metrics::FinishedCall,
        traces::RequestSpan,
    },
};

/// Reason of a request that the client cancelled.
const CLIENT_LEFT: &str = "client_left";
/// Status of such a request, as in nginx.
const CLIENT_LEFT_STATUS: u16 = 499;

impl Drop for RequestRecord {
    fn drop(&mut self) {
        measure::step(Part::Record, || self.close());
    }
}

impl RequestRecord {
    /// Writes the record.
    fn close(&mut self) {
        let took = self.started.elapsed();
        let cost = self.cost();
        let cost_usd = cost.known().map(Nanodollars::as_dollars);
        let outcome = self.outcome.take().unwrap_or_else(|| Outcome {
            status: CLIENT_LEFT_STATUS,
            reason: CLIENT_LEFT.to_owned(),
        });
        let conversation = self.conversation.take().zip(self.usage);
        let cache_break = conversation
            .and_then(|(conversation, usage)| conversation.close(&usage, self.calls.target_seed));
        self.settle(&outcome, cost);
        let metrics = &self.calls.metrics;
        let count = || metrics.request(self.route, outcome.status, &outcome.reason);
        measure::step(Part::Metrics, count);
        for warned in self.warned.iter().filter(|one| one.is_dropped) {
            metrics.dropped_field(self.route, warned.field);
        }
        if !self.model.is_empty() {
            let model = if self.model_is_configured {
                &self.model
            } else if outcome.reason.is_empty() {
                // One label for all spellings: id, profile and ARN.
                base_model_id(&self.model).unwrap_or(&self.model)
            } else {
                OTHER
            };
            let span = self.calls.span.as_ref();
            let call = FinishedCall {
                operation: self.calls.operation,
                model,
                client: &self.calls.client,
                status: outcome.status,
                took,
                first_byte: self.first_byte,
                usage: self.usage,
                cost: cost_usd,
                unpriced: cost.unpriced_tokens(),
                trace_id: span.and_then(RequestSpan::sampled_trace_id),
            };
            measure::step(Part::Metrics, || metrics.call(&call));
            if let Some(CacheBreak { difference, .. }) = &cache_break {
                let part = difference.part.name();
                metrics.routing.cache_break(model, &self.calls.client, part);
            }
        }
        self.spend(cost);
        let id = self.calls.aws_request_id.take();
        self.calls.end(&outcome.reason, id.as_deref(), self.usage);
        let span = self.calls.span.take();
        if let Some(span) = &span {
            let request_id = &self.calls.request_id;
            span.end(
                outcome.status,
                &outcome.reason,
                request_id,
                &self.calls.client,
                &self.model,
                cost_usd,
            );
        }
        self.write_audit(&outcome, took, cost);
        let usage = self.usage.unwrap_or_default();
        if let Some(permit) = &self.permit {
            let known = usage.prompt_tokens().saturating_add(usage.output_tokens);
            permit.charge(match self.usage {
                None if self.events > 0 => self.estimated_input.saturating_add(self.events),
                _ => known,
            });
        }
        let (target_model, region) = self.calls.target.take().unwrap_or_default();
        let Some(unlogged) = self.sampler.admit(outcome.status) else {
            return;
        };
        let line = RequestLine {
            request_id: &self.calls.request_id,
            route: self.route,
            status: outcome.status,
            reason: &outcome.reason,
            client: &self.calls.client,
            model: &self.model,
            target_model: &target_model,
            region: &region,
            stream: self.calls.stream,
            attempts: self.calls.attempts,
            duration_ms: millis(took),
            first_byte_ms: self.first_byte.map(millis),
            input_tokens: usage.prompt_tokens(),
            output_tokens: usage.output_tokens,
            cache_read_tokens: some(usage.cache_read_input_tokens),
            cache_write_tokens: some(usage.cache_write_input_tokens),
            cache_write_1h_tokens: some(usage.cache_write_1h_input_tokens),
            cost_usd,
            cache_break: cache_break.map(|found| found.difference.to_string()),
            cache_lost_tokens: cache_break.map(|found| found.lost),
            dropped_fields: self.warned_fields(true),
            changed_fields: self.warned_fields(false),
            aws_request_id: id.as_deref(),
            trace_id: span.map(|span| span.trace_id().to_string()),
            unlogged: some(unlogged),
        };
        measure::step(Part::LogLine, || line.log());
    }

    /// Settles what the request has spent with its budgets.
    fn settle(&mut self, outcome: &Outcome, cost: Cost) {
        let Some(reservation) = self.reservation.take() else {
            return;
        };
        let ended = Ended {
            is_sent: self.calls.is_sent,
            is_stream: self.calls.stream,
            has_client_left: outcome.reason == CLIENT_LEFT,
            reason: &outcome.reason,
            usage: self.usage,
            cost,
            events: self.events,
        };
        let prices = self.calls.prices.as_deref();
        let spent = reservation.need().spent(ended.ending(), prices);
        reservation.settle(spent);
    }

    /// The dropped or the changed fields, separated by commas; `None` if there are none.
    fn warned_fields(&self, is_dropped: bool) -> Option<String> {
        let of_kind = self
            .warned
            .iter()
            .filter(|one| one.is_dropped == is_dropped);
        let fields: Vec<_> = of_kind.map(|one| one.field).collect();
        (!fields.is_empty()).then(|| fields.join(","))
    }

    /// Writes the audit record, if any.
    fn write_audit(&mut self, outcome: &Outcome, took: Duration, cost: Cost) {
        let Some(entry) = self.audit.take() else {
            return;
        };
        let outcome = audit::Outcome {
            request_id: &self.calls.request_id,
            route: self.route,
            client: &self.calls.client,
            model: &self.model,
            stream: self.calls.stream,
            status: outcome.status,
            reason: &outcome.reason,
            cancelled: outcome.reason == CLIENT_LEFT,
            duration_ms: millis(took),
            usage: self.usage,
            cost_nanodollars: cost.known().map(|amount| amount.0),
        };
        entry.write(&outcome, self.clock.now());
    }

    /// Adds the cost to what the process has spent.
    fn spend(&self, cost: Cost) {
        if cost == Cost::Nothing {
            return;
        }
        let usage = self.usage.unwrap_or_default();
        self.spending.add(self.clock.now(), &usage, cost);
        if let Some(amount) = cost.known().filter(|_| self.model.is_empty()) {
            let dollars = amount.as_dollars();
            self.calls.metrics.guardrail(&self.calls.client, dollars);
        }
    }
}

/// The number, if it is not zero.
fn some(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
