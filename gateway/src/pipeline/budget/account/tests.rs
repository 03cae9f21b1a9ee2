use proptest::prelude::*;

use super::{super::ledger::Ledger, *};

const START: u64 = 1_800_000_000_000;
const LIMIT: u64 = 1_000_000;

fn hold(floor: u64, most: u64) -> Hold {
    Hold { floor, most }
}

fn totals(spent: u64, held: u64) -> Totals {
    Totals { spent, held }
}

/// The time of all tests: of a busy gateway from two requests on.
fn now() -> Instant {
    static NOW: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *NOW.get_or_init(Instant::now)
}

/// A call of the store.
fn call(account: &mut Account, ledger: &mut Ledger) -> Option<Next> {
    call_at(account, ledger, START)
}

fn call_at(account: &mut Account, ledger: &mut Ledger, time: u64) -> Option<Next> {
    let ask = account.ask(LIMIT, now())?;
    let leased = ledger.ask(&ask, LIMIT, true, time);
    Some(account.adopt(&ask, leased))
}

/// Calls of a store that has lost data, whether or not something has changed.
fn call_again<'a>(accounts: impl IntoIterator<Item = &'a mut Account>, ledger: &mut Ledger) {
    for account in accounts {
        account.renew();
        call_at(account, ledger, START + 1);
    }
}

#[test]
fn a_lone_request_leases_what_it_needs_and_returns_it() {
    let (mut account, mut ledger) = (Account::default(), Ledger::default());
    let one = hold(2, 10);
    assert!(account.hold(one, Within::Lease(now()), LIMIT).is_err());
    assert!(account.want(one));
    assert_eq!(call(&mut account, &mut ledger), Some(Next::Queue));
    assert_eq!(ledger.totals(), totals(0, 10));
    assert_eq!(account.hold(one, Within::Lease(now()), LIMIT), Ok(false));
    // The store knows the request, also its input.
    assert_eq!(call(&mut account, &mut ledger), None);
    assert!(account.settle(one, 7));
    assert_eq!(account.spent(), 7);
    assert_eq!(call(&mut account, &mut ledger), Some(Next::Close));
    assert_eq!(ledger.totals(), totals(7, 0));
}

#[test]
fn a_busy_gateway_leases_in_advance() {
    let (mut account, mut ledger) = (Account::default(), Ledger::default());
    let one = hold(2, 10);
    let wanted: Vec<bool> = (0..3).map(|_| account.want(one)).collect();
    assert_eq!(wanted, [true, false, false]);
    call(&mut account, &mut ledger);
    for _ in 0..3 {
        account.hold(one, Within::Lease(now()), LIMIT).unwrap();
    }
    account.settle(one, 7);
    call(&mut account, &mut ledger);
    assert_eq!(ledger.totals(), totals(7, 20 + 30));
    // Without a call, and the store learns of its input.
    assert_eq!(account.hold(one, Within::Lease(now()), LIMIT), Ok(false));
    assert_eq!(account.hold(one, Within::Lease(now()), LIMIT), Ok(false));
    // What is not used is returned.
    let later = now() + std::time::Duration::from_secs(1);
    let ask = account.ask(LIMIT, later).unwrap();
    assert_eq!((ask.keep, ask.want, ask.spare), (40, 0, 0));
    let leased = ledger.ask(&ask, LIMIT, true, START);
    assert_eq!(account.adopt(&ask, leased), Next::Wait);
    assert_eq!(ledger.totals(), totals(7, 40));
}

#[test]
fn what_fits_is_kept_for_a_request_that_waits_for_another_budget() {
    let (mut account, mut ledger) = (Account::default(), Ledger::default());
    let one = hold(2, 10);
    for _ in 0..2 {
        account.want(one);
        call(&mut account, &mut ledger);
        assert_eq!(ledger.totals(), totals(0, 10));
    }
}

