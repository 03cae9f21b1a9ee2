//! What every other room uses: errors, guards of a request, and the HTTP client.

pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod hints;
pub(crate) mod over_limit;
pub(crate) mod request_guards;
