use proptest::prelude::*;

use super::*;
use crate::access::readiness::Report;

const BUDGET: &str = "access:month:UTC:tokens";
const START: u64 = 1_800_000_000;

/// A gateway process, with the rules of the gateway for its share.
#[derive(Clone, Debug)]
struct Gateway {
    pod: String,
    process: String,
    revision: u64,
    share: u64,
    used: u64,
    wanted: u64,
    ends: bool,
}

/// The operator, its gateways, and what they have spent.
#[derive(Debug)]
struct World {
    limit: u64,
    ledger: Vec<BudgetShares>,
    gateways: Vec<Gateway>,
    /// Grants on their way.
    sent: Vec<Grants>,
    spent: u64,
    count: u64,
}

impl Gateway {
    fn adopt(&mut self, grants: &Grants) {
        if grants.process != self.process {
            return;
        }
        for grant in &grants.accounts {
            if grant.revision > self.revision {
                self.revision = grant.revision;
                self.share = grant.share.max(self.used);
                self.wanted = 0;
            }
        }
    }

    fn state(&mut self, is_read: bool) -> PodState {
        if self.ends {
            self.share = self.used + (self.share - self.used) / 8;
        }
        let report = ShareReport {
            process: self.process.clone(),
            accounts: vec![AccountReport {
                budget: BUDGET.to_owned(),
                start: START,
                revision: self.revision,
                share: self.share,
                used: self.used,
                wanted: self.wanted,
            }],
        };
        PodState {
            name: self.pod.clone(),
            ready: true,
            waiting: None,
            report: is_read.then(|| Report {
                ready: true,
                reason: "Ready".to_owned(),
                message: String::new(),
                roles: Vec::new(),
                ejected: Vec::new(),
                spend: None,
                shares: Some(report),
            }),
        }
    }
}

impl World {
    fn new(limit: u64, gateways: usize) -> Self {
        let mut world = Self {
            limit,
            ledger: Vec::new(),
            gateways: Vec::new(),
            sent: Vec::new(),
            spent: 0,
            count: 0,
        };
        for _ in 0..gateways {
            world.start();
        }
        world
    }

    fn process(&mut self) -> String {
        self.count += 1;
        format!("{:016x}", self.count)
    }

    fn start(&mut self) {
        let process = self.process();
        self.gateways.push(Gateway {
            pod: format!("pod-{process}"),
            process,
            revision: 0,
            share: 0,
            used: 0,
            wanted: 0,
            ends: false,
        });
    }

    /// The container of a pod restarts.
    fn kill(&mut self, index: usize) {
        let process = self.process();
        let pod = self.gateways[index].pod.clone();
        self.gateways[index] = Gateway {
            pod,
            process,
            revision: 0,
            share: 0,
            used: 0,
            wanted: 0,
            ends: false,
        };
    }

    /// A request; whether it was admitted.
    fn spend(&mut self, index: usize, cost: u64) -> bool {
        let gateway = &mut self.gateways[index];
        if gateway.used + cost > gateway.share {
            gateway.wanted = gateway.wanted.max(cost);
            return false;
        }
        gateway.used += cost;
        self.spent += cost;
        true
    }

    /// A reconcile: `unread` and `lost` have a bit for each gateway. Without `written`, the status was not written.
    fn reconcile(&mut self, unread: u8, lost: u8, written: bool) {
        let bit = |bits: u8, index: usize| bits & (1 << (index % 8)) != 0;
        let mut observed = Observed::default();
        for (index, gateway) in self.gateways.iter_mut().enumerate() {
            let state = gateway.state(!bit(unread, index));
            if gateway.ends {
                observed.ending.push(state);
            } else {
                observed.pods.push(state);
            }
        }
        let terms = [BudgetTerms {
            name: BUDGET.to_owned(),
            limit: self.limit,
            start: START,
        }];
        let ledger = renew(&self.ledger, &terms, &observed.pods, &observed.ending);
        if !written {
            return;
        }
        self.ledger = ledger;
        for index in 0..self.gateways.len() {
            let grants = grants(&self.ledger, &observed, &self.gateways[index].process);
            if bit(lost, index) {
                self.sent.push(grants);
            } else {
                self.gateways[index].adopt(&grants);
            }
        }
    }

