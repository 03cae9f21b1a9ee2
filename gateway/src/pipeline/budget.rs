//! Budgets of a BedrockAccess, shared by all its clients, and of each client.
//!
//! Before a request is sent, it holds the most that it can cost in each of its budgets; when it ends, its cost is
//! settled. Requests in progress can therefore not exceed a budget together. The store leases parts of the budget; while it is
//! unavailable, each budget follows its `onStoreFailure`. See `docs/decisions/0032-budgets.md`.

mod account;
mod demand;
mod holds;
#[cfg(test)]
mod ledger;
mod local;
mod settlement;
mod shares;
#[cfg(test)]
mod simulation;
mod store;

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{GatewayConfig, budget::OnStoreFailure, config, shares::ShareReport};
use credentials::SharedTimeSource;
use tokio::time::Instant;

use super::{authenticate::Caller, shared_store::StoreError};
use crate::{
    http::{
        error::{GatewayError, Result},
        over_limit::Subject,
        time::{millis, rfc3339},
    },
    telemetry::metrics::{BudgetLabels, Metrics},
};
use account::Within;
pub(crate) use demand::{Demand, Fields};
use holds::{Budget, Holds, Refusal};
pub(crate) use holds::{Need, Spent};
pub(crate) use settlement::Ended;
pub(crate) use shares::GrantError;
use shares::Shares;
use store::Store;

/// Calls of the store for one request.
const MOST_CALLS: u32 = 8;

/// The budgets of a configuration.
#[derive(Debug)]
pub(crate) struct Budgets {
    access: Vec<Arc<Budget>>,
    clients: HashMap<String, Vec<Arc<Budget>>>,
    backing: Backing,
    metrics: Arc<Metrics>,
}

/// Where budgets are counted.
#[derive(Clone, Debug)]
enum Backing {
    Store(Arc<Store>),
    Shares(Arc<Shares>),
}

/// What a request holds in its budgets, until it is settled; dropping it returns everything.
#[derive(Debug)]
pub(crate) struct Reservation {
    holds: Holds,
    is_open: bool,
    need: Need,
    backing: Backing,
}

