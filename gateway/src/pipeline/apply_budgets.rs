//! Steps of a request that concern budgets: the model that it gets, and what it holds.

use http::Extensions;

use super::{
    active_config::ActiveConfig, authenticate::Caller, budget::Demand, rate_limit::report::Slot,
    record::RequestRecord, state::State,
};
use crate::{http::error::Result, upstream::target::Targets};

/// The name of the model for a request: the fallback of a budget that is nearly spent, if the client can call it.
pub(crate) fn model<'a>(
    state: &State,
    active: &'a ActiveConfig,
    caller: &Caller,
    requested: &'a str,
) -> &'a str {
    let Some(budgets) = &active.budgets else {
        return requested;
    };
    let clock = &state.settings().clock;
    let fallback = budgets.fallback(&caller.name, clock);
    let fallback = fallback.filter(|fallback| *fallback != requested);
    let Some(fallback) = fallback.filter(|fallback| active.routes.admits(fallback, caller)) else {
        return requested;
    };
    state.metrics().budgets.fallback(&caller.name, fallback);
    fallback
}

/// Holds what a request may need; the reservation stays in the record until the request ends.
///
/// # Errors
/// 403 for a model without a price, 429 if too little is left, 503 if the store is unavailable and a budget is closed.
pub(crate) async fn hold(
    state: &State,
    active: &ActiveConfig,
    client: &str,
    (demand, targets): (Option<Demand>, &Targets),
    extensions: &Extensions,
    record: &mut RequestRecord,
) -> Result<()> {
    let (Some(budgets), Some(demand)) = (&active.budgets, demand) else {
        return Ok(());
    };
    let clock = &state.settings().clock;
    let need = demand.need(targets, budgets.need_prices(client))?;
    let reservation = budgets.reserve(client, need, clock).await;
    if let Some(slot) = extensions.get::<Slot>()
        && let Some(warning) = budgets.warning(client, clock)
    {
        slot.warn(warning);
    }
    record.set_reservation(reservation?);
    Ok(())
}
