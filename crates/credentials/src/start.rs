//! Starts a refresher from settings: selects the source, logs the choice, spawns the task.

use std::sync::Arc;

use aws_types::sdk_config::SharedTimeSource;
use tokio::sync::watch;

use crate::{
    choice::{Choice, Method},
    clock::Clock,
    handle::{Handle, Shared},
    http::{Http, sdk_client},
    proxies::Proxies,
    refresher::Refresher,
    settings::{Base, Settings, SettingsError, check_role},
    sources::{
        Source,
        assume_role::{Assumed, Chain},
        bearer::Bearer,
        container::Container,
        github::GitHubToken,
        instance::Instance,
        lambda::Lambda,
        profile::{Profile, ProfileSettings},
        secret_directory::SecretDirectory,
        static_keys::StaticKeys,
        web_identity::{TokenSource, WebIdentity},
    },
    sts::{AssumeRoleLink, Sts},
};

/// The reason why no refresher was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are invalid; detected after reading the profile.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Starts the background task of a role chain and returns at once; the first credentials follow shortly
/// ([`Handle::wait_ready`]). The task ends when the last handle is dropped.
///
/// Logs the chosen method with the reason, and a warning for each conflicting setting.
///
/// # Errors
/// If the profile contains no credentials and no other method is configured, or STS is needed and no region is set.
pub async fn start(settings: Settings, clock: SharedTimeSource) -> Result<Handle, StartError> {
    let clock = Clock::new(clock);
    let Settings {
        mut choice,
        mut base,
        roles,
        sts: mut sts_settings,
        session_name,
        default_profile,
        check_identity,
    } = settings;
    if let Some(profile) = default_profile {
        if profile.has_credentials().await {
            prefer_default_profile(&mut choice, &profile);
            base = Base::Profile(profile);
        } else if matches!(base, Base::Nothing) {
            return Err(SettingsError::NothingConfigured.into());
        } else if sts_settings.region.is_none() {
            sts_settings.region = profile.region().await;
        }
    }
    if let Base::Profile(profile) = &base {
        profile.check().await?;
    }
    if let (Base::Profile(profile), None) = (&base, &sts_settings.region) {
        sts_settings.region = profile.region().await;
    }
    let region = sts_settings.region.clone();
    let make_sts = || {
        let region = region.as_deref().ok_or(SettingsError::RegionMissing)?;
        Ok::<_, SettingsError>(Sts::new(&sts_settings, region, &session_name, &clock))
    };
    let method = base.method();
    let source: Box<dyn Source> = match base {
        Base::Bearer(secret) => Box::new(Bearer(secret)),
        Base::SecretDirectory(path) => Box::new(SecretDirectory(path)),
        Base::StaticKeys(keys) => Box::new(StaticKeys(keys)),
        Base::Lambda(keys) => Box::new(Lambda(keys)),
        Base::WebIdentityFile { path, role } => Box::new(WebIdentity {
            token: TokenSource::File(path),
            role,
            sts: make_sts()?,
        }),
        Base::GitHub {
            url,
            authorization,
            role,
        } => Box::new(WebIdentity {
            token: TokenSource::GitHub(GitHubToken {
                url,
                authorization,
                http: Http::new(),
            }),
            role,
            sts: make_sts()?,
        }),
        Base::Profile(profile) => Box::new(Profile::new(
            profile,
            &sts_settings,
            region.as_deref(),
            sdk_client(&sts_settings.proxies),
            &clock,
        )),
        Base::Container(settings) => Box::new(Container {
            settings,
            http: Http::new(),
            clock: clock.clone(),
        }),
        Base::Instance(settings) => Box::new(Instance::new(
            &settings,
            sdk_client(&Proxies::default()),
            &clock,
        )?),
        Base::Nothing => return Err(SettingsError::NothingConfigured.into()),
    };
    let verifier = (check_identity && !matches!(method, Method::BedrockApiKey) && region.is_some())
        .then(make_sts)
        .transpose()?;
    let source = if roles.is_empty() {
        source
    } else {
        Box::new(Chain {
            base: source,
            roles,
            sts: make_sts()?,
        })
    };
    log_choice(&choice);
    let shared = Shared::new(choice, sts_settings, session_name, clock);
    Ok(spawn(shared, source, verifier, fastrand::f64))
}

