//! The double over HTTP, with AWS's own SDK as the client.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

mod bedrock;
mod client;
mod sts;
