//! STS: the two AssumeRole calls over the SDK's client, and AWS's errors in this crate's words.
//!
//! Regional endpoints unless one is configured. The SDK's retries, cache and clock are switched off: the
//! refresher has its own. Error codes: <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

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
        http::SharedHttpClient, interceptors::context::BeforeDeserializationInterceptorContextRef,
        orchestrator::HttpResponse,
    },
};
use aws_types::request_id::RequestId;

use crate::{
    clock::Clock,
    http::{CONNECT_TIMEOUT, READ_TIMEOUT},
    secret::{Secret, scrub},
    unavailable::{Reason, Unavailable, causes},
};

/// Time for one whole call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where and how STS is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StsSettings {
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) fips: bool,
    pub(crate) dual_stack: bool,
}

/// A role to assume, with the parameters of `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRoleLink {
    /// ARN of the role.
    pub role_arn: String,
    /// 2–64 characters of `[\w+=,.@-]`; absent: the settings' session name.
    pub session_name: Option<String>,
    /// Value the trust policy asks for in `sts:ExternalId`.
    pub external_id: Option<String>,
    /// Seconds, 900–43200; absent: an hour. AWS limits role chaining to an hour.
    pub duration_seconds: Option<u32>,
}

/// The client, with what the calls have in common.
#[derive(Clone, Debug)]
pub(crate) struct Sts {
    base: aws_sdk_sts::config::Builder,
    anonymous: Client,
    session_name: String,
    /// For messages.
    place: String,
}

/// Learns AWS's time from each answer, also from refusals.
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
        http: SharedHttpClient,
        clock: &Clock,
    ) -> Self {
        let mut base = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(http)
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
            place: settings
                .endpoint
                .clone()
                .unwrap_or_else(|| format!("STS in {region}")),
        }
    }

    /// `sts:AssumeRoleWithWebIdentity`: unsigned, the token is the proof.
    pub(crate) async fn assume_role_with_web_identity(
        &self,
        role: &AssumeRoleLink,
        token: &Secret,
    ) -> Result<Credentials, Unavailable> {
        let answer = self
            .anonymous
            .assume_role_with_web_identity()
            .role_arn(&role.role_arn)
            .role_session_name(self.session_name_for(role))
            .set_duration_seconds(duration(role))
            .web_identity_token(token.expose())
            .send()
            .await
            .map_err(|error| {
                let mut problem = self.explain("sts:AssumeRoleWithWebIdentity", role, &error);
                problem.message = scrub(&problem.message, token);
                problem
            })?;
        self.credentials(answer.credentials, "WebIdentity")
    }

    /// `sts:AssumeRole`, signed with `base`.
    pub(crate) async fn assume_role(
        &self,
        base: Credentials,
        role: &AssumeRoleLink,
    ) -> Result<Credentials, Unavailable> {
        let config = self.base.clone().credentials_provider(base).build();
        let answer = Client::from_conf(config)
            .assume_role()
            .role_arn(&role.role_arn)
            .role_session_name(self.session_name_for(role))
            .set_external_id(role.external_id.clone())
            .set_duration_seconds(duration(role))
            .send()
            .await
            .map_err(|error| self.explain("sts:AssumeRole", role, &error))?;
        self.credentials(answer.credentials, "AssumeRole")
    }

    fn session_name_for<'a>(&'a self, role: &'a AssumeRoleLink) -> &'a str {
        role.session_name.as_deref().unwrap_or(&self.session_name)
    }

    fn credentials(
        &self,
        answer: Option<types::Credentials>,
        provider: &'static str,
    ) -> Result<Credentials, Unavailable> {
        let no_credentials =
            |what| Unavailable::new(Reason::StsFault, format!("{} answered {what}", self.place));
        let answer = answer.ok_or_else(|| no_credentials("without credentials"))?;
        let end = SystemTime::try_from(answer.expiration)
            .map_err(|_| no_credentials("with an expiration no clock can show"))?;
        Ok(Credentials::new(
            answer.access_key_id,
            answer.secret_access_key,
            Some(answer.session_token),
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
        let (reason, said) = refusal(error);
        let advice = advice(reason, call);
        Unavailable::new(
            reason,
            format!(
                "{call} of {} at {}: {said}{advice}",
                role.role_arn, self.place
            ),
        )
    }
}

fn duration(role: &AssumeRoleLink) -> Option<i32> {
    role.duration_seconds
        .and_then(|seconds| i32::try_from(seconds).ok())
}

/// AWS's code in our words, and what AWS said with its request id.
pub(crate) fn refusal<E>(error: &SdkError<E, HttpResponse>) -> (Reason, String)
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(refused) => {
            let status = refused.raw().status().as_u16();
            let code = refused.err().code();
            let mut said = match (code, refused.err().message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                (None, _) => format!("no answer of STS, with HTTP status {status}"),
            };
            if let Some(id) = error.request_id() {
                said = format!("{said} (request id {id})");
            }
            (reason_of(code, status), said)
        }
        SdkError::TimeoutError(_) => (Reason::StsUnreachable, "no answer in time".to_owned()),
        SdkError::DispatchFailure(_) => (Reason::StsUnreachable, causes(error)),
        SdkError::ConstructionFailure(_) => (Reason::InvalidRequest, causes(error)),
        // The text could quote the body, and a body that is not understood may hold keys.
        _ => (Reason::StsFault, "the answer is not one of STS".to_owned()),
    }
}

fn reason_of(code: Option<&str>, status: u16) -> Reason {
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

/// The way out, as a sentence to append.
fn advice(reason: Reason, call: &str) -> &'static str {
    let web_identity = call.ends_with("WithWebIdentity");
    match reason {
        Reason::AccessDenied if web_identity => {
            ". The role's trust policy must allow this call to the token's identity provider, with its subject and audience as conditions"
        }
        Reason::AccessDenied => {
            ". The role's trust policy must allow the caller (and its external id, if it asks for one), and the caller needs sts:AssumeRole on the role"
        }
        Reason::InvalidIdentityToken => {
            ". The account needs an IAM OIDC provider for the token's issuer, with the token's audience as client id"
        }
        Reason::ExpiredToken if web_identity => {
            ". Whatever writes the token file has stopped renewing it"
        }
        Reason::InvalidCredentials => ". The base credentials are wrong, deleted or deactivated",
        Reason::RegionDisabled => {
            ". Activate STS for this region in the account, or set another AWS_REGION"
        }
        Reason::StsUnreachable => {
            ". Check the network path, DNS and AWS_ENDPOINT_URL_STS; private subnets need an STS VPC endpoint"
        }
        _ => "",
    }
}
