//! A simulated AWS for tests and demos: STS, credentials endpoints and Bedrock on one address.
//!
//! Written from AWS's published protocols. It shares no signing or framing code with the products, performs the same
//! checks as AWS, and derives each response from the request, so that tests can check whether a request arrived
//! unchanged. The crate's README documents the script language and the `/_double/` endpoints.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use awsdouble::{Config, Double, TokenIssuer, allow_bedrock};
//!
//! let issuer = TokenIssuer::generate("https://oidc.example")?;
//! let config = Config::default().with_issuer(issuer.issuer(), issuer.jwks());
//! let trust = config.irsa_trust(issuer.issuer(), "team-a", "app");
//! let config = config.with_role("arn:aws:iam::123456789012:role/Bedrock", trust, allow_bedrock());
//! let double = Double::start(config).await?;
//! // … run the program under test with `double.url()` …
//! assert_eq!(double.calls_of("AssumeRoleWithWebIdentity").len(), 1);
//! # Ok(()) }
//! ```

mod account;
mod admin;
mod auth;
mod bedrock;
mod clock;
pub mod config;
mod double;
mod encoding;
mod endpoints;
mod error;
pub mod eventstream;
mod fault;
mod issuer;
mod ledger;
pub mod policy;
mod record;
mod render;
mod server;
mod service_model;
mod sigv4;
mod sts;
mod web_identity;

pub use account::AccountError;
pub use bedrock::{CatalogError, reasoning_signature, redacted_reasoning};
pub use config::{Config, allow_bedrock};
pub use double::{Double, StartError};
pub use error::{AwsError, ErrorBody};
pub use fault::{Fault, FaultAction};
pub use issuer::{IssuerError, TokenIssuer};
pub use record::{Call, Identity, StreamOutcome, TokenClaims};