/// Starts only the long-term keys that assume the roles of `settings` (of `AWS_ROLE_ARN`, of the configuration, or of a
/// profile with `source_profile`), without a check of their caller. `None` if no role is assumed, or the base
/// credentials are not keys of a user.
///
/// # Errors
/// See [`start`].
pub async fn start_base(
    mut settings: Settings,
    clock: SharedTimeSource,
) -> Result<Option<Handle>, StartError> {
    let mut assumes = !settings.roles.is_empty();
    settings.roles.clear();
    settings.choice.assume_roles.clear();
    settings.choice.conflicts.clear();
    match &mut settings.base {
        Base::Profile(profile) => {
            if let Some(source) = profile.source().await {
                profile.name = source;
                assumes = true;
            }
        }
        Base::StaticKeys(_) | Base::SecretDirectory(_) => {}
        _ => return Ok(None),
    }
    if !assumes {
        return Ok(None);
    }
    let settings = settings.without_identity_check();
    start(settings, clock).await.map(Some)
}

impl Handle {
    /// Starts the background task of a role that is assumed with the current credentials of this handle; `field` is
    /// the path of the role in the configuration, for messages. The task keeps the task of this handle alive.
    ///
    /// # Errors
    /// If STS does not accept the role's parameters, or the credentials are a Bedrock API key.
    pub fn assume(&self, role: AssumeRoleLink, field: &str) -> Result<Self, SettingsError> {
        check_role(&role, |name| format!("{field}.{name}"))?;
        let base = self.shared();
        if base.choice.method == Method::BedrockApiKey {
            return Err(SettingsError::BearerWithRoles);
        }
        let region = base.sts.region.as_deref();
        let region = region.ok_or(SettingsError::RegionMissing)?;
        let sts = Sts::new(&base.sts, region, &base.session_name, &base.clock);
        let mut choice = base.choice.clone();
        choice.assume_roles.push(role.role_arn.clone());
        choice.conflicts.clear();
        let shared = Shared::new(
            choice,
            base.sts.clone(),
            base.session_name.clone(),
            base.clock.clone(),
        );
        let source = Assumed {
            base: self.clone(),
            role,
            sts,
        };
        // STS has just issued these credentials.
        Ok(spawn(shared, Box::new(source), None, fastrand::f64))
    }
}

/// Starts the task for any source; tests pass their own.
pub(crate) fn spawn(
    mut shared: Shared,
    source: Box<dyn Source>,
    verifier: Option<Sts>,
    random: fn() -> f64,
) -> Handle {
    shared.fix = source.fix();
    let shared = Arc::new(shared);
    let (alive, until_dropped) = watch::channel(());
    let refresher = Refresher::new(Arc::clone(&shared), source, verifier, random);
    tokio::spawn(refresher.run(until_dropped));
    Handle::new(shared, alive)
}

/// In AWS's chain the profile has precedence over container and instance. Container variables are set explicitly,
/// so ignoring them is a conflict.
fn prefer_default_profile(choice: &mut Choice, profile: &ProfileSettings) {
    let because = format!(
        "profile default in {} or {} contains credentials",
        profile.config_file.display(),
        profile.credentials_file.display()
    );
    if !matches!(choice.method, Method::InstanceProfile | Method::Profile) {
        choice.conflicts.push(format!(
            "{because}, and {} ({}): the profile has precedence, as in every AWS SDK; remove one of them",
            choice.because, choice.method
        ));
    }
    choice.method = Method::Profile;
    choice.because = because;
}

fn log_choice(choice: &Choice) {
    tracing::info!(
        method = choice.method.as_str(),
        because = choice.because,
        assume_roles = choice.assume_roles.join(", "),
        "AWS credentials: {choice}"
    );
    for conflict in &choice.conflicts {
        tracing::warn!("AWS credentials: {conflict}");
    }
}
