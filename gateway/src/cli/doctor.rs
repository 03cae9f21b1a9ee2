//! `bedrock-gateway doctor`: is everything there that a request to Bedrock needs, and if not, what to do?
//!
//! From the inside out: configuration, region, source of credentials, token, credentials, network,
//! clock, caller, roles of targets, models, one test call, age of keys. Each finding is ok, a warning or an error, with
//! one way out. Every step has a time limit, none prints a secret, and a step that cannot be taken
//! does not stop the others.
//!
//! It spends money only by `--invoke`, by default on one token of one model.

mod access;
mod finding;
mod identity;
mod network;
mod roles;
mod token;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use api::{GatewayConfig, Region, RoleArn, catalogue};
use clap::ValueEnum;
use credentials::{ActiveCredentials, Choice, Environment, Handle, Method, Reason, Unavailable};

pub use self::finding::{Finding, Findings, Level};
use self::{access::Wanted, roles::Roles};
use crate::{
    cli::{
        aws::{self, Service, client::Caller},
        models::list::Found,
    },
    config::Settings,
};

/// Check everything that a request to Bedrock needs, and say what to do about what is missing.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit code: 0 all ok, 1 with warnings, 2 with errors.")]
pub struct Args {
    /// Configuration document of a gateway [default: the one mounted in its pod].
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Region, instead of the configuration's or the environment's.
    #[arg(long)]
    pub region: Option<Region>,
    /// Model to look at besides the configuration's; may be repeated.
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// Models to call for one token of output.
    #[arg(long, value_enum, default_value_t = Invoke::One)]
    pub invoke: Invoke,
    /// In which form.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Seconds that one step may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub timeout: u64,
}

/// Which models are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Invoke {
    /// No call, no cost.
    None,
    /// The first one.
    One,
    /// Every one.
    All,
}

/// Which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Looks at everything and writes the findings to `out`.
///
/// # Errors
/// The output is closed; what is wrong elsewhere is a finding.
pub async fn run(
    args: &Args,
    settings: &Settings,
    out: &mut dyn Write,
) -> std::io::Result<ExitCode> {
    let findings = examine(args, settings).await;
    match args.output {
        Output::Text => findings.write_text(out)?,
        Output::Json => findings.write_json(out)?,
    }
    Ok(match findings.worst() {
        Level::Ok => ExitCode::SUCCESS,
        Level::Warning => ExitCode::from(1),
        Level::Error => ExitCode::from(2),
    })
}

/// Looks at everything.
pub async fn examine(args: &Args, settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    let config = configuration(args, settings, &mut findings);
    let region = region(args, settings, &config, &mut findings).await;
    let choice = source(settings, &config, region.as_ref(), &mut findings);
    let now = settings.clock.now();
    let environment = settings.environment.as_ref();
    if let Some(choice) = &choice {
        findings.extend(token::check(choice.method, environment, now));
    }
    let limit = Duration::from_secs(args.timeout);
    let (Some(region), Some(choice)) = (region, choice) else {
        return findings;
    };
    let credentials = credentials(settings, &config, &region, &choice, limit, &mut findings).await;
    let caller = match Caller::try_new(limit) {
        Ok(caller) => caller,
        Err(error) => {
            findings.add(Finding::error(
                "certificates",
                error.to_string(),
                "install the system's CA certificates, or set SSL_CERT_FILE to a bundle",
            ));
            return findings;
        }
    };
    let visit = Visit {
        args,
        settings,
        config: &config,
        region: &region,
        caller: &caller,
        limit,
    };
    let mut date = visit.endpoints(&choice, &mut findings).await;
    let mut caller_arn = None;
    if let Some((handle, credentials)) = &credentials
        && credentials.bearer().is_none()
    {
        let base = visit.base(Service::Sts, &region);
        let (finding, arn, told) =
            identity::caller(&caller, handle, credentials, &base, &region).await;
        findings.add(finding);
        date = told.or(date);
        caller_arn = arn;
    }
    if let Some(arn) = &caller_arn
        && let Some(expected) = expected_role(&config, &choice, environment)
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
        let roles = Roles::assume(&config, handle, limit, &mut findings).await;
        visit
            .models(handle, credentials, &roles, &mut findings)
            .await;
        if let Some(arn) = &caller_arn {
            let base = visit.base(Service::Iam, &region);
            findings.extend(
                identity::key_age(&caller, handle, credentials, &base, arn, handle.now()).await,
            );
        }
    }
    findings
}

