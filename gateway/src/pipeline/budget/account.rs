//! The account of one budget in one window: what is spent, and what requests in progress hold. Pure: the time is an
//! argument.
//!
//! A request holds the most that it can cost before it is sent, and is settled with its cost when it ends. A hold that
//! is not settled within its lease belonged to a gateway that stopped: its floor is spent, the rest is returned. A
//! second settlement of the same hold changes nothing, so that a gateway can repeat it. The scripts of the store do the
//! same arithmetic; `store/tests.rs` compares them.

use std::collections::{BTreeSet, HashMap};

/// Time after which a hold without settlement ends. Longer than almost every response.
pub(super) const LEASE_MILLIS: u64 = 15 * 60 * 1000;
/// Time for which an expired hold is remembered: a slow request replaces its floor by its cost.
pub(super) const REMEMBERED_MILLIS: u64 = 15 * 60 * 1000;
/// Time for which a settled hold is remembered, so that a repeated settlement is recognized.
pub(super) const SETTLED_MILLIS: u64 = 2 * 60 * 1000;

/// A part of a budget that one request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// What the request costs at least: its input.
    pub(super) floor: u64,
    /// What the request costs at most.
    pub(super) most: u64,
}

/// The state of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Cost of ended requests.
    pub(super) spent: u64,
    /// What requests in progress hold.
    pub(super) held: u64,
}

/// An account.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    totals: Totals,
    holds: HashMap<u64, State>,
    /// When each hold changes its state, in milliseconds since 1970.
    due: BTreeSet<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open {
        hold: Hold,
        due: u64,
    },
    /// Ended without settlement; the floor is spent.
    Expired {
        floor: u64,
        due: u64,
    },
    /// Until this time.
    Settled(u64),
}

impl Account {
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Raises what is spent to an amount that is known to be spent.
    pub(super) fn raise(&mut self, spent: u64) {
        self.totals.spent = self.totals.spent.max(spent);
    }

