//! A million decisions of four gateways over ten days, in virtual time: gateways are killed, the store restarts without
//! its data or with those of some minutes before, clocks are wrong.

use api::budget::{Amount, Window};
use fastrand::Rng;

use super::{
    account::{Ask, Leased, Next},
    ledger::Ledger,
    *,
};

const DECISIONS: u64 = 1_000_000;
const GATEWAYS: usize = 4;
const CLIENTS: usize = 3;
/// Of the endpoint; each client may use half of it.
const LIMIT: u64 = 1_000_000;
const START: u64 = 1_800_000_000_000;
const STEP_MILLIS: u64 = 864;
/// Chance of an event at a decision: one in this number.
const KILL: u64 = 10_000;
const RESTART: u64 = 15_000;
const SKEW: u64 = 5_000;
const SAVE: u64 = 500;
/// Chance of a call in the background, and of a response that is lost.
const CALL: u64 = 4;
const LOST: u64 = 50;
/// Time after which leases are renewed.
const RENEWAL_MILLIS: u64 = 60_000;

/// The store, with the semantics of its scripts.
#[derive(Default)]
struct VirtualStore {
    ledgers: HashMap<(Arc<str>, Window), Ledger>,
    /// As they were saved last.
    saved: HashMap<(Arc<str>, Window), Ledger>,
    down_until: u64,
    /// Its time minus the true time.
    skew: i64,
}

struct Gateway {
    budgets: Vec<Vec<Arc<Budget>>>,
    skew: i64,
    offset: i64,
    open: Vec<Open>,
    /// Accounts with a lease, or with costs that the store does not have.
    accounts: Vec<(Arc<Budget>, Window)>,
    renewal: u64,
    started: Instant,
}

struct Open {
    request: Holds,
    ends: u64,
    cost: u64,
    floor: u64,
}

/// What AWS bills, by account, and the windows in which a request was refused.
#[derive(Default)]
struct Truth {
    billed: HashMap<(Arc<str>, Window), u64>,
    refused: HashMap<(Arc<str>, Window), u64>,
    admitted: u64,
    kills: u64,
    restarts: u64,
}

fn budget(client: Option<&str>, limit: u64) -> Arc<Budget> {
    let terms: config::Budget = serde_yaml::from_str(&format!(
        "{{period: Day, timeZone: Europe/Berlin, tokens: {limit}}}"
    ))
    .unwrap();
    Arc::new(Budget {
        subject: Subject::Gateway,
        amount: Amount::Tokens(limit),
        key: store::key("team-a/chat", client, "day"),
        terms,
        name: String::new(),
        local: Arc::default(),
    })
}

impl VirtualStore {
    fn is_up(&self, now: u64) -> bool {
        now >= self.down_until
    }

    /// Its time for a time.
    fn time(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew)
    }

    fn ask(&mut self, budget: &Budget, window: Window, ask: &Ask, now: u64) -> Leased {
        let time = self.time(now);
        let key = (Arc::clone(&budget.key), window);
        let ledger = self.ledgers.entry(key).or_default();
        let may_lease = (window.start..window.end).contains(&(time / 1000));
        ledger.ask(ask, budget.limit(), may_lease, time)
    }
}

impl Gateway {
    fn new(rng: &mut Rng) -> Self {
        let access = budget(None, LIMIT);
        let client = |index: usize| {
            let name = format!("client-{index}");
            vec![Arc::clone(&access), budget(Some(&name), LIMIT / 2)]
        };
        Self {
            budgets: (0..CLIENTS).map(client).collect(),
            skew: rng.i64(-300_000..300_000),
            offset: 0,
            open: Vec::new(),
            accounts: Vec::new(),
            renewal: 0,
            started: Instant::now(),
        }
    }

    /// A hundredth of the time since the start, so that gateways are busy.
    fn instant(&self, now: u64) -> Instant {
        self.started + Duration::from_millis((now - START) / 100)
    }

