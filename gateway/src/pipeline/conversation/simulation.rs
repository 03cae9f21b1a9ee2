//! 10,000 requests over three regions whose faults follow a script, in simulated time: routing, ejection and failover are those of the
//! gateway, only the regions are simulated. Each seed has other conversations and durations.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{GatewayConfig, config::Routing};
use bedrock::ServiceError;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Affinity, Outline, Placements};
use crate::{
    http::error::{GatewayError, Refusal, Result},
    pipeline::{authenticate::Caller, route::Routes},
    upstream::{
        failover::{Attempt, fail_over},
        health::{Failure, fraction},
        retry::RetryBudget,
        target::{Endpoints, Target},
    },
};

const REQUESTS: u32 = 10_000;
const CONVERSATIONS: u32 = 600;
/// Of a healthy region: from the request to the first event, and to the last one after it.
const FIRST_EVENT: Duration = Duration::from_millis(400);
const STREAM: Duration = Duration::from_secs(2);
/// `limits.firstTokenSeconds` of the simulation.
const FIRST_EVENT_TIMEOUT: Duration = Duration::from_secs(3);

/// A fault of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Every request is throttled.
    Throttles,
    /// The first event takes 50 times as long.
    Slow,
    /// Every new stream is cut, half of them before their first event.
    Cuts,
}

/// What happens.
#[derive(Clone, Copy)]
struct Script {
    /// Time between two requests.
    interval: Duration,
    /// Region, first and last second, and fault.
    faults: &'static [(&'static str, u64, u64, Fault)],
    seed: u64,
}

/// 12.5 requests a second, for 800 seconds.
const USUAL: Script = Script {
    interval: Duration::from_millis(80),
    faults: &[
        ("us-east-1", 60, 240, Fault::Throttles),
        ("us-west-2", 300, 480, Fault::Slow),
        ("eu-west-1", 540, 660, Fault::Cuts),
    ],
    seed: 0,
};

/// 40 requests a second, for 250 seconds.
const QUICK: Script = Script {
    interval: Duration::from_millis(25),
    faults: &[
        ("us-east-1", 20, 80, Fault::Throttles),
        ("us-west-2", 100, 160, Fault::Slow),
        ("eu-west-1", 180, 220, Fault::Cuts),
    ],
    seed: 0,
};

const SEEDS: std::ops::Range<u64> = 0..4;

struct World {
    routes: Routes,
    placements: Placements,
    retries: RetryBudget,
    started: Instant,
    script: Script,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Calls of each request, and whether its client has got the first byte.
    calls: BTreeMap<u32, (u32, bool)>,
    /// Of requests without an error, from the arrival to the last byte.
    times: Vec<Duration>,
    /// Errors that clients see.
    errors: Vec<String>,
    /// Region of the last response of each conversation.
    regions: BTreeMap<u32, String>,
    /// Responses of another region than that of the conversation's last one.
    moves: u32,
}

impl World {
    fn fault(&self, target: &Target) -> Option<Fault> {
        let second = self.started.elapsed().as_secs();
        let found = self.script.faults.iter().find(|(region, from, to, _)| {
            *region == target.region.as_str() && (*from..*to).contains(&second)
        });
        found.map(|(_, _, _, fault)| *fault)
    }

    fn seen<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap())
    }
}

/// A request to the simulated regions.
struct Request<'w> {
    world: &'w World,
    number: u32,
    /// From 0 to 1, the same in every run of a seed.
    random: f64,
    /// Whether a cut comes before the first event.
    is_cut_early: bool,
}

/// A stream after its first event; whether it breaks.
struct Stream {
    is_cut: bool,
}

impl Attempt for Request<'_> {
    type Response = Stream;

    async fn send(&mut self, target: &Arc<Target>) -> Result<Stream> {
        let has_started = self.world.seen(|seen| {
            let call = seen.calls.entry(self.number).or_default();
            call.0 += 1;
            call.1
        });
        assert!(
            !has_started,
            "request {} is sent after its first byte",
            self.number
        );
        let fault = self.world.fault(target);
        let first_event = FIRST_EVENT.mul_f64(1.0 + self.random);
        match fault {
            Some(Fault::Throttles) => {
                sleep(Duration::from_millis(20)).await;
                return Err(throttled(target));
            }
            Some(Fault::Slow) => sleep(first_event * 50).await,
            Some(Fault::Cuts) if self.is_cut_early => {
                sleep(first_event).await;
                return Err(GatewayError::StreamUnstarted);
            }
            Some(Fault::Cuts) | None => sleep(first_event).await,
        }
        Ok(Stream {
            is_cut: fault == Some(Fault::Cuts),
        })
    }

    fn prepare(&mut self, _: &Target) -> Result<()> {
        Ok(())
    }

    fn failed(&mut self, _: &Target, _: &GatewayError) {}
}

fn throttled(target: &Target) -> GatewayError {
    GatewayError::Service(Box::new(Refusal {
        error: ServiceError {
            status: 429,
            name: "ThrottlingException".to_owned(),
            message: "Too many requests".to_owned(),
            request_id: None,
        },
        model_id: target.model_id.clone(),
        region: target.region.to_string(),
        original: None,
    }))
}

