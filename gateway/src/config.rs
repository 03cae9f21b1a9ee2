//! Settings of the process, and the files that it reads and watches.

pub(crate) mod key_files;
pub(crate) mod memory;
pub(crate) mod settings;
pub(crate) mod tls;
pub(crate) mod watched_files;

pub(crate) use settings::{ADMIN_LISTEN_VARIABLE, API_KEY_VARIABLE, CONFIG_VARIABLE, LOG_VARIABLE};
pub use settings::{ApiKey, RegionMissing, Settings};
