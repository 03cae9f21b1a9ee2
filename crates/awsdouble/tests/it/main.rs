//! The double over HTTP, with AWS's own SDK as the client.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step of a test is a failed test"
)]

mod bedrock;
mod client;
mod invoke;
mod sources;
mod sts;
mod surface;
