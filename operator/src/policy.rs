//! `BedrockAccessPolicy`: which `BedrockAccess` objects are allowed.
//!
//! `request` extracts what an object requests, `restricted` the values that require permissions of their author, and
//! `evaluate` decides whether policies allow the object, all pure. `author` checks the permissions at admission. This file
//! contains the caches of policies and namespaces, the reads from the API server if a cache may lag behind, and the
//! decision of a reconcile, which does not know the author. `access/revoke.rs` handles denied objects.

pub(crate) mod author;
pub(crate) mod evaluate;
mod request;
pub(crate) mod restricted;

use std::{fmt, sync::Arc};

use api::v1alpha1::{BedrockAccess, BedrockAccessSpec, policy::BedrockAccessPolicy};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, PartialObjectMeta},
};
use kube_runtime::reflector::{ObjectRef, Store, store::WriterDropped};
use tokio::sync::OnceCell;

use evaluate::{Denial, Evaluation, NamespaceInfo, Policy, evaluate};
use restricted::restricted;

/// A watched policy: one that does not parse allows nothing and does not hide the others.
pub(crate) type GuardedPolicy = DeserializeGuard<BedrockAccessPolicy>;
/// A watched namespace.
pub(crate) type NamespaceMetadata = PartialObjectMeta<Namespace>;

/// The policies and namespaces of the cluster.
#[derive(Clone)]
pub(crate) struct Policies {
    present: Store<GuardedPolicy>,
    namespaces: Store<NamespaceMetadata>,
    /// Whether a `BedrockAccess` needs a policy even if the cluster has none.
    required: bool,
    /// Whether the validation webhook checks the authors of all `BedrockAccess` objects.
    authors_verified: bool,
    filled: Arc<OnceCell<()>>,
}

/// Why the policies cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// The cache does not contain the namespace yet.
    #[error("namespace {0} is not in the cache yet; its labels are needed to select policies")]
    Namespace(String),
    /// The API server returned an error.
    #[error("failed to read policies or namespace {namespace}")]
    Read {
        namespace: String,
        source: kube::Error,
    },
}

impl Policies {
    pub(crate) fn new(
        present: Store<GuardedPolicy>,
        namespaces: Store<NamespaceMetadata>,
        required: bool,
        authors_verified: bool,
    ) -> Self {
        Self {
            present,
            namespaces,
            required,
            authors_verified,
            filled: Arc::default(),
        }
    }

