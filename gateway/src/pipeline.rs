//! The steps of a request, and the configuration that they look up.

pub(crate) mod active_config;
pub(crate) mod admit;
pub(crate) mod authenticate;
pub(crate) mod converse;
pub(crate) mod driver;
pub(crate) mod rate_limit;
pub(crate) mod record;
pub(crate) mod route;
pub(crate) mod stream;
