//! The chosen credentials method, the reason, and conflicting settings, for the log, `doctor` and metrics.

use std::fmt;

use serde::{Serialize, Serializer};

/// The source of the base credentials. [`Choice::assume_roles`] lists the roles that are then assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `AWS_BEARER_TOKEN_BEDROCK`: a Bedrock API key; requests are not signed.
    BedrockApiKey,
    /// A mounted Secret: one file per variable, read again when it is replaced.
    SecretDirectory,
    /// `AWS_ROLE_ARN` with `AWS_WEB_IDENTITY_TOKEN_FILE` (IRSA and other OIDC providers).
    WebIdentity,
    /// `AWS_ROLE_ARN` with an identity token requested from GitHub Actions.
    GitHubActions,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    StaticKeys,
    /// The same variables, set by Lambda for the function's execution role.
    Lambda,
    /// A profile in the shared config and credentials files.
    Profile,
    /// The container credentials endpoint of ECS or Fargate (task role).
    Container,
    /// The EKS Pod Identity agent.
    PodIdentity,
    /// The instance metadata service of EC2 (instance profile).
    InstanceProfile,
}

/// The result of reading the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The source of the base credentials.
    pub method: Method,
    /// The settings that selected the method: names of variables and files, never secret values.
    pub because: String,
    /// ARNs of the roles that are assumed after the base credentials, in order.
    pub assume_roles: Vec<String>,
    /// Settings that are not used because another method has precedence; each entry names both methods and the fix.
    pub conflicts: Vec<String>,
}

impl Method {
    /// Stable identifier for metrics and machine-readable output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BedrockApiKey => "bearer",
            Self::SecretDirectory => "secret-directory",
            Self::WebIdentity => "web-identity",
            Self::GitHubActions => "github-actions",
            Self::StaticKeys => "static",
            Self::Lambda => "lambda",
            Self::Profile => "profile",
            Self::Container => "container",
            Self::PodIdentity => "pod-identity",
            Self::InstanceProfile => "imds",
        }
    }

    /// Human-readable name.
    pub fn title(self) -> &'static str {
        match self {
            Self::BedrockApiKey => "Bedrock API key",
            Self::SecretDirectory => "mounted Secret",
            Self::WebIdentity => "web identity",
            Self::GitHubActions => "GitHub Actions identity",
            Self::StaticKeys => "static keys",
            Self::Lambda => "Lambda execution role",
            Self::Profile => "shared configuration profile",
            Self::Container => "ECS task role",
            Self::PodIdentity => "EKS Pod Identity",
            Self::InstanceProfile => "EC2 instance profile",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method)?;
        for role in &self.assume_roles {
            write!(f, ", then {role}")?;
        }
        write!(f, " ({})", self.because)
    }
}
