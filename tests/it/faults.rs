//! The operator on bad days: every write fails in every way or is the last before the operator dies,
//! watches break, children are deleted, changed and taken over, two operators work at once. After each
//! the cluster must hold what it holds after a good day, byte for byte but for what servers set.
//!
//! A case is a namespace with an operator that sees nothing else (`proxy.rs`); the oracle is the same
//! story without a fault, on the same API server (`oracle.rs`). `cargo xtask test faults` runs them.

mod children;
mod operators;
mod oracle;
mod proxy;
mod verbs;
mod watches;
mod world;
mod writes;
