//! Fixes for missing AWS credentials: by AWS's message, or else by the reason.

use credentials::{Reason, Unavailable};

use super::{PROVIDER_UNREACHABLE, STS_REGION, STS_THROTTLED, UNKNOWN_KEY, hint};

/// How to fix missing AWS credentials.
pub(crate) fn for_credentials(problem: &Unavailable) -> &'static str {
    hint("", problem.for_clients()).unwrap_or(match problem.reason {
        Reason::Pending => "The gateway has just started: try again in a few seconds.",
        Reason::Expired => "The credentials have expired and could not be renewed: `bedrock-gateway doctor` shows the reason.",
        Reason::Rejected | Reason::InvalidCredentials => UNKNOWN_KEY,
        Reason::AccessDenied => "The role's trust policy must allow the caller, and the caller needs permission to assume the role.",
        Reason::InvalidIdentityToken | Reason::IdpRejectedClaim => "AWS does not accept the web identity token: check its issuer, audience and subject (`bedrock-gateway doctor` shows them).",
        Reason::ExpiredToken => "The web identity token or the base credentials have expired: check the process that renews them.",
        Reason::IdpCommunicationError => PROVIDER_UNREACHABLE,
        Reason::RegionDisabled => STS_REGION,
        Reason::InvalidRequest => "STS rejected a parameter of the role: check session name, duration and role ARN.",
        Reason::Throttled => STS_THROTTLED,
        Reason::StsUnreachable => "The gateway cannot connect to STS: check the network path, DNS and the endpoint settings; private subnets need a VPC endpoint for sts. The gateway tries again.",
        Reason::StsFault => "STS failed: no change is needed, the gateway tries again. If the error persists, check the endpoint settings of STS and the AWS Health Dashboard.",
        Reason::TokenFileMissing | Reason::TokenFileUnreadable => "The gateway cannot read its token file: mount the token so that the gateway's user can read it.",
        Reason::TokenRequestFailed => "GitHub returned no identity token: give the job the permission `id-token: write`.",
        Reason::ContainerEndpointUnreachable | Reason::ContainerEndpointRefused => "The container credentials endpoint provides no credentials: check the task role (ECS), or the pod identity association and the agent (EKS).",
        Reason::InstanceMetadataUnreachable => "The instance metadata service does not respond: in a container, raise the hop limit of the instance to 2; outside EC2, configure another source of credentials.",
        Reason::InstanceMetadataRefused => {
            "The instance metadata service rejects requests: enable it for the instance, or remove the firewall rule that denies it to the gateway."
        }
        Reason::NoInstanceRole => "The instance has no role: attach an instance profile.",
        Reason::ProfileInvalid => "The AWS profile of the gateway provides no credentials: correct it in the shared AWS files.",
        Reason::ProfileFailed => "The AWS profile of the gateway provides no credentials: sign in again (`aws sso login`), or check its credential_process.",
        Reason::KeysMissing => "The gateway's Secret lacks a key: add AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK.",
        _ => "The gateway has no AWS credentials: configure a source of credentials.",
    })
}
