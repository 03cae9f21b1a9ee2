//! Profiles in the shared config and credentials files, with the SDK's provider: `source_profile`, `role_arn`,
//! `credential_source`, `credential_process`, IAM Identity Center (SSO), `web_identity_token_file`.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>. The SDK parses the files once, so each fetch
//! creates a new provider, which reads rotated keys. The provider reads only the variables of the process;
//! paths, profile and STS endpoint are therefore passed to it.

mod files;

use std::{path::PathBuf, time::Duration};

use aws_config::{
    profile::{ProfileFileCredentialsProvider, ProfileSet},
    provider_config::ProviderConfig,
};
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use aws_sdk_sts::{
    error::SdkError,
    operation::{
        assume_role::AssumeRoleError, assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
    },
};
use aws_smithy_runtime_api::client::{http::SharedHttpClient, orchestrator::HttpResponse};
use aws_types::region::Region;

use self::files::SharedFiles;
use crate::{
    active::Material,
    clock::Clock,
    environment::{Environment, value},
    files::Watched,
    settings::SettingsError,
    sources::{Fetch, Source, instance::find, static_keys::Keys},
    sts::{StsSettings, classify, public},
    unavailable::{Reason, Unavailable, causes},
};

pub(crate) const PROFILE: &str = "AWS_PROFILE";
/// The name that the AWS CLI also accepts.
pub(crate) const DEFAULT_PROFILE: &str = "AWS_DEFAULT_PROFILE";
const CONFIG_FILE: &str = "AWS_CONFIG_FILE";
const CREDENTIALS_FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
/// Name of the services section that passes the configured STS endpoint to the SDK.
const SERVICES: &str = "bedrock-gateway";
/// The name of a profile and the paths of its files.
#[derive(Clone, Debug)]
pub(crate) struct ProfileSettings {
    pub(crate) name: String,
    /// The variable that selects the profile, if one is set.
    pub(crate) variable: Option<&'static str>,
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
            variable: profile_variable(environment),
            config_file: shared_file(environment, CONFIG_FILE, "config")?,
            credentials_file: shared_file(environment, CREDENTIALS_FILE, "credentials")?,
            environment_keys,
        })
    }

    async fn parse(&self) -> Result<ProfileSet, String> {
        SharedFiles::read(self)?.parse(&self.name).await
    }

    /// The parsed files, or `None` with a warning unless neither file exists.
    async fn parse_if_any(&self) -> Option<ProfileSet> {
        let exists = [&self.config_file, &self.credentials_file]
            .iter()
            .any(|path| path.exists());
        let parsed = self.parse().await;
        if let (true, Err(problem)) = (exists, &parsed) {
            tracing::warn!("unable to read the shared AWS config files: {problem}");
        }
        parsed.ok()
    }

    /// Checks that the profile exists and names a source of credentials.
    ///
    /// # Errors
    /// What is missing: a file, the profile or one of its keys.
    pub(crate) async fn check(&self) -> Result<(), SettingsError> {
        let problem = match self.parse().await {
            Ok(profiles) => files::problem(self, &profiles),
            Err(problem) => Some(problem),
        };
        problem.map_or(Ok(()), |problem| {
            Err(SettingsError::Profile {
                name: self.name.clone(),
                problem,
            })
        })
    }

    /// Whether the profile provides credentials.
    pub(crate) async fn has_credentials(&self) -> bool {
        let profiles = self.parse_if_any().await;
        profiles.is_some_and(|profiles| files::has_credentials(&profiles))
    }

    /// The profile at the end of the chain of `source_profile`; `None` if the profile has none.
    pub(crate) async fn source(&self) -> Option<String> {
        let profiles = self.parse().await.ok()?;
        let mut name = files::encoded(&self.name);
        let mut found = None;
        // A chain is short; the limit ends a loop.
        for _ in 0..8 {
            let profile = profiles.get_profile(&name)?;
            match profile.get("source_profile") {
                Some(source) if source != name => source.clone_into(&mut name),
                _ => break,
            }
            found = Some(files::decoded(&name));
        }
        found
    }

    /// The profile's `region`.
    pub(crate) async fn region(&self) -> Option<String> {
        let profiles = self.parse_if_any().await?;
        profiles.get("region").map(str::to_owned)
    }
}

