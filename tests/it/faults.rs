//! Fault injection: every write fails in every way or is the last one of the operator, watches break, children are
//! deleted, changed and taken over, two operators run at once. The final state must equal the state without a fault,
//! except for fields that servers set.
//!
//! A case is a namespace with an operator that sees nothing else (`proxy.rs`); the oracle is the same story without a
//! fault, on the same API server (`oracle.rs`). `cargo xtask test faults` runs a sample of the cases, and with `--full` all
//! of them.

mod children;
mod operators;
mod oracle;
mod proxy;
mod verbs;
mod watches;
mod world;
mod writes;
