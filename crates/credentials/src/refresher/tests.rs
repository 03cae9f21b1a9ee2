use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use aws_credential_types::Credentials;
use aws_types::sdk_config::{SharedTimeSource, TimeSource};

use super::*;
use crate::{
    choice::{Choice, Method},
    clock::Clock,
    files::Watched,
    handle::Handle,
    sources::Fetch,
    start::spawn,
    sts::StsSettings,
};

const HOUR: Duration = Duration::from_hours(1);
/// Duration of a scripted exchange.
const EXCHANGE: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_mins(1);

/// Wall clock that follows tokio's clock, so that pausing one pauses both.
#[derive(Clone, Debug)]
struct TestClock(Instant);

impl TimeSource for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000) + self.0.elapsed()
    }
}

/// A scripted source that records when it was called.
#[derive(Clone)]
struct Scripted(Arc<Mutex<Script>>);

struct Script {
    clock: TestClock,
    lifetime: Option<Duration>,
    /// Fails with this reason while it is set.
    fault: Option<Reason>,
    /// Never responds while it is set.
    hang: bool,
    /// Returns the same keys for every call.
    constant: bool,
    calls: Vec<Duration>,
    watched: Vec<PathBuf>,
}

impl Scripted {
    fn with<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn calls(&self) -> usize {
        self.with(|script| script.calls.len())
    }

    async fn run(&self) -> Result<Material, Unavailable> {
        let count = self.with(|script| {
            script.calls.push(script.clock.0.elapsed());
            script.calls.len()
        });
        tokio::time::sleep(EXCHANGE).await;
        if self.with(|script| script.hang) {
            std::future::pending::<()>().await;
        }
        self.with(|script| match script.fault {
            Some(reason) => Err(Unavailable::new(reason, "as scripted")),
            None => Ok(Material::Keys(Credentials::new(
                if script.constant {
                    "AKID".to_owned()
                } else {
                    format!("AKID{count}")
                },
                "secret",
                None,
                script
                    .lifetime
                    .map(|lifetime| script.clock.now() + lifetime),
                "Scripted",
            ))),
        })
    }
}

impl Source for Scripted {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.run())
    }

    fn watched(&self) -> Vec<Watched> {
        self.with(|script| script.watched.iter().map(Watched::always).collect())
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::StsUnreachable, "timeout")
    }

    fn fix(&self) -> &'static str {
        "Write another script"
    }
}

fn start_with(lifetime: Option<Duration>, change: impl FnOnce(&mut Script)) -> (Handle, Scripted) {
    let clock = TestClock(Instant::now());
    let source = Scripted(Arc::new(Mutex::new(Script {
        clock: clock.clone(),
        lifetime,
        fault: None,
        hang: false,
        constant: false,
        calls: Vec::new(),
        watched: Vec::new(),
    })));
    source.with(change);
    let choice = Choice {
        method: Method::WebIdentity,
        because: "set by the test".to_owned(),
        assume_roles: Vec::new(),
        conflicts: Vec::new(),
    };
    let clock = Clock::new(SharedTimeSource::new(clock));
    let shared = Shared::new(choice, StsSettings::default(), String::new(), clock);
    let handle = spawn(shared, Box::new(source.clone()), None, fastrand::f64);
    (handle, source)
}

fn start(lifetime: Duration) -> (Handle, Scripted) {
    start_with(Some(lifetime), |_| {})
}

/// Advances time in small steps; returns the number of steps with credentials and of all steps.
async fn usable_during(handle: &Handle, span: Duration, step: Duration) -> (usize, usize) {
    let end = Instant::now() + span;
    let (mut usable, mut all) = (0, 0);
    while Instant::now() < end {
        all += 1;
        usable += usize::from(handle.current().is_ok());
        tokio::time::sleep(step).await;
    }
    (usable, all)
}

