//! The container credentials endpoint: task roles of ECS and Fargate, and EKS Pod Identity.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>. Not the SDK's provider:
//! it reads its settings from the process environment only, keeps a trailing newline of the token file, and drops
//! the error message of the endpoint.

use std::{net::IpAddr, path::PathBuf, time::SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_types::date_time::{DateTime, Format};
use serde::Deserialize;

use crate::{
    active::Material,
    choice::Method,
    clock::Clock,
    environment::{Environment, value},
    files::Watched,
    http::Http,
    secret::Secret,
    settings::SettingsError,
    sources::{Fetch, Source},
    unavailable::{Reason, Unavailable},
};

pub(crate) const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
pub(crate) const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const AUTHORIZATION_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const AUTHORIZATION_TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// Base address of relative URIs.
const ECS_HOST: &str = "http://169.254.170.2";
/// Hosts that plain HTTP is permitted to, in addition to loopback.
const LINK_LOCAL: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// Substrings that occur only in the Pod Identity agent's address or in the mount path of its token.
const POD_IDENTITY_MARKS: [&str; 3] = ["169.254.170.23", "fd00:ec2::23", "pods.eks.amazonaws.com"];

/// Address and authorization of the endpoint.
#[derive(Clone, Debug)]
pub(crate) struct ContainerSettings {
    pub(crate) uri: String,
    pub(crate) authorization: Authorization,
    pub(crate) method: Method,
}

/// The authorization token of the container.
#[derive(Clone, Debug)]
pub(crate) enum Authorization {
    None,
    Value(Secret),
    /// Read at each fetch, because the kubelet renews it.
    File(PathBuf),
}

/// Calls the endpoint at each fetch.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) settings: ContainerSettings,
    pub(crate) http: Http,
    pub(crate) clock: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointCredentials {
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
    expiration: Option<String>,
}

#[derive(Default, Deserialize)]
struct EndpointError {
    #[serde(alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl ContainerSettings {
    /// `None` if no container variable is set. The relative URI has precedence, as in the SDKs.
    pub(crate) fn from_env(environment: &dyn Environment) -> Result<Option<Self>, SettingsError> {
        let uri = match (
            value(environment, RELATIVE_URI),
            value(environment, FULL_URI),
        ) {
            (Some(relative), _) if relative.starts_with('/') => format!("{ECS_HOST}{relative}"),
            (Some(_), _) => {
                return Err(SettingsError::ContainerUri {
                    variable: RELATIVE_URI,
                    problem: "it must start with a slash".to_owned(),
                });
            }
            (None, Some(full)) => checked_full_uri(full)?,
            (None, None) => return Ok(None),
        };
        let authorization = match (
            value(environment, AUTHORIZATION_TOKEN_FILE),
            value(environment, AUTHORIZATION_TOKEN),
        ) {
            (Some(file), _) => Authorization::File(file.into()),
            (None, Some(token)) => Authorization::Value(Secret::new(token)),
            (None, None) => Authorization::None,
        };
        let marked = |text: &str| POD_IDENTITY_MARKS.iter().any(|mark| text.contains(mark));
        let pod_identity = marked(&uri)
            || matches!(&authorization, Authorization::File(file) if marked(&file.to_string_lossy()));
        Ok(Some(Self {
            uri,
            authorization,
            method: if pod_identity {
                Method::PodIdentity
            } else {
                Method::Container
            },
        }))
    }

    /// The variable that selects the endpoint.
    pub(crate) fn variable(&self) -> &'static str {
        if self.uri.starts_with(ECS_HOST) && self.method == Method::Container {
            RELATIVE_URI
        } else {
            FULL_URI
        }
    }
}

