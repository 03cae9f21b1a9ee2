//! The store on a real Redis or Valkey server, which is killed and started again without its data.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use api::{GatewayConfig, budget::Amount};
use credentials::SharedTimeSource;
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        Budgets, Need, Reservation, Spent,
        account::{Account, Hold, LEASE_MILLIS, Totals},
        holds::millis,
    },
    *,
};
use crate::{
    http::{error::GatewayError, over_limit::Subject},
    telemetry::metrics::{Conventions, Metrics},
};

/// Server programs, in order of preference.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// A server without persistence on a free loopback port; killed when dropped.
struct Server {
    port: u16,
    process: Child,
    directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = TcpListener::bind(free)
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let directory = tempfile::tempdir().unwrap();
        let process = Self::run(port, &directory);
        Self {
            port,
            process,
            directory,
        }
    }

    fn run(port: u16, directory: &tempfile::TempDir) -> Child {
        let port = port.to_string();
        let arguments = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
            &port,
        ];
        let started = PROGRAMS.iter().find_map(|program| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(directory.path());
            command.stdout(Stdio::null()).spawn().ok()
        });
        started.expect(
            "valkey-server or redis-server is required: on Debian, apt-get install redis-server",
        )
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a new server without data.
    fn revive(&mut self) {
        self.process = Self::run(self.port, &self.directory);
    }

    fn restart(&mut self) {
        self.kill();
        self.revive();
    }

    fn settings(&self) -> RedisStore {
        RedisStore {
            url: format!("redis://127.0.0.1:{}", self.port),
            credentials_directory: None,
        }
    }

    async fn store(&self) -> Store {
        let store = Store::start(&self.settings()).unwrap();
        eventually(|| store.is_up()).await;
        store
    }

    /// What one gateway process has.
    async fn gateway(&self, budgets: &str) -> Arc<Budgets> {
        let text = format!(
            "{{access: {{namespace: team-a, name: chat}}, limits: {{budgets: [{budgets}], store: {{redis: {{url: '{}'}}}}}}}}",
            self.settings().url
        );
        let config = GatewayConfig::from_yaml(&text).unwrap();
        let metrics = Metrics::new(Conventions::default());
        let budgets = Budgets::compile(&config, std::iter::empty(), &metrics, None)
            .unwrap()
            .unwrap();
        eventually(|| budgets.store_is_up() == Some(true)).await;
        Arc::new(budgets)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn eventually(mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !check() {
        assert!(Instant::now() < end, "not in time");
        // sleep: polls a server of another process
        sleep(Duration::from_millis(5)).await;
    }
}

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
        by_share: false,
        local: Arc::default(),
    })
}

/// An account of the store, and the same in memory.
struct Pair {
    budget: Arc<Budget>,
    account: Account,
}

