//! The report about one BedrockAccess, from the objects that belong to it.

use api::{
    catalogue::{self, Availability},
    config::BedrockApi,
    v1alpha1::{
        BedrockAccessSpec, condition, explain,
        health::{self, Summary},
        policy::IdentityKind,
    },
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{ResourceExt, api::DynamicObject};
use serde::Serialize;
use serde_json::Value;

use super::pods::{PodReport, has_gateway};
use crate::{
    read::Endpoint,
    state::{State, age},
};

/// A BedrockAccess and what belongs to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessReport {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Error if it does not serve or the cluster does not match the spec.
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    pub(crate) suspended: bool,
    pub(crate) policy: PolicyReport,
    pub(crate) identity: IdentityReport,
    pub(crate) objects: Vec<ObjectReport>,
    pub(crate) pods: Vec<PodReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sidecars: Option<SidecarsReport>,
    pub(crate) models: Vec<ModelReport>,
    pub(crate) clients: Vec<String>,
    pub(crate) conditions: Vec<ConditionReport>,
    /// What the caller may not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// The policies that apply, and their result.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyReport {
    pub(crate) state: State,
    pub(crate) message: String,
    /// Policies that apply to the namespace.
    pub(crate) applying: Vec<String>,
}

/// The source of the AWS credentials.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdentityReport {
    pub(crate) state: State,
    /// Field of `spec.identity`.
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_account: Option<String>,
    /// Result of `CredentialsReady`.
    pub(crate) credentials: String,
}

/// An owned object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectReport {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) message: String,
}

/// Pods with a sidecar.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SidecarsReport {
    pub(crate) state: State,
    pub(crate) total: i32,
    pub(crate) ready: i32,
    pub(crate) outdated: i32,
    pub(crate) missing: i32,
    pub(crate) pods: Vec<PodReport>,
}

/// A model and its targets.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelReport {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) targets: Vec<TargetReport>,
}

/// A target of a model.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetReport {
    pub(crate) model_id: String,
    pub(crate) region: String,
    pub(crate) priority: u32,
    pub(crate) weight: u32,
    /// What the table of models says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remark: Option<String>,
}

/// A condition.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConditionReport {
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) status: String,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) since: String,
    #[serde(skip)]
    pub(crate) age: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

impl AccessReport {
    /// The report at a time.
    pub(crate) fn new(endpoint: &Endpoint, now: Timestamp) -> Self {
        let access = &endpoint.access;
        let spec = &access.spec;
        let status = access.status.clone().unwrap_or_default();
        let conditions: Vec<ConditionReport> = status
            .conditions
            .iter()
            .map(|condition| ConditionReport::new(condition, &access.name_any(), now))
            .collect();
        let Summary {
            health,
            reason,
            message,
        } = health::of_access(access);
        let state = State::from(health);
        let name = access.name_any();
        let fix = explain::fix(&reason, &name).filter(|_| state != State::Ok);
        Self {
            namespace: access.namespace().unwrap_or_default(),
            name,
            state,
            reason,
            message,
            fix,
            endpoint: status.endpoint.clone(),
            suspended: spec.suspend,
            policy: policy(&conditions, endpoint.policies.as_ref()),
            identity: IdentityReport {
                state: state_of(&conditions, condition::CREDENTIALS_READY),
                kind: identity(spec).as_str(),
                role: status.role_arn.clone(),
                service_account: status.service_account_name.clone(),
                credentials: find(&conditions, condition::CREDENTIALS_READY).map_or_else(
                    || "unknown: the operator has not reported yet".to_owned(),
                    |condition| condition.message.clone(),
                ),
            },
            objects: endpoint.owned.iter().map(ObjectReport::new).collect(),
            pods: pods(&endpoint.pods, now),
            sidecars: sidecars(endpoint, &conditions, now),
            models: models(spec),
            clients: clients(spec),
            conditions,
            notes: endpoint.notes.clone(),
        }
    }
}

impl ConditionReport {
    fn new(condition: &Condition, name: &str, now: Timestamp) -> Self {
        let state = State::from(health::of_condition(condition));
        let since = condition.last_transition_time.0;
        Self {
            type_: condition.type_.clone(),
            status: condition.status.clone(),
            state,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            since: since.to_string(),
            age: age(now.as_second().saturating_sub(since.as_second())),
            fix: explain::fix(&condition.reason, name).filter(|_| state != State::Ok),
        }
    }
}

impl ObjectReport {
    fn new(object: &DynamicObject) -> Self {
        let types = object.types.as_ref();
        let kind = types.map(|types| types.kind.clone()).unwrap_or_default();
        let (state, message) = match kind.as_str() {
            "Deployment" => deployment(&object.data),
            "HorizontalPodAutoscaler" => autoscaler(&object.data),
            "Certificate" => certificate(&object.data),
            _ => (State::Ok, String::new()),
        };
        Self {
            name: object.name_any(),
            kind,
            state,
            message,
        }
    }
}

fn find<'a>(conditions: &'a [ConditionReport], type_: &str) -> Option<&'a ConditionReport> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

fn state_of(conditions: &[ConditionReport], type_: &str) -> State {
    find(conditions, type_).map_or(State::Warning, |condition| condition.state)
}

fn policy(conditions: &[ConditionReport], applying: Option<&Vec<String>>) -> PolicyReport {
    let accepted = find(conditions, condition::ACCEPTED);
    let message = match (accepted, applying) {
        (Some(accepted), _) => accepted.message.clone(),
        (None, Some(names)) if names.is_empty() => {
            "no policy applies; the author's own permissions do".to_owned()
        }
        (None, Some(_)) => "not evaluated yet".to_owned(),
        (None, None) => "unknown: you may not list BedrockAccessPolicy objects".to_owned(),
    };
    PolicyReport {
        state: accepted.map_or(State::Ok, |accepted| accepted.state),
        message,
        applying: applying.cloned().unwrap_or_default(),
    }
}

