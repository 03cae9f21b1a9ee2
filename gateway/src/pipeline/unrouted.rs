//! The step after a request is read: its targets, what it holds in its budgets, and its conversation.

use super::{
    active_config::ActiveConfig,
    admit::Admitted,
    authenticate::Caller,
    budget::Demand,
    conversation::{Affinity, Outline},
    record::RequestRecord,
    state::State,
};
use crate::{
    http::error::{GatewayError, Result},
    measure::{self, Step},
    upstream::target::Targets,
};

/// A request that is admitted and read, but has no targets.
#[derive(Debug)]
pub(crate) struct Unrouted<'a> {
    /// The model that the client names.
    pub(crate) model: &'a str,
    pub(crate) is_stream: bool,
    pub(crate) outline: Option<Outline>,
    pub(crate) demand: Option<Demand>,
}

impl Unrouted<'_> {
    /// The targets of the request, in the order of attempts, and how they were ordered.
    ///
    /// # Errors
    /// 404 for an unknown model, and those of [`hold`].
    pub(crate) async fn route(
        self,
        state: &State,
        admitted: &Admitted,
        record: &mut RequestRecord,
    ) -> Result<(Targets, Affinity)> {
        let Self {
            model,
            is_stream,
            outline,
            demand,
        } = self;
        let Admitted { active, caller, .. } = admitted;
        let routes = &active.routes;
        let allowed = match record.calls().operation {
            "chat" | "responses" => within_budget(state, admitted, model),
            // The body of other operations is that of its model, which no other model understands.
            _ => model,
        };
        let (targets, affinity) = measure::step(Step::Route, || {
            let routing = &active.config.routing;
            let mut affinity = Affinity::new(outline.as_ref(), allowed, routing);
            let targets = routes.resolve(allowed, caller, affinity.key)?;
            let targets = state.placements().arrange(targets, &mut affinity);
            Ok::<_, GatewayError>((targets, affinity))
        })?;
        record.set_model(model, routes.is_configured(model), is_stream);
        hold(state, admitted, (demand, &targets), record).await?;
        if let Some(outline) = outline {
            measure::step(Step::Conversation, || {
                record.follow(state.conversations(), outline, &admitted.parts.headers);
            });
        }
        Ok((targets, affinity))
    }
}

/// Whether a request counts against budgets. Counting tokens costs nothing.
pub(crate) fn has_budgets(active: &ActiveConfig, caller: &Caller, operation: &str) -> bool {
    let budgets = active.budgets.as_ref();
    operation != "count_tokens" && budgets.is_some_and(|budgets| budgets.apply_to(&caller.name))
}

/// The name of the model for a request: the fallback of a budget that is nearly spent, if the client can call it.
fn within_budget<'a>(state: &State, admitted: &'a Admitted, requested: &'a str) -> &'a str {
    let Admitted { active, caller, .. } = admitted;
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
    admitted: &Admitted,
    (demand, targets): (Option<Demand>, &Targets),
    record: &mut RequestRecord,
) -> Result<()> {
    let Admitted { active, caller, .. } = admitted;
    let (Some(budgets), Some(demand)) = (&active.budgets, demand) else {
        return Ok(());
    };
    let client = &caller.name;
    let clock = &state.settings().clock;
    let need = demand.need(targets, budgets.need_prices(client))?;
    let reservation = budgets.reserve(client, need, clock).await;
    let warning = budgets.warning(client, clock);
    if let (Some(slot), Some(warning)) = (record.limits(), warning) {
        slot.warn(warning);
    }
    record.set_reservation(reservation?);
    Ok(())
}