    /// Settles ended requests, and sometimes calls the store.
    fn advance(&mut self, store: &mut VirtualStore, now: u64, rng: &mut Rng, truth: &mut Truth) {
        for open in std::mem::take(&mut self.open) {
            if open.ends > now {
                self.open.push(open);
                continue;
            }
            let cost = Spent {
                tokens: open.cost,
                nanodollars: 0,
            };
            truth.bill(&open.request, open.cost);
            open.request.settle(cost, None);
        }
        if now >= self.renewal {
            self.renewal = now + RENEWAL_MILLIS;
            for (budget, window) in &self.accounts {
                budget.local.renew(*window);
            }
        }
        if rng.u64(..CALL) == 0 {
            self.call(store, now, rng);
        }
    }

    /// Calls the store; whether it has responded.
    fn call(&mut self, store: &mut VirtualStore, now: u64, rng: &mut Rng) -> bool {
        if !store.is_up(now) {
            return false;
        }
        let is_lost = rng.u64(..LOST) == 0;
        let instant = self.instant(now);
        self.accounts.retain(|(budget, window)| {
            let Some(ask) = budget.local.ask(*window, budget.limit(), instant) else {
                return true;
            };
            let leased = store.ask(budget, *window, &ask, now);
            if is_lost {
                budget.local.renew(*window);
                return true;
            }
            budget.local.adopt(*window, &ask, leased) != Next::Close
        });
        let own = now.saturating_add_signed(self.skew);
        let offset = i64::try_from(store.time(now)).unwrap() - i64::try_from(own).unwrap();
        if !is_lost {
            self.offset = offset;
        }
        !is_lost
    }

    fn request(&mut self, store: &mut VirtualStore, now: u64, rng: &mut Rng, truth: &mut Truth) {
        let client = rng.usize(..CLIENTS);
        let floor = rng.u64(1..20);
        let cost = floor + rng.u64(0..25);
        let most = cost + rng.u64(0..100);
        let tokens = |tokens| Spent {
            tokens,
            nanodollars: 0,
        };
        let need = Need::between(tokens(floor), tokens(most));
        let own = now.saturating_add_signed(self.skew);
        let mut calls = 0;
        let mut is_up = store.is_up(now);
        let (request, decision) = loop {
            let at = own.saturating_add_signed(self.offset);
            let request = Holds::new(self.budgets[client].iter(), &need, at);
            let within = if is_up {
                Within::Lease(self.instant(now))
            } else {
                Within::Budget
            };
            let placed = request.place(within, None, at);
            let is_final =
                placed.is_ok() || !is_up || calls > 0 && matches!(placed, Err(Refusal::Budget(_)));
            for part in &request.parts {
                let place = (Arc::clone(&part.budget), part.window);
                let is_new = |(budget, window): &(Arc<Budget>, Window)| {
                    !Arc::ptr_eq(budget, &place.0) || *window != place.1
                };
                if self.accounts.iter().all(is_new) {
                    self.accounts.push(place);
                }
                if !is_final {
                    part.budget.local.want(part.window, part.hold);
                }
            }
            if is_final {
                break (request, placed);
            }
            calls += 1;
            assert!(calls < MOST_CALLS, "{placed:?}");
            is_up = self.call(store, now, rng);
        };
        if decision.is_ok() {
            truth.admitted += 1;
            self.open.push(Open {
                request,
                ends: now + rng.u64(200..20_000),
                cost,
                floor,
            });
        } else {
            let fullest = request.parts.iter().max_by_key(|part| {
                part.budget.local.spent(part.window) * 1000 / part.budget.limit()
            });
            let part = fullest.unwrap();
            let key = (Arc::clone(&part.budget.key), part.window);
            let permille = part.budget.local.spent(part.window) * 1000 / part.budget.limit();
            let least = truth.refused.entry(key).or_insert(permille);
            *least = permille.min(*least);
        }
    }
}

impl Truth {
    fn bill(&mut self, request: &Holds, cost: u64) {
        for part in &request.parts {
            let key = (Arc::clone(&part.budget.key), part.window);
            *self.billed.entry(key).or_default() += cost;
        }
    }
}

