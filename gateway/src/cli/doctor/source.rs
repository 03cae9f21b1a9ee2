//! Checks the source of the credentials and obtains credentials, with a fix for each reason of a failure.

use std::{path::Path, time::Duration};

use api::{GatewayConfig, Region, RoleArn};
use credentials::{ActiveCredentials, Choice, Environment, Handle, Method, Reason, Unavailable};

use super::finding::{Finding, Findings, Level};
use crate::{cli::aws, config::Settings, http::hints};

/// Chooses the source of the credentials and checks the choice.
pub(super) fn choose(
    settings: &Settings,
    config: &GatewayConfig,
    region: Option<&Region>,
    findings: &mut Findings,
) -> Option<Choice> {
    let choice = match aws::credential_settings(settings, config, region) {
        Ok(settings) => settings.choice().clone(),
        Err(error) => {
            let fix = if lacks_github_token(settings.environment.as_ref()) {
                GITHUB_PERMISSION
            } else {
                "set or unset the named variable"
            };
            findings.add(Finding::error("source", error.to_string(), fix));
            return None;
        }
    };
    findings.add(Finding::ok("source", choice.to_string()));
    for conflict in &choice.conflicts {
        findings.add(Finding::warning(
            "source",
            conflict.clone(),
            "set or unset the named variables, so that nothing depends on precedence",
        ));
    }
    let in_kubernetes = settings
        .environment
        .get("KUBERNETES_SERVICE_HOST")
        .is_some();
    if choice.method == Method::InstanceProfile && in_kubernetes {
        findings.add(Finding::warning(
            "source",
            "the pod uses the instance profile of its node, so all pods of the node have the same permissions",
            "give the pod its own role with IRSA or EKS Pod Identity",
        ));
    }
    Some(choice)
}

/// Obtains credentials from the chosen source.
pub(super) async fn obtain(
    settings: &Settings,
    config: &GatewayConfig,
    region: &Region,
    choice: &Choice,
    timeout: Duration,
    findings: &mut Findings,
) -> Option<(Handle, ActiveCredentials)> {
    let handle = match aws::start(settings, config, Some(region)).await {
        Ok(handle) => handle,
        Err(error) => {
            let fix = if lacks_github_token(settings.environment.as_ref()) {
                GITHUB_PERMISSION
            } else {
                "set or unset the named variable, or correct the named profile or file"
            };
            findings.add(Finding::error("credentials", error.to_string(), fix));
            return None;
        }
    };
    match aws::first_credentials(&handle, timeout).await {
        Ok(credentials) => {
            let status = handle.status();
            let message = match status.seconds_to_expiry {
                Some(seconds) => format!(
                    "available; they expire in {seconds:.0} s and are refreshed before that"
                ),
                None => "available; they do not expire".to_owned(),
            };
            findings.add(Finding::ok("credentials", message));
            Some((handle, credentials))
        }
        Err(problem) => {
            let environment = settings.environment.as_ref();
            let token_is_wrong = findings
                .iter()
                .any(|finding| finding.check == "token" && finding.level == Level::Error);
            let fix = if token_is_wrong {
                "see the finding token".to_owned()
            } else {
                fix(&problem, choice, environment)
            };
            let message = format!("{}: {}", problem.reason, problem.message);
            findings.add(Finding::error("credentials", message, fix));
            None
        }
    }
}

const GITHUB_PERMISSION: &str = "give the workflow job the permission `id-token: write`: without it, GitHub Actions does not set \
     ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, and the role of AWS_ROLE_ARN cannot be assumed";

/// Whether this is a job of GitHub Actions that names a role and cannot request an identity token.
fn lacks_github_token(environment: &dyn Environment) -> bool {
    let has = |name| {
        environment
            .get(name)
            .is_some_and(|value| !value.trim().is_empty())
    };
    has("GITHUB_ACTIONS")
        && has("AWS_ROLE_ARN")
        && !has("ACTIONS_ID_TOKEN_REQUEST_URL")
        && !has("AWS_WEB_IDENTITY_TOKEN_FILE")
}

