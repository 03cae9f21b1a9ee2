//! The operator's process: command line, logs, signals. The library contains everything else.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use api::v1alpha1::gateway::ImagePullPolicy;
use clap::{Parser, ValueEnum};
use operator::{
    CertificateSource, CollectorUrl, LeaderElection, OwnCertificate, Rotation, Settings, Tracing,
    WebhookSettings,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Returns memory to the system when objects are deleted (ADR-0018).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Kubernetes operator for Amazon Bedrock: reconciles `BedrockAccess` objects.
#[derive(Debug, Parser)]
#[command(name = "bedrock-access-operator", version, about)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags of a command line"
)]
struct Arguments {
    /// Default image of the gateway.
    #[arg(long, env = "GATEWAY_IMAGE", default_value = operator::DEFAULT_GATEWAY_IMAGE)]
    gateway_image: String,
    /// Pull policy of the gateway's image if a `BedrockAccess` does not set it: Always, IfNotPresent or Never.
    #[arg(long, env = "GATEWAY_IMAGE_PULL_POLICY", default_value = "IfNotPresent", value_parser = pull_policy)]
    gateway_image_pull_policy: ImagePullPolicy,
    /// Send traces of all gateways to this collector (base URL, OTLP over HTTP). Without it, tracing is disabled.
    #[arg(long, env = "GATEWAY_TRACING_ENDPOINT", value_name = "URL")]
    gateway_tracing_endpoint: Option<CollectorUrl>,
    /// Sampling rate of new traces, per million. If the client sends a sampling decision, that decision applies.
    #[arg(long, env = "GATEWAY_TRACING_SAMPLING_RATE_PER_MILLION", default_value_t = operator::ALL_PER_MILLION, value_parser = clap::value_parser!(u32).range(0..=i64::from(operator::ALL_PER_MILLION)))]
    gateway_tracing_sampling_rate_per_million: u32,
    /// Send audit records of all gateways to the collector instead of their standard output: otlp, or none.
    #[arg(long, env = "OTEL_LOGS_EXPORTER", value_name = "EXPORTER", value_parser = ["otlp", "none"], requires_if("otlp", "gateway_tracing_endpoint"))]
    gateway_logs_exporter: Option<String>,
    /// Edition of OpenTelemetry's conventions for the metrics of all gateways, for example gen_ai_latest_experimental/dup.
    #[arg(long, env = "OTEL_SEMCONV_STABILITY_OPT_IN", value_name = "VALUES")]
    gateway_semconv_stability_opt_in: Option<String>,
    /// Write audit records of all gateways to their standard output. A `BedrockAccess` cannot turn them off.
    #[arg(long, env = "GATEWAY_AUDIT")]
    gateway_audit: bool,
    /// File with defaults for all gateways, in YAML. Without it, there are no defaults.
    #[arg(long, env = "GATEWAY_DEFAULTS", value_name = "FILE")]
    gateway_defaults: Option<std::path::PathBuf>,
    /// Serve /metrics on this address.
    #[arg(long, env = "METRICS_ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], api::names::OPERATOR_METRICS_PORT)))]
    metrics_address: SocketAddr,
    /// Serve /healthz and /readyz on this address.
    #[arg(long, env = "HEALTH_ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], api::names::OPERATOR_HEALTH_PORT)))]
    health_address: SocketAddr,
    /// Serve the console on this address of loopback, for kubectl port-forward. Without it, the console is disabled.
    #[arg(long, env = "CONSOLE_ADDRESS", value_name = "ADDRESS", value_parser = loopback)]
    console_address: Option<SocketAddr>,
    /// Serve the webhook that injects sidecars on this address. Without it, the webhook is disabled.
    #[arg(long, env = "WEBHOOK_ADDRESS")]
    webhook_address: Option<SocketAddr>,
    /// Prefix of the names of this installation's Lease (NAME-operator), webhook Service and Secret (NAME-webhook), and
    /// webhook configurations (NAME-sidecar, NAME-validation). Two installations in a cluster need different names.
    #[arg(long, env = "INSTALLATION_NAME", value_name = "NAME", default_value = api::names::INSTALLATION)]
    installation_name: String,
    /// Name of the webhook's Service, for its certificate. Default: the name of the installation and `-webhook`.
    #[arg(long, env = "WEBHOOK_SERVICE")]
    webhook_service: Option<String>,
    /// Read the webhook's tls.crt and tls.key from this directory, for example from cert-manager. Without it, the operator
    /// creates and renews its own certificate.
    #[arg(long, env = "WEBHOOK_CERTIFICATE_DIRECTORY")]
    webhook_certificate_directory: Option<std::path::PathBuf>,
    /// Namespace of the operator.
    #[arg(long, env = "POD_NAMESPACE", default_value = "bedrock-access-system")]
    namespace: String,
    /// File with CA certificates in PEM: only clients with a certificate of them can call the webhook. The API server needs
    /// an admission configuration with such a certificate.
    #[arg(
        long,
        env = "WEBHOOK_CLIENT_CA",
        requires = "webhook_address",
        value_name = "FILE"
    )]
    webhook_client_ca: Option<std::path::PathBuf>,
    /// Also serve a webhook that validates BedrockAccess objects before the API server stores them. Without it, values that
    /// require permissions of the author need a BedrockAccessPolicy.
    #[arg(
        long = "validation-webhook",
        env = "VALIDATION_WEBHOOK",
        requires = "webhook_address"
    )]
    validation_webhook: bool,
    /// Enable leader election with a Lease; required for more than one replica.
    #[arg(long, env = "LEADER_ELECT")]
    leader_elect: bool,
    /// Namespaces to reconcile, separated by commas. Default: all namespaces.
    #[arg(
        long,
        env = "NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    namespaces: Vec<String>,
    /// Deny every BedrockAccess that no BedrockAccessPolicy allows, even if the cluster has no policy.
    #[arg(long, env = "REQUIRE_POLICY")]
    require_policy: bool,
    /// DNS domain of the cluster, for the names in certificates of gateways [default: from /etc/resolv.conf, or cluster.local].
    #[arg(long, env = "CLUSTER_DOMAIN", value_name = "DOMAIN")]
    cluster_domain: Option<String>,
    /// Maximum concurrent reconciles.
    #[arg(long, env = "CONCURRENCY", default_value_t = Settings::default().concurrency, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Reporting instance in Events: the name of the operator's pod.
    #[arg(long, env = "POD_NAME", default_value = api::names::FIELD_MANAGER)]
    instance: String,
    /// Log filter, such as `info` or `operator=debug,info`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = log_filter)]
    log_level: EnvFilter,
    /// Log format.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