    /// Waits until both caches contain their first complete list. Before that, nothing may be evaluated.
    ///
    /// # Errors
    /// When a watch has ended, which happens only on shutdown.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.filled
            .get_or_try_init(|| async {
                self.present.wait_until_ready().await?;
                self.namespaces.wait_until_ready().await
            })
            .await
            .copied()
    }

    /// Evaluates the cached policies for an existing object, and whether its restricted values are accepted: a reconcile
    /// does not know who set them.
    ///
    /// # Errors
    /// When the cluster has policies and the namespace is not in the cache.
    pub(crate) fn evaluate_existing(
        &self,
        access: &BedrockAccess,
    ) -> Result<Evaluation, PolicyError> {
        let namespace = access.metadata.namespace.as_deref().unwrap_or_default();
        let evaluation = self.evaluate(namespace, &access.spec)?;
        Ok(self.accept(access, namespace, evaluation))
    }

    /// Denies restricted values that no admission request has verified. Without the validation webhook, only values that
    /// were accepted before remain so, until the spec changes. A denial for this reason remains as well, even if the
    /// webhook is enabled later, because the webhook has not seen the spec.
    fn accept(
        &self,
        access: &BedrockAccess,
        namespace: &str,
        evaluation: Evaluation,
    ) -> Evaluation {
        let values = match &evaluation {
            Evaluation::Denied(_) => restricted(&access.spec),
            _ => evaluation.unruled().to_vec(),
        };
        let generation = access.metadata.generation;
        let refused = author::refusal(access)
            .is_some_and(|condition| condition.observed_generation == generation);
        if values.is_empty() || (self.authors_verified && !refused) {
            return evaluation;
        }
        let observed = access.status.as_ref();
        let observed = observed.and_then(|status| status.observed_generation);
        let accepted = !refused && observed.is_some() && observed == generation;
        match evaluation {
            // Accepted values of a denied object were verified by an earlier operator.
            Evaluation::Denied(denial) if accepted => Evaluation::Denied(denial),
            Evaluation::Unrestricted { unruled } if accepted => Evaluation::AcceptedEarlier {
                policy: None,
                unruled,
            },
            Evaluation::Allowed { policy, unruled } if accepted => Evaluation::AcceptedEarlier {
                policy: Some(policy),
                unruled,
            },
            other => Evaluation::Denied(Denial::UnknownAuthor {
                namespace: namespace.to_owned(),
                values,
                policies: match other {
                    Evaluation::Denied(denial) => Some(Box::new(denial)),
                    _ => None,
                },
            }),
        }
    }

    /// Evaluates the cached policies.
    ///
    /// # Errors
    /// When the cluster has policies and the namespace is not in the cache.
    pub(crate) fn evaluate(
        &self,
        namespace: &str,
        spec: &BedrockAccessSpec,
    ) -> Result<Evaluation, PolicyError> {
        let policies = sorted(
            self.present
                .state()
                .iter()
                .map(|guarded| policy(guarded))
                .collect(),
        );
        let namespace_info = match self.namespaces.get(&ObjectRef::new(namespace)) {
            Some(found) => namespace_info(&found),
            // Without policies, labels do not matter.
            None if policies.is_empty() => NamespaceInfo {
                name: namespace.to_owned(),
                ..NamespaceInfo::default()
            },
            None => return Err(PolicyError::Namespace(namespace.to_owned())),
        };
        Ok(evaluate(spec, &namespace_info, &policies, self.required))
    }

    /// Names of the cached policies that apply to a namespace. A policy that does not parse applies to every namespace.
    pub(crate) fn applying(&self, namespace: &str) -> Vec<String> {
        let found = self.namespaces.get(&ObjectRef::new(namespace));
        let info = found
            .map(|found| namespace_info(&found))
            .unwrap_or_default();
        let policies = self.present.state();
        let applying = policies.iter().filter(|guarded| match &guarded.0 {
            Ok(policy) => policy.spec.namespaces.include(namespace, &info.labels),
            Err(_) => true,
        });
        let mut names: Vec<String> = applying.map(|policy| policy.name_any()).collect();
        names.sort();
        names
    }

    /// Evaluates the policies as the API server returns them now.
    ///
    /// # Errors
    /// When a request fails.
    pub(crate) async fn evaluate_uncached(
        &self,
        client: &Client,
        namespace: &str,
        spec: &BedrockAccessSpec,
    ) -> Result<Evaluation, PolicyError> {
        let failed = |source| PolicyError::Read {
            namespace: namespace.to_owned(),
            source,
        };
        let namespaces = Api::<NamespaceMetadata>::all(client.clone());
        let found = namespaces.get(namespace).await.map_err(failed)?;
        let policies = Api::<GuardedPolicy>::all(client.clone());
        let listed = policies
            .list(&ListParams::default())
            .await
            .map_err(failed)?;
        let policies = sorted(listed.items.iter().map(policy).collect());
        Ok(evaluate(
            spec,
            &namespace_info(&found),
            &policies,
            self.required,
        ))
    }
}

fn policy(guarded: &GuardedPolicy) -> Policy {
    Policy {
        name: guarded.name_any(),
        spec: match &guarded.0 {
            Ok(policy) => Ok(policy.spec.clone()),
            Err(invalid) => Err(invalid.error.clone()),
        },
    }
}

/// By name, so that the same policies always give the same message.
fn sorted(mut policies: Vec<Policy>) -> Vec<Policy> {
    policies.sort_by(|one, other| one.name.cmp(&other.name));
    policies
}

fn namespace_info(namespace: &NamespaceMetadata) -> NamespaceInfo {
    NamespaceInfo {
        name: namespace.name_any(),
        labels: namespace.metadata.labels.clone().unwrap_or_default(),
    }
}

/// Removes the parts of a namespace that policies do not need.
pub(crate) fn trim_namespace(namespace: &mut NamespaceMetadata) {
    namespace.metadata.managed_fields = None;
    namespace.metadata.annotations = None;
}

/// Removes the parts of a policy that are not needed.
pub(crate) fn trim_policy(guarded: &mut GuardedPolicy) {
    let metadata = guarded.meta_mut();
    metadata.managed_fields = None;
    metadata.annotations = None;
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
