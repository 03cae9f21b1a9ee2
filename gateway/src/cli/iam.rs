//! `bedrock-gateway iam`: prints the IAM policies that a gateway needs, as JSON or as code for other tools.
//!
//! `api::iam` builds the policies; this module collects the input (configuration file, `BedrockAccess` or model
//! IDs) and writes the output. It calls neither AWS nor a cluster.

mod arguments;
mod notes;
mod source;
mod text;

use std::{io::Write, process::ExitCode};

use api::{
    Region, RoleArn,
    config::AssumeRole,
    iam::{
        self, Document, Feature, Format, GitHubFilter, Permissions, PodIdentityAssociation,
        RoleDraft, Service, Trust,
    },
    region::Partition,
};
use credentials::Environment;
use dialects::families::{BedrockApi, FamilyError, FamilyTable};

pub use self::arguments::{Args, Kind, OutputFormat, PrincipalKind};
use self::source::{Source, SourceError};
use super::output::Output;
use crate::pipeline::route::api;

/// Default name of the role.
const DEFAULT_ROLE_NAME: &str = "BedrockRole";

/// Why the command printed no policy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No permission policy can be built from the configuration.
    #[error(transparent)]
    Permission(iam::PermissionError),
    /// A target has no region.
    #[error("{field}: no region is set: use --region, AWS_REGION, or region in the configuration")]
    NoRegion {
        /// Path in the configuration.
        field: String,
    },
    /// `--model` without a region.
    #[error("no region is set for --model {0}: use --region REGION, or AWS_REGION")]
    NoRegionOfModel(String),
    /// No trust policy can be built from the arguments.
    #[error(transparent)]
    Trust(#[from] iam::TrustError),
    /// The role cannot be rendered.
    #[error(transparent)]
    Render(#[from] iam::RenderError),
    /// `modelFamilies` of the configuration is invalid.
    #[error("modelFamilies: {0}")]
    Families(#[from] FamilyError),
    /// A required argument is missing.
    #[error("{what} is required: use {option}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// The option that sets it.
        option: &'static str,
    },
    /// The output is closed.
    #[error("failed to write the policy")]
    Write(#[from] std::io::Error),
}

impl Error {
    /// Whether the command line causes this error.
    pub(super) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::NoRegion { .. } | Self::NoRegionOfModel(_)
        )
    }
}

