//! One call to one target, with current credentials.
//!
//! After an expired or unknown session, or a clock error, the call is repeated once with new credentials or a corrected clock;
//! `retry` decides about all other errors.

use std::time::Duration;

use bedrock::{Class, ServiceError};
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::{
    call_record::CallRecord, operation::Operation, response::refused, sign, target::Target,
};
use crate::{
    http::{
        client::Client,
        error::{GatewayError, Original, Result, causes},
        payload::Payload,
    },
    measure::{self, Step},
};

/// Time for which a request waits for the first credentials.
pub(super) const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest error body.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A call to one target.
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a Client,
    pub(crate) credentials: &'a Handle,
    /// Time to wait for credentials if none are available.
    pub(crate) timeout: Duration,
    pub(crate) target: &'a Target,
    pub(crate) operation: Operation,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Payload,
}

impl Exchange<'_> {
    /// Sends the request, again with new credentials or a corrected clock if AWS asks for it.
    ///
    /// # Errors
    /// AWS's error, or no connection.
    pub(crate) async fn perform(&self, calls: &mut CallRecord) -> Result<Response<Incoming>> {
        let mut credentials = self.credentials().await?;
        let mut renewed = false;
        let mut clock_corrected = false;
        loop {
            let correction = self.credentials.clock_correction();
            let response = self.send(&credentials).await?;
            if response.status().is_success() {
                self.credentials.accepted(&credentials);
                return Ok(response);
            }
            let date = response
                .headers()
                .get(header::DATE)
                .and_then(|date| date.to_str().ok())
                .map(ToOwned::to_owned);
            let (error, original) = read_error(response).await;
            match error.class() {
                Class::ExpiredCredentials if !renewed => {
                    renewed = true;
                    self.record_repeat(calls, &error);
                    tracing::warn!(
                        request_id = calls.request_id,
                        "AWS credentials expired; refreshing them"
                    );
                    let why = refusal(&error);
                    credentials = self.credentials.replace(&credentials, &why).await?;
                }
                Class::ClockSkew
                    if !clock_corrected
                        && date.is_some_and(|date| {
                            self.credentials.observe_server_date(&date);
                            // Another request can have corrected the clock since this one was signed.
                            self.credentials.clock_correction() != correction
                        }) =>
                {
                    clock_corrected = true;
                    self.record_repeat(calls, &error);
                }
                Class::Authentication
                    if !renewed
                        && error.is_unknown_session()
                        && credentials.expires_at().is_some() =>
                {
                    renewed = true;
                    let why = refusal(&error);
                    let region = self.target.region.as_str();
                    let Some(newer) = self
                        .credentials
                        .replace_unknown(&credentials, &why, region)
                        .await
                    else {
                        self.credentials.refused(&credentials, &why, region);
                        return Err(refused(error, self.target, Some(original)));
                    };
                    self.record_repeat(calls, &error);
                    tracing::warn!(
                        request_id = calls.request_id,
                        "AWS does not know the session; replaced it"
                    );
                    credentials = newer;
                }
                class => {
                    if matches!(class, Class::Authentication | Class::ExpiredCredentials) {
                        let region = self.target.region.as_str();
                        self.credentials
                            .refused(&credentials, &refusal(&error), region);
                    }
                    return Err(refused(error, self.target, Some(original)));
                }
            }
        }
    }

    /// Records a rejected call before it is repeated.
    fn record_repeat(&self, calls: &mut CallRecord, error: &ServiceError) {
        calls.rejected(self.target, &error.name, error.request_id.as_deref());
        calls.begin(self.target, self.operation);
    }

    /// The current credentials, or the next ones within the timeout if a retry may obtain them.
    async fn credentials(&self) -> Result<ActiveCredentials> {
        match self.credentials.current() {
            Err(_) if !self.timeout.is_zero() => Ok(self.credentials.settled(self.timeout).await?),
            current => Ok(current?),
        }
    }

    /// The host and port of the target, for messages.
    fn endpoint(&self) -> String {
        let url = self.target.url(self.operation).ok();
        let authority = url.as_ref().and_then(|url| url.authority());
        authority.map_or_else(String::new, ToString::to_string)
    }

    async fn send(&self, credentials: &ActiveCredentials) -> Result<Response<Incoming>> {
        let now = self.credentials.now();
        let request = measure::step(Step::Sign, || {
            sign::request(
                self.target,
                self.operation,
                self.headers,
                self.body,
                credentials,
                now,
            )
        })?;
        measure::part(Step::Client, self.client.request(request))
            .await
            .map_err(|error| GatewayError::Unreachable {
                endpoint: self.endpoint(),
                cause: causes(&error),
            })
    }
}

/// AWS's refusal of credentials, for messages.
fn refusal(error: &ServiceError) -> String {
    let id = error.request_id.as_deref();
    let id = id.map_or_else(String::new, |id| format!(" (request id {id})"));
    format!("{error}{id}")
}

async fn read_error(response: Response<Incoming>) -> (ServiceError, Original) {
    let (parts, body) = response.into_parts();
    // Without a body, the headers have the name of the error.
    let body = match Limited::new(body, MAX_ERROR_BYTES).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let error = ServiceError::from_http(parts.status, &parts.headers, &body);
    let original = Original {
        status: parts.status,
        headers: parts.headers,
        body,
    };
    (error, original)
}