/// Parses a log filter. A word that is no level would be the name of a module, and disable all other log lines.
fn log_filter(text: &str) -> Result<EnvFilter, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in text.split(',') {
        if !directive.contains('=') && !levels.contains(&directive.to_lowercase().as_str()) {
            return Err(format!(
                "{directive:?} is not a log level: use one of {}, or a filter such as operator=debug,info",
                levels.join(", ")
            ));
        }
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())
}

/// Parses an address of loopback: the console has no TLS, and its users send tokens.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!(
            "use an address and a port, such as {}",
            operator::DEFAULT_CONSOLE_ADDRESS
        )
    })?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("the console is served on loopback only, because it has no TLS: use 127.0.0.1, and kubectl port-forward to reach it".to_owned())
    }
}

/// Parses a pull policy as Kubernetes spells it.
fn pull_policy(text: &str) -> Result<ImagePullPolicy, String> {
    let policies = [
        ImagePullPolicy::Always,
        ImagePullPolicy::IfNotPresent,
        ImagePullPolicy::Never,
    ];
    let found = policies.into_iter().find(|policy| policy.as_str() == text);
    found.ok_or_else(|| "use Always, IfNotPresent or Never".to_owned())
}

/// The DNS domain of the cluster in a `resolv.conf` of a pod, whose search list has `svc.DOMAIN`.
fn cluster_domain(resolv_conf: &str) -> Option<&str> {
    let mut lists = resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("search"));
    lists.find_map(|list| {
        let mut domains = list.split_whitespace();
        domains.find_map(|domain| domain.trim_end_matches('.').strip_prefix("svc."))
    })
}

impl Arguments {
    /// An object of this installation.
    fn named(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.installation_name)
    }

    fn leader_election(&self) -> LeaderElection {
        LeaderElection {
            lease: self.named("operator"),
            ..LeaderElection::new(&self.namespace, &self.instance)
        }
    }

    fn tracing(&self) -> Option<Tracing> {
        Some(Tracing {
            endpoint: self.gateway_tracing_endpoint.clone()?,
            sampling_rate_per_million: self.gateway_tracing_sampling_rate_per_million,
            audit_records: self.gateway_logs_exporter.as_deref() == Some("otlp"),
        })
    }

    fn webhook(&self) -> Option<WebhookSettings> {
        let service = self.webhook_service.clone();
        let service = service.unwrap_or_else(|| self.named("webhook"));
        let certificate = match &self.webhook_certificate_directory {
            Some(directory) => CertificateSource::Directory(directory.clone()),
            None => CertificateSource::Own(OwnCertificate {
                namespace: self.namespace.clone(),
                secret: self.named("webhook"),
                configuration: self.named("sidecar"),
                validation_configuration: self.named("validation"),
                names: vec![format!("{service}.{}.svc", self.namespace)],
                rotation: Rotation::default(),
            }),
        };
        Some(WebhookSettings {
            address: self.webhook_address?,
            certificate,
            client_authority: self.webhook_client_ca.clone(),
        })
    }
}

