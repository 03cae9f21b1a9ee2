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
/// How long a scripted exchange takes.
const EXCHANGE: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_mins(1);

/// Wall clock that follows tokio's, so that pausing one pauses both.
#[derive(Clone, Debug)]
struct TestClock(Instant);

impl TimeSource for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000) + self.0.elapsed()
    }
}

/// A source that does as told and notes when it was asked.
#[derive(Clone)]
struct Scripted(Arc<Mutex<Script>>);

struct Script {
    clock: TestClock,
    lifetime: Option<Duration>,
    /// Fails with this while it is set.
    fault: Option<Reason>,
    /// Never answers while it is set.
    hang: bool,
    /// Hands out the same keys again and again.
    constant: bool,
    asked_at: Vec<Duration>,
    watched: Vec<PathBuf>,
}

impl Scripted {
    fn with<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn asked(&self) -> usize {
        self.with(|script| script.asked_at.len())
    }

    async fn answer(&self) -> Result<Material, Unavailable> {
        let count = self.with(|script| {
            script.asked_at.push(script.clock.0.elapsed());
            script.asked_at.len()
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
        Box::pin(self.answer())
    }

    fn watched(&self) -> Vec<Watched> {
        self.with(|script| script.watched.iter().map(Watched::always).collect())
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::StsUnreachable, "too slow")
    }

    fn way_out(&self) -> &'static str {
        "write another script"
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
        asked_at: Vec::new(),
        watched: Vec::new(),
    })));
    source.with(change);
    let choice = Choice {
        method: Method::WebIdentity,
        because: "a test says so".to_owned(),
        assume_roles: Vec::new(),
        conflicts: Vec::new(),
    };
    let clock = Clock::new(SharedTimeSource::new(clock));
    let shared = Shared::new(choice, StsSettings::default(), String::new(), clock);
    let handle = spawn(shared, Box::new(source.clone()), fastrand::f64);
    (handle, source)
}

fn start(lifetime: Duration) -> (Handle, Scripted) {
    start_with(Some(lifetime), |_| {})
}

/// Moves time on in small steps and returns the share of them at which there were credentials.
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
async fn refresh_happens_at_sixty_to_seventy_five_percent_of_each_lifetime() {
    for lifetime in [Duration::from_secs(20), Duration::from_mins(15), HOUR] {
        let (handle, source) = start(lifetime);
        handle.wait_ready(TIMEOUT).await.unwrap();
        let (usable, all) = usable_during(&handle, lifetime * 20, lifetime / 50).await;
        assert_eq!(usable, all, "{lifetime:?}");
        let asked = source.with(|script| script.asked_at.clone());
        assert!(
            asked.len() >= 26 && asked.len() <= 35,
            "{lifetime:?}: {}",
            asked.len()
        );
        for pair in asked.windows(2) {
            let apart = pair[1].checked_sub(pair[0] + EXCHANGE).unwrap();
            let share = apart.as_secs_f64() / lifetime.as_secs_f64();
            // A millisecond is the timer's resolution.
            assert!((0.599..=0.751).contains(&share), "{lifetime:?}: {share}");
        }
        // An exchange may have been under way when the watch ended: each ends as a success.
        let asked_so_far = || source.with(|script| u64::try_from(script.asked_at.len()).unwrap());
        let succeeded = || handle.status().refreshes_by_result["success"];
        for _ in 0..10 {
            if succeeded() == asked_so_far() {
                break;
            }
            tokio::time::sleep(EXCHANGE).await;
        }
        assert_eq!(succeeded(), asked_so_far());
    }
}

