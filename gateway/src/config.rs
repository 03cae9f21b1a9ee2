//! Settings of the process: the only place of this crate that looks at the environment.
//!
//! AWS settings are read as every AWS tool reads them; what stands in the configuration document wins
//! over them. Reading the document itself is `reload.rs`'s business.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{GatewayConfig, Region, names};
use credentials::{Environment, SharedTimeSource};
use zeroize::Zeroizing;

use crate::traces::Traces;

/// Path of the configuration document.
pub const CONFIG_VARIABLE: &str = "BEDROCK_GATEWAY_CONFIG";
/// A key that clients have to send.
pub const API_KEY_VARIABLE: &str = "BEDROCK_GATEWAY_API_KEY";
/// Which log lines are written, in the syntax of `tracing-subscriber`'s `EnvFilter`.
pub const LOG_VARIABLE: &str = "BEDROCK_GATEWAY_LOG";

/// What a server needs to know before it reads its configuration document.
#[derive(Clone)]
pub struct Settings {
    /// Address of the API; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A Unix socket on which the API is served, too.
    pub socket: Option<PathBuf>,
    /// Address of health, readiness and metrics; none: not served on a port of their own.
    pub admin_listen: Option<SocketAddr>,
    /// Whether an admin address that is taken ends the start; else it is a warning.
    pub admin_required: bool,
    /// The configuration document; none: a laptop's proxy, any model by its own id.
    pub config: Option<PathBuf>,
    /// A file with a key that clients have to send, read again when it changes.
    pub api_key_file: Option<PathBuf>,
    /// A key that clients have to send.
    pub api_key: Option<ApiKey>,
    /// Where AWS settings are read from.
    pub environment: Arc<dyn Environment>,
    /// What time it is.
    pub clock: SharedTimeSource,
    /// How often files are looked at for changes.
    pub watch_interval: Duration,
    /// Longest silence towards a streaming client.
    pub ping_interval: Duration,
    /// Where traces go; none: nowhere.
    pub traces: Option<Traces>,
    /// How long a draining server still takes connections, so that routers can learn of it.
    pub quiet_period: Duration,
}

/// A client's key: redacted when printed, wiped when dropped.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// AWS settings of the environment, for targets and credentials that say nothing of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AwsDefaults {
    /// `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's.
    pub(crate) region: Option<String>,
    /// `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` or `AWS_ENDPOINT_URL`.
    pub(crate) bedrock_runtime: Option<String>,
    /// `AWS_ENDPOINT_URL_BEDROCK_MANTLE` or `AWS_ENDPOINT_URL`.
    pub(crate) bedrock_mantle: Option<String>,
    /// `AWS_ENDPOINT_URL_STS` or `AWS_ENDPOINT_URL`.
    pub(crate) sts: Option<String>,
}

/// No region anywhere, or none that is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionMissing {
    /// Nothing names a region.
    #[error(
        "no AWS region: set AWS_REGION (such as us-east-1), AWS_DEFAULT_REGION, `region` of the AWS profile, or `region` in the configuration"
    )]
    NotSet,
    /// The environment names something that is no region.
    #[error("the AWS region of the environment is not usable: {0}")]
    Invalid(#[from] api::RegionError),
}

impl Settings {
    /// A laptop's proxy: API on 127.0.0.1:8000, admin on 127.0.0.1:9090, no configuration document.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let api_key = value(environment.as_ref(), API_KEY_VARIABLE).map(ApiKey::new);
        let config = value(environment.as_ref(), CONFIG_VARIABLE).map(PathBuf::from);
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
            quiet_period: Duration::ZERO,
        }
    }

    pub(crate) fn aws_defaults(&self) -> AwsDefaults {
        AwsDefaults::read(self.environment.as_ref())
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
    /// Takes a key without the white space around it.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Zeroizing::new(text.as_ref().trim().to_owned()))
    }

    /// The key itself, to compare or to send.
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
    fn read(environment: &dyn Environment) -> Self {
        let endpoint = |service: &str| {
            value(environment, &format!("AWS_ENDPOINT_URL_{service}"))
                .or_else(|| value(environment, "AWS_ENDPOINT_URL"))
                .map(|url| url.trim_end_matches('/').to_owned())
        };
        Self {
            region: value(environment, "AWS_REGION")
                .or_else(|| value(environment, "AWS_DEFAULT_REGION"))
                .or_else(|| profile_region(environment)),
            bedrock_runtime: endpoint("BEDROCK_RUNTIME"),
            bedrock_mantle: endpoint("BEDROCK_MANTLE"),
            sts: endpoint("STS"),
        }
    }

    /// The region of targets that name none.
    ///
    /// # Errors
    /// When there is none, or the environment's is not one.
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

