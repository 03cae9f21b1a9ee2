//! Drives the reconcile of one `BedrockAccess`: observe, validate, build, apply, status.
//!
//! Between the first two stands the judgement of the policies (`policy.rs`); what is denied is built all the same,
//! so that it serves nothing (`revoke.rs`).
//! Each step is a file of its own; validate, build and the computing of the status are pure. What goes
//! wrong with one object becomes its status and an Event, and never stops the others.

mod apply;
pub(crate) mod build;
mod events;
pub(crate) mod observe;
pub(crate) mod readiness;
mod revoke;
mod status;
mod suspend;
mod unparsable;
pub(crate) mod validate;
mod write;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::v1alpha1::{BedrockAccess, condition};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource, ResourceExt, core::DeserializeGuard};
use kube_runtime::{
    controller::Action,
    events::{Recorder, Reporter},
    reflector::store::WriterDropped,
};
use tracing::Instrument;

use self::{
    apply::{Applier, ApplyError, Outcome},
    build::BuildError,
    observe::{ObserveError, Observed},
    readiness::Readiness,
    validate::{ValidateError, Validated},
    write::Written,
};
use crate::{
    children::{ChildKind, Stores},
    cluster_keys::Keys,
    leader::Leadership,
    metrics::{self, Metrics},
    policy::{
        Policies, PolicyError,
        judge::{Denial, Judgement},
    },
    queue::Queue,
    retry::{self, Seed},
    settings::Settings,
};

/// An access as watched: one that does not parse does not hide the others.
pub(crate) type Guarded = DeserializeGuard<BedrockAccess>;

/// What every reconcile shares.
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

/// What the operator remembers of objects, by UID. Losing it costs time, never correctness.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    failures: Mutex<HashMap<String, u32>>,
    written: Mutex<HashMap<String, Written>>,
    seen: Mutex<HashMap<String, Seen>>,
    reconciles: AtomicU64,
}

/// What of an access matters, as a watch last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    generation: Option<i64>,
    /// Hash of the status.
    status: u64,
}

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The process is ending.
    #[error("a watch has ended")]
    Watch(#[source] WriterDropped),
    /// The object does not have the shape of a `BedrockAccess`.
    #[error("the object does not parse: {0}")]
    Unparsable(String),
    /// See [`ObserveError`].
    #[error(transparent)]
    Observe(ObserveError),
    /// See [`PolicyError`].
    #[error(transparent)]
    Policy(PolicyError),
    /// See [`Denial`].
    #[error("{0}")]
    Denied(Denial),
    /// See [`ValidateError`].
    #[error(transparent)]
    Validate(ValidateError),
    /// See [`BuildError`].
    #[error(transparent)]
    Build(BuildError),
    /// See [`ApplyError`].
    #[error(transparent)]
    Apply(ApplyError),
    /// The status could not be written.
    #[error("unable to write the status")]
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
            Self::Denied(_) => condition::REASON_NOT_ALLOWED,
            Self::Apply(ApplyError::Foreign { .. }) => condition::REASON_NAME_CONFLICT,
            Self::Apply(ApplyError::Refused { .. }) | Self::Build(_) => {
                condition::REASON_CHILD_REFUSED
            }
            Self::Watch(_)
            | Self::Observe(_)
            | Self::Policy(_)
            | Self::Apply(_)
            | Self::Status(_) => condition::REASON_RETRYING,
        }
    }

    /// Whether trying again cannot help before somebody changes something.
    pub(crate) fn needs_a_change(&self) -> bool {
        matches!(
            self,
            Self::Unparsable(_)
                | Self::Denied(_)
                | Self::Validate(ValidateError::Invalid(_))
                | Self::Build(_)
                | Self::Apply(ApplyError::Foreign { .. } | ApplyError::Refused { .. })
        )
    }

    /// Whether a watch will tell of the change that is needed: one of the object itself, or of the policies.
    fn waits_for_a_watch(&self) -> bool {
        matches!(
            self,
            Self::Unparsable(_)
                | Self::Denied(_)
                | Self::Validate(ValidateError::Invalid(_))
                | Self::Build(_)
        )
    }

    /// The error and what caused it, for people.
    pub(crate) fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = match cause.downcast_ref::<kube::Error>() {
                Some(kube::Error::Api(status)) => status.message.clone(),
                _ => cause.to_string(),
            };
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        text
    }
}

/// Brings one access to its declared state.
pub(crate) async fn reconcile(
    object: Arc<Guarded>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    context.queue.begin(&object);
    if !context.leadership.is_ours() {
        // Another replica sees to it; all accesses are looked at when that changes.
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
            unparsable::report(invalid, &context)
                .instrument(span.clone())
                .await
        }
    };
    let outcome = match &result {
        Ok(action) if *action == Action::await_change() => metrics::Outcome::Success,
        Ok(_) => metrics::Outcome::RequeueAfter,
        Err(_) => metrics::Outcome::Error,
    };
    let took = started.elapsed();
    context.metrics.ended(outcome, took);
    let _entered = span.enter();
    match &result {
        Ok(_) => tracing::debug!(seconds = took.as_secs_f64(), "reconciled"),
        Err(error) if error.needs_a_change() => {
            tracing::warn!(
                reason = error.reason(),
                error = error.explain(),
                "not reconciled"
            );
        }
        Err(error) => {
            tracing::error!(
                reason = error.reason(),
                error = error.explain(),
                "not reconciled"
            );
        }
    }
    result
}

