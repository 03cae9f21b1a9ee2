//! Budgets of a gateway process that is killed with SIGKILL at random moments, with a real Redis or Valkey server: its ledger is
//! whole, and no request is lost or counted twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use awsdouble::{Config, Double, allow_bedrock};
use fastrand::Rng;
use futures::{StreamExt as _, stream};
use redis::{AsyncCommands as _, aio::MultiplexedConnection};
use serde_json::{Value, json};

use crate::{
    ledger::{bill, document, lines},
    process::Process,
    rig::{ACCESS_KEY, SECRET_KEY, eventually},
    store_server::{PASSWORD, Server},
};

/// Times that the gateway is killed in the usual test, and in the long one.
const FEW: usize = 5;
const MANY: usize = 100;
const CONCURRENT: usize = 8;
/// No request of this test needs more tokens.
const MOST_OF_A_REQUEST: u64 = 200;

/// The account of the budget in the store.
#[derive(Debug)]
struct Account {
    due: String,
    spent: u64,
    held: u64,
    /// The input of its requests, and the lease, of each gateway that has one.
    open: BTreeMap<String, (u64, u64)>,
}

impl Account {
    async fn read(redis: &mut MultiplexedConnection) -> Self {
        let keys: Vec<String> = redis.keys("bedrockaccess:*:budget:*").await.unwrap();
        let (due, accounts): (Vec<String>, Vec<String>) =
            keys.into_iter().partition(|key| key.ends_with(":due"));
        assert_eq!((due.len(), accounts.len()), (1, 1), "{due:?} {accounts:?}");
        let fields: BTreeMap<String, String> = redis.hgetall(&accounts[0]).await.unwrap();
        let number = |text: &str| text.parse::<u64>().unwrap();
        let open = fields.iter().filter_map(|(id, state)| {
            // After its lease, the first word of a gateway is "x".
            let words: Vec<&str> = state.split(' ').collect();
            let [cost, floor, lease] = words[..] else {
                return None;
            };
            (cost != "x" && lease != "0").then(|| (id.clone(), (number(floor), number(lease))))
        });
        Self {
            due: due[0].clone(),
            spent: number(&fields["s"]),
            held: number(&fields["h"]),
            open: open.collect(),
        }
    }

    /// Ends all leases.
    async fn expire(&self, redis: &mut MultiplexedConnection) {
        for id in self.open.keys() {
            let mut command = redis::cmd("ZADD");
            command.arg(&self.due).arg("XX").arg(0).arg(id);
            command.query_async::<()>(redis).await.unwrap();
        }
    }

    fn sum(&self, part: impl Fn(&(u64, u64)) -> u64) -> u64 {
        self.open.values().map(part).sum()
    }
}

/// What is under test.
struct World {
    directory: tempfile::TempDir,
    server: Server,
    double: Double,
    redis: MultiplexedConnection,
}

impl World {
    async fn start() -> Self {
        let server = Server::start();
        let url = server.url.replace("://", &format!("://:{PASSWORD}@"));
        let client = redis::Client::open(url).unwrap();
        let mut redis = None;
        eventually("the server is up", async || {
            redis = client.get_multiplexed_async_connection().await.ok();
            redis.is_some()
        })
        .await;
        let user = Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, allow_bedrock());
        Self {
            directory: tempfile::tempdir().unwrap(),
            server,
            double: Double::start(user).await.unwrap(),
            redis: redis.unwrap(),
        }
    }

    /// A gateway with a budget, which rejects requests while it has no store.
    async fn gateway(&self, tokens: u64) -> Process {
        let audit = self.directory.path().join("audit.jsonl");
        let document = document(&audit).replace("{mantle}", &self.double.mantle_url());
        let budget = format!("{{period: Month, tokens: {tokens}, onStoreFailure: Closed}}");
        let limits = format!(
            "limits: {{requestsPerMinute: 1000000, budgets: [{budget}], {}}}",
            self.server.store()
        );
        let config = self.directory.path().join("gateway.yaml");
        std::fs::write(&config, format!("{document}\n{limits}\n")).unwrap();
        Process::start(&self.double, &config).await
    }

    /// The tokens that AWS bills so far, once no further call of a killed gateway arrives.
    async fn billed(&self) -> u64 {
        let count = || self.double.invocation_log().len();
        let mut before = usize::MAX;
        eventually("no further calls", async || {
            std::mem::replace(&mut before, count()) == count()
        })
        .await;
        let of = |record: &Value, part: &str, name: &str| record[part][name].as_u64().unwrap();
        let log = self.double.invocation_log();
        log.iter()
            .map(|record| {
                of(record, "input", "inputTokenCount") + of(record, "output", "outputTokenCount")
            })
            .sum()
    }
}

