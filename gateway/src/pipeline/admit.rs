//! Steps 1 to 4, which all requests to models share: take it in, who asks, for what, where to.

use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use dialects::translation::head;

use crate::{
    http::{error::GatewayError, request_guards::read_body},
    pipeline::{active_config::Live, record::Account, route::Target},
    server::router::State,
};

/// A request that may go upstream.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The configuration it was judged by, which holds until its end.
    pub(crate) live: Arc<Live>,
    pub(crate) body: Bytes,
    /// As the client named it.
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// In the order they are to be tried; never empty.
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) first: Arc<Target>,
}

pub(crate) async fn admit(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Admitted, GatewayError> {
    let live = state.live();
    let limits = &live.config.limits;
    account.hold(state.in_flight().enter(limits.max_in_flight)?);
    let (parts, body) = request.into_parts();
    let caller = live
        .authenticator
        .authenticate(&parts.headers, state.now())?;
    account.caller(&caller.name);
    let body = read_body(body, limits.max_body_bytes).await?;
    state
        .take(&live, &caller.name, &parts.extensions, account)
        .await?;
    let head = head(&body)?;
    let targets = live
        .routes
        .resolve(&head.model, &caller, fastrand::u64(..))?;
    account.model(
        &head.model,
        live.routes.is_configured(&head.model),
        head.stream,
    );
    let first = targets
        .first()
        .cloned()
        .ok_or(GatewayError::Internal("a route without a target"))?;
    Ok(Admitted {
        live,
        body,
        model: head.model,
        stream: head.stream,
        targets,
        first,
    })
}
