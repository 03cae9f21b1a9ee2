//! The gateway on a real socket with the simulated AWS.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code; the lints do not recognize its helper functions as such"
)]

mod attribution;
mod audit;
mod bedrock_api;
mod budgets;
mod chat;
mod chat_passthrough;
mod clients;
mod cost;
mod count_tokens;
mod credential_cases;
mod credentials;
mod drain;
mod embeddings;
mod errors;
mod forced_guardrail;
mod honest_streams;
mod images;
mod kept_reasoning;
mod kills;
mod landing;
mod ledger;
mod limit_store;
mod limits;
mod memory;
mod messages;
mod messages_errors;
mod metrics;
mod models;
mod otlp;
mod process;
mod prompt_cache;
mod proxy;
mod refused;
mod reload;
mod rerank;
mod responses;
mod responses_passthrough;
mod rig;
mod routing;
mod server_timing;
mod signer;
mod signing;
mod start;
mod store_server;
mod streams;
mod target_roles;
mod traces;
mod web_pages;