/// Credentials must not be sent over plain HTTP, except from this host and the link-local agents.
fn checked_full_uri(uri: String) -> Result<String, SettingsError> {
    let wrong = |problem: &str| SettingsError::ContainerUri {
        variable: FULL_URI,
        problem: problem.to_owned(),
    };
    let parsed: http::Uri = uri.parse().map_err(|_| wrong("it is not a URI"))?;
    let host = parsed
        .host()
        .ok_or_else(|| wrong("it has no host"))?
        .trim_matches(['[', ']']);
    let local = host == "localhost"
        || LINK_LOCAL.contains(&host)
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match parsed.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if local => Ok(uri),
        Some("http") => Err(wrong(
            "plain http is permitted only to loopback, 169.254.170.2, 169.254.170.23 and [fd00:ec2::23]; use https",
        )),
        _ => Err(wrong("it must start with http:// or https://")),
    }
}

impl Container {
    /// The endpoint for messages, without the path, which may identify the task.
    fn endpoint(&self) -> String {
        let host = self
            .settings
            .uri
            .parse::<http::Uri>()
            .ok()
            .and_then(|uri| uri.authority().map(ToString::to_string))
            .unwrap_or_default();
        format!(
            "the {} credentials endpoint at {host}",
            self.settings.method.title()
        )
    }

    async fn authorization(&self) -> Result<Option<Secret>, Unavailable> {
        match &self.settings.authorization {
            Authorization::None => Ok(None),
            Authorization::Value(secret) => Ok(Some(secret.clone())),
            Authorization::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) if !text.trim().is_empty() => Ok(Some(Secret::new(text.trim()))),
                Ok(_) => Err(Unavailable::new(
                    Reason::TokenFileUnreadable,
                    format!("{AUTHORIZATION_TOKEN_FILE} {} is empty", path.display()),
                )),
                Err(error) => Err(Unavailable::new(
                    if error.kind() == std::io::ErrorKind::NotFound {
                        Reason::TokenFileMissing
                    } else {
                        Reason::TokenFileUnreadable
                    },
                    format!(
                        "unable to read {AUTHORIZATION_TOKEN_FILE} {}: {error}. {}",
                        path.display(),
                        match self.settings.method {
                            Method::PodIdentity =>
                                "If the pod was created before its Pod Identity association, recreate the pod",
                            _ => "Set the variable to the file that the container platform writes",
                        }
                    ),
                )),
            },
        }
    }

    async fn request(&self) -> Result<Material, Unavailable> {
        let authorization = self.authorization().await?;
        let mut headers = vec![("accept", "application/json")];
        if let Some(secret) = &authorization {
            headers.push(("authorization", secret.expose()));
        }
        let response = self
            .http
            .get(&self.settings.uri, &headers)
            .await
            .map_err(|error| {
                Unavailable::new(
                    Reason::ContainerEndpointUnreachable,
                    format!("no response from {}: {error}", self.endpoint()),
                )
            })?;
        if let Some(date) = &response.date {
            self.clock.observe_server_date(date);
        }
        if response.status == 200
            && let Ok(credentials) = serde_json::from_slice::<EndpointCredentials>(&response.body)
        {
            return self.keys(credentials);
        }
        let error = self.explain(response.status, &response.body);
        Err(match &authorization {
            Some(secret) => error.scrubbed(secret),
            None => error,
        })
    }

    fn keys(&self, credentials: EndpointCredentials) -> Result<Material, Unavailable> {
        let end = credentials
            .expiration
            .map(|text| {
                DateTime::from_str(&text, Format::DateTimeWithOffset)
                    .ok()
                    .and_then(|end| SystemTime::try_from(end).ok())
                    .ok_or_else(|| {
                        Unavailable::new(
                            Reason::ContainerEndpointRefused,
                            format!(
                                "{} returned an Expiration that is not a date",
                                self.endpoint()
                            ),
                        )
                    })
            })
            .transpose()?;
        Ok(Material::Keys(Credentials::new(
            credentials.access_key_id,
            credentials.secret_access_key.expose(),
            credentials.token.map(|token| token.expose().to_owned()),
            end,
            "Container",
        )))
    }

    fn explain(&self, status: u16, body: &[u8]) -> Unavailable {
        let error = serde_json::from_slice::<EndpointError>(body).unwrap_or_default();
        let detail = match (error.code, error.message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => "no error message".to_owned(),
        };
        let reason = if status >= 500 {
            Reason::ContainerEndpointUnreachable
        } else {
            Reason::ContainerEndpointRefused
        };
        let fix = match self.settings.method {
            Method::PodIdentity => {
                "Associate the ServiceAccount with a role (aws eks create-pod-identity-association) whose trust policy allows sts:AssumeRole and sts:TagSession for pods.eks.amazonaws.com"
            }
            _ => {
                "Set taskRoleArn in the task definition to a role whose trust policy allows ecs-tasks.amazonaws.com"
            }
        };
        Unavailable::new(
            reason,
            format!(
                "{} returned HTTP status {status}: {detail}. {fix}",
                self.endpoint()
            ),
        )
    }
}

