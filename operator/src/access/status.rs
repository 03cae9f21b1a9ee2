//! Fifth step of a reconcile: the status of a `BedrockAccess`.
//!
//! `compute` is pure: it turns the results of the other steps into conditions. `publish.rs` writes the status if it
//! differs from the current one and publishes one Event for each transition. Messages contain nothing that changes by
//! itself (times, counters, request ids), since each change would be a write.

mod conditions;
mod policies;
pub(crate) mod shares;
pub(crate) mod usage;

use std::sync::Arc;

use api::v1alpha1::{BedrockAccess, condition, status::BedrockAccessStatus};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::api::DynamicObject;

pub(crate) use self::conditions::related::Related;
use self::conditions::{
    ConditionOutcome, ConditionStatus, accepted, credentials, encrypted, gateway, models,
    monitored, ready, routed, sidecars, target_roles, targets_healthy,
};
use crate::{
    access::{Error, models::check, observe::Observed, validate::Validated},
    owned::OwnedKind,
    policy::evaluate::Evaluation,
};

/// Conditions about owned objects, which do not change while the object is suspended.
const OF_OBJECTS: [&str; 3] = [
    condition::MONITORED,
    condition::ENCRYPTED,
    condition::ROUTED,
];

/// Results of the other steps.
#[derive(Debug)]
pub(crate) struct Result<'a> {
    /// The validated object, if valid.
    pub(crate) validated: Option<&'a Validated>,
    /// The observed state, if it could be read.
    pub(crate) observed: Option<&'a Observed>,
    /// Result of the policy evaluation, if it could be made.
    pub(crate) evaluation: Option<&'a Evaluation>,
    /// The current Deployment, if it exists.
    pub(crate) deployment: Option<Arc<DynamicObject>>,
    /// Owned objects whose status other controllers write.
    pub(crate) related: Related,
    /// Whether `spec.suspend` kept the operator from changing owned objects.
    pub(crate) suspended: bool,
    /// The error that ended the reconcile.
    pub(crate) error: Option<&'a Error>,
}

/// Computes the status of a `BedrockAccess`.
pub(crate) fn compute(
    access: &BedrockAccess,
    result: &Result<'_>,
    previous: Option<&BedrockAccessStatus>,
    now: Timestamp,
) -> BedrockAccessStatus {
    let mut status = previous.cloned().unwrap_or_default();
    // Before the policies are evaluated, the spec is not observed: an observed spec was accepted or denied.
    if result.evaluation.is_some() {
        status.observed_generation = access.metadata.generation;
    }
    // While suspended, these fields describe the objects that exist, and not the spec.
    if let Some(validated) = result.validated.filter(|_| !result.suspended) {
        let enabled = validated.gateway.enabled;
        status.endpoint = enabled.then(|| validated.endpoint());
        status.service_account_name = enabled.then(|| validated.service_account.name().to_owned());
        status.role_arn = validated.role().map(ToString::to_string);
        status.audience = enabled.then(|| validated.audience());
        status.trust_policy = policies::trust(validated);
        status.permission_policy = policies::permission(validated);
    }
    let deployment: Option<Deployment> = result
        .deployment
        .as_deref()
        .and_then(|object| object.clone().try_parse().ok());
    let rollout = gateway::rollout(deployment.as_ref());
    let enabled = if result.suspended {
        deployment.is_some()
    } else {
        access.spec.gateway.enabled
    };
    status.ready_replicas = enabled.then_some(rollout.ready);
    let desired = match &deployment {
        Some(_) => Some(rollout.wanted),
        None => result.validated.map(|access| access.scale.least()),
    };
    let desired = desired.filter(|_| enabled);
    status.gateways = desired.map(|desired| format!("{}/{desired}", rollout.ready));
    let pods = result.observed.map_or(&[][..], |observed| &observed.pods);
    let sidecar_pods = result
        .observed
        .map_or(&[][..], |observed| &observed.sidecars);
    let mut all = pods.to_vec();
    all.extend(
        sidecar_pods
            .iter()
            .filter(|one| one.hash.is_some())
            .map(|one| one.pod.clone()),
    );
    usage::update(&mut status, result.observed, &all, now);
    let credentials = credentials::outcome(&all);
    let revoked = matches!(result.evaluation, Some(Evaluation::Denied(_)));
    let gateway = gateway::outcome(rollout, pods, revoked);
    let summary = if result.suspended {
        let sidecars_only = !enabled && !access.spec.gateway.enabled;
        let serves = rollout.available > 0 || (sidecars_only && is_ready(&status));
        ready::suspended(serves, Some(&gateway).filter(|_| enabled))
    } else if enabled || result.error.is_some() {
        ready::summary(rollout, &gateway, &credentials, pods, result.error)
    } else {
        ready::without_gateway()
    };
    let sidecars = sidecars::outcome(result.validated, sidecar_pods);
    if result.validated.is_some() {
        status.sidecars = sidecars.as_ref().map(|(counts, _)| counts.clone());
    }
    let generation = access.metadata.generation;
    // A condition stays as it was if it could not be evaluated.
    let keep = |type_: &str| {
        (type_ == condition::ACCEPTED && result.evaluation.is_none())
            || (OF_OBJECTS.contains(&type_) && result.suspended)
    };
    let mut outcomes = vec![
        (condition::READY, summary.ready),
        (condition::RECONCILING, summary.reconciling),
        (condition::STALLED, summary.stalled),
    ];
    if enabled {
        outcomes.push((condition::GATEWAY_AVAILABLE, gateway));
    }
    outcomes.push((condition::CREDENTIALS_READY, credentials));
    let models = models::outcome(&check(&access.spec));
    outcomes.extend(models.map(|outcome| (condition::MODELS_READY, outcome)));
    let roles = target_roles::outcome(result.validated, &all);
    outcomes.extend(roles.map(|outcome| (condition::TARGET_ROLES_READY, outcome)));
    let healthy = targets_healthy::outcome(result.validated, &all);
    outcomes.extend(healthy.map(|outcome| (condition::TARGETS_HEALTHY, outcome)));
    if let Some((_, outcome)) = sidecars {
        outcomes.push((condition::SIDECARS_UP_TO_DATE, outcome));
    }
    if enabled && !result.suspended {
        outcomes.extend(of_owned_objects(access, result));
    }
    if let Some(outcome) = result.evaluation.and_then(accepted::outcome) {
        outcomes.push((condition::ACCEPTED, outcome));
    }
    let mut conditions: Vec<Condition> = outcomes
        .into_iter()
        .map(|(type_, outcome)| condition(type_, outcome, generation, find(&status, type_), now))
        .collect();
    conditions.extend(
        status
            .conditions
            .iter()
            .filter(|other| keep(&other.type_))
            .cloned(),
    );
    status.conditions = conditions;
    status
}

