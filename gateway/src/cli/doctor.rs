//! `bedrock-gateway doctor`: checks everything that a request to Bedrock needs and prints a fix for each problem.
//!
//! The order is configuration, region, source of credentials, token, credentials, network, clock, caller, target
//! roles, models, a test call, age of access keys. A finding is ok, a warning or an error; warnings and errors have
//! one fix. Each step has a timeout, no step prints a secret, and a failed step does not stop the others.
//!
//! Only `--invoke` costs money: by default, one output token of one model.

mod finding;
mod identity;
mod models;
mod network;
mod roles;
mod source;
mod token;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use api::{GatewayConfig, Region, catalogue};
use clap::ValueEnum;
use credentials::{ActiveCredentials, Choice, Handle, Method};

pub use self::finding::{Finding, Findings, Level};
use self::{models::ModelCheck, roles::Roles};
use crate::{
    cli::{
        aws::{self, Service, client::AwsClient},
        models::list::RegionModels,
        output::Output,
    },
    config::Settings,
};

/// Check configuration, credentials, network and models, and print a fix for each problem.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Configuration file of a gateway [default: the file that is mounted in the gateway pod].
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Region; overrides the configuration and the environment.
    #[arg(long)]
    pub region: Option<Region>,
    /// Model to check in addition to the configured models; may be repeated.
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// Models to call, for one output token each.
    #[arg(long, value_enum, default_value_t = Invoke::One)]
    pub invoke: Invoke,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
    /// Exit with code 1 for warnings, too.
    #[arg(long)]
    pub strict: bool,
    /// Timeout of each step, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub timeout: u64,
}

const AFTER_HELP: &str =
    "Exit code: 0 without errors, 1 with errors (with --strict: with warnings, too).

Examples:
  bedrock-gateway doctor --invoke none
  bedrock-gateway doctor --model us.amazon.nova-2-lite-v1:0 --strict
  kubectl exec deploy/chat-gateway -c bedrock-gateway -- bedrock-gateway doctor -o yaml";

/// Models that are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Invoke {
    /// No model, at no cost.
    None,
    /// The first model.
    One,
    /// All models.
    All,
}

/// Runs all checks and writes the findings to `out`.
///
/// # Errors
/// The output is closed. All other problems are findings.
pub async fn run(
    args: &Args,
    settings: &Settings,
    out: &mut dyn Write,
) -> std::io::Result<ExitCode> {
    let findings = check_all(args, settings).await;
    match args.output {
        Output::Text => findings.write_text(out)?,
        format => format.write(&findings.report(), out)?,
    }
    Ok(match findings.worst() {
        Level::Warning if args.strict => ExitCode::FAILURE,
        Level::Ok | Level::Warning => ExitCode::SUCCESS,
        Level::Error => ExitCode::FAILURE,
    })
}

/// Runs all checks.
pub async fn check_all(args: &Args, settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    let config = configuration(args, settings, &mut findings);
    let region = region(args, settings, &config, &mut findings).await;
    let choice = source::choose(settings, &config, region.as_ref(), &mut findings);
    let now = settings.clock.now();
    let environment = settings.environment.as_ref();
    if let Some(choice) = &choice {
        findings.extend(token::check(choice.method, environment, now).await);
    }
    findings.add(models::table_age(now));
    let timeout = Duration::from_secs(args.timeout);
    let (Some(region), Some(choice)) = (&region, choice) else {
        if let Some(region) = &region {
            by_table(args, &config, region, &mut findings);
        }
        return findings;
    };
    let region = region.clone();
    let credentials =
        source::obtain(settings, &config, &region, &choice, timeout, &mut findings).await;
    let client = match AwsClient::try_new(settings.environment.as_ref(), timeout) {
        Ok(client) => client,
        Err(error) => {
            findings.add(Finding::error(
                "certificates",
                error.to_string(),
                "install the CA certificates of the system, or set SSL_CERT_FILE to a CA bundle",
            ));
            return findings;
        }
    };
    let checks = NetworkChecks {
        args,
        settings,
        config: &config,
        region: &region,
        client: &client,
        timeout,
    };
    let mut date = checks.endpoints(&choice, &mut findings).await;
    if let (Some((handle, _)), Some(date)) = (&credentials, &date) {
        handle.observe_server_date(date);
    }
    let mut caller_arn = None;
    if let Some((handle, credentials)) = &credentials
        && credentials.bearer().is_none()
    {
        let base = checks.base(Service::Sts, &region);
        let (finding, arn, server_date) =
            identity::caller(&client, handle, credentials, &base, &region).await;
        findings.add(finding);
        date = server_date.or(date);
        caller_arn = arn;
    }
    if let Some(arn) = &caller_arn
        && let Some(expected) = source::expected_role(&config, &choice, environment)
    {
        findings.add(identity::role(&expected, arn));
    }
    if let Some(date) = &date {
        if let Some((handle, _)) = &credentials {
            handle.observe_server_date(date);
        }
        findings.extend(network::clock(date, settings.clock.now()));
    }
    if let Some((handle, credentials)) = &credentials {
        let roles = Roles::assume(&config, handle, timeout, &mut findings).await;
        checks
            .models(handle, credentials, &roles, &mut findings)
            .await;
        if let Some(arn) = &caller_arn {
            let base = checks.base(Service::Iam, &region);
            findings.extend(
                identity::key_age(&client, handle, credentials, &base, arn, handle.now()).await,
            );
        }
    } else {
        by_table(args, &config, &region, &mut findings);
    }
    findings.extend(checks.base_key_age().await);
    findings
}

/// What the built-in table says about the models, without credentials to call AWS.
fn by_table(args: &Args, config: &GatewayConfig, region: &Region, findings: &mut Findings) {
    for model in models::to_check(config, &args.model, region) {
        findings.extend(models::by_table(&model));
    }
}