#[test]
fn the_refusal_is_final_if_the_budget_has_too_little_left() {
    let (mut account, mut ledger) = (Account::default(), Ledger::default());
    let most = hold(1, LIMIT - 5);
    account.want(most);
    call(&mut account, &mut ledger);
    account.hold(most, Within::Lease(now()), LIMIT).unwrap();
    let short = account
        .hold(hold(1, 6), Within::Lease(now()), LIMIT)
        .unwrap_err();
    assert_eq!(
        short,
        Short {
            totals: totals(0, LIMIT - 5),
            is_spent: true
        }
    );
    let fits = account
        .hold(hold(1, 5), Within::Lease(now()), LIMIT)
        .unwrap_err();
    assert!(!fits.is_spent, "the store can be asked");
    // During an outage, this gateway decides.
    account.hold(hold(1, 6), Within::Budget, LIMIT).unwrap_err();
    account.hold(hold(1, 5), Within::Budget, LIMIT).unwrap();
}

#[test]
fn a_store_that_lost_its_data_continues_with_what_is_known() {
    let (mut account, mut ledger) = (Account::default(), Ledger::default());
    let mut other = Account::default();
    for (account, cost) in [(&mut account, 40), (&mut other, 50)] {
        account.settle(hold(0, 0), cost);
        call(account, &mut ledger);
    }
    // Adopts what the other has spent.
    account.renew();
    call(&mut account, &mut ledger);
    account.settle(hold(0, 0), 3);
    let mut ledger = Ledger::default();
    call_at(&mut account, &mut ledger, START + 1);
    assert_eq!(ledger.totals(), totals(93, 0));
    other.settle(hold(0, 0), 1);
    call_at(&mut other, &mut ledger, START + 1);
    assert_eq!(ledger.totals(), totals(94, 0));
}

#[test]
fn a_store_that_lost_its_data_has_the_costs_of_all_in_any_order() {
    for informed_first in [false, true] {
        let mut ledger = Ledger::default();
        // The first one does not know what the second has spent.
        let mut accounts = [40, 50].map(|cost| {
            let mut account = Account::default();
            account.settle(hold(0, 0), cost);
            call(&mut account, &mut ledger);
            // During the outage.
            account.settle(hold(0, 0), 7);
            account
        });
        if informed_first {
            accounts.reverse();
        }
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            call_again(&mut accounts, &mut ledger);
            assert_eq!(ledger.totals(), totals(104, 0));
        }
    }
}

#[test]
fn a_store_that_restored_an_earlier_state_has_the_costs_of_all() {
    let (mut ledger, mut one) = (Ledger::default(), Account::default());
    one.settle(hold(0, 0), 40);
    call(&mut one, &mut ledger);
    let mut restored = ledger.clone();
    // The second has begun since.
    let mut two = Account::default();
    for (account, cost) in [(&mut one, 5), (&mut two, 50)] {
        account.settle(hold(0, 0), cost);
        call(account, &mut ledger);
    }
    for (account, cost) in [(&mut one, 3), (&mut two, 4)] {
        account.settle(hold(0, 0), cost);
    }
    for _ in 0..3 {
        call_again([&mut two, &mut one], &mut restored);
    }
    assert_eq!(restored.totals(), totals(102, 0));
}

#[test]
fn a_gateway_that_stops_has_spent_the_input_of_its_requests() {
    use super::super::ledger::{LEASE_MILLIS, REMEMBERED_MILLIS};
    let (mut account, mut ledger) = (Account::default(), Ledger::default());
    account.want(hold(3, 10));
    call(&mut account, &mut ledger);
    account
        .hold(hold(3, 10), Within::Lease(now()), LIMIT)
        .unwrap();
    ledger.end_leases(START + LEASE_MILLIS - 1);
    assert_eq!(ledger.totals(), totals(0, 10));
    ledger.end_leases(START + LEASE_MILLIS);
    assert_eq!(ledger.totals(), totals(3, 0));
    // It was only cut off: its cost replaces the input.
    account.settle(hold(3, 10), 8);
    let ask = account.ask(LIMIT, now()).unwrap();
    for _ in 0..2 {
        let leased = ledger.ask(&ask, LIMIT, true, START + LEASE_MILLIS + 1);
        assert_eq!(leased.totals, totals(8, 0));
    }
    let end = START + 2 * LEASE_MILLIS + REMEMBERED_MILLIS + 1;
    ledger.end_leases(end);
    ledger.end_leases(end + REMEMBERED_MILLIS);
    assert_eq!(ledger.totals(), totals(8, 0));
}

