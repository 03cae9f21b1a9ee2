//! The permission policy of a role: the least privilege that a configuration needs.
//!
//! Converse requires `bedrock:InvokeModel`, and ConverseStream requires `bedrock:InvokeModelWithResponseStream`. For a
//! request to an inference profile, IAM checks the profile and the model in the region that serves the request, with
//! `bedrock:InferenceProfileArn` in the request context. The policy therefore allows these models only together with the
//! profile. `bedrock-mantle` has its own actions, whose resource is a project instead of a model
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_bedrock-mantle.html>).
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/geographic-cross-region-inference.html>
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/global-cross-region-inference.html>

mod guardrail;

use std::collections::BTreeSet;

use super::{
    document::{Document, Statement},
    resource::{Reader, Resource},
};
use crate::{
    arn::RoleArn,
    catalogue::{self, Catalogue},
    config::{BedrockApi, GatewayConfig, Target},
    region::Region,
};
use guardrail::GuardrailNames;

const INVOKE: [&str; 2] = [
    "bedrock:InvokeModel",
    "bedrock:InvokeModelWithResponseStream",
];
const REQUESTED_REGION: &str = "aws:RequestedRegion";
const PROFILE_ARN: &str = "bedrock:InferenceProfileArn";
/// The project of requests that name none.
const DEFAULT_PROJECT: &str = "default";
const GUARDRAIL: &str = "bedrock:GuardrailIdentifier";

/// Input of a permission policy.
#[derive(Clone, Debug)]
pub struct Permissions<'a> {
    config: &'a GatewayConfig,
    catalogue: &'a Catalogue,
    region: Option<&'a Region>,
    account: Option<&'a str>,
    /// Role of targets that the policy is for. `None`: the role that signs for all other targets.
    role: Option<&'a RoleArn>,
    /// Regions with calls to the OpenAI-compatible API of `bedrock-runtime`.
    openai: BTreeSet<Region>,
    /// Regions with calls to `bedrock-mantle`.
    mantle: BTreeSet<Region>,
    features: BTreeSet<Feature>,
}

/// Optional part of a permission policy, in addition to invoking the configured models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// List models and inference profiles, for `/v1/models`, `bedrock-gateway models` and `doctor`.
    Listing,
    /// Count tokens without inference.
    CountTokens,
    /// Use Bedrock API keys (`AWS_BEARER_TOKEN_BEDROCK`).
    BearerToken,
    /// Restrict each statement to its regions with `aws:RequestedRegion`.
    RequestedRegion,
}

/// No permission policy can be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// Neither the target nor the document has a region.
    #[error("{field}: no region: set it here or as region of the document, or pass a region")]
    NoRegion {
        /// Path in the document.
        field: String,
    },
    /// The permissions for the kind of ARN are unknown.
    #[error(
        "{field}: {arn:?} is not an ARN of a Bedrock model, inference profile or prompt: \
         use such an ARN, or write its statement by hand"
    )]
    Unsupported {
        /// Path in the document.
        field: String,
        /// Value of the field.
        arn: String,
    },
}

impl<'a> Permissions<'a> {
    /// Least-privilege policy for a configuration: invoke its models, with its guardrail if present.
    pub fn new(config: &'a GatewayConfig) -> Self {
        Self {
            config,
            catalogue: catalogue::builtin(),
            region: None,
            account: None,
            role: None,
            openai: BTreeSet::new(),
            mantle: BTreeSet::new(),
            features: BTreeSet::new(),
        }
    }

    /// Sets the region for targets without one, if the document has none either (`AWS_REGION`).
    #[must_use]
    pub fn region(mut self, region: &'a Region) -> Self {
        self.region = Some(region);
        self
    }

    /// Sets the account that owns inference profiles and guardrails: the account of the role. Default: `*`.
    #[must_use]
    pub fn account(mut self, account: &'a str) -> Self {
        self.account = Some(account);
        self
    }

    /// Limits the policy to the targets with this role, in the account of the role. Without it, the policy covers all
    /// other targets and allows assuming the roles of targets.
    #[must_use]
    pub fn of_target_role(mut self, role: &'a RoleArn) -> Self {
        self.role = Some(role);
        self.account(role.arn().account())
    }

    /// Adds `bedrock-mantle` in a region, for models that it serves according to the table of model families although their
    /// targets do not set `api`.
    #[must_use]
    pub fn mantle(mut self, region: Region) -> Self {
        self.mantle.insert(region);
        self
    }