/// The conditions in [`OF_OBJECTS`].
fn of_owned_objects(
    access: &BedrockAccess,
    result: &Result<'_>,
) -> Vec<(&'static str, ConditionOutcome)> {
    let monitored = result.observed.and_then(|observed| {
        let own = &access.spec.gateway;
        let gateway = result.validated.map_or(own, |valid| &valid.gateway);
        monitored::outcome(gateway, observed.served.contains(&OwnedKind::PodMonitor))
    });
    let encrypted = encrypted::outcome(result.validated, &result.related);
    let routed = routed::outcome(result.validated, &result.related);
    [
        (condition::MONITORED, monitored),
        (condition::ENCRYPTED, encrypted),
        (condition::ROUTED, routed),
    ]
    .into_iter()
    .filter_map(|(type_, outcome)| Some((type_, outcome?)))
    .collect()
}

/// The condition of a type in a status.
pub(crate) fn find<'a>(status: &'a BedrockAccessStatus, type_: &str) -> Option<&'a Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

fn is_ready(status: &BedrockAccessStatus) -> bool {
    find(status, condition::READY).is_some_and(|ready| ready.status == "True")
}

fn condition(
    type_: &str,
    outcome: ConditionOutcome,
    generation: Option<i64>,
    before: Option<&Condition>,
    now: Timestamp,
) -> Condition {
    let state = outcome.state.as_str();
    let since = before
        .filter(|before| before.status == state)
        .map_or(Time(now), |before| before.last_transition_time.clone());
    let message = before
        .filter(|before| {
            before.reason == outcome.reason && same_meaning(&before.message, &outcome.message)
        })
        .map_or(outcome.message, |before| before.message.clone());
    Condition {
        type_: type_.to_owned(),
        status: state.to_owned(),
        reason: outcome.reason,
        message,
        observed_generation: generation,
        last_transition_time: since,
    }
}

/// Whether two messages differ only in request ids: each attempt of the gateway has a new one.
fn same_meaning(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .filter(|word| !is_request_id(word))
            .map(ToOwned::to_owned)
            .collect()
    };
    one == other || words(one) == words(other)
}

/// A UUID, such as AWS's request ids.
fn is_request_id(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

impl ConditionStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

#[cfg(test)]
mod tests;
