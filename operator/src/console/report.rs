//! What the page shows about a `BedrockAccess`, from the object alone. Pure.
//!
//! All texts can come from users: the page inserts them as text, never as markup.

use std::cmp::{Ordering, Reverse};

use api::v1alpha1::{
    BedrockAccess, BedrockAccessSpec,
    health::{self, Health, Summary},
    limits::RatesSpec,
    status::SidecarsStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::usage::{Dates, UsageReport};
use crate::access::Guarded;

/// A row of the overview.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessSummary {
    namespace: String,
    name: String,
    state: Health,
    /// Why it is in this state.
    reason: String,
    message: String,
    /// Ready and desired gateway pods.
    gateways: Option<String>,
    sidecars: Option<SidecarsStatus>,
    models: usize,
    suspended: bool,
    usage: Option<UsageReport>,
}

/// Everything that the object itself tells.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessReport {
    #[serde(flatten)]
    summary: AccessSummary,
    created: Option<String>,
    region: String,
    endpoint: Option<String>,
    audience: Option<String>,
    /// Source of the AWS credentials.
    identity: &'static str,
    role: Option<String>,
    service_account: Option<String>,
    conditions: Vec<ConditionReport>,
    models: Vec<ModelReport>,
    clients: Vec<ClientReport>,
    limits: Vec<String>,
    /// Policies that apply to the namespace.
    policies: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConditionReport {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    state: Health,
    reason: String,
    message: String,
    since: String,
}

/// A model name and its targets; a pattern of model ids has none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelReport {
    name: String,
    targets: Vec<TargetReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetReport {
    model_id: String,
    region: String,
    priority: u32,
    weight: u32,
    role: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientReport {
    /// `ServiceAccount`, `API keys` or `anonymous`.
    kind: &'static str,
    name: String,
    models: Vec<String>,
    limits: Vec<String>,
}

impl AccessSummary {
    pub(super) fn new(object: &Guarded, dates: &Dates) -> Self {
        match &object.0 {
            Ok(access) => Self::of(access, dates),
            Err(invalid) => Self {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
                state: Health::Error,
                reason: "InvalidSpec".to_owned(),
                message: format!("The object does not parse: {}", invalid.error),
                gateways: None,
                sidecars: None,
                models: 0,
                suspended: false,
                usage: None,
            },
        }
    }

    fn of(access: &BedrockAccess, dates: &Dates) -> Self {
        let Summary {
            health,
            reason,
            message,
        } = health::of_access(access);
        let status = access.status.as_ref();
        let spec = &access.spec;
        Self {
            namespace: access.namespace().unwrap_or_default(),
            name: access.name_any(),
            state: health,
            reason,
            message,
            gateways: status.and_then(|status| status.gateways.clone()),
            sidecars: status.and_then(|status| status.sidecars.clone()),
            models: spec.models.len().saturating_add(spec.allow.len()),
            suspended: spec.suspend,
            usage: status
                .and_then(|status| status.usage.as_ref())
                .map(|usage| UsageReport::new(usage, dates)),
        }
    }

    /// Objects with problems first, then by namespace and name.
    pub(super) fn by_urgency(one: &Self, other: &Self) -> Ordering {
        let key = |row: &Self| Reverse(row.state);
        let name = |row: &Self| (row.namespace.clone(), row.name.clone());
        key(one)
            .cmp(&key(other))
            .then_with(|| name(one).cmp(&name(other)))
    }
}

impl AccessReport {
    pub(super) fn new(object: &Guarded, policies: Vec<String>, dates: &Dates) -> Self {
        let access = object.0.as_ref().ok();
        let spec = access.map(|access| &access.spec);
        let status = access.and_then(|access| access.status.as_ref());
        let created = object.meta().creation_timestamp.as_ref();
        Self {
            summary: AccessSummary::new(object, dates),
            created: created.map(|time| time.0.to_string()),
            region: spec.map(|spec| spec.region.clone()).unwrap_or_default(),
            endpoint: status.and_then(|status| status.endpoint.clone()),
            audience: status.and_then(|status| status.audience.clone()),
            identity: spec.map_or("", identity),
            role: status.and_then(|status| status.role_arn.clone()),
            service_account: status.and_then(|status| status.service_account_name.clone()),
            conditions: status.map_or_else(Vec::new, |status| {
                status.conditions.iter().map(ConditionReport::new).collect()
            }),
            models: spec.map(models).unwrap_or_default(),
            clients: spec.map(clients).unwrap_or_default(),
            limits: spec
                .and_then(|spec| spec.limits.as_ref())
                .map(|limits| rates(&limits.rates))
                .unwrap_or_default(),
            policies,
        }
    }
}

impl ConditionReport {
    fn new(condition: &Condition) -> Self {
        Self {
            type_: condition.type_.clone(),
            status: condition.status.clone(),
            state: health::of_condition(condition),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            since: condition.last_transition_time.0.to_string(),
        }
    }
}

fn identity(spec: &BedrockAccessSpec) -> &'static str {
    let identity = &spec.identity;
    if identity.irsa.is_some() {
        "irsa"
    } else if identity.pod_identity.is_some() {
        "podIdentity"
    } else if identity.secret.is_some() {
        "secret"
    } else {
        "ambient"
    }
}