    /// Ends holds whose lease is over, and forgets those that ended long ago.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some(&(due, id)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            match self.holds.remove(&id) {
                Some(State::Open { hold, .. }) => {
                    self.totals.held = self.totals.held.saturating_sub(hold.most);
                    self.totals.spent = self.totals.spent.saturating_add(hold.floor);
                    let due = now.saturating_add(REMEMBERED_MILLIS);
                    let floor = hold.floor;
                    self.holds.insert(id, State::Expired { floor, due });
                    self.due.insert((due, id));
                }
                Some(State::Expired { .. } | State::Settled(_)) | None => {}
            }
        }
    }

    /// Whether a hold fits into the limit, or exists.
    pub(super) fn fits(&self, id: u64, hold: Hold, limit: u64) -> bool {
        let Totals { spent, held } = self.totals;
        let total = spent.saturating_add(held).saturating_add(hold.most);
        self.holds.contains_key(&id) || total <= limit
    }

    /// Adds a hold, unless it exists.
    pub(super) fn hold(&mut self, id: u64, hold: Hold, now: u64) {
        if self.holds.contains_key(&id) {
            return;
        }
        let due = now.saturating_add(LEASE_MILLIS);
        self.totals.held = self.totals.held.saturating_add(hold.most);
        self.holds.insert(id, State::Open { hold, due });
        self.due.insert((due, id));
    }

    /// Replaces a hold by the cost of its request. A hold that was lost is not needed.
    pub(super) fn settle(&mut self, id: u64, cost: u64, now: u64) {
        let spent = self.totals.spent;
        self.totals.spent = match self.holds.get(&id).copied() {
            Some(State::Settled(_)) => return,
            Some(State::Open { hold, due }) => {
                self.totals.held = self.totals.held.saturating_sub(hold.most);
                self.due.remove(&(due, id));
                spent.saturating_add(cost)
            }
            Some(State::Expired { floor, due }) => {
                self.due.remove(&(due, id));
                spent.saturating_sub(floor).saturating_add(cost)
            }
            None => spent.saturating_add(cost),
        };
        self.holds
            .insert(id, State::Settled(now.saturating_add(SETTLED_MILLIS)));
        self.due.insert((now.saturating_add(SETTLED_MILLIS), id));
    }

    /// Forgets a settled hold, if its settlement is never repeated.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(State::Settled(due)) = self.holds.get(&id).copied() {
            self.holds.remove(&id);
            self.due.remove(&(due, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_800_000_000_000;

    fn hold(floor: u64, most: u64) -> Hold {
        Hold { floor, most }
    }

    fn totals(spent: u64, held: u64) -> Totals {
        Totals { spent, held }
    }

    #[test]
    fn settlement_replaces_the_hold_and_happens_once() {
        let mut account = Account::default();
        account.hold(1, hold(2, 10), START);
        assert_eq!(account.totals(), totals(0, 10));
        for _ in 0..3 {
            account.settle(1, 7, START + 1);
            assert_eq!(account.totals(), totals(7, 0));
        }
        // A repeated request for the hold changes nothing, either.
        account.hold(1, hold(2, 10), START + 2);
        assert_eq!(account.totals(), totals(7, 0));
    }

    #[test]
    fn expired_hold_spends_its_floor_and_returns_the_rest() {
        let mut account = Account::default();
        account.hold(1, hold(2, 10), START);
        account.expire(START + LEASE_MILLIS - 1);
        assert_eq!(account.totals(), totals(0, 10));
        account.expire(START + LEASE_MILLIS);
        assert_eq!(account.totals(), totals(2, 0));
        // The request was only slow: its cost replaces the floor.
        account.settle(1, 7, START + LEASE_MILLIS + 1);
        account.settle(1, 7, START + LEASE_MILLIS + 2);
        assert_eq!(account.totals(), totals(7, 0));
    }

    #[test]
    fn request_that_cost_more_than_it_held_is_spent_in_full() {
        let mut account = Account::default();
        account.hold(1, hold(2, 10), START);
        account.settle(1, 25, START);
        assert_eq!(account.totals(), totals(25, 0));
        assert!(!account.fits(2, hold(0, 1), 25));
    }

    #[test]
    fn lost_account_is_raised_to_what_is_known_and_never_lowered() {
        let mut account = Account::default();
        account.raise(90);
        account.raise(80);
        account.settle(1, 5, START);
        assert_eq!(account.totals(), totals(95, 0));
    }

    #[test]
    fn ended_holds_are_forgotten() {
        let mut account = Account::default();
        for id in 0..100 {
            account.hold(id, hold(1, 1), START);
            if id % 2 == 0 {
                account.settle(id, 1, START);
            }
        }
        account.expire(START + LEASE_MILLIS);
        account.expire(START + LEASE_MILLIS + REMEMBERED_MILLIS);
        assert!(account.holds.is_empty() && account.due.is_empty());
        assert_eq!(account.totals(), totals(100, 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Holds { floor: u64, more: u64 },
        Settle { which: usize, percent: u64 },
        Pass { millis: i64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..50_u64, 0..200_u64).prop_map(|(floor, more)| Step::Holds { floor, more }),
            (any::<usize>(), 0..=100_u64)
                .prop_map(|(which, percent)| Step::Settle { which, percent }),
            // Also backwards.
            (-600_000..600_000_i64).prop_map(|millis| Step::Pass { millis }),
        ]
    }

    proptest! {
        /// Requests in progress never exceed the limit together, whatever ends, expires, repeats or runs backwards.
        #[test]
        fn requests_that_cost_at_most_what_they_hold_never_exceed_the_limit(
            steps in prop::collection::vec(step(), 1..300),
            limit in 1..5_000_u64,
        ) {
            let mut account = Account::default();
            let mut now = START;
            let mut holds = Vec::new();
            let mut last_spent = 0;
            for (id, step) in (0_u64..).zip(steps) {
                account.expire(now);
                match step {
                    Step::Holds { floor, more } => {
                        let asked = hold(floor, floor + more);
                        if account.fits(id, asked, limit) {
                            account.hold(id, asked, now);
                            holds.push((id, asked));
                        }
                    }
                    Step::Settle { which, percent } if !holds.is_empty() => {
                        let (id, hold) = holds[which % holds.len()];
                        let cost = hold.floor + (hold.most - hold.floor) * percent / 100;
                        // A request that outlives its lease is spent in full and can exceed the limit.
                        let state = account.holds.get(&id);
                        if matches!(state, Some(State::Open { .. } | State::Settled(_))) {
                            account.settle(id, cost, now);
                        }
                    }
                    Step::Settle { .. } => {}
                    Step::Pass { millis } => now = now.saturating_add_signed(millis),
                }
                let Totals { spent, held } = account.totals();
                prop_assert!(spent + held <= limit, "{spent} + {held} > {limit}");
                prop_assert!(spent >= last_spent);
                last_spent = spent;
                let open: u64 = account.holds.values().filter_map(|state| match state {
                    State::Open { hold, .. } => Some(hold.most),
                    _ => None,
                }).sum();
                prop_assert_eq!(held, open);
            }
        }
    }
}
