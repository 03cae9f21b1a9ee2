//! Record of a request: its metrics, span and log line, written exactly once.
//!
//! The record follows the request into the body of its response. Dropping it writes it, whether the request
//! succeeded, failed or was cancelled by the client. No prompts, no keys.

mod close;

use std::{sync::Arc, time::Duration};

use api::prices::{GuardrailUnits, Tier};
use bedrock::converse::TokenUsage;
use bytes::Bytes;
use credentials::SharedTimeSource;
use dialects::Warned;
use http::HeaderMap;
use tokio::time::Instant;

use super::{
    budget::Reservation,
    context::RequestContext,
    conversation::{Conversation, Conversations, Outline},
    cost::{Cost, OtherUnits},
    estimate,
    rate_limit::{Permit, report::Slot},
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
    telemetry::{
        audit,
        sampler::Sampler,
        timing::{Step, Timing},
    },
    upstream::call_record::{CallRecord, aws_request_id},
};

/// Longest name of a model or a client in metrics, logs and traces.
const MAX_NAME_BYTES: usize = 256;
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
    /// For the headers of limits and budgets.
    limits: Option<Slot>,
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
            limits: context.limits.clone(),
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

    /// For the headers of limits and budgets; none if the response has none.
    pub(crate) fn limits(&self) -> Option<&Slot> {
        self.limits.as_ref()
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

/// At most 256 bytes of a name that a client can choose.
fn cut(name: &str) -> &str {
    let end = name.floor_char_boundary(MAX_NAME_BYTES);
    name.get(..end).unwrap_or_default()
}
