//! Validates a `BedrockAccess` before the API server stores it.
//!
//! `kubectl apply` then reports immediately what a reconcile would report a moment later. It is not the only
//! enforcement: the webhook's failure policy admits everything while no operator responds, and each reconcile evaluates
//! the policies again. A ValidatingAdmissionPolicy is not sufficient: all of its parameters must allow a request, but
//! of our policies only one (ADR-0017).

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
    policy::{
        Policies,
        evaluate::{Denial, Evaluation},
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
    /// The spec is invalid.
    #[error("{0}")]
    Invalid(String),
}

impl AccessRefused {
    /// A stable word for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => api::v1alpha1::condition::REASON_NOT_ALLOWED,
            Self::Invalid(_) => api::v1alpha1::condition::REASON_INVALID_SPEC,
        }
    }

    /// The HTTP status of the refusal.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::NotAllowed(_) => 403,
            Self::Invalid(_) => 422,
        }
    }
}

impl Reviewer {
    /// Validates a new object, or an update of `before`.
    ///
    /// # Errors
    /// Why the object is rejected.
    pub(crate) async fn review(
        &self,
        namespace: &str,
        object: &Value,
        before: Option<&Value>,
    ) -> Result<(), AccessRefused> {
        if !requests_something_new(object, before) {
            return Ok(());
        }
        let mut access = BedrockAccess::deserialize(object)
            .map_err(|error| AccessRefused::Invalid(error.to_string()))?;
        self.evaluate(namespace, &access).await?;
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

    /// A cache may lag behind a namespace or policy that was just changed, so a denial is evaluated again without
    /// caches.
    async fn evaluate(&self, namespace: &str, access: &BedrockAccess) -> Result<(), AccessRefused> {
        let known = tokio::time::timeout(TIMEOUT, self.policies.wait_until_ready()).await;
        if !matches!(known, Ok(Ok(()))) {
            return Ok(());
        }
        let cached = self.policies.evaluate(namespace, &access.spec);
        if matches!(
            cached,
            Ok(Evaluation::Unrestricted | Evaluation::Allowed { .. })
        ) {
            return Ok(());
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
            _ => Ok(()),
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{self, PolicyCaches, Scripted};

    const POLICIES: &str = "/apis/bedrockaccess.dev/v1alpha1/bedrockaccesspolicies";

    fn reviewer(api: &Scripted, policies: &PolicyCaches) -> Reviewer {
        Reviewer {
            client: api.client(),
            policies: policies.policies.clone(),
            settings: fixtures::settings(),
        }
    }

    /// An object before the API server assigns UID and resource version.
    fn object(more: &str) -> Value {
        let mut object = serde_json::to_value(fixtures::access(more)).unwrap();
        object["metadata"] = json!({"name": "chat", "namespace": "team-a"});
        object
    }

    /// Puts the namespace and one policy into the API server, without the cache.
    fn stored(api: &Scripted, regions: &str) {
        api.put(
            "/api/v1/namespaces/team-a",
            json!({"metadata": {"name": "team-a"}}),
        );
        let policy = json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccessPolicy",
            "metadata": {"name": "p"},
            "spec": {"namespaces": {"names": ["team-a"]}, "regions": [regions]},
        });
        api.put(
            POLICIES,
            json!({"apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccessPolicyList", "metadata": {}, "items": [policy]}),
        );
    }

    #[tokio::test]
    async fn valid_access_is_admitted_without_a_request_to_the_api_server() {
        let api = Scripted::default();
        let reviewer = reviewer(&api, &PolicyCaches::new(false));
        assert_eq!(reviewer.review("team-a", &object(""), None).await, Ok(()));
        let elsewhere = object("serviceAccount: {create: false, name: comes-later}");
        assert_eq!(reviewer.review("team-a", &elsewhere, None).await, Ok(()));
        assert!(api.requests().is_empty());
    }

    #[tokio::test]
    async fn error_that_the_schema_cannot_find_is_rejected_with_its_field() {
        let api = Scripted::default();
        let reviewer = reviewer(&api, &PolicyCaches::new(false));
        let wrong =
            object("identity: {irsa: {roleArn: 'arn:aws-cn:iam::123456789012:role/BedrockRole'}}");
        let refused = reviewer.review("team-a", &wrong, None).await.unwrap_err();
        assert_eq!((refused.reason(), refused.code()), ("InvalidSpec", 422));
        assert!(
            refused.to_string().contains("spec.identity.irsa.roleArn"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn denial_is_evaluated_again_without_caches_before_the_access_is_rejected() {
        let api = Scripted::default();
        let mut policies = PolicyCaches::new(false);
        policies.put("p", "{namespaces: {names: [team-a]}, regions: [eu-*]}");
        let reviewer = reviewer(&api, &policies);
        stored(&api, "us-*");
        assert_eq!(
            reviewer.review("team-a", &object(""), None).await,
            Ok(()),
            "the cache lagged behind"
        );
        stored(&api, "eu-*");
        let refused = reviewer
            .review("team-a", &object(""), None)
            .await
            .unwrap_err();
        assert_eq!((refused.reason(), refused.code()), ("NotAllowed", 403));
        assert!(refused.to_string().contains("spec.region"), "{refused}");
    }

    #[tokio::test]
    async fn namespace_missing_in_the_cache_is_looked_up() {
        let api = Scripted::default();
        let mut policies = PolicyCaches::new(false);
        policies.put("p", "{namespaces: {names: [team-z]}}");
        let reviewer = reviewer(&api, &policies);
        api.put(
            "/api/v1/namespaces/team-z",
            json!({"metadata": {"name": "team-z"}}),
        );
        api.put(POLICIES, json!({"metadata": {}, "items": []}));
        assert_eq!(reviewer.review("team-z", &object(""), None).await, Ok(()));
    }

    #[test]
    fn models_with_a_problem_are_warnings_that_fit_the_header() {
        let wrong = object(
            "{region: eu-central-1, models: [
                {name: a, modelId: 'us.amazon.nova-2-lite-v1:0'}, {name: b, modelId: 'anthropic.claude-3-hiaku-20240307-v1:0'},
                {name: c, modelId: 'amazon.titan-text-express-v1'}, {name: d, modelId: 'luma.ray-v2:0'}]}",
        );
        let warnings = Reviewer::warnings(&wrong, None);
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        assert!(
            warnings[0].contains("use eu.amazon.nova-2-lite-v1:0"),
            "{warnings:?}"
        );
        for warning in &warnings {
            assert!(warning.starts_with("spec.models["), "{warning}");
            assert!(
                warning.len() <= 256,
                "{} characters: {warning}",
                warning.len()
            );
        }
        assert_eq!(Reviewer::warnings(&object(""), None), Vec::<String>::new());
        let mut labelled = wrong.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(
            Reviewer::warnings(&labelled, Some(&wrong)),
            Vec::<String>::new()
        );
        let many: Vec<Value> = (0..14)
            .map(|n| json!({"name": format!("m{n}"), "modelId": "unknown.model"}))
            .collect();
        let mut crowded = wrong;
        crowded["spec"]["models"] = json!(many);
        let warnings = Reviewer::warnings(&crowded, None);
        assert_eq!(warnings.len(), 11);
        assert!(warnings[10].starts_with("4 more models"), "{warnings:?}");
    }

    #[tokio::test]
    async fn update_without_a_spec_change_is_never_rejected() {
        let api = Scripted::default();
        let mut policies = PolicyCaches::new(false);
        policies.put("p", "{namespaces: {names: [team-b]}}");
        let reviewer = reviewer(&api, &policies);
        let before = object("");
        let mut labelled = before.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(
            reviewer.review("team-a", &labelled, Some(&before)).await,
            Ok(())
        );
        let mut leaving = object("allow: ['*']");
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(
            reviewer.review("team-a", &leaving, Some(&before)).await,
            Ok(())
        );
        assert!(api.requests().is_empty());
    }
}
