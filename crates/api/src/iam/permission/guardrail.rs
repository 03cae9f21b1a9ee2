//! A guardrail that the configuration forces, as names and a statement. What is allowed besides is not decided here.

use super::{GUARDRAIL, INVOKE, Permissions, Sets, Statement};
use crate::{
    config::Guardrail,
    iam::resource::Resource,
    region::{Partition, Region},
};

/// A guardrail in the terms of IAM.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-permissions-id.html>
#[derive(Debug)]
pub(super) struct GuardrailNames {
    /// Its ARN, to apply it.
    pub(super) resource: String,
    /// Its ARN with a colon and the version, as `bedrock:GuardrailIdentifier` holds it; `DRAFT` has no version.
    pub(super) version: String,
    partition: &'static str,
}

impl GuardrailNames {
    pub(super) fn new(
        guardrail: &Guardrail,
        permissions: &Permissions<'_>,
        resources: &[Resource],
    ) -> Self {
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
    pub(super) fn deny(&self, sets: &Sets) -> Statement {
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