/// When to try again after a failure: what waits for a change of the object waits for it, the rest
/// backs off.
#[expect(
    clippy::needless_pass_by_value,
    reason = "signature set by the controller"
)]
pub(crate) fn error_policy(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.failed(error.reason());
    if error.waits_for_a_watch() {
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
    context
        .stores
        .wait_until_ready()
        .await
        .map_err(Error::Watch)?;
    context
        .policies
        .wait_until_ready()
        .await
        .map_err(Error::Watch)?;
    if access.metadata.deletion_timestamp.is_some() {
        // Children go with their owner: the garbage collector sees to it.
        context.memory.forget(access.metadata.uid.as_deref());
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
        None => context.stores.child(
            ChildKind::Deployment,
            namespace,
            &api::v1alpha1::gateway_name(&access.name_any()),
        ),
    };
    let result = status::Result {
        validated: run.validated.as_ref(),
        observed: run.observed.as_ref(),
        judgement: run.judgement.as_ref(),
        deployment,
        suspended: run.suspended,
        error: error.as_ref(),
    };
    let status = write::status(access, context, &result).await?;
    if let Some(outcome) = &run.outcome {
        events::changes(access, context, outcome).await;
    }
    if let Some(error) = error {
        return Err(error);
    }
    context.memory.succeeded(access.metadata.uid.as_deref());
    Ok(next_look(&status, access, context))
}

/// What the steps came to, also when a later one failed.
#[derive(Debug, Default)]
struct Run {
    observed: Option<Observed>,
    judgement: Option<Judgement>,
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
    .await
    .map_err(Error::Observe)?;
    let observed = run.observed.insert(observed);
    let judgement = context
        .policies
        .judge(namespace, &access.spec)
        .map_err(Error::Policy)?;
    let mut denial = match run.judgement.insert(judgement) {
        Judgement::Denied(denial) => Some(denial.clone()),
        Judgement::Ungoverned | Judgement::Allowed { .. } => None,
    };
    if access.spec.suspend && denial.is_none() {
        if let Some(Judgement::Denied(running)) = suspend::denial(access, context)? {
            run.judgement = Some(Judgement::Denied(running.clone()));
            denial = Some(running);
        } else {
            // An invalid spec is reported after the suspension, when the operator would apply it.
            run.validated = validate::validate(access, observed, &context.settings).ok();
            run.suspended = true;
            return Ok(());
        }
    }
    let validated = match &denial {
        None => validate::validate(access, observed, &context.settings).map_err(Error::Validate)?,
        Some(denial) => {
            let Ok(validated) = revoke::validated(access, observed, &context.settings) else {
                revoke::withdraw(access, context).await?;
                return Err(Error::Denied(denial.clone()));
            };
            validated
        }
    };
    let validated = run.validated.insert(validated);
    let resources = build::build(validated).map_err(Error::Build)?;
    let applier = Applier {
        client: &context.client,
        stores: &context.stores,
        metrics: &context.metrics,
        access: validated,
    };
    let outcome = applier.apply(&resources).await.map_err(Error::Apply)?;
    run.outcome = Some(outcome);
    denial.map_or(Ok(()), |denial| Err(Error::Denied(denial)))
}

/// A settled access is looked at rarely; one that is on its way, or whose targets lack a role, more often, since what
/// its gateways say reaches no watch.
fn next_look(
    status: &api::v1alpha1::status::BedrockAccessStatus,
    access: &BedrockAccess,
    context: &Context,
) -> Action {
    let seed = context.seed.number((
        access.metadata.uid.as_deref(),
        &access.metadata.resource_version,
    ));
    let moving = status::find(status, condition::RECONCILING)
        .filter(|reconciling| reconciling.status == "True")
        .or_else(|| {
            status::find(status, condition::TARGET_ROLES_READY)
                .filter(|roles| roles.status != "True" && roles.reason != condition::REASON_NO_PODS)
        });
    let wait = match moving {
        None => retry::less_up_to_a_fifth(context.settings.resync, seed),
        Some(since) => {
            let age = Timestamp::now().duration_since(since.last_transition_time.0);
            retry::while_not_ready(Duration::try_from(age).unwrap_or_default(), seed)
        }
    };
    Action::requeue(wait)
}

impl Memory {
    fn failed(&self, uid: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn succeeded(&self, uid: Option<&str>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(uid.unwrap_or_default());
    }

    fn forget(&self, uid: Option<&str>) {
        self.succeeded(uid);
        self.written().remove(uid.unwrap_or_default());
    }

    /// Whether what a watch tells is more than the echo of our own status: a new spec, or a status that
    /// somebody else wrote, such as an operator that was late.
    pub(crate) fn is_news(&self, access: &Guarded) -> bool {
        let status = access
            .0
            .as_ref()
            .ok()
            .and_then(|access| access.status.as_ref());
        let now = Seen {
            generation: access.meta().generation,
            status: write::fingerprint(status),
        };
        let uid = access.uid().unwrap_or_default();
        let ours = self.written().get(&uid).map(Written::fingerprint);
        let before = self.seen().insert(uid, now);
        before.is_none_or(|before| {
            before.generation != now.generation
                || (before.status != now.status && ours != Some(now.status))
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn written(&self) -> std::sync::MutexGuard<'_, HashMap<String, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets every object that is no longer there, so that memory follows the objects.
    pub(crate) fn keep(&self, there: impl Fn(&str) -> bool) {
        self.written().retain(|uid, _| there(uid));
        self.seen().retain(|uid, _| there(uid));
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|uid, _| there(uid));
    }
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
