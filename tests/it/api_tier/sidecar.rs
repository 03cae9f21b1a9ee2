//! The sidecar's webhook, called by a real API server on loopback: which pods get it, which are refused,
//! and what an outage costs whom.

mod burst;
mod outage;
mod pods;
pub(crate) mod rig;