fn run(seed: u64, decisions: u64) -> (Truth, VirtualStore, Vec<Gateway>) {
    let mut rng = Rng::with_seed(seed);
    let mut store = VirtualStore::default();
    let mut truth = Truth::default();
    let mut gateways: Vec<Gateway> = (0..GATEWAYS).map(|_| Gateway::new(&mut rng)).collect();
    let mut now = START;
    for _ in 0..decisions {
        now += rng.u64(0..=2 * STEP_MILLIS);
        for gateway in &mut gateways {
            gateway.advance(&mut store, now, &mut rng, &mut truth);
        }
        if rng.u64(..KILL) == 0 {
            truth.kills += 1;
            let killed = std::mem::replace(
                rng.choice(&mut gateways).unwrap(),
                Gateway::new(&mut Rng::with_seed(now)),
            );
            for open in killed.open {
                // AWS bills the input and the output until the connection broke.
                let part = open.cost - open.floor;
                truth.bill(&open.request, open.floor + rng.u64(0..=part));
            }
        }
        if rng.u64(..RESTART) == 0 {
            truth.restarts += 1;
            store.ledgers = if rng.bool() {
                HashMap::new()
            } else {
                store.saved.clone()
            };
            store.down_until = now + rng.u64(500..10_000);
            store.skew = rng.i64(-2_000..2_000);
        }
        if rng.u64(..SAVE) == 0 {
            store.saved.clone_from(&store.ledgers);
        }
        if rng.u64(..SKEW) == 0 {
            let hours = rng.i64(-30..30);
            rng.choice(&mut gateways).unwrap().skew = hours * 3_600_000;
        }
        let gateway = rng.usize(..GATEWAYS);
        gateways[gateway].request(&mut store, now, &mut rng, &mut truth);
    }
    now += 3_600_000;
    for gateway in &mut gateways {
        gateway.advance(&mut store, now, &mut rng, &mut truth);
        gateway.call(&mut store, now, &mut rng);
    }
    // Each learns what the others have spent.
    for gateway in &mut gateways {
        gateway.renewal = 0;
        gateway.advance(&mut store, now, &mut rng, &mut truth);
        gateway.call(&mut store, now, &mut rng);
    }
    (truth, store, gateways)
}

#[test]
fn budgets_hold_while_gateways_and_the_store_fail() {
    let (truth, _, gateways) = run(7, DECISIONS);
    assert!(
        truth.kills > 50 && truth.restarts > 30,
        "{} {}",
        truth.kills,
        truth.restarts
    );
    assert!(truth.admitted > DECISIONS / 4, "{}", truth.admitted);
    let limit = |key: &str| {
        if key.contains(":client:") {
            LIMIT / 2
        } else {
            LIMIT
        }
    };
    let mut reached = 0;
    for ((key, window), billed) in &truth.billed {
        let limit = limit(key);
        assert!(
            billed * 1000 <= limit * 1005,
            "{key} {window:?}: {billed} of {limit} were billed"
        );
        if let Some(permille) = truth.refused.get(&(Arc::clone(key), *window)) {
            reached += 1;
            assert!(
                *permille >= 990,
                "{key} {window:?}: refused at {permille} permille"
            );
        }
    }
    // Every day but the last, which is shorter, ends with refusals.
    assert!(reached >= 9, "{reached}");
    // What was billed in the last window is known, but for the output of requests of killed gateways.
    let access = &gateways[0].budgets[0][0];
    let (key, billed) = truth
        .billed
        .iter()
        .filter(|((key, _), _)| *key == access.key)
        .max_by_key(|((_, window), _)| *window)
        .unwrap();
    let known = gateways
        .iter()
        .map(|gateway| gateway.budgets[0][0].local.spent(key.1))
        .max()
        .unwrap();
    assert!(known * 1000 >= billed * 995, "{known} of {billed}");
}
