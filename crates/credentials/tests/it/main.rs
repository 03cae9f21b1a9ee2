//! The sources and the refresher against a simulated AWS, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code; the lints do not recognize its helper functions as such"
)]

mod assumed;
mod cases;
mod renewal;
mod sso;
mod support;
