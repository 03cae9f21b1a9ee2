//! A request to Bedrock: tries the targets in order until one responds.
//!
//! Retries and failover happen here only, before any byte of the response reaches the client. A stream counts as
//! started with its first event: an exception in its place is a rejection like any other.

use std::{pin::pin, sync::Arc, time::Duration};

use api::config::Guardrail;
use bedrock::apis::{BedrockApi, Protocol};
use dialects::translation::ClientGuardrail;
use http::HeaderMap;
use tokio::time::timeout;

use super::{
    attribution::{self, Attribution, Origin},
    aws_credentials::AwsCredentials,
    call_record::CallRecord,
    failover::{Attempt, Responded, fail_over, hedged},
    guardrail,
    operation::{Framing, Operation},
    response::{Content, UpstreamResponse, receive, request_id},
    retry::RetryBudget,
    s3_sources,
    send::{CREDENTIALS_TIMEOUT, Exchange},
    target::{Target, Targets},
    words::Words,
};
use crate::{
    http::{
        client::Client,
        error::{GatewayError, Result},
        payload::Payload,
    },
    measure::{self, Step},
};

/// A request translated for one target, with the state for encoding its response.
#[derive(Debug)]
pub(crate) struct Prepared<C> {
    pub(crate) operation: Operation,
    /// Additional headers; `content-type` and `accept` override the operation's.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
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
    /// Time limit until the first event of a stream, while another target is left.
    pub(crate) first_token: Option<Duration>,
    /// Time without a first event after which a stream is also requested from the next target.
    pub(crate) hedge: Option<Duration>,
    pub(crate) targets: &'a Targets,
    pub(crate) retries: &'a RetryBudget,
    /// The guardrail that the configuration forces.
    pub(crate) guardrail: Option<&'a Guardrail>,
    /// The S3 objects that requests can refer to, as patterns of their URIs.
    pub(crate) s3_sources: &'a [String],
    /// What the gateway says about the origin of requests.
    pub(crate) attribution: Option<&'a Attribution>,
    pub(crate) prepare: P,
}

impl<C> Prepared<C> {
    /// A request without additional headers and warnings.
    pub(crate) fn new(operation: Operation, body: impl Into<Payload>, context: C) -> Self {
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
        (body, stream): (Payload, bool),
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
        let is_stream = first.operation.framing() != Framing::Whole;
        let hedge = self.hedge.filter(|_| is_stream);
        let next = hedge.and_then(|after| Some((self.targets.without_first()?, after)));
        // Pinned here, since a timeout would move it.
        let response = pin!(async {
            match next {
                None => self.try_targets(self.targets, first, calls).await,
                // Apart, since it needs twice the memory.
                Some(next) => Box::pin(self.hedge(next, first, calls)).await,
            }
        });
        match timeout(self.timeout, response).await {
            Ok(result) => result,
            Err(_elapsed) => Err(GatewayError::Timeout {
                seconds: self.timeout.as_secs(),
            }),
        }
    }

    /// The request as Bedrock gets it: with the forced guardrail, and with the gateway's attribution instead of the client's.
    fn checked<C>(
        &self,
        target: &Target,
        mut prepared: Prepared<C>,
        calls: &CallRecord,
    ) -> Result<Prepared<C>> {
        guardrail::enforce(self.guardrail, target, &mut prepared)?;
        let words = Words::of(prepared.body.pieces());
        if words.s3 {
            s3_sources::check(self.s3_sources, prepared.body.whole())?;
        }
        let origin = Origin {
            attribution: self.attribution,
            project: target.project.as_deref(),
            caller: &calls.client,
            request_id: &calls.request_id,
        };
        attribution::mark(&mut prepared, words.attribution, &origin)?;
        Ok(prepared)
    }

    /// Tries the targets, and at the same time those after the first if it has no first event in time.
    async fn hedge<C>(
        &self,
        (next, after): (Targets, Duration),
        first: Prepared<C>,
        calls: &mut CallRecord,
    ) -> Result<UpstreamResponse<C>>
    where
        P: Fn(&Target) -> Result<Prepared<C>>,
    {
        let mut other_calls = calls.fork();
        let second = async {
            let prepared = (self.prepare)(&next.first)?;
            self.try_targets(&next, prepared, &mut other_calls).await
        };
        let first = self.try_targets(self.targets, first, calls);
        let is_allowed = || self.retries.withdraw();
        let (result, is_second) = hedged(after, first, is_allowed, second).await;
        if is_second {
            calls.join(other_calls);
        }
        result
    }

    async fn try_targets<C>(
        &self,
        targets: &Targets,
        first: Prepared<C>,
        calls: &mut CallRecord,
    ) -> Result<UpstreamResponse<C>>
    where
        P: Fn(&Target) -> Result<Prepared<C>>,
    {
        let request_id = calls.request_id.clone();
        let mut attempts = Attempts {
            prepared: measure::step(Step::Check, || self.checked(&targets.first, first, calls))?,
            call: self,
            calls,
            credentials_timeout: CREDENTIALS_TIMEOUT,
        };
        let is_stream = attempts.prepared.operation.framing() != Framing::Whole;
        let first_event_timeout = self.first_token.filter(|_| is_stream);
        let Responded {
            response: (headers, content),
            target,
            began,
        } = fail_over(
            (targets, self.retries),
            first_event_timeout,
            &request_id,
            &mut attempts,
        )
        .await?;
        if matches!(content, Content::Whole(_)) {
            target.succeeded(began);
        }
        let prepared = attempts.prepared;
        Ok(UpstreamResponse {
            target,
            began,
            content,
            headers,
            warnings: prepared.warnings,
            context: prepared.context,
        })
    }
}

/// The attempts of one request.
struct Attempts<'c, 'a, P, C> {
    call: &'c Call<'a, P>,
    /// The request for the current target.
    prepared: Prepared<C>,
    calls: &'c mut CallRecord,
    credentials_timeout: Duration,
}

impl<P, C> Attempt for Attempts<'_, '_, P, C>
where
    P: Fn(&Target) -> Result<Prepared<C>>,
{
    type Response = (HeaderMap, Content);

    async fn send(&mut self, target: &Arc<Target>) -> Result<Self::Response> {
        let operation = self.prepared.operation;
        let exchange = Exchange {
            client: self.call.client,
            credentials: self.call.credentials.for_target(target)?,
            // Only the first target waits for credentials, and never for those of a role.
            timeout: match &target.assume_role {
                None => self.credentials_timeout,
                Some(_) => Duration::ZERO,
            },
            target,
            operation,
            headers: &self.prepared.headers,
            body: &self.prepared.body,
        };
        self.calls.begin(target, operation);
        let response = exchange.perform(self.calls).await?;
        self.calls.accepted(response.headers());
        let (headers, content) = receive(operation, target, response).await?;
        self.calls.responded(target, request_id(&headers));
        Ok((headers, content))
    }

    fn prepare(&mut self, target: &Target) -> Result<()> {
        let prepared = (self.call.prepare)(target)?;
        self.prepared = self.call.checked(target, prepared, self.calls)?;
        Ok(())
    }

    fn failed(&mut self, target: &Target, error: &GatewayError) {
        self.calls.failed(target, error);
        if matches!(error, GatewayError::Credentials(_)) {
            self.credentials_timeout = Duration::ZERO;
        }
    }
}