impl Findings {
    fn extend(&mut self, more: Option<Finding>) {
        if let Some(finding) = more {
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
                    "{} with {} models and {} patterns",
                    path.display(),
                    config.models.len(),
                    config.allow.len()
                ),
                None => "none: any model may be asked for by its own id".to_owned(),
            };
            findings.add(Finding::ok("config", message));
            config
        }
        Err(error) => {
            findings.add(Finding::error(
                "config",
                error.to_string(),
                "correct the field that is named, or the path given by --config or BEDROCK_GATEWAY_CONFIG",
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
                return None;
            }
        },
    };
    let table = catalogue::builtin();
    findings.add(if table.has_bedrock(&region) {
        Finding::ok("region", region.to_string())
    } else {
        Finding::warning(
            "region",
            format!(
                "{region} has no Bedrock by the built-in table of {}",
                table.as_of()
            ),
            "choose a region that has (`bedrock-gateway models --offline --all-regions` lists them), \
             unless Bedrock has come to this one since",
        )
    });
    Some(region)
}

fn source(
    settings: &Settings,
    config: &GatewayConfig,
    region: Option<&Region>,
    findings: &mut Findings,
) -> Option<Choice> {
    let choice = match aws::credential_settings(settings, config, region) {
        Ok(settings) => settings.choice().clone(),
        Err(error) => {
            findings.add(Finding::error(
                "source",
                error.to_string(),
                "set or unset the variable that is named",
            ));
            return None;
        }
    };
    findings.add(Finding::ok("source", choice.to_string()));
    for conflict in &choice.conflicts {
        findings.add(Finding::warning(
            "source",
            conflict.clone(),
            "unset the variables of the method that is not meant, so that a reader need not know the order",
        ));
    }
    let in_kubernetes = settings
        .environment
        .get("KUBERNETES_SERVICE_HOST")
        .is_some();
    if choice.method == Method::InstanceProfile && in_kubernetes {
        findings.add(Finding::warning(
            "source",
            "in a pod, the instance profile is the node's: every pod of the node has the same permissions",
            "give the pod a role of its own by IRSA or EKS Pod Identity",
        ));
    }
    Some(choice)
}

async fn credentials(
    settings: &Settings,
    config: &GatewayConfig,
    region: &Region,
    choice: &Choice,
    limit: Duration,
    findings: &mut Findings,
) -> Option<(Handle, ActiveCredentials)> {
    let handle = match aws::start(settings, config, Some(region)).await {
        Ok(handle) => handle,
        Err(error) => {
            findings.add(Finding::error(
                "credentials",
                error.to_string(),
                "set or unset the variable that is named",
            ));
            return None;
        }
    };
    match handle.wait_ready(limit).await {
        Ok(credentials) => {
            let status = handle.status();
            let message = match status.seconds_to_expiry {
                Some(seconds) => format!("obtained, good for {seconds:.0} s, renewed before that"),
                None => "there, without an end".to_owned(),
            };
            findings.add(Finding::ok("credentials", message));
            Some((handle, credentials))
        }
        Err(problem) => {
            let environment = settings.environment.as_ref();
            let wants_trust = matches!(
                problem.reason,
                Reason::AccessDenied | Reason::InvalidIdentityToken
            ) && choice.method == Method::WebIdentity;
            let trust = wants_trust.then(|| token::fitting_trust(environment));
            findings.add(
                Finding::error(
                    "credentials",
                    format!("{}: {}", problem.reason, problem.message),
                    way_out(&problem, choice, environment),
                )
                .with_details(trust.flatten()),
            );
            None
        }
    }
}

/// What to do about missing credentials, by the stable reason.
fn way_out(problem: &Unavailable, choice: &Choice, environment: &dyn Environment) -> String {
    let text = match problem.reason {
        Reason::AccessDenied if choice.method == Method::WebIdentity => {
            "put the trust policy that `doctor` prints for this token into the role"
        }
        Reason::AccessDenied => {
            "let the role's trust policy name the caller (and its external id), and the caller have sts:AssumeRole on the role: \
             `bedrock-gateway iam --kind trust` and `--kind chain` print both"
        }
        Reason::InvalidIdentityToken => {
            "create an IAM OIDC provider for the token's issuer, with the token's audience as client id"
        }
        Reason::ExpiredToken => {
            "let whatever writes the token file renew it; the kubelet does so by itself"
        }
        Reason::IdpCommunicationError => {
            "make the issuer's /.well-known/openid-configuration and key set reachable from the internet"
        }
        Reason::RegionDisabled => "activate STS for this region in IAM's account settings",
        Reason::InvalidCredentials => {
            "replace the base credentials: they are wrong, deleted or deactivated"
        }
        Reason::Throttled | Reason::StsFault | Reason::Pending => "try again in a minute",
        Reason::StsUnreachable => {
            "allow egress to the regional STS endpoint, or create a VPC endpoint for sts in private subnets"
        }
        Reason::TokenFileMissing | Reason::TokenFileUnreadable => {
            "mount the projected ServiceAccount token, readable for the gateway's user"
        }
        Reason::TokenRequestFailed => "give the workflow job `permissions: id-token: write`",
        Reason::ContainerEndpointUnreachable | Reason::ContainerEndpointRefused => {
            "check the task role (ECS) or the pod identity association and the agent's DaemonSet (EKS)"
        }
        Reason::InstanceMetadataUnreachable if containerised(environment) => {
            "raise the instance's hop limit, which ends the reply on its way into a container: \
             aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2"
        }
        Reason::InstanceMetadataUnreachable => {
            "if this is an EC2 instance, turn its metadata service on; elsewhere choose a source: AWS_PROFILE, keys or a role"
        }
        Reason::NoInstanceRole => "attach an instance profile with a role to the instance",
        Reason::ProfileInvalid => {
            "correct the profile in the shared configuration files; `aws configure list --profile NAME` shows it"
        }
        Reason::ProfileFailed => {
            "sign in again (`aws sso login --profile NAME`), or run the profile's credential_process by hand"
        }
        Reason::KeysMissing => {
            "put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY into the mounted Secret"
        }
        Reason::NoCredentials => {
            "choose a source: AWS_PROFILE on a laptop, a role in the cloud; the authentication guide lists all"
        }
        _ => "read the message: it is AWS's own",
    };
    text.to_owned()
}

