//! The store's side of a budget in one window, as `store/accounts.lua` has it: what is spent, and what gateways have leased.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{Ask, Leased, Totals};
use crate::pipeline::shared_store::recent::SPARE_PART;

/// Time after which a gateway that does not call has stopped.
pub(super) const LEASE_MILLIS: u64 = 300_000;
/// Time for which a gateway that has stopped is remembered: if it calls again, it was only disconnected.
pub(super) const REMEMBERED_MILLIS: u64 = 900_000;

/// The ledger of one window.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    totals: Totals,
    /// When it began; none before the first call.
    since: Option<u64>,
    /// What was spent before it began, as far as gateways know.
    before: u64,
    gateways: BTreeMap<u64, Gateway>,
    /// When each gateway changes its state, in milliseconds since 1970.
    due: BTreeSet<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Gateway {
    cost: u64,
    floor: u64,
    /// None after its end: the floor is spent.
    lease: Option<u64>,
    due: u64,
}

impl Ledger {
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Ends leases that are over.
    pub(super) fn end_leases(&mut self, now: u64) {
        while let Some(&(due, id)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(gateway) = self.gateways.remove(&id) else {
                continue;
            };
            if let Some(lease) = gateway.lease {
                self.totals.held = self.totals.held.saturating_sub(lease);
                self.totals.spent = self.totals.spent.saturating_add(gateway.floor);
                let due = now.saturating_add(REMEMBERED_MILLIS);
                let lease = None;
                self.gateways.insert(
                    id,
                    Gateway {
                        lease,
                        due,
                        ..gateway
                    },
                );
                self.due.insert((due, id));
            }
        }
    }

    /// Adopts the costs of a gateway, and leases what it needs. `may_lease`: whether the window is the current one.
    pub(super) fn ask(&mut self, ask: &Ask, limit: u64, may_lease: bool, now: u64) -> Leased {
        let mut since = *self.since.get_or_insert(now);
        if ask.since == since && ask.known > self.totals.spent {
            // The server has restored an earlier state: it begins again.
            since = now.max(since.saturating_add(1));
            *self = Self {
                totals: Totals {
                    spent: ask.known,
                    held: 0,
                },
                since: Some(since),
                before: ask.known,
                ..Self::default()
            };
        } else if ask.since != since {
            // A store that lost its data: gateways know different parts of it, and each adds its own costs.
            let more = ask.known.saturating_sub(self.before);
            self.before = self.before.saturating_add(more);
            self.totals.spent = self.totals.spent.saturating_add(more);
        }
        self.end_leases(now);
        let Totals { spent, held } = &mut self.totals;
        match self.gateways.remove(&ask.id) {
            Some(Gateway {
                cost,
                floor,
                lease,
                due,
            }) => {
                self.due.remove(&(due, ask.id));
                *held = held.saturating_sub(lease.unwrap_or(0));
                let floor = if lease.is_none() { floor } else { 0 };
                *spent = spent.saturating_sub(floor);
                *spent = spent.saturating_add(ask.cost.saturating_sub(cost));
            }
            None => *spent = spent.saturating_add(ask.unconfirmed),
        }
        let mut lease = ask.keep;
        let used = spent.saturating_add(*held).saturating_add(lease);
        let left = limit.saturating_sub(used);
        if may_lease {
            let spare = ask.spare.min(left / SPARE_PART);
            let more = ask.want.saturating_add(spare).min(left);
            lease = lease.saturating_add(more);
        }
        *held = held.saturating_add(lease);
        let due = now.saturating_add(LEASE_MILLIS);
        let gateway = Gateway {
            cost: ask.cost,
            floor: ask.floor,
            lease: Some(lease),
            due,
        };
        self.gateways.insert(ask.id, gateway);
        self.due.insert((due, ask.id));
        Leased {
            totals: self.totals,
            lease,
            since,
        }
    }
}