#[tokio::test(start_paused = true)]
async fn refreshes_at_60_to_75_percent_of_each_lifetime() {
    for lifetime in [Duration::from_secs(20), Duration::from_mins(15), HOUR] {
        let (handle, source) = start(lifetime);
        handle.wait_ready(TIMEOUT).await.unwrap();
        let (usable, all) = usable_during(&handle, lifetime * 20, lifetime / 50).await;
        assert_eq!(usable, all, "{lifetime:?}");
        let calls = source.with(|script| script.calls.clone());
        assert!(
            calls.len() >= 26 && calls.len() <= 35,
            "{lifetime:?}: {}",
            calls.len()
        );
        for pair in calls.windows(2) {
            let apart = pair[1].checked_sub(pair[0] + EXCHANGE).unwrap();
            let share = apart.as_secs_f64() / lifetime.as_secs_f64();
            // A millisecond is the timer's resolution.
            assert!((0.599..=0.751).contains(&share), "{lifetime:?}: {share}");
        }
        // An exchange may still be in flight; all exchanges succeed.
        let calls_so_far = || source.with(|script| u64::try_from(script.calls.len()).unwrap());
        let succeeded = || handle.status().refreshes_by_result["success"];
        for _ in 0..10 {
            if succeeded() == calls_so_far() {
                break;
            }
            tokio::time::sleep(EXCHANGE).await;
        }
        assert_eq!(succeeded(), calls_so_far());
    }
}

