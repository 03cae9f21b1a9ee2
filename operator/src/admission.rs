//! Validates a `BedrockAccess` before the API server stores it.
//!
//! `kubectl apply` then reports immediately what a reconcile would report a moment later. Policies are enforced by each
//! reconcile as well, so an unavailable operator blocks no user who could create the gateway's pods directly. The
//! permissions of the author are known only here: for all other users the chart's webhook configuration fails closed
//! (ADR-0024). A ValidatingAdmissionPolicy is not sufficient: all of its parameters must allow a request, but of our
//! policies only one (ADR-0017).

use std::{fmt, time::Duration};

use api::v1alpha1::BedrockAccess;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    access::{
        models,
        observe::Observed,
        validate::{ValidateError, validate},
    },
    error_chain::error_chain,
    policy::{
        Policies,
        author::{Author, MissingPermissions, set_by_update},
        evaluate::{Denial, Evaluation},
        restricted::{Restricted, restricted},
    },
    settings::Settings,
};

/// Longest wait for caches or the API server; the webhook's own timeout is five seconds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most warnings about models of one object; the API server drops warnings beyond 4 KiB.
const MAX_WARNINGS: usize = 10;
/// Placeholder for values that the API server has not assigned yet.
const NOT_YET: &str = "not-yet";

/// Validates objects; shared by all requests.
pub(crate) struct Reviewer {
    pub(crate) client: Client,
    pub(crate) policies: Policies,
    pub(crate) settings: Settings,
}

/// Why a `BedrockAccess` is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessRefused {
    /// No policy allows it.
    #[error("{0}")]
    NotAllowed(Denial),
    /// The author lacks permissions that the spec requires.
    #[error("{0}")]
    MissingPermissions(MissingPermissions),
    /// The permissions of the author are unknown.
    #[error("failed to check the permissions of the author: {0}. Try again.")]
    Unknown(String),
    /// The spec is invalid.
    #[error("{0}")]
    Invalid(String),
}

impl AccessRefused {
    /// A stable word for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => api::v1alpha1::condition::REASON_NOT_ALLOWED,
            Self::MissingPermissions(_) => "MissingPermissions",
            Self::Unknown(_) => api::v1alpha1::condition::REASON_RETRYING,
            Self::Invalid(_) => api::v1alpha1::condition::REASON_INVALID_SPEC,
        }
    }

    /// The HTTP status of the refusal.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::NotAllowed(_) | Self::MissingPermissions(_) => 403,
            Self::Unknown(_) => 503,
            Self::Invalid(_) => 422,
        }
    }
}

impl Reviewer {
    /// Validates a new object, or an update of `before`, by an author.
    ///
    /// # Errors
    /// Why the object is rejected.
    pub(crate) async fn review(
        &self,
        namespace: &str,
        object: &Value,
        before: Option<&Value>,
        author: &Author,
    ) -> Result<(), AccessRefused> {
        if !requests_something_new(object, before) {
            return Ok(());
        }
        let mut access = BedrockAccess::deserialize(object)
            .map_err(|error| AccessRefused::Invalid(error.to_string()))?;
        let unruled = self.evaluate(namespace, &access).await?;
        let before = before.and_then(|before| BedrockAccess::deserialize(before).ok());
        let set = set_by_update(&unruled, before.as_ref());
        self.check_author(namespace, &set, author).await?;
        let metadata = &mut access.metadata;
        metadata.uid.get_or_insert_with(|| NOT_YET.to_owned());
        metadata.name.get_or_insert_with(|| NOT_YET.to_owned());
        metadata.namespace = Some(namespace.to_owned());
        // Objects that it refers to may be created later; only the object itself is validated.
        match validate(&access, &Observed::default(), &self.settings) {
            Err(error @ ValidateError::Invalid(_)) => {
                Err(AccessRefused::Invalid(error.to_string()))
            }
            Ok(_) | Err(ValidateError::NotFound(_) | ValidateError::ClusterKeys) => Ok(()),
        }
    }

    /// Warnings about models of an object that is admitted: what the status will report as `ModelsReady`.
    pub(crate) fn warnings(object: &Value, before: Option<&Value>) -> Vec<String> {
        if !requests_something_new(object, before) {
            return Vec::new();
        }
        let Ok(access) = BedrockAccess::deserialize(object) else {
            return Vec::new();
        };
        let mut remarks = models::check(&access.spec).remarks;
        let more = remarks.len().saturating_sub(MAX_WARNINGS);
        remarks.truncate(MAX_WARNINGS);
        let mut warnings: Vec<String> = remarks.into_iter().map(|one| one.text).collect();
        if more > 0 {
            warnings.push(format!("{more} more models: see the condition ModelsReady"));
        }
        warnings
    }

    /// The values that depend on the permissions of the author. If the policies are unknown, all restricted values.
    ///
    /// A cache may lag behind a namespace or policy that was just changed, so a denial is evaluated again without
    /// caches.
    async fn evaluate(
        &self,
        namespace: &str,
        access: &BedrockAccess,
    ) -> Result<Vec<Restricted>, AccessRefused> {
        let known = tokio::time::timeout(TIMEOUT, self.policies.wait_until_ready()).await;
        if !matches!(known, Ok(Ok(()))) {
            return Ok(restricted(&access.spec));
        }
        let cached = self.policies.evaluate(namespace, &access.spec);
        if let Ok(evaluation @ (Evaluation::Unrestricted { .. } | Evaluation::Allowed { .. })) =
            &cached
        {
            return Ok(evaluation.unruled().to_vec());
        }
        let uncached = self
            .policies
            .evaluate_uncached(&self.client, namespace, &access.spec);
        let evaluation = match tokio::time::timeout(TIMEOUT, uncached).await {
            Ok(Ok(evaluation)) => Ok(evaluation),
            Ok(Err(error)) => {
                tracing::warn!(%error, "failed to read policies; using the cached ones");
                cached
            }
            Err(_) => cached,
        };
        match evaluation {
            Ok(Evaluation::Denied(denial)) => Err(AccessRefused::NotAllowed(denial)),
            Ok(evaluation) => Ok(evaluation.unruled().to_vec()),
            Err(_) => Ok(restricted(&access.spec)),
        }
    }

    async fn check_author(
        &self,
        namespace: &str,
        values: &[Restricted],
        author: &Author,
    ) -> Result<(), AccessRefused> {
        if values.is_empty() {
            return Ok(());
        }
        let check = author.check(&self.client, namespace, values);
        match tokio::time::timeout(TIMEOUT, check).await {
            Ok(Ok(checked)) => checked.map_err(AccessRefused::MissingPermissions),
            Ok(Err(error)) => Err(AccessRefused::Unknown(error_chain(&error))),
            Err(_) => {
                let problem = "the API server does not respond";
                Err(AccessRefused::Unknown(problem.to_owned()))
            }
        }
    }
}

/// Whether a review is not of a deletion or a change of labels or finalizers.
fn requests_something_new(object: &Value, before: Option<&Value>) -> bool {
    let deleted = object.pointer("/metadata/deletionTimestamp").is_some();
    let same = before.is_some_and(|before| before.get("spec") == object.get("spec"));
    !deleted && !same
}

impl fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviewer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
