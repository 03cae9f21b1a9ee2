//! The integration suite: products and rigs together, manifests and requests in, HTTP and cluster state out.
//!
//! `api_tier` needs a real API server on loopback, `cluster_tier` real pods; the rest needs neither.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test ends where something is not as it should be"
)]

mod api_tier;
mod openai_clients;
mod support;
mod token_exchange;
