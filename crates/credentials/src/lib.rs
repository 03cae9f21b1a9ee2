//! Where AWS credentials come from, and how they stay fresh. The only home of secret bytes.
//!
//! [`Settings::from_env`] chooses a method by the environment, [`start()`] runs one background task a role chain,
//! [`Handle::assume`] one for each role on top of it, and the [`Handle`] gives the current [`ActiveCredentials`] without waiting. Credentials are refreshed at 60–75 % of their
//! life, kept until they really expire, and replaced at once when AWS refuses them ([`Handle::replace`]).
//!
//! Nothing here prints a secret: keys live in the SDK's `Credentials` and in types that redact and wipe
//! themselves, tokens are dropped after the one exchange they are read for. Requests to Bedrock are not signed
//! here; that is the data path's.

mod active;
mod choice;
mod clock;
mod environment;
mod files;
mod handle;
mod http;
mod refresher;
mod schedule;
mod secret;
mod settings;
mod sources;
mod start;
mod status;
mod sts;
mod unavailable;

pub use active::ActiveCredentials;
pub use aws_types::sdk_config::{SharedTimeSource, TimeSource};
pub use choice::{Choice, Method};
pub use environment::{Environment, ProcessEnvironment};
pub use handle::Handle;
pub use secret::BearerToken;
pub use settings::{Settings, SettingsError};
pub use sources::profile::region_of_profile;
pub use start::{StartError, start};
pub use status::{SUCCESS, Status};
pub use sts::AssumeRoleLink;
pub use unavailable::{Reason, Unavailable};
