//! The data path: clients of the OpenAI dialect in, signed calls of Amazon Bedrock out.
//!
//! A request takes eight steps, one file each: accept (`server`, `limits`), authenticate, decode (the
//! `dialects` crate), route, sign and send (`upstream`), decode the stream (the `bedrock` crate),
//! encode (`sse`), account. [`app()`] is the API as a router; [`Server`] puts it on a port;
//! [`Settings`] is all it takes from outside, so that tests give a map for the environment and a clock
//! of their own. Only `config` and `traces` read the environment.

mod account;
mod admin;
mod admit;
mod answer;
mod app;
mod arrival;
mod authenticate;
mod chat_completions;
pub mod cli;
mod client_credentials;
mod config;
mod count_tokens;
mod embeddings;
mod error;
mod fetch;
mod files;
mod hints;
mod images;
mod limits;
mod listing;
mod live;
pub mod logging;
mod messages;
mod metrics;
mod native;
mod rates;
mod reload;
mod rerank;
mod responses;
mod route;
mod server;
mod sessions;
mod sse;
mod tls;
mod traces;
mod translate;
mod upstream;

pub use admin::admin;
pub use app::{State, app};
pub use authenticate::{KeyFileError, KeySetError};
pub use config::{
    API_KEY_VARIABLE, ApiKey, CONFIG_VARIABLE, LOG_VARIABLE, RegionMissing, Settings,
};
pub use error::{GatewayError, Refusal};
pub use live::LoadError;
pub use rates::{OverLimit, StoreError};
pub use server::{Drained, ServeError, Server, serve};
pub use tls::CertificateError;
pub use traces::{Traces, TracesError};
