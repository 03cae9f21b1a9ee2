//! Measures an operator with many BedrockAccess objects, on a real API server without nodes.
//!
//! The operator is a separate process with exactly the roles of the chart. There are no pods, so a stand-in reports the
//! pods of every Deployment as available; everything else is real. All processes share the cores of one machine: the
//! operator gets what the API server leaves. `cargo xtask bench operator` builds and runs it.

mod audit;
mod rig;
mod stand_in;
mod watched;
mod writer;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
};
use serde_json::json;
use tokio::time::Instant;

use self::{
    rig::{Operator, Rig},
    watched::Watched,
    writer::Writes,
};
use crate::report::float;

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Program of the operator.
    #[arg(long, value_name = "PROGRAM")]
    operator: PathBuf,
    /// Directory of the chart.
    #[arg(long, value_name = "DIRECTORY")]
    chart: PathBuf,
    /// Number of BedrockAccess objects that exist at once.
    #[arg(long, default_value_t = 1000)]
    objects: usize,
    /// Length of the idle phase in seconds, without a write.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    idle: u64,
}

/// BedrockAccess objects of one namespace.
const PER_NAMESPACE: usize = 50;
/// Creations at the same time, as many as the operator has workers.
const AT_ONCE: usize = 16;
/// Objects created one after the other, once all others are ready.
const SINGLES: usize = 50;
/// Longest wait for one of the further objects.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Runs all stages and prints their results.
///
/// # Errors
/// When a stage does not complete, or the operator writes although nothing changes.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let alone = writes_alone(options).await?;
    let rig = Rig::start(&options.chart).await?;
    let operator = rig.start_operator(&options.operator).await?;
    operator.ready().await?;
    println!(
        "operator without objects: {}",
        megabytes(operator.process.resident_bytes()?)
    );
    stand_in::start(rig.client.clone());
    let watched = Watched::start(rig.client.clone());
    let took = all_at_once(&rig, &operator, &watched, options.objects).await?;
    println!("  {:.2} times what the writes alone take", took / alone);
    one_by_one(&rig, &watched, options.objects).await?;
    operator.quiet().await?;
    drop(operator);
    let operator = restart(&rig, options).await?;
    idle(&rig, &operator, Duration::from_secs(options.idle)).await
}

/// On an API server of its own, the operator's writes for as many objects, made by a client that only writes;
/// gives the seconds.
async fn writes_alone(options: &Options) -> Result<f64> {
    let count = options.objects;
    let rig = Rig::start(&options.chart).await?;
    let operator = rig.start_operator(&options.operator).await?;
    operator.ready().await?;
    stand_in::start(rig.client.clone());
    let watched = Watched::start(rig.client.clone());
    let sample = make_namespaces(&rig, "team", "access", 1).await?;
    create(&rig, &sample).await?;
    watched.wait_for(1, TIMEOUT).await?;
    operator.quiet().await?;
    drop(operator);
    let writes = Writes::of(&rig.client, "team-0", "access-0").await?;
    let names = make_namespaces(&rig, "bare", "written", count).await?;
    let cpu = rig.api_server_cpu().await?;
    let begun = Instant::now();
    writes.repeat(&rig.client, &names).await?;
    let took = begun.elapsed().as_secs_f64();
    println!(
        "the writes for {count} objects alone, without an operator: {took:.1} s ({:.0} a second); CPU of the API server {:.1} s",
        counted(count) / took,
        rig.api_server_cpu().await? - cpu,
    );
    Ok(took)
}

/// Creates all objects as quickly as possible; returns the seconds until all were ready.
async fn all_at_once(
    rig: &Rig,
    operator: &Operator,
    watched: &Watched,
    count: usize,
) -> Result<f64> {
    let names = make_namespaces(rig, "team", "access", count).await?;
    let before = rig.requests()?;
    let cpu_before = (operator.process.cpu_seconds()?, rig.api_server_cpu().await?);
    let begun = Instant::now();
    let created = create(rig, &names).await?;
    let all_created = begun.elapsed();
    let ready = watched
        .wait_for(count, TIMEOUT + begun.elapsed() * 20)
        .await?;
    let took = ready.last()?.duration_since(begun).as_secs_f64();
    let mut waits: Vec<Duration> = created
        .iter()
        .filter_map(|(name, since)| Some(ready.at.get(name)?.duration_since(*since)))
        .collect();
    ensure!(waits.len() == count, "not every object became ready");
    waits.sort();
    let api_server = rig.api_server_cpu().await? - cpu_before.1;
    println!(
        "{count} objects at once: all created after {:.1} s, all ready after {took:.1} s ({:.0} a second); create to Ready \
         p50 {:.1} s, p99 {:.1} s",
        all_created.as_secs_f64(),
        counted(count) / took,
        quantile(&waits, 50).as_secs_f64(),
        quantile(&waits, 99).as_secs_f64(),
    );
    println!(
        "  CPU: operator {:.1} s, API server {api_server:.1} s; operator's memory {}, at most {}",
        operator.process.cpu_seconds()? - cpu_before.0,
        megabytes(operator.process.resident_bytes()?),
        megabytes(operator.process.peak_resident_bytes()?),
    );
    operator.quiet().await?;
    let requests = rig.requests()?.since(&before);
    let reconciles = operator.reconciles().await?;
    println!(
        "  requests: {:.1} an object, {:.1} a reconcile ({reconciles} reconciles): {}",
        requests.count() / counted(count),
        requests.count() / reconciles,
        requests.by_kind(count),
    );
    Ok(took)
}