#[tokio::test(start_paused = true)]
async fn current_credentials_stay_usable_through_an_outage_until_they_expire() {
    let (handle, source) = start(HOUR);
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    source.with(|script| script.fault = Some(Reason::StsUnreachable));
    let until_end = Duration::from_secs(3599);
    let (usable, all) = usable_during(&handle, until_end, Duration::from_secs(1)).await;
    assert_eq!(usable, all);
    let status = handle.status();
    assert_eq!(status.generation, credentials.generation());
    assert!(status.is_usable());
    assert_eq!(status.last_error.unwrap().reason, Reason::StsUnreachable);
    let attempts = source.calls();
    assert!(
        (20..200).contains(&attempts),
        "attempts during the outage are bounded: {attempts}"
    );

    tokio::time::sleep(Duration::from_secs(2)).await;
    let unavailable = handle.current().unwrap_err();
    assert_eq!(unavailable.reason, Reason::StsUnreachable);
    assert!(unavailable.message.contains("expired at"), "{unavailable}");
    assert!(!handle.status().is_usable());

    source.with(|script| script.fault = None);
    let recovered = Instant::now();
    handle.wait_ready(TIMEOUT).await.unwrap();
    assert!(
        recovered.elapsed() <= Duration::from_secs(6),
        "{:?}",
        recovered.elapsed()
    );
    assert_eq!(handle.status().consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_concurrent_replacements_after_expiration_cause_one_exchange() {
    let (handle, source) = start(HOUR);
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    source.with(|script| script.fault = Some(Reason::StsFault));
    tokio::time::sleep_until(Instant::now() + HOUR + Duration::from_secs(1)).await;
    assert!(handle.current().is_err());
    // An exchange in flight would serve all callers, too: wait for a pause between two exchanges.
    let mut before = source.calls();
    loop {
        tokio::time::sleep(EXCHANGE * 2).await;
        if source.calls() == before {
            break;
        }
        before = source.calls();
    }
    source.with(|script| script.fault = None);
    let waiters: Vec<_> = (0..1000)
        .map(|_| {
            let (handle, credentials) = (handle.clone(), credentials.clone());
            tokio::spawn(async move { handle.replace(&credentials, "ExpiredTokenException").await })
        })
        .collect();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().generation(), 2);
    }
    assert_eq!(source.calls() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_session_causes_one_exchange_and_later_rejections_none() {
    let (handle, source) = start(HOUR);
    let revoked = handle.wait_ready(TIMEOUT).await.unwrap();
    let fresh = handle
        .replace(&revoked, "ExpiredTokenException")
        .await
        .unwrap();
    assert_eq!((fresh.generation(), source.calls()), (2, 2));
    for _ in 0..100 {
        assert_eq!(
            handle
                .replace(&revoked, "ExpiredTokenException")
                .await
                .unwrap()
                .generation(),
            2
        );
    }
    assert_eq!(source.calls(), 2);
    assert_eq!(handle.status().forced_refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_of_replaced_credentials_leaves_the_state_of_the_current_ones() {
    let (handle, _source) = start(HOUR);
    let old = handle.wait_ready(TIMEOUT).await.unwrap();
    let current = handle.replace(&old, "ExpiredTokenException").await.unwrap();
    handle.refused(&old, "ExpiredTokenException", "us-east-1");
    assert!(
        handle.ready().is_ok(),
        "no request refused the current ones"
    );
    handle.refused(&current, "UnrecognizedClientException", "us-east-1");
    assert!(handle.ready().is_err());
    handle.refused(&old, "ExpiredTokenException", "us-east-1");
    let refused = handle.ready().unwrap_err();
    assert!(refused.message.contains("UnrecognizedClient"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_role_that_aws_keeps_rejecting_causes_at_most_one_exchange_per_second() {
    let (handle, source) = start(HOUR);
    let mut credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    let started = Instant::now();
    for _ in 0..20 {
        credentials = handle
            .replace(&credentials, "ExpiredTokenException")
            .await
            .unwrap();
    }
    assert!(
        started.elapsed() >= Duration::from_secs(19),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(source.calls(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_failed_replacement_returns_the_reason_and_the_next_one_retries() {
    let (handle, source) = start(HOUR);
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    source.with(|script| script.fault = Some(Reason::AccessDenied));
    assert_eq!(
        handle
            .replace(&credentials, "ExpiredTokenException")
            .await
            .unwrap_err()
            .reason,
        Reason::AccessDenied
    );
    source.with(|script| script.fault = None);
    assert_eq!(
        handle
            .replace(&credentials, "ExpiredTokenException")
            .await
            .unwrap()
            .generation(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn reports_keys_that_cannot_be_renewed_as_rejected() {
    let (handle, source) = start_with(None, |script| script.constant = true);
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    assert_eq!(handle.status().next_refresh_at, None);
    let rejected = handle
        .replace(&credentials, "ExpiredTokenException")
        .await
        .unwrap_err();
    assert_eq!(rejected.reason, Reason::Rejected);
    assert!(
        rejected.message.contains("Write another script"),
        "{rejected}"
    );
    assert_eq!(source.calls(), 2);
    assert!(
        handle.current().is_ok(),
        "AWS may accept the keys for other calls"
    );
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_handle() {
    let (handle, source) = start(Duration::from_mins(1));
    handle.wait_ready(TIMEOUT).await.unwrap();
    let clone = handle.clone();
    drop(handle);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(source.calls() >= 3, "a clone keeps the task running");
    drop(clone);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let calls = source.calls();
    tokio::time::sleep(HOUR).await;
    assert_eq!(source.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_responds_times_out_and_is_retried() {
    let (handle, source) = start_with(Some(HOUR), |script| script.hang = true);
    assert_eq!(handle.current().unwrap_err().reason, Reason::Pending);
    let unavailable = handle
        .wait_ready(Duration::from_secs(20))
        .await
        .unwrap_err();
    assert_eq!(unavailable.reason, Reason::StsUnreachable);
    source.with(|script| script.hang = false);
    handle.wait_ready(TIMEOUT).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rejects_credentials_that_have_expired_already() {
    let (handle, _source) = start(Duration::ZERO);
    let unavailable = handle.wait_ready(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(unavailable.reason, Reason::Expired);
    assert!(unavailable.message.contains("had expired"), "{unavailable}");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_file_is_reloaded_within_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("credentials");
    let version = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let staged = directory.path().join("staged");
        std::os::unix::fs::symlink(&path, &staged).unwrap();
        // As the kubelet does: rename a new link over the old one.
        std::fs::rename(&staged, &link).unwrap();
    };
    version("one", "same length");
    let (handle, source) = start_with(None, |script| script.watched = vec![link.clone()]);
    let mut changes = handle.changes();
    handle.wait_ready(TIMEOUT).await.unwrap();
    tokio::time::sleep(HOUR).await;
    assert_eq!(source.calls(), 1, "no file was replaced");
    version("two", "same length");
    changes.borrow_and_update();
    tokio::time::timeout(Duration::from_secs(5), changes.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(handle.current().unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_corrected_clock_determines_expiration() {
    let (handle, source) = start(HOUR);
    handle.wait_ready(TIMEOUT).await.unwrap();
    source.with(|script| script.fault = Some(Reason::StsFault));
    let in_two_hours = handle.now() + HOUR * 2;
    let date = aws_smithy_types::DateTime::from(in_two_hours)
        .fmt(aws_smithy_types::date_time::Format::HttpDate)
        .unwrap();
    assert!(handle.observe_server_date(&date));
    assert!(handle.current().is_err());
    assert!((handle.status().clock_skew_seconds - 7200.0).abs() < 2.0);
    source.with(|script| {
        script.fault = None;
        // AWS's lifetimes start at AWS's time.
        script.lifetime = Some(HOUR * 3);
    });
    let corrected = Instant::now();
    handle.wait_ready(TIMEOUT).await.unwrap();
    assert!(
        corrected.elapsed() < Duration::from_secs(6),
        "the correction makes the next refresh due earlier"
    );
}
