//! The shared config and credentials files: reading, profile names, and what a profile lacks.
//!
//! The SDK ignores profiles whose name contains a space, which the AWS CLI accepts: such names are percent-encoded
//! before the SDK parses the text. <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::{fmt::Write as _, io::ErrorKind, path::Path};

use aws_config::profile::ProfileSet;
use aws_runtime::env_config::file::{Builder, EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};

use super::{CONFIG_FILE, CREDENTIALS_FILE, ProfileSettings};
use crate::unavailable::causes;

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

/// The text of both files, for the SDK.
pub(super) struct SharedFiles(Builder);

impl SharedFiles {
    /// Reads the files that exist.
    ///
    /// # Errors
    /// If neither file exists, or one cannot be read.
    pub(super) fn read(settings: &ProfileSettings) -> Result<Self, String> {
        let mut builder = EnvConfigFiles::builder();
        let mut any = false;
        for (kind, path) in [
            (EnvConfigFileKind::Config, &settings.config_file),
            (EnvConfigFileKind::Credentials, &settings.credentials_file),
        ] {
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    builder = builder.with_contents(kind, encoded_names(&text));
                    any = true;
                }
                // A container runtime creates a directory for a mount without a source; the AWS CLI ignores it, too.
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {}
                Err(error) => return Err(unreadable(path, &error)),
            }
        }
        if any {
            return Ok(Self(builder));
        }
        Err(format!(
            "neither {} nor {} is an existing file: set {CONFIG_FILE} and {CREDENTIALS_FILE}, or run aws configure --profile {}",
            settings.config_file.display(),
            settings.credentials_file.display(),
            quoted(&settings.name)
        ))
    }

    /// Adds text to the config file.
    pub(super) fn with_config(self, text: String) -> Self {
        Self(self.0.with_contents(EnvConfigFileKind::Config, text))
    }

    pub(super) fn build(self) -> EnvConfigFiles {
        self.0.build()
    }

    /// Parses the text.
    ///
    /// # Errors
    /// If the text is not in the format of the files.
    pub(super) async fn parse(self, profile: &str) -> Result<ProfileSet, String> {
        let selected = Some(encoded(profile).into());
        aws_config::profile::load(&Fs::real(), &Env::from_slice(&[]), &self.build(), selected)
            .await
            .map_err(|error| causes(&error))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "permission denied when reading {shown}: run the gateway as the user that owns the file, or let its user read it"
        ),
        _ => format!("unable to read {shown}: {error}"),
    }
}

/// Whether the profile provides credentials.
pub(super) fn has_credentials(profiles: &ProfileSet) -> bool {
    CREDENTIAL_KEYS
        .iter()
        .any(|key| profiles.get(key).is_some())
}

/// What the selected profile lacks; `None` if its keys are complete.
pub(super) fn problem(settings: &ProfileSettings, profiles: &ProfileSet) -> Option<String> {
    let files = format!(
        "{} and {}",
        settings.config_file.display(),
        settings.credentials_file.display()
    );
    let exists = |name: &str| profiles.get_profile(&encoded(name)).is_some();
    if !exists(&settings.name) {
        return Some(format!("not found in {files}; {}", existing(profiles)));
    }
    let has = |key: &str| profiles.get(key).is_some();
    let lacks =
        |set: &str, missing: &str| Some(format!("{set} is set but {missing} is not ({files})"));
    for (set, missing) in [
        ("aws_access_key_id", "aws_secret_access_key"),
        ("aws_secret_access_key", "aws_access_key_id"),
        ("sso_session", "sso_account_id"),
        ("sso_session", "sso_role_name"),
        ("sso_start_url", "sso_account_id"),
        ("source_profile", "role_arn"),
        ("web_identity_token_file", "role_arn"),
    ] {
        if has(set) && !has(missing) && !has("credential_process") {
            return lacks(set, missing);
        }
    }
    let sources = [
        "source_profile",
        "credential_source",
        "web_identity_token_file",
    ];
    if has("role_arn") && !sources.iter().any(|key| has(key)) {
        return lacks(
            "role_arn",
            "source_profile, credential_source or web_identity_token_file",
        );
    }
    if let Some(source) = profiles.get("source_profile").map(decoded)
        && !exists(&source)
    {
        return Some(format!(
            "source_profile is {source:?}, which is not in {files}; {}",
            existing(profiles)
        ));
    }
    if has_credentials(profiles) {
        return None;
    }
    let name = quoted(&settings.name);
    Some(if has("login_session") {
        format!(
            "profiles of `aws login` (login_session) are not supported: add a profile with credential_process = aws configure export-credentials --profile {name} --format process, or use aws configure sso"
        )
    } else {
        format!(
            "no credentials in {files}: set aws_access_key_id and aws_secret_access_key, role_arn with source_profile, sso_session, or credential_process (aws configure --profile {name})"
        )
    })
}

