//! Mistakes in the settings.

/// What is wrong with the settings; each names the variable and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// One half of a key pair.
    #[error("{set} is set but {missing} is not: set both, or unset both to use a role")]
    KeysIncomplete {
        /// The variable that is there.
        set: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A token without a role.
    #[error(
        "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not: set AWS_ROLE_ARN to the role that trusts the token"
    )]
    RoleMissing,
    /// Not the ARN of a role.
    #[error("{setting} is {value:?}: expected arn:PARTITION:iam::123456789012:role/NAME")]
    RoleArn {
        /// Variable or field.
        setting: String,
        /// What it holds.
        value: String,
    },
    /// Not a session name.
    #[error("{setting} is {value:?}: expected 2 to 64 characters of letters, digits and _+=,.@-")]
    SessionName {
        /// Variable or field.
        setting: String,
        /// What it holds.
        value: String,
    },
    /// Not an external id.
    #[error(
        "{setting} is not an external id: expected 2 to 1224 characters of letters, digits and _+=,.@:/-"
    )]
    ExternalId {
        /// Variable or field.
        setting: String,
    },
    /// Not a duration STS takes.
    #[error("{setting} is {value:?}: expected a number of seconds from 900 to 43200")]
    Duration {
        /// Variable or field.
        setting: String,
        /// What it holds.
        value: String,
    },
    /// STS is needed, and nobody said where.
    #[error(
        "no region to call STS in: set AWS_REGION, for example AWS_REGION=us-east-1, or region in the configuration or the profile"
    )]
    RegionMissing,
    /// A role that an API key cannot assume.
    #[error(
        "a role is to be assumed, but AWS_BEARER_TOKEN_BEDROCK cannot assume roles: unset it, or remove AWS_ROLE_ARN, assumeRoles and each target's assumeRole"
    )]
    BearerWithRoles,
    /// An address keys must not be fetched from.
    #[error("{variable} cannot be used: {problem}")]
    ContainerUri {
        /// The variable.
        variable: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Not an endpoint.
    #[error("{setting} is {value:?}: expected a URL such as https://sts.us-east-1.amazonaws.com")]
    Endpoint {
        /// Variable or field.
        setting: String,
        /// What it holds.
        value: String,
    },
    /// Nothing to get credentials from.
    #[error(
        "no AWS credentials are configured and AWS_EC2_METADATA_DISABLED is true: set AWS_PROFILE, AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY"
    )]
    NothingConfigured,
}