#[tokio::test]
async fn scripts_do_the_arithmetic_of_accounts_in_memory() {
    let server = Server::start();
    let store = server.store().await;
    let mut rng = Rng::with_seed(11);
    // Large amounts, which doubles must keep.
    let limits = [5_000, 9_007_199_254_740_990];
    let mut pairs = limits.map(|limit| Pair {
        budget: budget(limit),
        account: Account::default(),
    });
    let mut holds: Vec<(u64, Spent)> = Vec::new();
    let mut refused = 0;
    for step in 0..600_u64 {
        let now = millis(&clock());
        match rng.u64(..10) {
            0..5 => {
                let floor = rng.u64(..50);
                let need = Need::between(tokens(floor), tokens(floor + rng.u64(..500)));
                // Sometimes a repetition.
                let id = if step % 20 == 3 {
                    holds.last().map_or(1, |hold| hold.0)
                } else {
                    rng.u64(..)
                };
                let request = Holds::new(pairs.iter().map(|pair| &pair.budget), id, &need, now);
                let hold = Hold {
                    floor,
                    most: need.most().tokens,
                };
                let fits = pairs
                    .iter()
                    .zip(limits)
                    .all(|(pair, limit)| pair.account.fits(id, hold, limit));
                let totals = pairs.iter_mut().map(|pair| {
                    if fits {
                        pair.account.hold(id, hold, now);
                    }
                    pair.account.totals()
                });
                let expected = Reply::Decided {
                    fits,
                    totals: totals.collect(),
                };
                let reply = store.reserve(&request, now).await.unwrap();
                assert_eq!(reply, expected, "step {step}");
                if fits {
                    holds.push((id, need.most()));
                } else {
                    refused += 1;
                }
            }
            5..9 if !holds.is_empty() => {
                let (id, most) = holds[rng.usize(..holds.len())];
                let cost = most.tokens / 3;
                for pair in &mut pairs {
                    pair.account.settle(id, cost, now);
                    store.settle(Charge {
                        window: pair.budget.window(now),
                        budget: Arc::clone(&pair.budget),
                        id,
                        cost,
                    });
                }
                store.settled().await;
            }
            _ if step % 7 == 0 => {
                // As if the leases were over.
                for pair in &mut pairs {
                    let [_, due] = keys(&pair.budget.key, pair.budget.window(now));
                    let mut redis = store.shared.server.connection().unwrap().0.clone();
                    for (id, _) in &holds {
                        let mut command = redis::cmd("ZADD");
                        command.arg(&due).arg("XX").arg(0).arg(id);
                        command.query_async::<()>(&mut redis).await.unwrap();
                    }
                    pair.account.expire(now + LEASE_MILLIS);
                    // Settled holds are forgotten in the store, too.
                }
                holds.clear();
            }
            _ => {}
        }
    }
    assert!(refused > 20, "{refused}");
    assert!(pairs[0].account.totals().spent > 3_000);
}

#[tokio::test]
async fn large_amounts_are_exact() {
    let server = Server::start();
    let store = server.store().await;
    let limit = 9_007_199_254_740_990;
    let budget = budget(limit);
    let now = millis(&clock());
    let request = |id, most| {
        Holds::new(
            [&budget].into_iter(),
            id,
            &Need::between(tokens(most), tokens(most)),
            now,
        )
    };
    let held = |held| vec![Totals { spent: 0, held }];
    let first = store.reserve(&request(1, limit - 3), now).await.unwrap();
    assert_eq!(
        first,
        Reply::Decided {
            fits: true,
            totals: held(limit - 3)
        }
    );
    let second = store.reserve(&request(2, 4), now).await.unwrap();
    assert_eq!(
        second,
        Reply::Decided {
            fits: false,
            totals: held(limit - 3)
        }
    );
    let third = store.reserve(&request(3, 3), now).await.unwrap();
    assert_eq!(
        third,
        Reply::Decided {
            fits: true,
            totals: held(limit)
        }
    );
}

#[tokio::test]
async fn the_clock_of_the_store_decides_the_window() {
    let server = Server::start();
    let store = server.store().await;
    let budget = budget(100);
    let own = millis(&clock());
    let wrong = own + 90 * 86_400_000;
    let need = Need::between(tokens(1), tokens(1));
    let request = Holds::new([&budget].into_iter(), 1, &need, wrong);
    let Some(Reply::Outside { now }) = store.reserve(&request, wrong).await else {
        panic!("the store accepted another window")
    };
    assert!(now.abs_diff(own) < 60_000, "{now} is not {own}");
    // The gateway corrects its clock by the difference.
    assert!(store.time(wrong).abs_diff(own) < 60_000);
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
    assert!(billed * 1000 <= LIMIT * 1005, "{billed} of {LIMIT}");
    assert!(billed * 1000 >= LIMIT * 985, "{billed} of {LIMIT}");
    let limit = Duration::from_secs(30);
    for gateway in &gateways {
        gateway.flush(limit).await;
    }
}
