//! `bedrock-gateway iam`: the IAM policies a configuration needs, ready to paste or to apply.
//!
//! What the policies say is decided in `api::iam`; here is where the input comes from (a gateway's
//! configuration, a `BedrockAccess`, or model ids on the command line) and where the text goes. It
//! calls nobody: neither AWS nor a cluster.

mod arguments;
mod source;

use std::{collections::BTreeSet, io::Write, process::ExitCode};

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
use crate::route::api;

/// Name of a role where nothing names one.
const DEFAULT_ROLE_NAME: &str = "BedrockRole";

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No permission policy for this configuration.
    #[error(transparent)]
    Permission(#[from] iam::PermissionError),
    /// No trust policy from these arguments.
    #[error(transparent)]
    Trust(#[from] iam::TrustError),
    /// The role cannot be written.
    #[error(transparent)]
    Render(#[from] iam::RenderError),
    /// The table of model families is wrong.
    #[error("modelFamilies: {0}")]
    Families(#[from] FamilyError),
    /// An argument that is needed is not there.
    #[error("{what} is needed: give {option}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// How to give it.
        option: &'static str,
    },
    /// The output is closed.
    #[error("failed to write the policy")]
    Write(#[from] std::io::Error),
}

/// Prints what `args` ask for to `out`, and remarks for people to `notes`.
///
/// # Errors
/// The first thing that is missing or makes no sense, with the option that sets it right.
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
        region: args.region.clone().or_else(|| region_of(environment)),
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
    out.write_all(iam::render(&draft, format)?.as_bytes())?;
    for note in request.notes(permission.as_ref(), trust.as_ref()) {
        writeln!(notes, "note: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The arguments together with what they refer to.
struct Request<'a> {
    args: &'a Args,
    source: &'a Source,
    region: Option<Region>,
}

impl Request<'_> {
    /// The role whose policies are wanted: the one that signs, so the last of a chain, unless the
    /// first one is asked for by naming who takes it on.
    fn role(&self) -> Option<&RoleArn> {
        let last = self.source.config.assume_roles.last();
        let last = last.map(|link| &link.role_arn);
        let of_identity = self.source.role.as_ref();
        let given = self.args.role_arn.as_ref();
        if self.is_first_of_chain() {
            given.or(of_identity)
        } else {
            given.or(last).or(of_identity)
        }
    }

    /// The target's role that is asked for by its ARN: its policies are about its own targets.
    fn target_role(&self) -> Option<&AssumeRole> {
        let asked = self.args.role_arn.as_ref()?;
        let roles = self.source.config.target_roles().into_keys();
        roles.into_iter().find(|role| role.role_arn == *asked)
    }

    /// Whether the role that begins a chain is meant, which only has to assume the next one.
    fn is_first_of_chain(&self) -> bool {
        let chained = !self.source.config.assume_roles.is_empty();
        let named = self.args.principal;
        chained && named.is_some_and(|principal| principal != PrincipalKind::CrossAccount)
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
        let of_role = self.role().and_then(|role| {
            Partition::ALL
                .into_iter()
                .find(|partition| partition.id() == role.arn().partition())
        });
        let region = self.source.config.region.as_ref().or(self.region.as_ref());
        of_role
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
        for (_, feature) in features.into_iter().filter(|(wanted, _)| *wanted) {
            permissions = permissions.with(feature);
        }
        Ok(iam::permission_document(&permissions)?)
    }

    /// What models reach by the table of families, in any dialect, and where.
    fn apis(&self) -> Result<Vec<(BedrockApi, Region)>, Error> {
        let config = &self.source.config;
        let families = FamilyTable::with_overrides(&config.model_families)?;
        let default_region = config.region.as_ref().or(self.region.as_ref());
        let wanted = self.target_role().map(|role| &role.role_arn);
        let targets = config.models.iter().flat_map(|model| &model.targets);
        let targets = targets.filter(|target| {
            let own = target.assume_role.as_ref();
            own.map(|role| &role.role_arn) == wanted
        });
        let targets = targets.map(|target| {
            let chosen = target.api.map(api);
            let region = target.region.as_ref().or(default_region);
            (target.model_id.as_str(), chosen, region)
        });
        let allowed = config.allow.iter().filter(|_| wanted.is_none());
        let allowed = allowed.map(|id| (id.as_str(), None, default_region));
        let mut found = Vec::new();
        for (id, chosen, region) in targets.chain(allowed) {
            let apis = families.resolve(id, None).apis.for_target(id, chosen);
            let spoken = [apis.chat, apis.messages, apis.responses];
            for api in spoken.into_iter().flatten() {
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

    /// A chain's last role is assumed by the role before it, so it trusts that one.
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
                "who takes on the role",
                "--principal, or --access with irsa or podIdentity",
            )
        })?;
        let account = || {
            self.account()
                .ok_or_else(|| missing("the role's account", "--role-arn or --account"))
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

    fn notes(&self, permission: Option<&Document>, trust: Option<&Document>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(document) = permission {
            let size = document.size();
            if size > iam::INLINE_POLICY_MAX_CHARACTERS {
                notes.push(format!(
                    "the permission policy has {size} characters, above the {} an inline policy may have: \
                     split the models over several policies, or name a pattern in allow",
                    iam::INLINE_POLICY_MAX_CHARACTERS
                ));
            } else if size > iam::MANAGED_POLICY_MAX_CHARACTERS {
                notes.push(format!(
                    "the permission policy has {size} characters, above the {} a managed policy may have: \
                     use it inline",
                    iam::MANAGED_POLICY_MAX_CHARACTERS
                ));
            }
            if self.account().is_none() && document.to_json().contains(":*:") {
                notes.push(
                    "the account is not known and stands as *: give --role-arn or --account"
                        .to_owned(),
                );
            }
            if self.source.open {
                notes.push(
                    "no models and no patterns are configured, so any model is allowed: \
                     give --config, --access or --model for less"
                        .to_owned(),
                );
            }
            if let (Some(link), Kind::Permission | Kind::Role, false) = (
                self.source.config.assume_roles.last(),
                self.args.kind,
                self.is_first_of_chain() || self.target_role().is_some(),
            ) {
                notes.push(format!(
                    "this belongs to {}, the last of assumeRoles; what assumes the first one needs --kind chain",
                    link.role_arn
                ));
            }
            if matches!(self.args.kind, Kind::Permission | Kind::Role)
                && self.target_role().is_none()
            {
                let roles: BTreeSet<&RoleArn> = self
                    .source
                    .config
                    .target_roles()
                    .into_keys()
                    .map(|role| &role.role_arn)
                    .collect();
                notes.extend(roles.iter().map(|role| {
                    format!(
                        "targets of {role} are called by it: --role-arn {role} prints what it needs"
                    )
                }));
            }
        }
        if let Some(document) = trust {
            let size = document.size();
            if size > iam::TRUST_POLICY_MAX_CHARACTERS {
                notes.push(format!(
                    "the trust policy has {size} characters, above IAM's default quota of {}",
                    iam::TRUST_POLICY_MAX_CHARACTERS
                ));
            }
        }
        notes
    }
}

fn region_of(environment: &dyn Environment) -> Option<Region> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .filter_map(|name| environment.get(name))
        .find_map(|text| text.trim().parse().ok())
}
