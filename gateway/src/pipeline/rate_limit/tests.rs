use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::{http::over_limit::Kind, telemetry::metrics::Conventions};

/// A clock that moves only when it is set.
#[derive(Clone, Debug)]
struct Still(Arc<AtomicU64>);

impl credentials::TimeSource for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::Acquire))
    }
}

fn clock() -> (Still, SharedTimeSource) {
    let still = Still(Arc::new(AtomicU64::new(1_700_000_000_000)));
    (still.clone(), SharedTimeSource::new(still))
}

fn compiled(yaml: &str, keys: &[&str], previous: Option<&Limiter>) -> Limiter {
    let config = GatewayConfig::from_yaml(yaml).unwrap();
    let metrics = Metrics::new(Conventions::default());
    Limiter::compile(&config, keys.iter().copied(), &metrics, previous).unwrap()
}

fn admit(limits: &Limiter, client: &str, clock: &SharedTimeSource) -> Result<Permit, OverLimit> {
    // Without a store the check never waits.
    limits.check(client, clock).now_or_never().unwrap().1
}

#[test]
fn counts_all_clients_for_the_bedrock_access_and_each_client_separately() {
    let (_, clock) = clock();
    let limits = compiled(
        "{access: {namespace: team-a, name: chat}, limits: {requestsPerMinute: 3}, clients: {apiKeyLimits: {requestsPerMinute: 2}}}",
        &["a", "b"],
        None,
    );
    admit(&limits, "key:a", &clock).unwrap();
    admit(&limits, "key:a", &clock).unwrap();
    let own = admit(&limits, "key:a", &clock).unwrap_err();
    assert_eq!(own.subject, Subject::Client("key:a".to_owned()));
    assert_eq!(own.kind, Kind::RequestsPerMinute);
    // The rejected request does not count for the BedrockAccess.
    admit(&limits, "key:b", &clock).unwrap();
    let access = admit(&limits, "key:b", &clock).unwrap_err();
    assert_eq!(access.subject, Subject::Access("team-a/chat".to_owned()));
}

#[test]
fn charged_tokens_limit_later_requests() {
    let (still, clock) = clock();
    let limits = compiled("limits: {tokensPerMinute: 100}", &[], None);
    let first = admit(&limits, "anonymous", &clock).unwrap();
    let second = admit(&limits, "anonymous", &clock).unwrap();
    first.charge(250);
    let full = admit(&limits, "anonymous", &clock).unwrap_err();
    assert_eq!(full.kind, Kind::TokensPerMinute);
    second.charge(0);
    let seconds = full.retry_after_seconds();
    still.0.fetch_add((seconds - 1) * 1000, Ordering::AcqRel);
    admit(&limits, "anonymous", &clock).unwrap_err();
    still.0.fetch_add(1000, Ordering::AcqRel);
    admit(&limits, "anonymous", &clock).unwrap();
}

#[test]
fn reports_the_limit_with_the_longest_wait() {
    let (_, clock) = clock();
    let limits = compiled(
        "limits: {requestsPerMinute: 1, tokensPerDay: 10, concurrentRequests: 1}",
        &[],
        None,
    );
    let open = admit(&limits, "anonymous", &clock).unwrap();
    assert_eq!(
        admit(&limits, "anonymous", &clock).unwrap_err().kind,
        Kind::RequestsPerMinute
    );
    open.charge(10);
    let refusal = admit(&limits, "anonymous", &clock).unwrap_err();
    assert_eq!(refusal.kind, Kind::TokensPerDay);
    // 22:13:20 UTC.
    assert_eq!(refusal.retry_after_seconds(), 6_400);
    assert_eq!(
        refusal.to_string(),
        "this gateway has reached its limit of 10 tokens per day (UTC) (tokensPerDay); try again in 1 h 46 min"
    );
}

#[test]
fn finished_request_no_longer_counts_as_open() {
    let (_, clock) = clock();
    let limits = compiled(
        "{limits: {concurrentRequests: 2}, clients: {apiKeyLimits: {concurrentRequests: 1}}}",
        &["a", "b"],
        None,
    );
    let a = admit(&limits, "key:a", &clock).unwrap();
    let refusal = admit(&limits, "key:a", &clock).unwrap_err();
    assert_eq!(refusal.kind, Kind::ConcurrentRequests);
    assert_eq!(refusal.retry_after_seconds(), 1);
    // The rejected request no longer counts as open for the BedrockAccess.
    let b = admit(&limits, "key:b", &clock).unwrap();
    let full = admit(&limits, "key:c", &clock).unwrap_err();
    assert_eq!(full.subject, Subject::Gateway);
    drop((a, b));
    admit(&limits, "key:a", &clock).unwrap();
}

#[test]
fn reload_keeps_counts_by_name_also_with_other_limits() {
    let (_, clock) = clock();
    let subjects = |limits: &str| {
        format!(
            "{{limits: {{tokensPerDay: 100}}, clients: {{serviceAccounts: {{issuer: i, audience: a, jwks: {{}}, subjects: [{{namespace: team-a, name: app, limits: {{{limits}}}}}]}}}}}}"
        )
    };
    let before = compiled(&subjects("requestsPerMinute: 2"), &[], None);
    let open = admit(&before, "team-a/app", &clock).unwrap();
    let after = compiled(&subjects("requestsPerMinute: 1"), &[], Some(&before));
    let refusal = admit(&after, "team-a/app", &clock).unwrap_err();
    assert_eq!(refusal.kind, Kind::RequestsPerMinute);
    let wider = compiled(&subjects("requestsPerMinute: 9"), &[], Some(&after));
    admit(&wider, "team-a/app", &clock).unwrap();
    // A request from before the reload is charged after it.
    open.charge(100);
    assert_eq!(
        admit(&wider, "team-a/app", &clock).unwrap_err().kind,
        Kind::TokensPerDay
    );
}

#[test]
fn clients_without_limits_are_not_counted() {
    let (_, clock) = clock();
    let limits = compiled(
        "clients: {apiKeyLimits: {requestsPerMinute: 1}}",
        &["a"],
        None,
    );
    assert!(!limits.is_empty());
    for _ in 0..5 {
        admit(&limits, "team-a/app", &clock).unwrap();
    }
    assert!(compiled("{}", &["a"], None).is_empty());
}

proptest! {
    #[test]
    fn no_minute_exceeds_the_limit(
        pauses in proptest::collection::vec(0_u64..5_000, 1..300),
        limit in 1_u64..40,
    ) {
        let (still, clock) = clock();
        let limits = compiled(&format!("limits: {{requestsPerMinute: {limit}}}"), &[], None);
        let mut taken: BTreeMap<u64, u64> = BTreeMap::new();
        for pause in pauses {
            let now = still.0.fetch_add(pause, Ordering::AcqRel) + pause;
            if admit(&limits, "anonymous", &clock).is_ok() {
                *taken.entry(now / 60_000).or_default() += 1;
            }
        }
        for count in taken.values() {
            prop_assert!(*count <= limit);
        }
    }
}

#[test]
fn concurrent_requests_never_exceed_the_limit() {
    let (_, clock) = clock();
    let limits = compiled("limits: {requestsPerMinute: 100}", &[], None);
    let taken = Mutex::new(0_u64);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    if admit(&limits, "anonymous", &clock).is_ok() {
                        *taken.lock().unwrap() += 1;
                    }
                }
            });
        }
    });
    assert_eq!(*taken.lock().unwrap(), 100);
}