/// One request, from its arrival to the last byte for its client.
async fn request(world: &World, number: u32) {
    let begun = Instant::now();
    let conversation = number % CONVERSATIONS;
    let seed = world.script.seed;
    let key = format!("{seed} {conversation}");
    let body = json!({ "prompt_cache_key": key, "messages": [{ "role": "user" }] });
    let outline = Outline::of_body(body.to_string().as_bytes()).unwrap();
    let mut affinity = Affinity::new(Some(&outline), "m", &Routing::default());
    let caller = Caller {
        name: String::new(),
        models: Vec::new(),
    };
    let targets = world.routes.resolve("m", &caller, affinity.key).unwrap();
    let targets = world.placements.arrange(targets, &mut affinity);
    let mut attempt = Request {
        world,
        number,
        random: fraction(xxh3_64_with_seed(&number.to_le_bytes(), seed)),
        is_cut_early: number.is_multiple_of(2),
    };
    let parts = (&targets, &world.retries);
    let responded = match fail_over(parts, Some(FIRST_EVENT_TIMEOUT), "", &mut attempt).await {
        Ok(responded) => responded,
        Err(error) => return world.seen(|seen| seen.errors.push(error.to_string())),
    };
    let target = &responded.target;
    world.placements.served(&affinity, target);
    world.seen(|seen| {
        seen.calls.entry(number).or_default().1 = true;
        let region = target.region.to_string();
        let last = seen.regions.insert(conversation, region.clone());
        seen.moves += u32::from(last.is_some_and(|last| last != region));
    });
    if responded.response.is_cut {
        sleep(STREAM / 4).await;
        target.failed(&GatewayError::StreamCut, Failure::Visible, responded.began);
        return world.seen(|seen| seen.errors.push("cut".to_owned()));
    }
    sleep(STREAM).await;
    target.succeeded(responded.began);
    world.seen(|seen| seen.times.push(begun.elapsed()));
}

/// What clients saw under a script.
async fn run(script: Script) -> Seen {
    fastrand::seed(script.seed);
    let yaml = "models: [{name: m, targets: [{modelId: m, region: us-east-1}, {modelId: m, region: us-west-2}, {modelId: m, region: eu-west-1}]}]";
    let config = GatewayConfig::from_yaml(yaml).unwrap();
    let region = "us-east-1".parse().unwrap();
    let started = Instant::now();
    let world = Arc::new(World {
        routes: Routes::try_new(
            &config,
            std::borrow::Cow::Borrowed(api::prices::builtin()),
            region,
            Endpoints::default(),
            None,
        )
        .unwrap(),
        placements: Placements::default(),
        retries: RetryBudget::default(),
        started,
        script,
        seen: Mutex::default(),
    });
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS {
        let world = Arc::clone(&world);
        requests.spawn(async move {
            sleep_until(started + script.interval * number).await;
            request(&world, number).await;
        });
    }
    while let Some(done) = requests.join_next().await {
        done.unwrap();
    }
    let seen = std::mem::take(&mut *world.seen.lock().unwrap());
    let all = seen.times.len() + seen.errors.len();
    assert_eq!(all, usize::try_from(REQUESTS).unwrap());
    seen
}

impl Seen {
    fn p99(&mut self) -> Duration {
        self.times.sort_unstable();
        self.times[self.times.len() * 99 / 100]
    }

    fn calls(&self) -> u32 {
        self.calls.values().map(|(calls, _)| calls).sum()
    }
}

/// Checks what clients see of the faults of a script; returns the number of errors.
async fn check(script: Script) -> usize {
    let without_faults = Script {
        faults: &[],
        ..script
    };
    let mut healthy = run(without_faults).await;
    assert_eq!((healthy.errors.len(), healthy.moves), (0, 0));
    assert_eq!(healthy.calls(), REQUESTS);
    let mut faulty = run(script).await;
    let (errors, calls, moves) = (faulty.errors.len(), faulty.calls(), faulty.moves);
    let (expected, found) = (healthy.p99(), faulty.p99());
    let summary = format!(
        "seed {}: {errors} errors, {calls} calls, {moves} moves, p99 {found:?} ({expected:?})",
        script.seed
    );
    // Streams that are cut after their first byte, before the region is ejected or as its probe.
    assert!(
        faulty.errors.iter().all(|error| error == "cut"),
        "{summary}"
    );
    assert!(errors < 20, "{summary}");
    assert!(found < expected * 2, "{summary}");
    // A conversation leaves a faulty region and comes back.
    assert!(moves > 0 && moves < 3 * 2 * CONVERSATIONS, "{summary}");
    assert!(calls < REQUESTS + REQUESTS / 50, "{summary}");
    errors
}

#[tokio::test(start_paused = true)]
async fn faults_of_regions_are_hidden_from_clients() {
    let mut errors = Vec::new();
    for seed in SEEDS {
        errors.push(check(Script { seed, ..USUAL }).await);
    }
    // Fewer than one of 1,000 requests.
    let all: usize = errors.iter().sum();
    assert!(all < 10 * errors.len(), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn faults_of_regions_are_hidden_from_clients_at_a_higher_rate() {
    for seed in SEEDS {
        check(Script { seed, ..QUICK }).await;
    }
}
