//! The steps of a request, and the active configuration that they use.

pub(crate) mod active_config;
pub(crate) mod admit;
pub(crate) mod authenticate;
pub(crate) mod batch;
pub(crate) mod budget;
pub(crate) mod context;
pub(crate) mod conversation;
pub(crate) mod converse;
pub(crate) mod cost;
pub(crate) mod driver;
pub(crate) mod endpoint;
mod estimate;
pub(crate) mod exchange;
pub(crate) mod kept_reasoning;
pub(crate) mod load_error;
pub(crate) mod model_list;
pub(crate) mod rate_limit;
pub(crate) mod record;
pub(crate) mod route;
pub(crate) mod shared_store;
pub(crate) mod spend;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod unrouted;
