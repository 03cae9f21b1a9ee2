//! The first steps of every request: authenticate the client, count the request, read the body, apply the rate limits.
//!
//! A place in the number of open requests is taken after proof. The body of a client whose signature can only be verified
//! with it is read first, from a small budget.

use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use http::request::Parts;

use super::{
    active_config::ActiveConfig,
    authenticate::{Caller, Identity},
    record::RequestRecord,
    state::State,
};
use crate::{
    http::{
        dialect::Dialect,
        error::{GatewayError, Result},
        request_guards::{read_body, read_unproven},
    },
    measure::{self, Step},
    telemetry::timing,
};

/// An admitted request, without its body.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The configuration of the request until its end.
    pub(crate) active: Arc<ActiveConfig>,
    pub(crate) caller: Caller,
    pub(crate) parts: Parts,
}

/// Admits a request and reads its body. Clients of Bedrock's own API may sign instead of sending a key.
///
/// # Errors
/// 503 with too many open requests, 401 or 403 for the client, 413 or 408 for the body, 429 over a rate limit.
pub(crate) async fn admit(
    state: &State,
    request: Request,
    dialect: Dialect,
    record: &mut RequestRecord,
) -> Result<(Admitted, Bytes)> {
    let active = state.active();
    let limits = &active.config.limits;
    let (parts, body) = request.into_parts();
    record.set_reports(&parts.headers);
    let authenticator = &active.authenticator;
    let read = |body| {
        let reading = read_body(body, limits.max_body_bytes, state.body_budget());
        measure::part(Step::Body, reading)
    };
    let identity = measure::step(Step::Authenticate, || {
        Ok::<_, GatewayError>(if dialect == Dialect::Bedrock {
            authenticator.identify_head(&parts, state.now())?
        } else {
            Identity::Known(authenticator.authenticate(&parts.headers, state.now())?)
        })
    })?;
    let (caller, body) = match identity {
        Identity::Known(caller) => {
            record.set_client(&caller.name);
            record.end(timing::Step::Auth);
            take_place(state, limits.max_in_flight, record)?;
            let body = read(body).await?;
            record.end(timing::Step::Body);
            (caller, body)
        }
        Identity::Signed { client, head } => {
            let body = if head.is_proven() {
                take_place(state, limits.max_in_flight, record)?;
                read(body).await?
            } else {
                read_unproven(body, limits.max_body_bytes, state.unproven()).await?
            };
            // The signature covers the body.
            record.end(timing::Step::Body);
            let caller = authenticator.verify(&client, head, &parts, &body)?;
            record.set_client(&caller.name);
            record.end(timing::Step::Auth);
            if head.is_proven() {
                (caller, body)
            } else {
                take_place(state, limits.max_in_flight, record)?;
                (caller, state.body_budget().hold(body).await?)
            }
        }
    };
    record.set_body(&body);
    let limits = apply_limits(state, &active, &caller.name, record);
    measure::part(Step::Limits, limits).await?;
    record.end(timing::Step::Limit);
    let admitted = Admitted {
        active,
        caller,
        parts,
    };
    Ok((admitted, body))
}

/// Counts the request as open until the record is closed. `limit`: 0 for none; absent for that of the memory.
fn take_place(state: &State, limit: Option<u32>, record: &mut RequestRecord) -> Result<()> {
    let limit = limit.unwrap_or(state.body_budget().requests());
    let guard = state
        .in_flight()
        .enter((limit > 0).then_some(u64::from(limit)))
        .ok_or(GatewayError::Busy { limit })?;
    record.set_in_flight(guard);
    Ok(())
}

/// Applies the rate limits; the permit stays in the record until the request ends.
async fn apply_limits(
    state: &State,
    active: &ActiveConfig,
    client: &str,
    record: &mut RequestRecord,
) -> Result<()> {
    if active.limiter.is_empty() {
        return Ok(());
    }
    let clock = &state.settings().clock;
    let (report, result) = active.limiter.check(client, clock).await;
    if let Some(slot) = record.limits() {
        slot.fill(report);
    }
    let permit = result.map_err(|over| {
        state.metrics().over_limit(&over, client);
        GatewayError::OverLimit(Box::new(over))
    })?;
    record.set_permit(permit);
    Ok(())
}
