//! Settings of the process, from flags and the environment.
//!
//! AWS settings follow the rules of all AWS tools; the configuration file takes precedence. `telemetry` reads
//! OpenTelemetry's variables and the `credentials` crate those of AWS credentials; `pipeline::active_config` reads the
//! configuration file.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use api::{GatewayConfig, Region, names};
use credentials::{Environment, SharedTimeSource};
use zeroize::Zeroizing;

use super::memory;
use crate::telemetry::{
    otlp::{LogsExport, MetricsExport},
    traces::Traces,
};

/// Path of the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "BEDROCK_GATEWAY_CONFIG";
/// API key that clients must send.
pub(crate) const API_KEY_VARIABLE: &str = "BEDROCK_GATEWAY_API_KEY";
/// Address of health, readiness and metrics, for `serve` and `health`.
pub(crate) const ADMIN_LISTEN_VARIABLE: &str = "BEDROCK_GATEWAY_ADMIN_LISTEN";
/// File of the audit records, or `-` for standard output.
pub(crate) const AUDIT_VARIABLE: &str = "BEDROCK_GATEWAY_AUDIT";
/// Log filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
pub(crate) const LOG_VARIABLE: &str = "BEDROCK_GATEWAY_LOG";

/// Settings of a server besides its configuration file.
#[derive(Clone)]
pub struct Settings {
    /// Address of the API; port 0 selects a free port.
    pub listen: SocketAddr,
    /// Unix socket that also serves the API.
    pub socket: Option<PathBuf>,
    /// Address of health, readiness and metrics; none disables them.
    pub admin_listen: Option<SocketAddr>,
    /// Whether the start fails if the admin address is in use; otherwise a warning is logged.
    pub admin_required: bool,
    /// The configuration file; none allows every model by its id, for local use.
    pub config: Option<PathBuf>,
    /// File with an API key that clients must send; reloaded when it changes.
    pub api_key_file: Option<PathBuf>,
    /// API key that clients must send.
    pub api_key: Option<ApiKey>,
    /// The environment with AWS settings.
    pub environment: Arc<dyn Environment>,
    /// The clock.
    pub clock: SharedTimeSource,
    /// Interval at which files are checked for changes.
    pub watch_interval: Duration,
    /// Interval of keep-alives on a silent stream.
    pub ping_interval: Duration,
    /// The tracer; none disables traces.
    pub traces: Option<Traces>,
    /// Where metrics are exported to, besides `/metrics`.
    pub metrics_export: Option<MetricsExport>,
    /// The collector that gets audit records instead of standard output.
    pub logs_export: Option<LogsExport>,
    /// Whether the AWS in `environment` is simulated; responses and the landing page say so.
    pub simulated: bool,
    /// Time in which a new connection must show its protocol.
    pub detect_timeout: Duration,
    /// Time after which a response that the client does not read is dropped.
    pub write_timeout: Duration,
    /// Open connections of clients; none derives them from the limit of open files.
    pub max_connections: Option<usize>,
    /// Memory limit of the process in bytes, if known.
    pub memory_limit: Option<u64>,
    /// File of the audit records, or `-` for standard output; overrides the configuration file.
    pub audit: Option<String>,
    /// Time for which a draining server accepts connections, until load balancers have removed it.
    pub quiet_period: Duration,
}

/// An API key: redacted in debug output, wiped from memory when dropped.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// AWS settings of the environment, the defaults for targets and credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AwsDefaults {
    /// `AWS_REGION`, `AWS_DEFAULT_REGION`, or the region of the profile.
    pub(crate) region: Option<String>,
    /// `AWS_ENDPOINT_URL_BEDROCK` or `AWS_ENDPOINT_URL`: the control plane.
    pub(crate) bedrock: Option<String>,
    /// `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` or `AWS_ENDPOINT_URL`.
    pub(crate) bedrock_runtime: Option<String>,
    /// `AWS_ENDPOINT_URL_BEDROCK_MANTLE` or `AWS_ENDPOINT_URL`.
    pub(crate) bedrock_mantle: Option<String>,
    /// `AWS_ENDPOINT_URL_STS` or `AWS_ENDPOINT_URL`.
    pub(crate) sts: Option<String>,
}

/// No usable AWS region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionMissing {
    /// No region is set.
    #[error(
        "no AWS region: set AWS_REGION (such as us-east-1), AWS_DEFAULT_REGION, `region` of the AWS profile, or `region` in the configuration"
    )]
    NotSet,
    /// The region of the environment is invalid.
    #[error("invalid AWS region in the environment: {0}")]
    Invalid(#[from] api::RegionError),
}

