//! Many pods at once while certificate and authority change: no admission is lost.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use operator::Rotation;
use serde_json::json;
use tokio::time::Instant;

use super::{
    super::rig::OPERATOR_NAMESPACE,
    rig::{SidecarRig, has_sidecar, pod},
};
use crate::support::lane;

/// Pods of a burst.
fn pods() -> usize {
    lane::pick(200, 1000)
}

const AT_ONCE: usize = 32;

/// Everything changes every few seconds. An API server hears of a change in a moment, so the overlap is
/// short too; from a certificate's renewal to its end there are four seconds left, for a machine that is busy.
const HURRY: Rotation = Rotation {
    authority: Duration::from_secs(18),
    certificate: Duration::from_secs(18),
    overlap: Duration::from_secs(2),
    check: Duration::from_millis(250),
};

/// The bound of the bucket that holds this share of all observations of a histogram, in seconds.
fn quantile(metrics: &str, histogram: &str, label: &str, share: f64) -> f64 {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{histogram}_bucket")) && line.contains(label));
    for line in lines {
        let (_, rest) = line.split_once("le=\"").unwrap();
        let (bound, rest) = rest.split_once('"').unwrap();
        let bound = bound.parse().unwrap_or(f64::INFINITY);
        let count: f64 = rest.rsplit(' ').next().unwrap().parse().unwrap();
        // Series that differ in other labels count together.
        match buckets
            .iter_mut()
            .find(|(there, _)| there.total_cmp(&bound).is_eq())
        {
            Some((_, sum)) => *sum += count,
            None => buckets.push((bound, count)),
        }
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total = buckets.last().unwrap().1;
    let found = buckets.iter().find(|(_, count)| *count >= total * share);
    found.unwrap().0
}

/// Counts the authorities and certificates that come by until the last pod is there.
async fn count_changes(sidecar: Arc<SidecarRig>) -> (usize, usize) {
    let secrets: Api<Secret> = Api::namespaced(sidecar.rig.client.clone(), OPERATOR_NAMESPACE);
    let (mut authorities, mut certificates) = (Vec::new(), Vec::new());
    let mut every = tokio::time::interval(Duration::from_millis(250));
    loop {
        every.tick().await;
        if let Ok(Secret {
            data: Some(data), ..
        }) = secrets.get(api::names::WEBHOOK_SECRET).await
        {
            for (key, seen) in [("ca.key", &mut authorities), ("tls.key", &mut certificates)] {
                if seen.last() != data.get(key) {
                    seen.extend(data.get(key).cloned());
                }
            }
        }
        if sidecar
            .pods()
            .get_opt("last")
            .await
            .is_ok_and(|found| found.is_some())
        {
            return (authorities.len(), certificates.len());
        }
    }
}

/// How long it took in the webhook and as the API server saw it, half of all and 99 of 100.
async fn latencies(sidecar: &SidecarRig) -> String {
    let own = sidecar.metrics().await;
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let api_server = sidecar.rig.client.request_text(request).await.unwrap();
    let own = |share| {
        quantile(
            &own,
            "controller_runtime_webhook_latency_seconds",
            "",
            share,
        )
    };
    let seen = |share| {
        let histogram = "apiserver_admission_webhook_admission_duration_seconds";
        quantile(&api_server, histogram, "sidecar.bedrockaccess.dev", share)
    };
    format!(
        "at most, p50 and p99: in the webhook {} s and {} s, as the API server sees it {} s and {} s",
        own(0.5),
        own(0.99),
        seen(0.5),
        seen(0.99)
    )
}

/// What came of a burst.
struct Burst {
    took: Duration,
    /// How long each creation took, sorted.
    each: Vec<Duration>,
}

impl Burst {
    /// Makes the pods; each has to be admitted and to get its sidecar.
    async fn of(sidecar: &Arc<SidecarRig>) -> Self {
        let begun = Instant::now();
        let made = stream::iter(0..pods())
            .map(|number| {
                let sidecar = Arc::clone(sidecar);
                async move {
                    let begun = Instant::now();
                    let pod = pod(&format!("burst-{number}"), &json!({}), &json!({}));
                    (sidecar.create(&pod).await, begun.elapsed())
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let took = begun.elapsed();
        let refused: Vec<_> = made
            .iter()
            .filter_map(|(made, _)| made.as_ref().err())
            .collect();
        assert!(
            refused.is_empty(),
            "{} refused: {:?}",
            refused.len(),
            refused.first()
        );
        assert!(
            made.iter()
                .all(|(made, _)| made.as_ref().is_ok_and(has_sidecar))
        );
        let mut each: Vec<_> = made.into_iter().map(|(_, took)| took).collect();
        each.sort();
        Self { took, each }
    }

    fn slowest_hundredth(&self) -> Duration {
        self.each[self.each.len() * 99 / 100]
    }
}

impl std::fmt::Display for Burst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} pods in {:?}, {AT_ONCE} at once, the whole creation {:?} and {:?}",
            self.each.len(),
            self.took,
            self.each[self.each.len() / 2],
            self.slowest_hundredth()
        )
    }
}

