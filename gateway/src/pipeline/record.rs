//! Record of a request: its metrics, span and log line, written exactly once.
//!
//! The record follows the request into the body of its response. Dropping it writes it, whether the request
//! succeeded, failed or was cancelled by the client. No prompts, no keys.

use std::{sync::Arc, time::Duration};

use api::prices::{GuardrailUnits, Nanodollars, Tier};
use bedrock::converse::TokenUsage;
use bytes::Bytes;
use credentials::SharedTimeSource;
use dialects::{Warned, families::base_model_id};
use http::HeaderMap;
use tokio::time::Instant;

use super::{
    budget::{Ended, Reservation},
    conversation::{CacheBreak, Conversation, Conversations, Outline},
    cost::{Cost, OtherUnits},
    estimate,
    rate_limit::Permit,
    spend::Spending,
    state::State,
};
use crate::{
    http::{
        decoders::apart,
        error::GatewayError,
        request_guards::InFlightGuard,
        response::{wants_cache_report, wants_cost},
    },
    measure::{self, Step as Part},
    telemetry::{
        OTHER, audit,
        logging::request_line::RequestLine,
        metrics::FinishedCall,
        request_id::RequestContext,
        sampler::Sampler,
        timing::{Step, Timing},
        traces::RequestSpan,
    },
    upstream::call_record::{CallRecord, aws_request_id},
};

/// Longest name of a model or a client in metrics, logs and traces.
const MAX_NAME_BYTES: usize = 256;
/// Reason of a request that the client cancelled.
const CLIENT_LEFT: &str = "client_left";
/// Status of such a request, as in nginx.
const CLIENT_LEFT_STATUS: u16 = 499;
/// The operation that uses no cache.
const COUNT_TOKENS: &str = "count_tokens";

/// The record of one request.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    calls: CallRecord,
    sampler: Arc<Sampler>,
    route: &'static str,
    started: Instant,
    first_byte: Option<Duration>,
    in_flight: Option<InFlightGuard>,
    permit: Option<Permit>,
    reservation: Option<Reservation>,
    model: String,
    /// Whether the configuration names the model, so that it may be a metric label.
    model_is_configured: bool,
    usage: Option<TokenUsage>,
    /// Units that Bedrock bills besides tokens.
    other_units: OtherUnits,
    /// The cost of finished calls, if the request has several.
    of_calls: Option<Cost>,
    /// Whether the client asks for the cost.
    wants_cost: bool,
    spending: Arc<Spending>,
    clock: SharedTimeSource,
    /// Events of a stream that ended without usage.
    events: u64,
    /// Input tokens to charge for such a stream.
    estimated_input: u64,
    /// Distinct fields with warnings.
    warned: Vec<Warned>,
    /// The conversation of a request that uses a prompt cache.
    conversation: Option<Box<Conversation>>,
    /// Its relation to the earlier request, if the client asks for it.
    cache_report: Option<String>,
    /// Times of the steps, if the client asks for them.
    timing: Option<Arc<Timing>>,
    outcome: Option<Outcome>,
    /// The audit record; none if they are off.
    audit: Option<Box<audit::Entry>>,
}

#[derive(Debug)]
struct Outcome {
    status: u16,
    /// Empty after success.
    reason: String,
}

impl RequestRecord {
    /// Opens the record of a request.
    pub(crate) fn open(
        state: &State,
        context: &RequestContext,
        route: &'static str,
        operation: &'static str,
    ) -> Self {
        let origin = state.traces().zip(context.origin.as_ref());
        let span = origin.map(|(traces, origin)| traces.begin(origin, route));
        let metrics = Arc::clone(state.metrics());
        let mut calls = CallRecord::new(metrics, context.id.clone(), operation, span);
        let audit = state.audit().map(|audit| {
            let entry = audit::Entry::new(audit, context.peer);
            calls.set_audit(entry.attempts().clone());
            Box::new(entry)
        });
        Self {
            calls,
            sampler: Arc::clone(state.sampler()),
            route,
            started: Instant::now(),
            first_byte: None,
            in_flight: None,
            permit: None,
            reservation: None,
            model: String::new(),
            model_is_configured: false,
            usage: None,
            other_units: OtherUnits::default(),
            of_calls: None,
            wants_cost: false,
            spending: Arc::clone(state.spending()),
            clock: state.settings().clock.clone(),
            events: 0,
            estimated_input: 0,
            warned: Vec::new(),
            conversation: None,
            cache_report: None,
            timing: context.timing.clone(),
            outcome: None,
            audit,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.calls.request_id
    }

    /// A step of the request ends.
    pub(crate) fn end(&self, step: Step) {
        if let Some(timing) = &self.timing {
            timing.end(step);
        }
    }

    /// The record of calls to Bedrock.
    pub(crate) fn calls(&mut self) -> &mut CallRecord {
        &mut self.calls
    }

    /// Keeps the request in the count of open requests until the record is closed.
    pub(crate) fn set_in_flight(&mut self, guard: InFlightGuard) {
        self.in_flight = Some(guard);
    }

    /// Sets the rate-limit permit; closing the record charges its tokens.
    pub(crate) fn set_permit(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// Sets what the request holds in its budgets; closing the record settles its cost.
    pub(crate) fn set_reservation(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
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

    pub(crate) fn set_client(&mut self, name: &str) {
        cut(name).clone_into(&mut self.calls.client);
    }

    /// The body of the request has arrived.
    pub(crate) fn set_body(&mut self, body: &Bytes) {
        if let Some(entry) = &mut self.audit {
            apart(body.len(), || entry.set_body(body));
        }
    }

    /// Sets the requested model. A model that only a pattern allows becomes a metric label after a successful
    /// request only, since clients can invent any number of names.
    pub(crate) fn set_model(&mut self, model: &str, is_configured: bool, stream: bool) {
        cut(model).clone_into(&mut self.model);
        self.model_is_configured = is_configured;
        self.calls.stream = stream;
    }

    /// Compares the request with the earlier one of its conversation. After [`Self::set_client`] and [`Self::set_model`].
    pub(crate) fn follow(
        &mut self,
        conversations: &Arc<Conversations>,
        outline: Outline,
        headers: &HeaderMap,
    ) {
        if self.calls.operation != COUNT_TOKENS {
            let conversation = conversations.open(&self.calls.client, &self.model, outline);
            self.cache_report = wants_cache_report(headers).then(|| conversation.report());
            self.conversation = Some(Box::new(conversation));
        }
    }

    /// The relation of the request to the earlier one of its conversation, if the client asks for it.
    pub(crate) fn cache_report(&self) -> Option<&str> {
        self.cache_report.as_deref()
    }

    /// The first byte of a stream is sent.
    pub(crate) fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.started.elapsed());
            self.calls.first_chunk();
        }
    }

