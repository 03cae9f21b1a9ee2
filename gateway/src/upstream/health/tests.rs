use proptest::prelude::*;

use super::*;

const SEED: u64 = 7;
const TEN: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

fn health() -> TargetHealth {
    TargetHealth::new(&Routing::default())
}

/// A request fails that begins now.
fn fails(health: &TargetHealth, failure: Failure) -> Option<Duration> {
    health.failed(failure, Instant::now(), None)
}

/// Fails until the target is ejected.
fn eject(health: &TargetHealth) -> Duration {
    (0..5)
        .find_map(|_| fails(health, Failure::Hidden))
        .expect("ejected")
}

/// A request succeeds that begins after all that happened.
async fn succeeds(health: &TargetHealth) {
    tokio::time::advance(MOMENT).await;
    health.succeeded(Instant::now());
}

/// The share of keys that the target admits.
fn share(health: &TargetHealth) -> f64 {
    let now = Instant::now();
    let admitted = (0..1000)
        .filter(|key| health.admission(*key, SEED, now) == Admission::Admitted)
        .count();
    f64::from(u32::try_from(admitted).unwrap()) / 1000.0
}

/// How a request of some conversation is admitted now.
fn admission(health: &TargetHealth) -> Admission {
    health.admission(1, SEED, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn consecutive_failures_eject_a_target_and_it_returns_slowly_after_a_success() {
    let health = health();
    for _ in 0..4 {
        assert_eq!(fails(&health, Failure::Hidden), None);
    }
    health.succeeded(Instant::now());
    succeeds(&health).await;
    for _ in 0..4 {
        assert_eq!(fails(&health, Failure::Hidden), None);
    }
    assert!((share(&health) - 1.0).abs() < f64::EPSILON);
    assert_eq!(fails(&health, Failure::Hidden), Some(TEN));
    let ejections = |left| Ejections {
        left,
        last: TEN,
        total: 1,
    };
    assert_eq!(health.ejections(), ejections(Some(TEN)));
    assert_eq!(admission(&health), Admission::Refused);
    tokio::time::advance(TEN).await;
    assert_eq!(health.ejections(), ejections(None));
    assert!(share(&health) < f64::EPSILON, "only a probe");
    tokio::time::advance(TEN).await;
    assert!(share(&health) < f64::EPSILON, "time alone is no success");
    succeeds(&health).await;
    assert!((0.07..0.13).contains(&share(&health)), "{}", share(&health));
    tokio::time::advance(Duration::from_secs(15)).await;
    assert!((0.45..0.55).contains(&share(&health)), "{}", share(&health));
    tokio::time::advance(Duration::from_secs(15)).await;
    assert!((share(&health) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn one_request_at_a_time_probes_a_target_after_an_ejection() {
    let health = health();
    assert!(health.try_probe(Instant::now()), "no probe is needed");
    let time = eject(&health);
    tokio::time::advance(time).await;
    assert_eq!(admission(&health), Admission::AsProbe);
    assert!(health.try_probe(Instant::now()));
    assert_eq!(admission(&health), Admission::Refused);
    assert!(!health.try_probe(Instant::now()), "another one in a race");
    tokio::time::advance(PROBE.saturating_sub(MOMENT)).await;
    assert_eq!(admission(&health), Admission::Refused);
    tokio::time::advance(MOMENT).await;
    assert_eq!(admission(&health), Admission::AsProbe, "the probe was lost");
    let began = Instant::now();
    assert!(health.try_probe(began));
    tokio::time::advance(MOMENT).await;
    let again = health.failed(Failure::Visible, began, None);
    assert_eq!(again, Some(2 * TEN), "one failure is enough");
    tokio::time::advance(2 * TEN).await;
    assert_eq!(admission(&health), Admission::AsProbe);
    succeeds(&health).await;
    tokio::time::advance(SLOW_START).await;
    assert_eq!(admission(&health), Admission::Admitted);
}

#[tokio::test(start_paused = true)]
async fn a_failure_during_the_slow_start_ejects_again() {
    let health = health();
    let time = eject(&health);
    tokio::time::advance(time).await;
    succeeds(&health).await;
    tokio::time::advance(SLOW_START.saturating_sub(MOMENT)).await;
    assert_eq!(fails(&health, Failure::Hidden), Some(2 * TEN));
}

#[tokio::test(start_paused = true)]
async fn requests_from_before_an_ejection_decide_nothing_after_it() {
    let health = health();
    let began = Instant::now();
    tokio::time::advance(MOMENT).await;
    let time = eject(&health);
    tokio::time::advance(time).await;
    health.succeeded(began);
    assert_eq!(admission(&health), Admission::AsProbe);
    assert_eq!(health.failed(Failure::Visible, began, None), None);
    assert_eq!(admission(&health), Admission::AsProbe);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_began_before_a_failure_does_not_end_the_count() {
    let health = health();
    let began = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    let ejected = (0..5).filter_map(|_| {
        health.succeeded(began);
        fails(&health, Failure::Hidden)
    });
    assert_eq!(ejected.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_ejection_takes_twice_as_long_up_to_five_minutes_and_is_forgotten_later() {
    let health = health();
    let mut times = Vec::new();
    for _ in 0..8 {
        // The first one needs five failures; each later one the failure of a probe.
        let time = eject(&health);
        times.push(time.as_secs());
        tokio::time::advance(time).await;
    }
    assert_eq!(times, [10, 20, 40, 80, 160, 300, 300, 300]);
    succeeds(&health).await;
    tokio::time::advance(FORGET).await;
    assert_eq!(fails(&health, Failure::Hidden), None);
    assert_eq!(eject(&health), TEN);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_clients_see_counts_twice() {
    let health = health();
    assert_eq!(fails(&health, Failure::Visible), None);
    assert_eq!(fails(&health, Failure::Visible), None);
    assert!(fails(&health, Failure::Visible).is_some());
    assert_eq!(
        fails(&health, Failure::Visible),
        None,
        "a request from before"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_after_ejects_at_once() {
    let seconds = Duration::from_secs;
    let asks = |time| health().failed(Failure::Hidden, Instant::now(), Some(time));
    assert_eq!(asks(seconds(3)), None);
    assert_eq!(asks(seconds(45)), Some(seconds(45)));
    assert_eq!(asks(seconds(6)), Some(TEN));
    assert_eq!(asks(seconds(86_400)), Some(LONGEST_ASKED));
}

#[tokio::test(start_paused = true)]
async fn ejection_can_be_disabled() {
    let health = TargetHealth::new(&Routing {
        eject_after_failures: 0,
        ..Routing::default()
    });
    for _ in 0..100 {
        let asked = Some(LONGEST);
        let ejected = health.failed(Failure::Visible, Instant::now(), asked);
        assert_eq!(ejected, None);
    }
    assert!((share(&health) - 1.0).abs() < f64::EPSILON);
}

/// A request that arrives after some time, and takes some time until its result.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    after: Duration,
    takes: Duration,
    key: u64,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrival = (1..4_000_u64, 1..8_000_u64, any::<u64>()).prop_map(|(after, takes, key)| {
        let [after, takes] = [after, takes].map(Duration::from_millis);
        Arrival { after, takes, key }
    });
    prop::collection::vec(arrival, 50..400)
}

/// What requests did to a target.
#[derive(Debug, Default)]
struct Seen {
    /// Most requests at the same time since the first ejection while the target failed.
    most_at_once: usize,
    ejections: u64,
}

/// Sends requests to a target that fails each of them until `recovers`. Requests that are not admitted go elsewhere.
async fn run(arrivals: Vec<Arrival>, recovers: Duration) -> (TargetHealth, Seen) {
    let health = health();
    let started = Instant::now();
    let mut running: Vec<(Instant, Instant)> = Vec::new();
    let mut seen = Seen::default();
    let last = Arrival {
        after: Duration::from_mins(1),
        ..arrivals[0]
    };
    for arrival in arrivals.into_iter().chain([last]) {
        let arrives = Instant::now() + arrival.after;
        running.sort_unstable();
        while let Some(&(ends, began)) = running.first().filter(|(ends, _)| *ends <= arrives) {
            tokio::time::advance(ends - Instant::now()).await;
            running.remove(0);
            if began - started < recovers {
                let ejected = health.failed(Failure::Hidden, began, None);
                seen.ejections += u64::from(ejected.is_some());
            } else {
                health.succeeded(began);
            }
        }
        tokio::time::advance(arrives - Instant::now()).await;
        let is_admitted = match health.admission(arrival.key, SEED, arrives) {
            Admission::Admitted => true,
            Admission::AsProbe => health.try_probe(arrives),
            Admission::Refused => false,
        };
        if is_admitted {
            running.push((arrives + arrival.takes, arrives));
            if arrives - started < recovers && seen.ejections > 0 {
                // Those that are still open since before the ejection were not sent after it.
                let ejection = health.lock().until.unwrap();
                let sent = running.iter().filter(|(_, began)| *began >= ejection);
                seen.most_at_once = seen.most_at_once.max(sent.count());
            }
        }
    }
    (health, seen)
}

fn paused<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(run)
}

proptest! {
    #[test]
    fn a_target_that_always_fails_gets_one_request_at_a_time_after_its_first_ejection(
        arrivals in arrivals(),
    ) {
        let (_, seen) = paused(run(arrivals, Duration::MAX));
        prop_assert!(seen.ejections > 0);
        prop_assert!(seen.most_at_once <= 1, "{seen:?}");
    }

    #[test]
    fn a_target_that_recovers_is_admitted_again(arrivals in arrivals(), recovers in 0..300_u64) {
        let recovers = Duration::from_secs(recovers);
        let is_admitted = paused(async {
            let (health, _) = run(arrivals, recovers).await;
            // The longest ejection, and a probe without a result.
            tokio::time::advance(LONGEST + recovers + PROBE).await;
            assert!(health.try_probe(Instant::now()));
            succeeds(&health).await;
            tokio::time::advance(SLOW_START).await;
            share(&health)
        });
        prop_assert!((is_admitted - 1.0).abs() < f64::EPSILON);
    }
}