#[test]
fn requests_that_cost_more_than_they_held_are_spent_in_full() {
    let (mut account, mut ledger) = (Account::default(), Ledger::default());
    account.want(hold(2, 10));
    call(&mut account, &mut ledger);
    account
        .hold(hold(2, 10), Within::Lease(now()), LIMIT)
        .unwrap();
    account.settle(hold(2, 10), LIMIT + 5);
    call(&mut account, &mut ledger);
    assert_eq!(ledger.totals(), totals(LIMIT + 5, 0));
    let short = account
        .hold(hold(0, 1), Within::Lease(now()), LIMIT)
        .unwrap_err();
    assert!(short.is_spent);
}

#[derive(Clone, Debug)]
enum Step {
    Holds { floor: u64, more: u64 },
    Settle { which: usize, percent: u64 },
    Send,
    Serve,
    Receive,
    Lose,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        4 => (0..50_u64, 0..200_u64).prop_map(|(floor, more)| Step::Holds { floor, more }),
        3 => (any::<usize>(), 0..=100_u64)
            .prop_map(|(which, percent)| Step::Settle { which, percent }),
        2 => Just(Step::Send),
        2 => Just(Step::Serve),
        2 => Just(Step::Receive),
        1 => Just(Step::Lose),
    ];
    (0..3_usize, step)
}

/// A gateway with its requests in progress, and a call on its way.
#[derive(Default)]
struct Gateway {
    account: Account,
    open: Vec<Hold>,
    billed: u64,
    call: Option<(Ask, Option<Leased>)>,
}

proptest! {
    /// What is billed and what requests in progress can cost never exceed the limit, whatever is lost on its way.
    #[test]
    fn gateways_never_exceed_a_budget_together(
        steps in prop::collection::vec(step(), 1..400),
        limit in 1..5_000_u64,
    ) {
        let mut ledger = Ledger::default();
        let mut gateways: [Gateway; 3] = std::array::from_fn(|_| Gateway::default());
        for (which, step) in steps {
            let gateway = &mut gateways[which];
            let account = &mut gateway.account;
            match step {
                Step::Holds { floor, more } => {
                    let asked = hold(floor, floor + more);
                    if account.hold(asked, Within::Lease(now()), limit).is_ok() {
                        gateway.open.push(asked);
                    } else {
                        account.want(asked);
                    }
                }
                Step::Settle { which, percent } if !gateway.open.is_empty() => {
                    let hold = gateway.open.swap_remove(which % gateway.open.len());
                    let cost = hold.floor + (hold.most - hold.floor) * percent / 100;
                    gateway.billed += cost;
                    account.settle(hold, cost);
                }
                Step::Send if gateway.call.is_none() => {
                    gateway.call = account.ask(limit, now()).map(|ask| (ask, None));
                }
                Step::Serve => {
                    if let Some((ask, leased)) = &mut gateway.call {
                        // Also twice.
                        *leased = Some(ledger.ask(ask, limit, true, START));
                    }
                }
                Step::Receive => {
                    if let Some((ask, Some(leased))) = &gateway.call {
                        account.adopt(ask, *leased);
                        gateway.call = None;
                    }
                }
                Step::Lose if gateway.call.take().is_some() => {
                    account.renew();
                }
                Step::Settle { .. } | Step::Send | Step::Lose => {}
            }
            let billed: u64 = gateways.iter().map(|gateway| gateway.billed).sum();
            let open = gateways.iter().flat_map(|gateway| &gateway.open);
            let open: u64 = open.map(|hold| hold.most).sum();
            prop_assert!(billed + open <= limit, "{billed} and {open} of {limit}");
        }
        // At the end, the store has every cost once, and no lease.
        for gateway in &mut gateways {
            if gateway.call.take().is_some() {
                gateway.account.renew();
            }
            for hold in std::mem::take(&mut gateway.open) {
                gateway.billed += hold.most;
                gateway.account.settle(hold, hold.most);
            }
            let later = now() + std::time::Duration::from_secs(1);
            while let Some(ask) = gateway.account.ask(limit, later) {
                let leased = ledger.ask(&ask, limit, true, START);
                gateway.account.adopt(&ask, leased);
            }
            prop_assert!(gateway.account.is_settled());
        }
        let billed = gateways.iter().map(|gateway| gateway.billed).sum();
        prop_assert_eq!(ledger.totals(), totals(billed, 0));
    }
}
