//! Why AWS credentials are unavailable: a stable reason for metrics and conditions, and a message for people.
//!
//! Messages keep AWS's error codes and messages and never contain secrets. They are for the operators of the gateway
//! and may name files, profiles, endpoints and roles; [`Unavailable::for_clients`] is the part for its clients.

use std::{fmt, time::SystemTime};

use serde::{Serialize, Serializer};

use crate::{
    choice::Method,
    secret::{Secret, scrub},
};

/// Stable reasons; metrics, conditions and alerts may depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The first fetch has not finished yet.
    Pending,
    /// The last credentials expired and were not renewed.
    Expired,
    /// AWS rejected credentials that have not expired, and the source provides no others.
    Rejected,
    /// The trust policy or the caller's permissions do not allow the role to be assumed.
    AccessDenied,
    /// STS could not validate the web identity token (issuer, audience, signature).
    InvalidIdentityToken,
    /// The web identity token, or the credentials that assume the next role, have expired.
    ExpiredToken,
    /// STS could not reach the identity provider.
    IdpCommunicationError,
    /// The identity provider rejected the claim.
    IdpRejectedClaim,
    /// STS is not activated in this region for the account.
    RegionDisabled,
    /// The base credentials of an AssumeRole call are invalid.
    InvalidCredentials,
    /// STS rejected the request as invalid (session name, duration, ARN).
    InvalidRequest,
    /// Too many requests.
    Throttled,
    /// No response from STS: network, DNS, certificate or timeout.
    StsUnreachable,
    /// STS returned a server error or an invalid response.
    StsFault,
    /// The web identity token file does not exist.
    TokenFileMissing,
    /// The token file is empty or not readable.
    TokenFileUnreadable,
    /// GitHub did not return an identity token.
    TokenRequestFailed,
    /// No response from the container credentials endpoint (ECS, EKS Pod Identity).
    ContainerEndpointUnreachable,
    /// The container credentials endpoint rejected the request.
    ContainerEndpointRefused,
    /// No response from the instance metadata service.
    InstanceMetadataUnreachable,
    /// The instance metadata service rejected the request: it is disabled, or a firewall denies it.
    InstanceMetadataRefused,
    /// The instance has no role.
    NoInstanceRole,
    /// The shared config files do not provide credentials.
    ProfileInvalid,
    /// The `credential_process` or the SSO session of the profile failed.
    ProfileFailed,
    /// A key file in the secret directory is missing or empty.
    KeysMissing,
    /// No method of the default chain provides credentials.
    NoCredentials,
}

