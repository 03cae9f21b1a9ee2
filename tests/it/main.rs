//! The integration suite: products and rigs together, manifests and requests in, HTTP and cluster state out.
//!
//! `api_tier`, `faults` and `token_exchange` need a real API server on loopback. Real pods are tested by
//! `cargo xtask demo --once`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation ends the test"
)]

mod agents;
mod anthropic_clients;
mod api_tier;
mod argocd;
mod chaos;
mod collector;
mod examples;
mod faults;
mod framework_clients;
mod golden_requests;
mod hostile;
mod limits;
mod manifests;
mod native;
mod openai_clients;
mod openapi;
mod responses_clients;
mod served_apis;
mod support;
mod token_exchange;
