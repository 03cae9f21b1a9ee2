//! HTTP building blocks that every other room uses: errors, responses, request guards, the HTTP client.

pub(crate) mod body_budget;
pub(crate) mod client;
pub(crate) mod decoders;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod held;
pub(crate) mod hints;
pub(crate) mod local;
pub(crate) mod over_limit;
pub(crate) mod payload;
pub(crate) mod proxied;
pub(crate) mod rare;
pub(crate) mod request_guards;
pub(crate) mod response;
pub(crate) mod time;
