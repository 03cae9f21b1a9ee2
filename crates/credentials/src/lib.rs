//! Resolves AWS credentials and keeps them fresh. The only crate that stores secret bytes.
//!
//! [`Settings::from_env`] chooses a method from the environment, [`start()`] runs one background task per role
//! chain, [`Handle::assume`] one per additional role, and the [`Handle`] returns the current [`ActiveCredentials`]
//! without waiting. Credentials are refreshed after 60–75 % of their lifetime, used until they expire, and replaced
//! at once when AWS rejects them ([`Handle::replace`]).
//!
//! This crate never prints a secret: keys are kept in the SDK's `Credentials` and in types that redact and zero
//! themselves; tokens are dropped after the exchange they were read for. The gateway signs the requests to
//! Bedrock, this crate does not.

mod active;
mod choice;
mod clock;
mod environment;
mod files;
mod handle;
mod http;
mod proxies;
mod refresher;
mod refusal;
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
pub use proxies::Proxies;
pub use secret::BearerToken;
pub use settings::{Settings, SettingsError};
pub use sources::{
    github::github_identity_token,
    profile::{check_profile, region_of_profile},
};
pub use start::{StartError, start, start_base};
pub use status::{SUCCESS, Status};
pub use sts::AssumeRoleLink;
pub use unavailable::{Reason, Unavailable};