/// Creates further objects, each when the one before is ready.
async fn one_by_one(rig: &Rig, watched: &Watched, there: usize) -> Result<()> {
    let mut waits = Vec::new();
    for number in 0..SINGLES {
        let name = ("team-0".to_owned(), format!("single-{number}"));
        let created = create(rig, std::slice::from_ref(&name)).await?;
        let ready = watched.wait_for(there + number + 1, TIMEOUT).await?;
        let since = created.first().context("nothing was created")?.1;
        waits.push(ready.last()?.duration_since(since));
    }
    waits.sort();
    println!(
        "{SINGLES} more, one after the other: create to Ready p50 {} ms, p99 {} ms",
        quantile(&waits, 50).as_millis(),
        quantile(&waits, 99).as_millis(),
    );
    Ok(())
}

/// Starts a new operator, which finds the desired state.
async fn restart(rig: &Rig, options: &Options) -> Result<Operator> {
    let before = rig.requests()?;
    let begun = Instant::now();
    let operator = rig.start_operator(&options.operator).await?;
    operator.ready().await?;
    let until_ready = begun.elapsed();
    operator.reconciled(options.objects + SINGLES).await?;
    let until_quiet = begun.elapsed();
    let requests = rig.requests()?.since(&before);
    println!(
        "cold restart: ready after {:.1} s, all reconciled after {:.1} s; CPU {:.1} s; memory {}, at most {}; {} written",
        until_ready.as_secs_f64(),
        until_quiet.as_secs_f64(),
        operator.process.cpu_seconds()?,
        megabytes(operator.process.resident_bytes()?),
        megabytes(operator.process.peak_resident_bytes()?),
        requests.writes(),
    );
    ensure!(
        requests.writes() == 0,
        "written after the restart: {}",
        requests.by_kind(1)
    );
    Ok(operator)
}

/// The idle phase: nothing changes.
async fn idle(rig: &Rig, operator: &Operator, time: Duration) -> Result<()> {
    let before = rig.requests()?;
    let reconciles = operator.reconciles().await?;
    let cpu = operator.process.cpu_seconds()?;
    tokio::time::sleep(time).await;
    let requests = rig.requests()?.since(&before);
    println!(
        "{} idle seconds: {} written, {} requests in all, {} reconciles, CPU {:.2} s; memory {}",
        time.as_secs(),
        requests.writes(),
        requests.count(),
        operator.reconciles().await? - reconciles,
        operator.process.cpu_seconds()? - cpu,
        megabytes(operator.process.resident_bytes()?),
    );
    ensure!(
        requests.writes() == 0,
        "written while nothing changed: {}",
        requests.by_kind(1)
    );
    Ok(())
}

/// Creates namespaces and returns namespace and name of as many objects, 50 in each.
async fn make_namespaces(
    rig: &Rig,
    namespace: &str,
    access: &str,
    count: usize,
) -> Result<Vec<(String, String)>> {
    let namespaces = Api::<Namespace>::all(rig.client.clone());
    for number in 0..count.div_ceil(PER_NAMESPACE) {
        let namespace =
            serde_json::from_value(json!({"metadata": {"name": format!("{namespace}-{number}")}}))?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .context("failed to create a namespace")?;
    }
    let names = (0..count).map(|number| {
        let namespace = format!("{namespace}-{}", number / PER_NAMESPACE);
        (namespace, format!("{access}-{number}"))
    });
    Ok(names.collect())
}

/// Creates the objects and returns the time of each request.
async fn create(rig: &Rig, names: &[(String, String)]) -> Result<Vec<(String, Instant)>> {
    stream::iter(names)
        .map(|(namespace, name)| async move {
            let asked = Instant::now();
            create_one(&rig.client, namespace, name).await?;
            Ok((watched::name(namespace, name), asked))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// The sample BedrockAccess of the README.
async fn create_one(client: &Client, namespace: &str, name: &str) -> Result<DynamicObject> {
    let access = serde_json::from_value(json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccess",
        "metadata": {"name": name},
        "spec": {
            "region": "us-east-1",
            "identity": {"irsa": {"roleArn": "arn:aws:iam::123456789012:role/BedrockRole"}},
            "models": [{"name": "fast", "modelId": "anthropic.claude-3-haiku-20240307-v1:0"}],
            "clients": {"serviceAccounts": [{"name": "app"}]},
        },
    }))?;
    Api::namespaced_with(client.clone(), namespace, &watched::resource())
        .create(&PostParams::default(), &access)
        .await
        .with_context(|| format!("failed to create {namespace}/{name}"))
}

/// A percentile of sorted durations.
fn quantile(sorted: &[Duration], hundredths: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * hundredths / 100)
        .copied()
        .unwrap_or_default()
}

/// A count as a float, for ratios.
fn counted(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MiB", float(bytes) / f64::from(1 << 20))
}
