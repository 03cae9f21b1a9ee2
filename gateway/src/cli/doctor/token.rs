//! Checks the claims of the identity token (from a file or from GitHub Actions), and prints a trust policy that admits
//! the token.
//!
//! The signature is not verified here, but by STS. Only claims leave this module, never the token.
//! Claims: <https://datatracker.ietf.org/doc/html/rfc7519#section-4.1>.

use std::time::{Duration, SystemTime};

use api::{RoleArn, iam, names};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use credentials::{Environment, Method};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::finding::Finding;

const CHECK: &str = "token";
/// Audience of tokens of EKS Pod Identity.
const POD_IDENTITY_AUDIENCE: &str = "pods.eks.amazonaws.com";
/// Remaining lifetime that is a warning. The kubelet renews a token when 20 % of its lifetime is left, and the
/// shortest lifetime is ten minutes.
const EXPIRES_SOON: Duration = Duration::from_mins(1);

#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Audience {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn list(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// Checks the token of the chosen method. None for methods without a token.
pub(super) async fn check(
    method: Method,
    environment: &dyn Environment,
    now: SystemTime,
) -> Option<Finding> {
    let variable = match method {
        Method::GitHubActions => return github(environment, now).await,
        Method::WebIdentity => "AWS_WEB_IDENTITY_TOKEN_FILE",
        Method::PodIdentity => "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        _ => return None,
    };
    let path = environment.get(variable)?;
    let path = path.trim();
    let token = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            return Some(Finding::error(
                CHECK,
                format!("failed to read {path} ({variable}): {error}"),
                "mount the projected ServiceAccount token there so that the gateway's user can read it \
                 (fsGroup for a non-root user)",
            ));
        }
    };
    let Some(claims) = claims(&token) else {
        return Some(Finding::error(
            CHECK,
            format!("{path} does not contain a JSON Web Token"),
            "make the kubelet (or your identity provider) write the token, and nothing else, to that file",
        ));
    };
    Some(match method {
        Method::PodIdentity => pod_identity(&claims, now),
        _ => web_identity(&claims, environment, now),
    })
}

async fn github(environment: &dyn Environment, now: SystemTime) -> Option<Finding> {
    let token = match credentials::github_identity_token(environment).await? {
        Ok(token) => token,
        Err(problem) => {
            return Some(Finding::error(
                CHECK,
                problem.message,
                "give the workflow job the permission `id-token: write`",
            ));
        }
    };
    Some(match claims(&token) {
        Some(claims) => web_identity(&claims, environment, now),
        None => Finding::error(
            CHECK,
            "the response of ACTIONS_ID_TOKEN_REQUEST_URL does not contain a JSON Web Token",
            "let GitHub set ACTIONS_ID_TOKEN_REQUEST_URL: remove it from the job's own variables",
        ),
    })
}

fn claims(token: &str) -> Option<Claims> {
    let payload = token.trim().split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Summary of the claims for messages.
fn summary(claims: &Claims, now: SystemTime) -> String {
    let expiry = remaining(claims, now).map_or_else(
        || "no expiry".to_owned(),
        |left| format!("expires in {} s", left.as_secs()),
    );
    format!(
        "issuer {}, audience {}, subject {}, {expiry}",
        claims.iss,
        claims.aud.list().join(" and "),
        claims.sub
    )
}

fn remaining(claims: &Claims, now: SystemTime) -> Option<Duration> {
    let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp?))?;
    Some(end.duration_since(now).unwrap_or_default())
}

/// A finding if the token has expired or expires soon. Checked first, because an expired token fails in any case.
fn expiry(claims: &Claims, now: SystemTime) -> Option<Finding> {
    let left = remaining(claims, now)?;
    if left.is_zero() {
        return Some(Finding::error(
            CHECK,
            format!("the token has expired ({})", summary(claims, now)),
            "check why the file is not renewed: the kubelet renews a projected token, but not a copy of it",
        ));
    }
    (left < EXPIRES_SOON).then(|| {
        Finding::warning(
            CHECK,
            format!("the token is about to expire ({})", summary(claims, now)),
            "run doctor again in a minute; if the token is still the same, check the process that renews it",
        )
    })
}

fn web_identity(claims: &Claims, environment: &dyn Environment, now: SystemTime) -> Finding {
    if let Some(finding) = expiry(claims, now) {
        return finding.with_details(trust(claims, environment));
    }
    let audiences = claims.aud.list();
    let is_sts = |audience: &String| audience.starts_with(names::STS_AUDIENCE);
    let finding = if !claims.iss.starts_with("https://") {
        Finding::error(
            CHECK,
            format!("STS accepts only https issuers ({})", summary(claims, now)),
            "give the cluster an https issuer (--service-account-issuer of the API server) and register it in IAM",
        )
    } else if audiences.iter().any(is_sts) {
        Finding::ok(CHECK, summary(claims, now))
    } else {
        Finding::warning(
            CHECK,
            format!(
                "the audience is not {} ({})",
                names::STS_AUDIENCE,
                summary(claims, now)
            ),
            format!(
                "request audience {} in the projected volume, or register the token's audience at the IAM OIDC provider",
                names::STS_AUDIENCE
            ),
        )
    };
    finding.with_details(trust(claims, environment))
}

