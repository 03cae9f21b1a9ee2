//! Whether an access may be made or changed, asked by the API server before it is stored.
//!
//! It says at `kubectl apply` what a reconcile would say a moment later, and decides nothing alone: the webhook's
//! failure policy lets everything through while no operator answers, and each reconcile judges again. A
//! ValidatingAdmissionPolicy cannot do it: several of its parameters all have to allow, and of our policies one
//! (ADR-0017).

use std::{fmt, time::Duration};

use api::v1alpha1::BedrockAccess;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    access::{
        observe::Observed,
        validate::{ValidateError, validate},
    },
    policy::{
        Policies,
        judge::{Denial, Judgement},
    },
    settings::Settings,
};

/// Longest wait for caches or the API server; the webhook itself has five seconds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Stands for what the API server has not chosen yet.
const NOT_YET: &str = "not-yet";

/// Decides; shared by all requests.
pub(crate) struct Reviewer {
    pub(crate) client: Client,
    pub(crate) policies: Policies,
    pub(crate) settings: Settings,
}

/// Why an access may not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessRefused {
    /// No policy allows it.
    #[error("{0}")]
    NotAllowed(Denial),
    /// It could not be used.
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
    /// Decides on an access that is to be stored in place of another, or of none.
    ///
    /// # Errors
    /// Why it may not be.
    pub(crate) async fn review(
        &self,
        namespace: &str,
        object: &Value,
        before: Option<&Value>,
    ) -> Result<(), AccessRefused> {
        let leaving = object.pointer("/metadata/deletionTimestamp").is_some();
        // Whoever labels it, or takes its finalizers away, asks for nothing new.
        let same = before.is_some_and(|before| before.get("spec") == object.get("spec"));
        if leaving || same {
            return Ok(());
        }
        let mut access = BedrockAccess::deserialize(object)
            .map_err(|error| AccessRefused::Invalid(error.to_string()))?;
        self.judge(namespace, &access).await?;
        let metadata = &mut access.metadata;
        metadata.uid.get_or_insert_with(|| NOT_YET.to_owned());
        metadata.name.get_or_insert_with(|| NOT_YET.to_owned());
        metadata.namespace = Some(namespace.to_owned());
        // What is missing around it may come later; only the object itself is looked at.
        match validate(&access, &Observed::default(), &self.settings) {
            Err(error @ ValidateError::Invalid(_)) => {
                Err(AccessRefused::Invalid(error.to_string()))
            }
            Ok(_) | Err(ValidateError::NotFound(_) | ValidateError::ClusterKeys) => Ok(()),
        }
    }

    /// A cache may lag behind a namespace or a policy of a moment ago, so a refusal is looked at again.
    async fn judge(&self, namespace: &str, access: &BedrockAccess) -> Result<(), AccessRefused> {
        let known = tokio::time::timeout(TIMEOUT, self.policies.wait_until_ready()).await;
        if !matches!(known, Ok(Ok(()))) {
            return Ok(());
        }
        let cached = self.policies.judge(namespace, &access.spec);
        if matches!(
            cached,
            Ok(Judgement::Ungoverned | Judgement::Allowed { .. })
        ) {
            return Ok(());
        }
        let look = self
            .policies
            .judge_anew(&self.client, namespace, &access.spec);
        let judgement = match tokio::time::timeout(TIMEOUT, look).await {
            Ok(Ok(judgement)) => Ok(judgement),
            Ok(Err(error)) => {
                tracing::warn!(%error, "judges by what was known before");
                cached
            }
            Err(_) => cached,
        };
        match judgement {
            Ok(Judgement::Denied(denial)) => Err(AccessRefused::NotAllowed(denial)),
            _ => Ok(()),
        }
    }
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

    /// What the API server would store: it has chosen neither UID nor version.
    fn object(more: &str) -> Value {
        let mut object = serde_json::to_value(fixtures::access(more)).unwrap();
        object["metadata"] = json!({"name": "chat", "namespace": "team-a"});
        object
    }

    /// The API server as somebody sees it who does not wait for a cache.
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
    async fn access_that_can_be_used_is_stored_without_a_question_to_the_api_server() {
        let api = Scripted::default();
        let reviewer = reviewer(&api, &PolicyCaches::new(false));
        assert_eq!(reviewer.review("team-a", &object(""), None).await, Ok(()));
        let elsewhere = object("serviceAccount: {create: false, name: comes-later}");
        assert_eq!(reviewer.review("team-a", &elsewhere, None).await, Ok(()));
        assert!(api.asked().is_empty());
    }

    #[tokio::test]
    async fn what_the_schema_cannot_tell_is_refused_naming_the_field() {
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
    async fn denied_access_is_looked_at_again_before_it_is_refused() {
        let api = Scripted::default();
        let mut policies = PolicyCaches::new(false);
        policies.put("p", "{namespaces: {names: [team-a]}, regions: [eu-*]}");
        let reviewer = reviewer(&api, &policies);
        stored(&api, "us-*");
        assert_eq!(
            reviewer.review("team-a", &object(""), None).await,
            Ok(()),
            "the cache was behind"
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
    async fn access_of_a_namespace_made_a_moment_ago_is_looked_up() {
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

    #[tokio::test]
    async fn change_that_leaves_the_spec_alone_is_never_refused() {
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
        assert!(api.asked().is_empty());
    }
}
