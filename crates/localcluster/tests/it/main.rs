//! The rig against itself: real processes, on this machine.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should panic where it stands"
)]

mod api_server;
mod cluster;
mod support;
