//! Reconciles one `BedrockAccess`: observe, validate, build, apply, status.
//!
//! After observe, the policies are evaluated (`policy.rs`). If they deny the object, its resources are still built, but
//! in a form that serves no requests (`revoke.rs`).
//! Each step is a file of its own; validate, build and the computation of the status are pure. An error of one object
//! becomes its status and an Event and never affects other objects.

mod apply;
pub(crate) mod build;
mod certify;
mod events;
mod memory;
pub(crate) mod models;
pub(crate) mod observe;
mod publish;
pub(crate) mod readiness;
mod revoke;
mod status;
mod suspend;
mod unparsable;
pub(crate) mod validate;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use api::v1alpha1::{BedrockAccess, condition};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt, core::DeserializeGuard};
use kube_runtime::{
    controller::Action,
    events::{Recorder, Reporter},
    reflector::store::WriterDropped,
};
use tracing::Instrument;

pub(crate) use self::memory::Memory;
use self::{
    apply::{Applier, ApplyError, Outcome},
    build::BuildError,
    certify::CertifyError,
    observe::{ObserveError, Observed},
    readiness::Readiness,
    validate::{CertificateSource, Tls, ValidateError, Validated},
};
use crate::{
    cluster_keys::Keys,
    error_chain::error_chain,
    leader::Leadership,
    metrics::Metrics,
    owned::{OwnedKind, Stores},
    policy::{
        Policies, PolicyError,
        evaluate::{Denial, Evaluation},
    },
    queue::Queue,
    retry::{self, Seed},
    settings::Settings,
};

/// A watched `BedrockAccess`: an object that does not parse does not hide the others.
pub(crate) type Guarded = DeserializeGuard<BedrockAccess>;

/// State that all reconciles share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) stores: Stores,
    pub(crate) policies: Policies,
    pub(crate) leadership: Leadership,
    pub(crate) keys: Keys,
    pub(crate) readiness: Box<dyn Readiness>,
    pub(crate) recorder: Recorder,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
    pub(crate) seed: Seed,
    pub(crate) memory: Arc<Memory>,
    pub(crate) queue: Arc<Queue>,
}

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The process is shutting down.
    #[error("a watch ended")]
    Watch(#[from] WriterDropped),
    /// The object does not match the schema of `BedrockAccess`.
    #[error("failed to parse the object: {0}")]
    Unparsable(String),
    /// See [`ObserveError`].
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// See [`PolicyError`].
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// See [`Denial`].
    #[error("{0}")]
    Denied(Denial),
    /// See [`ValidateError`].
    #[error(transparent)]
    Validate(#[from] ValidateError),
    /// See [`CertifyError`].
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// See [`BuildError`].
    #[error(transparent)]
    Build(#[from] BuildError),
    /// See [`ApplyError`].
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The status cannot be written.
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
}

impl Error {
    /// A stable word for metrics, conditions and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unparsable(_) | Self::Validate(ValidateError::Invalid(_)) => {
                condition::REASON_INVALID_SPEC
            }
            Self::Validate(ValidateError::NotFound(_)) => condition::REASON_REFERENCE_NOT_FOUND,
            Self::Validate(ValidateError::ClusterKeys) => {
                condition::REASON_CLUSTER_KEYS_UNAVAILABLE
            }
            Self::Denied(denial) => denial.reason(),
            Self::Apply(ApplyError::Foreign { .. }) | Self::Certify(CertifyError::Foreign) => {
                condition::REASON_NAME_CONFLICT
            }
            Self::Apply(ApplyError::Refused { .. }) | Self::Build(_) => {
                condition::REASON_CHILD_REFUSED
            }
            Self::Watch(_)
            | Self::Observe(_)
            | Self::Policy(_)
            | Self::Certify(_)
            | Self::Apply(_)
            | Self::Status(_) => condition::REASON_RETRYING,
        }
    }

    /// Whether retrying cannot help until the spec, a policy or a conflicting object changes.
    pub(crate) fn is_stalled(&self) -> bool {
        matches!(
            self,
            Self::Unparsable(_)
                | Self::Denied(_)
                | Self::Validate(ValidateError::Invalid(_))
                | Self::Build(_)
                | Self::Certify(CertifyError::Foreign)
                | Self::Apply(ApplyError::Foreign { .. } | ApplyError::Refused { .. })
        )
    }

    /// Whether a watch reports the required change: a change of the object itself, or of the policies.
    fn change_is_watched(&self) -> bool {
        matches!(
            self,
            Self::Unparsable(_)
                | Self::Denied(_)
                | Self::Validate(ValidateError::Invalid(_))
                | Self::Build(_)
        )
    }

    /// The error and its causes on one line.
    pub(crate) fn explain(&self) -> String {
        error_chain(self)
    }
}