/// The trust policy that lets the token assume the role of the environment.
fn trust(claims: &Claims, environment: &dyn Environment) -> Option<String> {
    let role: RoleArn = environment.get("AWS_ROLE_ARN")?.trim().parse().ok()?;
    let audience = claims.aud.list().first()?;
    let trust = iam::Trust::web_identity(
        role.arn().partition(),
        role.arn().account(),
        &claims.iss,
        audience,
        vec![claims.sub.clone()],
    );
    let policy = iam::trust_policy(&trust).ok()?;
    Some(format!(
        "Trust policy for {role} that admits this token:\n{policy}"
    ))
}

fn pod_identity(claims: &Claims, now: SystemTime) -> Finding {
    let account = claims.sub.strip_prefix("system:serviceaccount:");
    let details = account
        .and_then(|account| account.split_once(':'))
        .and_then(|(namespace, name)| {
            let trust = iam::Trust::PodIdentity {
                namespace: namespace.to_owned(),
                service_accounts: vec![name.to_owned()],
                cluster_arn: None,
            };
            let policy = iam::trust_policy(&trust).ok()?;
            Some(format!("Trust policy for the role of this ServiceAccount's pod identity association:\n{policy}"))
        });
    if let Some(finding) = expiry(claims, now) {
        return finding.with_details(details);
    }
    let finding = if claims
        .aud
        .list()
        .iter()
        .any(|audience| audience == POD_IDENTITY_AUDIENCE)
    {
        Finding::ok(CHECK, summary(claims, now))
    } else {
        Finding::error(
            CHECK,
            format!(
                "the audience is not {POD_IDENTITY_AUDIENCE} ({})",
                summary(claims, now)
            ),
            "let EKS set AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: remove it from the pod's own settings and recreate the pod",
        )
    };
    finding.with_details(details)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::doctor::finding::Level;

    const NOW: u64 = 1_800_000_000;

    async fn checked(payload: &serde_json::Value) -> Finding {
        let encoded = URL_SAFE_NO_PAD.encode(payload.to_string());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            format!("eyJhbGciOiJSUzI1NiJ9.{encoded}.c2VjcmV0c2ln\n"),
        )
        .unwrap();
        let environment = BTreeMap::from([
            (
                "AWS_WEB_IDENTITY_TOKEN_FILE".to_owned(),
                file.path().to_str().unwrap().to_owned(),
            ),
            (
                "AWS_ROLE_ARN".to_owned(),
                "arn:aws-us-gov:iam::123456789012:role/R".to_owned(),
            ),
        ]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let finding = check(Method::WebIdentity, &environment, now).await.unwrap();
        let shown = format!("{finding:?}");
        assert!(
            !shown.contains("c2VjcmV0c2ln") && !shown.contains(&encoded),
            "{shown}"
        );
        finding
    }

    fn token(changes: &[(&str, serde_json::Value)]) -> serde_json::Value {
        let mut claims = serde_json::json!({
            "iss": "https://oidc.example/id/1",
            "sub": "system:serviceaccount:team-a:chat",
            "aud": ["sts.amazonaws.com"],
            "exp": NOW + 3600,
        });
        for (name, value) in changes {
            claims[name] = value.clone();
        }
        claims
    }

    #[tokio::test]
    async fn valid_token_is_ok_with_a_matching_trust_policy() {
        let finding = checked(&token(&[])).await;
        assert_eq!(finding.level, Level::Ok, "{finding:?}");
        assert!(finding.message.contains("expires in 3600 s"));
        let details = finding.details.unwrap();
        assert!(
            details.contains("arn:aws-us-gov:iam::123456789012:oidc-provider/oidc.example/id/1")
        );
        assert!(
            details.contains("\"oidc.example/id/1:sub\": \"system:serviceaccount:team-a:chat\"")
        );
    }

    #[tokio::test]
    async fn finding_names_the_problem_of_a_token() {
        for (changes, level, expected) in [
            (vec![("exp", (NOW - 1).into())], Level::Error, "expired"),
            (
                vec![("exp", (NOW + 10).into())],
                Level::Warning,
                "about to expire",
            ),
            (
                vec![("aud", "other".into())],
                Level::Warning,
                "audience is not",
            ),
            (vec![("iss", "http://x".into())], Level::Error, "only https"),
        ] {
            let finding = checked(&token(&changes)).await;
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.message.contains(expected), "{finding:?}");
            assert!(finding.fix.is_some());
        }
    }

    #[tokio::test]
    async fn file_without_a_token_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "AKIA-not-a-token").unwrap();
        for path in [file.path().to_str().unwrap(), "/nowhere/token"] {
            let environment =
                BTreeMap::from([("AWS_WEB_IDENTITY_TOKEN_FILE".to_owned(), path.to_owned())]);
            let finding = check(Method::WebIdentity, &environment, SystemTime::UNIX_EPOCH)
                .await
                .unwrap();
            assert_eq!(finding.level, Level::Error);
            assert!(!finding.message.contains("AKIA"), "{finding:?}");
        }
    }
}
