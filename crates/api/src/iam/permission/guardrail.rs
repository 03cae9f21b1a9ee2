//! The IAM names of the guardrail in a configuration, and the statement that denies requests without it.

use super::{GUARDRAIL, INVOKE, Permissions, Sets, Statement};
use crate::{
    config::Guardrail,
    iam::resource::Resource,
    region::{Partition, Region},
};

/// IAM names of a guardrail.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-permissions-id.html>
#[derive(Debug)]
pub(super) struct GuardrailNames {
    /// ARN of the guardrail: the resource of `bedrock:ApplyGuardrail`.
    pub(super) resource: String,
    /// Value of `bedrock:GuardrailIdentifier`: the ARN, a colon and the version, or only the ARN for `DRAFT`.
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

    /// Statement that denies invoking any model without this guardrail, even if another policy allows it.
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