#[expect(clippy::print_stdout, reason = "what was measured is of interest")]
#[tokio::test(flavor = "multi_thread")]
async fn pods_in_a_burst_lose_no_admission_to_changing_certificates() {
    let sidecar = Arc::new(SidecarRig::start(HURRY).await);
    let secrets: Api<Secret> = Api::namespaced(sidecar.rig.client.clone(), OPERATOR_NAMESPACE);
    let keys = || async {
        let data = secrets
            .get(api::names::WEBHOOK_SECRET)
            .await
            .unwrap()
            .data
            .unwrap();
        (data["ca.key"].clone(), data["tls.key"].clone())
    };
    let changes = tokio::spawn(count_changes(Arc::clone(&sidecar)));
    let burst = Burst::of(&sidecar).await;

    let before = keys().await;
    // A burst may be shorter than a change takes, so a trickle follows until there was one more.
    let mut trickle = 0;
    let end = Instant::now() + Duration::from_mins(1);
    while {
        let now = keys().await;
        (now.0 == before.0 || now.1 == before.1) && Instant::now() < end
    } {
        let made = sidecar
            .create(&pod(&format!("trickle-{trickle}"), &json!({}), &json!({})))
            .await;
        assert!(has_sidecar(&made.unwrap()));
        trickle += 1;
    }
    sidecar
        .create(&pod("last", &json!({}), &json!({})))
        .await
        .unwrap();
    let (authorities, certificates) = changes.await.unwrap();
    assert!(
        authorities > 1 && certificates > 1,
        "{authorities} authorities, {certificates} certificates"
    );
    let latencies = latencies(&sidecar).await;
    println!(
        "{burst}, and {trickle} after them; {authorities} authorities and {certificates} certificates; {latencies}"
    );
    let slow = burst.slowest_hundredth();
    assert!(slow < Duration::from_secs(5), "{burst}; {latencies}");
}

/// Takes a program that was built for release, as the variable names it: `docs/measurements.md` says how.
const PROGRAM: &str = "OPERATOR_PROGRAM";

#[expect(clippy::print_stdout, reason = "what was measured is of interest")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: wants a release build of the operator and a quiet machine"]
async fn webhook_answers_99_of_100_pods_of_a_burst_within_ten_milliseconds() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program to measure is a setting"
    )]
    let program = std::env::var(PROGRAM).expect("OPERATOR_PROGRAM names a release build");
    let sidecar = SidecarRig::without_operator().await;
    let _held = sidecar.start_program(program.as_ref()).await;
    sidecar.ready().await;
    let sidecar = Arc::new(sidecar);
    let burst = Burst::of(&sidecar).await;
    let own = sidecar.metrics().await;
    let slow = quantile(&own, "controller_runtime_webhook_latency_seconds", "", 0.99);
    let latencies = latencies(&sidecar).await;
    println!("{burst}; {latencies}");
    assert!(slow <= 0.01, "{burst}; {latencies}");
}
