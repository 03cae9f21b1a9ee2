//! Renewal with real sockets and short lifetimes: rotation, outage, expiration, revocation, clock skew.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use awsdouble::Fault;
use credentials::{Reason, Settings};
use tokio::time::Instant;

use crate::support::{Account, TIMEOUT, eventually, keys, link, start};

const EXCHANGE: &str = "AssumeRoleWithWebIdentity";

struct Pod {
    account: Account,
    directory: tempfile::TempDir,
}

impl Pod {
    async fn start(lifetime_seconds: u64) -> Self {
        let pod = Self {
            account: Account::start(Some(lifetime_seconds)).await,
            directory: tempfile::tempdir().unwrap(),
        };
        pod.project("app", 3600);
        pod
    }

    fn token_file(&self) -> std::path::PathBuf {
        self.directory.path().join("token")
    }

    /// Replaces the projected token, as the kubelet does.
    fn project(&self, account: &str, expires_in: i64) {
        let staged = self.directory.path().join("staged");
        std::fs::write(
            &staged,
            self.account.token(account, "sts.amazonaws.com", expires_in),
        )
        .unwrap();
        std::fs::rename(&staged, self.token_file()).unwrap();
    }

    fn settings(&self) -> Settings {
        self.account.web_identity(&self.token_file())
    }

    fn exchanges(&self) -> usize {
        self.account.double.calls_of(EXCHANGE).len()
    }
}