impl Budgets {
    /// The budgets of a configuration, for clients with API keys of these names; none without budgets. Budgets keep what
    /// is known of them in `previous`.
    ///
    /// # Errors
    /// When the URL of the store is invalid.
    pub(crate) fn compile<'a>(
        config: &GatewayConfig,
        keys: impl Iterator<Item = &'a str>,
        metrics: &Arc<Metrics>,
        previous: Option<&Self>,
    ) -> std::result::Result<Option<Self>, StoreError> {
        let shared = Subject::shared(config.access.as_ref());
        let group = shared.name().to_owned();
        let before: HashMap<&str, &Arc<Budget>> = previous
            .into_iter()
            .flat_map(Self::all)
            .map(|budget| (&*budget.key, budget))
            .collect();
        let compiled = |subject: &Subject, client: Option<&str>, terms: &config::Budget| {
            let amount = terms.amount()?;
            let (period, zone) = (terms.period.as_str(), terms.time_zone.as_str());
            let rest = format!("{period}:{zone}:{}", amount.field());
            let key = store::key(&group, client, &rest);
            let known = before.get(&*key).map(|budget| Arc::clone(&budget.local));
            Some(Arc::new(Budget {
                subject: subject.clone(),
                terms: terms.clone(),
                amount,
                key,
                name: terms.name(client),
                local: known.unwrap_or_default(),
            }))
        };
        let of = |subject: &Subject, client: Option<&str>, terms: &[config::Budget]| {
            let budgets = terms.iter();
            let budgets = budgets.filter_map(|terms| compiled(subject, client, terms));
            budgets.collect::<Vec<_>>()
        };
        let accounts = config.clients.service_accounts.iter();
        let accounts = accounts.flat_map(|accounts| &accounts.subjects);
        let accounts = accounts.map(|account| (account.client_name(), account.budgets.as_slice()));
        let of_keys = config.clients.api_key_budgets.as_slice();
        let keys = keys.map(|key| (Caller::key_name(key), of_keys));
        let clients: HashMap<String, Vec<Arc<Budget>>> = accounts
            .chain(keys)
            .filter(|(_, terms)| !terms.is_empty())
            .map(|(name, terms)| {
                let budgets = of(&Subject::Client(name.clone()), Some(&name), terms);
                (name, budgets)
            })
            .collect();
        let access = of(&shared, None, &config.limits.budgets);
        if access.is_empty() && clients.is_empty() {
            return Ok(None);
        }
        let Some(backing) = Backing::of(config, previous)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            access,
            clients,
            backing,
            metrics: Arc::clone(metrics),
        }))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Budget>> {
        self.access.iter().chain(self.clients.values().flatten())
    }

    /// The budgets of the requests of a client.
    fn of<'a>(&'a self, client: &str) -> impl Iterator<Item = &'a Arc<Budget>> + use<'a> {
        let own = self.clients.get(client).into_iter().flatten();
        self.access.iter().chain(own)
    }

    /// Whether requests of a client have a budget.
    pub(crate) fn apply_to(&self, client: &str) -> bool {
        self.of(client).next().is_some()
    }

    /// Whether requests of a client have a budget in money.
    pub(crate) fn need_prices(&self, client: &str) -> bool {
        self.of(client).any(|budget| budget.terms.usd.is_some())
    }

    /// The spent part of each budget, for metrics.
    pub(crate) fn used(&self, clock: &SharedTimeSource) -> Vec<(BudgetLabels, f64)> {
        let now = self.time(clock);
        let used = |budget: &Arc<Budget>| {
            let labels = BudgetLabels {
                scope: budget.subject.scope(),
                client: match &budget.subject {
                    Subject::Client(name) => name.clone(),
                    Subject::Access(_) | Subject::Gateway => String::new(),
                },
                period: budget.terms.period.as_str(),
                unit: budget.amount.field(),
            };
            (labels, budget.used(budget.window(now)))
        };
        self.all().map(used).collect()
    }

    /// Whether the store is available; none without a store.
    pub(crate) fn store_is_up(&self) -> Option<bool> {
        match &self.backing {
            Backing::Store(store) => Some(store.is_up()),
            Backing::Shares(_) => None,
        }
    }

    /// What the operator reads of shares; none with a store.
    pub(crate) fn share_report(&self, draining: bool) -> Option<ShareReport> {
        match &self.backing {
            Backing::Store(_) => None,
            Backing::Shares(shares) => {
                let budgets = self.all().map(|budget| &**budget);
                Some(shares.report(budgets, draining))
            }
        }
    }

    /// Adopts shares that the operator has sent; `None` with a store.
    pub(crate) fn grant(
        &self,
        body: &[u8],
        signature: &str,
    ) -> Option<std::result::Result<(), GrantError>> {
        let Backing::Shares(shares) = &self.backing else {
            return None;
        };
        let grants = match shares.verified(body, signature) {
            Ok(grants) => grants.accounts,
            Err(error) => return Some(Err(error)),
        };
        for grant in &grants {
            for budget in self.all().filter(|budget| budget.name == grant.budget) {
                let window = budget.window(grant.start.saturating_mul(1000));
                if window.start == grant.start {
                    budget.local.grant(window, grant);
                }
            }
        }
        Some(Ok(()))
    }

    /// The model for requests of a client whose budget is nearly spent.
    pub(crate) fn fallback(&self, client: &str, clock: &SharedTimeSource) -> Option<&str> {
        self.of(client).find_map(|budget| {
            let fallback = budget.terms.fallback.as_ref()?;
            let spent = budget.percent(budget.window(self.time(clock)));
            (spent >= u64::from(fallback.at)).then_some(fallback.model.as_str())
        })
    }

    /// Holds what a request needs in the budgets of its client.
    ///
    /// # Errors
    /// 429 if a budget has too little left; 503 if the store is unavailable and a budget is closed then.
    pub(crate) async fn reserve(
        &self,
        client: &str,
        need: Need,
        clock: &SharedTimeSource,
    ) -> Result<Reservation> {
        let own_time = millis(clock.now());
        let (holds, placed) = match &self.backing {
            Backing::Store(store) => self.lease(store, client, &need, own_time).await?,
            Backing::Shares(_) => {
                let holds = Holds::new(self.of(client), &need, own_time);
                let placed = holds.place(Within::Share, None, own_time);
                (holds, placed)
            }
        };
        match placed {
            Ok(()) => Ok(Reservation {
                holds,
                is_open: true,
                need,
                backing: self.backing.clone(),
            }),
            Err(Refusal::Budget(over)) => {
                self.metrics.over_limit(&over, client);
                Err(GatewayError::OverLimit(Box::new(over)))
            }
            Err(Refusal::Lease) => Err(GatewayError::BudgetStore),
        }
    }

    /// Places the holds of a request in leases of the store. If a lease is too small, the store is called. While it is
    /// unavailable, each budget follows its `onStoreFailure`.
    ///
    /// # Errors
    /// 503 if the store is unavailable and a budget is closed then.
    async fn lease(
        &self,
        store: &Store,
        client: &str,
        need: &Need,
        own_time: u64,
    ) -> Result<(Holds, std::result::Result<(), Refusal>)> {
        let mut is_up = store.is_up();
        let mut calls = 0;
        loop {
            let now = store.time(own_time);
            let holds = Holds::new(self.of(client), need, now);
            let placed = if is_up {
                holds.place(Within::Lease(Instant::now()), Some(store), now)
            } else {
                let is_closed =
                    |budget: &Arc<Budget>| budget.terms.on_store_failure == OnStoreFailure::Closed;
                let closed = self.of(client).any(is_closed);
                self.metrics.budgets.store_failure(!closed);
                if closed {
                    return Err(GatewayError::BudgetStore);
                }
                holds.place(Within::Budget, Some(store), now)
            };
            match &placed {
                // What the store has reported before can be old.
                Err(Refusal::Budget(_)) if is_up && calls == 0 => {}
                // Other requests have used what was leased.
                Err(Refusal::Lease) if calls < MOST_CALLS => {}
                Ok(()) | Err(_) => return Ok((holds, placed)),
            }
            holds.want(store);
            is_up = store.call(own_time).await;
            calls += 1;
        }
    }

    /// The warning header of a response: the budget of the client that has reached its warning and has the highest spent part.
    /// Logs budgets that have reached theirs for the first time.
    pub(crate) fn warning(&self, client: &str, clock: &SharedTimeSource) -> Option<String> {
        let reached = self.of(client).filter_map(|budget| {
            let warn_at = budget.terms.warn_at?;
            let window = budget.window(self.time(clock));
            let percent = budget.percent(window);
            (percent >= u64::from(warn_at)).then_some((percent, budget, window))
        });
        let reached = reached.inspect(|(percent, budget, window)| {
            if budget.local.is_first_warning(*window) {
                tracing::warn!(
                    subject = budget.subject.name(),
                    period = budget.terms.period.as_str(),
                    budget = %budget.amount,
                    percent,
                    resets_at = rfc3339(window.end),
                    "budget has reached its warning"
                );
            }
        });
        let (percent, budget, window) = reached.max_by_key(|(percent, ..)| *percent)?;
        Some(format!(
            "{percent}% of {} per {} spent by {}; resets {}",
            budget.amount,
            budget.terms.period.as_str(),
            budget.subject.name(),
            rfc3339(window.end)
        ))
    }

    /// The time of the budgets, in milliseconds since 1970.
    fn time(&self, clock: &SharedTimeSource) -> u64 {
        self.backing.time(millis(clock.now()))
    }

    /// Waits until all costs are settled with the store, at most this time.
    pub(crate) async fn flush(&self, limit: Duration) {
        if let Backing::Store(store) = &self.backing {
            let _elapsed = tokio::time::timeout(limit, store.settled()).await;
        }
    }
}