/// `region` of the profile in use, from the shared configuration file
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>).
fn profile_region(environment: &dyn Environment) -> Option<String> {
    let profile = value(environment, "AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let path = value(environment, "AWS_CONFIG_FILE").map_or_else(
        || {
            let home = value(environment, "HOME").or_else(|| value(environment, "USERPROFILE"))?;
            Some(Path::new(&home).join(".aws").join("config"))
        },
        |path| Some(PathBuf::from(path)),
    )?;
    let text = std::fs::read_to_string(path).ok()?;
    region_in(&text, &profile)
}

fn region_in(text: &str, profile: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines() {
        if let Some(section) = line.trim().strip_prefix('[') {
            let name = section.split(']').next().unwrap_or_default().trim();
            let name = match name.split_once(char::is_whitespace) {
                Some(("profile", name)) => name.trim(),
                None if name == "default" => name,
                Some(_) | None => "",
            };
            inside = name == profile;
        } else if inside
            && !line.starts_with(char::is_whitespace)
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "region"
        {
            let value = value.split(" #").next().unwrap_or_default().trim();
            return (!value.is_empty()).then(|| value.to_owned());
        }
    }
    None
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

    #[test]
    fn region_comes_from_the_document_then_the_environment() {
        let region = |pairs, yaml| {
            AwsDefaults::read(&environment(pairs))
                .region(&GatewayConfig::from_yaml(yaml).unwrap())
                .map(String::from)
        };
        let both = [
            ("AWS_REGION", "us-west-2"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
        ];
        assert_eq!(region(&both, "region: us-east-1"), Ok("us-east-1".into()));
        assert_eq!(region(&both, "{}"), Ok("us-west-2".into()));
        assert_eq!(region(&both[1..], "{}"), Ok("eu-west-1".into()));
        assert_eq!(region(&[], "{}"), Err(RegionMissing::NotSet));
        let wrong = region(&[("AWS_REGION", "Virginia")], "{}").unwrap_err();
        assert!(wrong.to_string().contains("us-east-1"), "{wrong}");
    }

    #[test]
    fn region_of_the_profile_in_use_is_found() {
        let text = "[default]\nregion = us-east-1 # home\n[profile work]\noutput=json\ns3 =\n  region = no\nregion=eu-west-3\n[services x]\nregion = no\n";
        assert_eq!(region_in(text, "default").as_deref(), Some("us-east-1"));
        assert_eq!(region_in(text, "work").as_deref(), Some("eu-west-3"));
        assert_eq!(region_in(text, "other"), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let read = AwsDefaults::read(&environment(&[
            ("AWS_CONFIG_FILE", path),
            ("AWS_PROFILE", "work"),
        ]));
        assert_eq!(read.region.as_deref(), Some("eu-west-3"));
    }

    #[test]
    fn endpoint_of_a_service_wins_over_the_common_one() {
        let read = AwsDefaults::read(&environment(&[
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1/"),
            ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:2"),
        ]));
        assert_eq!(read.bedrock_runtime.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(read.sts.as_deref(), Some("http://127.0.0.1:2"));
    }

    #[test]
    fn key_does_not_show_in_debug_output() {
        let mut settings = Settings::new(Arc::new(environment(&[(API_KEY_VARIABLE, "sk-secret")])));
        settings.config = None;
        assert_eq!(settings.api_key.as_ref().unwrap().expose(), "sk-secret");
        assert!(!format!("{settings:?} {:?}", settings.api_key).contains("sk-secret"));
    }
}