/// Log format.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Human-readable text.
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
            tracing::error!(
                error = format!("{error:#}"),
                "the operator stopped with an error"
            );
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    operator::install_tls_provider();
    let gateway_defaults = match &arguments.gateway_defaults {
        Some(path) => operator::GatewayDefaults::read(path)
            .with_context(|| format!("--gateway-defaults {}", path.display()))?,
        None => operator::GatewayDefaults::default(),
    };
    let client = kube::Client::try_default()
        .await
        .context("failed to configure the Kubernetes client: run in a pod, or set KUBECONFIG")?;
    let webhook = arguments.webhook();
    let gateway_tracing = arguments.tracing();
    let election = arguments.leader_election();
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let found = cluster_domain(&resolv_conf).map(ToOwned::to_owned);
    let cluster_domain = arguments.cluster_domain.or(found);
    let cluster_domain =
        cluster_domain.unwrap_or_else(|| operator::DEFAULT_CLUSTER_DOMAIN.to_owned());
    let settings = Settings {
        webhook,
        gateway_image: arguments.gateway_image,
        gateway_image_pull_policy: arguments.gateway_image_pull_policy,
        gateway_tracing,
        gateway_conventions: arguments.gateway_semconv_stability_opt_in,
        gateway_audit: arguments.gateway_audit,
        gateway_defaults,
        metrics_address: Some(arguments.metrics_address),
        health_address: Some(arguments.health_address),
        console: arguments
            .console_address
            .map(operator::ConsoleSettings::new),
        instance: arguments.instance,
        validation_webhook: arguments.validation_webhook,
        leader_election: arguments.leader_elect.then_some(election),
        namespaces: arguments.namespaces,
        require_policy: arguments.require_policy,
        cluster_domain,
        concurrency: arguments.concurrency,
        ..Settings::default()
    };
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ?settings, "starting");
    let shutdown_signal = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    operator::run(client, settings, shutdown_signal).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(more: &[&str]) -> Arguments {
        let fixed = ["operator", "--webhook-address=127.0.0.1:0"];
        Arguments::parse_from(fixed.iter().chain(more))
    }

    fn own_certificate(arguments: &Arguments) -> OwnCertificate {
        match arguments.webhook().unwrap().certificate {
            CertificateSource::Own(own) => own,
            CertificateSource::Directory(_) => panic!("a directory"),
        }
    }

    #[test]
    fn installation_has_the_names_of_the_api_by_default() {
        let arguments = arguments(&[]);
        let own = own_certificate(&arguments);
        assert_eq!(arguments.leader_election().lease, api::names::LEASE);
        assert_eq!(own.secret, api::names::WEBHOOK_SECRET);
        assert_eq!(own.configuration, api::names::WEBHOOK_CONFIGURATION);
        assert_eq!(
            own.validation_configuration,
            api::names::VALIDATION_CONFIGURATION
        );
        let service = format!("{}.bedrock-access-system.svc", api::names::WEBHOOK_SERVICE);
        assert_eq!(own.names, [service]);
    }

    #[test]
    fn second_installation_has_its_own_names() {
        let arguments = arguments(&["--installation-name=staging"]);
        let own = own_certificate(&arguments);
        assert_eq!(arguments.leader_election().lease, "staging-operator");
        assert_eq!(own.secret, "staging-webhook");
        assert_eq!(own.configuration, "staging-sidecar");
        assert_eq!(own.validation_configuration, "staging-validation");
        assert_eq!(own.names, ["staging-webhook.bedrock-access-system.svc"]);
    }

    #[test]
    fn cluster_domain_is_that_of_the_search_list_of_pods() {
        let pod = "nameserver 10.96.0.10\nsearch team-a.svc.k8s.example svc.k8s.example k8s.example\noptions ndots:5";
        assert_eq!(cluster_domain(pod), Some("k8s.example"));
        assert_eq!(
            cluster_domain("search svc.cluster.local."),
            Some("cluster.local")
        );
        assert_eq!(
            cluster_domain("nameserver 1.1.1.1\nsearch example.com"),
            None
        );
    }

    #[test]
    fn console_listens_on_loopback_only() {
        let console = |address: &str| {
            let argument = format!("--console-address={address}");
            Arguments::try_parse_from(["operator", &argument]).map(|a| a.console_address)
        };
        let address = operator::DEFAULT_CONSOLE_ADDRESS;
        assert_eq!(console(&address.to_string()).unwrap(), Some(address));
        assert!(console("[::1]:8083").is_ok());
        for (wrong, part) in [("0.0.0.0:8083", "loopback only"), ("8083", "such as")] {
            let error = console(wrong).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(arguments(&[]).console_address, None);
    }

    #[test]
    fn pull_policy_is_spelled_as_in_kubernetes() {
        let policy = |text: &str| {
            let argument = format!("--gateway-image-pull-policy={text}");
            Arguments::try_parse_from(["operator", &argument]).map(|a| a.gateway_image_pull_policy)
        };
        assert_eq!(policy("Always").unwrap(), ImagePullPolicy::Always);
        let error = policy("always").unwrap_err().to_string();
        assert!(
            error.contains("use Always, IfNotPresent or Never"),
            "{error}"
        );
    }

    #[test]
    fn log_filter_accepts_levels_and_directives_and_rejects_other_words() {
        for accepted in ["info", "DEBUG", "operator=debug,info", "off,operator=trace"] {
            assert!(log_filter(accepted).is_ok(), "{accepted}");
        }
        for rejected in ["verbose", "operator=debug,all", ""] {
            let error = log_filter(rejected).unwrap_err();
            assert!(error.contains("is not a log level"), "{rejected}: {error}");
        }
        assert!(log_filter("operator=loud").is_err());
    }
}
