//! STS: the AssumeRole calls and `GetCallerIdentity` with the SDK's client, and the mapping of AWS's errors to
//! [`Reason`]s.
//!
//! Uses the regional endpoint unless an endpoint is configured. The SDK's retries, cache and clock skew correction
//! are disabled, because the refresher has its own. Error codes:
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::{
    Client,
    config::{
        BehaviorVersion, ConfigBag, IdentityCache, Intercept, Region, RuntimeComponents,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    types,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::context::BeforeDeserializationInterceptorContextRef,
        orchestrator::HttpResponse,
    },
};
use aws_types::request_id::RequestId;

use crate::{
    clock::Clock,
    http::{CONNECT_TIMEOUT, READ_TIMEOUT, sdk_client},
    proxies::Proxies,
    secret::Secret,
    unavailable::{Reason, Unavailable, causes},
};

/// Timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of `GetCallerIdentity`, which delays the first credentials in networks without access to STS.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(3);

/// Region and endpoint of STS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StsSettings {
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) fips: bool,
    pub(crate) dual_stack: bool,
    pub(crate) proxies: Proxies,
}

/// A role to assume, with the parameters of `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRoleLink {
    /// ARN of the role.
    pub role_arn: String,
    /// Role session name, 2–64 characters of `[\w+=,.@-]`; default: the session name of the settings.
    pub session_name: Option<String>,
    /// The `sts:ExternalId` that the trust policy requires.
    pub external_id: Option<String>,
    /// Session duration in seconds, 900–43200; default: one hour. AWS limits chained roles to one hour.
    pub duration_seconds: Option<u32>,
    /// Session tags, key and value. `AssumeRoleWithWebIdentity` has no parameter for them: there, tags are claims of the token.
    pub tags: Vec<(String, String)>,
}

/// The STS client and the common parameters of the calls.
#[derive(Clone, Debug)]
pub(crate) struct Sts {
    base: aws_sdk_sts::config::Builder,
    anonymous: Client,
    session_name: String,
    /// The endpoint or region, for messages.
    endpoint: String,
}

/// What STS says about credentials.
#[derive(Debug)]
pub(crate) enum CallerCheck {
    /// AWS knows the caller.
    Accepted,
    /// AWS does not accept the credentials.
    Refused(Unavailable),
    /// STS gave no result: no connection, a server error, or a policy of a VPC endpoint.
    Unknown(Unavailable),
}

/// Updates the clock correction from each response, including error responses.
#[derive(Debug)]
struct ObserveDate(Clock);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for ObserveDate {
    fn name(&self) -> &'static str {
        "ObserveDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.0.observe_server_date(date);
        }
        Ok(())
    }
}

