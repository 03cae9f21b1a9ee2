//! IAM policy documents and their evaluation by AWS's logic: an explicit deny overrides an allow; without an
//! allow the request is denied.
//!
//! Supports identity and trust policies, `Not…` elements, wildcards, condition operators with `IfExists`,
//! `ForAnyValue` and `ForAllValues`, and policy variables. Does not support permissions boundaries, SCPs and session
//! policies.
//! See <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>.

mod condition;
mod document;

pub use condition::Context;
pub use document::{Effect, Policy, PolicyError, Statement};

/// The principal of a request, as in the `Principal` element of a trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A web identity: the ARN of the OIDC provider.
    Federated(String),
    /// An IAM principal.
    Aws {
        /// ARN of the caller: user, role or assumed-role session.
        arn: String,
        /// ARN of the role behind an assumed-role session.
        role_arn: Option<String>,
        /// Account of the caller, twelve digits.
        account: String,
    },
    /// An AWS service, such as `pods.eks.amazonaws.com`.
    Service(String),
}

/// One action on one resource by one principal.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The principal; required for trust policies only.
    pub principal: Option<&'a Principal>,
    /// For example `bedrock:InvokeModel`.
    pub action: &'a str,
    /// ARN of the resource; ignored by statements without a `Resource` element (trust policies).
    pub resource: &'a str,
    /// Condition keys and their values.
    pub context: &'a Context,
}

/// The result of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows the request, no statement denies it.
    Allowed,
    /// A statement denies the request.
    ExplicitDeny,
    /// No statement applies to the request.
    ImplicitDeny,
}

impl Decision {
    /// Whether the request is allowed.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// Evaluates a set of policies together.
pub fn evaluate(policies: &[Policy], request: Request<'_>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    for statement in policies.iter().flat_map(|policy| &policy.statements) {
        if statement.applies_to(request) {
            match statement.effect {
                Effect::Deny => return Decision::ExplicitDeny,
                Effect::Allow => decision = Decision::Allowed,
            }
        }
    }
    decision
}

/// Matches IAM's wildcards: `*` matches any characters, `?` exactly one.
pub(crate) fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at_pattern, mut at_text) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(wanted) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(c) if *c == '?' || c == wanted => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => match star {
                Some((star_pattern, star_text)) => {
                    at_pattern = star_pattern + 1;
                    at_text = star_text + 1;
                    star = Some((star_pattern, at_text));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at_pattern).all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
