//! What one gateway knows of a budget in one window: its own requests, and its lease from the store. Pure.
//!
//! A request holds the most that it can cost before it is sent, and is settled with its cost when it ends. A gateway with a
//! store leases a part of what is left of the budget: its requests hold parts of the lease, so that most of them need no call
//! of the store. The gateway reports the sum of its costs since it started, so that a repeated report changes nothing.
//! The store's side of the arithmetic is in `store/accounts.lua` and, for tests, in `ledger.rs`.

use api::shares::Grant;
use tokio::time::Instant;

use crate::pipeline::shared_store::recent::Recent;

/// The part of its unused share that a draining process keeps for its last requests: one in this number.
const DRAINING_PART: u64 = 8;

/// What a request costs at least, which is its input, and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) floor: u64,
    pub(super) most: u64,
}

/// The state of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Cost of ended requests.
    pub(super) spent: u64,
    /// What requests in progress hold, and gateways have leased.
    pub(super) held: u64,
}

/// The limit of a hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Within {
    /// What the store has leased, at this time.
    Lease(Instant),
    /// What the operator has granted.
    Share,
    /// The whole budget, as far as this gateway knows, while the store is unavailable.
    Budget,
}

/// Why a hold does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) totals: Totals,
    /// Whether the budget has too little left, not only the lease.
    pub(super) is_spent: bool,
}

/// What a gateway asks of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Names the account of this gateway.
    pub(super) id: u64,
    /// What the store has reported as spent.
    pub(super) known: u64,
    /// [`Leased::since`] of that report; 0 before the first.
    pub(super) since: u64,
    /// Costs of this gateway since it started.
    pub(super) cost: u64,
    /// The part of them that the store has not confirmed.
    pub(super) unconfirmed: u64,
    /// What the requests in progress cost at least.
    pub(super) floor: u64,
    /// What the gateway has leased and needs further.
    pub(super) keep: u64,
    /// What waiting requests need besides.
    pub(super) want: u64,
    /// What is leased in advance, if there is enough.
    pub(super) spare: u64,
}

/// The response of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leased {
    pub(super) totals: Totals,
    /// What this gateway has leased.
    pub(super) lease: u64,
    /// The store's time at which its account began, in milliseconds since 1970: another one after it has lost its data.
    pub(super) since: u64,
}

/// What becomes of an account after a response of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It must be queued again.
    Queue,
    /// It has a lease.
    Wait,
    /// The store has all costs, and has leased nothing.
    Close,
}

/// What this process may spend in a window without a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) revision: u64,
    pub(super) most: u64,
    /// What other processes have spent.
    elsewhere: u64,
    /// The largest hold that did not fit.
    pub(super) wanted: u64,
}

/// The account of one gateway.
#[derive(Debug)]
pub(super) struct Account {
    /// Cost of ended requests.
    spent: u64,
    /// Sums of the requests in progress.
    open: Hold,
    lease: Lease,
    /// Without a store, once the operator has granted it.
    share: Option<Share>,
}

/// A lease from the store.
#[derive(Debug)]
struct Lease {
    /// Random: another one after a restart.
    id: u64,
    /// Costs of this gateway that the store has confirmed. The lease counts from there.
    confirmed: u64,
    most: u64,
    /// What waiting requests need.
    wanted: Hold,
    /// The floor that the store knows.
    floor: u64,
    recent: Recent,
    /// As the store has reported.
    totals: Totals,
    /// [`Leased::since`] of that report.
    since: u64,
    /// Whether the account waits to be sent.
    is_queued: bool,
    /// Whether it is sent although nothing has changed.
    must_renew: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            spent: 0,
            open: Hold::default(),
            lease: Lease {
                id: fastrand::u64(..),
                confirmed: 0,
                most: 0,
                wanted: Hold::default(),
                floor: 0,
                recent: Recent::NONE,
                totals: Totals::default(),
                since: 0,
                is_queued: false,
                must_renew: false,
            },
            share: None,
        }
    }
}

impl Account {
    /// What is spent as far as this gateway knows.
    pub(super) fn spent(&self) -> u64 {
        let elsewhere = self.share.map_or(0, |share| share.elsewhere);
        let others = self.lease.totals.spent.max(elsewhere);
        others.saturating_add(self.unconfirmed())
    }

    /// Costs that the store has not confirmed.
    fn unconfirmed(&self) -> u64 {
        self.spent.saturating_sub(self.lease.confirmed)
    }

    /// What is spent and held here.
    fn used(&self) -> u64 {
        self.spent.saturating_add(self.open.most)
    }

    /// The part of the lease that no request has used.
    fn free(&self) -> u64 {
        let used = self.unconfirmed().saturating_add(self.open.most);
        self.lease.most.saturating_sub(used)
    }

