//! The gateway as a sidecar: what a pod of a team gets when it wears the label, and how those pods do.
//!
//! `template` makes the sidecar of an access, `inject` puts it into a pod, both pure; `admit` decides
//! whether a pod may have it. The webhook that asks is in `webhook.rs`. The way of a sidecar after its
//! pod was made is the kubelet's: nothing here writes to a pod.

pub(crate) mod admit;
pub(crate) mod fleet;
mod inject;
pub(crate) mod pod;
pub(crate) mod refused;
pub(crate) mod template;
