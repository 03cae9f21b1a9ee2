//! Bedrock Runtime on the wire, sans-IO: Converse types, event-stream frames, `SigV4`, identifiers, errors.
//!
//! Nothing here opens a socket or a file, reads a clock or the environment, or knows a client's
//! dialect. Bytes come in, values go out, and the other way round.

pub mod apis;
pub mod converse;
pub mod error;
pub mod eventstream;
pub mod model_id;
pub mod sigv4;
pub mod sse;

pub use error::{Class, ServiceError};
