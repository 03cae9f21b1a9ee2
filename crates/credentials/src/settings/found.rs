//! Detects the methods that are set in the environment, chooses one, and reports the unused ones.

use std::path::{Path, PathBuf};

use super::{
    Base, SettingsError,
    check::{EXTERNAL_ID, ROLE_ARN, unused_role_variables},
};
use crate::{
    choice::Method,
    environment::{Environment, flag, value},
    secret::Secret,
    sources::{
        bearer::BEARER_TOKEN,
        container::ContainerSettings,
        github::{REQUEST_TOKEN, REQUEST_URL},
        instance::InstanceSettings,
        lambda::is_lambda,
        profile::{DEFAULT_PROFILE, PROFILE, ProfileSettings, profile_variable},
        secret_directory::SECRET_DIRECTORY,
        static_keys::{ACCESS_KEY_ID, Keys},
    },
    sts::AssumeRoleLink,
};

/// GitHub Actions sets it to `true` in every job.
const GITHUB: &str = "GITHUB_ACTIONS";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// File names in a mounted Secret that contain profiles.
const PROFILE_FILES: [&str; 2] = ["config", "credentials"];

/// All methods that are set, before one is chosen.
pub(super) struct Found {
    bearer: Option<Secret>,
    directory: Option<PathBuf>,
    token_file: Option<PathBuf>,
    keys: Option<Keys>,
    lambda: bool,
    named_profile: Option<ProfileSettings>,
    pub(super) default_profile: Option<ProfileSettings>,
    github: Option<(String, Secret)>,
    container: Option<ContainerSettings>,
    instance: Option<InstanceSettings>,
}

/// Whether a mounted Secret has shared config files and no keys. The method is then the profile, and
/// `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` point to these files.
fn contains_only_profiles(directory: &Path) -> bool {
    let has = |name: &&str| directory.join(name).exists();
    PROFILE_FILES.iter().any(has) && ![ACCESS_KEY_ID, BEARER_TOKEN].iter().any(has)
}

impl Found {
    pub(super) fn detect(environment: &dyn Environment) -> Result<Self, SettingsError> {
        let keys = Keys::from_env(environment)?;
        let profile = ProfileSettings::from_env(environment, keys.clone());
        let named = profile_variable(environment).is_some();
        Ok(Self {
            bearer: value(environment, BEARER_TOKEN).map(Secret::new),
            directory: value(environment, SECRET_DIRECTORY)
                .map(PathBuf::from)
                .filter(|directory| !contains_only_profiles(directory)),
            token_file: value(environment, TOKEN_FILE).map(PathBuf::from),
            lambda: keys
                .as_ref()
                .is_some_and(|keys| is_lambda(environment, keys)),
            keys,
            named_profile: profile.clone().filter(|_| named),
            default_profile: profile.filter(|_| !named),
            github: value(environment, REQUEST_URL)
                .zip(value(environment, REQUEST_TOKEN).map(Secret::new)),
            container: ContainerSettings::from_env(environment)?,
            instance: InstanceSettings::from_env(environment)?,
        })
    }

    /// The chosen method and the reason.
    pub(super) fn choose(
        &self,
        role: Option<&AssumeRoleLink>,
    ) -> Result<(Base, String), SettingsError> {
        if let Some(bearer) = self.bearer.clone() {
            return Ok((Base::Bearer(bearer), format!("{BEARER_TOKEN} is set")));
        }
        if let Some(directory) = self.directory.clone() {
            return Ok((
                Base::SecretDirectory(directory),
                format!("{SECRET_DIRECTORY} is set"),
            ));
        }
        if let (Some(path), Some(role)) = (self.token_file.clone(), role) {
            let because = format!("{ROLE_ARN} and {TOKEN_FILE} are set");
            return Ok((
                Base::WebIdentityFile {
                    path,
                    role: role.clone(),
                },
                because,
            ));
        }
        if let Some(keys) = self.keys.clone() {
            return Ok(if self.lambda {
                let because = format!(
                    "AWS_LAMBDA_FUNCTION_NAME and {ACCESS_KEY_ID} with a session token are set"
                );
                (Base::Lambda(keys), because)
            } else {
                (Base::StaticKeys(keys), format!("{ACCESS_KEY_ID} is set"))
            });
        }
        if let Some(profile) = self.named_profile.clone() {
            let variable = profile.variable.unwrap_or(PROFILE);
            let because = format!("{variable} is set to {}", profile.name);
            return Ok((Base::Profile(profile), because));
        }
        if self.token_file.is_some() {
            return Err(SettingsError::RoleMissing);
        }
        if let (Some((url, authorization)), Some(role)) = (self.github.clone(), role) {
            let because = format!("{ROLE_ARN} and {REQUEST_URL} are set, {TOKEN_FILE} is not");
            return Ok((
                Base::GitHub {
                    url,
                    authorization,
                    role: role.clone(),
                },
                because,
            ));
        }
        if let Some(container) = self.container.clone() {
            let because = format!("{} is set", container.variable());
            return Ok((Base::Container(container), because));
        }
        if let Some(instance) = self.instance.clone() {
            return Ok((
                Base::Instance(instance),
                "nothing else is configured".to_owned(),
            ));
        }
        Ok((Base::Nothing, "nothing else is configured".to_owned()))
    }