impl Reason {
    /// The stable reason as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Expired => "Expired",
            Self::Rejected => "Rejected",
            Self::AccessDenied => "AccessDenied",
            Self::InvalidIdentityToken => "InvalidIdentityToken",
            Self::ExpiredToken => "ExpiredToken",
            Self::IdpCommunicationError => "IdpCommunicationError",
            Self::IdpRejectedClaim => "IdpRejectedClaim",
            Self::RegionDisabled => "RegionDisabled",
            Self::InvalidCredentials => "InvalidCredentials",
            Self::InvalidRequest => "InvalidRequest",
            Self::Throttled => "Throttled",
            Self::StsUnreachable => "StsUnreachable",
            Self::StsFault => "StsFault",
            Self::TokenFileMissing => "TokenFileMissing",
            Self::TokenFileUnreadable => "TokenFileUnreadable",
            Self::TokenRequestFailed => "TokenRequestFailed",
            Self::ContainerEndpointUnreachable => "ContainerEndpointUnreachable",
            Self::ContainerEndpointRefused => "ContainerEndpointRefused",
            Self::InstanceMetadataUnreachable => "InstanceMetadataUnreachable",
            Self::InstanceMetadataRefused => "InstanceMetadataRefused",
            Self::NoInstanceRole => "NoInstanceRole",
            Self::ProfileInvalid => "ProfileInvalid",
            Self::ProfileFailed => "ProfileFailed",
            Self::KeysMissing => "KeysMissing",
            Self::NoCredentials => "NoCredentials",
        }
    }

    /// A description without details of the configuration.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Pending => "waiting for the first credentials",
            Self::Expired => "the last credentials have expired",
            Self::Rejected => "AWS refused the credentials",
            Self::AccessDenied => "AWS does not allow the role to be assumed",
            Self::InvalidIdentityToken => "AWS does not accept the web identity token",
            Self::ExpiredToken => "the web identity token or the base credentials have expired",
            Self::IdpCommunicationError => "AWS cannot reach the token's identity provider",
            Self::IdpRejectedClaim => "the identity provider rejected the token",
            Self::RegionDisabled => "STS is not activated in the region",
            Self::InvalidCredentials => "the base credentials are invalid",
            Self::InvalidRequest => "STS rejected a parameter of the role",
            Self::Throttled => "AWS throttles requests for credentials",
            Self::StsUnreachable => "no response from STS",
            Self::StsFault => "STS returned an error",
            Self::TokenFileMissing => "the token file does not exist",
            Self::TokenFileUnreadable => "the token file is empty or not readable",
            Self::TokenRequestFailed => "GitHub returned no identity token",
            Self::ContainerEndpointUnreachable => {
                "no response from the container credentials endpoint"
            }
            Self::ContainerEndpointRefused => {
                "the container credentials endpoint rejected the request"
            }
            Self::InstanceMetadataUnreachable => "no response from the instance metadata service",
            Self::InstanceMetadataRefused => "the instance metadata service rejects requests",
            Self::NoInstanceRole => "the instance has no role",
            Self::ProfileInvalid => "the profile provides no credentials",
            Self::ProfileFailed => "the sign-in or the process of the profile failed",
            Self::KeysMissing => "the mounted Secret lacks a key",
            Self::NoCredentials => "no source provides credentials",
        }
    }

    /// Whether the source was unavailable, so that a retry may succeed without a change.
    pub fn is_outage(self) -> bool {
        matches!(
            self,
            Self::Pending
                | Self::IdpCommunicationError
                | Self::Throttled
                | Self::StsUnreachable
                | Self::StsFault
                | Self::TokenRequestFailed
                | Self::ContainerEndpointUnreachable
                | Self::InstanceMetadataUnreachable
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// No valid AWS credentials are available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("no AWS credentials: {reason}: {message}")]
pub struct Unavailable {
    /// The stable reason.
    pub reason: Reason,
    /// For operators: the error with AWS's message and request ID, if any, and the fix.
    pub message: String,
    /// For clients: AWS's error, or else a description of the reason.
    #[serde(skip)]
    public: String,
}

impl Unavailable {
    /// A problem whose message names no secret; clients see the description of the reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            public: reason.summary().to_owned(),
        }
    }

    /// Sets what clients see: the name of the call and AWS's error.
    pub(crate) fn with_public(mut self, public: impl Into<String>) -> Self {
        self.public = public.into();
        self
    }

    /// Replaces every occurrence of `secret`.
    pub(crate) fn scrubbed(mut self, secret: &Secret) -> Self {
        self.message = scrub(&self.message, secret);
        self.public = scrub(&self.public, secret);
        self
    }

    /// The part for clients: AWS's error with its request ID, or a description of the reason. It names no file, profile
    /// or endpoint. AWS's own text may name the caller and the role; while the first credentials are pending, it names the
    /// role.
    pub fn for_clients(&self) -> &str {
        &self.public
    }

    /// Appends the fix.
    pub(crate) fn and(mut self, fix: &str) -> Self {
        self.message = format!("{}. {fix}", self.message);
        self
    }

    pub(crate) fn pending(role: Option<&String>) -> Self {
        let for_role = role.map_or_else(String::new, |role| format!(" for {role}"));
        let text = format!("waiting for the first credentials{for_role}");
        Self::new(Reason::Pending, text.as_str()).with_public(text)
    }

    /// AWS rejected credentials with the error `why`.
    pub(crate) fn rejected(method: Method, why: &str, fix: &str) -> Self {
        Self::new(
            Reason::Rejected,
            format!("AWS refused the credentials ({method}): {why}. {fix}"),
        )
        .with_public(format!("AWS refused the gateway's credentials: {why}"))
    }

    /// The credentials expired; `cause` is the last refresh error.
    pub(crate) fn expired(at: SystemTime, cause: Option<&Self>) -> Self {
        let at = timestamp(at);
        match cause {
            Some(cause) => Self::new(
                cause.reason,
                format!("{} (the last credentials expired at {at})", cause.message),
            )
            .with_public(cause.public.as_str()),
            None => Self::new(
                Reason::Expired,
                format!("the last credentials expired at {at}"),
            ),
        }
    }
}

/// An error and its causes by their texts alone. `Debug` of the SDK's errors quotes whole responses, and those of
/// credential endpoints hold keys.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// RFC 3339, seconds, UTC.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
    aws_smithy_types::DateTime::from_secs(seconds)
        .fmt(aws_smithy_types::date_time::Format::DateTime)
        .unwrap_or_else(|_| format!("{seconds} s after 1970"))
}
