//! Validates values when they are read, so that an error names the setting instead of coming from STS an hour later.

use super::SettingsError;
use crate::{
    environment::{Environment, flag, value},
    sts::AssumeRoleLink,
};

pub(super) const ROLE_ARN: &str = "AWS_ROLE_ARN";
pub(super) const SESSION_NAME: &str = "AWS_ROLE_SESSION_NAME";
pub(super) const EXTERNAL_ID: &str = "AWS_EXTERNAL_ID";
/// Names of the duration of sessions of `AWS_ROLE_ARN`, the first with precedence. Guides of other gateways use the others.
const DURATIONS: [&str; 3] = [
    "AWS_ROLE_DURATION_SECONDS",
    "AWS_ROLE_SESSION_DURATION",
    "AWS_SESSION_DURATION",
];
const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";

pub(super) fn role_from_env(
    environment: &dyn Environment,
    session_name: Option<String>,
) -> Result<Option<AssumeRoleLink>, SettingsError> {
    let Some(role_arn) = value(environment, ROLE_ARN) else {
        return Ok(None);
    };
    let (duration, duration_seconds) = duration(environment)?.unzip();
    let role = AssumeRoleLink {
        role_arn,
        session_name,
        external_id: value(environment, EXTERNAL_ID),
        duration_seconds,
        tags: Vec::new(),
    };
    check_role(&role, |field| {
        match field {
            "roleArn" => ROLE_ARN,
            "sessionName" => SESSION_NAME,
            "externalId" => EXTERNAL_ID,
            _ => duration.unwrap_or(DURATIONS[0]),
        }
        .to_owned()
    })?;
    Ok(Some(role))
}

/// The duration of sessions and the variable that sets it.
fn duration(environment: &dyn Environment) -> Result<Option<(&'static str, u32)>, SettingsError> {
    let set = DURATIONS
        .into_iter()
        .find_map(|name| Some((name, value(environment, name)?)));
    set.map(|(name, text)| match text.parse() {
        Ok(seconds) => Ok((name, seconds)),
        Err(_) => Err(SettingsError::Duration {
            setting: name.to_owned(),
            value: text,
        }),
    })
    .transpose()
}

/// Warnings for variables of roles that are not used: unknown names, a second duration, or no role.
pub(super) fn unused_role_variables(environment: &dyn Environment) -> Vec<String> {
    let known = [ROLE_ARN, SESSION_NAME];
    let is_known = |name: &str| known.contains(&name) || DURATIONS.contains(&name);
    let mut unused: Vec<String> = environment
        .names()
        .into_iter()
        .filter(|name| name.starts_with("AWS_ROLE_") && !is_known(name))
        .filter(|name| value(environment, name).is_some())
        .map(|name| {
            format!(
                "{name} is not used: the variables of a role are {ROLE_ARN}, {SESSION_NAME}, {EXTERNAL_ID} and {}",
                DURATIONS[0]
            )
        })
        .collect();
    unused.sort();
    let mut durations = DURATIONS
        .into_iter()
        .filter(|name| value(environment, name).is_some());
    if let Some(first) = durations.next() {
        if value(environment, ROLE_ARN).is_none() {
            unused.push(format!("{first} is ignored: {ROLE_ARN} is not set"));
        }
        let first_value = value(environment, first);
        unused.extend(
            durations
                .filter(|name| value(environment, name) != first_value)
                .map(|name| {
                    format!(
                        "{first} and {name} are both set: {first} has precedence; unset one of them"
                    )
                }),
        );
    }
    unused
}

/// Validates the role's parameters by STS's rules; an error names the setting.
pub(crate) fn check_role(
    role: &AssumeRoleLink,
    setting: impl Fn(&str) -> String,
) -> Result<(), SettingsError> {
    if !is_role_arn(&role.role_arn) {
        return Err(SettingsError::RoleArn {
            setting: setting("roleArn"),
            value: role.role_arn.clone(),
        });
    }
    if let Some(name) = &role.session_name
        && !is_made_of(name, 2..=64, "_+=,.@-")
    {
        return Err(SettingsError::SessionName {
            setting: setting("sessionName"),
            value: name.clone(),
        });
    }
    if let Some(id) = &role.external_id
        && !is_made_of(id, 2..=1224, "_+=,.@:/-")
    {
        return Err(SettingsError::ExternalId {
            setting: setting("externalId"),
        });
    }
    match role.duration_seconds {
        Some(seconds) if !(900..=43_200).contains(&seconds) => Err(SettingsError::Duration {
            setting: setting("durationSeconds"),
            value: seconds.to_string(),
        }),
        _ => Ok(()),
    }
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(
        parts.as_slice(),
        ["arn", partition, "iam", "", account, resource]
            if (*partition == "aws" || partition.starts_with("aws-"))
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && resource.strip_prefix("role/").is_some_and(|name| is_made_of(name, 1..=576, "_+=,.@-/"))
    )
}

pub(super) fn is_made_of(
    text: &str,
    length: std::ops::RangeInclusive<usize>,
    others: &str,
) -> bool {
    length.contains(&text.len())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || others.contains(character))
}

/// Converts a hint to a valid role session name: replaces other characters with `-`, truncates long names, and
/// replaces names that are too short.
pub(super) fn session_name_from(hint: &str) -> String {
    let mut name: String = hint
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() || "_+=,.@-".contains(character) {
                character
            } else {
                '-'
            }
        })
        .take(64)
        .collect();
    if name.len() < 2 {
        "bedrock-gateway".clone_into(&mut name);
    }
    name
}

/// The STS endpoint of the configuration, or else of the environment unless
/// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is `true`.
pub(super) fn endpoint(
    environment: &dyn Environment,
    configured: Option<String>,
) -> Result<Option<String>, SettingsError> {
    let from_variable = |name: &str| value(environment, name).map(|url| (name.to_owned(), url));
    let found = configured
        .map(|url| ("endpoints.sts".to_owned(), url))
        .or_else(|| {
            (!flag(environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
                .then(|| from_variable(STS_ENDPOINT).or_else(|| from_variable("AWS_ENDPOINT_URL")))
                .flatten()
        });
    let Some((setting, url)) = found else {
        return Ok(None);
    };
    let usable = url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    if usable {
        Ok(Some(url))
    } else {
        Err(SettingsError::Endpoint {
            setting,
            value: url,
        })
    }
}
