//! Chaos: clients of every API use a real cluster while one part after the other fails.
//!
//! `cargo xtask chaos --seed N --minutes M` builds the images and runs this test; the full lane runs it for three
//! minutes. The seed decides the order of the faults, when they hit and how long they last. The rules:
//!
//! - A response with status 200 is complete and correct: the simulated model repeats the prompt, which is unique.
//! - A request that fails gets an error that clients retry, in the dialect of the client. One retry succeeds: after
//!   `retry-after`, or 2 s without it, and after the end of an outage of AWS or of DNS, which no gateway can hide.
//! - Each complete response has one line in the log of a gateway, with the tokens that the client was told. Each
//!   complete response of the simulated AWS has one too.
//! - After each fault the cluster is as before within two minutes, and the API server rejects no request of the operator.

mod accounting;
mod documents;
mod faults;
mod report;
mod surfaces;
mod traffic;
mod world;

use std::{panic::AssertUnwindSafe, path::PathBuf, time::Duration};

use futures::FutureExt as _;
use tokio::time::Instant;

use self::{
    faults::Fault,
    report::{Report, Turn},
    world::World,
};

/// Calm between two faults.
const CALM: Duration = Duration::from_secs(3);

/// What the run is asked for.
struct Plan {
    seed: u64,
    duration: Duration,
    /// The faults to inject.
    faults: Vec<Fault>,
    /// Archives of the images of the operator and the gateway.
    images: Vec<PathBuf>,
    /// File for the results.
    report: PathBuf,
}

impl Plan {
    /// `None` unless `cargo xtask chaos` or the full lane runs the test.
    #[expect(
        clippy::disallowed_methods,
        reason = "the plan is a setting of the test run"
    )]
    fn from_environment() -> Option<Self> {
        let images = std::env::var("CHAOS_IMAGES").ok()?;
        let number = |name: &str, default: u64| {
            std::env::var(name).map_or(default, |text| text.parse().unwrap())
        };
        let only = std::env::var("CHAOS_ONLY").unwrap_or_default();
        Some(Self {
            faults: faults::named(&only),
            seed: number("CHAOS_SEED", 1),
            duration: Duration::from_secs(60 * number("CHAOS_MINUTES", 3)),
            images: std::env::split_paths(&images).collect(),
            report: std::env::var("CHAOS_REPORT").unwrap().into(),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_correct_responses_while_parts_fail() {
    let Some(plan) = Plan::from_environment() else {
        return;
    };
    fastrand::seed(plan.seed);
    let world = World::start(plan.seed, &plan.images).await;
    let mut report = Report::new(plan.seed);
    let run = AssertUnwindSafe(run(&world, &plan, &mut report));
    if let Err(panic) = run.catch_unwind().await {
        world.print_state();
        std::panic::resume_unwind(panic);
    }
    report.write(&plan.report);
    report.conclude();
}

async fn run(world: &World, plan: &Plan, report: &mut Report) {
    let traffic = traffic::start(world).await;
    let end = Instant::now() + plan.duration;
    let mut deck: Vec<Fault> = Vec::new();
    while Instant::now() < end {
        if deck.is_empty() {
            deck.clone_from(&plan.faults);
            fastrand::shuffle(&mut deck);
        }
        let fault = deck.pop().expect("a fault has one of these names");
        traffic.calm(CALM).await;
        let start = Instant::now();
        world.inject(fault, &traffic).await;
        let fault_end = Instant::now();
        let recovered = world.recovered(&traffic).await;
        report.add(Turn {
            fault,
            start,
            fault_end,
            recovered,
        });
    }
    let attempts = traffic.stop().await;
    report.judge_attempts(&attempts);
    report.judge_accounting(&world.accounting().await, &attempts);
    report.judge_permissions(&world.operator_requests());
}
