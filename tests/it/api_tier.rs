//! The operator against a real API server: what it makes, keeps, refuses and removes.

mod lifecycle;
mod refusals;
mod rig;