/// The `region` of the selected profile (`AWS_PROFILE`, or `default`) in the shared AWS files, if any.
pub async fn region_of_profile(environment: &dyn Environment) -> Option<String> {
    // An empty path names no file, so one file is enough.
    let file = |variable, name| shared_file(environment, variable, name).unwrap_or_default();
    let settings = ProfileSettings {
        name: selected_profile(environment),
        variable: profile_variable(environment),
        config_file: file(CONFIG_FILE, "config"),
        credentials_file: file(CREDENTIALS_FILE, "credentials"),
        environment_keys: None,
    };
    settings.region().await
}

/// Checks the profile that a variable selects, if any.
///
/// # Errors
/// The files or the profile do not exist, or the profile lacks a key.
pub async fn check_profile(environment: &dyn Environment) -> Result<(), SettingsError> {
    match ProfileSettings::from_env(environment, None) {
        Some(profile) if profile.variable.is_some() => profile.check().await,
        _ => Ok(()),
    }
}

/// The variable that selects the profile. `AWS_PROFILE` has precedence.
pub(crate) fn profile_variable(environment: &dyn Environment) -> Option<&'static str> {
    [PROFILE, DEFAULT_PROFILE]
        .into_iter()
        .find(|name| value(environment, name).is_some())
}

fn selected_profile(environment: &dyn Environment) -> String {
    profile_variable(environment)
        .and_then(|name| value(environment, name))
        .unwrap_or_else(|| "default".to_owned())
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
        http: SharedHttpClient,
        clock: &Clock,
    ) -> Self {
        Self {
            settings,
            sts_endpoint: sts.endpoint.clone(),
            region: region.map(|region| Region::new(region.to_owned())),
            fips: sts.fips,
            dual_stack: sts.dual_stack,
            http,
            clock: clock.clone(),
        }
    }

    async fn resolve(&self) -> Result<Material, Unavailable> {
        let name = &self.settings.name;
        let mut files = SharedFiles::read(&self.settings).map_err(|problem| {
            Unavailable::new(Reason::ProfileInvalid, format!("profile {name}: {problem}"))
        })?;
        let encoded = files::encoded(name);
        if let Some(endpoint) = &self.sts_endpoint {
            files = files.with_config(format!(
                "[profile {encoded}]\nservices = {SERVICES}\n[services {SERVICES}]\nsts =\n  endpoint_url = {endpoint}\n"
            ));
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
            .profile_name(encoded)
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
            )
            .with_public(public("sts:AssumeRole", reason, &detail));
        }
        if let Some(error) = find::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>(error) {
            let (reason, detail) = classify(error);
            return Unavailable::new(
                reason,
                format!("sts:AssumeRoleWithWebIdentity for profile {name}: {detail}"),
            )
            .with_public(public("sts:AssumeRoleWithWebIdentity", reason, &detail));
        }
        let text = without_standard_error(causes(error));
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

/// The text without what a `credential_process` wrote to standard error, which may contain secrets.
fn without_standard_error(text: String) -> String {
    match text.split_once(" Stderr:") {
        Some((said, _)) => format!("{said} Its standard error is not shown"),
        None => text,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_of_a_process_is_not_part_of_messages() {
        let text = "Error retrieving credentials: external process exited with code exit status: 3. Stderr: token hvs.SECRET123";
        let shown = without_standard_error(text.to_owned());
        assert!(
            shown.contains("exit status: 3") && !shown.contains("SECRET"),
            "{shown}"
        );
        assert_eq!(without_standard_error("other".to_owned()), "other");
    }
}