impl Sts {
    pub(crate) fn new(
        settings: &StsSettings,
        region: &str,
        session_name: &str,
        clock: &Clock,
    ) -> Self {
        let mut base = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(sdk_client(&settings.proxies))
            .time_source(clock.clone())
            .disable_clock_skew_correction(true)
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .read_timeout(READ_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(IdentityCache::no_cache())
            .use_fips(settings.fips)
            .use_dual_stack(settings.dual_stack)
            .interceptor(ObserveDate(clock.clone()));
        base.set_endpoint_url(settings.endpoint.clone());
        Self {
            anonymous: Client::from_conf(base.clone().build()),
            base,
            session_name: session_name.to_owned(),
            endpoint: settings
                .endpoint
                .clone()
                .unwrap_or_else(|| format!("STS in {region}")),
        }
    }

    /// Calls `sts:AssumeRoleWithWebIdentity`, unsigned: the token authenticates the call.
    pub(crate) async fn assume_role_with_web_identity(
        &self,
        role: &AssumeRoleLink,
        token: &Secret,
    ) -> Result<Credentials, Unavailable> {
        let response = self
            .anonymous
            .assume_role_with_web_identity()
            .role_arn(&role.role_arn)
            .role_session_name(self.session_name_for(role))
            .set_duration_seconds(duration(role))
            .web_identity_token(token.expose())
            .send()
            .await
            .map_err(|error| {
                let error = self.explain("sts:AssumeRoleWithWebIdentity", role, &error);
                error.scrubbed(token)
            })?;
        self.credentials(response.credentials, "WebIdentity")
    }

    /// Calls `sts:AssumeRole`, signed with `base`.
    pub(crate) async fn assume_role(
        &self,
        base: Credentials,
        role: &AssumeRoleLink,
    ) -> Result<Credentials, Unavailable> {
        let config = self.base.clone().credentials_provider(base).build();
        let response = Client::from_conf(config)
            .assume_role()
            .role_arn(&role.role_arn)
            .role_session_name(self.session_name_for(role))
            .set_external_id(role.external_id.clone())
            .set_duration_seconds(duration(role))
            .set_tags(tags(role))
            .send()
            .await
            .map_err(|error| self.explain("sts:AssumeRole", role, &error))?;
        self.credentials(response.credentials, "AssumeRole")
    }

    /// Calls `sts:GetCallerIdentity`, which needs no permission.
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>
    pub(crate) async fn verify(&self, keys: &Credentials, clock: &Clock) -> CallerCheck {
        let before = clock.skew_millis();
        match self.caller_identity(keys).await {
            // The response has corrected the clock, which was the reason of the refusal.
            CallerCheck::Refused(_) if clock.skew_millis() != before => {
                self.caller_identity(keys).await
            }
            check => check,
        }
    }

    async fn caller_identity(&self, keys: &Credentials) -> CallerCheck {
        let config = self.base.clone().credentials_provider(keys.clone()).build();
        let client = Client::from_conf(config);
        let call = client.get_caller_identity().send();
        let (reason, detail) = match tokio::time::timeout(IDENTITY_TIMEOUT, call).await {
            Ok(Ok(_)) => return CallerCheck::Accepted,
            Ok(Err(error)) => classify(&error),
            Err(_elapsed) => (Reason::StsUnreachable, "timeout".to_owned()),
        };
        let refusal = Unavailable::new(
            reason,
            format!("sts:GetCallerIdentity at {}: {detail}", self.endpoint),
        )
        .with_public(public("sts:GetCallerIdentity", reason, &detail));
        match reason {
            Reason::InvalidCredentials | Reason::ExpiredToken => CallerCheck::Refused(refusal),
            _ => CallerCheck::Unknown(refusal),
        }
    }

    fn session_name_for<'a>(&'a self, role: &'a AssumeRoleLink) -> &'a str {
        role.session_name.as_deref().unwrap_or(&self.session_name)
    }

    fn credentials(
        &self,
        credentials: Option<types::Credentials>,
        provider: &'static str,
    ) -> Result<Credentials, Unavailable> {
        let invalid = |what| {
            Unavailable::new(
                Reason::StsFault,
                format!("{} returned {what}", self.endpoint),
            )
        };
        let credentials = credentials.ok_or_else(|| invalid("no credentials"))?;
        let end = SystemTime::try_from(credentials.expiration)
            .map_err(|_| invalid("an expiration that is out of range"))?;
        Ok(Credentials::new(
            credentials.access_key_id,
            credentials.secret_access_key,
            Some(credentials.session_token),
            Some(end),
            provider,
        ))
    }

    fn explain<E>(
        &self,
        call: &str,
        role: &AssumeRoleLink,
        error: &SdkError<E, HttpResponse>,
    ) -> Unavailable
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let (reason, detail) = classify(error);
        let fix = fix(reason, call, &detail);
        Unavailable::new(
            reason,
            format!(
                "{call} for {} at {}: {detail}{fix}",
                role.role_arn, self.endpoint
            ),
        )
        .with_public(public(call, reason, &detail))
    }
}

/// The session tags of a role, if any. A tag without a key or a value cannot be built, and is left out.
fn tags(role: &AssumeRoleLink) -> Option<Vec<types::Tag>> {
    let tag = |(key, value): &(String, String)| {
        let tag = types::Tag::builder().key(key).value(value);
        tag.build().ok()
    };
    (!role.tags.is_empty()).then(|| role.tags.iter().filter_map(tag).collect())
}

