//! The operator's process: command line, logs, signals. What it does is in the library.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use operator::{
    CertificateSource, CollectorUrl, LeaderElection, OwnCertificate, Rotation, Settings, Tracing,
    WebhookSettings,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Gives memory back as objects go, and can tell who holds it (`heap.rs` of the library).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Gives teams Amazon Bedrock: watches `BedrockAccess` objects and makes what they ask for.
#[derive(Debug, Parser)]
#[command(name = "bedrock-access-operator", version, about)]
struct Arguments {
    /// Image of the gateway where an access names none.
    #[arg(long, env = "GATEWAY_IMAGE", default_value = operator::DEFAULT_GATEWAY_IMAGE)]
    gateway_image: String,
    /// Base URL of a collector to which gateways send their traces, by OTLP over HTTP; without it they send none.
    #[arg(long, env = "GATEWAY_TRACING_ENDPOINT", value_name = "URL")]
    gateway_tracing_endpoint: Option<CollectorUrl>,
    /// How many of a million traces that begin at a gateway are kept; one that a client began is kept when it is.
    #[arg(long, env = "GATEWAY_TRACING_SAMPLING_RATE_PER_MILLION", default_value_t = operator::ALL_PER_MILLION, value_parser = clap::value_parser!(u32).range(0..=i64::from(operator::ALL_PER_MILLION)))]
    gateway_tracing_sampling_rate_per_million: u32,
    /// Address of /metrics.
    #[arg(long, env = "METRICS_ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], api::names::OPERATOR_METRICS_PORT)))]
    metrics_address: SocketAddr,
    /// Address of /healthz and /readyz.
    #[arg(long, env = "HEALTH_ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], api::names::OPERATOR_HEALTH_PORT)))]
    health_address: SocketAddr,
    /// Address of /debug/pprof/heap; it is not served unless this is given, and best on loopback. What is allocated is
    /// seen when the operator starts with _RJEM_MALLOC_CONF=prof:true.
    #[arg(long, env = "PPROF_ADDRESS")]
    pprof_address: Option<SocketAddr>,
    /// Address of the webhook that injects sidecars; it is not served unless this is given.
    #[arg(long, env = "WEBHOOK_ADDRESS")]
    webhook_address: Option<SocketAddr>,
    /// Name of the Service in front of the webhook, for its certificate.
    #[arg(long, env = "WEBHOOK_SERVICE", default_value = api::names::WEBHOOK_SERVICE)]
    webhook_service: String,
    /// Folder with the webhook's tls.crt and tls.key, kept fresh by somebody else, such as cert-manager;
    /// without it the operator makes its own.
    #[arg(long, env = "WEBHOOK_CERTIFICATE_DIRECTORY")]
    webhook_certificate_directory: Option<std::path::PathBuf>,
    /// Namespace of this operator.
    #[arg(long, env = "POD_NAMESPACE", default_value = "bedrock-access-system")]
    namespace: String,
    /// Review accesses before the API server stores them, at the webhook's address.
    #[arg(long, env = "VALIDATE_ACCESSES", requires = "webhook_address")]
    validate_accesses: bool,
    /// Write only while this process holds the Lease; needed for more than one replica.
    #[arg(long, env = "LEADER_ELECT")]
    leader_elect: bool,
    /// Namespaces to work in, separated by commas; without any, the whole cluster.
    #[arg(
        long,
        env = "NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    namespaces: Vec<String>,
    /// Deny every access that no BedrockAccessPolicy allows, also while there is no policy at all.
    #[arg(long, env = "REQUIRE_POLICY")]
    require_policy: bool,
    /// Reconciles at the same time.
    #[arg(long, env = "CONCURRENCY", default_value_t = Settings::default().concurrency, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Name of this operator in Events; in a cluster, the name of its pod.
    #[arg(long, env = "POD_NAME", default_value = api::names::FIELD_MANAGER)]
    instance: String,
    /// Which log lines are written, such as `info` or `operator=debug,info`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: EnvFilter,
    /// How log lines are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

impl Arguments {
    fn tracing(&self) -> Option<Tracing> {
        Some(Tracing {
            endpoint: self.gateway_tracing_endpoint.clone()?,
            sampling_rate_per_million: self.gateway_tracing_sampling_rate_per_million,
        })
    }

    fn webhook(&self) -> Option<WebhookSettings> {
        let certificate = match &self.webhook_certificate_directory {
            Some(folder) => CertificateSource::Directory(folder.clone()),
            None => CertificateSource::Own(OwnCertificate {
                namespace: self.namespace.clone(),
                secret: api::names::WEBHOOK_SECRET.to_owned(),
                configuration: api::names::WEBHOOK_CONFIGURATION.to_owned(),
                names: vec![format!("{}.{}.svc", self.webhook_service, self.namespace)],
                rotation: Rotation::default(),
            }),
        };
        Some(WebhookSettings {
            address: self.webhook_address?,
            certificate,
        })
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = arguments.log_level.clone();
    match arguments.log_format {
        LogFormat::Json => tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_env_filter(filter)
            .init(),
        LogFormat::Text => tracing_subscriber::fmt().with_env_filter(filter).init(),
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator cannot run");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    operator::install_tls_provider();
    let client = kube::Client::try_default()
        .await
        .context("failed to find the cluster: run in a pod, or set KUBECONFIG")?;
    let webhook = arguments.webhook();
    let gateway_tracing = arguments.tracing();
    let election = LeaderElection::new(&arguments.namespace, &arguments.instance);
    let settings = Settings {
        webhook,
        gateway_image: arguments.gateway_image,
        gateway_tracing,
        metrics_address: Some(arguments.metrics_address),
        health_address: Some(arguments.health_address),
        pprof_address: arguments.pprof_address,
        instance: arguments.instance,
        validate_accesses: arguments.validate_accesses,
        leader_election: arguments.leader_elect.then_some(election),
        namespaces: arguments.namespaces,
        require_policy: arguments.require_policy,
        concurrency: arguments.concurrency,
        ..Settings::default()
    };
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ?settings, "starting");
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    operator::run(client, settings, told).await?;
    Ok(())
}
