//! The gateway as a sidecar: injection into labelled pods.
//!
//! `admit` decides whether a pod may have a sidecar, `inject` adds it to the pod (pure). The sidecar itself is built in
//! `access/build/sidecar.rs`; the webhook is in `webhook.rs`. After a pod is created, only the kubelet manages its
//! sidecar: the operator never writes to a pod.

pub(crate) mod admit;
mod inject;
pub(crate) mod pod;
pub(crate) mod refused;