    pub(crate) fn set_usage(&mut self, usage: TokenUsage) {
        self.usage = Some(usage);
    }

    /// Sets the units that Bedrock bills besides tokens.
    pub(crate) fn set_other_units(&mut self, units: OtherUnits) {
        self.other_units = units;
    }

    /// Sets the units that Bedrock bills for a forwarded call of InvokeModel with this number of images in its response.
    /// The price tells what the model is billed by.
    pub(crate) fn set_forwarded_units(&mut self, images: u64) {
        let standard = self.calls.prices.as_deref();
        let rates = standard.and_then(|prices| Some(prices.tier(Tier::Standard)?.rates));
        let Some(rates) = rates else { return };
        self.other_units = OtherUnits {
            images: if rates.image.is_some() { images } else { 0 },
            searches: u64::from(rates.search.is_some()),
        };
    }

    /// Sets the units of a guardrail that was applied without a model.
    pub(crate) fn set_guardrail_units(&mut self, units: &GuardrailUnits) {
        let price = self.calls.guardrail_price;
        self.of_calls = price.map(|price| Cost::Known(price.cost(units)));
    }

    /// Adds the cost of one of several calls, whose record has been joined.
    pub(crate) fn add_call(&mut self, usage: &TokenUsage, other: OtherUnits) {
        let cost = Cost::of(self.calls.prices.as_deref(), usage, other);
        self.of_calls = Some(self.of_calls.unwrap_or_default().plus(cost));
    }

    /// Sets which reports the client asks for.
    pub(crate) fn set_reports(&mut self, headers: &HeaderMap) {
        self.wants_cost = wants_cost(headers);
    }

    /// The cost so far. A stream that ended without usage has an unknown cost.
    pub(crate) fn cost(&self) -> Cost {
        if let Some(cost) = self.of_calls {
            return cost;
        }
        match self.usage {
            None if self.events > 0 => {
                Cost::Unpriced(self.estimated_input.saturating_add(self.events))
            }
            usage => {
                let prices = self.calls.prices.as_deref();
                Cost::of(prices, &usage.unwrap_or_default(), self.other_units)
            }
        }
    }

    /// The cost, if the client asks for it.
    pub(crate) fn cost_report(&self) -> Option<Cost> {
        self.wants_cost.then(|| self.cost())
    }

    /// The stream ended without usage after this number of events, each of which has a token or more.
    pub(crate) fn set_events(&mut self, events: u64) {
        self.events = events;
    }

    /// Estimates the input, if a rate limit applies: it is charged if a stream ends before its usage is known.
    pub(crate) fn estimate_input(&mut self, body: &[u8]) {
        if self.permit.is_some() {
            self.estimated_input = estimate::tokens(body);
        }
    }

    /// Sets the warnings of the response.
    pub(crate) fn set_warnings(&mut self, warnings: &[String]) {
        self.warned.clear();
        for warned in warnings.iter().map(|warning| Warned::new(warning)) {
            if !self.warned.contains(&warned) {
                self.warned.push(warned);
            }
        }
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

    pub(crate) fn succeeded(&mut self) {
        self.outcome = Some(Outcome {
            status: 200,
            reason: String::new(),
        });
    }

    pub(crate) fn failed(&mut self, error: &GatewayError) {
        if let Some(id) = aws_request_id(error) {
            self.calls.aws_request_id = Some(id.to_owned());
        }
        self.outcome = Some(Outcome {
            status: error.status().as_u16(),
            reason: error.reason().to_owned(),
        });
    }
}

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
}

/// At most 256 bytes of a name that a client can choose.
fn cut(name: &str) -> &str {
    let end = name.floor_char_boundary(MAX_NAME_BYTES);
    name.get(..end).unwrap_or_default()
}

/// The number, if it is not zero.
fn some(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
