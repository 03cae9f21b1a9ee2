//! The contract of the two products: the `BedrockAccess` types, the names of labels, annotations,
//! conditions and reasons, AWS identifiers both sides check, and the configuration document that the
//! operator writes and the gateway reads.
//!
//! It does no I/O, and a default lives here and nowhere else.

pub mod arn;
pub mod catalogue;
pub mod config;
pub mod iam;
pub mod names;
pub mod pattern;
pub mod region;
pub mod v1alpha1;

pub use arn::{Arn, ArnError, RoleArn};
pub use config::GatewayConfig;
pub use region::{Partition, Region, RegionError};
