//! Why there are no credentials: a stable word for metrics and conditions, and a sentence for people.
//!
//! AWS's own error codes and messages are kept; secrets never get in here.

use std::{fmt, time::SystemTime};

use serde::{Serialize, Serializer};

/// Stable words. Metrics, conditions and alerts may depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The first exchange has not finished yet.
    Pending,
    /// The last credentials ended and no new ones could be had.
    Expired,
    /// AWS refused credentials that are still within their time, and the source has no others.
    Rejected,
    /// The caller may not assume the role: trust policy or permissions.
    AccessDenied,
    /// STS could not validate the web identity token (issuer, audience, signature).
    InvalidIdentityToken,
    /// The web identity token, or the session that assumes the next role, has expired.
    ExpiredToken,
    /// STS could not reach the identity provider.
    IdpCommunicationError,
    /// The identity provider refused the claim.
    IdpRejectedClaim,
    /// STS is switched off in this region for the account.
    RegionDisabled,
    /// The base credentials of an AssumeRole call are wrong.
    InvalidCredentials,
    /// STS found the request itself wrong (session name, duration, ARN).
    InvalidRequest,
    /// Too many requests.
    Throttled,
    /// No answer from STS: network, name, certificate or time-out.
    StsUnreachable,
    /// STS answered with a fault of its own, or with something else than it should.
    StsFault,
    /// The token file of the web identity is not there.
    TokenFileMissing,
    /// The token file is there but empty or unreadable.
    TokenFileUnreadable,
    /// GitHub did not hand out an identity token.
    TokenRequestFailed,
    /// No answer from the container credential endpoint (ECS, EKS Pod Identity).
    ContainerEndpointUnreachable,
    /// The container credential endpoint refused.
    ContainerEndpointRefused,
    /// No answer from the instance metadata service.
    InstanceMetadataUnreachable,
    /// The instance has no role.
    NoInstanceRole,
    /// The shared configuration files do not lead to credentials.
    ProfileInvalid,
    /// A `credential_process` or an SSO session of the profile failed.
    ProfileFailed,
    /// A key file of the secret directory is missing or empty.
    KeysMissing,
    /// No method of the default chain has credentials.
    NoCredentials,
}

impl Reason {
    /// The word itself.
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
            Self::NoInstanceRole => "NoInstanceRole",
            Self::ProfileInvalid => "ProfileInvalid",
            Self::ProfileFailed => "ProfileFailed",
            Self::KeysMissing => "KeysMissing",
            Self::NoCredentials => "NoCredentials",
        }
    }

    /// Whether the source was out of order, so that trying again soon may help without anyone doing anything.
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

/// No credentials to sign with, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("no AWS credentials: {reason}: {message}")]
pub struct Unavailable {
    /// The stable word.
    pub reason: Reason,
    /// For people: what happened, with AWS's own message and request id where there is one, and a way out.
    pub message: String,
}

impl Unavailable {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn pending(role: Option<&String>) -> Self {
        let of_role = role.map_or_else(String::new, |role| format!(" of {role}"));
        Self::new(
            Reason::Pending,
            format!("the first credentials{of_role} are still being fetched"),
        )
    }

    /// Credentials ended; `cause` is why there are no newer ones.
    pub(crate) fn expired(at: SystemTime, cause: Option<&Self>) -> Self {
        let at = timestamp(at);
        match cause {
            Some(cause) => Self::new(
                cause.reason,
                format!("{} (the last credentials expired at {at})", cause.message),
            ),
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