#[tokio::test]
async fn each_refresh_reads_the_token_file_and_credentials_are_always_available() {
    let pod = Pod::start(4).await;
    let handle = start(pod.settings()).await;
    handle.wait_ready(TIMEOUT).await.unwrap();
    let end = Instant::now() + Duration::from_secs(13);
    let mut seen = BTreeSet::new();
    while Instant::now() < end {
        let credentials = handle.current().unwrap();
        assert!(credentials.expires_at().unwrap() > handle.now());
        if seen.insert(credentials.generation()) {
            pod.project("app", 3600);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Expirations in whole seconds give lifetimes of 3 to 4 s: a refresh every 1.8 to 3 s.
    let calls = pod.account.double.calls_of(EXCHANGE);
    assert!((5..=8).contains(&calls.len()), "{} exchanges", calls.len());
    let tokens: BTreeSet<_> = calls
        .iter()
        .map(|call| call.token.clone().unwrap().fingerprint)
        .collect();
    assert_eq!(
        tokens.len(),
        calls.len(),
        "each exchange uses a different token"
    );
}

#[tokio::test]
async fn credentials_stay_usable_through_an_outage_until_they_expire() {
    let pod = Pod::start(12).await;
    let handle = start(pod.settings()).await;
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    pod.account
        .double
        .inject(Fault::error(EXCHANGE, 503, "ServiceUnavailable"));
    let end = credentials.expires_at().unwrap();
    while handle.now() < end - Duration::from_millis(50) {
        let current = handle.current();
        assert!(
            current.is_ok(),
            "{current:?} {:?} before the end",
            end.duration_since(handle.now())
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(pod.exchanges() >= 4, "the refresher retries meanwhile");
    eventually("expiration", || handle.current().is_err()).await;
    assert!(handle.now() >= end);
    assert_eq!(handle.current().unwrap_err().reason, Reason::StsFault);
    pod.account.double.clear_faults();
    handle.wait_ready(TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn a_thousand_requests_after_expiration_cause_one_exchange() {
    let pod = Pod::start(3).await;
    let handle = start(pod.settings()).await;
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    pod.account
        .double
        .inject(Fault::error(EXCHANGE, 503, "ServiceUnavailable"));
    eventually("expiration", || handle.current().is_err()).await;
    // A refresh before the fault is possible on a busy machine.
    let expired = handle.status().generation;
    pod.account.double.set_credential_lifetime(Some(3600));
    let succeeded = || {
        pod.account
            .double
            .calls_of(EXCHANGE)
            .iter()
            .filter(|call| call.status == Some(200))
            .count()
    };
    let before = succeeded();
    pod.account.double.clear_faults();
    let waiters: Vec<_> = (0..1000)
        .map(|_| {
            let (handle, credentials) = (handle.clone(), credentials.clone());
            tokio::spawn(async move { handle.replace(&credentials, "ExpiredTokenException").await })
        })
        .collect();
    for waiter in waiters {
        let generation = waiter.await.unwrap().unwrap().generation();
        assert_eq!(generation, expired + 1);
    }
    assert_eq!(succeeded() - before, 1);
}

#[tokio::test]
async fn a_revoked_session_is_replaced_by_one_exchange() {
    let pod = Pod::start(3600).await;
    let handle = start(pod.settings()).await;
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    pod.account.double.revoke_sessions();
    let waiters: Vec<_> = (0..50)
        .map(|_| {
            let (handle, credentials) = (handle.clone(), credentials.clone());
            tokio::spawn(async move { handle.replace(&credentials, "ExpiredTokenException").await })
        })
        .collect();
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(pod.exchanges(), 2);
    let caller = pod.account.caller(&handle.current().unwrap()).await;
    assert!(
        caller.ends_with("assumed-role/BedrockRole/gateway"),
        "{caller}"
    );
}

#[tokio::test]
async fn a_renewed_token_file_triggers_a_retry_at_once() {
    let pod = Pod::start(3600).await;
    pod.project("app", -60);
    let handle = start(pod.settings()).await;
    // After the fifth failure the pause is 8 s or longer.
    eventually("failures", || handle.status().consecutive_failures >= 5).await;
    assert_eq!(handle.current().unwrap_err().reason, Reason::ExpiredToken);
    pod.project("app", 3600);
    let renewed = Instant::now();
    handle.wait_ready(TIMEOUT).await.unwrap();
    assert!(
        renewed.elapsed() < Duration::from_secs(4),
        "{:?}",
        renewed.elapsed()
    );
}

#[tokio::test]
async fn retries_an_expired_token_only_if_the_file_contains_a_new_one() {
    let pod = Pod::start(3600).await;
    let path = pod.token_file();
    pod.account.double.inject(
        Fault::new(
            EXCHANGE,
            awsdouble::FaultAction::Delay { milliseconds: 500 },
        )
        .times(1),
    );
    pod.project("app", -60);
    let handle = start(pod.settings()).await;
    eventually("the first exchange", || pod.exchanges() == 1).await;
    pod.project("app", 3600);
    handle.wait_ready(TIMEOUT).await.unwrap();
    assert_eq!(pod.exchanges(), 2, "{}", path.display());
    assert_eq!(handle.status().consecutive_failures, 0);
    assert_eq!(
        handle.status().refreshes_by_result.len(),
        1,
        "no failure is recorded"
    );
}

#[tokio::test]
async fn reloads_rotated_keys_of_a_mounted_secret_as_a_pair() {
    let mount = tempfile::tempdir().unwrap();
    let root = mount.path();
    // The kubelet's layout: files are links into ..data, which is a link to the directory of a version.
    let publish = |version: &str, id: &str, secret: &str| {
        let directory = root.join(version);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("AWS_ACCESS_KEY_ID"), id).unwrap();
        std::fs::write(directory.join("AWS_SECRET_ACCESS_KEY"), secret).unwrap();
        std::os::unix::fs::symlink(version, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), root.join(name)).unwrap();
    }
    publish("..one", "AKIAOLD", "old-secret");
    let handle = start(Account::settings(&[(
        "BEDROCK_GATEWAY_SECRET_DIRECTORY",
        root.to_str().unwrap(),
    )]))
    .await;
    let old = handle.wait_ready(TIMEOUT).await.unwrap();
    assert_eq!(keys(&old).access_key_id(), "AKIAOLD");
    publish("..two", "AKIANEW", "new-secret");
    eventually("rotation", || handle.current().unwrap().generation() == 2).await;
    let new = handle.current().unwrap();
    assert_eq!(keys(&new).access_key_id(), "AKIANEW");
    assert_eq!(keys(&new).secret_access_key(), "new-secret");
}

#[tokio::test]
async fn reloads_keys_rewritten_in_the_profile() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    let write = |id: &str| {
        let text =
            format!("[dev]\naws_access_key_id = {id}\naws_secret_access_key = secret-of-{id}\n");
        std::fs::write(&file, text).unwrap();
    };
    write("AKIAOLD");
    let handle = start(Account::settings(&[
        ("AWS_PROFILE", "dev"),
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
        ("AWS_CONFIG_FILE", "/nonexistent"),
    ]))
    .await;
    handle.wait_ready(TIMEOUT).await.unwrap();
    write("AKIANEWER");
    eventually("rotation", || {
        keys(&handle.current().unwrap()).access_key_id() == "AKIANEWER"
    })
    .await;
}

#[tokio::test]
async fn corrects_a_skewed_clock_after_the_first_rejection() {
    let account = Account::start(None).await;
    account.double.set_clock_skew(3600);
    let environment = std::collections::BTreeMap::from(
        [
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            (
                "AWS_SECRET_ACCESS_KEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let role = link("arn:aws:iam::210987654321:role/Shared");
    let settings = Settings::from_env(
        &environment,
        None,
        vec![role],
        Some(account.double.url()),
        "gateway",
    )
    .unwrap();
    let handle = start(settings).await;
    let credentials = handle.wait_ready(TIMEOUT).await.unwrap();
    let status = handle.status();
    assert!(
        (status.clock_skew_seconds - 3600.0).abs() < 5.0,
        "{status:?}"
    );
    let left = credentials
        .expires_at()
        .unwrap()
        .duration_since(handle.now())
        .unwrap();
    assert!(
        left > Duration::from_secs(3500) && left <= Duration::from_secs(3605),
        "{left:?}"
    );
    let calls = account.double.calls_of("AssumeRole");
    assert_eq!(
        calls.len(),
        2,
        "one rejected for its time, one signed with the corrected time"
    );
    assert!(credentials.expires_at().unwrap() > SystemTime::UNIX_EPOCH);
}