fn identity(spec: &BedrockAccessSpec) -> IdentityKind {
    let identity = &spec.identity;
    if identity.irsa.is_some() {
        IdentityKind::Irsa
    } else if identity.pod_identity.is_some() {
        IdentityKind::PodIdentity
    } else if identity.secret.is_some() {
        IdentityKind::Secret
    } else {
        IdentityKind::Ambient
    }
}

fn pods(pods: &[k8s_openapi::api::core::v1::Pod], now: Timestamp) -> Vec<PodReport> {
    let mut reports: Vec<PodReport> = pods.iter().map(|pod| PodReport::new(pod, now)).collect();
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    reports
}

fn sidecars(
    endpoint: &Endpoint,
    conditions: &[ConditionReport],
    now: Timestamp,
) -> Option<SidecarsReport> {
    endpoint.access.spec.sidecar.as_ref()?;
    let counts = endpoint.access.status.as_ref()?.sidecars.clone();
    let counts = counts.unwrap_or_default();
    let mut reports = Vec::new();
    for pod in &endpoint.sidecars {
        let mut report = PodReport::new(pod, now);
        if !has_gateway(pod) {
            report.state = State::Warning;
            "no sidecar: replace the pod".clone_into(&mut report.message);
        }
        reports.push(report);
    }
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    Some(SidecarsReport {
        state: state_of(conditions, condition::SIDECARS_UP_TO_DATE),
        total: counts.total,
        ready: counts.ready,
        outdated: counts.outdated,
        missing: counts.missing,
        pods: reports,
    })
}

fn models(spec: &BedrockAccessSpec) -> Vec<ModelReport> {
    let table = catalogue::builtin();
    let target = |id: &str, region: Option<&str>, priority, weight, api: Option<BedrockApi>| {
        let region = region.unwrap_or(&spec.region).to_owned();
        // The table describes bedrock-runtime.
        let known = !api.is_some_and(BedrockApi::is_mantle);
        let parsed = region.parse().ok().filter(|_| known);
        let remark = parsed.and_then(|region| table.remark(id, &region));
        let state = match &remark {
            None | Some((Availability::Active, _)) => State::Ok,
            Some(_) => State::Warning,
        };
        let report = TargetReport {
            model_id: id.to_owned(),
            region,
            priority,
            weight,
            remark: remark.map(|(_, text)| text),
        };
        (state, report)
    };
    let mut reports = Vec::new();
    for model in &spec.models {
        let short = model.model_id.iter().map(|id| target(id, None, 0, 1, None));
        let targets = model.targets.iter().flatten().map(|one| {
            let region = one.region.as_deref();
            target(&one.model_id, region, one.priority, one.weight, one.api)
        });
        let all: Vec<(State, TargetReport)> = short.chain(targets).collect();
        reports.push(ModelReport {
            name: model.name.clone(),
            state: all
                .iter()
                .map(|(state, _)| *state)
                .max()
                .unwrap_or_default(),
            targets: all.into_iter().map(|(_, target)| target).collect(),
        });
    }
    let patterns = spec.allow.iter().map(|pattern| ModelReport {
        name: pattern.clone(),
        state: State::Ok,
        targets: Vec::new(),
    });
    reports.extend(patterns);
    reports
}

fn clients(spec: &BedrockAccessSpec) -> Vec<String> {
    let clients = &spec.clients;
    let accounts = clients.service_accounts.iter().map(|account| {
        let only = if account.models.is_empty() {
            String::new()
        } else {
            format!(", models {}", account.models.join(", "))
        };
        let namespace = account.namespace.as_ref();
        let namespace = namespace.map_or_else(String::new, |namespace| format!("{namespace}/"));
        format!("ServiceAccount {namespace}{}{only}", account.name)
    });
    let keys = clients.api_keys.iter();
    let keys = keys.map(|keys| format!("API keys in Secret {}", keys.secret_name));
    let anyone = clients
        .anonymous
        .then(|| "every client, without authentication".to_owned());
    accounts.chain(keys).chain(anyone).collect()
}

fn number(data: &Value, path: &str) -> i64 {
    data.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

fn deployment(data: &Value) -> (State, String) {
    let wanted = data.pointer("/spec/replicas").and_then(Value::as_i64);
    let wanted = wanted.unwrap_or(1);
    let ready = number(data, "/status/readyReplicas");
    let updated = number(data, "/status/updatedReplicas");
    let mut text = format!("{ready}/{wanted} ready");
    if updated < wanted {
        text = format!("{text}, {updated} up to date");
    }
    let state = match ready {
        _ if ready >= wanted && updated >= wanted => State::Ok,
        0 => State::Error,
        _ => State::Warning,
    };
    (state, text)
}

fn autoscaler(data: &Value) -> (State, String) {
    let least = data.pointer("/spec/minReplicas").and_then(Value::as_i64);
    let most = number(data, "/spec/maxReplicas");
    let desired = number(data, "/status/desiredReplicas");
    let text = format!("{} to {most} pods, {desired} desired", least.unwrap_or(1));
    (State::Ok, text)
}

fn certificate(data: &Value) -> (State, String) {
    let conditions = data.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|one| one.get("type").and_then(Value::as_str) == Some("Ready"));
    let text = |field: &str| ready.and_then(|one| one.get(field)).and_then(Value::as_str);
    match text("status") {
        Some("True") => (State::Ok, "ready".to_owned()),
        Some(_) => (
            State::Error,
            text("message").unwrap_or("not ready").to_owned(),
        ),
        None => (State::Warning, "not ready yet".to_owned()),
    }
}
