//! What the role that signs may do: the least that a configuration needs.
//!
//! Converse needs `bedrock:InvokeModel`, ConverseStream `bedrock:InvokeModelWithResponseStream`. A
//! call by an inference profile is checked against the profile and against the model in the region
//! where it runs, with `bedrock:InferenceProfileArn` in the request; so the models are allowed only
//! together with the profile.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/geographic-cross-region-inference.html>
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/global-cross-region-inference.html>

use std::collections::BTreeSet;

use super::{
    document::{Document, Statement},
    resource::{Reader, Resource},
};
use crate::{
    arn::RoleArn,
    catalogue::{self, Catalogue},
    config::{GatewayConfig, Guardrail},
    region::{Partition, Region},
};

const INVOKE: [&str; 2] = [
    "bedrock:InvokeModel",
    "bedrock:InvokeModelWithResponseStream",
];
const REQUESTED_REGION: &str = "aws:RequestedRegion";
const PROFILE_ARN: &str = "bedrock:InferenceProfileArn";
const GUARDRAIL: &str = "bedrock:GuardrailIdentifier";

/// What a permission policy is made from.
#[derive(Clone, Debug)]
pub struct Permissions<'a> {
    config: &'a GatewayConfig,
    catalogue: &'a Catalogue,
    region: Option<&'a Region>,
    account: Option<&'a str>,
    features: BTreeSet<Feature>,
}

/// What a policy may hold beyond invoking the configured models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Lists of models and profiles, for `/v1/models`, `bedrock-gateway models` and `doctor`.
    Listing,
    /// Token counts without inference.
    CountTokens,
    /// Bedrock API keys (`AWS_BEARER_TOKEN_BEDROCK`).
    BearerToken,
    /// Every statement bound to its regions by `aws:RequestedRegion`.
    RequestedRegion,
}

/// Why no permission policy can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// A target without a region, and none for the whole document.
    #[error("{field}: no region: set it here, as region of the document, or give one")]
    NoRegion {
        /// Path in the document.
        field: String,
    },
    /// An ARN whose permissions are not known here.
    #[error(
        "{field}: {arn:?} is not an ARN of a Bedrock model, inference profile or prompt: \
         give one, or write its statement by hand"
    )]
    Unsupported {
        /// Path in the document.
        field: String,
        /// What stands there.
        arn: String,
    },
}

impl<'a> Permissions<'a> {
    /// The least policy for a configuration: to invoke its models, with its guardrail if it has one.
    pub fn new(config: &'a GatewayConfig) -> Self {
        Self {
            config,
            catalogue: catalogue::builtin(),
            region: None,
            account: None,
            features: BTreeSet::new(),
        }
    }

    /// With a region for targets that have none and whose document has none (`AWS_REGION`).
    #[must_use]
    pub fn region(mut self, region: &'a Region) -> Self {
        self.region = Some(region);
        self
    }

    /// With the account that owns profiles and guardrails: the role's own. Unknown, it is `*`.
    #[must_use]
    pub fn account(mut self, account: &'a str) -> Self {
        self.account = Some(account);
        self
    }

    /// With something more.
    #[must_use]
    pub fn with(mut self, feature: Feature) -> Self {
        self.features.insert(feature);
        self
    }

    fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
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
        // Without models and patterns the gateway takes any id (the laptop proxy).
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

/// The least permission policy for a configuration. It belongs to the role that signs: the last of
/// `assumeRoles`, or the one of the identity.
///
/// # Errors
/// A target without any region, or an ARN whose permissions are not known here; both name the field.
pub fn permission_document(permissions: &Permissions<'_>) -> Result<Document, PermissionError> {
    let resources = permissions.resources()?;
    let restrict = permissions.has(Feature::RequestedRegion);
    let bounded = |statement: Statement, regions: &BTreeSet<String>| {
        if restrict {
            statement.when("StringEquals", REQUESTED_REGION, regions.iter().cloned())
        } else {
            statement
        }
    };
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
    if let Some(names) = &guardrail {
        statements.push(Statement::allow(
            "ApplyGuardrail",
            &["bedrock:ApplyGuardrail"],
            [names.resource.clone()],
        ));
        statements.push(names.deny(&sets));
    }
    if permissions.has(Feature::CountTokens) && !sets.countable.is_empty() {
        statements.push(Statement::allow(
            "CountTokens",
            &["bedrock:CountTokens"],
            sets.countable.iter().cloned(),
        ));
    }
    if permissions.has(Feature::Listing) {
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
        statements.push(bounded(statement, &sets.regions()));
    }
    if permissions.has(Feature::BearerToken) {
        let statement = Statement::allow(
            "UseBedrockApiKeys",
            &["bedrock:CallWithBearerToken"],
            ["*".to_owned()],
        );
        statements.push(bounded(statement, &sets.regions()));
    }
    Ok(Document::new(statements))
}

/// What an identity needs to take on the next role of a chain; the other half is that role's trust
/// policy, [`Trust::CrossAccount`](super::Trust::CrossAccount).
pub fn chain_policy(next: &RoleArn) -> Document {
    Document::new(vec![Statement::allow(
        "AssumeNextRole",
        &["sts:AssumeRole"],
        [next.to_string()],
    )])
}

/// The resources of a policy, sorted by the statement they belong to.
#[derive(Debug, Default)]
struct Sets {
    direct: BTreeSet<String>,
    direct_regions: BTreeSet<String>,
    profiles: BTreeSet<String>,
    profile_regions: BTreeSet<String>,
    behind: BTreeSet<String>,
    /// None once the regions of one profile are not known.
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

    /// The regions calls go to.
    fn regions(&self) -> BTreeSet<String> {
        let all = [
            &self.direct_regions,
            &self.profile_regions,
            &self.prompt_regions,
        ];
        all.into_iter().flatten().cloned().collect()
    }
}

/// A guardrail in the terms of IAM.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-permissions-id.html>
#[derive(Debug)]
struct GuardrailNames {
    /// Its ARN, to apply it.
    resource: String,
    /// Its ARN with a colon and the version, as `bedrock:GuardrailIdentifier` holds it; `DRAFT` has no version.
    version: String,
    partition: &'static str,
}

impl GuardrailNames {
    fn new(guardrail: &Guardrail, permissions: &Permissions<'_>, resources: &[Resource]) -> Self {
        let region = permissions.config.region.as_ref().or(permissions.region);
        let of_target = resources.iter().find_map(|resource| match resource {
            Resource::Direct { region, .. }
            | Resource::Profile { region, .. }
            | Resource::Prompt { region, .. } => region.parse::<Region>().ok(),
        });
        let partition = region
            .or(of_target.as_ref())
            .map_or(Partition::Aws, Region::partition)
            .id();
        let resource = if guardrail.identifier.starts_with("arn:") {
            guardrail.identifier.clone()
        } else {
            format!(
                "arn:{partition}:bedrock:{}:{}:guardrail/{}",
                region.map_or("*", Region::as_str),
                permissions.account.unwrap_or("*"),
                guardrail.identifier
            )
        };
        let version = if guardrail.version == "DRAFT" {
            resource.clone()
        } else {
            format!("{resource}:{}", guardrail.version)
        };
        Self {
            resource,
            version,
            partition,
        }
    }

    /// Refuses to invoke any model without this guardrail, whatever another policy allows.
    fn deny(&self, sets: &Sets) -> Statement {
        let own = sets
            .direct
            .iter()
            .filter(|arn| !arn.contains(":foundation-model/"))
            .cloned();
        let models = [
            format!("arn:{}:bedrock:*::foundation-model/*", self.partition),
            format!("arn:{}:bedrock:::foundation-model/*", self.partition),
        ];
        let operator = if self.version.contains('*') {
            "StringNotLike"
        } else {
            "StringNotEquals"
        };
        Statement::allow("DenyWithoutGuardrail", &INVOKE, own.chain(models))
            .denying()
            .when(operator, GUARDRAIL, [self.version.clone()])
    }
}