    /// Adds the OpenAI-compatible API of `bedrock-runtime` in a region. AWS does not document whether IAM checks a project
    /// for it.
    #[must_use]
    pub fn openai(mut self, region: Region) -> Self {
        self.openai.insert(region);
        self
    }

    /// Adds an optional part.
    #[must_use]
    pub fn with(mut self, feature: Feature) -> Self {
        self.features.insert(feature);
        self
    }

    fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Whether the policy covers a target.
    fn calls(&self, target: &Target) -> bool {
        let own = target.assume_role.as_ref();
        own.map(|role| &role.role_arn) == self.role
    }

    /// Statement that allows assuming the roles of targets, if any.
    fn assume_target_roles(&self) -> Option<Statement> {
        let roles = self.config.target_roles().into_keys();
        let roles: BTreeSet<String> = roles.map(|role| role.role_arn.to_string()).collect();
        (self.role.is_none() && !roles.is_empty())
            .then(|| Statement::allow("AssumeTargetRoles", assume_actions(self.config), roles))
    }

    /// Projects of a service and their regions, for targets with one of these APIs, and the default project in additional
    /// regions.
    fn projects(
        &self,
        service: &str,
        apis: &[BedrockApi],
        more: &BTreeSet<Region>,
    ) -> (Vec<String>, BTreeSet<String>) {
        let default_region = self.config.region.as_ref().or(self.region);
        let targets = self.config.models.iter().flat_map(|model| &model.targets);
        let chosen = targets
            .filter(|target| self.calls(target))
            .filter(|target| {
                let api = target.api.as_ref();
                api.is_some_and(|api| apis.contains(api))
            })
            .filter_map(|target| {
                let region = target.region.as_ref().or(default_region)?;
                let own = target.project.as_deref();
                let id = own.and_then(|project| project.rsplit('/').next());
                Some((region, id.unwrap_or(DEFAULT_PROJECT)))
            });
        let more = more.iter().map(|region| (region, DEFAULT_PROJECT));
        let projects: BTreeSet<(&Region, &str)> = chosen.chain(more).collect();
        let account = self.account.unwrap_or("*");
        let arns = projects.iter().map(|(region, id)| {
            let partition = region.partition().id();
            format!("arn:{partition}:{service}:{region}:{account}:project/{id}")
        });
        let regions = projects.iter().map(|(region, _)| region.to_string());
        (arns.collect(), regions.collect())
    }

    /// The statement, restricted to these regions if [`Feature::RequestedRegion`] is set.
    fn bounded(&self, statement: Statement, regions: &BTreeSet<String>) -> Statement {
        if self.has(Feature::RequestedRegion) {
            statement.when("StringEquals", REQUESTED_REGION, regions.iter().cloned())
        } else {
            statement
        }
    }

    /// Projects of `bedrock-mantle`. It supports no guardrail, so a gateway with a guardrail never calls it.
    fn on_mantle(&self) -> (Vec<String>, BTreeSet<String>) {
        if self.config.guardrail.is_some() {
            return (Vec::new(), BTreeSet::new());
        }
        let apis = [BedrockApi::Mantle, BedrockApi::MantleOpenAi];
        self.projects("bedrock-mantle", &apis, &self.mantle)
    }

    fn calls_mantle(&self) -> bool {
        !self.on_mantle().0.is_empty()
    }

    /// Statements whose resource is a project.
    fn in_projects(&self) -> Vec<Statement> {
        let (own, regions) = self.projects("bedrock", &[BedrockApi::OpenAi], &self.openai);
        let (mantle, mantle_regions) = self.on_mantle();
        let infer: &[&str] = &["bedrock-mantle:CreateInference"];
        [
            ("InvokeInProject", &INVOKE[..], own, regions),
            ("InferOnMantle", infer, mantle, mantle_regions),
        ]
        .into_iter()
        .filter(|(_, _, projects, _)| !projects.is_empty())
        .map(|(sid, actions, projects, regions)| {
            self.bounded(Statement::allow(sid, actions, projects), &regions)
        })
        .collect()
    }