impl Backing {
    /// That of a configuration. The store of the previous one is kept if it has the same settings.
    fn of(
        config: &GatewayConfig,
        previous: Option<&Budgets>,
    ) -> std::result::Result<Option<Self>, StoreError> {
        let previous = previous.map(|previous| &previous.backing);
        if let Some(store) = &config.limits.store {
            return Ok(Some(Self::Store(match previous {
                Some(Self::Store(known)) if known.has_settings(&store.redis) => Arc::clone(known),
                _ => Arc::new(Store::start(&store.redis)?),
            })));
        }
        let known = match previous {
            Some(Self::Shares(known)) => Some(&**known),
            _ => None,
        };
        let shares = config.limits.shares.as_ref();
        Ok(shares.map(|shares| Self::Shares(Arc::new(Shares::new(shares, known)))))
    }

    fn store(&self) -> Option<&Store> {
        match self {
            Self::Store(store) => Some(store),
            Self::Shares(_) => None,
        }
    }

    /// The time of the store, or that of the gateway, in milliseconds since 1970.
    fn time(&self, own: u64) -> u64 {
        match self {
            Self::Store(store) => store.time(own),
            Self::Shares(_) => own,
        }
    }
}

impl Reservation {
    /// What the request needed.
    pub(crate) fn need(&self) -> &Need {
        &self.need
    }

    /// Settles the cost of the request.
    pub(crate) fn settle(mut self, cost: Spent) {
        self.close(cost);
    }

    fn close(&mut self, cost: Spent) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        self.holds.settle(cost, self.backing.store());
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.close(Spent::default());
    }
}