    /// Settings that are not used because another method has precedence.
    pub(super) fn conflicts(
        &self,
        chosen: Method,
        base: &Base,
        environment: &dyn Environment,
        assumes: bool,
    ) -> Vec<String> {
        let for_chosen = match base {
            Base::Bearer(_) => BEARER_TOKEN,
            Base::SecretDirectory(_) => SECRET_DIRECTORY,
            Base::StaticKeys(_) | Base::Lambda(_) => ACCESS_KEY_ID,
            Base::WebIdentityFile { .. } => TOKEN_FILE,
            Base::GitHub { .. } => REQUEST_URL,
            Base::Profile(profile) => profile.variable.unwrap_or(PROFILE),
            Base::Nothing => PROFILE,
            Base::Container(container) => container.variable(),
            Base::Instance(_) => "",
        };
        let role_is_set = value(environment, ROLE_ARN).is_some();
        let candidates = [
            (Method::BedrockApiKey, BEARER_TOKEN, self.bearer.is_some()),
            (
                Method::SecretDirectory,
                SECRET_DIRECTORY,
                self.directory.is_some(),
            ),
            (Method::WebIdentity, TOKEN_FILE, self.token_file.is_some()),
            (Method::StaticKeys, ACCESS_KEY_ID, self.keys.is_some()),
            (
                Method::Profile,
                self.named_profile
                    .as_ref()
                    .and_then(|profile| profile.variable)
                    .unwrap_or(PROFILE),
                self.named_profile.is_some(),
            ),
            (
                Method::GitHubActions,
                REQUEST_URL,
                self.github.is_some() && role_is_set,
            ),
            (
                self.container
                    .as_ref()
                    .map_or(Method::Container, |container| container.method),
                self.container
                    .as_ref()
                    .map_or("", ContainerSettings::variable),
                self.container.is_some(),
            ),
        ];
        let mut conflicts: Vec<String> = candidates
            .iter()
            .filter(|(_, variable, set)| *set && *variable != for_chosen)
            .map(|(method, variable, _)| {
                format!(
                    "{for_chosen} ({chosen}) and {variable} ({method}) are both set: {chosen} has precedence; unset one of them"
                )
            })
            .collect();
        if matches!(base, Base::Bearer(_)) && role_is_set && self.token_file.is_none() {
            conflicts.push(format!(
                "{ROLE_ARN} is ignored: {BEARER_TOKEN} ({chosen}) has precedence and cannot assume roles; unset one of them"
            ));
        }
        let has_no_keys = matches!(base, Base::Container(_) | Base::Instance(_) | Base::Nothing);
        if has_no_keys && role_is_set && self.github.is_none() && flag(environment, GITHUB) {
            conflicts.push(format!(
                "{ROLE_ARN} cannot be assumed with the identity of this GitHub Actions job, because {REQUEST_URL} is not set: give the job the permission id-token: write"
            ));
        }
        if let (Some(one), Some(other)) = (
            value(environment, PROFILE),
            value(environment, DEFAULT_PROFILE),
        ) && one != other
        {
            conflicts.push(format!(
                "{PROFILE} and {DEFAULT_PROFILE} are both set: {PROFILE} has precedence; unset one of them"
            ));
        }
        conflicts.extend(unused_role_variables(environment));
        if value(environment, EXTERNAL_ID).is_some() && !assumes {
            conflicts.push(if role_is_set {
                format!("{EXTERNAL_ID} is ignored: {chosen} does not support an external ID")
            } else {
                format!("{EXTERNAL_ID} is ignored: {ROLE_ARN} is not set")
            });
        }
        conflicts
    }
}