/// How to fix missing credentials, by reason.
fn fix(problem: &Unavailable, choice: &Choice, environment: &dyn Environment) -> String {
    let by_token = matches!(choice.method, Method::WebIdentity | Method::GitHubActions);
    let has_no_keys = matches!(choice.method, Method::InstanceProfile | Method::Container);
    if has_no_keys && lacks_github_token(environment) {
        return GITHUB_PERMISSION.to_owned();
    }
    let text = match problem.reason {
        // With a chain, the denied role can be a later one; its ARN is in the message.
        Reason::AccessDenied if by_token && choice.assume_roles.is_empty() => {
            "set the role's trust policy to the one that `doctor` prints for this token"
        }
        Reason::AccessDenied => {
            "name the caller (and the external ID) in the role's trust policy, and allow the caller sts:AssumeRole on the role: \
             `bedrock-gateway iam --kind trust` and `--kind chain` print both policies"
        }
        Reason::IdpCommunicationError => {
            "make the issuer's /.well-known/openid-configuration and JWKS reachable from the internet"
        }
        Reason::RegionDisabled => "activate STS for this region in the account settings of IAM",
        Reason::Throttled | Reason::StsFault | Reason::Pending => "try again in a minute",
        Reason::StsUnreachable => {
            "allow egress to the regional STS endpoint, or create a VPC endpoint for sts in private subnets"
        }
        Reason::TokenFileMissing | Reason::TokenFileUnreadable => {
            "mount the projected ServiceAccount token so that the gateway's user can read it"
        }
        Reason::TokenRequestFailed => "give the workflow job the permission `id-token: write`",
        Reason::ContainerEndpointUnreachable | Reason::ContainerEndpointRefused => {
            "check the task role (ECS), or the pod identity association and the DaemonSet of the agent (EKS)"
        }
        Reason::InstanceMetadataRefused => {
            "enable the instance metadata service (aws ec2 modify-instance-metadata-options --instance-id ID \
             --http-endpoint enabled), or remove the firewall rule that denies it to this process"
        }
        Reason::InstanceMetadataUnreachable if in_container(environment) => {
            "raise the metadata hop limit of the instance, because a limit of 1 drops responses to containers: \
             aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2"
        }
        Reason::InstanceMetadataUnreachable => {
            "on an EC2 instance, enable the instance metadata service; elsewhere, set up a source: AWS_PROFILE, access keys or a role"
        }
        Reason::NoInstanceRole => "attach an instance profile with a role to the instance",
        Reason::ProfileInvalid => {
            "correct the profile in the shared AWS files; `aws configure list --profile NAME` shows it"
        }
        Reason::ProfileFailed => {
            "sign in again (`aws sso login --profile NAME`), or run the profile's credential_process by hand"
        }
        Reason::KeysMissing => {
            "put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY into the mounted Secret"
        }
        Reason::NoCredentials => {
            "set up a source: AWS_PROFILE on a laptop, a role in AWS; the authentication guide lists all sources"
        }
        _ => hints::for_credentials(problem),
    };
    text.to_owned()
}

fn in_container(environment: &dyn Environment) -> bool {
    environment.get("KUBERNETES_SERVICE_HOST").is_some() || Path::new("/.dockerenv").exists()
}

/// The role that signs requests, if the settings name one.
pub(super) fn expected_role(
    config: &GatewayConfig,
    choice: &Choice,
    environment: &dyn Environment,
) -> Option<RoleArn> {
    if let Some(last) = choice.assume_roles.last() {
        return last.parse().ok();
    }
    if let Some(last) = config.assume_roles.last() {
        return Some(last.role_arn.clone());
    }
    let uses_token = matches!(choice.method, Method::WebIdentity | Method::GitHubActions);
    let role = environment.get("AWS_ROLE_ARN").filter(|_| uses_token)?;
    role.trim().parse().ok()
}
