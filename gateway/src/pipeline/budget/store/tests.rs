//! The store on a real Redis or Valkey server, which is killed and started again without its data.

mod server;

use std::{sync::Arc, time::Duration};

use api::budget::Amount;
use credentials::SharedTimeSource;
use fastrand::Rng;
use tokio::time::Instant;

use self::server::{Server, eventually};
use super::{
    super::{
        Budgets, Need, Reservation, Spent,
        account::Within,
        holds::Holds,
        ledger::{LEASE_MILLIS, Ledger, REMEMBERED_MILLIS},
    },
    *,
};
use crate::http::{error::GatewayError, over_limit::Subject, time::millis};

fn clock() -> SharedTimeSource {
    SharedTimeSource::default()
}

fn tokens(tokens: u64) -> Spent {
    Spent {
        tokens,
        nanodollars: 0,
    }
}

fn budget(limit: u64) -> Arc<Budget> {
    let terms = format!("{{period: Month, tokens: {limit}}}");
    Arc::new(Budget {
        subject: Subject::Gateway,
        terms: serde_yaml::from_str(&terms).unwrap(),
        amount: Amount::Tokens(limit),
        key: key("gateway", None, &format!("month:{limit}")),
        name: String::new(),
        local: Arc::default(),
    })
}

/// An account of the store, and the same in memory.
struct Pair {
    budget: Arc<Budget>,
    ledger: Ledger,
    /// When the ledger began, and when the account of the store did.
    since: [u64; 2],
    asked: Vec<Ask>,
}

impl Pair {
    fn new(limit: u64) -> Self {
        Self {
            budget: budget(limit),
            ledger: Ledger::default(),
            since: [0; 2],
            asked: Vec::new(),
        }
    }

    /// A gateway asks: a new one, one that has asked before, or the same again.
    fn ask(&mut self, rng: &mut Rng) -> Ask {
        let ask = match self.asked.last() {
            Some(last) if rng.u64(..8) == 0 => *last,
            _ => {
                let before = self.asked.iter().rev();
                let id = rng.u64(..6);
                let before = before.clone().find(|ask| ask.id == id).copied();
                let unconfirmed = rng.u64(..200);
                Ask {
                    id,
                    // Rarely more than the store: it has restored an earlier state.
                    known: self.ledger.totals().spent + 30 * u64::from(rng.u64(..25) == 0),
                    // What it knows is from this store, or rarely from one before it.
                    since: if rng.u64(..25) == 0 { 1 } else { self.since[0] },
                    cost: before.map_or(0, |ask| ask.cost) + unconfirmed,
                    unconfirmed,
                    floor: rng.u64(..50),
                    keep: rng.u64(..300),
                    want: rng.u64(..400),
                    spare: rng.u64(..300),
                }
            }
        };
        self.asked.push(ask);
        ask
    }

    /// What the ledger is asked, for the store.
    fn of_store(&self, ask: Ask) -> Ask {
        let [ledger, store] = self.since;
        let since = if ask.since == ledger { store } else { 1 };
        Ask { since, ..ask }
    }
}

impl Store {
    async fn ask(&self, asked: &[(Place, Ask)]) -> (u64, Vec<Leased>) {
        let mut call = Call::default();
        for (place, ask) in asked {
            place.write(ask, &mut call);
        }
        let mut reply = self.shared.invoke(&call).await.unwrap();
        let time = reply.next_row().unwrap().numbers().next().unwrap();
        let mut row = || leased(&mut reply.next_row()?.numbers());
        (time, asked.iter().map(|_| row().unwrap()).collect())
    }

    /// As if the leases were over.
    async fn end(&self, budget: &Arc<Budget>, window: Window) {
        let [_, due] = keys(&budget.key, window);
        let mut redis = self.shared.server.connection().unwrap().0.clone();
        let mut members = redis::cmd("ZRANGE");
        let ids: Vec<String> = members
            .arg(&due)
            .arg(0)
            .arg(-1)
            .query_async(&mut redis)
            .await
            .unwrap();
        for id in ids {
            let mut command = redis::cmd("ZADD");
            command.arg(&due).arg(0).arg(&id);
            command.query_async::<()>(&mut redis).await.unwrap();
        }
    }
}