fn containerised(environment: &dyn Environment) -> bool {
    environment.get("KUBERNETES_SERVICE_HOST").is_some() || Path::new("/.dockerenv").exists()
}

/// The role whose session signs, where one is named.
fn expected_role(
    config: &GatewayConfig,
    choice: &Choice,
    environment: &dyn Environment,
) -> Option<RoleArn> {
    if let Some(last) = choice.assume_roles.last() {
        return last.parse().ok();
    }
    if let Some(last) = config.assume_roles.last() {
        return Some(last.role_arn.clone());
    }
    let by_token = matches!(choice.method, Method::WebIdentity | Method::GitHubActions);
    let role = environment.get("AWS_ROLE_ARN").filter(|_| by_token)?;
    role.trim().parse().ok()
}

/// What the steps over the network have in common.
struct Visit<'a> {
    args: &'a Args,
    settings: &'a Settings,
    config: &'a GatewayConfig,
    region: &'a Region,
    caller: &'a Caller,
    limit: Duration,
}

impl Visit<'_> {
    fn base(&self, service: Service, region: &Region) -> String {
        aws::base_url(
            service,
            region,
            self.config,
            self.settings.environment.as_ref(),
        )
    }

    /// Visits the endpoints, all at once. Returns the `Date` of an answer.
    async fn endpoints(&self, choice: &Choice, findings: &mut Findings) -> Option<String> {
        let mut services = vec![Service::Bedrock, Service::BedrockRuntime];
        if choice.method != Method::BedrockApiKey {
            services.insert(0, Service::Sts);
        }
        let visits = services.into_iter().map(|service| async move {
            let base = self.base(service, self.region);
            network::endpoint(self.caller, service, &base, self.limit).await
        });
        let mut date = None;
        for (finding, told) in futures::future::join_all(visits).await {
            findings.add(finding);
            date = date.or(told);
        }
        date
    }

    /// Lists, compares and calls the models.
    async fn models(
        &self,
        handle: &Handle,
        credentials: &ActiveCredentials,
        roles: &Roles,
        findings: &mut Findings,
    ) {
        let wanted = access::wanted(self.config, &self.args.model, self.region);
        let mut regions: BTreeSet<Region> = wanted.iter().map(|one| one.region.clone()).collect();
        regions.insert(self.region.clone());
        let mut lists: BTreeMap<Region, Found> = BTreeMap::new();
        for region in regions {
            let base = self.base(Service::Bedrock, &region);
            let (finding, found) =
                access::list(self.caller, handle, credentials, &base, &region).await;
            findings.add(finding);
            if let Some(found) = found {
                lists.insert(region, found);
            }
        }
        for one in &wanted {
            findings.extend(access::availability(one, &lists));
        }
        let called: &[Wanted] = match self.args.invoke {
            Invoke::None => &[],
            Invoke::One => wanted.get(..1).unwrap_or_default(),
            Invoke::All => &wanted,
        };
        for one in called {
            let session = match &one.role {
                None => Some((handle, credentials)),
                Some(role) => roles
                    .of(role)
                    .map(|(handle, credentials)| (handle, credentials)),
            };
            let Some((handle, credentials)) = session else {
                continue;
            };
            let base = self.base(Service::BedrockRuntime, &one.region);
            findings.add(
                access::invoke(self.caller, handle, credentials, &base, one, self.config).await,
            );
        }
        if wanted.is_empty() && self.args.invoke != Invoke::None {
            findings.add(Finding::ok(
                "invoke",
                "no model is configured, so none was called; --model ID names one",
            ));
        }
    }
}
