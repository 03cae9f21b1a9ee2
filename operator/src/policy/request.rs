//! The parts of a `BedrockAccess` that policies restrict, each with its field. Pure.
//!
//! Read from the spec before validation: a denied object is denied even if it is invalid, too.

use api::{
    config::Rates,
    v1alpha1::{
        BedrockAccessSpec,
        limits::BudgetSpec,
        policy::{BedrockAccessPolicySpec, IdentityKind},
    },
};

use super::restricted::{Restricted, restricted};

/// Prefix of every ARN.
const ARN: &str = "arn:";

/// What a `BedrockAccess` requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// Kind of its identity; `None` if the spec has none or several, which validation rejects.
    pub(super) identity: Option<IdentityKind>,
    pub(super) roles: Vec<Value<'a>>,
    pub(super) regions: Vec<Value<'a>>,
    /// Ids and patterns of models.
    pub(super) models: Vec<Value<'a>>,
    /// Whether its gateway accepts anonymous clients.
    pub(super) anonymous: bool,
    /// Rate limits of all clients together.
    pub(super) limits: Rates,
    /// Budgets of all clients together.
    pub(super) budgets: &'a [BudgetSpec],
    /// Whether it has prices of its own.
    pub(super) has_prices: bool,
    /// Values that need a rule or an author with a permission.
    pub(super) restricted: Vec<Restricted>,
}

/// A value and its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) field: String,
    pub(super) text: &'a str,
}

impl<'a> Value<'a> {
    fn new(field: impl Into<String>, text: &'a str) -> Self {
        Self {
            field: field.into(),
            text,
        }
    }
}

impl<'a> Request<'a> {
    pub(super) fn of(spec: &'a BedrockAccessSpec) -> Self {
        let mut request = Self {
            identity: identity(spec),
            anonymous: spec.gateway.enabled && spec.clients.anonymous,
            limits: spec
                .limits
                .as_ref()
                .map(|limits| Rates::from(&limits.rates))
                .unwrap_or_default(),
            budgets: spec
                .limits
                .as_ref()
                .map(|limits| limits.rates.budgets.as_slice())
                .unwrap_or_default(),
            has_prices: spec.prices.is_some(),
            restricted: restricted(spec),
            ..Self::default()
        };
        if let Some(irsa) = &spec.identity.irsa {
            request.roles.push(Value::new(
                "spec.identity.irsa.roleArn",
                irsa.role_arn.as_str(),
            ));
        }
        for (index, link) in spec.identity.assume_roles.iter().enumerate() {
            let field = format!("spec.identity.assumeRoles[{index}].roleArn");
            request.roles.push(Value::new(field, &link.role_arn));
        }
        request
            .regions
            .push(Value::new("spec.region", &spec.region));
        for (index, model) in spec.models.iter().enumerate() {
            let field = format!("spec.models[{index}]");
            if let Some(id) = &model.model_id {
                request.model(format!("{field}.modelId"), id);
            }
            for (at, target) in model.targets.iter().flatten().enumerate() {
                let field = format!("{field}.targets[{at}]");
                if let Some(region) = &target.region {
                    request
                        .regions
                        .push(Value::new(format!("{field}.region"), region));
                }
                if let Some(role) = &target.assume_role {
                    let field = format!("{field}.assumeRole.roleArn");
                    request.roles.push(Value::new(field, &role.role_arn));
                }
                request.model(format!("{field}.modelId"), &target.model_id);
            }
        }
        for (index, pattern) in spec.allow.iter().enumerate() {
            request.model(format!("spec.allow[{index}]"), pattern);
        }
        if let Some(guardrail) = &spec.guardrail {
            let region = region_of(&guardrail.identifier);
            request
                .regions
                .extend(region.map(|region| Value::new("spec.guardrail.identifier", region)));
        }
        request
    }

    /// The restricted values for which a policy has no rule.
    pub(super) fn unruled(
        &self,
        policy: &BedrockAccessPolicySpec,
    ) -> impl Iterator<Item = &Restricted> {
        let values = self.restricted.iter();
        values.filter(|value| value.rule.patterns(policy).is_none())
    }

    /// A model is called in the region of its ARN.
    fn model(&mut self, field: String, id: &'a str) {
        let region = region_of(id);
        self.regions
            .extend(region.map(|region| Value::new(field.clone(), region)));
        self.models.push(Value::new(field, id));
    }
}

fn identity(spec: &BedrockAccessSpec) -> Option<IdentityKind> {
    let identity = &spec.identity;
    let kinds = [
        (identity.irsa.is_some(), IdentityKind::Irsa),
        (identity.pod_identity.is_some(), IdentityKind::PodIdentity),
        (identity.secret.is_some(), IdentityKind::Secret),
        (identity.ambient.is_some(), IdentityKind::Ambient),
    ];
    let mut set = kinds.into_iter().filter(|(set, _)| *set);
    match (set.next(), set.next()) {
        (Some((_, kind)), None) => Some(kind),
        _ => None,
    }
}

/// The region that a model id or pattern implies: the region of an ARN, possibly a pattern, or any region if a pattern
/// matches ARNs without naming their region.
fn region_of(id: &str) -> Option<&str> {
    let literal = id.split('*').next().unwrap_or_default();
    if !literal.starts_with(ARN) {
        let matches_arns = id.contains('*') && ARN.starts_with(literal);
        return matches_arns.then_some("*");
    }
    let parts: Vec<&str> = id.splitn(6, ':').collect();
    let [_, partition, service, region, ..] = parts.as_slice() else {
        // The pattern is a prefix of an ARN, or the id is not an ARN.
        return id.contains('*').then_some("*");
    };
    if partition.contains('*') || service.contains('*') {
        return Some("*");
    }
    // A star at the end of an incomplete ARN matches the region and everything after it; the part before the star must
    // still match.
    (!region.is_empty()).then_some(*region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arn_implies_its_region_and_a_pattern_that_matches_arns_implies_all_regions() {
        for (id, region) in [
            ("anthropic.claude-3-haiku-20240307-v1:0", None),
            ("us.anthropic.*", None),
            ("anthropic.*", None),
            (
                "arn:aws:bedrock:eu-west-1::foundation-model/x",
                Some("eu-west-1"),
            ),
            ("arn:aws:bedrock:eu-*", Some("eu-*")),
            ("arn:aws:bedrock:eu-*:1:x", Some("eu-*")),
            ("arn:aws:bedrock:*", Some("*")),
            ("arn:aws:*:eu-west-1::x", Some("*")),
            ("arn:*", Some("*")),
            ("arn:aws*", Some("*")),
            ("*", Some("*")),
            ("a*", Some("*")),
            ("*claude*", Some("*")),
            ("arn:aws:bedrock:::x", None),
        ] {
            assert_eq!(region_of(id), region, "{id}");
        }
    }
}