fn duration(role: &AssumeRoleLink) -> Option<i32> {
    role.duration_seconds
        .and_then(|seconds| i32::try_from(seconds).ok())
}

/// What clients see of an error of STS. The causes of a failed connection name hosts and are left out.
pub(crate) fn public(call: &str, reason: Reason, detail: &str) -> String {
    match reason {
        Reason::StsUnreachable => format!("{call}: {}", reason.summary()),
        _ => format!("{call}: {detail}"),
    }
}

/// The [`Reason`] of an error, and AWS's error code and message with the request ID.
pub(crate) fn classify<E>(error: &SdkError<E, HttpResponse>) -> (Reason, String)
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(response) => {
            let status = response.raw().status().as_u16();
            let code = response.err().code();
            // After a wrong signature, further lines repeat the request with its session token.
            let message = response
                .err()
                .message()
                .and_then(|text| text.lines().next());
            let mut detail = match (code, message) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                (None, _) => format!("HTTP status {status}, not a valid STS response"),
            };
            if let Some(id) = error.request_id() {
                detail = format!("{detail} (request id {id})");
            }
            (reason_for(code, status), detail)
        }
        SdkError::TimeoutError(_) => (Reason::StsUnreachable, "timeout".to_owned()),
        SdkError::DispatchFailure(_) => (Reason::StsUnreachable, causes(error)),
        SdkError::ConstructionFailure(_) => (Reason::InvalidRequest, causes(error)),
        // The SDK's text could quote the body, and an unexpected body may contain keys.
        _ => (Reason::StsFault, "not a valid STS response".to_owned()),
    }
}

fn reason_for(code: Option<&str>, status: u16) -> Reason {
    match code.unwrap_or_default() {
        "AccessDenied" | "AccessDeniedException" => Reason::AccessDenied,
        "InvalidIdentityToken" => Reason::InvalidIdentityToken,
        "ExpiredTokenException" | "ExpiredToken" => Reason::ExpiredToken,
        "IDPCommunicationError" => Reason::IdpCommunicationError,
        "IDPRejectedClaim" => Reason::IdpRejectedClaim,
        "RegionDisabledException" => Reason::RegionDisabled,
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => Reason::Throttled,
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => Reason::InvalidCredentials,
        _ if status == 429 => Reason::Throttled,
        _ if status >= 500 => Reason::StsFault,
        "" => Reason::StsFault,
        _ => Reason::InvalidRequest,
    }
}

fn is_about_duration(detail: &str) -> bool {
    detail.contains("DurationSeconds exceeds")
}

/// The fix, as a sentence to append.
fn fix(reason: Reason, call: &str, detail: &str) -> &'static str {
    let web_identity = call.ends_with("WithWebIdentity");
    match reason {
        Reason::AccessDenied if web_identity => {
            ". The role's trust policy must allow this action for the token's identity provider, with conditions that match the token's subject and audience"
        }
        Reason::AccessDenied => {
            ". The role's trust policy must allow the caller (with the external id, if the policy requires one), and the caller needs sts:AssumeRole on the role; with session tags, both need sts:TagSession"
        }
        Reason::InvalidIdentityToken => {
            ". The account needs an IAM OIDC provider for the token's issuer, with the token's audience as client ID"
        }
        Reason::ExpiredToken if web_identity => {
            ". The kubelet or another process that writes the token file has stopped renewing it"
        }
        Reason::InvalidCredentials => ". The base credentials are invalid, deleted or inactive",
        Reason::InvalidRequest if is_about_duration(detail) => {
            ". Lower AWS_ROLE_DURATION_SECONDS or durationSeconds, or raise the role's maximum session duration; a role that another role assumes has at most one hour"
        }
        Reason::RegionDisabled => {
            ". Activate STS for this region in the account, or set another AWS_REGION"
        }
        Reason::StsUnreachable => {
            ". Check the network path, DNS and AWS_ENDPOINT_URL_STS; private subnets need an STS VPC endpoint"
        }
        _ => "",
    }
}