fn models(spec: &BedrockAccessSpec) -> Vec<ModelReport> {
    let named = spec.models.iter().map(|model| {
        let short = model.model_id.iter().map(|id| TargetReport {
            model_id: id.clone(),
            region: spec.region.clone(),
            priority: 0,
            weight: 1,
            role: None,
        });
        let targets = model.targets.iter().flatten().map(|target| TargetReport {
            model_id: target.model_id.clone(),
            region: target.region.as_ref().unwrap_or(&spec.region).clone(),
            priority: target.priority,
            weight: target.weight,
            role: target
                .assume_role
                .as_ref()
                .map(|role| role.role_arn.clone()),
        });
        ModelReport {
            name: model.name.clone(),
            targets: short.chain(targets).collect(),
        }
    });
    let patterns = spec.allow.iter().map(|pattern| ModelReport {
        name: pattern.clone(),
        targets: Vec::new(),
    });
    named.chain(patterns).collect()
}

fn clients(spec: &BedrockAccessSpec) -> Vec<ClientReport> {
    let clients = &spec.clients;
    let own = |limits: Option<&RatesSpec>| limits.map(rates).unwrap_or_default();
    let accounts = clients.service_accounts.iter().map(|account| ClientReport {
        kind: "ServiceAccount",
        name: match &account.namespace {
            Some(namespace) => format!("{namespace}/{}", account.name),
            None => account.name.clone(),
        },
        models: account.models.clone(),
        limits: own(account.limits.as_ref()),
    });
    let keys = clients.api_keys.iter().map(|keys| ClientReport {
        kind: "API keys",
        name: format!("Secret {}", keys.secret_name),
        models: Vec::new(),
        limits: own(keys.limits.as_ref()),
    });
    let anyone = clients.anonymous.then(|| ClientReport {
        kind: "anonymous",
        name: "every client, without authentication".to_owned(),
        models: Vec::new(),
        limits: Vec::new(),
    });
    accounts.chain(keys).chain(anyone).collect()
}

/// The limits that are set, each with its unit.
fn rates(rates: &RatesSpec) -> Vec<String> {
    [
        (rates.requests_per_minute, "requests per minute"),
        (rates.tokens_per_minute, "tokens per minute"),
        (rates.tokens_per_day, "tokens per day"),
        (rates.concurrent_requests, "concurrent requests"),
    ]
    .into_iter()
    .filter_map(|(limit, unit)| Some(format!("{} {unit}", limit?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;

    fn dates() -> Dates {
        Dates::at("2026-11-29T12:00:00Z".parse().unwrap())
    }

    fn object(name: &str, spec: &Value, ready: Option<&str>) -> Guarded {
        let conditions = ready.map(|ready| {
            json!([{
                "type": "Ready", "status": ready, "reason": "AccessDenied", "message": "<b>no</b>",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }])
        });
        let object = json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
            "metadata": {"name": name, "namespace": "team-a"},
            "spec": spec, "status": {"conditions": conditions.unwrap_or_else(|| json!([]))},
        });
        serde_json::from_value::<DeserializeGuard<BedrockAccess>>(object).unwrap()
    }

    fn spec() -> Value {
        json!({
            "region": "us-east-1", "identity": {"podIdentity": {}}, "allow": ["amazon.*"],
            "models": [
                {"name": "fast", "modelId": "amazon.nova-lite-v1:0"},
                {"name": "far", "targets": [{
                    "modelId": "amazon.nova-pro-v1:0", "region": "eu-west-1", "priority": 1,
                    "assumeRole": {"roleArn": "arn:aws:iam::123456789012:role/Far"},
                }]},
            ],
            "clients": {"serviceAccounts": [
                {"name": "app", "models": ["fast"], "limits": {"tokensPerDay": 5}},
                {"name": "ci", "namespace": "build"},
            ], "apiKeys": {"secretName": "keys"}},
            "limits": {"requestsPerMinute": 60},
        })
    }

    #[test]
    fn report_has_models_clients_and_limits_of_the_spec() {
        let object = object("chat", &spec(), Some("False"));
        let report = AccessReport::new(&object, vec!["p".into()], &dates());
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(value["state"], "error");
        assert_eq!(value["identity"], "podIdentity");
        assert_eq!(value["limits"], json!(["60 requests per minute"]));
        assert_eq!(value["policies"], json!(["p"]));
        assert_eq!(value["conditions"][0]["message"], "<b>no</b>");
        let far = &value["models"][1]["targets"][0];
        assert_eq!(far["region"], "eu-west-1");
        assert_eq!(far["role"], "arn:aws:iam::123456789012:role/Far");
        assert_eq!(
            value["models"][2],
            json!({"name": "amazon.*", "targets": []})
        );
        let names: Vec<&Value> = [0, 1, 2].map(|at| &value["clients"][at]["name"]).into();
        assert_eq!(names, ["app", "build/ci", "Secret keys"]);
        assert_eq!(value["clients"][0]["limits"], json!(["5 tokens per day"]));
    }

    #[test]
    fn objects_with_problems_are_first_and_one_that_does_not_parse_is_one() {
        let broken = json!({"region": 5});
        let mut rows = [
            AccessSummary::new(&object("fine", &spec(), Some("True")), &dates()),
            AccessSummary::new(&object("unknown", &spec(), Some("Unknown")), &dates()),
            AccessSummary::new(&object("failing", &spec(), Some("False")), &dates()),
            AccessSummary::new(&object("broken", &broken, None), &dates()),
        ];
        rows.sort_by(AccessSummary::by_urgency);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["broken", "failing", "unknown", "fine"]);
        assert!(rows[0].message.contains("does not parse"));
    }
}