/// Reconciles one `BedrockAccess`.
pub(crate) async fn reconcile(
    object: Arc<Guarded>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    context.queue.begin(&object);
    if !context.leadership.is_ours() {
        // Another replica reconciles it. When this replica becomes the leader, all objects are reconciled.
        return Ok(Action::await_change());
    }
    let id = context.memory.reconciles.fetch_add(1, Ordering::Relaxed);
    let span = tracing::info_span!(
        "reconcile",
        namespace = object.namespace().unwrap_or_default(),
        name = object.name_any(),
        reconcile_id = format!("{:08x}-{id}", context.seed.number("process") >> 32),
    );
    let started = tokio::time::Instant::now();
    let _active = context.metrics.begin();
    let result = match &object.0 {
        Ok(access) => one(access, &context).instrument(span.clone()).await,
        Err(invalid) => {
            unparsable::report(&object, invalid, &context)
                .instrument(span.clone())
                .await
        }
    };
    let outcome = match &result {
        Ok(action) if *action == Action::await_change() => "success",
        Ok(_) => "requeue_after",
        Err(_) => "error",
    };
    let took = started.elapsed();
    context.metrics.ended(outcome, took);
    let _entered = span.enter();
    match &result {
        Ok(_) => tracing::debug!(seconds = took.as_secs_f64(), "reconciled"),
        Err(error) if error.is_stalled() => {
            tracing::warn!(
                reason = error.reason(),
                error = error.explain(),
                "reconcile failed"
            );
        }
        Err(error) => {
            tracing::error!(
                reason = error.reason(),
                error = error.explain(),
                "reconcile failed"
            );
        }
    }
    result
}

/// When to retry after a failure: with backoff, unless a watch reports the required change.
#[expect(
    clippy::needless_pass_by_value,
    reason = "signature set by the controller"
)]
pub(crate) fn error_policy(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.failed(error.reason());
    if error.change_is_watched() {
        return Action::await_change();
    }
    let uid = object.uid().unwrap_or_default();
    let failures = context.memory.failed(&uid);
    Action::requeue(retry::after_failures(
        failures,
        context.seed.number((uid, failures)),
    ))
}

async fn one(access: &BedrockAccess, context: &Context) -> Result<Action, Error> {
    context.stores.wait_until_ready().await?;
    context.policies.wait_until_ready().await?;
    let uid = access.uid().unwrap_or_default();
    if access.metadata.deletion_timestamp.is_some() {
        // The garbage collector deletes the owned objects.
        context.memory.forget(&uid);
        return Ok(Action::await_change());
    }
    let mut run = Run::default();
    let error = steps(access, context, &mut run).await.err();
    let namespace = access.metadata.namespace.as_deref().unwrap_or_default();
    let deployment = match &run.outcome {
        Some(outcome) => outcome
            .resources
            .deployment
            .as_ref()
            .map(|applied| Arc::clone(&applied.object)),
        None => context.stores.owned_object(
            OwnedKind::Deployment,
            namespace,
            &api::v1alpha1::gateway_name(&access.name_any()),
        ),
    };
    let result = status::Result {
        validated: run.validated.as_ref(),
        observed: run.observed.as_ref(),
        evaluation: run.evaluation.as_ref(),
        deployment,
        related: status::Related::of(&context.stores, namespace, &access.name_any()),
        suspended: run.suspended,
        error: error.as_ref(),
    };
    let status = publish::status(access, context, &result).await?;
    if let Some(observed) = &run.observed {
        publish::send_shares(access, context, observed, &status.budget_shares).await;
    }
    if let Some(outcome) = &run.outcome {
        events::changes(access, context, outcome).await;
    }
    if let Some(error) = error {
        return Err(error);
    }
    context.memory.succeeded(&uid);
    Ok(requeue(&status, access, context))
}

/// Results of the steps, also if a later step failed.
#[derive(Debug, Default)]
struct Run {
    observed: Option<Observed>,
    evaluation: Option<Evaluation>,
    validated: Option<Validated>,
    /// Whether `spec.suspend` ended the steps before the first write.
    suspended: bool,
    outcome: Option<Outcome>,
}

