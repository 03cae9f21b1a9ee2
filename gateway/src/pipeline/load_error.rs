//! Errors of loading a configuration.

use std::path::PathBuf;

use api::{config::ConfigError, prices::PriceError};
use dialects::families::FamilyError;

use super::{authenticate::KeySetError, shared_store::StoreError};
use crate::{
    config::{RegionMissing, key_files::KeyFileError, tls::CertificateError},
    telemetry::audit::AuditError,
    upstream::aws_credentials::CredentialsError,
};

/// An unusable configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("failed to read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is invalid.
    #[error("invalid configuration {path}: {source}")]
    Document {
        /// The file.
        path: PathBuf,
        /// The field and its problem.
        source: ConfigError,
    },
    /// No region for targets without one.
    #[error(transparent)]
    Region(#[from] RegionMissing),
    /// The table of model families is invalid.
    #[error("modelFamilies: {0}")]
    Families(#[from] FamilyError),
    /// A price is invalid.
    #[error("prices.{0}")]
    Prices(#[from] PriceError),
    /// API keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The signing keys of ServiceAccounts are unusable.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// Clients in the network need no credentials.
    #[error(
        "refusing to listen on {0}, beyond this machine, without client authentication: set clients.apiKeysDirectory or clients.serviceAccounts in the configuration, or --api-key-file, or {variable}; or listen on 127.0.0.1; or set clients.anonymous: true if a proxy in front authenticates clients",
        variable = crate::config::API_KEY_VARIABLE
    )]
    Open(std::net::SocketAddr),
    /// A reload would admit clients without credentials.
    #[error(
        "the new configuration has no `clients`, so that every client would be admitted: set clients.anonymous: true to end authentication"
    )]
    Opened,
    /// Invalid AWS settings.
    #[error("invalid AWS settings")]
    CredentialSettings(#[source] credentials::SettingsError),
    /// The gateway's own certificate is unusable.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The URL of the rate-limit store is invalid.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit stream cannot be used.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// TLS is not available on this machine.
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
    /// The background task of the AWS credentials did not start.
    #[error("failed to start the AWS credentials")]
    Credentials(#[source] credentials::StartError),
    /// The gateway is shutting down.
    #[error("loading the configuration was cancelled")]
    Cancelled(#[from] tokio::task::JoinError),
}

impl From<CredentialsError> for LoadError {
    fn from(error: CredentialsError) -> Self {
        match error {
            CredentialsError::Settings(error) => Self::CredentialSettings(error),
            CredentialsError::Start(error) => Self::Credentials(error),
        }
    }
}

impl LoadError {
    /// A stable reason for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "config_unreadable",
            Self::Document { .. } => "config_invalid",
            Self::Region(_) => "region_missing",
            Self::Families(_) => "model_families_invalid",
            Self::Prices(_) => "prices_invalid",
            Self::Keys(_) => "api_keys_unreadable",
            Self::KeySet(_) => "jwks_invalid",
            Self::Open(_) | Self::Opened => "authentication_missing",
            Self::CredentialSettings(_) => "credential_settings_invalid",
            Self::Certificate(_) => "certificate_unusable",
            Self::Store(_) => "limit_store_invalid",
            Self::Audit(_) => "audit_unusable",
            Self::Tls(_) => "tls_unusable",
            Self::Credentials(_) => "credentials_not_started",
            Self::Cancelled(_) => "cancelled",
        }
    }
}
