//! The operator against a real API server: what it makes, keeps, refuses and removes.

mod children;
mod lifecycle;
mod refusals;
pub(crate) mod rig;
pub(crate) mod sidecar;
