//! The sources and the refresher against a simulated AWS, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is a test; its helper functions are not marked as such"
)]

mod assumed;
mod cases;
mod renewal;
mod sso;
mod support;