    /// A grant arrives late.
    fn deliver(&mut self, which: usize) {
        if self.sent.is_empty() {
            return;
        }
        let index = which % self.sent.len();
        let grants = self.sent.swap_remove(index);
        for gateway in &mut self.gateways {
            gateway.adopt(&grants);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Spend { which: usize, cost: u64 },
    Reconcile { unread: u8, lost: u8, written: bool },
    Deliver { which: usize },
    Kill { which: usize },
    Drain { which: usize },
    Remove { which: usize },
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        8 => (which(), 1..400_u64).prop_map(|(which, cost)| Step::Spend { which, cost }),
        4 => (any::<u8>(), any::<u8>(), any::<bool>())
            .prop_map(|(unread, lost, written)| Step::Reconcile { unread, lost, written }),
        2 => Just(Step::Reconcile { unread: 0, lost: 0, written: true }),
        2 => which().prop_map(|which| Step::Deliver { which }),
        1 => which().prop_map(|which| Step::Kill { which }),
        1 => which().prop_map(|which| Step::Drain { which }),
        1 => which().prop_map(|which| Step::Remove { which }),
        1 => Just(Step::Start),
    ]
}

proptest! {
    /// Whatever is killed, lost, late or not written: all processes together never spend more than the budget.
    #[test]
    fn processes_never_spend_more_than_the_budget(
        steps in prop::collection::vec(step(), 1..200),
        limit in 1..20_000_u64,
        gateways in 1..5_usize,
    ) {
        let mut world = World::new(limit, gateways);
        for step in steps {
            let count = world.gateways.len();
            match step {
                Step::Spend { which, cost } if count > 0 => {
                    world.spend(which % count, cost);
                }
                Step::Reconcile { unread, lost, written } => world.reconcile(unread, lost, written),
                Step::Deliver { which } => world.deliver(which),
                Step::Kill { which } if count > 0 => world.kill(which % count),
                Step::Drain { which } if count > 0 => world.gateways[which % count].ends = true,
                Step::Remove { which } if count > 0 => {
                    world.gateways.swap_remove(which % count);
                }
                Step::Start if count < 6 => world.start(),
                _ => {}
            }
            prop_assert!(world.spent <= limit, "{} of {limit}", world.spent);
            let shares: u64 = world.gateways.iter().map(|gateway| gateway.share).sum();
            prop_assert!(shares <= limit, "shares of {shares}, and the budget is {limit}");
        }
    }

    /// Without failures, a budget is spent before requests are refused for long: also if only one of the gateways is used.
    #[test]
    fn budget_is_spent_to_the_last_request(
        limit in 10_000..10_000_000_u64,
        gateways in 1..6_usize,
        used in 1..6_usize,
    ) {
        let mut world = World::new(limit, gateways);
        let used = used.min(gateways);
        let cost = limit / 1000;
        let mut idle = 0;
        while idle < 50 {
            world.reconcile(0, 0, true);
            let mut admitted = 0;
            for index in 0..used {
                while world.spend(index, cost) {
                    admitted += 1;
                }
            }
            idle = if admitted == 0 { idle + 1 } else { 0 };
        }
        prop_assert!(world.spent * 1000 >= limit * 990, "{} of {limit}", world.spent);
    }

    /// A killed process loses at most its unused share.
    #[test]
    fn killed_processes_lose_at_most_a_twentieth_each(limit in 10_000..10_000_000_u64, kills in 1..10_u64) {
        let mut world = World::new(limit, 2);
        let cost = limit / 1000;
        for _ in 0..kills {
            world.reconcile(0, 0, true);
            world.spend(0, cost);
            world.kill(0);
        }
        world.reconcile(0, 0, true);
        let lost = count(world.ledger[0].spent) - world.spent;
        prop_assert!(lost <= kills * (limit / LARGEST_PART), "{lost}");
    }
}

#[test]
fn pod_that_is_deleted_gives_most_of_its_share_back() {
    let mut world = World::new(1_000_000, 2);
    world.reconcile(0, 0, true);
    let share = world.gateways[0].share;
    assert_eq!(share, 50_000);
    world.gateways[0].ends = true;
    world.reconcile(0, 0, true);
    world.gateways.remove(0);
    world.reconcile(0, 0, true);
    assert_eq!(count(world.ledger[0].spent), share / 8);
}

#[test]
fn request_larger_than_the_share_gets_a_larger_one() {
    let mut world = World::new(1_000_000, 4);
    world.reconcile(0, 0, true);
    assert!(!world.spend(0, 300_000));
    world.reconcile(0, 0, true);
    assert!(world.spend(0, 300_000));
}

#[test]
fn nothing_changes_while_nothing_is_spent() {
    let mut world = World::new(1_000_000, 3);
    world.reconcile(0, 0, true);
    let ledger = world.ledger.clone();
    world.reconcile(0, 0, true);
    world.reconcile(1, 0, true);
    assert_eq!(world.ledger, ledger);
}

#[test]
fn periods_that_start_soon_have_shares_already() {
    let access = crate::fixtures::validated(
        "{limits: {budgets: [{period: Day, tokens: 10}]}, clients: {serviceAccounts: [{name: app, limits: {budgets: [{period: Day, usd: 2, timeZone: Asia/Tokyo}]}}]}}",
    );
    let names = |now: &str| -> Vec<(String, u64)> {
        let terms = terms(&access, now.parse().unwrap());
        terms
            .into_iter()
            .map(|one| (one.name, one.start % 86_400))
            .collect()
    };
    let app = "client:team-a/app:day:Asia/Tokyo:usd".to_owned();
    let shared = "access:day:UTC:tokens".to_owned();
    assert_eq!(
        names("2026-11-29T12:00:00Z"),
        [(shared.clone(), 0), (app.clone(), 15 * 3600)]
    );
    assert_eq!(names("2026-11-29T23:59:10Z").len(), 3);
    assert_eq!(
        names("2026-11-30T00:00:00Z"),
        [(shared, 0), (app, 15 * 3600)]
    );
}