/// Writes the document to `out` and notes for the user to `notes`.
///
/// # Errors
/// An argument is missing or invalid; the message names the option.
pub fn run(
    args: &Args,
    environment: &dyn Environment,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<ExitCode, Error> {
    let source = Source::read(args)?;
    let request = Request {
        args,
        source: &source,
        region: args
            .region
            .clone()
            .or_else(|| environment_region(environment)),
    };
    let (permission, trust) = match args.kind {
        Kind::Permission => (Some(request.permission()?), None),
        Kind::Trust => (None, Some(request.trust()?)),
        Kind::Role if request.is_first_of_chain() => {
            (Some(request.chain()?), Some(request.trust()?))
        }
        Kind::Role => (Some(request.permission()?), Some(request.trust()?)),
        Kind::Chain => (Some(request.chain()?), None),
    };
    let association = match (&args.cluster, request.principal()) {
        (Some(cluster), Some(PrincipalKind::PodIdentity)) => {
            let (namespace, name) = request.one_service_account()?;
            Some((cluster, namespace, name))
        }
        _ => None,
    };
    let draft = RoleDraft {
        name: request.role_name(),
        trust: trust.as_ref(),
        permission: permission.as_ref(),
        pod_identity: association.as_ref().map(|(cluster, namespace, name)| {
            PodIdentityAssociation {
                cluster,
                namespace,
                service_account: name,
            }
        }),
    };
    let format = match args.format {
        OutputFormat::Json => Format::Json,
        OutputFormat::Terraform => Format::Terraform,
        OutputFormat::Cloudformation => Format::CloudFormation,
        OutputFormat::Ack => Format::Ack,
    };
    let rendered = iam::render(&draft, format)?;
    match args.output {
        None | Some(Output::Json) => out.write_all(rendered.as_bytes())?,
        Some(Output::Text) => text::write(trust.as_ref(), permission.as_ref(), out)?,
        Some(format) => {
            let document: serde_json::Value =
                serde_json::from_str(&rendered).map_err(std::io::Error::from)?;
            format.write(&document, out)?;
        }
    }
    for note in request.notes(permission.as_ref(), trust.as_ref()) {
        writeln!(notes, "note: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The arguments and their input.
struct Request<'a> {
    args: &'a Args,
    source: &'a Source,
    region: Option<Region>,
}

impl Request<'_> {
    /// The role of the policies: the role that signs requests, which is the last of a chain. If `--principal` names
    /// the principal of the first role, it is the first role.
    fn role(&self) -> Option<&RoleArn> {
        let last = self.source.config.assume_roles.last();
        let last = last.map(|link| &link.role_arn);
        let identity_role = self.source.role.as_ref();
        let given = self.args.role_arn.as_ref();
        if self.is_first_of_chain() {
            given.or(identity_role)
        } else {
            given.or(last).or(identity_role)
        }
    }

    /// The target role with the ARN of `--role-arn`. Its policies cover only its own targets.
    fn target_role(&self) -> Option<&AssumeRole> {
        let arn = self.args.role_arn.as_ref()?;
        let roles = self.source.config.target_roles().into_keys();
        roles.into_iter().find(|role| role.role_arn == *arn)
    }

    /// Whether the policies are for the first role of a chain, which only assumes the next role.
    fn is_first_of_chain(&self) -> bool {
        let chained = !self.source.config.assume_roles.is_empty();
        let principal = self.args.principal;
        chained && principal.is_some_and(|principal| principal != PrincipalKind::CrossAccount)
    }

    fn role_name(&self) -> &str {
        let named = self.args.role_name.as_deref();
        named
            .or_else(|| self.role().map(RoleArn::role_name))
            .unwrap_or(DEFAULT_ROLE_NAME)
    }

    fn account(&self) -> Option<&str> {
        let given = self.args.account.as_deref();
        given.or_else(|| self.role().map(|role| role.arn().account()))
    }

    fn partition(&self) -> Partition {
        let role_partition = self.role().and_then(|role| {
            Partition::ALL
                .into_iter()
                .find(|partition| partition.id() == role.arn().partition())
        });
        let region = self.source.config.region.as_ref().or(self.region.as_ref());
        role_partition
            .or_else(|| region.map(Region::partition))
            .unwrap_or(Partition::Aws)
    }

    fn permission(&self) -> Result<Document, Error> {
        let features = [
            (self.args.with_listing, Feature::Listing),
            (self.args.with_count_tokens, Feature::CountTokens),
            (self.args.with_bearer, Feature::BearerToken),
            (self.args.restrict_region, Feature::RequestedRegion),
        ];
        let mut permissions = Permissions::new(&self.source.config);
        if let Some(region) = &self.region {
            permissions = permissions.region(region);
        }
        if let Some(account) = self.account() {
            permissions = permissions.account(account);
        }
        if let Some(role) = self.target_role() {
            permissions = permissions.of_target_role(&role.role_arn);
        }
        for (api, region) in self.apis()? {
            permissions = match api {
                BedrockApi::OpenAi => permissions.openai(region),
                BedrockApi::Mantle | BedrockApi::MantleOpenAi => permissions.mantle(region),
                BedrockApi::Converse | BedrockApi::InvokeModel | BedrockApi::Anthropic => {
                    permissions
                }
            };
        }
        for (_, feature) in features.into_iter().filter(|(enabled, _)| *enabled) {
            permissions = permissions.with(feature);
        }
        iam::permission_document(&permissions).map_err(|error| match error {
            iam::PermissionError::NoRegion { field } => match self.args.model.first() {
                Some(model) => Error::NoRegionOfModel(model.clone()),
                None => Error::NoRegion { field },
            },
            error @ iam::PermissionError::Unsupported { .. } => Error::Permission(error),
        })
    }

    /// Bedrock APIs and regions of all models in any client dialect, according to the family table.
    fn apis(&self) -> Result<Vec<(BedrockApi, Region)>, Error> {
        let config = &self.source.config;
        let families = FamilyTable::with_overrides(&config.model_families)?;
        let default_region = config.region.as_ref().or(self.region.as_ref());
        let target_role = self.target_role().map(|role| &role.role_arn);
        let targets = config.models.iter().flat_map(|model| &model.targets);
        let targets = targets.filter(|target| {
            let own = target.assume_role.as_ref();
            own.map(|role| &role.role_arn) == target_role
        });
        let targets = targets.map(|target| {
            let chosen = target.api.map(api);
            let region = target.region.as_ref().or(default_region);
            (target.model_id.as_str(), chosen, region)
        });
        let allowed = config.allow.iter().filter(|_| target_role.is_none());
        let allowed = allowed.map(|id| (id.as_str(), None, default_region));
        let mut found = Vec::new();
        for (id, chosen, region) in targets.chain(allowed) {
            let apis = families.resolve(id, None).apis.for_target(id, chosen);
            let supported = [apis.chat, apis.messages, apis.responses];
            for api in supported.into_iter().flatten() {
                found.extend(region.map(|region| (api, region.clone())));
            }
        }
        Ok(found)
    }

    fn chain(&self) -> Result<Document, Error> {
        let first = self.source.config.assume_roles.first();
        let role = first
            .map(|link| &link.role_arn)
            .or(self.args.role_arn.as_ref());
        let role = role.ok_or(Error::Missing {
            what: "the role to assume",
            option: "--role-arn, or a configuration with assumeRoles",
        })?;
        Ok(iam::chain_policy(role))
    }

    /// The principal of the trust policy. The last role of a chain trusts the role before it.
    fn principal(&self) -> Option<PrincipalKind> {
        let chained = !self.source.config.assume_roles.is_empty() && self.args.role_arn.is_none();
        self.args
            .principal
            .or(if chained || self.target_role().is_some() {
                Some(PrincipalKind::CrossAccount)
            } else {
                self.source.principal
            })
    }

    fn one_service_account(&self) -> Result<(String, String), Error> {
        let given = self.args.service_account.first();
        given
            .or(self.source.service_account.as_ref())
            .cloned()
            .ok_or(Error::Missing {
                what: "the ServiceAccount",
                option: "--service-account NAMESPACE/NAME, or --access",
            })
    }

    fn trust(&self) -> Result<Document, Error> {
        let missing = |what, option| Error::Missing { what, option };
        let principal = self.principal().ok_or_else(|| {
            missing(
                "the principal of the role",
                "--principal, or --access with irsa or podIdentity",
            )
        })?;
        let account = || {
            self.account()
                .ok_or_else(|| missing("the account of the role", "--role-arn or --account"))
        };
        let service = |service| Trust::Service {
            service,
            partition: self.partition(),
            account: self.account().map(str::to_owned),
        };
        let trust = match principal {
            PrincipalKind::Irsa => {
                let issuer = self.args.issuer.as_deref().ok_or_else(|| {
                    missing(
                        "the issuer of the cluster's tokens",
                        "--issuer (kubectl get --raw /.well-known/openid-configuration shows it)",
                    )
                })?;
                let mut accounts = self.args.service_account.clone();
                if accounts.is_empty() {
                    accounts.push(self.one_service_account()?);
                }
                let audience = self.args.audience.as_deref();
                let subjects = accounts
                    .iter()
                    .map(|(namespace, name)| format!("system:serviceaccount:{namespace}:{name}"));
                Trust::web_identity(
                    self.partition().id(),
                    account()?,
                    issuer,
                    audience.unwrap_or(&self.source.audience),
                    subjects.collect(),
                )
            }
            PrincipalKind::PodIdentity => {
                let (namespace, service_account) = self.one_service_account()?;
                Trust::PodIdentity {
                    namespace,
                    service_accounts: vec![service_account],
                    cluster_arn: self.args.cluster_arn.clone(),
                }
            }
            PrincipalKind::Github => {
                let repository = self.args.repository.as_deref();
                let repository = repository
                    .ok_or_else(|| missing("the repository", "--repository OWNER/NAME"))?;
                let references = self.args.reference.iter().cloned().map(GitHubFilter::Ref);
                let environments = self.args.environment.iter().cloned();
                let filters: Vec<GitHubFilter> = references
                    .chain(environments.map(GitHubFilter::Environment))
                    .collect();
                let filters = if filters.is_empty() {
                    vec![GitHubFilter::Any]
                } else {
                    filters
                };
                Trust::github(self.partition(), account()?, repository, &filters)
            }
            PrincipalKind::CrossAccount => self.cross_account(),
            PrincipalKind::Ec2 => service(Service::Ec2),
            PrincipalKind::Ecs => service(Service::EcsTasks),
            PrincipalKind::Lambda => service(Service::Lambda),
        };
        Ok(iam::trust_document(&trust)?)
    }

    fn cross_account(&self) -> Trust {
        let links = &self.source.config.assume_roles;
        let (last, before) = match (self.target_role(), links.split_last()) {
            (Some(role), _) => (Some(role), links.as_slice()),
            (None, Some((last, before))) => (Some(last), before),
            (None, None) => (None, links.as_slice()),
        };
        let external_id = last.and_then(|link| link.external_id.clone());
        let before = before.last().map(|link| &link.role_arn);
        let before = before.or(self.source.role.as_ref());
        let principals = if self.args.trusted_arn.is_empty() {
            before.iter().map(ToString::to_string).collect()
        } else {
            self.args.trusted_arn.clone()
        };
        Trust::CrossAccount {
            principals,
            external_id: self.args.external_id.clone().or(external_id),
        }
    }
}

/// The region of the environment, if it is valid.
fn environment_region(environment: &dyn Environment) -> Option<Region> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .filter_map(|name| environment.get(name))
        .find_map(|text| text.trim().parse().ok())
}
