//! One call of one target: with credentials that live, and once more when AWS says that they do not.
//!
//! An expired session or a wrong clock is healed here, once each; whether any other refusal is worth
//! another try is `retry.rs`'s decision.

use std::time::Duration;

use bedrock::{Class, ServiceError};
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::{call::refused, operation::Operation, sign};
use crate::http::client::Client;
use crate::{
    http::error::{GatewayError, Original, causes},
    pipeline::{record::Calls, route::Target},
};

/// How long a request waits for credentials that are on their way.
pub(super) const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest error body that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A call of one target.
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a Client,
    pub(crate) credentials: &'a Handle,
    /// How long credentials that are not there are waited for.
    pub(crate) timeout: Duration,
    pub(crate) target: &'a Target,
    pub(crate) operation: Operation,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
}

impl Exchange<'_> {
    /// Sends the request until AWS says yes or no to what it asks for.
    ///
    /// # Errors
    /// What AWS said, or that nothing could be sent.
    pub(crate) async fn perform(
        &self,
        calls: &mut Calls,
    ) -> Result<Response<Incoming>, GatewayError> {
        let mut credentials = self.credentials().await?;
        let mut renewed = false;
        let mut clock_corrected = false;
        loop {
            let response = self.send(&credentials).await?;
            if response.status().is_success() {
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
                    self.again(calls, &error);
                    tracing::warn!(
                        request_id = calls.request_id(),
                        "AWS says that the session has expired, fetching new credentials"
                    );
                    credentials = self.credentials.replace(&credentials).await?;
                }
                Class::ClockSkew
                    if !clock_corrected
                        && date.is_some_and(|date| self.credentials.observe_server_date(&date)) =>
                {
                    clock_corrected = true;
                    self.again(calls, &error);
                }
                _ => return Err(refused(error, self.target, Some(original))),
            }
        }
    }

    /// Writes down a refusal after which the same call is made once more.
    fn again(&self, calls: &mut Calls, error: &ServiceError) {
        calls.refused(self.target, &error.name, error.request_id.as_deref());
        calls.begin(self.target, || self.target.url(self.operation).ok());
    }

    /// The current credentials; at the start, or when they ran out, those that come within a while.
    async fn credentials(&self) -> Result<ActiveCredentials, GatewayError> {
        match self.credentials.current() {
            Err(_) if !self.timeout.is_zero() => {
                Ok(self.credentials.wait_ready(self.timeout).await?)
            }
            current => Ok(current?),
        }
    }

    async fn send(
        &self,
        credentials: &ActiveCredentials,
    ) -> Result<Response<Incoming>, GatewayError> {
        let now = self.credentials.now();
        let request = sign::request(
            self.target,
            self.operation,
            self.headers,
            self.body,
            credentials,
            now,
        )?;
        let endpoint = request
            .uri()
            .authority()
            .map_or_else(String::new, ToString::to_string);
        self.client
            .request(request)
            .await
            .map_err(|error| GatewayError::Unreachable {
                endpoint,
                cause: causes(&error),
            })
    }
}

async fn read_error(response: Response<Incoming>) -> (ServiceError, Original) {
    let (parts, body) = response.into_parts();
    // A body that does not come leaves the headers, which say most.
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
