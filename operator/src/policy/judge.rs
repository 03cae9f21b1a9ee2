//! Whether the policies allow an access, and what to say when they do not. Pure.
//!
//! One policy has to allow the whole access: two that allow half each, as one with the role and one with the
//! model, would together allow what nobody has thought of (ADR-0012).

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

use super::asked::{Asked, Value};

/// Policies, refusals of one, and allowed values that a message shows at most.
const SHOWN: usize = 5;

/// A namespace, as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A policy, as far as it can be understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) name: String,
    /// Why it cannot be understood; it allows nothing then, and counts all the same.
    pub(crate) spec: Result<BedrockAccessPolicySpec, String>,
}

/// What the policies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// There is no policy, and none is required.
    Ungoverned,
    /// This policy allows all of it.
    Allowed { policy: String },
    /// None does.
    Denied(Denial),
}

/// Why no policy allows an access, for the people who own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// There is none, and one is required.
    NonePresent { namespace: String },
    /// There are some, for other namespaces.
    NoneInReach { namespace: String, others: usize },
    /// Those for the namespace refuse, each for its reasons.
    Refused {
        namespace: String,
        policies: Vec<(String, Vec<Refusal>)>,
    },
}

/// One thing that a policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Field of the access.
    field: String,
    /// What stands there.
    value: String,
    /// Rule of the policy.
    rule: &'static str,
    /// What the rule allows.
    allowed: Vec<String>,
}

/// Judges an access in a namespace.
pub(crate) fn judge(
    spec: &BedrockAccessSpec,
    place: &Place,
    policies: &[Policy],
    required: bool,
) -> Judgement {
    if policies.is_empty() {
        return if required {
            Judgement::Denied(Denial::NonePresent {
                namespace: place.name.clone(),
            })
        } else {
            Judgement::Ungoverned
        };
    }
    let asked = Asked::of(spec);
    let mut refusing = Vec::new();
    for policy in policies {
        let refusals = match &policy.spec {
            Ok(spec) if in_reach(&spec.namespaces, place) => refusals(spec, &asked),
            Ok(_) => continue,
            Err(problem) => vec![Refusal {
                field: "the policy".to_owned(),
                value: problem.clone(),
                rule: "",
                allowed: Vec::new(),
            }],
        };
        if refusals.is_empty() {
            return Judgement::Allowed {
                policy: policy.name.clone(),
            };
        }
        refusing.push((policy.name.clone(), refusals));
    }
    let namespace = place.name.clone();
    Judgement::Denied(if refusing.is_empty() {
        Denial::NoneInReach {
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

/// Whether a policy is for a namespace. A selector that cannot be understood takes in none.
fn in_reach(namespaces: &PolicyNamespaces, place: &Place) -> bool {
    let named = namespaces.names.iter().flatten();
    if named.into_iter().any(|name| matches(name, &place.name)) {
        return true;
    }
    let Some(selector) = namespaces.selector.clone() else {
        return false;
    };
    Selector::try_from(selector)
        .is_ok_and(|selector| !selector.selects_all() && selector.matches(&place.labels))
}

fn refusals(policy: &BedrockAccessPolicySpec, asked: &Asked<'_>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if let Some(kind) = asked.identity {
        refusals.extend(identity(policy, kind));
    }
    let rules = [
        ("roleArns", &policy.role_arns, &asked.roles),
        ("regions", &policy.regions, &asked.regions),
        ("models", &policy.models, &asked.models),
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
    if policy.require_client_authentication && asked.anonymous {
        refusals.push(Refusal {
            field: "spec.clients.anonymous".to_owned(),
            value: "true".to_owned(),
            rule: "requireClientAuthentication",
            allowed: vec!["serviceAccounts".to_owned(), "apiKeys".to_owned()],
        });
    }
    refusals.extend(ceilings(policy, asked));
    refusals
}

/// A limit that has a ceiling has to be set, and not higher.
fn ceilings(policy: &BedrockAccessPolicySpec, asked: &Asked<'_>) -> Vec<Refusal> {
    let ceilings = policy.limits.as_ref().map(Rates::from).unwrap_or_default();
    let both = ceilings.all().into_iter().zip(asked.limits.all());
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

/// The role behind any other identity than irsa is not seen, so a policy that limits roles has to name such an
/// identity itself.
fn identity(policy: &BedrockAccessPolicySpec, kind: IdentityKind) -> Option<Refusal> {
    let (rule, allowed): (_, &[IdentityKind]) = match (&policy.identities, &policy.role_arns) {
        (Some(kinds), _) => ("identities", kinds),
        (None, Some(_)) => (
            "roleArns, which cannot tell the role of any other",
            &[IdentityKind::Irsa],
        ),
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
            return write!(f, "{} cannot be read: {}", self.field, self.value);
        }
        let allowed = shown(&self.allowed, ", ", ToString::to_string);
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
            Self::NonePresent { namespace } => write!(
                f,
                "there is no BedrockAccessPolicy, and the operator allows nothing without one (--require-policy): one is needed for namespace {namespace}"
            ),
            Self::NoneInReach { namespace, others } => write!(
                f,
                "no BedrockAccessPolicy is for namespace {namespace}; there {} for other namespaces, and what none allows is denied: one needs to take in the namespace (spec.namespaces), by its name or its labels",
                if *others == 1 {
                    "is one".to_owned()
                } else {
                    format!("are {others}")
                }
            ),
            Self::Refused {
                namespace,
                policies,
            } => write!(
                f,
                "no BedrockAccessPolicy for namespace {namespace} allows all of it. {}. Change what is named here to fit one policy, or have a policy changed",
                shown(policies, ". ", |(name, refusals)| {
                    format!(
                        "Policy {name}: {}",
                        shown(refusals, "; ", ToString::to_string)
                    )
                })
            ),
        }
    }
}

/// The first few, and how many more there are.
fn shown<T>(items: &[T], between: &str, text: impl Fn(&T) -> String) -> String {
    let mut texts: Vec<String> = items.iter().take(SHOWN).map(text).collect();
    if let Some(more) = items.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join(between)
}

#[cfg(test)]
mod tests;
