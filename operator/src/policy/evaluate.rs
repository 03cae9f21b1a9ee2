//! Evaluates whether policies allow a `BedrockAccess`, and explains a denial. Pure.
//!
//! A single policy must allow the whole object. If one policy allowed the role and another one the model, their
//! combination could allow what neither author intended (ADR-0012).

use std::{collections::BTreeMap, fmt};

use api::{
    config::Rates,
    pattern::matches,
    v1alpha1::{
        BedrockAccessSpec,
        policy::{BedrockAccessPolicySpec, IdentityKind, PolicyNamespaces},
    },
};
use kube::core::{Selector, SelectorExt};

use super::request::{Request, Value};
use crate::error_chain::shown;

/// Maximum number of policies, refusals of one policy, and allowed values in a message.
const SHOWN: usize = 5;

/// A namespace, as policies select it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamespaceInfo {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A policy, possibly invalid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) name: String,
    /// The spec, or why it cannot be parsed: such a policy allows nothing but still counts as a policy.
    pub(crate) spec: Result<BedrockAccessPolicySpec, String>,
}

/// Result of a policy evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Evaluation {
    /// The cluster has no policy, and none is required.
    Unrestricted,
    /// This policy allows the object.
    Allowed { policy: String },
    /// No policy allows the object.
    Denied(Denial),
}

/// Why no policy allows a `BedrockAccess`, for its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The cluster has no policy, and one is required.
    NoPolicies { namespace: String },
    /// All policies apply to other namespaces only.
    NoneApplies { namespace: String, others: usize },
    /// The policies for the namespace refuse it for these reasons.
    Refused {
        namespace: String,
        policies: Vec<(String, Vec<Refusal>)>,
    },
}

/// A value that a policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Field of the `BedrockAccess`.
    field: String,
    /// Value of the field.
    value: String,
    /// Rule of the policy.
    rule: &'static str,
    /// Values that the rule allows.
    allowed: Vec<String>,
}

/// Evaluates a `BedrockAccess` in a namespace.
pub(crate) fn evaluate(
    spec: &BedrockAccessSpec,
    namespace_info: &NamespaceInfo,
    policies: &[Policy],
    required: bool,
) -> Evaluation {
    if policies.is_empty() {
        return if required {
            Evaluation::Denied(Denial::NoPolicies {
                namespace: namespace_info.name.clone(),
            })
        } else {
            Evaluation::Unrestricted
        };
    }
    let request = Request::of(spec);
    let mut refusing = Vec::new();
    for policy in policies {
        let refusals = match &policy.spec {
            Ok(spec) if applies_to(&spec.namespaces, namespace_info) => refusals(spec, &request),
            Ok(_) => continue,
            Err(problem) => vec![Refusal {
                field: "spec".to_owned(),
                value: problem.clone(),
                rule: "",
                allowed: Vec::new(),
            }],
        };
        if refusals.is_empty() {
            return Evaluation::Allowed {
                policy: policy.name.clone(),
            };
        }
        refusing.push((policy.name.clone(), refusals));
    }
    let namespace = namespace_info.name.clone();
    Evaluation::Denied(if refusing.is_empty() {
        Denial::NoneApplies {
            namespace,
            others: policies.len(),
        }
    } else {
        Denial::Refused {
            namespace,
            policies: refusing,
        }
    })
}

/// Whether a policy applies to a namespace. An invalid selector matches no namespace.
fn applies_to(namespaces: &PolicyNamespaces, namespace_info: &NamespaceInfo) -> bool {
    let named = namespaces.names.iter().flatten();
    if named
        .into_iter()
        .any(|name| matches(name, &namespace_info.name))
    {
        return true;
    }
    let Some(selector) = namespaces.selector.clone() else {
        return false;
    };
    Selector::try_from(selector)
        .is_ok_and(|selector| !selector.selects_all() && selector.matches(&namespace_info.labels))
}