#[tokio::test]
async fn script_does_the_arithmetic_of_the_ledger_in_memory() {
    let server = Server::start();
    let store = server.store().await;
    let mut rng = Rng::with_seed(11);
    // Large amounts, which doubles must keep.
    let mut pairs = [5_000, 40_000, 9_007_199_254_740_990].map(Pair::new);
    let mut ended = 0;
    // The time in memory jumps when leases end.
    let (mut jumped, mut restored) = (0, 0);
    for step in 0..600_u64 {
        let mut asked = Vec::new();
        for pair in &mut pairs {
            let ask = pair.ask(&mut rng);
            let budget = Arc::clone(&pair.budget);
            let window = budget.window(millis(clock().now()));
            asked.push((Place { budget, window }, pair.of_store(ask)));
        }
        let (time, found) = store.ask(&asked).await;
        for (pair, found) in pairs.iter_mut().zip(found) {
            let ask = pair.asked.last().unwrap();
            let limit = pair.budget.limit();
            let expected = pair.ledger.ask(ask, limit, true, time + jumped);
            assert_eq!(
                (found.totals, found.lease),
                (expected.totals, expected.lease),
                "step {step}: {ask:?}"
            );
            let began = [expected.since, found.since];
            restored += u64::from(began != pair.since);
            pair.since = began;
        }
        if step % 37 == 0 {
            ended += 1;
            jumped += LEASE_MILLIS + REMEMBERED_MILLIS;
            for (place, _) in &asked {
                store.end(&place.budget, place.window).await;
            }
        }
    }
    assert!(ended > 10 && restored > 10, "{ended} {restored}");
    assert!(pairs[0].ledger.totals().spent > 3_000);
}

#[tokio::test]
async fn the_commands_that_the_guide_permits_are_enough() {
    const GUIDE: &str = include_str!("../../../../../docs/guide/limits.md");
    let quoted = |before: &str| {
        let (_, rest) = GUIDE.split_once(before).unwrap();
        rest.split_once('`').unwrap().0
    };
    let server = Server::start();
    let default = server.store().await;
    let mut redis = default.shared.server.connection().unwrap().0.clone();
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("gateway").arg("on").arg(">secret");
    for rules in [
        quoted("`user gateway on >PASSWORD "),
        quoted("budgets need `"),
    ] {
        user.arg(rules.split(' ').collect::<Vec<_>>());
    }
    user.query_async::<()>(&mut redis).await.unwrap();
    let store = server.store_as("gateway:secret@").await;
    let mut rng = Rng::with_seed(5);
    let mut pair = Pair::new(5_000);
    let window = pair.budget.window(millis(clock().now()));
    let mut began = 0;
    for round in 0..6 {
        // In the last rounds, the server has restored an earlier state.
        let known = if round < 4 { 0 } else { 1_000_000 * round };
        let ask = Ask {
            known,
            since: began,
            ..pair.ask(&mut rng)
        };
        let budget = Arc::clone(&pair.budget);
        let (_, found) = store.ask(&[(Place { budget, window }, ask)]).await;
        assert_eq!(found[0].since != began, round == 0 || round >= 4, "{round}");
        began = found[0].since;
        // Leases end, and then gateways are forgotten.
        default.end(&pair.budget, window).await;
    }
}

#[tokio::test]
async fn large_amounts_are_exact() {
    let server = Server::start();
    let store = server.store().await;
    let limit = 9_007_199_254_740_990;
    let budget = budget(limit);
    let window = budget.window(millis(clock().now()));
    let place = Place { budget, window };
    let ask = |id, want| Ask {
        id,
        known: 0,
        since: 0,
        cost: 0,
        unconfirmed: 0,
        floor: 0,
        keep: 0,
        want,
        spare: 0,
    };
    for (id, want, lease, held) in [
        (1, limit - 3, limit - 3, limit - 3),
        (2, 2, 2, limit - 1),
        (3, 4, 1, limit),
    ] {
        let (_, found) = store.ask(&[(place.clone(), ask(id, want))]).await;
        let totals = Totals { spent: 0, held };
        let [found] = *found else { panic!("{found:?}") };
        assert_eq!((found.totals, found.lease), (totals, lease));
    }
}