/// Sends requests until the gateway is killed.
async fn load(process: &mut Process, round: usize, after: Duration) {
    let address = process.address.clone();
    let calls = tokio::spawn(async move {
        let numbers = stream::iter(0..1_000_000);
        let calls = numbers.map(|number| {
            let address = &address;
            async move { Process::status(address, &format!("call-{round}-{number}")).await }
        });
        let mut calls = std::pin::pin!(calls.buffer_unordered(CONCURRENT));
        // Clients stay until the connection is lost.
        while let Some(status) = calls.next().await {
            let Some(status) = status else { break };
            // 503: on a busy machine, the store can be late.
            assert!([200, 503].contains(&status), "{status}");
        }
    });
    // sleep: until a random moment among the calls
    tokio::time::sleep(after).await;
    process.kill();
    calls.await.unwrap();
}

/// Each line of the ledger is whole or was cut by a kill, and no request has two. Returns AWS's ids of the requests in it.
fn check_lines(file: &Path, kills: usize) -> (BTreeSet<String>, usize) {
    let (mut requests, mut records) = (BTreeSet::new(), BTreeSet::new());
    let (mut calls, mut cut) = (BTreeSet::new(), 0);
    for line in lines(file) {
        let Ok(record) = serde_json::from_str::<Value>(&line) else {
            cut += usize::from(!line.is_empty());
            continue;
        };
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        assert!(requests.insert(text("request_id")), "twice: {record}");
        assert!(records.insert((text("instance"), record["sequence"].as_u64())));
        for attempt in record["attempts"].as_array().unwrap() {
            calls.extend(attempt["aws_request_id"].as_str().map(ToOwned::to_owned));
        }
    }
    assert!(cut <= kills, "{cut} cut lines");
    (calls, cut)
}

/// `bill` names the calls that the ledger lacks, and nothing else.
fn check_bill(world: &World, kills: usize) {
    let (calls, cut) = check_lines(&world.directory.path().join("audit.jsonl"), kills);
    let (found, _) = bill(world.directory.path(), &world.double);
    assert_eq!(found["ledger"]["cutLines"], cut);
    let log = &found["invocationLog"];
    assert_eq!(
        (&log["ofOthers"], &log["tokensDiffer"]),
        (&json!(0), &json!([]))
    );
    let missing = log["missingInLedger"].as_array().unwrap();
    let missing: BTreeSet<&str> = missing
        .iter()
        .map(|one| one["awsRequestId"].as_str().unwrap())
        .collect();
    let billed = world.double.invocation_log();
    let billed = billed.iter().map(|one| one["requestId"].as_str().unwrap());
    let expected: BTreeSet<&str> = billed.filter(|id| !calls.contains(*id)).collect();
    assert_eq!(missing, expected);
    assert!(
        calls.len() > missing.len(),
        "{} of {}",
        missing.len(),
        calls.len()
    );
}

async fn killed(kills: usize) {
    let mut world = World::start().await;
    let mut rng = Rng::with_seed(24);
    for round in 0..kills {
        let mut process = world.gateway(1_000_000_000).await;
        let after = Duration::from_millis(rng.u64(20..250));
        load(&mut process, round, after).await;
    }
    check_bill(&world, kills);
    let billed = world.billed().await;
    let account = Account::read(&mut world.redis).await;
    assert!(!account.open.is_empty(), "no request was open at a kill");
    assert_eq!(account.held, account.sum(|hold| hold.1), "{account:?}");
    // What is spent was billed, once, and the leases cover the rest.
    assert!(account.spent <= billed, "{billed} {account:?}");
    assert!(
        account.spent + account.held >= billed,
        "{billed} {account:?}"
    );
    assert!(
        account.spent * 2 > billed,
        "most is settled: {billed} {account:?}"
    );

    // After the leases, the budget has what was spent and the input of the rest. Everything up to its end is admitted, and nothing
    // beyond.
    account.expire(&mut world.redis).await;
    let spent = account.spent + account.sum(|hold| hold.0);
    let limit = spent + 3_000;
    let mut process = world.gateway(limit).await;
    let mut last = Some(200);
    for number in 0..3_000 {
        last = Process::status(&process.address, &format!("last-{number}")).await;
        // 503: the store is late.
        if ![Some(200), Some(503)].contains(&last) {
            break;
        }
    }
    assert_eq!(last, Some(429));
    let more = world.billed().await - billed;
    let mut end = account;
    eventually("everything is settled", async || {
        end = Account::read(&mut world.redis).await;
        end.open.is_empty()
    })
    .await;
    assert_eq!((end.spent, end.held), (spent + more, 0));
    assert!(end.spent <= limit, "{end:?} of {limit}");
    assert!(end.spent + MOST_OF_A_REQUEST > limit, "{end:?} of {limit}");
    process.kill();
    check_bill(&world, kills + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_no_cost_count_none_twice_and_leave_whole_lines() {
    killed(FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: a hundred kills"]
async fn a_hundred_kills_lose_no_cost_count_none_twice_and_leave_whole_lines() {
    killed(MANY).await;
}
