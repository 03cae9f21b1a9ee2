//! What a configuration document becomes once it is in force: everything a request looks up.
//!
//! Compiled as a whole and swapped as a whole, so that a request sees one document from beginning to
//! end. A document that does not compile changes nothing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use api::{GatewayConfig, config::ConfigError};
use dialects::families::FamilyError;

use crate::{
    config::{
        RegionMissing, Settings,
        tls::{self, CertificateError},
        watched_files as files,
        watched_files::Mark,
    },
    pipeline::{
        authenticate::{ApiKeys, Authenticator, KeyFileError, KeySetError},
        rate_limit::{Allotments, StoreError},
        route::{Endpoints, Routes},
    },
    telemetry::metrics::Metrics,
    upstream::aws_credentials::Sessions,
};

/// Client of the one key that is not from a folder.
const DEFAULT_CLIENT: &str = "default";

/// A configuration in force.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: GatewayConfig,
    pub(crate) routes: Routes,
    pub(crate) authenticator: Authenticator,
    /// How much may be asked for, and how much was.
    pub(crate) allotments: Allotments,
    pub(crate) sessions: Sessions,
    /// What connections of clients are accepted with, where they are encrypted.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Those of all its files, from before they were read.
    pub(crate) marks: Vec<Mark>,
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The document cannot be read.
    #[error("failed to read the configuration {path}")]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The document is wrong.
    #[error("the configuration {path} is not usable: {source}")]
    Document {
        /// Where it is.
        path: PathBuf,
        /// The field and what is wrong with it.
        source: ConfigError,
    },
    /// Targets without a region, and none to fall back to.
    #[error(transparent)]
    Region(#[from] RegionMissing),
    /// The table of model families is wrong.
    #[error("modelFamilies: {0}")]
    Families(#[from] FamilyError),
    /// Keys that cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Signing keys that cannot be used.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// Anyone in the network could spend the account's money.
    #[error(
        "refusing to listen on {0}, beyond this machine, without client authentication: set clients.apiKeysDirectory or clients.serviceAccounts in the configuration, or --api-key-file, or {variable}; or listen on 127.0.0.1; or say clients.anonymous: true when something in front keeps strangers out",
        variable = crate::config::API_KEY_VARIABLE
    )]
    Open(std::net::SocketAddr),
    /// AWS settings that make no sense.
    #[error("the AWS settings are not usable")]
    CredentialSettings(#[source] credentials::SettingsError),
    /// The gateway's own certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The address of the limits' store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS cannot be used on this machine.
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
    /// The credentials' background task did not start.
    #[error("failed to start the AWS credentials")]
    Credentials(#[source] credentials::StartError),
}

impl LoadError {
    /// A stable word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "config_unreadable",
            Self::Document { .. } => "config_invalid",
            Self::Region(_) => "region_missing",
            Self::Families(_) => "model_families_invalid",
            Self::Keys(_) => "api_keys_unreadable",
            Self::KeySet(_) => "jwks_invalid",
            Self::Open(_) => "authentication_missing",
            Self::CredentialSettings(_) => "credential_settings_invalid",
            Self::Certificate(_) => "certificate_unusable",
            Self::Store(_) => "limit_store_invalid",
            Self::Tls(_) => "tls_unusable",
            Self::Credentials(_) => "credentials_not_started",
        }
    }
}

/// Reads the document. Without one, any model may be asked for by its own id.
fn read_document(settings: &Settings) -> Result<GatewayConfig, LoadError> {
    let Some(path) = &settings.config else {
        return Ok(GatewayConfig {
            allow: vec!["*".to_owned()],
            ..GatewayConfig::default()
        });
    };
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
        path: path.clone(),
        source,
    })?;
    GatewayConfig::from_yaml(&text).map_err(|source| LoadError::Document {
        path: path.clone(),
        source,
    })
}

impl Live {
    /// Reads the document and makes everything that it asks for. Credentials of `previous` are kept where nothing about
    /// them changed, and what it counted of each client goes on.
    ///
    /// # Errors
    /// When any part of it is not usable; nothing has changed then.
    pub(crate) async fn load(
        settings: &Settings,
        metrics: &Arc<Metrics>,
        previous: Option<&Self>,
    ) -> Result<Self, LoadError> {
        let mut marks: Vec<Mark> = files::document(settings).into_iter().collect();
        let config = read_document(settings)?;
        marks.extend(files::named(settings, &config));
        let aws = settings.aws_defaults().await;
        let region = aws.region(&config)?;
        let own = &config.endpoints;
        let endpoints = Endpoints {
            runtime: own.bedrock_runtime.clone().or(aws.bedrock_runtime),
            mantle: own.bedrock_mantle.clone().or(aws.bedrock_mantle),
        };
        let routes = Routes::try_new(&config, region.clone(), endpoints)?;
        let authenticator = authenticator(settings, &config)?;
        let allotments = Allotments::compile(
            &config,
            authenticator.key_clients(),
            metrics,
            previous.map(|previous| &previous.allotments),
        )?;
        let tls = config.tls.as_ref().map(tls::server).transpose()?;
        let previous = previous.map(|live| &live.sessions);
        let sessions = Sessions::start(settings, &config, &region, aws.sts, previous).await?;
        Ok(Self {
            config,
            routes,
            authenticator,
            allotments,
            sessions,
            tls,
            marks,
        })
    }

    /// The limit on a stream's silence.
    pub(crate) fn stream_idle(&self) -> Duration {
        Duration::from_secs(self.config.limits.stream_idle_seconds)
    }

    /// The limit on waiting for Bedrock's answer.
    pub(crate) fn upstream_timeout(&self) -> Duration {
        Duration::from_secs(self.config.limits.upstream_seconds)
    }
}

fn authenticator(settings: &Settings, config: &GatewayConfig) -> Result<Authenticator, LoadError> {
    let mut keys = ApiKeys::default();
    if let Some(folder) = &config.clients.api_keys_directory {
        keys.read_directory(folder.as_ref())?;
    }
    if let Some(file) = &settings.api_key_file {
        keys.read_file(DEFAULT_CLIENT, file)?;
    }
    if let Some(key) = &settings.api_key {
        keys.insert(DEFAULT_CLIENT, key.expose());
    }
    let wants_keys = config.clients.api_keys_directory.is_some()
        || settings.api_key_file.is_some()
        || settings.api_key.is_some();
    let unguarded = !wants_keys && config.clients.service_accounts.is_none();
    if unguarded && !config.clients.anonymous && !settings.listen.ip().is_loopback() {
        return Err(LoadError::Open(settings.listen));
    }
    let open = config.clients.anonymous || unguarded;
    let accounts = config.clients.service_accounts.as_ref();
    Ok(Authenticator::try_new(open, keys, accounts)?.revoked(config.revoked.clone()))
}

/// A configuration that can be replaced while it is in use.
pub(crate) type Current = arc_swap::ArcSwap<Live>;
