//! Profiles in the shared config and credentials files, with the SDK's provider: `source_profile`, `role_arn`,
//! `credential_source`, `credential_process`, IAM Identity Center (SSO), `web_identity_token_file`.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>. The SDK parses the files once, so each fetch
//! creates a new provider, which reads rotated keys. The provider reads only the variables of the process;
//! paths, profile and STS endpoint are therefore passed to it.

use std::{path::PathBuf, time::Duration};

use aws_config::{
    profile::{ProfileFileCredentialsProvider, ProfileSet},
    provider_config::ProviderConfig,
};
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_sts::{
    error::SdkError,
    operation::{
        assume_role::AssumeRoleError, assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
    },
};
use aws_smithy_runtime_api::client::{http::SharedHttpClient, orchestrator::HttpResponse};
use aws_types::{
    os_shim_internal::{Env, Fs},
    region::Region,
};

use crate::{
    active::Material,
    clock::Clock,
    environment::{Environment, value},
    files::Watched,
    http::sdk_client,
    sources::{Fetch, Source, instance::find, static_keys::Keys},
    sts::{StsSettings, classify},
    unavailable::{Reason, Unavailable, causes},
};

pub(crate) const PROFILE: &str = "AWS_PROFILE";
const CONFIG_FILE: &str = "AWS_CONFIG_FILE";
const CREDENTIALS_FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
/// Name of the services section that passes the configured STS endpoint to the SDK.
const SERVICES: &str = "bedrock-gateway";
/// A profile with any of these keys provides credentials.
const CREDENTIAL_KEYS: [&str; 7] = [
    "aws_access_key_id",
    "role_arn",
    "credential_process",
    "sso_account_id",
    "sso_session",
    "source_profile",
    "web_identity_token_file",
];

/// The name of a profile and the paths of its files.
#[derive(Clone, Debug)]
pub(crate) struct ProfileSettings {
    pub(crate) name: String,
    pub(crate) config_file: PathBuf,
    pub(crate) credentials_file: PathBuf,
    /// For `credential_source = Environment`.
    pub(crate) environment_keys: Option<Keys>,
}

/// Resolves the profile at each fetch.
#[derive(Debug)]
pub(crate) struct Profile {
    settings: ProfileSettings,
    sts_endpoint: Option<String>,
    region: Option<Region>,
    fips: bool,
    dual_stack: bool,
    http: SharedHttpClient,
    clock: Clock,
}

/// `credential_source = Environment`, read through [`Environment`] and not from the process.
#[derive(Debug)]
struct FromEnvironment(Option<Keys>);

impl ProvideCredentials for FromEnvironment {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(match &self.0 {
            Some(keys) => Ok(keys.credentials("Environment")),
            None => Err(CredentialsError::not_loaded(
                "credential_source = Environment, but AWS_ACCESS_KEY_ID is not set",
            )),
        })
    }
}

impl ProfileSettings {
    /// The selected profile, or `default`; `None` if neither the file variables nor `HOME` are set.
    pub(crate) fn from_env(
        environment: &dyn Environment,
        environment_keys: Option<Keys>,
    ) -> Option<Self> {
        Some(Self {
            name: selected_profile(environment),
            config_file: shared_file(environment, CONFIG_FILE, "config")?,
            credentials_file: shared_file(environment, CREDENTIALS_FILE, "credentials")?,
            environment_keys,
        })
    }

    /// The existing ones of the two files; the SDK returns an error for a missing file.
    fn files(&self) -> Option<aws_runtime::env_config::file::Builder> {
        let mut builder = EnvConfigFiles::builder();
        let mut any = false;
        for (kind, path) in [
            (EnvConfigFileKind::Config, &self.config_file),
            (EnvConfigFileKind::Credentials, &self.credentials_file),
        ] {
            if path.is_file() {
                builder = builder.with_file(kind, path);
                any = true;
            }
        }
        any.then_some(builder)
    }

    async fn parse(&self) -> Option<ProfileSet> {
        let files = self.files()?.build();
        aws_config::profile::load(
            &Fs::real(),
            &Env::from_slice(&[]),
            &files,
            Some(self.name.clone().into()),
        )
        .await
        .inspect_err(|error| {
            tracing::warn!(
                "unable to read the shared AWS config files: {}",
                causes(error)
            );
        })
        .ok()
    }

    /// Whether the profile provides credentials.
    pub(crate) async fn has_credentials(&self) -> bool {
        self.parse().await.is_some_and(|profiles| {
            CREDENTIAL_KEYS
                .iter()
                .any(|key| profiles.get(key).is_some())
        })
    }

    /// The profile's `region`.
    pub(crate) async fn region(&self) -> Option<String> {
        self.parse()
            .await
            .and_then(|profiles| profiles.get("region").map(str::to_owned))
    }
}

