//! The active configuration: everything that a request looks up.
//!
//! A configuration is compiled and replaced as a whole, so that each request uses one configuration until its end.
//! An invalid configuration changes nothing.

use std::{borrow::Cow, sync::Arc, time::Duration};

use api::{GatewayConfig, prices};

use super::{
    authenticate::{ApiKeys, Authenticator},
    budget::Budgets,
    load_error::LoadError,
    rate_limit::Limiter,
    route::Routes,
};
use crate::{
    config::{
        Settings,
        key_files::KeyFileError,
        tls,
        watched_files::{self, Fingerprint},
    },
    telemetry::{audit::Audit, metrics::Metrics},
    upstream::{
        attribution::Attribution,
        aws_credentials::{AwsCredentials, ServiceEndpoints},
        target::Endpoints,
    },
};

/// Name of the client whose key is not from a directory.
const DEFAULT_CLIENT: &str = "default";

/// A compiled configuration.
#[derive(Debug)]
pub(crate) struct ActiveConfig {
    pub(crate) config: GatewayConfig,
    pub(crate) routes: Routes,
    pub(crate) authenticator: Authenticator,
    pub(crate) limiter: Limiter,
    /// None without budgets.
    pub(crate) budgets: Option<Budgets>,
    pub(crate) credentials: AwsCredentials,
    /// What the gateway says about the origin of requests; none to say nothing.
    pub(crate) attribution: Option<Attribution>,
    pub(crate) audit: Option<Arc<Audit>>,
    /// TLS settings for connections of clients, if configured.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Fingerprints of all its files, taken before they were read.
    pub(crate) fingerprints: Vec<Fingerprint>,
}

/// The content of the files behind a configuration.
struct Files {
    config: GatewayConfig,
    keys: ApiKeys,
    tls: Option<Arc<rustls::ServerConfig>>,
    fingerprints: Vec<Fingerprint>,
}

impl Files {
    /// Reads all files; blocks. In a reload, keys whose directory or file was removed are revoked.
    fn read(settings: &Settings, is_reload: bool) -> Result<Self, LoadError> {
        let mut fingerprints: Vec<Fingerprint> =
            watched_files::config_file(settings).into_iter().collect();
        let mut config = read_config(settings)?;
        if let Some(output) = &settings.audit {
            config
                .audit
                .get_or_insert_default()
                .output
                .clone_from(output);
        }
        fingerprints.extend(watched_files::referenced(settings, &config));
        Ok(Self {
            keys: read_keys(settings, &config, is_reload)?,
            tls: config.tls.as_ref().map(tls::server).transpose()?,
            config,
            fingerprints,
        })
    }
}

