//! Fifth step of a reconcile: says how it went.
//!
//! `compute` is pure: what happened and what was there become conditions; the driver writes them when
//! they differ from what stands there and publishes one Event a transition. Messages hold nothing that
//! changes by itself (times, counters, request ids), since each change would be a write.

mod conditions;
mod policies;

use std::sync::Arc;

use api::v1alpha1::{BedrockAccess, condition, status::BedrockAccessStatus};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::api::DynamicObject;

use self::conditions::{
    State, Verdict, accepted, credentials, gateway, monitored, ready, sidecars, target_roles,
};
use crate::{
    access::{Error, observe::Observed, validate::Validated},
    policy::judge::Judgement,
};

/// What a reconcile came to.
#[derive(Debug)]
pub(crate) struct Result<'a> {
    /// The access as checked, when it could be.
    pub(crate) validated: Option<&'a Validated>,
    /// What was there, when it could be looked at.
    pub(crate) observed: Option<&'a Observed>,
    /// What the policies say, when they could be asked.
    pub(crate) judgement: Option<&'a Judgement>,
    /// The Deployment as it is now, when there is one.
    pub(crate) deployment: Option<Arc<DynamicObject>>,
    /// Whether `spec.suspend` kept the operator from changing managed objects.
    pub(crate) suspended: bool,
    /// What went wrong.
    pub(crate) error: Option<&'a Error>,
}

/// The status an access should have.
pub(crate) fn compute(
    access: &BedrockAccess,
    result: &Result<'_>,
    previous: Option<&BedrockAccessStatus>,
    now: Timestamp,
) -> BedrockAccessStatus {
    let mut status = previous.cloned().unwrap_or_default();
    status.observed_generation = access.metadata.generation;
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
    status.gateways = match (&deployment, result.validated) {
        (Some(_), _) => Some(rollout.wanted),
        (None, validated) => validated.map(|access| access.scale.least()),
    }
    .filter(|_| enabled)
    .map(|desired| format!("{}/{desired}", rollout.ready));
    let pods = result.observed.map_or(&[][..], |observed| &observed.pods);
    let fleet = result
        .observed
        .map_or(&[][..], |observed| &observed.sidecars);
    let mut all = pods.to_vec();
    all.extend(
        fleet
            .iter()
            .filter(|one| one.hash.is_some())
            .map(|one| one.pod.clone()),
    );
    let credentials = credentials::verdict(&all);
    let revoked = matches!(result.judgement, Some(Judgement::Denied(_)));
    let gateway = gateway::verdict(rollout, pods, revoked);
    let summary = if result.suspended {
        let was_ready = find(&status, condition::READY).is_some_and(|ready| ready.status == "True");
        let sidecars_only = !enabled && !access.spec.gateway.enabled;
        let serves = rollout.available > 0 || (sidecars_only && was_ready);
        ready::suspended(serves, Some(&gateway).filter(|_| enabled))
    } else if enabled || result.error.is_some() {
        ready::summary(rollout, &gateway, &credentials, pods, result.error)
    } else {
        ready::without_gateway()
    };
    let sidecars = sidecars::verdict(result.validated, fleet);
    if result.validated.is_some() {
        status.sidecars = sidecars.as_ref().map(|(counts, _)| counts.clone());
    }
    let generation = access.metadata.generation;
    // What was said stays where the policies could not be asked.
    let keep = |type_: &str| {
        (type_ == condition::ACCEPTED && result.judgement.is_none())
            || (type_ == condition::MONITORED && result.suspended)
    };
    let mut verdicts = vec![
        (condition::READY, summary.ready),
        (condition::RECONCILING, summary.reconciling),
        (condition::STALLED, summary.stalled),
    ];
    if enabled {
        verdicts.push((condition::GATEWAY_AVAILABLE, gateway));
    }
    verdicts.push((condition::CREDENTIALS_READY, credentials));
    let roles = target_roles::verdict(result.validated, &all);
    verdicts.extend(roles.map(|verdict| (condition::TARGET_ROLES_READY, verdict)));
    if let Some((_, verdict)) = sidecars {
        verdicts.push((condition::SIDECARS_UP_TO_DATE, verdict));
    }
    if let Some(observed) = result.observed.filter(|_| enabled && !result.suspended) {
        let monitored = monitored::verdict(&access.spec.gateway, observed.pod_monitors_served);
        verdicts.extend(monitored.map(|verdict| (condition::MONITORED, verdict)));
    }
    if let Some(verdict) = result.judgement.and_then(accepted::verdict) {
        verdicts.push((condition::ACCEPTED, verdict));
    }
    let mut conditions: Vec<Condition> = verdicts
        .into_iter()
        .map(|(type_, verdict)| {
            let before = status
                .conditions
                .iter()
                .find(|before| before.type_ == type_);
            condition(type_, verdict, generation, before, now)
        })
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

/// The condition of a type in a status.
pub(crate) fn find<'a>(status: &'a BedrockAccessStatus, type_: &str) -> Option<&'a Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

fn condition(
    type_: &str,
    verdict: Verdict,
    generation: Option<i64>,
    before: Option<&Condition>,
    now: Timestamp,
) -> Condition {
    let state = verdict.state.as_str();
    let since = before
        .filter(|before| before.status == state)
        .map_or(Time(now), |before| before.last_transition_time.clone());
    let message = before
        .filter(|before| {
            before.reason == verdict.reason && same_meaning(&before.message, &verdict.message)
        })
        .map_or(verdict.message, |before| before.message.clone());
    Condition {
        type_: type_.to_owned(),
        status: state.to_owned(),
        reason: verdict.reason,
        message,
        observed_generation: generation,
        last_transition_time: since,
    }
}

/// Whether two messages differ in nothing but request ids: each try of the gateway's brings a new one.
fn same_meaning(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .filter(|word| !is_request_id(word))
            .map(ToOwned::to_owned)
            .collect()
    };
    one == other || words(one) == words(other)
}

/// A UUID, as AWS's request ids are.
fn is_request_id(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

impl State {
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
