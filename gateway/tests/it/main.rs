//! The gateway on a real socket, in front of the simulated AWS.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are not tests to clippy"
)]

mod chat;
mod chat_native;
mod clients;
mod credentials;
mod drain;
mod embeddings;
mod errors;
mod images;
mod limit_store;
mod limits;
mod messages;
mod messages_errors;
mod native;
mod reload;
mod rerank;
mod responses;
mod responses_native;
mod rig;
mod start;
mod streams;
mod target_roles;
mod traces;
