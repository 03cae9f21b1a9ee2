//! The container credential endpoint: task roles of ECS and Fargate, and EKS Pod Identity.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>. Read here and not with
//! the SDK's provider, which takes its settings from the process alone, keeps a newline at the end of the token
//! file, and drops what the endpoint says when it refuses.

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
    secret::{Secret, scrub},
    settings::SettingsError,
    sources::{Fetch, Source},
    unavailable::{Reason, Unavailable},
};

pub(crate) const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
pub(crate) const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const AUTHORIZATION_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const AUTHORIZATION_TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// Where relative URIs are looked up.
const ECS_HOST: &str = "http://169.254.170.2";
/// Plain HTTP is let through to these, and to loopback.
const LINK_LOCAL: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// Text that only the Pod Identity agent's address or its token's mount path contain.
const POD_IDENTITY_MARKS: [&str; 3] = ["169.254.170.23", "fd00:ec2::23", "pods.eks.amazonaws.com"];

/// How the endpoint is asked.
#[derive(Clone, Debug)]
pub(crate) struct ContainerSettings {
    pub(crate) uri: String,
    pub(crate) authorization: Authorization,
    pub(crate) method: Method,
}

/// What proves the container to the endpoint.
#[derive(Clone, Debug)]
pub(crate) enum Authorization {
    None,
    Value(Secret),
    /// Read at each fetch: the kubelet renews it.
    File(PathBuf),
}

/// Asks the endpoint at each fetch.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) settings: ContainerSettings,
    pub(crate) http: Http,
    pub(crate) clock: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
    expiration: Option<String>,
}

#[derive(Default, Deserialize)]
struct Refused {
    #[serde(alias = "Code")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl ContainerSettings {
    /// None when no container variable is set. The relative URI wins, as in the SDKs.
    pub(crate) fn from_env(environment: &dyn Environment) -> Result<Option<Self>, SettingsError> {
        let uri = match (
            value(environment, RELATIVE_URI),
            value(environment, FULL_URI),
        ) {
            (Some(relative), _) if relative.starts_with('/') => format!("{ECS_HOST}{relative}"),
            (Some(_), _) => {
                return Err(SettingsError::ContainerUri {
                    variable: RELATIVE_URI,
                    problem: "it must begin with a slash".to_owned(),
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

    /// Which variable led here.
    pub(crate) fn variable(&self) -> &'static str {
        if self.uri.starts_with(ECS_HOST) && self.method == Method::Container {
            RELATIVE_URI
        } else {
            FULL_URI
        }
    }
}

/// Keys must not travel in the clear beyond this host or the link-local agents.
fn checked_full_uri(uri: String) -> Result<String, SettingsError> {
    let wrong = |problem: &str| SettingsError::ContainerUri {
        variable: FULL_URI,
        problem: problem.to_owned(),
    };
    let parsed: http::Uri = uri.parse().map_err(|_| wrong("it is not a URI"))?;
    let host = parsed
        .host()
        .ok_or_else(|| wrong("it names no host"))?
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
            "plain http is allowed to loopback, 169.254.170.2, 169.254.170.23 and [fd00:ec2::23] only; use https",
        )),
        _ => Err(wrong("it must begin with http:// or https://")),
    }
}

impl Container {
    /// The address without its path, which may name the task.
    fn place(&self) -> String {
        let host = self
            .settings
            .uri
            .parse::<http::Uri>()
            .ok()
            .and_then(|uri| uri.authority().map(ToString::to_string))
            .unwrap_or_default();
        format!(
            "the credential endpoint of {} at {host}",
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
                        "{AUTHORIZATION_TOKEN_FILE} {} is unreadable: {error}. The pod may have been made before its Pod Identity association: delete it, its successor gets the file",
                        path.display()
                    ),
                )),
            },
        }
    }

    async fn ask(&self) -> Result<Material, Unavailable> {
        let authorization = self.authorization().await?;
        let mut headers = vec![("accept", "application/json")];
        if let Some(secret) = &authorization {
            headers.push(("authorization", secret.expose()));
        }
        let answer = self
            .http
            .get(&self.settings.uri, &headers)
            .await
            .map_err(|error| {
                Unavailable::new(
                    Reason::ContainerEndpointUnreachable,
                    format!("no answer from {}: {error}", self.place()),
                )
            })?;
        if let Some(date) = &answer.date {
            self.clock.observe_server_date(date);
        }
        if answer.status == 200
            && let Ok(granted) = serde_json::from_slice::<Granted>(&answer.body)
        {
            return self.keys(granted);
        }
        let mut refusal = self.refusal(answer.status, &answer.body);
        if let Some(secret) = &authorization {
            refusal.message = scrub(&refusal.message, secret);
        }
        Err(refusal)
    }

    fn keys(&self, granted: Granted) -> Result<Material, Unavailable> {
        let end = granted
            .expiration
            .map(|text| {
                DateTime::from_str(&text, Format::DateTimeWithOffset)
                    .ok()
                    .and_then(|end| SystemTime::try_from(end).ok())
                    .ok_or_else(|| {
                        Unavailable::new(
                            Reason::ContainerEndpointRefused,
                            format!("{} answered an Expiration that is no date", self.place()),
                        )
                    })
            })
            .transpose()?;
        Ok(Material::Keys(Credentials::new(
            granted.access_key_id,
            granted.secret_access_key.expose(),
            granted.token.map(|token| token.expose().to_owned()),
            end,
            "Container",
        )))
    }

    fn refusal(&self, status: u16, body: &[u8]) -> Unavailable {
        let said = serde_json::from_slice::<Refused>(body).unwrap_or_default();
        let said = match (said.code, said.message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => "no reason given".to_owned(),
        };
        let reason = if status >= 500 {
            Reason::ContainerEndpointUnreachable
        } else {
            Reason::ContainerEndpointRefused
        };
        let advice = match self.settings.method {
            Method::PodIdentity => {
                "Associate the ServiceAccount with a role (aws eks create-pod-identity-association) whose trust policy allows pods.eks.amazonaws.com sts:AssumeRole and sts:TagSession"
            }
            _ => {
                "Give the task definition a taskRoleArn whose trust policy allows ecs-tasks.amazonaws.com"
            }
        };
        Unavailable::new(
            reason,
            format!(
                "{} answered HTTP status {status}: {said}. {advice}",
                self.place()
            ),
        )
    }
}

impl Source for Container {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.ask())
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
            format!("no answer in time from {}", self.place()),
        )
    }

    fn way_out(&self) -> &'static str {
        "it hands out the same session until shortly before its end; if the role's sessions were revoked, restart the task or pod"
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
    fn relative_uris_belong_to_the_ecs_agent_and_win_over_full_ones() {
        let settings = settings(&[
            (RELATIVE_URI, "/v2/credentials/4f2a7c1e"),
            (FULL_URI, "http://127.0.0.1/other"),
        ])
        .unwrap();
        assert_eq!(settings.uri, "http://169.254.170.2/v2/credentials/4f2a7c1e");
        assert_eq!(settings.variable(), RELATIVE_URI);
    }

    #[test]
    fn keys_are_fetched_in_the_clear_from_this_host_and_the_link_local_agents_only() {
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
    async fn a_task_role_is_fetched_by_its_relative_uri() {
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
        // The agent's address is not of this machine; everything behind it is as set.
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
            panic!("a task role is no API key");
        };
        assert_eq!(call.issued.unwrap().access_key_id, keys.access_key_id());
    }
}
