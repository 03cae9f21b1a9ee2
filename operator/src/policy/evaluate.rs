//! Evaluates whether policies allow a `BedrockAccess`, and explains a denial. Pure.
//!
//! A single policy must allow the whole object. If one policy allowed the role and another one the model, their
//! combination could allow what neither author intended (ADR-0012).

use std::{borrow::Cow, collections::BTreeMap, fmt};

use api::{
    config::Rates,
    pattern::matches,
    v1alpha1::{
        BedrockAccessSpec, condition,
        limits::BudgetSpec,
        policy::{BedrockAccessPolicySpec, IdentityKind},
    },
};

use super::{
    request::{Request, Value},
    restricted::{Restricted, Rule, restricted},
};
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
    Unrestricted {
        /// Restricted values, which depend on the permissions of the author.
        unruled: Vec<Restricted>,
    },
    /// This policy allows the object.
    Allowed {
        policy: String,
        /// Restricted values for which the policy has no rule, so that they depend on the permissions of the author.
        unruled: Vec<Restricted>,
    },
    /// These values were accepted before the operator checked the permissions of authors. `policy` allows the rest.
    AcceptedEarlier {
        policy: Option<String>,
        unruled: Vec<Restricted>,
    },
    /// No policy allows the object, or its author is unknown.
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
    /// The spec has restricted values, and no admission request has shown who set them.
    UnknownAuthor {
        namespace: String,
        values: Vec<Restricted>,
        /// Why no policy allows the object, if that is also the case.
        policies: Option<Box<Self>>,
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
            Evaluation::Unrestricted {
                unruled: restricted(spec),
            }
        };
    }
    let request = Request::of(spec);
    let mut refusing = Vec::new();
    let mut allowing: Option<(&str, Vec<Restricted>)> = None;
    for policy in policies {
        let refusals = match &policy.spec {
            Ok(rules)
                if rules
                    .namespaces
                    .include(&namespace_info.name, &namespace_info.labels) =>
            {
                let refusals = refusals(rules, &request);
                if refusals.is_empty() {
                    let unruled: Vec<Restricted> = request.unruled(rules).cloned().collect();
                    // The policy whose rules leave the fewest values to the permissions of the author.
                    if allowing
                        .as_ref()
                        .is_none_or(|(_, fewest)| unruled.len() < fewest.len())
                    {
                        allowing = Some((&policy.name, unruled));
                    }
                    continue;
                }
                refusals
            }
            Ok(_) => continue,
            Err(problem) => vec![Refusal {
                field: "spec".to_owned(),
                value: problem.clone(),
                rule: "",
                allowed: Vec::new(),
            }],
        };
        refusing.push((policy.name.clone(), refusals));
    }
    if let Some((policy, unruled)) = allowing {
        return Evaluation::Allowed {
            policy: policy.to_owned(),
            unruled,
        };
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
    refusals.extend(restricted_values(policy, request));
    if policy.require_client_authentication && request.anonymous {
        refusals.push(Refusal {
            field: "spec.clients.anonymous".to_owned(),
            value: "true".to_owned(),
            rule: "requireClientAuthentication",
            allowed: vec!["serviceAccounts".to_owned(), "apiKeys".to_owned()],
        });
    }
    refusals.extend(ceilings(policy, request));
    refusals.extend(budgets(policy, request));
    refusals
}

/// The restricted values that a rule of the policy does not allow.
fn restricted_values<'a>(
    policy: &'a BedrockAccessPolicySpec,
    request: &'a Request<'_>,
) -> impl Iterator<Item = Refusal> + 'a {
    let ruled = request.restricted.iter().filter_map(|value| {
        // `identity` evaluates this rule.
        let patterns = value.rule.patterns(policy)?;
        (value.rule != Rule::Identities).then_some((value, patterns))
    });
    let refused = |(value, patterns): &(&Restricted, Cow<'_, [String]>)| {
        !patterns.iter().any(|one| matches(one, &value.text))
    };
    ruled.filter(refused).map(|(value, patterns)| Refusal {
        field: value.field.clone(),
        value: value.shown(),
        rule: value.rule.name(),
        allowed: patterns.into_owned(),
    })
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

/// If a policy limits a budget, the object must set one of the same period and unit, and not higher. A budget in money
/// must not depend on prices of the object's author.
fn budgets(policy: &BedrockAccessPolicySpec, request: &Request<'_>) -> Vec<Refusal> {
    let ceilings = policy.limits.iter().flat_map(|limits| &limits.budgets);
    let in_money = ceilings.clone().any(|ceiling| ceiling.usd.is_some());
    let prices = (in_money && request.has_prices).then(|| Refusal {
        field: "spec.prices".to_owned(),
        value: "set".to_owned(),
        rule: "limits.budgets",
        allowed: vec!["the prices of the platform, since a budget is in usd".to_owned()],
    });
    ceilings
        .filter_map(|ceiling| {
            let unit = if ceiling.usd.is_some() {
                "usd"
            } else {
                "tokens"
            };
            let amount = |budget: &BudgetSpec| {
                let is_same = budget.period == ceiling.period
                    && budget.usd.is_some() == ceiling.usd.is_some();
                budget.usd.or(budget.tokens).filter(|_| is_same)
            };
            let most = ceiling.usd.or(ceiling.tokens)?;
            // In several time zones, each of which stops the requests.
            let set = request.budgets.iter().filter_map(amount).min();
            if set.is_some_and(|set| set <= most) {
                return None;
            }
            Some(Refusal {
                field: "spec.limits.budgets".to_owned(),
                value: set.map_or_else(|| "not set".to_owned(), |set| set.to_string()),
                rule: "limits.budgets",
                allowed: vec![format!(
                    "a budget of at most {most} {unit} for each {}",
                    ceiling.period.as_str()
                )],
            })
        })
        .chain(prices)
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

impl Evaluation {
    /// The values that depend on the permissions of the author.
    pub(crate) fn unruled(&self) -> &[Restricted] {
        match self {
            Self::Unrestricted { unruled }
            | Self::Allowed { unruled, .. }
            | Self::AcceptedEarlier { unruled, .. } => unruled,
            Self::Denied(_) => &[],
        }
    }
}

impl Denial {
    /// The reason of the conditions.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownAuthor { .. } => condition::REASON_AUTHOR_NOT_VERIFIED,
            Self::NoPolicies { .. } | Self::NoneApplies { .. } | Self::Refused { .. } => {
                condition::REASON_NOT_ALLOWED
            }
        }
    }
}

/// What to do about restricted values in a namespace: the rules of a policy that could allow them.
pub(crate) fn rules_for(values: &[Restricted], namespace: &str) -> String {
    let mut rules: Vec<&str> = values.iter().map(|value| value.rule.name()).collect();
    rules.sort_unstable();
    rules.dedup();
    format!(
        "allow {} in a BedrockAccessPolicy for namespace {namespace} (rule{} {})",
        if values.len() == 1 {
            "the value"
        } else {
            "the values"
        },
        if rules.len() == 1 { "" } else { "s" },
        rules.join(", ")
    )
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
            Self::UnknownAuthor {
                namespace,
                values,
                policies,
            } => {
                if let Some(policies) = policies {
                    write!(f, "{policies} ")?;
                }
                write!(
                    f,
                    "the spec has values that require permissions of its author, which the operator does not know: {}. Fix: {}; or enable the validation webhook (chart value admission.enabled) and let a user with the permissions change the spec or create the object again.",
                    shown(values, SHOWN, "; ", |value| format!(
                        "{value} (requires permission to {})",
                        value.permission
                    )),
                    rules_for(values, namespace)
                )
            }
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
