//! Metrics of model requests. Histograms have no label for the client, since each has a dozen series; counters have.
//!
//! A request looks up its series once, by operation, model and client, and keeps no text for it.

use std::{
    hash::Hash,
    sync::{OnceLock, atomic::AtomicU64},
    time::Duration,
};

use bedrock::converse::TokenUsage;
use opentelemetry::trace::TraceId;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter, exemplar::HistogramWithExemplars, family::Family, histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use super::{Conventions, PROVIDER, interned::Interned};

/// Upper bounds of durations: those of OpenTelemetry from 160 ms to 82 s, of which some are left out to bound the number of series.
const DURATIONS: [f64; 8] = [0.16, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 81.92];
/// Upper bounds of the time to the first token: OpenTelemetry's from 100 ms to 10 s.
const FIRST_TOKENS: [f64; 7] = [0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 10.0];
/// Upper bounds of the time per output token: OpenTelemetry's from 10 ms to 1 s.
const PER_OUTPUT_TOKEN: [f64; 6] = [0.01, 0.025, 0.05, 0.1, 0.2, 1.0];
/// Upper bounds of the tokens of a request: OpenTelemetry's that separate short prompts, documents and long contexts.
const TOKENS: [f64; 3] = [1024.0, 16384.0, 262_144.0];
/// Value of `error_type` for responses with a status of 500 or above. Reasons are in `bedrock_gateway_requests_total`.
const SERVER_ERROR: &str = "5xx";

/// Value of `model` for guardrails that are applied without a model.
const GUARDRAIL: &str = "guardrail";