fn refusals(policy: &BedrockAccessPolicySpec, request: &Request<'_>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if let Some(kind) = request.identity {
        refusals.extend(identity(policy, kind));
    }
    let rules = [
        ("roleArns", &policy.role_arns, &request.roles),
        ("regions", &policy.regions, &request.regions),
        ("models", &policy.models, &request.models),
    ];
    for (rule, allowed, values) in rules {
        let Some(allowed) = allowed else { continue };
        let refused = |value: &&Value<'_>| !allowed.iter().any(|one| matches(one, value.text));
        refusals.extend(values.iter().filter(refused).map(|value| Refusal {
            field: value.field.clone(),
            value: value.text.to_owned(),
            rule,
            allowed: allowed.clone(),
        }));
    }
    if policy.require_client_authentication && request.anonymous {
        refusals.push(Refusal {
            field: "spec.clients.anonymous".to_owned(),
            value: "true".to_owned(),
            rule: "requireClientAuthentication",
            allowed: vec!["serviceAccounts".to_owned(), "apiKeys".to_owned()],
        });
    }
    refusals.extend(ceilings(policy, request));
    refusals
}

/// If a policy limits a rate, the object must set this limit, and not higher.
fn ceilings(policy: &BedrockAccessPolicySpec, request: &Request<'_>) -> Vec<Refusal> {
    let ceilings = policy.limits.as_ref().map(Rates::from).unwrap_or_default();
    let both = ceilings.all().into_iter().zip(request.limits.all());
    both.filter_map(|((name, ceiling), (_, set))| {
        let ceiling = ceiling?;
        if set.is_some_and(|set| set <= ceiling) {
            return None;
        }
        Some(Refusal {
            field: format!("spec.limits.{name}"),
            value: set.map_or_else(|| "not set".to_owned(), |set| set.to_string()),
            rule: "limits",
            allowed: vec![format!("at most {ceiling}")],
        })
    })
    .collect()
}

/// Only an irsa identity shows its role. A policy with roleArns therefore allows other identities only if it lists them
/// in `identities`.
fn identity(policy: &BedrockAccessPolicySpec, kind: IdentityKind) -> Option<Refusal> {
    let (rule, allowed): (_, &[IdentityKind]) = match (&policy.identities, &policy.role_arns) {
        (Some(kinds), _) => ("identities", kinds),
        (None, Some(_)) => ("roleArns, which apply only to irsa", &[IdentityKind::Irsa]),
        (None, None) => return None,
    };
    (!allowed.contains(&kind)).then(|| Refusal {
        field: "spec.identity".to_owned(),
        value: kind.as_str().to_owned(),
        rule,
        allowed: allowed
            .iter()
            .map(|kind| kind.as_str().to_owned())
            .collect(),
    })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rule.is_empty() {
            return write!(f, "invalid policy: {}", self.value);
        }
        let allowed = shown(&self.allowed, SHOWN, ", ", ToString::to_string);
        write!(
            f,
            "{}: {} is not allowed (allowed by {}: {allowed})",
            self.field, self.value, self.rule
        )
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicies { namespace } => write!(
                f,
                "the operator requires a BedrockAccessPolicy (--require-policy), but none exists. Create one that applies to namespace {namespace}."
            ),
            Self::NoneApplies { namespace, others } => write!(
                f,
                "no BedrockAccessPolicy applies to namespace {namespace}; {others} {} to other namespaces. Add the namespace to spec.namespaces of a policy, by its name or its labels.",
                if *others == 1 { "applies" } else { "apply" }
            ),
            Self::Refused {
                namespace,
                policies,
            } => write!(
                f,
                "no BedrockAccessPolicy for namespace {namespace} allows this object. {}. Change these fields to match one policy, or ask for a policy change.",
                shown(policies, SHOWN, ". ", |(name, refusals)| {
                    format!(
                        "Policy {name}: {}",
                        shown(refusals, SHOWN, "; ", ToString::to_string)
                    )
                })
            ),
        }
    }
}

#[cfg(test)]
mod tests;
