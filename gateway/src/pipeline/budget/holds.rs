//! The holds of a request in its budgets, and their settlement. Pure.

use std::sync::Arc;

use api::{
    budget::{Amount, Window},
    config,
};
use credentials::SharedTimeSource;

use super::{
    account::{Hold, Totals},
    local::LocalAccounts,
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
    /// Whether the limit is a share of the operator.
    pub(super) by_share: bool,
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
    pub(super) id: u64,
    pub(super) parts: Vec<Part>,
}

/// The hold of a request in one budget.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) budget: Arc<Budget>,
    pub(super) window: Window,
    pub(super) hold: Hold,
}

/// The decision of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Whether the holds fit, and the totals of each part.
    Decided { fits: bool, totals: Vec<Totals> },
    /// The time of the store, in milliseconds since 1970, is outside a window.
    Outside { now: u64 },
}

/// A cost to be settled with the store.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    pub(super) budget: Arc<Budget>,
    pub(super) window: Window,
    pub(super) id: u64,
    pub(super) cost: u64,
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
        id: u64,
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
            id,
            parts: budgets.map(part).collect(),
        }
    }

    /// Adopts the decision of the store.
    ///
    /// # Errors
    /// The budget with the longest wait, if the store refuses.
    pub(super) fn decided(&self, fits: bool, totals: &[Totals], now: u64) -> Result<(), OverLimit> {
        let mut over: Option<OverLimit> = None;
        for (part, totals) in self.parts.iter().zip(totals) {
            let Part {
                budget,
                window,
                hold,
            } = part;
            budget.local.confirm(*window, *totals);
            let total = totals.spent.saturating_add(totals.held);
            if fits {
                budget.local.hold(*window, self.id, *hold, now);
            } else if total.saturating_add(hold.most) > budget.limit() {
                let one = budget.refusal(*window, *hold, *totals, now);
                over = Some(one.or_longer(over.take()));
            }
        }
        over.map_or(Ok(()), Err)
    }

    /// Decides by the accounts of this gateway.
    ///
    /// # Errors
    /// The first budget for which too little is left.
    pub(super) fn decide(&self, now: u64) -> Result<(), OverLimit> {
        for (index, part) in self.parts.iter().enumerate() {
            let Part {
                budget,
                window,
                hold,
            } = part;
            let limit = (!budget.by_share).then(|| budget.limit());
            let held = budget.local.try_hold(*window, (self.id, *hold), limit, now);
            if let Err(totals) = held {
                for earlier in self.parts.iter().take(index) {
                    let local = &earlier.budget.local;
                    local.settle(earlier.window, self.id, 0, now);
                }
                return Err(budget.refusal(*window, *hold, totals, now));
            }
        }
        Ok(())
    }

    /// Settles the request in this gateway; returns the charges for the store.
    pub(super) fn settle(&self, cost: Spent, now: u64) -> impl Iterator<Item = Charge> {
        self.parts.iter().map(move |part| {
            let cost = match part.budget.amount {
                Amount::Usd(_) => cost.nanodollars,
                Amount::Tokens(_) => cost.tokens,
            };
            part.budget.local.settle(part.window, self.id, cost, now);
            Charge {
                budget: Arc::clone(&part.budget),
                window: part.window,
                id: self.id,
                cost,
            }
        })
    }
}

/// Milliseconds since 1970.
pub(super) fn millis(clock: &SharedTimeSource) -> u64 {
    let since = clock
        .now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
