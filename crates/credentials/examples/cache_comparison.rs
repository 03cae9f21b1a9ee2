//! Compares this crate's handle with the identity cache of the AWS SDK for Rust, against the simulated AWS:
//! requests failed during an STS outage, STS calls with many waiters, time to read the current credentials.
//!
//! `cargo run -p credentials --example cache_comparison` takes about two minutes. Both sides exchange the same kind
//! of token at the same STS without retries below the cache; the SDK's cache has its default settings.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that prints a table and stops at the first error"
)]

use std::{
    collections::BTreeMap,
    fmt,
    hint::black_box,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_sts::config::{
    AsyncSleep, BehaviorVersion, ConfigBag, IdentityCache, Region, SharedIdentityCache, Sleep,
    retry::RetryConfig,
};
use aws_smithy_runtime_api::client::{
    identity::{Identity, ResolveCachedIdentity, SharedIdentityResolver},
    runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
};
use awsdouble::{Config, Double, Fault, FaultAction, TokenIssuer, allow_bedrock};
use credentials::{ActiveCredentials, Handle, Settings, SharedTimeSource};
use tokio::time::{Instant, sleep, sleep_until};

const EXCHANGE: &str = "AssumeRoleWithWebIdentity";
const ISSUER: &str = "https://oidc.example/id/TEAM";
const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";
/// Lifetime during the outage in seconds: short enough to measure, longer than the SDK's buffer of 5 to 10 s.
const LIFETIME_SECONDS: u64 = 30;
/// Requests per second during the outage.
const RATE: u32 = 20;
/// Maximum time to wait for the waiters.
const LIMIT: Duration = Duration::from_secs(20);
/// Delay of an STS response in milliseconds.
const DELAY_MILLIS: u64 = 20;

struct Pod {
    double: Double,
    token_file: PathBuf,
    _directory: tempfile::TempDir,
}

/// The SDK's cache with a provider that reads the token file at each call, like the SDK's own provider.
struct SdkCache {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    bag: ConfigBag,
}

struct Exchange {
    client: aws_sdk_sts::Client,
    token_file: PathBuf,
}

#[derive(Debug)]
struct TokioSleep;

impl AsyncSleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

impl Exchange {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map_err(CredentialsError::provider_error)?;
        let response = self
            .client
            .assume_role_with_web_identity()
            .role_arn(ROLE)
            .role_session_name("sdk")
            .web_identity_token(token)
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let keys = response.credentials.unwrap();
        Ok(Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            Some(keys.session_token),
            SystemTime::try_from(keys.expiration).ok(),
            "Exchange",
        ))
    }
}

impl ProvideCredentials for Exchange {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl Pod {
    async fn start(lifetime_seconds: u64) -> Self {
        let issuer = TokenIssuer::generate(ISSUER).unwrap();
        let config = Config::default().with_issuer(ISSUER, issuer.jwks());
        let trust = config.irsa_trust(ISSUER, "team-a", "app");
        let config = config
            .with_role(ROLE, trust, allow_bedrock())
            .with_credential_lifetime(lifetime_seconds);
        let now = now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let token = issuer
            .service_account_token("team-a", "app", "sts.amazonaws.com", now - 60, now + 3600)
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, token).unwrap();
        Self {
            double: Double::start(config).await.unwrap(),
            token_file,
            _directory: directory,
        }
    }