impl ActiveConfig {
    /// Reads and compiles the configuration. Keeps credentials of `previous` whose settings have not changed, and
    /// the usage of all rate limits.
    ///
    /// # Errors
    /// When a part of it is unusable; nothing has changed then.
    pub(crate) async fn load(
        settings: &Settings,
        metrics: &Arc<Metrics>,
        previous: Option<&Self>,
    ) -> Result<Self, LoadError> {
        let Files {
            config,
            keys,
            tls,
            fingerprints,
        } = {
            let settings = settings.clone();
            let is_reload = previous.is_some();
            tokio::task::spawn_blocking(move || Files::read(&settings, is_reload)).await??
        };
        let aws = settings.aws_defaults().await;
        let region = match aws.region(&config) {
            Ok(region) => region,
            Err(missing) => {
                // The region may be missing because the profile is.
                credentials::check_profile(settings.environment.as_ref())
                    .await
                    .map_err(LoadError::CredentialSettings)?;
                return Err(missing.into());
            }
        };
        let own = &config.endpoints;
        let endpoints = Endpoints {
            runtime: own.bedrock_runtime.clone().or(aws.bedrock_runtime),
            mantle: own.bedrock_mantle.clone().or(aws.bedrock_mantle),
        };
        let for_credentials = ServiceEndpoints {
            sts: own.sts.clone().or(aws.sts),
            runtime: endpoints.runtime.clone(),
        };
        let prices = match &config.prices {
            Some(own) => Cow::Owned(prices::builtin().with(own)?),
            None => Cow::Borrowed(prices::builtin()),
        };
        let routes = Routes::try_new(
            &config,
            prices,
            region.clone(),
            endpoints,
            previous.map(|previous| &previous.routes),
        )?;
        let authenticator = authenticator(settings, &config, keys)?.in_regions(routes.regions());
        let was_closed = previous.is_some_and(|previous| !previous.authenticator.is_open());
        if was_closed && authenticator.is_open() && !config.clients.anonymous {
            return Err(LoadError::Opened);
        }
        let limiter = Limiter::compile(
            &config,
            authenticator.key_clients(),
            metrics,
            previous.map(|previous| &previous.limiter),
        )?;
        let budgets = Budgets::compile(
            &config,
            authenticator.key_clients(),
            metrics,
            previous.and_then(|previous| previous.budgets.as_ref()),
        )?;
        let credentials = AwsCredentials::start(
            (settings.environment.as_ref(), &settings.clock),
            &config,
            &region,
            for_credentials,
            previous.map(|previous| &previous.credentials),
        )
        .await?;
        let audit = Audit::open(
            &config,
            settings.logs_export.as_ref(),
            previous.and_then(|previous| previous.audit.as_ref()),
        )?;
        Ok(Self {
            audit,
            attribution: Attribution::new(&config),
            config,
            routes,
            authenticator,
            limiter,
            budgets,
            credentials,
            tls,
            fingerprints,
        })
    }

    /// Longest time without data from Bedrock's stream.
    pub(crate) fn stream_idle(&self) -> Duration {
        Duration::from_secs(self.config.limits.stream_idle_seconds)
    }

    /// Longest time until Bedrock responds.
    pub(crate) fn upstream_timeout(&self) -> Duration {
        let upstream = Duration::from_secs(self.config.limits.upstream_seconds);
        upstream.min(self.total_time().unwrap_or(upstream))
    }

    /// Longest time until the first event of a stream, while another target is left.
    pub(crate) fn first_token(&self) -> Option<Duration> {
        let seconds = self.config.limits.first_token_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// Time without a first event after which a stream is also requested from the next target.
    pub(crate) fn hedge(&self) -> Option<Duration> {
        self.config
            .routing
            .hedge_after_seconds
            .map(Duration::from_secs)
    }

    /// Longest time of a whole response, if limited.
    pub(crate) fn total_time(&self) -> Option<Duration> {
        self.config.limits.total_seconds.map(Duration::from_secs)
    }
}

/// Reads the configuration file. Without one, every model is allowed by its id.
fn read_config(settings: &Settings) -> Result<GatewayConfig, LoadError> {
    let Some(path) = &settings.config else {
        return Ok(GatewayConfig {
            allow: vec!["*".to_owned()],
            s3_sources: vec!["s3://*".to_owned()],
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

fn read_keys(
    settings: &Settings,
    config: &GatewayConfig,
    is_reload: bool,
) -> Result<ApiKeys, LoadError> {
    let mut keys = ApiKeys::default();
    let unless_removed = |read: Result<(), KeyFileError>| match read {
        Err(error) if is_reload && error.is_missing() => {
            tracing::error!(
                path = %error.path.display(),
                "API keys removed; requests with them are rejected"
            );
            Ok(())
        }
        read => read,
    };
    if let Some(directory) = &config.clients.api_keys_directory {
        unless_removed(keys.read_directory(directory.as_ref()))?;
    }
    if let Some(file) = &settings.api_key_file {
        unless_removed(keys.read_file(DEFAULT_CLIENT, file))?;
    }
    if let Some(key) = &settings.api_key {
        keys.insert(DEFAULT_CLIENT, key.expose());
    }
    Ok(keys)
}

fn authenticator(
    settings: &Settings,
    config: &GatewayConfig,
    keys: ApiKeys,
) -> Result<Authenticator, LoadError> {
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