async fn steps(access: &BedrockAccess, context: &Context, run: &mut Run) -> Result<(), Error> {
    let namespace = access.metadata.namespace.as_deref().unwrap_or_default();
    let keys = context.keys.borrow().clone();
    let observed = observe::observe(
        &context.client,
        &context.stores,
        keys,
        context.readiness.as_ref(),
        namespace,
        access,
    )
    .await?;
    let observed = run.observed.insert(observed);
    let evaluation = context.policies.evaluate_existing(access)?;
    let mut denial = match run.evaluation.insert(evaluation) {
        Evaluation::Denied(denial) => Some(denial.clone()),
        Evaluation::Unrestricted { .. }
        | Evaluation::Allowed { .. }
        | Evaluation::AcceptedEarlier { .. } => None,
    };
    if access.spec.suspend && denial.is_none() {
        if let Some(Evaluation::Denied(running)) = suspend::denial(access, context)? {
            run.evaluation = Some(Evaluation::Denied(running.clone()));
            denial = Some(running);
        } else {
            // An invalid spec is reported after the suspension, when the operator would apply it.
            run.validated = validate::validate(access, observed, &context.settings).ok();
            run.suspended = true;
            return Ok(());
        }
    }
    let validated = match &denial {
        None => validate::validate(access, observed, &context.settings)?,
        Some(denial) => {
            let Ok(validated) = revoke::validated(access, observed, &context.settings) else {
                revoke::withdraw(access, context).await?;
                return Err(Error::Denied(denial.clone()));
            };
            validated
        }
    };
    let validated = run.validated.insert(validated);
    let made = certify::keep(validated, context).await?;
    if let Some(Tls {
        source: CertificateSource::Own { authorities },
        ..
    }) = &mut validated.tls
    {
        *authorities = made;
    }
    let resources = build::build(validated)?;
    let applier = Applier {
        client: &context.client,
        stores: &context.stores,
        metrics: &context.metrics,
        access: validated,
    };
    let outcome = applier.apply(&resources).await?;
    run.outcome = Some(outcome);
    denial.map_or(Ok(()), |denial| Err(Error::Denied(denial)))
}

/// Longest time until shares of budgets are renewed.
const SHARES_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time until an ejected target is in the status.
const TARGETS_INTERVAL: Duration = Duration::from_mins(2);
/// Longest time until new spend is in the status, while gateways are used.
const USAGE_INTERVAL: Duration = Duration::from_mins(2);
/// Time after the last change of the spend in which gateways count as used.
const USED_FOR: Duration = Duration::from_mins(10);

/// Delay of the next reconcile: short while the object is not settled, a target role has no credentials or a target is
/// ejected, since no watch reports what gateways say; otherwise the resync interval, or less with several targets or while
/// gateways are used.
fn requeue(
    status: &api::v1alpha1::status::BedrockAccessStatus,
    access: &BedrockAccess,
    context: &Context,
) -> Action {
    let seed = context.seed.number((
        access.metadata.uid.as_deref(),
        &access.metadata.resource_version,
    ));
    let find = |type_| status::find(status, type_);
    let targets = find(condition::TARGETS_HEALTHY);
    let unsettled = find(condition::RECONCILING)
        .filter(|reconciling| reconciling.status == "True")
        .or_else(|| {
            find(condition::TARGET_ROLES_READY)
                .filter(|roles| roles.status != "True" && roles.reason != condition::REASON_NO_PODS)
        })
        .or(targets.filter(|targets| targets.status == "False"));
    let longest = targets.map_or(Duration::MAX, |_| TARGETS_INTERVAL);
    let is_used = status.usage.as_ref().is_some_and(|usage| {
        let age = Timestamp::now().duration_since(usage.updated_at.0);
        Duration::try_from(age).is_ok_and(|age| age < USED_FOR)
    });
    let longest = if is_used {
        longest.min(USAGE_INTERVAL)
    } else {
        longest
    };
    let longest = if validate::budgets::need_shares(&access.spec) {
        longest.min(SHARES_INTERVAL)
    } else {
        longest
    };
    let longest = context.settings.resync.min(longest);
    let wait = match unsettled {
        None => retry::less_up_to_a_fifth(longest, seed),
        Some(since) => {
            let age = Timestamp::now().duration_since(since.last_transition_time.0);
            retry::while_not_ready(Duration::try_from(age).unwrap_or_default(), seed)
        }
    };
    Action::requeue(wait)
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