fn existing(profiles: &ProfileSet) -> String {
    let mut names: Vec<String> = profiles.profiles().map(decoded).collect();
    names.sort();
    if names.is_empty() {
        "the files contain no profile".to_owned()
    } else {
        format!("the profiles are: {}", names.join(", "))
    }
}

/// The name as an argument of a command.
fn quoted(name: &str) -> String {
    if name.contains(char::is_whitespace) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

/// A profile name in characters that the SDK accepts.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-/.%@:+".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The name before [`encoded`], for messages.
pub(super) fn decoded(name: &str) -> String {
    name.replace("%20", " ")
}

/// The text of a file with [`encoded`] profile names.
fn encoded_names(text: &str) -> String {
    text.lines()
        .map(|line| encoded_line(line).unwrap_or_else(|| line.to_owned()))
        .fold(String::with_capacity(text.len()), |mut all, line| {
            all.push_str(&line);
            all.push('\n');
            all
        })
}

/// A section heading or a reference to a profile whose name needs another form.
fn encoded_line(line: &str) -> Option<String> {
    if let Some((key, name)) = line.split_once('=')
        && key.trim() == "source_profile"
        && !line.starts_with(char::is_whitespace)
    {
        return Some(format!("source_profile = {}", encoded(unquoted(name))));
    }
    let (section, _comment) = line.trim().strip_prefix('[')?.split_once(']')?;
    let section = section.trim();
    let (prefix, name) = section.split_once(char::is_whitespace)?;
    let name = unquoted(name);
    Some(match prefix {
        "profile" => format!("[profile {}]", encoded(name)),
        "sso-session" | "services" => return None,
        // The credentials file has no prefixes: the space is part of the name.
        _ => format!("[{}]", encoded(section)),
    })
}

fn unquoted(name: &str) -> &str {
    let name = name.trim();
    ['"', '\'']
        .iter()
        .find_map(|quote| name.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_user_is_called_unreadable_and_not_missing() {
        let error = std::io::Error::from(ErrorKind::PermissionDenied);
        let text = unreadable(Path::new("/aws/config"), &error);
        assert!(
            text.starts_with("permission denied when reading /aws/config"),
            "{text}"
        );
    }

    #[test]
    fn names_with_spaces_are_encoded_in_headings_and_references() {
        let text = "[profile \"my dev\"]\nsource_profile = my base\nregion = us-east-1\n[profile my base]\n[my dev] # keys\naws_access_key_id = A\n[profile plain]\n[sso-session my team]\n[services local]\nsts =\n  endpoint_url = http://x\n[default]\n";
        let expected = "[profile my%20dev]\nsource_profile = my%20base\nregion = us-east-1\n[profile my%20base]\n[my%20dev]\naws_access_key_id = A\n[profile plain]\n[sso-session my team]\n[services local]\nsts =\n  endpoint_url = http://x\n[default]\n";
        assert_eq!(encoded_names(text), expected);
        assert_eq!(decoded(&encoded("my dev")), "my dev");
    }
}
