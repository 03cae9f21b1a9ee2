//! Where CPU time and memory of requests go, for `cargo xtask bench --steps`.
//!
//! Code of a step runs within `step`, a future that is part of a task within `part`, a task within `task`. Only
//! programs with the feature `measure` record; no shipped program has it, and in all others these functions do nothing.

#[cfg(not(feature = "measure"))]
mod off;
#[cfg(feature = "measure")]
mod recorder;

#[cfg(not(feature = "measure"))]
pub(crate) use self::off::*;
#[cfg(feature = "measure")]
pub use self::recorder::count_allocations;
#[cfg(feature = "measure")]
pub(crate) use self::recorder::*;

/// A step of a request. What runs within a step and is a step itself does not count for the outer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The connections of clients, except for what follows.
    Server,
    /// The calls of Bedrock, and their connections.
    Client,
    ReceiveRequest,
    SendResponse,
    SendCall,
    ReceiveReply,
    /// Everything between other steps.
    Middleware,
    Authenticate,
    Body,
    Limits,
    Head,
    Conversation,
    Route,
    Decode,
    Write,
    Check,
    Sign,
    Frames,
    DecodeReply,
    Encode,
    Stream,
    Record,
    Metrics,
    LogLine,
    LogThread,
}