#[tokio::test]
async fn the_clock_of_the_store_decides_the_window() {
    let server = Server::start();
    let store = server.store().await;
    let budget = budget(100);
    let own = millis(clock().now());
    let wrong = own + 90 * 86_400_000;
    let need = Need::between(tokens(1), tokens(1));
    let request = Holds::new([&budget].into_iter(), &need, wrong);
    assert!(
        request
            .place(Within::Lease(Instant::now()), Some(&store), wrong)
            .is_err()
    );
    request.want(&store);
    assert!(store.call(wrong).await);
    // Nothing is leased for another window, and the gateway corrects its clock by the difference.
    assert!(
        request
            .place(Within::Lease(Instant::now()), Some(&store), wrong)
            .is_err()
    );
    let now = store.time(wrong);
    assert!(now.abs_diff(own) < 60_000, "{now} is not {own}");
    let request = Holds::new([&budget].into_iter(), &need, now);
    request.want(&store);
    assert!(store.call(wrong).await);
    request
        .place(Within::Lease(Instant::now()), Some(&store), now)
        .unwrap();
}

#[tokio::test]
async fn a_store_that_lost_its_data_continues_with_what_was_spent() {
    let mut server = Server::start();
    let gateway = server.gateway("{period: Month, tokens: 1000}").await;
    let need = Need::between(tokens(1), tokens(400));
    for _ in 0..2 {
        gateway
            .reserve("anonymous", need, &clock())
            .await
            .unwrap()
            .settle(tokens(350));
    }
    gateway.flush(Duration::from_secs(10)).await;
    server.kill();
    // Settled during the outage.
    let open = gateway
        .reserve("anonymous", Need::between(tokens(1), tokens(200)), &clock())
        .await;
    open.unwrap().settle(tokens(150));
    server.revive();
    eventually(|| gateway.store_is_up() == Some(true)).await;
    gateway.flush(Duration::from_secs(10)).await;
    // Another gateway, which has seen none of it.
    let other = server.gateway("{period: Month, tokens: 1000}").await;
    let refused = other
        .reserve("anonymous", Need::between(tokens(1), tokens(200)), &clock())
        .await;
    let GatewayError::OverLimit(over) = refused.unwrap_err() else {
        panic!("another error")
    };
    let message = over.to_string();
    assert!(
        message.contains("may need 200 tokens, and 150 tokens is left"),
        "{message}"
    );
}

