//! The health of a `BedrockAccess` for people, from its conditions: the same in the plugin and in the console.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::{BedrockAccess, condition};

/// The state that a condition or an object is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No problem.
    #[default]
    Ok,
    /// In progress, unknown, or a problem that prevents nothing.
    Warning,
    /// A problem.
    Error,
}

/// Health of an object, with the reason and the message of its condition `Ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Health of the object.
    pub health: Health,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// The health that a condition stands for. Ready does not depend on some conditions, so these are warnings.
pub fn of_condition(condition: &Condition) -> Health {
    let set = |health| {
        if condition.status == "True" {
            health
        } else {
            Health::Ok
        }
    };
    let if_false = match condition.type_.as_str() {
        condition::STALLED => return set(Health::Error),
        condition::RECONCILING => return set(Health::Warning),
        condition::MODELS_READY
        | condition::TARGET_ROLES_READY
        | condition::SIDECARS_UP_TO_DATE
        | condition::MONITORED => Health::Warning,
        _ => Health::Error,
    };
    match condition.status.as_str() {
        "True" if condition.reason == condition::REASON_LEGACY_MODEL => Health::Warning,
        "True" => Health::Ok,
        "False" => if_false,
        _ => Health::Warning,
    }
}

/// Health, reason and message of an object.
pub fn of_access(access: &BedrockAccess) -> Summary {
    let status = access.status.as_ref();
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let find = |type_: &str| conditions.iter().find(|one| one.type_ == type_);
    let Some(ready) = find(condition::READY) else {
        return Summary {
            health: Health::Error,
            reason: "NotReconciled".to_owned(),
            message: "The operator has not reconciled this object: run `kubectl bedrock check`."
                .to_owned(),
        };
    };
    let own = of_condition(ready);
    let reason = ready.reason.clone();
    let observed = status.and_then(|status| status.observed_generation);
    let generation = access.metadata.generation;
    if observed.is_some() && generation.is_some() && observed < generation {
        return Summary {
            health: own.max(Health::Warning),
            reason,
            message: "The operator has not observed the latest spec yet.".to_owned(),
        };
    }
    let worst = conditions.iter().map(of_condition).max();
    // An object that is not ready yet, and not blocked, is in progress.
    let moving = find(condition::RECONCILING).is_some_and(|one| one.status == "True")
        && reason == condition::REASON_ROLLING_OUT;
    let health = match own {
        Health::Error if moving => Health::Warning,
        Health::Ok => worst.unwrap_or_default().min(Health::Warning),
        other => other,
    };
    Summary {
        health,
        reason,
        message: ready.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn access(generation: i64, conditions: &Value) -> BedrockAccess {
        serde_json::from_value(json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
            "metadata": {"name": "chat", "generation": generation},
            "spec": {
                "region": "us-east-1", "identity": {"podIdentity": {}}, "allow": ["amazon.*"],
                "clients": {"anonymous": true},
            },
            "status": {"observedGeneration": 1, "conditions": conditions},
        }))
        .unwrap()
    }

    fn one(type_: &str, status: &str, reason: &str) -> Value {
        json!({
            "type": type_, "status": status, "reason": reason, "message": "text",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    #[test]
    fn health_follows_ready_and_other_conditions_only_warn() {
        let ready = || one("Ready", "True", "Ready");
        let rows = [
            ("ready", 1, json!([ready()]), Health::Ok),
            ("not reconciled", 1, json!([]), Health::Error),
            ("spec not observed", 2, json!([ready()]), Health::Warning),
            (
                "a model is unknown",
                1,
                json!([ready(), one("ModelsReady", "False", "Unavailable")]),
                Health::Warning,
            ),
            (
                "failing",
                1,
                json!([one("Ready", "False", "AccessDenied")]),
                Health::Error,
            ),
            (
                "rolling out",
                1,
                json!([
                    one("Ready", "False", "RollingOut"),
                    one("Reconciling", "True", "RollingOut")
                ]),
                Health::Warning,
            ),
            (
                "settled",
                1,
                json!([
                    ready(),
                    one("Reconciling", "False", "Settled"),
                    one("Stalled", "False", "Settled")
                ]),
                Health::Ok,
            ),
            (
                "unknown",
                1,
                json!([one("Ready", "Unknown", "Pending")]),
                Health::Warning,
            ),
        ];
        for (case, generation, conditions, expected) in rows {
            let summary = of_access(&access(generation, &conditions));
            assert_eq!(summary.health, expected, "{case}");
        }
    }
}
