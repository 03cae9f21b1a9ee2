//! A request for a model: admitted, routed, and prepared for each target that it is sent to.

use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use dialects::translation::{Head, RequestError, check_query, head_with, surrogates};
use http::HeaderMap;

use super::{
    active_config::ActiveConfig,
    admit::{Admitted, admit},
    budget::{Demand, Fields},
    conversation::{Affinity, Outline},
    endpoint::{Endpoint, Media, Preparation, TargetRequest},
    kept_reasoning::ReasoningStore,
    record::RequestRecord,
    state::State,
    unrouted::{Unrouted, has_budgets},
};
use crate::{
    http::{
        decoders::apart,
        dialect::Dialect,
        error::{GatewayError, Result},
        time::seconds,
    },
    measure::{self, Step},
    telemetry::timing,
    upstream::{
        call::Prepared,
        call_record::CallRecord,
        response::UpstreamResponse,
        target::{Target, Targets},
    },
};

/// An admitted and routed request.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) active: Arc<ActiveConfig>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body differs from the client's, because it contained invalid strings.
    is_repaired: bool,
    pub(crate) head: Head,
    pub(crate) targets: Targets,
    affinity: Affinity,
    /// Name of the client.
    client: String,
    reasoning: Arc<ReasoningStore>,
}

/// A routed request of an endpoint.
pub(crate) struct Exchange<E> {
    pub(crate) endpoint: E,
    pub(crate) state: State,
    pub(crate) routed: Routed,
    media: Media,
}

/// The body of a request, and whether it was repaired.
///
/// # Errors
/// 400 in strict mode, if it would be repaired.
pub(crate) fn repair(
    body: Bytes,
    repaired: Option<Vec<u8>>,
    active: &ActiveConfig,
) -> Result<(Bytes, bool)> {
    let Some(repaired) = repaired else {
        return Ok((body, false));
    };
    if active.config.strict {
        let (param, how) = surrogates::REPAIRED;
        let message = format!("would be changed: {how}; strict mode rejects this");
        return Err(RequestError::unsupported(param, message).into());
    }
    Ok((Bytes::from(repaired), true))
}

/// The warning about a repaired body.
pub(crate) fn repair_warning() -> String {
    let (param, how) = surrogates::REPAIRED;
    format!("{param}: {how}")
}

impl Routed {
    /// Admits and routes a request.
    ///
    /// # Errors
    /// Those of [`admit`], 400 without a model and 404 for an unknown one.
    pub(crate) async fn new(
        state: &State,
        request: Request,
        dialect: Dialect,
        record: &mut RequestRecord,
    ) -> Result<Self> {
        let (admitted, body) = admit(state, request, dialect, record).await?;
        let Admitted {
            active,
            caller,
            parts,
        } = &admitted;
        if let Some(query) = parts.uri.query() {
            check_query(query)?;
        }
        let length = body.len();
        let has_budgets = has_budgets(active, caller, record.calls().operation);
        let read = || -> Result<_> {
            let (body, is_repaired, head, demand) = measure::step(Step::Head, || {
                let repaired = surrogates::repaired(&body);
                let (body, is_repaired) = repair(body, repaired, active)?;
                let mut fields = Fields::default();
                let head = head_with(&body, |name, value| {
                    if has_budgets {
                        fields.member(name, value);
                    }
                })?;
                if head.stream {
                    record.estimate_input(&body);
                }
                let demand = has_budgets.then(|| Demand::new(&body, &fields));
                Ok::<_, GatewayError>((body, is_repaired, head, demand))
            })?;
            let automatic = active.config.automatic_cache;
            let outline = measure::step(Step::Conversation, || {
                Outline::read(&parts.headers, &body, automatic)
            });
            Ok((body, is_repaired, head, outline, demand))
        };
        let (body, is_repaired, head, outline, demand) = state.decoders().run(length, read).await?;
        let unrouted = Unrouted {
            model: &head.model,
            is_stream: head.stream,
            outline,
            demand,
        };
        let (targets, affinity) = unrouted.route(state, &admitted, record).await?;
        let Admitted {
            active,
            caller,
            parts,
        } = admitted;
        Ok(Self {
            active,
            headers: parts.headers,
            body,
            is_repaired,
            head,
            targets,
            affinity,
            client: caller.name,
            reasoning: Arc::clone(state.reasoning()),
        })
    }

    /// The warning about a repaired body, if any.
    pub(crate) fn repair_warning(&self) -> Option<String> {
        self.is_repaired.then(repair_warning)
    }

    fn warned<C>(&self, mut prepared: Prepared<C>) -> Prepared<C> {
        prepared.warnings.extend(self.repair_warning());
        prepared
    }

    /// The request for a target.
    pub(crate) fn for_target<'r>(
        &'r self,
        target: &'r Target,
        media: &'r Media,
    ) -> TargetRequest<'r> {
        TargetRequest {
            config: &self.active.config,
            target,
            body: &self.body,
            head: &self.head,
            media,
            headers: &self.headers,
            client: &self.client,
            reasoning: &self.reasoning,
        }
    }
}

impl<E: Endpoint> Exchange<E> {
    /// Admits, routes and prepares a request for its first target; fetches media that it references.
    ///
    /// # Errors
    /// When one of these steps fails.
    pub(crate) async fn new(
        state: State,
        request: Request,
        record: &mut RequestRecord,
    ) -> Result<(Self, Prepared<E::Context>)> {
        let mut routed = Routed::new(&state, request, E::DIALECT, record).await?;
        routed.targets = E::targets(routed.targets)?;
        let mut exchange = Self {
            endpoint: E::new(&routed.head.model, seconds(state.now())),
            state,
            routed,
            media: Media::new(),
        };
        let first = &exchange.routed.targets.first;
        let request = exchange.routed.for_target(first, &exchange.media);
        let length = request.body.len();
        let prepare = || measure::step(Step::Decode, || exchange.endpoint.prepare(request));
        let prepared = match exchange.state.decoders().run(length, prepare).await? {
            Preparation::Ready(prepared) => exchange.routed.warned(*prepared),
            Preparation::NeedsMedia(fetches) => {
                exchange.media = exchange.state.fetcher().fetch_all(&fetches).await?;
                exchange.prepare(&exchange.routed.targets.first)?
            }
        };
        record.end(timing::Step::Decode);
        Ok((exchange, prepared))
    }

    fn prepare(&self, target: &Target) -> Result<Prepared<E::Context>> {
        let request = self.routed.for_target(target, &self.media);
        match apart(request.body.len(), || self.endpoint.prepare(request))? {
            Preparation::Ready(prepared) => Ok(self.routed.warned(*prepared)),
            // All targets see the same request, so they need the same media.
            Preparation::NeedsMedia(_) => Err(GatewayError::Internal("media was not fetched")),
        }
    }

    /// Sends the request, prepared for the first target, to the targets in turn.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(crate) async fn perform(
        &self,
        first: Prepared<E::Context>,
        calls: &mut CallRecord,
    ) -> Result<UpstreamResponse<E::Context>> {
        let Routed {
            active,
            targets,
            affinity,
            ..
        } = &self.routed;
        let response = self
            .state
            .call(active, targets, |target: &Target| self.prepare(target))
            .perform(first, calls)
            .await
            .map_err(|error| self.endpoint.map_error(error))?;
        self.state.placements().served(affinity, &response.target);
        Ok(response)
    }
}
