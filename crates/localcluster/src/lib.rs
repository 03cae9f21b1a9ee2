//! A real Kubernetes cluster on this machine, for tests and demos.
//!
//! Two tiers: [`ApiServer`] is etcd, API server and controller manager on loopback, ready in seconds and several at
//! once; [`Cluster`] adds scheduler, kubelet, containerd, kube-proxy and DNS in namespaces of its own, so that real
//! pods run. [`Target`] lets a caller use kind or the current kube context instead.
//!
//! This crate does not know what is installed in the cluster, pulls no images, and reaches no network beyond this
//! machine. All processes that it starts stop with the process that started them, even after a crash.

mod api_server;
mod audit;
mod cluster;
mod control_plane;
mod debian;
mod environment;
mod error;
mod image;
mod kubeconfig;
mod ports;
mod progress;
mod relay;
mod rig;
mod run;
mod target;
mod tools;

pub use api_server::{ApiServer, ISSUER, Options};
pub use audit::AuditEvent;
pub use cluster::{Cluster, NODE_ADDRESS};
pub use error::{Error, Result};
pub use image::ImageArchive;
pub use ports::free_ports;
pub use relay::Relay;
pub use run::{LeftOver, Running, clean_left_overs, running};
pub use target::{ClusterKind, Target};
pub use tools::Tools;