    async fn handle(&self) -> Handle {
        let environment = BTreeMap::from(
            [
                ("AWS_ROLE_ARN", ROLE),
                (
                    "AWS_WEB_IDENTITY_TOKEN_FILE",
                    self.token_file.to_str().unwrap(),
                ),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ENDPOINT_URL_STS", &self.double.url()),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let settings = Settings::from_env(&environment, None, Vec::new(), None, "ours").unwrap();
        credentials::start(settings, SharedTimeSource::default())
            .await
            .unwrap()
    }

    fn sdk(&self) -> Arc<SdkCache> {
        Arc::new(SdkCache::new(&self.double.url(), &self.token_file))
    }

    fn fail(&self) {
        let action = FaultAction::Error {
            status: 503,
            code: "ServiceUnavailable".to_owned(),
            message: String::new(),
            empty_body: false,
        };
        self.double.inject(Fault::new(EXCHANGE, action));
    }

    fn exchanges(&self) -> usize {
        self.double.calls_of(EXCHANGE).len()
    }
}

impl SdkCache {
    fn new(url: &str, token_file: &Path) -> Self {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let provider = SharedCredentialsProvider::new(Exchange {
            client: aws_sdk_sts::Client::from_conf(config),
            token_file: token_file.to_owned(),
        });
        let components = RuntimeComponentsBuilder::for_tests()
            .with_time_source(Some(SharedTimeSource::default()))
            .with_sleep_impl(Some(aws_sdk_sts::config::SharedAsyncSleep::new(TokioSleep)))
            .build()
            .unwrap();
        Self {
            cache: IdentityCache::lazy().build(),
            resolver: SharedIdentityResolver::new(provider),
            components,
            bag: ConfigBag::base(),
        }
    }

    async fn identity(&self) -> Option<Identity> {
        self.cache
            .resolve_cached_identity(self.resolver.clone(), &self.components, &self.bag)
            .await
            .ok()
    }
}

fn now() -> SystemTime {
    SharedTimeSource::default().now()
}

/// Failed requests, by whether the first credentials were still valid.
#[derive(Default)]
struct Outage {
    requests: usize,
    failed_while_valid: usize,
    failed_after_expiry: usize,
    first_failure_before_expiry: f64,
    exchanges: usize,
}

/// Sends requests while STS fails, from the first exchange until some seconds after the credentials expire.
async fn outage<R, F>(pod: &Pod, end: SystemTime, request: R) -> Outage
where
    R: Fn() -> F,
    F: Future<Output = bool>,
{
    pod.fail();
    let before = pod.exchanges();
    let mut outage = Outage::default();
    let until = end + Duration::from_secs(3);
    while now() < until {
        let next = Instant::now() + Duration::from_secs(1) / RATE;
        outage.requests += 1;
        let sent = now();
        if !request().await {
            if sent < end {
                if outage.failed_while_valid == 0 {
                    outage.first_failure_before_expiry =
                        end.duration_since(sent).unwrap().as_secs_f64();
                }
                outage.failed_while_valid += 1;
            } else {
                outage.failed_after_expiry += 1;
            }
        }
        sleep_until(next).await;
    }
    outage.exchanges = pod.exchanges() - before;
    outage
}

/// The number of STS calls caused by many waiters, and the time until the last waiter finished.
struct Crowd {
    exchanges: usize,
    finished: usize,
    took: Duration,
}

async fn crowd<F>(pod: &Pod, waiters: impl Iterator<Item = F>) -> Crowd
where
    F: Future<Output = ()> + Send + 'static,
{
    let before = pod.exchanges();
    let started = Instant::now();
    let tasks: Vec<_> = waiters.map(tokio::spawn).collect();
    let deadline = started + LIMIT;
    let mut finished = 0;
    for task in tasks {
        let abort = task.abort_handle();
        if tokio::time::timeout_at(deadline, task).await.is_ok() {
            finished += 1;
        } else {
            abort.abort();
        }
    }
    Crowd {
        exchanges: pod.exchanges() - before,
        finished,
        took: started.elapsed(),
    }
}

/// Makes renewal fail and waits until the credentials have expired.
async fn expired(pod: &Pod, end: SystemTime) {
    pod.fail();
    while now() <= end {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn ours_expired(lifetime: u64) -> (Pod, Handle, ActiveCredentials) {
    let pod = Pod::start(lifetime).await;
    let handle = pod.handle().await;
    let credentials = handle.wait_ready(LIMIT).await.unwrap();
    expired(&pod, credentials.expires_at().unwrap()).await;
    (pod, handle, credentials)
}

async fn sdk_expired(lifetime: u64) -> (Pod, Arc<SdkCache>) {
    let pod = Pod::start(lifetime).await;
    let sdk = pod.sdk();
    let identity = sdk.identity().await.unwrap();
    expired(&pod, identity.expiration().unwrap()).await;
    (pod, sdk)
}

fn ask_ours(
    handle: &Handle,
    credentials: &ActiveCredentials,
) -> impl Future<Output = ()> + Send + 'static {
    let (handle, credentials) = (handle.clone(), credentials.clone());
    async move {
        if handle.current().is_err() {
            let _ = black_box(handle.replace(&credentials).await);
        }
    }
}

fn ask_sdk(sdk: &Arc<SdkCache>) -> impl Future<Output = ()> + Send + 'static {
    let sdk = Arc::clone(sdk);
    async move {
        black_box(sdk.identity().await);
    }
}

async fn crowds(count: usize, failing: bool) -> (Crowd, Crowd) {
    let slow = FaultAction::Delay {
        milliseconds: DELAY_MILLIS,
    };
    let (pod, handle, credentials) = ours_expired(2).await;
    prepare(&pod, failing, &slow);
    // A scheduled retry of the refresher is counted, too.
    let ours = crowd(&pod, (0..count).map(|_| ask_ours(&handle, &credentials))).await;
    let (pod, sdk) = sdk_expired(2).await;
    prepare(&pod, failing, &slow);
    let theirs = crowd(&pod, (0..count).map(|_| ask_sdk(&sdk))).await;
    (ours, theirs)
}

fn prepare(pod: &Pod, failing: bool, slow: &FaultAction) {
    if !failing {
        // New credentials last longer than the SDK's buffer, and the call takes a while, as at AWS.
        pod.double.set_credential_lifetime(Some(3600));
        pod.double.clear_faults();
        pod.double.inject(Fault::new(EXCHANGE, slow.clone()));
    }
}

async fn nanoseconds() -> (f64, f64, f64) {
    const ROUNDS: u32 = 1_000_000;
    let per_call = |took: Duration, rounds: u32| took.as_secs_f64() * 1e9 / f64::from(rounds);
    let pod = Pod::start(3600).await;
    let handle = pod.handle().await;
    handle.wait_ready(LIMIT).await.unwrap();
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(handle.current().unwrap());
    }
    let ours = per_call(started.elapsed(), ROUNDS);
    let done = Arc::new(AtomicBool::new(false));
    let other = {
        let (handle, done) = (handle.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                black_box(handle.current().unwrap());
            }
        })
    };
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(handle.current().unwrap());
    }
    let contended = per_call(started.elapsed(), ROUNDS);
    done.store(true, Ordering::Relaxed);
    other.join().unwrap();
    let sdk = pod.sdk();
    sdk.identity().await.unwrap();
    let rounds = ROUNDS / 10;
    let started = Instant::now();
    for _ in 0..rounds {
        black_box(sdk.identity().await.unwrap());
    }
    (ours, contended, per_call(started.elapsed(), rounds))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    println!("build: {profile}; web identity against the simulated STS on loopback\n");
    println!("| | handle | SDK's lazy identity cache |\n|---|---|---|");
    let (ours, theirs) = tokio::join!(
        async {
            let pod = Pod::start(LIFETIME_SECONDS).await;
            let handle = pod.handle().await;
            let end = handle
                .wait_ready(LIMIT)
                .await
                .unwrap()
                .expires_at()
                .unwrap();
            outage(&pod, end, || async { handle.current().is_ok() }).await
        },
        async {
            let pod = Pod::start(LIFETIME_SECONDS).await;
            let sdk = pod.sdk();
            let end = sdk.identity().await.unwrap().expiration().unwrap();
            outage(&pod, end, || async { sdk.identity().await.is_some() }).await
        }
    );
    let cell = |outage: &Outage| {
        format!(
            "{} of {} ({:.1} s before expiration)",
            outage.failed_while_valid, outage.requests, outage.first_failure_before_expiry
        )
    };
    println!(
        "| STS unavailable for a whole lifetime of {LIFETIME_SECONDS} s: requests failed while the credentials were valid (first one) | {} | {} |",
        cell(&ours),
        cell(&theirs)
    );
    println!(
        "| … requests failed in the 3 s after expiration | {} | {} |",
        ours.failed_after_expiry, theirs.failed_after_expiry
    );
    println!(
        "| … STS calls meanwhile | {} | {} |",
        ours.exchanges, theirs.exchanges
    );
    for (failing, what) in [
        (false, "STS available again"),
        (true, "STS still unavailable"),
    ] {
        for count in [50, 1000] {
            let (ours, theirs) = crowds(count, failing).await;
            let cell = |crowd: &Crowd| {
                format!(
                    "{} calls, {} finished in {:.2} s",
                    crowd.exchanges,
                    crowd.finished,
                    crowd.took.as_secs_f64()
                )
            };
            println!(
                "| {count} requests after expiration, {what} | {} | {} |",
                cell(&ours),
                cell(&theirs)
            );
        }
    }
    let (ours, contended, theirs) = nanoseconds().await;
    println!("| current credentials, one thread | {ours:.0} ns | {theirs:.0} ns |");
    println!("| … while a second thread does the same | {contended:.0} ns | |");
}