    /// Statements of the optional parts.
    fn optional(&self, sets: &Sets) -> Vec<Statement> {
        let mut statements = Vec::new();
        if self.has(Feature::CountTokens) && !sets.countable.is_empty() {
            statements.push(Statement::allow(
                "CountTokens",
                &["bedrock:CountTokens"],
                sets.countable.iter().cloned(),
            ));
        }
        if self.has(Feature::Listing) {
            let statement = Statement::allow(
                "ListModels",
                &[
                    "bedrock:GetFoundationModel",
                    "bedrock:GetInferenceProfile",
                    "bedrock:ListFoundationModels",
                    "bedrock:ListInferenceProfiles",
                ],
                ["*".to_owned()],
            );
            statements.push(self.bounded(statement, &sets.regions()));
        }
        if self.has(Feature::BearerToken) {
            let actions = [
                "bedrock:CallWithBearerToken",
                "bedrock-mantle:CallWithBearerToken",
            ];
            let statement = Statement::allow(
                "UseBedrockApiKeys",
                actions
                    .get(..if self.calls_mantle() { 2 } else { 1 })
                    .unwrap_or_default(),
                ["*".to_owned()],
            );
            statements.push(self.bounded(statement, &sets.regions()));
        }
        statements
    }

    fn resources(&self) -> Result<Vec<Resource>, PermissionError> {
        let reader = Reader {
            catalogue: self.catalogue,
            account: self.account.unwrap_or("*"),
        };
        let default_region = self.config.region.as_ref().or(self.region);
        let mut resources = Vec::new();
        for (at, model) in self.config.models.iter().enumerate() {
            for (target_at, target) in model.targets.iter().enumerate() {
                if !self.calls(target) {
                    continue;
                }
                let field = format!("models[{at}].targets[{target_at}]");
                let region = target.region.as_ref().or(default_region);
                let from_arn = target.model_id.parse::<crate::Arn>().ok();
                let from_arn = from_arn.and_then(|arn| arn.region().parse().ok());
                let Some(region) = region.or(from_arn.as_ref()) else {
                    return Err(PermissionError::NoRegion {
                        field: format!("{field}.region"),
                    });
                };
                let resource = reader.read(&target.model_id, region, target.base_model.as_deref());
                resources.push(resource.ok_or_else(|| PermissionError::Unsupported {
                    field: format!("{field}.modelId"),
                    arn: target.model_id.clone(),
                })?);
            }
        }
        if self.role.is_some() {
            return Ok(resources);
        }
        // Without models and patterns the gateway accepts any model id (the local proxy).
        let any = ["*".to_owned()];
        let patterns = if self.config.models.is_empty() && self.config.allow.is_empty() {
            &any[..]
        } else {
            &self.config.allow
        };
        for (at, pattern) in patterns.iter().enumerate() {
            let Some(region) = default_region else {
                return Err(PermissionError::NoRegion {
                    field: "region".to_owned(),
                });
            };
            let found = reader.read_pattern(pattern, region);
            if found.is_empty() {
                return Err(PermissionError::Unsupported {
                    field: format!("allow[{at}]"),
                    arn: pattern.clone(),
                });
            }
            resources.extend(found);
        }
        Ok(resources)
    }
}

