//! What `models` and `doctor` need to call AWS: configuration, region, credentials and service endpoints.

pub(crate) mod client;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use api::{GatewayConfig, Partition, Region, config::ConfigError, names};
use credentials::{ActiveCredentials, Environment, Handle, Method, Reason, Unavailable};

use crate::{
    config::{RegionMissing, Settings},
    upstream::aws_credentials::{link, session_tags},
};

/// Path of the configuration file: `given`, else `BEDROCK_GATEWAY_CONFIG`, else the file that is mounted in a
/// gateway pod (for `kubectl exec`).
pub(crate) fn config_path(given: Option<&PathBuf>, settings: &Settings) -> Option<PathBuf> {
    let mounted = || {
        let path = Path::new(names::CONFIG_DIRECTORY).join(names::CONFIG_KEY);
        path.exists().then_some(path)
    };
    given.or(settings.config.as_ref()).cloned().or_else(mounted)
}

/// Reads the configuration file. Without a path, returns the default configuration.
///
/// # Errors
/// The file cannot be read, or is not a valid configuration.
pub(crate) fn read_config(path: Option<&PathBuf>) -> Result<GatewayConfig, ReadError> {
    let Some(path) = path else {
        return Ok(GatewayConfig::default());
    };
    let text = std::fs::read_to_string(path).map_err(|source| ReadError::Read {
        path: path.clone(),
        source,
    })?;
    GatewayConfig::from_yaml(&text).map_err(|source| ReadError::Document {
        path: path.clone(),
        source,
    })
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("{path}: {source}")]
    Document {
        /// The file.
        path: PathBuf,
        /// The field and the reason.
        source: ConfigError,
    },
}

/// Why credentials cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The environment contradicts itself.
    #[error("{0}")]
    Settings(#[from] credentials::SettingsError),
    /// The background task did not start.
    #[error("{0}")]
    Start(#[from] credentials::StartError),
}

/// Settings of the credentials, the same as those of `serve`.
///
/// # Errors
/// The environment contradicts itself.
pub(crate) fn credential_settings(
    settings: &Settings,
    config: &GatewayConfig,
    region: Option<&Region>,
) -> Result<credentials::Settings, credentials::SettingsError> {
    let tags = session_tags(config);
    let links = config.assume_roles.iter().map(|role| link(role, &tags));
    let sts = config.endpoints.sts.clone();
    credentials::Settings::from_env(
        settings.environment.as_ref(),
        region.map(Region::as_str),
        links.collect(),
        sts.or_else(|| endpoint_variable(settings.environment.as_ref(), "STS")),
        names::GATEWAY_NAME,
    )
}

/// Starts the credentials.
///
/// # Errors
/// The environment contradicts itself, or the background task did not start.
pub(crate) async fn start(
    settings: &Settings,
    config: &GatewayConfig,
    region: Option<&Region>,
) -> Result<Handle, StartError> {
    let start = credential_settings(settings, config, region)?;
    Ok(credentials::start(start, settings.clock.clone()).await?)
}

/// The credentials of the first attempt, which a command does not repeat.
///
/// # Errors
/// The attempt failed, or did not end in time.
pub(crate) async fn first_credentials(
    handle: &Handle,
    timeout: Duration,
) -> Result<ActiveCredentials, Unavailable> {
    handle.first_attempt(timeout).await;
    handle.current().map_err(|problem| {
        let is_instance = handle.status().choice.method == Method::InstanceProfile;
        if problem.reason == Reason::Pending && is_instance {
            Unavailable::new(
                Reason::InstanceMetadataUnreachable,
                "no other source of credentials is configured, and the instance metadata service does not respond",
            )
        } else {
            problem
        }
    })
}

/// Starts the keys of a user that only assume roles, if the settings have such keys.
pub(crate) async fn start_base(
    settings: &Settings,
    config: &GatewayConfig,
    region: &Region,
) -> Option<Handle> {
    let start = credential_settings(settings, config, Some(region)).ok()?;
    // An error is a finding of the check of the source.
    let started = credentials::start_base(start, settings.clock.clone()).await;
    started.ok().flatten()
}

/// The default region of targets.
///
/// # Errors
/// No region is set, or the value is not a region.
pub(crate) async fn region(
    settings: &Settings,
    config: &GatewayConfig,
) -> Result<Region, RegionMissing> {
    settings.aws_defaults().await.region(config)
}

/// AWS services that the commands call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Control plane.
    Bedrock,
    /// Data plane.
    BedrockRuntime,
    /// OpenAI's and Anthropic's protocols.
    BedrockMantle,
    /// Security Token Service.
    Sts,
    /// Identity and Access Management.
    Iam,
}

impl Service {
    /// Service name in signatures.
    pub(crate) fn signing_name(self) -> &'static str {
        match self {
            Self::Bedrock | Self::BedrockRuntime => "bedrock",
            Self::BedrockMantle => "bedrock-mantle",
            Self::Sts => "sts",
            Self::Iam => "iam",
        }
    }

    /// Name in messages and host names.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bedrock => "bedrock",
            Self::BedrockRuntime => "bedrock-runtime",
            Self::BedrockMantle => "bedrock-mantle",
            Self::Sts => "sts",
            Self::Iam => "iam",
        }
    }
}

