//! Bedrock Runtime on the wire, sans-IO: Converse types, event-stream frames, `SigV4`, identifiers, errors.
//!
//! This crate converts between bytes and values. It does no I/O, reads neither clock nor environment, and does not
//! know the clients' dialects.

pub mod apis;
pub mod converse;
pub mod error;
pub mod eventstream;
pub mod literal;
pub mod model_id;
pub mod sigv4;
pub mod sse;

pub use error::{Class, ServiceError};
