//! The commands against the double and its policy evaluator, on a terminal and in pipes, and the files under
//! `examples/`.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of integration tests are not tests to clippy"
)]

mod command_line;
mod doctor;
mod examples;
mod iam;
mod models;
mod simulate;
mod support;
mod terminal;