    /// Adds a hold if it fits. Returns whether the account must be queued for the store.
    ///
    /// # Errors
    /// When it does not fit.
    pub(super) fn hold(&mut self, hold: Hold, within: Within, limit: u64) -> Result<bool, Short> {
        match within {
            Within::Lease(now) => {
                let free = self.free();
                if hold.most > free {
                    let totals = self.lease.totals;
                    let left = limit.saturating_sub(totals.sum());
                    let not_held = free.saturating_add(self.unconfirmed());
                    return Err(Short {
                        totals: Totals {
                            spent: self.spent(),
                            held: totals.held.saturating_sub(not_held),
                        },
                        is_spent: left.saturating_add(free) < hold.most,
                    });
                }
                self.lease.recent.add(hold.most, now);
            }
            Within::Share => {
                let share = self.share.unwrap_or_default();
                if self.used().saturating_add(hold.most) > share.most {
                    if let Some(share) = &mut self.share {
                        share.wanted = share.wanted.max(hold.most);
                    }
                    return Err(self.short());
                }
            }
            Within::Budget => {
                let used = self.spent().saturating_add(self.open.most);
                if used.saturating_add(hold.most) > limit {
                    return Err(self.short());
                }
            }
        }
        self.open = self.open.plus(hold);
        // The store must know the input of a request that is lost with this process.
        Ok(self.open.floor > self.lease.floor && self.queue())
    }

    /// Too little is left here.
    fn short(&self) -> Short {
        Short {
            totals: Totals {
                spent: self.spent(),
                held: self.open.most,
            },
            is_spent: true,
        }
    }

    /// Replaces a hold by the cost of its request. Returns whether the account must be queued for the store.
    pub(super) fn settle(&mut self, hold: Hold, cost: u64) -> bool {
        self.open = Hold {
            floor: self.open.floor.saturating_sub(hold.floor),
            most: self.open.most.saturating_sub(hold.most),
        };
        self.spent = self.spent.saturating_add(cost);
        self.queue()
    }

    /// Adds what a waiting request needs, also if it fits here: it may wait for another budget. Returns whether the account
    /// must be queued for the store.
    pub(super) fn want(&mut self, hold: Hold) -> bool {
        self.lease.wanted = self.lease.wanted.plus(hold);
        self.queue()
    }

    /// Whether the account was not queued.
    pub(super) fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.lease.is_queued, true)
    }

    /// The store was removed; the account can be queued for another one.
    pub(super) fn left_queue(&mut self) {
        self.lease.is_queued = false;
    }

    /// Requests a renewal of the lease. Returns whether the account must be queued for the store.
    pub(super) fn renew(&mut self) -> bool {
        self.lease.must_renew = true;
        self.queue()
    }

    /// Whether the store knows all of it.
    fn is_known(&self) -> bool {
        self.unconfirmed() == 0
            && self.open.most == self.lease.most
            && self.open.floor == self.lease.floor
    }

    /// What to ask of the store; none if nothing has changed. Until the response, requests can use what is kept. `limit`: of the
    /// budget.
    pub(super) fn ask(&mut self, limit: u64, now: Instant) -> Option<Ask> {
        self.lease.is_queued = false;
        let must_renew = std::mem::take(&mut self.lease.must_renew);
        if self.is_known() && self.lease.wanted == Hold::default() && !must_renew {
            return None;
        }
        let left = limit.saturating_sub(self.lease.totals.sum());
        let spare = self.lease.recent.spare(left, now);
        let wanted = std::mem::take(&mut self.lease.wanted);
        let kept = self.free().min(wanted.most.saturating_add(spare));
        let want = wanted.most.saturating_sub(kept);
        let keep = self.open.most.saturating_add(kept);
        self.lease.most = self.unconfirmed().saturating_add(keep);
        self.lease.floor = self.open.floor.saturating_add(wanted.floor);
        Some(Ask {
            id: self.lease.id,
            known: self.lease.totals.spent,
            since: self.lease.since,
            cost: self.spent,
            unconfirmed: self.unconfirmed(),
            floor: self.lease.floor,
            keep,
            want,
            spare: spare.saturating_sub(kept.saturating_sub(wanted.most)),
        })
    }

    /// Adopts the response to what was asked.
    pub(super) fn adopt(&mut self, asked: &Ask, leased: Leased) -> Next {
        self.lease.confirmed = asked.cost;
        self.lease.most = leased.lease;
        self.lease.totals = leased.totals;
        self.lease.since = leased.since;
        if !self.is_known() && self.queue() {
            Next::Queue
        } else if self.is_known() && self.lease.most == 0 && !self.lease.is_queued {
            Next::Close
        } else {
            Next::Wait
        }
    }

    /// Whether the store has all costs, and has leased nothing but for requests in progress.
    pub(super) fn is_settled(&self) -> bool {
        self.is_known() && !self.lease.is_queued
    }

    /// Adopts a share, unless a later one is known.
    pub(super) fn grant(&mut self, grant: &Grant) {
        let used = self.used();
        let share = self.share.get_or_insert_default();
        if grant.revision > share.revision {
            *share = Share {
                revision: grant.revision,
                // What is used cannot be given back.
                most: grant.share.max(used),
                ..Share::default()
            };
        }
        if grant.revision >= share.revision {
            share.elsewhere = grant.elsewhere;
        }
    }

    /// The share, and what is spent and held of it. A process that is draining gives most of the rest back.
    pub(super) fn share(&mut self, draining: bool) -> Option<(Share, u64)> {
        let used = self.used();
        let share = self.share.as_mut()?;
        if draining {
            let rest = share.most.saturating_sub(used);
            share.most = used.saturating_add(rest / DRAINING_PART);
        }
        Some((*share, used))
    }
}

impl Hold {
    fn plus(self, other: Self) -> Self {
        Self {
            floor: self.floor.saturating_add(other.floor),
            most: self.most.saturating_add(other.most),
        }
    }
}

impl Totals {
    pub(super) fn sum(self) -> u64 {
        self.spent.saturating_add(self.held)
    }
}

#[cfg(test)]
mod tests;