#[tokio::test]
async fn costs_that_wait_for_a_store_are_sent_to_the_next_one() {
    let (mut first, second) = (Server::start(), Server::start());
    let terms = "{period: Month, tokens: 1000}";
    let gateway = first.gateway(terms).await;
    let spend = async |gateway: &Budgets, amount| {
        let need = Need::between(tokens(1), tokens(amount));
        let reserved = gateway.reserve("anonymous", need, &clock()).await;
        reserved.map(|reservation| reservation.settle(tokens(amount)))
    };
    first.kill();
    spend(&gateway, 300).await.unwrap();
    let next = second.reloaded(terms, Some(&gateway)).await;
    drop(gateway);
    spend(&next, 200).await.unwrap();
    next.flush(Duration::from_secs(10)).await;
    assert_eq!(next.store_is_up(), Some(true));
    let other = second.gateway(terms).await;
    spend(&other, 501).await.unwrap_err();
    spend(&other, 500).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_returns_what_its_request_held() {
    let server = Server::start();
    let gateway = server.gateway("{period: Day, tokens: 1000}").await;
    let need = Need::between(tokens(100), tokens(900));
    for _ in 0..50 {
        let clock = clock();
        let reserve = gateway.reserve("anonymous", need, &clock);
        // Sent, but not awaited to its end.
        let left = tokio::time::timeout(Duration::from_micros(50), reserve).await;
        drop(left);
        gateway.flush(Duration::from_secs(10)).await;
    }
    let whole = Need::between(tokens(1), tokens(1000));
    let reserved = gateway.reserve("anonymous", whole, &clock()).await;
    reserved.unwrap().settle(tokens(1));
}

#[tokio::test]
async fn a_closed_budget_rejects_requests_without_its_store() {
    let mut server = Server::start();
    let gateway = server
        .gateway("{period: Day, tokens: 1000, onStoreFailure: Closed}")
        .await;
    let need = Need::between(tokens(1), tokens(10));
    gateway
        .reserve("anonymous", need, &clock())
        .await
        .unwrap()
        .settle(tokens(5));
    server.kill();
    let refused = gateway
        .reserve("anonymous", need, &clock())
        .await
        .unwrap_err();
    assert!(matches!(refused, GatewayError::BudgetStore), "{refused}");
    server.revive();
    eventually(|| gateway.store_is_up() == Some(true)).await;
    gateway.reserve("anonymous", need, &clock()).await.unwrap();
}

/// 20,000 decisions of four gateways; the server is killed six times, and a gateway five times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budget_holds_while_a_real_store_and_gateways_restart() {
    const LIMIT: u64 = 1_000_000;
    const DECISIONS: u64 = 20_000;
    let mut server = Server::start();
    let terms = format!("{{period: Month, tokens: {LIMIT}}}");
    let mut gateways = Vec::new();
    for _ in 0..4 {
        gateways.push(server.gateway(&terms).await);
    }
    let mut rng = Rng::with_seed(3);
    let mut open: Vec<(usize, Reservation, u64)> = Vec::new();
    let (mut billed, mut admitted, mut refused) = (0_u64, 0_u64, 0_u64);
    for decision in 1..=DECISIONS {
        let chosen = rng.usize(..gateways.len());
        let floor = rng.u64(1..50);
        let cost = floor + rng.u64(..60);
        let need = Need::between(tokens(floor), tokens(cost + rng.u64(..60)));
        let mut reserved = gateways[chosen].reserve("anonymous", need, &clock()).await;
        if reserved.is_err() && gateways[chosen].used(&clock())[0].1 < 0.99 {
            // Costs on their way to the store are still held.
            for gateway in &gateways {
                gateway.flush(Duration::from_secs(10)).await;
            }
            reserved = gateways[chosen].reserve("anonymous", need, &clock()).await;
        }
        match reserved {
            Ok(reservation) => {
                admitted += 1;
                open.push((chosen, reservation, cost));
            }
            Err(GatewayError::OverLimit(_)) => {
                refused += 1;
                let known = gateways[chosen].used(&clock())[0].1;
                assert!(known >= 0.99, "refused at {known}");
            }
            Err(error) => panic!("{error}"),
        }
        if open.len() > 20 {
            let (_, reservation, cost) = open.swap_remove(rng.usize(..open.len()));
            billed += cost;
            reservation.settle(tokens(cost));
        }
        match decision % 3_000 {
            0 => server.restart(),
            // Until now, gateways have noticed the outage and decided alone.
            50 => {
                let up = |gateway: &Arc<Budgets>| gateway.store_is_up() == Some(true);
                eventually(|| gateways.iter().all(up)).await;
                // One that has not noticed it notices by its next call.
                for gateway in &gateways {
                    gateway.flush(Duration::from_secs(10)).await;
                }
            }
            _ => {}
        }
        if decision % 4_000 == 1_000 {
            let killed = rng.usize(..gateways.len());
            gateways[killed].flush(Duration::from_secs(10)).await;
            gateways[killed] = server.gateway(&terms).await;
            // Its requests in progress are lost with it; AWS bills their input.
            let (lost, rest): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|(of, ..)| *of == killed);
            open = rest;
            for (_, reservation, _) in lost {
                billed += reservation.need().least().tokens;
                // A killed process returns nothing.
                std::mem::forget(reservation);
            }
        }
    }
    for (_, reservation, cost) in open {
        billed += cost;
        reservation.settle(tokens(cost));
    }
    assert!(admitted > 10_000 && refused > 1_000, "{admitted} {refused}");
    // Costs that a restarted store forgets are 0.3 % and more.
    assert!(billed * 1000 <= LIMIT * 1002, "{billed} of {LIMIT}");
    assert!(billed * 1000 >= LIMIT * 985, "{billed} of {LIMIT}");
    let limit = Duration::from_secs(30);
    for gateway in &gateways {
        gateway.flush(limit).await;
    }
}
