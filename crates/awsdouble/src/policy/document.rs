//! Strict parser of policy documents: an element or operator that the evaluator does not support is an error, so that
//! a test cannot pass because a condition was ignored.

use serde_json::Value;

use super::condition::{Condition, Context};
use super::{Principal, Request, wildcard_matches};

/// A parsed policy document.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The statements, in order.
    pub statements: Vec<Statement>,
}

/// Whether a statement allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// `"Effect": "Allow"`.
    Allow,
    /// `"Effect": "Deny"`.
    Deny,
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// `Sid`, if any.
    pub sid: Option<String>,
    /// Allow or Deny.
    pub effect: Effect,
    principal: Option<Principals>,
    actions: Patterns,
    resources: Option<Patterns>,
    conditions: Vec<Condition>,
}

/// The reason why a document is not a valid policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy element `{path}`: {problem}")]
pub struct PolicyError {
    /// Path in the document, for example `Statement[0].Effect`.
    pub path: String,
    /// The error.
    pub problem: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Patterns {
    negated: bool,
    list: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Principals {
    negated: bool,
    any: bool,
    federated: Vec<String>,
    aws: Vec<String>,
    service: Vec<String>,
}

pub(super) fn error(path: impl Into<String>, problem: impl Into<String>) -> PolicyError {
    PolicyError {
        path: path.into(),
        problem: problem.into(),
    }
}

impl Policy {
    /// Parses a policy from its text.
    ///
    /// # Errors
    /// If the text is not JSON, or the evaluator does not support the policy completely.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        let value: Value = serde_json::from_str(text).map_err(|e| error("", e.to_string()))?;
        Self::from_value(&value)
    }

    /// Parses a policy from JSON or from a JSON string with the document's text.
    ///
    /// # Errors
    /// As [`Policy::from_json`].
    pub fn from_value(value: &Value) -> Result<Self, PolicyError> {
        if let Value::String(text) = value {
            return Self::from_json(text);
        }
        let object = value
            .as_object()
            .ok_or_else(|| error("", "must be an object"))?;
        for key in object.keys() {
            if !["Version", "Id", "Statement"].contains(&key.as_str()) {
                return Err(error(key, "unknown element"));
            }
        }
        if let Some(version) = object.get("Version")
            && !matches!(version.as_str(), Some("2012-10-17" | "2008-10-17"))
        {
            return Err(error("Version", "must be 2012-10-17 or 2008-10-17"));
        }
        let statements = match object.get("Statement") {
            Some(Value::Array(list)) => list
                .iter()
                .enumerate()
                .map(|(index, one)| Statement::parse(one, &format!("Statement[{index}]")))
                .collect::<Result<_, _>>()?,
            Some(one @ Value::Object(_)) => vec![Statement::parse(one, "Statement")?],
            _ => return Err(error("Statement", "must be an object or a list of objects")),
        };
        Ok(Self { statements })
    }
}

impl Statement {
    fn parse(value: &Value, path: &str) -> Result<Self, PolicyError> {
        let object = value
            .as_object()
            .ok_or_else(|| error(path, "must be an object"))?;
        let known = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(error(format!("{path}.{key}"), "unknown element"));
        }
        let effect = match object.get("Effect").and_then(Value::as_str) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err(error(format!("{path}.Effect"), "must be Allow or Deny")),
        };
        let either = |plain: &str, negated: &str| -> Result<Option<Patterns>, PolicyError> {
            match (object.get(plain), object.get(negated)) {
                (Some(_), Some(_)) => Err(error(
                    format!("{path}.{negated}"),
                    format!("excludes {plain}"),
                )),
                (Some(v), None) => Ok(Some(Patterns {
                    negated: false,
                    list: strings(v, &format!("{path}.{plain}"))?,
                })),
                (None, Some(v)) => Ok(Some(Patterns {
                    negated: true,
                    list: strings(v, &format!("{path}.{negated}"))?,
                })),
                (None, None) => Ok(None),
            }
        };
        let principal = match (object.get("Principal"), object.get("NotPrincipal")) {
            (Some(_), Some(_)) => {
                return Err(error(format!("{path}.NotPrincipal"), "excludes Principal"));
            }
            (Some(v), None) => Some(Principals::parse(v, false, &format!("{path}.Principal"))?),
            (None, Some(v)) => Some(Principals::parse(v, true, &format!("{path}.NotPrincipal"))?),
            (None, None) => None,
        };
        let conditions = match object.get("Condition") {
            None => Vec::new(),
            Some(value) => Condition::parse_all(value, &format!("{path}.Condition"))?,
        };
        Ok(Self {
            sid: object.get("Sid").and_then(Value::as_str).map(str::to_owned),
            effect,
            principal,
            actions: either("Action", "NotAction")?
                .ok_or_else(|| error(format!("{path}.Action"), "is missing"))?,
            resources: either("Resource", "NotResource")?,
            conditions,
        })
    }

    pub(super) fn applies_to(&self, request: Request<'_>) -> bool {
        let principal_matches = match (&self.principal, request.principal) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(principals), Some(principal)) => principals.contains(principal),
        };
        let action = request.action.to_ascii_lowercase();
        let action_matches = self
            .actions
            .fits(|pattern| wildcard_matches(&pattern.to_ascii_lowercase(), &action));
        let resource_matches = self.resources.as_ref().is_none_or(|resources| {
            resources.fits(|pattern| {
                wildcard_matches(&request.context.substitute(pattern), request.resource)
            })
        });
        principal_matches
            && action_matches
            && resource_matches
            && self
                .conditions
                .iter()
                .all(|condition| condition.is_met(request.context))
    }
}

impl Patterns {
    fn fits(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.list.iter().any(|pattern| matches(pattern)) != self.negated
    }
}

impl Principals {
    fn parse(value: &Value, negated: bool, path: &str) -> Result<Self, PolicyError> {
        let mut principals = Self {
            negated,
            any: false,
            federated: Vec::new(),
            aws: Vec::new(),
            service: Vec::new(),
        };
        match value {
            Value::String(star) if star == "*" => principals.any = true,
            Value::Object(object) => {
                for (kind, value) in object {
                    let path = format!("{path}.{kind}");
                    let list = strings(value, &path)?;
                    match kind.as_str() {
                        "Federated" => principals.federated = list,
                        "AWS" => principals.aws = list,
                        "Service" => principals.service = list,
                        _ => return Err(error(path, "unknown kind of principal")),
                    }
                }
            }
            _ => return Err(error(path, "must be \"*\" or an object")),
        }
        Ok(principals)
    }

    fn contains(&self, principal: &Principal) -> bool {
        let contained = self.any
            || match principal {
                Principal::Federated(arn) => self.federated.iter().any(|one| one == arn),
                Principal::Service(name) => self.service.iter().any(|one| one == name),
                Principal::Aws {
                    arn,
                    role_arn,
                    account,
                } => self.aws.iter().any(|one| {
                    one == "*"
                        || one == arn
                        || Some(one) == role_arn.as_ref()
                        || one == account
                        || (one.ends_with(":root") && one.split(':').nth(4) == Some(account))
                }),
            };
        contained != self.negated
    }
}

pub(super) fn strings(value: &Value, path: &str) -> Result<Vec<String>, PolicyError> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let list = match value {
        Value::Array(list) => list.iter().map(scalar).collect::<Option<Vec<_>>>(),
        one => scalar(one).map(|one| vec![one]),
    };
    list.filter(|list| !list.is_empty())
        .ok_or_else(|| error(path, "must be a string or a non-empty list of strings"))
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}