/// The `region` of the selected profile (`AWS_PROFILE`, or `default`) in the shared AWS files, if any.
pub async fn region_of_profile(environment: &dyn Environment) -> Option<String> {
    // An empty path names no file, so one file is enough.
    let file = |variable, name| shared_file(environment, variable, name).unwrap_or_default();
    let settings = ProfileSettings {
        name: selected_profile(environment),
        config_file: file(CONFIG_FILE, "config"),
        credentials_file: file(CREDENTIALS_FILE, "credentials"),
        environment_keys: None,
    };
    settings.region().await
}

fn selected_profile(environment: &dyn Environment) -> String {
    value(environment, PROFILE).unwrap_or_else(|| "default".to_owned())
}

/// Path of a shared AWS file: the variable's, or its default in the home directory.
fn shared_file(environment: &dyn Environment, variable: &str, name: &str) -> Option<PathBuf> {
    let home = value(environment, "HOME").map(PathBuf::from);
    match (value(environment, variable), home) {
        (Some(path), Some(home)) => Some(match path.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(path),
        }),
        (Some(path), None) => Some(PathBuf::from(path)),
        (None, home) => Some(home?.join(".aws").join(name)),
    }
}

impl Profile {
    pub(crate) fn new(
        settings: ProfileSettings,
        sts: &StsSettings,
        region: Option<&str>,
        clock: &Clock,
    ) -> Self {
        Self {
            settings,
            sts_endpoint: sts.endpoint.clone(),
            region: region.map(|region| Region::new(region.to_owned())),
            fips: sts.fips,
            dual_stack: sts.dual_stack,
            http: sdk_client(),
            clock: clock.clone(),
        }
    }

    async fn resolve(&self) -> Result<Material, Unavailable> {
        let name = &self.settings.name;
        let Some(mut files) = self.settings.files() else {
            return Err(Unavailable::new(
                Reason::ProfileInvalid,
                format!(
                    "profile {name}: neither {} nor {} exists: set {CONFIG_FILE} and {CREDENTIALS_FILE}, or run aws configure --profile {name}",
                    self.settings.config_file.display(),
                    self.settings.credentials_file.display()
                ),
            ));
        };
        if let Some(endpoint) = &self.sts_endpoint {
            files = files.with_contents(
                EnvConfigFileKind::Config,
                format!(
                    "[profile {name}]\nservices = {SERVICES}\n[services {SERVICES}]\nsts =\n  endpoint_url = {endpoint}\n"
                ),
            );
        }
        let config = ProviderConfig::without_region()
            .with_region(self.region.clone())
            .with_http_client(self.http.clone())
            .with_time_source(self.clock.clone())
            .with_use_fips(Some(self.fips))
            .with_use_dual_stack(Some(self.dual_stack))
            .with_retry_config(aws_smithy_types::retry::RetryConfig::disabled());
        let environment = FromEnvironment(self.settings.environment_keys.clone());
        let provider = ProfileFileCredentialsProvider::builder()
            .configure(&config)
            .profile_name(name)
            .profile_files(files.build())
            .with_custom_provider("Environment", SharedCredentialsProvider::new(environment))
            .build();
        provider
            .provide_credentials()
            .await
            .map(Material::Keys)
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &CredentialsError) -> Unavailable {
        let name = &self.settings.name;
        if let Some(error) = find::<SdkError<AssumeRoleError, HttpResponse>>(error) {
            let (reason, detail) = classify(error);
            return Unavailable::new(
                reason,
                format!("sts:AssumeRole for profile {name}: {detail}"),
            );
        }
        if let Some(error) = find::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>(error) {
            let (reason, detail) = classify(error);
            return Unavailable::new(
                reason,
                format!("sts:AssumeRoleWithWebIdentity for profile {name}: {detail}"),
            );
        }
        let text = causes(error);
        match error {
            CredentialsError::CredentialsNotLoaded(_)
            | CredentialsError::InvalidConfiguration(_) => Unavailable::new(
                Reason::ProfileInvalid,
                format!(
                    "profile {name} in {} and {}: {text}",
                    self.settings.config_file.display(),
                    self.settings.credentials_file.display()
                ),
            ),
            _ => Unavailable::new(
                Reason::ProfileFailed,
                format!(
                    "profile {name}: {text}. For SSO, run aws sso login --profile {name}; for credential_process, run the command manually to see its error"
                ),
            ),
        }
    }
}

impl Source for Profile {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.resolve())
    }

    fn watched(&self) -> Vec<Watched> {
        vec![
            Watched::always(&self.settings.config_file),
            Watched::always(&self.settings.credentials_file),
        ]
    }

    /// A `credential_process` may prompt the user or call a remote service.
    fn timeout(&self) -> Duration {
        Duration::from_mins(1)
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(
            Reason::ProfileFailed,
            format!(
                "timeout: profile {} returned no credentials within one minute",
                self.settings.name
            ),
        )
    }

    fn fix(&self) -> &'static str {
        "Write valid keys to the profile or sign in again; changed files are reloaded without a restart"
    }
}
