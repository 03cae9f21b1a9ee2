//! The operator against a real API server: creation, drift, refusals and removal.

pub(crate) mod admission;
mod authors;
mod budgets;
mod children;
mod console;
mod documents;
mod labels;
mod leader;
mod lifecycle;
mod monitoring;
mod namespaces;
mod plugin;
pub(crate) mod policies;
mod refusals;
pub(crate) mod rig;
mod routes;
pub(crate) mod sidecar;
mod stored;
mod suspend;
mod tls;
mod upgrade;