impl Findings {
    fn extend(&mut self, finding: Option<Finding>) {
        if let Some(finding) = finding {
            self.add(finding);
        }
    }
}

fn configuration(args: &Args, settings: &Settings, findings: &mut Findings) -> GatewayConfig {
    let path = aws::config_path(args.config.as_ref(), settings);
    match aws::read_config(path.as_ref()) {
        Ok(config) => {
            let message = match &path {
                Some(path) => format!(
                    "{}: models: {}, patterns: {}",
                    path.display(),
                    config.models.len(),
                    config.allow.len()
                ),
                None => "no configuration file: clients can use any Bedrock model ID".to_owned(),
            };
            findings.add(Finding::ok("config", message));
            config
        }
        Err(error) => {
            findings.add(Finding::error(
                "config",
                error.to_string(),
                "correct the named field, or the path in --config or BEDROCK_GATEWAY_CONFIG",
            ));
            GatewayConfig::default()
        }
    }
}

async fn region(
    args: &Args,
    settings: &Settings,
    config: &GatewayConfig,
    findings: &mut Findings,
) -> Option<Region> {
    let region = match &args.region {
        Some(region) => region.clone(),
        None => match aws::region(settings, config).await {
            Ok(region) => region,
            Err(error) => {
                findings.add(Finding::error(
                    "region",
                    error.to_string(),
                    "set AWS_REGION, for example AWS_REGION=us-east-1",
                ));
                // The region may be missing because the profile is.
                if let Err(error) = credentials::check_profile(settings.environment.as_ref()).await
                {
                    findings.add(Finding::error(
                        "source",
                        error.to_string(),
                        "correct the named profile or file, or AWS_PROFILE",
                    ));
                }
                return None;
            }
        },
    };
    let remark = catalogue::builtin().remark_about_region(&region);
    findings.add(match remark {
        None => Finding::ok("region", region.to_string()),
        Some((message, fix)) => Finding::warning("region", message, fix),
    });
    Some(region)
}

/// Checks that call AWS.
struct NetworkChecks<'a> {
    args: &'a Args,
    settings: &'a Settings,
    config: &'a GatewayConfig,
    region: &'a Region,
    client: &'a AwsClient,
    timeout: Duration,
}

impl NetworkChecks<'_> {
    fn base(&self, service: Service, region: &Region) -> String {
        aws::base_url(
            service,
            region,
            self.config,
            self.settings.environment.as_ref(),
        )
    }

    /// Checks the age of a user's keys that only assume roles.
    async fn base_key_age(&self) -> Option<Finding> {
        let handle = aws::start_base(self.settings, self.config, self.region).await?;
        // Without credentials or a caller, other findings name the problem.
        let credentials = handle.settled(self.timeout).await.ok()?;
        let sts = self.base(Service::Sts, self.region);
        let (_, arn, _) =
            identity::caller(self.client, &handle, &credentials, &sts, self.region).await;
        let iam = self.base(Service::Iam, self.region);
        let now = handle.now();
        identity::key_age(self.client, &handle, &credentials, &iam, &arn?, now).await
    }

    /// Checks all endpoints concurrently. Returns the `Date` of a response.
    async fn endpoints(&self, choice: &Choice, findings: &mut Findings) -> Option<String> {
        let mut services = vec![Service::Bedrock, Service::BedrockRuntime];
        let models = models::to_check(self.config, &self.args.model, self.region);
        if models
            .iter()
            .any(|model| model.service() == Service::BedrockMantle)
        {
            services.push(Service::BedrockMantle);
        }
        if choice.method != Method::BedrockApiKey {
            services.insert(0, Service::Sts);
        }
        let probes = services.into_iter().map(|service| async move {
            let base = self.base(service, self.region);
            network::endpoint(self.client, service, &base, self.timeout).await
        });
        let mut date = None;
        for (finding, server_date) in futures::future::join_all(probes).await {
            findings.add(finding);
            date = date.or(server_date);
        }
        date
    }

    /// Checks whether the models are available, and calls those that `--invoke` selects.
    async fn models(
        &self,
        handle: &Handle,
        credentials: &ActiveCredentials,
        roles: &Roles,
        findings: &mut Findings,
    ) {
        let to_check = models::to_check(self.config, &self.args.model, self.region);
        let mut regions: BTreeSet<Region> =
            to_check.iter().map(|model| model.region.clone()).collect();
        regions.insert(self.region.clone());
        let mut lists: BTreeMap<Region, RegionModels> = BTreeMap::new();
        for region in regions {
            let base = self.base(Service::Bedrock, &region);
            let (finding, listed) =
                models::list(self.client, handle, credentials, &base, &region).await;
            findings.add(finding);
            if let Some(listed) = listed {
                lists.insert(region, listed);
            }
        }
        for model in &to_check {
            findings.extend(models::availability(model, &lists));
        }
        let to_call: &[ModelCheck] = match self.args.invoke {
            Invoke::None => &[],
            Invoke::One => to_check.get(..1).unwrap_or_default(),
            Invoke::All => &to_check,
        };
        for model in to_call {
            let session = match &model.role {
                None => Some((handle, credentials)),
                Some(role) => roles
                    .get(role)
                    .map(|(handle, credentials)| (handle, credentials)),
            };
            let Some((handle, credentials)) = session else {
                continue;
            };
            let base = self.base(model.service(), &model.region);
            findings.add(
                models::invoke(self.client, handle, credentials, &base, model, self.config).await,
            );
        }
        if to_check.is_empty() && self.args.invoke != Invoke::None {
            findings.add(Finding::ok(
                "invoke",
                "no model is configured, so no model was called; use --model ID to call one",
            ));
        }
    }
}
