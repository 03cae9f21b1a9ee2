//! Tests of the double over HTTP, with the AWS SDK as the client.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step of a test is a failed test"
)]

mod authorization;
mod bedrock;
mod client;
mod invoke;
mod prompt_cache;
mod served_apis;
mod sources;
mod sts;
