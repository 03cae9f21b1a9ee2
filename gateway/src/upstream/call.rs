//! A request to Bedrock: tries the targets in order until one responds.
//!
//! Retries and failover happen here only, before any byte of the response reaches the client. A stream counts as
//! started with its first event: an exception in its place is a rejection like any other.

use std::{sync::Arc, time::Duration};

use api::config::Guardrail;
use bedrock::apis::{BedrockApi, Protocol};
use bytes::Bytes;
use dialects::translation::ClientGuardrail;
use http::HeaderMap;
use tokio::time::{sleep, timeout};

use super::{
    attribution,
    aws_credentials::AwsCredentials,
    call_record::CallRecord,
    guardrail,
    operation::Operation,
    response::{UpstreamResponse, receive, request_id},
    retry::{Next, Plan, RetryBudget},
    s3_sources,
    send::{CREDENTIALS_TIMEOUT, Exchange},
    target::{Target, Targets},
};
use crate::http::{
    client::Client,
    error::{GatewayError, Result},
};

/// A request translated for one target, with the state for encoding its response.
#[derive(Debug)]
pub(crate) struct Prepared<C> {
    pub(crate) operation: Operation,
    /// Additional headers; `content-type` and `accept` override the operation's.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Parts of the request that were dropped or changed for this target.
    pub(crate) warnings: Vec<String>,
    /// The state for encoding the response.
    pub(crate) context: C,
}

/// A request to one of several targets. `prepare` translates it for a target, since models differ in their input.
#[derive(Debug)]
pub(crate) struct Call<'a, P> {
    pub(crate) client: &'a Client,
    pub(crate) credentials: &'a AwsCredentials,
    /// Time limit of all attempts.
    pub(crate) timeout: Duration,
    pub(crate) targets: &'a Targets,
    pub(crate) retries: &'a RetryBudget,
    /// The guardrail that the configuration forces.
    pub(crate) guardrail: Option<&'a Guardrail>,
    /// The S3 objects that requests can refer to, as patterns of their URIs.
    pub(crate) s3_sources: &'a [String],
    pub(crate) prepare: P,
}

impl<C> Prepared<C> {
    /// A request without additional headers and warnings.
    pub(crate) fn new(operation: Operation, body: impl Into<Bytes>, context: C) -> Self {
        Self {
            operation,
            headers: HeaderMap::new(),
            body: body.into(),
            warnings: Vec::new(),
            context,
        }
    }

    /// A request in the client's own protocol.
    ///
    /// # Errors
    /// When the client sets a guardrail, and this API does not accept one.
    pub(crate) fn passthrough(
        forced: Option<&Guardrail>,
        client_guardrail: Option<&ClientGuardrail>,
        (api, protocol): (BedrockApi, Protocol),
        (body, stream): (Vec<u8>, bool),
        context: C,
    ) -> Result<Self> {
        let operation = Operation::Passthrough {
            api,
            protocol,
            stream,
        };
        let mut prepared = Self::new(operation, body, context);
        guardrail::apply(forced, client_guardrail, operation, &mut prepared.headers)?;
        Ok(prepared)
    }
}

impl<P> Call<'_, P> {
    /// Tries the targets, the first with the request `first`.
    ///
    /// # Errors
    /// The error of the last attempt, or a timeout.
    pub(crate) async fn perform<C>(
        &self,
        first: Prepared<C>,
        calls: &mut CallRecord,
    ) -> Result<UpstreamResponse<C>>
    where
        P: Fn(&Target) -> Result<Prepared<C>>,
    {
        match timeout(self.timeout, self.try_targets(first, calls)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(GatewayError::Timeout {
                seconds: self.timeout.as_secs(),
            }),
        }
    }

    /// The request as Bedrock gets it: with the forced guardrail, and without attribution by the client.
    fn checked<C>(&self, target: &Target, mut prepared: Prepared<C>) -> Result<Prepared<C>> {
        guardrail::enforce(self.guardrail, target, &mut prepared)?;
        s3_sources::check(self.s3_sources, &prepared.body)?;
        attribution::mark(&mut prepared)?;
        Ok(prepared)
    }

    async fn try_targets<C>(
        &self,
        first: Prepared<C>,
        calls: &mut CallRecord,
    ) -> Result<UpstreamResponse<C>>
    where
        P: Fn(&Target) -> Result<Prepared<C>>,
    {
        self.retries.deposit();
        let mut prepared = self.checked(&self.targets.first, first)?;
        let mut plan = Plan::new(self.targets.count());
        let mut index = 0;
        let mut credentials_timeout = CREDENTIALS_TIMEOUT;
        loop {
            let target = self.targets.get(index);
            let exchange = Exchange {
                client: self.client,
                credentials: self.credentials.for_target(target)?,
                // Only the first target waits for credentials, and never for those of a role.
                timeout: match &target.assume_role {
                    None => credentials_timeout,
                    Some(_) => Duration::ZERO,
                },
                target,
                operation: prepared.operation,
                headers: &prepared.headers,
                body: &prepared.body,
            };
            calls.begin(target, || target.url(prepared.operation).ok());
            let result = match exchange.perform(calls).await {
                Ok(response) => receive(prepared.operation, target, response).await,
                Err(error) => Err(error),
            };
            let error = match result {
                Ok((headers, content)) => {
                    calls.responded(target, request_id(&headers));
                    return Ok(UpstreamResponse {
                        target: Arc::clone(target),
                        content,
                        headers,
                        warnings: prepared.warnings,
                        context: prepared.context,
                    });
                }
                Err(error) => error,
            };
            calls.failed(target, &error);
            if matches!(error, GatewayError::Credentials(_)) {
                credentials_timeout = Duration::ZERO;
            }
            match plan.after(&error, fastrand::f64()) {
                Next::GiveUp => return Err(error),
                // A pause precedes a second attempt on a target; the budget is for those.
                Next::Try { wait, .. } if !wait.is_zero() && !self.retries.withdraw() => {
                    tracing::warn!(
                        request_id = calls.request_id,
                        reason = error.reason(),
                        "Bedrock call failed; not retried because too many calls fail"
                    );
                    return Err(error);
                }
                Next::Try { target: next, wait } => {
                    tracing::warn!(
                        request_id = calls.request_id,
                        model = target.model_id,
                        region = target.region.as_str(),
                        reason = error.reason(),
                        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        failover = next != index,
                        "Bedrock call failed; retrying"
                    );
                    sleep(wait).await;
                    if next != index {
                        let target = self.targets.get(next);
                        prepared = self.checked(target, (self.prepare)(target)?)?;
                    }
                    index = next;
                }
            }
        }
    }
}
