//! The data path: clients of the OpenAI, Anthropic and Bedrock APIs in, signed calls of Amazon Bedrock out.
//!
//! One module for each concern, from top to bottom; a module imports only the modules below it:
//!
//! | Module | Contents |
//! |---|---|
//! | `cli` | commands |
//! | `server` | ports, router, reload, drain, admin endpoints |
//! | `endpoints` | one file for each API endpoint |
//! | `pipeline` | the steps of a request, and the configuration they look up |
//! | `upstream` | calls of Bedrock: sign, send, retry, read |
//! | `config` | settings and files |
//! | `telemetry` | logs, metrics, traces, request ids |
//! | `http` | errors, responses and the HTTP client |
//! | `measure` | time and allocations by step, for `cargo xtask bench --steps` only |
//!
//! A request takes these steps: accept (`server`), authenticate, read the body, apply the rate limits and route
//! (`pipeline::admit`), decode for the target (the `dialects` crate), sign and send (`upstream`), read the
//! response (the `bedrock` crate), encode (`endpoints`, `pipeline::stream`), record (`pipeline::record`).
//! [`Server`] opens its ports; [`Settings`] holds all inputs, so that tests pass
//! a map as environment and a clock of their own.

pub mod cli;
mod config;
mod endpoints;
mod http;
pub mod measure;
mod pipeline;
mod server;
mod telemetry;
mod upstream;

pub use crate::{
    config::{ApiKey, RegionMissing, Settings, key_files::KeyFileError, tls::CertificateError},
    http::{
        error::{GatewayError, Refusal},
        over_limit::OverLimit,
    },
    pipeline::{
        authenticate::KeySetError, load_error::LoadError, shared_store::StoreError, state::State,
    },
    server::{Drained, ServeError, Server, admin::admin, serve},
    telemetry::{
        otlp::{LogsExport, MetricsExport, OtlpError},
        traces::{Traces, TracesError},
    },
};