impl Settings {
    /// Defaults for local use: API on 127.0.0.1:8000, admin on 127.0.0.1:9090, and a configuration file only if the
    /// environment names one.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let api_key = value(environment.as_ref(), API_KEY_VARIABLE).map(ApiKey::new);
        let config = value(environment.as_ref(), CONFIG_VARIABLE).map(PathBuf::from);
        let audit = value(environment.as_ref(), AUDIT_VARIABLE);
        Self {
            listen: SocketAddr::new(loopback, names::GATEWAY_PORT),
            socket: None,
            admin_listen: Some(SocketAddr::new(loopback, names::GATEWAY_ADMIN_PORT)),
            admin_required: false,
            config,
            api_key_file: None,
            api_key,
            environment,
            clock: SharedTimeSource::default(),
            watch_interval: Duration::from_secs(1),
            ping_interval: Duration::from_secs(15),
            traces: None,
            metrics_export: None,
            logs_export: None,
            simulated: false,
            detect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_mins(1),
            max_connections: None,
            memory_limit: memory::limit(),
            audit,
            quiet_period: Duration::ZERO,
        }
    }

    pub(crate) async fn aws_defaults(&self) -> AwsDefaults {
        AwsDefaults::read(self.environment.as_ref()).await
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("socket", &self.socket)
            .field("admin_listen", &self.admin_listen)
            .field("config", &self.config)
            .field("api_key_file", &self.api_key_file)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// Trims white space.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Zeroizing::new(text.as_ref().trim().to_owned()))
    }

    /// The secret key.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

impl AwsDefaults {
    async fn read(environment: &dyn Environment) -> Self {
        let endpoint = |service: &str| {
            value(environment, &format!("AWS_ENDPOINT_URL_{service}"))
                .or_else(|| value(environment, "AWS_ENDPOINT_URL"))
                .map(|url| url.trim_end_matches('/').to_owned())
        };
        let region =
            value(environment, "AWS_REGION").or_else(|| value(environment, "AWS_DEFAULT_REGION"));
        Self {
            region: match region {
                Some(region) => Some(region),
                None => credentials::region_of_profile(environment).await,
            },
            bedrock: endpoint("BEDROCK"),
            bedrock_runtime: endpoint("BEDROCK_RUNTIME"),
            bedrock_mantle: endpoint("BEDROCK_MANTLE"),
            sts: endpoint("STS"),
        }
    }

    /// The default region of targets.
    ///
    /// # Errors
    /// When no region is set, or the environment's is invalid.
    pub(crate) fn region(&self, config: &GatewayConfig) -> Result<Region, RegionMissing> {
        match (&config.region, &self.region) {
            (Some(region), _) => Ok(region.clone()),
            (None, Some(text)) => Ok(text.parse()?),
            (None, None) => Err(RegionMissing::NotSet),
        }
    }
}

fn value(environment: &dyn Environment, name: &str) -> Option<String> {
    environment
        .get(name)
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn region_of_the_configuration_overrides_the_environment() {
        let both = [
            ("AWS_REGION", "us-west-2"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
        ];
        for (pairs, yaml, expected) in [
            (&both[..], "region: us-east-1", Ok("us-east-1".into())),
            (&both, "{}", Ok("us-west-2".into())),
            (&both[1..], "{}", Ok("eu-west-1".into())),
            (&[], "{}", Err(RegionMissing::NotSet)),
        ] {
            let config = GatewayConfig::from_yaml(yaml).unwrap();
            let region = AwsDefaults::read(&environment(pairs)).await.region(&config);
            assert_eq!(region.map(String::from), expected);
        }
        let read = AwsDefaults::read(&environment(&[("AWS_REGION", "Virginia")])).await;
        let wrong = read.region(&GatewayConfig::default()).unwrap_err();
        assert!(wrong.to_string().contains("us-east-1"), "{wrong}");
    }

    #[tokio::test]
    async fn reads_the_region_of_the_active_profile() {
        let text = "[default]\nregion = us-east-1 # home\n[profile work]\noutput=json\ns3 =\n  region = no\nregion=eu-west-3\n[services x]\nregion = no\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        for (profile, region) in [
            ("default", Some("us-east-1")),
            ("work", Some("eu-west-3")),
            ("other", None),
        ] {
            let variables = [("AWS_CONFIG_FILE", path), ("AWS_PROFILE", profile)];
            let read = AwsDefaults::read(&environment(&variables)).await;
            assert_eq!(read.region.as_deref(), region, "{profile}");
        }
    }

    #[tokio::test]
    async fn endpoint_of_a_service_overrides_the_common_endpoint() {
        let read = AwsDefaults::read(&environment(&[
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1/"),
            ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:2"),
        ]))
        .await;
        assert_eq!(read.bedrock_runtime.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(read.sts.as_deref(), Some("http://127.0.0.1:2"));
    }

    #[test]
    fn debug_output_redacts_the_key() {
        let mut settings = Settings::new(Arc::new(environment(&[(API_KEY_VARIABLE, "sk-secret")])));
        settings.config = None;
        assert_eq!(settings.api_key.as_ref().unwrap().expose(), "sk-secret");
        assert!(!format!("{settings:?} {:?}", settings.api_key).contains("sk-secret"));
    }
}