/// Least-privilege permission policy for a configuration. It belongs to the signing role: the last of `assumeRoles`, or
/// the role of the identity. With [`Permissions::of_target_role`], it belongs to that role.
///
/// # Errors
/// A target has no region, or the permissions for an ARN are unknown. Both errors contain the field.
pub fn permission_document(permissions: &Permissions<'_>) -> Result<Document, PermissionError> {
    let resources = permissions.resources()?;
    let bounded =
        |statement: Statement, regions: &BTreeSet<String>| permissions.bounded(statement, regions);
    let guardrail = permissions
        .config
        .guardrail
        .as_ref()
        .map(|guardrail| GuardrailNames::new(guardrail, permissions, &resources));
    let guarded = |statement: Statement| match &guardrail {
        Some(names) => statement.when_text(GUARDRAIL, [names.version.clone()]),
        None => statement,
    };

    let sets = Sets::new(&resources);
    let mut statements = Vec::new();
    if !sets.direct.is_empty() {
        let statement = Statement::allow("InvokeModels", &INVOKE, sets.direct.iter().cloned());
        statements.push(guarded(bounded(statement, &sets.direct_regions)));
    }
    if !sets.profiles.is_empty() {
        let statement = Statement::allow("InvokeProfiles", &INVOKE, sets.profiles.iter().cloned());
        statements.push(bounded(statement, &sets.profile_regions));
        let behind = Statement::allow("ModelsBehindProfiles", &INVOKE, sets.behind.iter().cloned())
            .when_text(PROFILE_ARN, sets.profiles.iter().cloned());
        let behind = match &sets.behind_regions {
            Some(regions) => bounded(behind, regions),
            None => behind,
        };
        statements.push(guarded(behind));
    }
    if !sets.global_models.is_empty() {
        let statement = Statement::allow(
            "ModelsBehindGlobalProfiles",
            &INVOKE,
            sets.global_models.iter().cloned(),
        )
        .when_text(PROFILE_ARN, sets.global_profiles.iter().cloned())
        .when_text(REQUESTED_REGION, ["unspecified".to_owned()]);
        statements.push(guarded(statement));
    }
    if !sets.prompts.is_empty() {
        let statement = Statement::allow(
            "RenderPrompts",
            &["bedrock:RenderPrompt"],
            sets.prompts.iter().cloned(),
        );
        statements.push(bounded(statement, &sets.prompt_regions));
    }
    statements.extend(permissions.in_projects());
    if let Some(names) = &guardrail {
        statements.push(Statement::allow(
            "ApplyGuardrail",
            &["bedrock:ApplyGuardrail"],
            [names.resource.clone()],
        ));
        statements.push(names.deny(&sets));
    }
    statements.extend(permissions.assume_target_roles());
    statements.extend(permissions.optional(&sets));
    Ok(Document::new(statements))
}

/// Actions of a caller that assumes roles.
fn assume_actions(config: &GatewayConfig) -> &'static [&'static str] {
    if config.attribution.session_tags {
        &["sts:AssumeRole", "sts:TagSession"]
    } else {
        &["sts:AssumeRole"]
    }
}

/// Permission policy for assuming the next role of a chain. The trust policy of that role must allow it as well, see
/// [`Trust::CrossAccount`](super::Trust::CrossAccount).
pub fn chain_policy(next: &RoleArn) -> Document {
    Document::new(vec![Statement::allow(
        "AssumeNextRole",
        &["sts:AssumeRole"],
        [next.to_string()],
    )])
}

/// The resources of a policy, grouped by statement.
#[derive(Debug, Default)]
struct Sets {
    direct: BTreeSet<String>,
    direct_regions: BTreeSet<String>,
    profiles: BTreeSet<String>,
    profile_regions: BTreeSet<String>,
    behind: BTreeSet<String>,
    /// `None` if the regions of a profile are unknown.
    behind_regions: Option<BTreeSet<String>>,
    global_models: BTreeSet<String>,
    global_profiles: BTreeSet<String>,
    prompts: BTreeSet<String>,
    prompt_regions: BTreeSet<String>,
    countable: BTreeSet<String>,
}

impl Sets {
    fn new(resources: &[Resource]) -> Self {
        let mut sets = Self {
            behind_regions: Some(BTreeSet::new()),
            ..Self::default()
        };
        for resource in resources {
            match resource {
                Resource::Direct { arn, region } => {
                    sets.direct.insert(arn.clone());
                    sets.direct_regions.insert(region.clone());
                    sets.countable.insert(arn.clone());
                }
                Resource::Profile {
                    arn,
                    region,
                    models,
                    regions,
                    global,
                } => {
                    sets.profiles.insert(arn.clone());
                    sets.profile_regions.insert(region.clone());
                    sets.behind.extend(models.iter().cloned());
                    sets.countable
                        .extend(models.iter().cloned().chain([arn.clone()]));
                    if regions.is_empty() {
                        sets.behind_regions = None;
                    } else if let Some(known) = &mut sets.behind_regions {
                        known.extend(regions.iter().cloned());
                    }
                    if let Some(global) = global {
                        sets.global_models.insert(global.clone());
                        sets.global_profiles.insert(arn.clone());
                    }
                }
                Resource::Prompt { arn, region } => {
                    sets.prompts.insert(arn.clone());
                    sets.prompt_regions.insert(region.clone());
                }
            }
        }
        sets
    }

    /// All regions that are called.
    fn regions(&self) -> BTreeSet<String> {
        let all = [
            &self.direct_regions,
            &self.profile_regions,
            &self.prompt_regions,
        ];
        all.into_iter().flatten().cloned().collect()
    }
}
