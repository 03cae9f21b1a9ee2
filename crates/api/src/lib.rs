//! The contract between operator and gateway: the custom resources, the names of labels, annotations and conditions,
//! AWS identifiers, IAM policies, prices, and the configuration document that the operator writes and the gateway reads.
//!
//! No I/O. All defaults of the custom resources and of the document are defined here.

pub mod arn;
pub mod budget;
pub mod catalogue;
pub mod config;
pub mod iam;
pub mod names;
pub mod pattern;
pub mod prices;
pub mod region;
pub mod shares;
pub mod spend;
pub mod v1alpha1;

pub use arn::{Arn, ArnError, RoleArn};
pub use config::GatewayConfig;
pub use region::{Partition, Region, RegionError};