/// A finished model request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedCall<'a> {
    pub(crate) operation: &'static str,
    /// Configured name or foundation model, or `other`.
    pub(crate) model: &'a str,
    pub(crate) client: &'a str,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    /// Time to the first byte of a streamed response.
    pub(crate) first_byte: Option<Duration>,
    pub(crate) usage: Option<TokenUsage>,
    /// Cost in dollars, if known.
    pub(crate) cost: Option<f64>,
    /// Tokens whose price is unknown.
    pub(crate) unpriced: u64,
    /// Trace of the request, if it is sampled.
    pub(crate) trace_id: Option<TraceId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(
    clippy::struct_field_names,
    reason = "names of OpenTelemetry's conventions"
)]
struct ModelLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    gen_ai_request_model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    #[prometheus(flatten)]
    model: ModelLabels,
    error_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UsageLabels {
    #[prometheus(flatten)]
    model: ModelLabels,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabel {
    client: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientModelLabels {
    client: String,
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientTokenLabels {
    client: String,
    model: String,
    r#type: &'static str,
}

/// Labels of counters in the latest conventions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConventionLabels {
    #[prometheus(flatten)]
    model: ModelLabels,
    client: String,
}

/// Label of exemplars.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TraceLabel {
    trace_id: String,
}

/// A histogram whose buckets have the trace of a request that fell into them.
type Traced = HistogramWithExemplars<TraceLabel>;
type Dollars = Counter<f64, AtomicU64>;
type Histograms<L, H> = Family<L, H, fn() -> H>;

/// The metrics of all model requests.
#[derive(Debug)]
pub(super) struct CallMetrics {
    conventions: Conventions,
    durations: Histograms<DurationLabels, Traced>,
    first_tokens: Histograms<ModelLabels, Traced>,
    per_output_token: Histograms<ModelLabels, Histogram>,
    usage: Histograms<UsageLabels, Histogram>,
    requests: Family<ClientLabel, Counter>,
    tokens: Family<ClientTokenLabels, Counter>,
    cache_reads: Family<ClientModelLabels, Counter>,
    cache_writes: Family<ClientModelLabels, Counter>,
    long_cache_writes: Family<ClientModelLabels, Counter>,
    /// By client and by model, not by both, to bound the number of series; tokens are by both.
    cost: Family<ClientLabel, Dollars>,
    model_cost: Family<ModelLabel, Dollars>,
    unpriced: Family<ClientModelLabels, Counter>,
    latest_durations: Histograms<DurationLabels, Traced>,
    latest_first_chunks: Histograms<ModelLabels, Traced>,
    latest_input: Family<ConventionLabels, Counter>,
    latest_output: Family<ConventionLabels, Counter>,
    latest_cache_read: Family<ConventionLabels, Counter>,
    latest_cache_write: Family<ConventionLabels, Counter>,
    latest_reasoning: Family<ConventionLabels, Counter>,
    series: Interned<Series>,
}

/// The series of one operation, model and client, each created when it gets its first value.
#[derive(Debug, Default)]
struct Series {
    operation: &'static str,
    model: String,
    client: String,
    durations: [OnceLock<Traced>; 2],
    first_token: OnceLock<Traced>,
    per_output_token: OnceLock<Histogram>,
    usage: [OnceLock<Histogram>; 2],
    requests: OnceLock<Counter>,
    tokens: [OnceLock<Counter>; 2],
    cache_reads: OnceLock<Counter>,
    cache_writes: OnceLock<Counter>,
    long_cache_writes: OnceLock<Counter>,
    cost: OnceLock<Dollars>,
    model_cost: OnceLock<Dollars>,
    unpriced: OnceLock<Counter>,
    latest_durations: [OnceLock<Traced>; 2],
    latest_first_chunk: OnceLock<Traced>,
    latest_tokens: [OnceLock<Counter>; 5],
}

impl Series {
    fn model_labels(&self) -> ModelLabels {
        ModelLabels {
            gen_ai_operation_name: self.operation,
            gen_ai_provider_name: PROVIDER,
            gen_ai_request_model: self.model.clone(),
        }
    }

    fn client_model_labels(&self) -> ClientModelLabels {
        ClientModelLabels {
            client: self.client.clone(),
            model: self.model.clone(),
        }
    }
}

impl CallMetrics {
    pub(super) fn new(conventions: Conventions) -> Self {
        let durations: fn() -> Traced = || Traced::new(DURATIONS.into_iter());
        let first_tokens: fn() -> Traced = || Traced::new(FIRST_TOKENS.into_iter());
        Self {
            conventions,
            durations: Family::new_with_constructor(durations),
            first_tokens: Family::new_with_constructor(first_tokens),
            per_output_token: Family::new_with_constructor(|| Histogram::new(PER_OUTPUT_TOKEN)),
            usage: Family::new_with_constructor(|| Histogram::new(TOKENS)),
            requests: Family::default(),
            tokens: Family::default(),
            cache_reads: Family::default(),
            cache_writes: Family::default(),
            long_cache_writes: Family::default(),
            cost: Family::default(),
            model_cost: Family::default(),
            unpriced: Family::default(),
            latest_durations: Family::new_with_constructor(durations),
            latest_first_chunks: Family::new_with_constructor(first_tokens),
            latest_input: Family::default(),
            latest_output: Family::default(),
            latest_cache_read: Family::default(),
            latest_cache_write: Family::default(),
            latest_reasoning: Family::default(),
            series: Interned::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        if self.conventions.former {
            register_seconds! { registry, self,
                durations: "gen_ai_server_request_duration",
                    "Time from the arrival of a model request to the last byte of its response, without requests that failed because of the client";
                first_tokens: "gen_ai_server_time_to_first_token",
                    "Time from the arrival of a request to the first byte of its streamed response";
                per_output_token: "gen_ai_server_time_per_output_token",
                    "Time for each output token after the first one of a streamed response";
            }
            register! { registry, self,
                usage: "gen_ai_client_token_usage",
                    "Tokens of a model request as counted by Bedrock; input includes cache reads and writes";
            }
        }
        register! { registry, self,
            requests: "bedrock_gateway_client_requests",
                "Requests for a model by client, failed ones included";
            tokens: "bedrock_gateway_tokens",
                "Tokens as counted by Bedrock, by client, model and type; input includes cache reads and writes";
            cache_reads: "bedrock_gateway_cache_read_tokens",
                "Input tokens read from the prompt cache, by client and model";
            cache_writes: "bedrock_gateway_cache_write_tokens",
                "Input tokens written to the prompt cache, by client and model";
            long_cache_writes: "bedrock_gateway_cache_write_1h_tokens",
                "Input tokens written to the prompt cache for an hour, part of those written";
            cost: "bedrock_gateway_cost_dollars",
                "Cost of requests in US dollars, by client, without tokens that have no price";
            model_cost: "bedrock_gateway_model_cost_dollars",
                "Cost of requests in US dollars, by model, without tokens that have no price";
            unpriced: "bedrock_gateway_unpriced_tokens",
                "Tokens whose price is unknown, by client and model";
        }
        if self.conventions.latest {
            register_seconds! { registry, self,
                latest_durations: "gen_ai_client_inference_duration",
                    "Time from the arrival of a model request to the last byte of its response, without requests that failed because of the client";
                latest_first_chunks: "gen_ai_client_inference_time_to_first_chunk",
                    "Time from the arrival of a request to the first byte of its streamed response";
            }
            register! { registry, self,
                latest_input: "gen_ai_client_inference_usage_input_tokens",
                    "Input tokens, cache reads and writes included";
                latest_output: "gen_ai_client_inference_usage_output_tokens",
                    "Output tokens";
                latest_cache_read: "gen_ai_client_inference_usage_cache_read_input_tokens",
                    "Input tokens read from the prompt cache";
                latest_cache_write: "gen_ai_client_inference_usage_cache_write_input_tokens",
                    "Input tokens written to the prompt cache";
                latest_reasoning: "gen_ai_client_inference_usage_reasoning_output_tokens",
                    "Output tokens used for reasoning";
            }
        }
    }

    /// Records a finished request.
    pub(super) fn record(&self, call: &FinishedCall<'_>) {
        let FinishedCall {
            operation,
            model,
            client,
            ..
        } = *call;
        let series = self.series.get(
            (operation, model, client),
            |one| one.operation == operation && one.model == model && one.client == client,
            || Series {
                operation,
                model: model.to_owned(),
                client: client.to_owned(),
                ..Series::default()
            },
        );
        increase(&series.requests, &self.requests, 1, || ClientLabel {
            client: client.to_owned(),
        });
        self.record_times(call, &series);
        if let Some(usage) = &call.usage {
            self.record_usage(usage, &series);
        }
        if let Some(dollars) = call.cost {
            let cost = || self.cost_of(client);
            series.cost.get_or_init(cost).inc_by(dollars);
            let cost = || self.cost_of_model(model);
            series.model_cost.get_or_init(cost).inc_by(dollars);
        }
        increase(&series.unpriced, &self.unpriced, call.unpriced, || {
            series.client_model_labels()
        });
    }

    fn cost_of(&self, client: &str) -> Dollars {
        let client = client.to_owned();
        self.cost.get_or_create_owned(&ClientLabel { client })
    }

    fn cost_of_model(&self, model: &str) -> Dollars {
        let model = model.to_owned();
        self.model_cost.get_or_create_owned(&ModelLabel { model })
    }

    /// Adds the cost of a guardrail that was applied without a model.
    pub(super) fn guardrail(&self, client: &str, dollars: f64) {
        self.cost_of(client).inc_by(dollars);
        self.cost_of_model(GUARDRAIL).inc_by(dollars);
    }

    fn record_times(&self, call: &FinishedCall<'_>, series: &Series) {
        let Conventions { former, latest } = self.conventions;
        let (outcome, error_type) = match call.status {
            200..=299 => (0, ""),
            500.. => (1, SERVER_ERROR),
            // The client's mistakes and rate limits would make the gateway look fast.
            _ => return,
        };
        let labels = || DurationLabels {
            model: series.model_labels(),
            error_type,
        };
        let took = call.took.as_secs_f64();
        if former && let Some(cell) = series.durations.get(outcome) {
            trace(cell, &self.durations, took, call.trace_id, labels);
        }
        if latest && let Some(cell) = series.latest_durations.get(outcome) {
            trace(cell, &self.latest_durations, took, call.trace_id, labels);
        }
        let Some(first) = call.first_byte else { return };
        let labels = || series.model_labels();
        let seconds = first.as_secs_f64();
        if former {
            trace(
                &series.first_token,
                &self.first_tokens,
                seconds,
                call.trace_id,
                labels,
            );
            let more_tokens = call
                .usage
                .map_or(0, |usage| usage.output_tokens)
                .saturating_sub(1);
            if more_tokens > 0 {
                let each = call.took.saturating_sub(first).as_secs_f64() / as_f64(more_tokens);
                series
                    .per_output_token
                    .get_or_init(|| self.per_output_token.get_or_create_owned(&labels()))
                    .observe(each);
            }
        }
        if latest {
            let family = &self.latest_first_chunks;
            trace(
                &series.latest_first_chunk,
                family,
                seconds,
                call.trace_id,
                labels,
            );
        }
    }

    fn record_usage(&self, usage: &TokenUsage, series: &Series) {
        let [input, output] = [usage.prompt_tokens(), usage.output_tokens];
        let kinds = [("input", input), ("output", output)];
        for (((kind, count), counter), histogram) in
            kinds.into_iter().zip(&series.tokens).zip(&series.usage)
        {
            increase(counter, &self.tokens, count, || ClientTokenLabels {
                client: series.client.clone(),
                model: series.model.clone(),
                r#type: kind,
            });
            if self.conventions.former {
                let labels = || UsageLabels {
                    model: series.model_labels(),
                    gen_ai_token_type: kind,
                };
                histogram
                    .get_or_init(|| self.usage.get_or_create_owned(&labels()))
                    .observe(as_f64(count));
            }
        }
        let (read, written) = (
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
        );
        let labels = || series.client_model_labels();
        increase(&series.cache_reads, &self.cache_reads, read, labels);
        increase(&series.cache_writes, &self.cache_writes, written, labels);
        increase(
            &series.long_cache_writes,
            &self.long_cache_writes,
            usage.cache_write_1h_input_tokens,
            labels,
        );
        if self.conventions.latest {
            let families = [
                (&self.latest_input, input),
                (&self.latest_output, output),
                (&self.latest_cache_read, read),
                (&self.latest_cache_write, written),
                (&self.latest_reasoning, usage.reasoning_tokens.unwrap_or(0)),
            ];
            for ((family, count), cell) in families.into_iter().zip(&series.latest_tokens) {
                increase(cell, family, count, || ConventionLabels {
                    model: series.model_labels(),
                    client: series.client.clone(),
                });
            }
        }
    }
}

/// Increases a counter, which exists once it has been increased.
fn increase<L: Clone + Hash + Eq>(
    cell: &OnceLock<Counter>,
    family: &Family<L, Counter>,
    by: u64,
    labels: impl FnOnce() -> L,
) {
    if by > 0 {
        cell.get_or_init(|| family.get_or_create_owned(&labels()))
            .inc_by(by);
    }
}

/// Observes a value, with the request's trace as exemplar.
fn trace<L: Clone + Hash + Eq>(
    cell: &OnceLock<Traced>,
    family: &Histograms<L, Traced>,
    value: f64,
    trace_id: Option<TraceId>,
    labels: impl FnOnce() -> L,
) {
    let exemplar = trace_id.map(|id| TraceLabel {
        trace_id: id.to_string(),
    });
    cell.get_or_init(|| family.get_or_create_owned(&labels()))
        .observe(value, exemplar, None);
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a number of tokens is far below 2^52"
)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
