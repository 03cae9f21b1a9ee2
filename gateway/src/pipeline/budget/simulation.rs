//! A million decisions of four gateways over ten days, in virtual time: gateways are killed, the store restarts without
//! its data, clocks are wrong.

use api::budget::{Amount, Window};
use fastrand::Rng;

use super::{
    account::{Account, Totals},
    holds::Charge,
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

/// The store, with the semantics of its scripts.
#[derive(Default)]
struct VirtualStore {
    accounts: HashMap<(Arc<str>, Window), Account>,
    down_until: u64,
    /// Its time minus the true time.
    skew: i64,
}

struct Gateway {
    budgets: Vec<Vec<Arc<Budget>>>,
    skew: i64,
    offset: i64,
    open: Vec<Open>,
    charges: Vec<Charge>,
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
        by_share: false,
        local: Arc::default(),
    })
}

impl VirtualStore {
    fn is_up(&self, now: u64) -> bool {
        now >= self.down_until
    }

    fn reserve(&mut self, request: &Holds, now: u64) -> Option<Reply> {
        if !self.is_up(now) {
            return None;
        }
        let time = now.saturating_add_signed(self.skew);
        if request
            .parts
            .iter()
            .any(|part| !(part.window.start..part.window.end).contains(&(time / 1000)))
        {
            return Some(Reply::Outside { now: time });
        }
        let mut fits = true;
        for part in &request.parts {
            let account = self.account(&part.budget, part.window, time);
            fits &= account.fits(request.id, part.hold, part.budget.limit());
        }
        let totals = request.parts.iter().map(|part| {
            let account = self.account(&part.budget, part.window, time);
            if fits {
                account.hold(request.id, part.hold, time);
            }
            account.totals()
        });
        let totals = totals.collect();
        Some(Reply::Decided { fits, totals })
    }

    fn account(&mut self, budget: &Budget, window: Window, time: u64) -> &mut Account {
        let key = (Arc::clone(&budget.key), window);
        let account = self.accounts.entry(key).or_default();
        account.raise(budget.local.confirmed(window));
        account.expire(time);
        account
    }

    fn settle(&mut self, charge: &Charge, now: u64) -> Totals {
        let time = now.saturating_add_signed(self.skew);
        let account = self.account(&charge.budget, charge.window, time);
        account.settle(charge.id, charge.cost, time);
        account.totals()
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
            charges: Vec::new(),
        }
    }

    /// Settles ended requests, and sends costs to the store.
    fn advance(&mut self, store: &mut VirtualStore, now: u64, truth: &mut Truth) {
        let own = now.saturating_add_signed(self.skew + self.offset);
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
            self.charges.extend(open.request.settle(cost, own));
        }
        if store.is_up(now) {
            for charge in self.charges.drain(..) {
                let totals = store.settle(&charge, now);
                // A response that is lost is repeated.
                let totals = if charge.id % 50 == 0 {
                    store.settle(&charge, now)
                } else {
                    totals
                };
                charge.budget.local.confirm(charge.window, totals);
            }
        }
    }

    fn request(&mut self, store: &mut VirtualStore, now: u64, rng: &mut Rng, truth: &mut Truth) {
        let budgets = &self.budgets[rng.usize(..CLIENTS)];
        let floor = rng.u64(1..20);
        let cost = floor + rng.u64(0..25);
        let most = cost + rng.u64(0..100);
        let tokens = |tokens| Spent {
            tokens,
            nanodollars: 0,
        };
        let need = Need::between(tokens(floor), tokens(most));
        let id = rng.u64(..);
        let own = now.saturating_add_signed(self.skew);
        let mut at = own.saturating_add_signed(self.offset);
        let mut request = Holds::new(budgets.iter(), id, &need, at);
        let mut reply = store.reserve(&request, now);
        if let Some(Reply::Outside { now: time }) = reply {
            self.offset = i64::try_from(time).unwrap() - i64::try_from(own).unwrap();
            at = time;
            request = Holds::new(budgets.iter(), id, &need, at);
            reply = store.reserve(&request, now);
        }
        let decision = match reply {
            Some(Reply::Decided { fits, totals }) => request.decided(fits, &totals, at),
            Some(Reply::Outside { .. }) => panic!("the time of the store is in its own window"),
            None => request.decide(at),
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
            gateway.advance(&mut store, now, &mut truth);
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
            store.accounts.clear();
            store.down_until = now + rng.u64(500..10_000);
            store.skew = rng.i64(-2_000..2_000);
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
        gateway.advance(&mut store, now, &mut truth);
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