impl Source for Container {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.request())
    }

    fn watched(&self) -> Vec<Watched> {
        match &self.settings.authorization {
            Authorization::File(path) => vec![Watched::when_failing(path)],
            Authorization::None | Authorization::Value(_) => Vec::new(),
        }
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(
            Reason::ContainerEndpointUnreachable,
            format!("timeout while waiting for {}", self.endpoint()),
        )
    }

    fn fix(&self) -> &'static str {
        "The endpoint returns the same credentials until shortly before they expire; if the role's sessions were revoked, restart the task or pod"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[track_caller]
    fn settings(variables: &[(&str, &str)]) -> Result<ContainerSettings, SettingsError> {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        ContainerSettings::from_env(&environment).map(Option::unwrap)
    }

    #[test]
    fn relative_uris_use_the_ecs_agent_and_override_full_uris() {
        let settings = settings(&[
            (RELATIVE_URI, "/v2/credentials/4f2a7c1e"),
            (FULL_URI, "http://127.0.0.1/other"),
        ])
        .unwrap();
        assert_eq!(settings.uri, "http://169.254.170.2/v2/credentials/4f2a7c1e");
        assert_eq!(settings.variable(), RELATIVE_URI);
    }

    #[test]
    fn permits_plain_http_only_from_loopback_and_the_link_local_agents() {
        for (uri, allowed) in [
            ("https://credentials.example/get", true),
            ("http://127.0.0.1:1338/get", true),
            ("http://127.1.2.3/get", true),
            ("http://localhost/get", true),
            ("http://[::1]:80/get", true),
            ("http://169.254.170.2/get", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://169.254.170.24/get", false),
            ("http://credentials.example/get", false),
            ("http://127.0.0.1.example/get", false),
            ("http://10.0.0.1/get", false),
            ("ftp://127.0.0.1/get", false),
            ("/get", false),
            ("not a uri", false),
        ] {
            let outcome = settings(&[(FULL_URI, uri)]);
            assert_eq!(outcome.is_ok(), allowed, "{uri}");
        }
    }

    #[tokio::test]
    async fn fetches_a_task_role_by_its_relative_uri() {
        let path = "/v2/credentials/4f2a7c1e-0000-4000-8000-1234567890ab";
        let role = "arn:aws:iam::123456789012:role/TaskRole";
        let trust = serde_json::json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole" }] });
        let mut config =
            awsdouble::Config::default().with_role(role, trust, awsdouble::allow_bedrock());
        config.containers = vec![awsdouble::config::Container {
            path: path.to_owned(),
            role_arn: role.to_owned(),
            authorization: None,
        }];
        let double = awsdouble::Double::start(config).await.unwrap();
        let mut settings = settings(&[(RELATIVE_URI, path)]).unwrap();
        // The agent's address does not exist on this machine: replace it with that of the double.
        settings.uri = settings.uri.replace(ECS_HOST, &double.url());
        let container = Container {
            settings,
            http: Http::new(),
            clock: Clock::new(aws_types::sdk_config::SharedTimeSource::default()),
        };
        let material = container.fetch().await.unwrap();
        assert!(material.expires_at().is_some());
        let call = double.calls().remove(0);
        assert_eq!((call.path.as_str(), call.status), (path, Some(200)));
        let Material::Keys(keys) = material else {
            panic!("expected access keys for a task role");
        };
        assert_eq!(call.issued.unwrap().access_key_id, keys.access_key_id());
    }
}
