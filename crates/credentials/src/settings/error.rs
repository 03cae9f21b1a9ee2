//! Errors in the settings.

/// An error in the settings; each message names the variable and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Only one of the two parts of an access key is set.
    #[error("{set} is set but {missing} is not: set both, or unset both to use a role")]
    KeysIncomplete {
        /// The variable that is set.
        set: &'static str,
        /// The variable that is not set.
        missing: &'static str,
    },
    /// A web identity token without a role.
    #[error(
        "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not: set AWS_ROLE_ARN to a role that trusts the token's issuer"
    )]
    RoleMissing,
    /// The value is not the ARN of a role.
    #[error("{setting} is {value:?}: expected arn:PARTITION:iam::123456789012:role/NAME")]
    RoleArn {
        /// The variable or the configuration field.
        setting: String,
        /// The invalid value.
        value: String,
    },
    /// The value is not a role session name.
    #[error("{setting} is {value:?}: expected 2 to 64 characters of letters, digits and _+=,.@-")]
    SessionName {
        /// The variable or the configuration field.
        setting: String,
        /// The invalid value.
        value: String,
    },
    /// The value is not an external ID.
    #[error(
        "{setting} is not a valid external ID: expected 2 to 1224 characters of letters, digits and _+=,.@:/-"
    )]
    ExternalId {
        /// The variable or the configuration field.
        setting: String,
    },
    /// The duration is outside of STS's limits.
    #[error("{setting} is {value:?}: expected a number of seconds from 900 to 43200")]
    Duration {
        /// The variable or the configuration field.
        setting: String,
        /// The invalid value.
        value: String,
    },
    /// STS is needed, and no region is set.
    #[error(
        "no AWS region is set, and STS needs one: set AWS_REGION (for example AWS_REGION=us-east-1), or region in the configuration or the profile"
    )]
    RegionMissing,
    /// The settings combine a Bedrock API key with a role to assume.
    #[error(
        "a Bedrock API key (AWS_BEARER_TOKEN_BEDROCK) cannot assume roles: unset it, or remove assumeRoles and each target's assumeRole"
    )]
    BearerWithRoles,
    /// The address is not a permitted container credentials endpoint.
    #[error("{variable} is invalid: {problem}")]
    ContainerUri {
        /// The variable.
        variable: &'static str,
        /// The error and the fix.
        problem: String,
    },
    /// The value is not an endpoint URL.
    #[error("{setting} is {value:?}: expected a URL such as https://sts.us-east-1.amazonaws.com")]
    Endpoint {
        /// The variable or the configuration field.
        setting: String,
        /// The invalid value.
        value: String,
    },
    /// The selected profile cannot be used.
    #[error("profile {name:?}: {problem}")]
    Profile {
        /// The profile.
        name: String,
        /// What is missing, and the fix.
        problem: String,
    },
    /// No method is configured.
    #[error(
        "no AWS credentials are configured and AWS_EC2_METADATA_DISABLED is true: set AWS_PROFILE, AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY"
    )]
    NothingConfigured,
}
