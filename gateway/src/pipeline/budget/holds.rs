//! The holds of a request in its budgets, and their settlement. Pure.

use std::sync::Arc;

use api::{
    budget::{Amount, Window},
    config,
};

use super::{
    account::{Hold, Totals, Within},
    local::LocalAccounts,
    store::Store,
};
use crate::http::over_limit::{BudgetState, OverLimit, Subject};

/// A budget of a subject.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) subject: Subject,
    pub(super) terms: config::Budget,
    pub(super) amount: Amount,
    /// Key in the store, without the window.
    pub(super) key: Arc<str>,
    /// Name between operator and gateway.
    pub(super) name: String,
    pub(super) local: Arc<LocalAccounts>,
}

/// What a request costs at least and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub(super) tokens: Hold,
    /// In nanodollars.
    pub(super) money: Hold,
}

/// What a request has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) tokens: u64,
    pub(crate) nanodollars: u64,
}

/// The holds of a request.
#[derive(Debug)]
pub(super) struct Holds {
    pub(super) parts: Vec<Part>,
}

/// The hold of a request in one budget.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) budget: Arc<Budget>,
    pub(super) window: Window,
    pub(super) hold: Hold,
}

/// Why the holds of a request do not fit.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The leases are too small.
    Lease,
    /// The budget with the longest wait among those with too little left.
    Budget(OverLimit),
}

impl Need {
    /// A request whose cost is between two costs.
    pub(crate) fn between(least: Spent, most: Spent) -> Self {
        Self {
            tokens: Hold {
                floor: least.tokens,
                most: most.tokens.max(least.tokens),
            },
            money: Hold {
                floor: least.nanodollars,
                most: most.nanodollars.max(least.nanodollars),
            },
        }
    }

    /// The cost of a request of which nothing but its input is known.
    pub(crate) fn least(&self) -> Spent {
        Spent {
            tokens: self.tokens.floor,
            nanodollars: self.money.floor,
        }
    }

    /// The most that the request can cost.
    pub(crate) fn most(&self) -> Spent {
        Spent {
            tokens: self.tokens.most,
            nanodollars: self.money.most,
        }
    }
}

impl Budget {
    pub(super) fn window(&self, now: u64) -> Window {
        let seconds = now / 1000;
        let calendar = || self.terms.period.window(&self.terms.time_zone, seconds);
        self.local.window(seconds, calendar, &self.key)
    }

    pub(super) fn limit(&self) -> u64 {
        self.amount.count()
    }

    /// The spent part in percent, rounded down.
    pub(super) fn percent(&self, window: Window) -> u64 {
        let spent = self.local.spent(window).saturating_mul(100);
        spent.checked_div(self.limit()).unwrap_or(100)
    }

    /// The spent part, 1 if all is spent.
    pub(super) fn used(&self, window: Window) -> f64 {
        // Amounts are below 2^53.
        #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact")]
        let [spent, limit] = [self.local.spent(window), self.limit()].map(|count| count as f64);
        spent / limit
    }

    /// The refusal of a request for which too little is left.
    fn refusal(&self, window: Window, hold: Hold, totals: Totals, now: u64) -> OverLimit {
        let until_reset = window.end.saturating_mul(1000).saturating_sub(now);
        OverLimit::budget(
            &self.subject,
            BudgetState {
                period: self.terms.period,
                amount: self.amount,
                spent: totals.spent,
                needed: hold.most,
                resets_at: window.end,
            },
            std::time::Duration::from_millis(until_reset),
        )
    }
}

impl Holds {
    /// The holds of a request in all its budgets.
    pub(super) fn new<'a>(
        budgets: impl Iterator<Item = &'a Arc<Budget>>,
        need: &Need,
        now: u64,
    ) -> Self {
        let part = |budget: &Arc<Budget>| Part {
            window: budget.window(now),
            hold: match budget.amount {
                Amount::Usd(_) => need.money,
                Amount::Tokens(_) => need.tokens,
            },
            budget: Arc::clone(budget),
        };
        Self {
            parts: budgets.map(part).collect(),
        }
    }

    /// Adds the holds to all accounts, or to none.
    ///
    /// # Errors
    /// When one does not fit.
    pub(super) fn place(
        &self,
        within: Within,
        store: Option<&Store>,
        now: u64,
    ) -> Result<(), Refusal> {
        let mut refusal = None;
        for (index, part) in self.parts.iter().enumerate() {
            let Part {
                budget,
                window,
                hold,
            } = part;
            let held = budget.local.hold(*window, *hold, within, budget.limit());
            match held {
                Ok(must_queue) => {
                    if let (true, Some(store)) = (must_queue, store) {
                        store.queue(budget, *window);
                    }
                    if refusal.is_some() {
                        part.settle(0, store);
                    }
                }
                Err(short) => {
                    if refusal.is_none() {
                        let earlier = self.parts.iter().take(index);
                        earlier.for_each(|earlier| earlier.settle(0, store));
                    }
                    let one = short
                        .is_spent
                        .then(|| budget.refusal(*window, *hold, short.totals, now));
                    refusal = Some(match (refusal, one) {
                        (Some(Refusal::Budget(other)), Some(one)) => {
                            Refusal::Budget(one.or_longer(Some(other)))
                        }
                        (_, Some(one)) => Refusal::Budget(one),
                        (before, None) => before.unwrap_or(Refusal::Lease),
                    });
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Queues what the request needs for the store.
    pub(super) fn want(&self, store: &Store) {
        for part in &self.parts {
            if part.budget.local.want(part.window, part.hold) {
                store.queue(&part.budget, part.window);
            }
        }
    }

    /// Replaces the holds by the cost of the request.
    pub(super) fn settle(&self, cost: Spent, store: Option<&Store>) {
        for part in &self.parts {
            let cost = match part.budget.amount {
                Amount::Usd(_) => cost.nanodollars,
                Amount::Tokens(_) => cost.tokens,
            };
            part.settle(cost, store);
        }
    }
}

impl Part {
    fn settle(&self, cost: u64, store: Option<&Store>) {
        let must_queue = self.budget.local.settle(self.window, self.hold, cost);
        if let (true, Some(store)) = (must_queue, store) {
            store.queue(&self.budget, self.window);
        }
    }
}