/// Base URL of a service in a region, without a trailing slash: from the configuration, else from the
/// environment, else the endpoint of AWS.
pub(crate) fn base_url(
    service: Service,
    region: &Region,
    config: &GatewayConfig,
    environment: &dyn Environment,
) -> String {
    let (configured, variable) = match service {
        Service::Bedrock => (config.endpoints.bedrock.clone(), "BEDROCK"),
        Service::BedrockRuntime => (config.endpoints.bedrock_runtime.clone(), "BEDROCK_RUNTIME"),
        Service::BedrockMantle => (config.endpoints.bedrock_mantle.clone(), "BEDROCK_MANTLE"),
        Service::Sts => (config.endpoints.sts.clone(), "STS"),
        Service::Iam => (None, "IAM"),
    };
    let url = configured.or_else(|| endpoint_variable(environment, variable));
    let url = url.unwrap_or_else(|| {
        let suffix = region.partition().dns_suffix();
        let fips = environment.get("AWS_USE_FIPS_ENDPOINT");
        let fips = fips.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        let name = match (service, fips) {
            (Service::Iam, _) => return format!("https://{}", iam_host(region)),
            (Service::BedrockMantle, _) => {
                let suffix = region.partition().dual_stack_dns_suffix();
                return format!("https://{}.{region}.{suffix}", service.title());
            }
            (other, true) => format!("{}-fips", other.title()),
            (other, false) => other.title().to_owned(),
        };
        format!("https://{name}.{region}.{suffix}")
    });
    url.trim_end_matches('/').to_owned()
}

/// Region in signatures for IAM, which is a global service with one signing region in each partition. None for
/// partitions whose signing region is unknown.
pub(crate) fn iam_region(partition: Partition) -> Option<&'static str> {
    match partition {
        Partition::Aws => Some("us-east-1"),
        Partition::China => Some("cn-north-1"),
        Partition::GovCloud => Some("us-gov-west-1"),
        Partition::Iso => Some("us-iso-east-1"),
        Partition::IsoB => Some("us-isob-east-1"),
        Partition::IsoF => Some("us-isof-south-1"),
        Partition::EuropeanSovereign | Partition::IsoE => None,
    }
}

fn iam_host(region: &Region) -> String {
    let partition = region.partition();
    let suffix = partition.dns_suffix();
    match partition {
        Partition::Aws => format!("iam.{suffix}"),
        Partition::GovCloud => format!("iam.us-gov.{suffix}"),
        other => format!(
            "iam.{}.{suffix}",
            iam_region(other).unwrap_or(region.as_str())
        ),
    }
}

fn endpoint_variable(environment: &dyn Environment, service: &str) -> Option<String> {
    [
        format!("AWS_ENDPOINT_URL_{service}"),
        "AWS_ENDPOINT_URL".to_owned(),
    ]
    .iter()
    .filter_map(|name| environment.get(name))
    .map(|url| url.trim().to_owned())
    .find(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn endpoints_follow_region_partition_fips_and_overrides() {
        let none = BTreeMap::new();
        let config = GatewayConfig::default();
        let url = |service, region: &str, environment: &BTreeMap<String, String>| {
            base_url(service, &region.parse().unwrap(), &config, environment)
        };
        for (service, region, expected) in [
            (
                Service::Bedrock,
                "us-east-1",
                "https://bedrock.us-east-1.amazonaws.com",
            ),
            (
                Service::BedrockRuntime,
                "cn-north-1",
                "https://bedrock-runtime.cn-north-1.amazonaws.com.cn",
            ),
            (
                Service::Sts,
                "us-gov-west-1",
                "https://sts.us-gov-west-1.amazonaws.com",
            ),
            (Service::Iam, "eu-west-1", "https://iam.amazonaws.com"),
            (
                Service::Iam,
                "us-gov-east-1",
                "https://iam.us-gov.amazonaws.com",
            ),
            (
                Service::Iam,
                "cn-northwest-1",
                "https://iam.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            assert_eq!(url(service, region, &none), expected);
        }
        let fips = BTreeMap::from([("AWS_USE_FIPS_ENDPOINT".to_owned(), "true".to_owned())]);
        assert_eq!(
            url(Service::BedrockRuntime, "us-west-2", &fips),
            "https://bedrock-runtime-fips.us-west-2.amazonaws.com"
        );
        let double = BTreeMap::from([
            (
                "AWS_ENDPOINT_URL".to_owned(),
                "http://127.0.0.1:1/".to_owned(),
            ),
            (
                "AWS_ENDPOINT_URL_STS".to_owned(),
                "http://127.0.0.1:2".to_owned(),
            ),
        ]);
        assert_eq!(
            url(Service::Sts, "us-east-1", &double),
            "http://127.0.0.1:2"
        );
        assert_eq!(
            url(Service::Iam, "us-east-1", &double),
            "http://127.0.0.1:1"
        );
    }
}
