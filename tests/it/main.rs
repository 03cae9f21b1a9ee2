//! The integration suite: products and rigs together, manifests and requests in, HTTP and cluster state out.
//!
//! `api_tier` and `faults` need a real API server on loopback, most of the rest does not. Real pods are the business of
//! `cargo xtask demo --once`, which the suite runs last.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod anthropic_clients;
mod api_tier;
mod argocd;
mod faults;
mod golden_requests;
mod limits;
mod native;
mod openai_clients;
mod responses_clients;
mod served_apis;
mod support;
mod token_exchange;