#[tokio::test(start_paused = true)]
async fn old_credentials_serve_through_an_outage_until_they_really_expire() {
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
    let tries = source.asked();
    assert!(
        (20..200).contains(&tries),
        "bounded tries through the outage: {tries}"
    );

    tokio::time::sleep(Duration::from_secs(2)).await;
    let unavailable = handle.current().unwrap_err();
    assert_eq!(unavailable.reason, Reason::StsUnreachable);
    assert!(unavailable.message.contains("expired at"), "{unavailable}");
    assert!(!handle.status().is_usable());

    source.with(|script| script.fault = None);
    let back = Instant::now();
    handle.wait_ready(TIMEOUT).await.unwrap();
    assert!(
        back.elapsed() <= Duration::from_secs(6),
        "{:?}",
        back.elapsed()
    );
    assert_eq!(handle.status().consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_replacements_at_the_moment_of_expiry_make_one_exchange() {
    let (handle, source) = start(HOUR);
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    source.with(|script| script.fault = Some(Reason::StsFault));
    tokio::time::sleep_until(Instant::now() + HOUR + Duration::from_secs(1)).await;
    assert!(handle.current().is_err());
    // An exchange in flight would answer the thousand too: wait for a moment between two of them.
    let mut before = source.asked();
    loop {
        tokio::time::sleep(EXCHANGE * 2).await;
        if source.asked() == before {
            break;
        }
        before = source.asked();
    }
    source.with(|script| script.fault = None);
    let waiters: Vec<_> = (0..1000)
        .map(|_| {
            let (handle, credentials) = (handle.clone(), credentials.clone());
            tokio::spawn(async move { handle.replace(&credentials).await })
        })
        .collect();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().generation(), 2);
    }
    assert_eq!(source.asked() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_session_costs_one_exchange_and_later_rejections_of_it_none() {
    let (handle, source) = start(HOUR);
    let revoked = handle.wait_ready(TIMEOUT).await.unwrap();
    let fresh = handle.replace(&revoked).await.unwrap();
    assert_eq!((fresh.generation(), source.asked()), (2, 2));
    for _ in 0..100 {
        assert_eq!(handle.replace(&revoked).await.unwrap().generation(), 2);
    }
    assert_eq!(source.asked(), 2);
    assert_eq!(handle.status().forced_refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_aws_keeps_refusing_makes_at_most_one_exchange_a_second() {
    let (handle, source) = start(HOUR);
    let mut credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    let started = Instant::now();
    for _ in 0..20 {
        credentials = handle.replace(&credentials).await.unwrap();
    }
    assert!(
        started.elapsed() >= Duration::from_secs(19),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(source.asked(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_failed_replacement_says_why_and_the_next_one_tries_again() {
    let (handle, source) = start(HOUR);
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    source.with(|script| script.fault = Some(Reason::AccessDenied));
    assert_eq!(
        handle.replace(&credentials).await.unwrap_err().reason,
        Reason::AccessDenied
    );
    source.with(|script| script.fault = None);
    assert_eq!(handle.replace(&credentials).await.unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_renewed_are_reported_as_rejected() {
    let (handle, source) = start_with(None, |script| script.constant = true);
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    assert_eq!(handle.status().next_refresh_at, None);
    let rejected = handle.replace(&credentials).await.unwrap_err();
    assert_eq!(rejected.reason, Reason::Rejected);
    assert!(
        rejected.message.contains("write another script"),
        "{rejected}"
    );
    assert_eq!(source.asked(), 2);
    assert!(handle.current().is_ok(), "they may be good for other calls");
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_handle() {
    let (handle, source) = start(Duration::from_mins(1));
    handle.wait_ready(TIMEOUT).await.unwrap();
    let clone = handle.clone();
    drop(handle);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(source.asked() >= 3, "a clone keeps it alive");
    drop(clone);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = source.asked();
    tokio::time::sleep(HOUR).await;
    assert_eq!(source.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_is_given_up_and_asked_again() {
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
async fn credentials_that_are_over_before_they_begin_are_refused() {
    let (handle, _source) = start(Duration::ZERO);
    let unavailable = handle.wait_ready(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(unavailable.reason, Reason::Expired);
    assert!(unavailable.message.contains("had expired"), "{unavailable}");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_file_is_taken_up_within_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("credentials");
    let version = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let staged = folder.path().join("staged");
        std::os::unix::fs::symlink(&path, &staged).unwrap();
        // As the kubelet does it: a new link renamed over the old one.
        std::fs::rename(&staged, &link).unwrap();
    };
    version("one", "same length");
    let (handle, source) = start_with(None, |script| script.watched = vec![link.clone()]);
    let mut changes = handle.changes();
    handle.wait_ready(TIMEOUT).await.unwrap();
    tokio::time::sleep(HOUR).await;
    assert_eq!(source.asked(), 1, "nothing was replaced");
    version("two", "same length");
    changes.borrow_and_update();
    tokio::time::timeout(Duration::from_secs(5), changes.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(handle.current().unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_corrected_clock_decides_about_expiry() {
    let (handle, source) = start(HOUR);
    handle.wait_ready(TIMEOUT).await.unwrap();
    source.with(|script| script.fault = Some(Reason::StsFault));
    let two_hours_on = handle.now() + HOUR * 2;
    let date = aws_smithy_types::DateTime::from(two_hours_on)
        .fmt(aws_smithy_types::date_time::Format::HttpDate)
        .unwrap();
    assert!(handle.observe_server_date(&date));
    assert!(handle.current().is_err());
    assert!((handle.status().clock_skew_seconds - 7200.0).abs() < 2.0);
    source.with(|script| {
        script.fault = None;
        // AWS counts from its own time.
        script.lifetime = Some(HOUR * 3);
    });
    let corrected = Instant::now();
    handle.wait_ready(TIMEOUT).await.unwrap();
    assert!(
        corrected.elapsed() < Duration::from_secs(6),
        "the plan was made with a wrong clock"
    );
}
