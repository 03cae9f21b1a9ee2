//! `BedrockAccessPolicy`: what of accesses is allowed, and where that is known from.
//!
//! `asked` says what an access asks for, `judge` whether policies allow it, both pure; here are the caches they are
//! asked with, and the look at the API server where a cache may lag behind. What becomes of a denied access
//! is in `access/revoke.rs`.

mod asked;
pub(crate) mod judge;

use std::{fmt, sync::Arc};

use api::v1alpha1::{BedrockAccessSpec, policy::BedrockAccessPolicy};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, PartialObjectMeta},
};
use kube_runtime::reflector::{ObjectRef, Store, store::WriterDropped};
use tokio::sync::OnceCell;

use judge::{Judgement, Place, Policy, judge};

/// A policy as watched: one that does not parse allows nothing, and hides no other.
pub(crate) type GuardedPolicy = DeserializeGuard<BedrockAccessPolicy>;
/// A namespace as watched.
pub(crate) type NamespaceMetadata = PartialObjectMeta<Namespace>;

/// The policies and namespaces there are.
#[derive(Clone)]
pub(crate) struct Policies {
    present: Store<GuardedPolicy>,
    namespaces: Store<NamespaceMetadata>,
    /// Whether an access needs a policy also while there is none.
    required: bool,
    filled: Arc<OnceCell<()>>,
}

/// Why nothing can be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// The cache of namespaces does not know it yet.
    #[error("namespace {0} is not known yet, whose labels decide on the policies for it")]
    Namespace(String),
    /// The API server did not answer.
    #[error("unable to read the policies, or namespace {namespace}")]
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
    ) -> Self {
        Self {
            present,
            namespaces,
            required,
            filled: Arc::default(),
        }
    }

    /// Waits until both caches hold their first complete list: before that, nothing must be judged.
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

    /// Judges by the caches.
    ///
    /// # Errors
    /// When there are policies and the namespace is not known.
    pub(crate) fn judge(
        &self,
        namespace: &str,
        spec: &BedrockAccessSpec,
    ) -> Result<Judgement, PolicyError> {
        let policies = sorted(
            self.present
                .state()
                .iter()
                .map(|guarded| policy(guarded))
                .collect(),
        );
        let place = match self.namespaces.get(&ObjectRef::new(namespace)) {
            Some(found) => place(&found),
            // Labels matter to nobody.
            None if policies.is_empty() => Place {
                name: namespace.to_owned(),
                ..Place::default()
            },
            None => return Err(PolicyError::Namespace(namespace.to_owned())),
        };
        Ok(judge(spec, &place, &policies, self.required))
    }

    /// Judges by what the API server says now.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn judge_anew(
        &self,
        client: &Client,
        namespace: &str,
        spec: &BedrockAccessSpec,
    ) -> Result<Judgement, PolicyError> {
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
        Ok(judge(spec, &place(&found), &policies, self.required))
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

/// By name, so that the same policies give the same words.
fn sorted(mut policies: Vec<Policy>) -> Vec<Policy> {
    policies.sort_by(|one, other| one.name.cmp(&other.name));
    policies
}

fn place(namespace: &NamespaceMetadata) -> Place {
    Place {
        name: namespace.name_any(),
        labels: namespace.metadata.labels.clone().unwrap_or_default(),
    }
}

/// Keeps of a namespace what policies look at.
pub(crate) fn trim_namespace(namespace: &mut NamespaceMetadata) {
    namespace.metadata.managed_fields = None;
    namespace.metadata.annotations = None;
}

/// Keeps of a policy what is looked at.
pub(crate) fn trim_policy(guarded: &mut GuardedPolicy) {
    let metadata = match &mut guarded.0 {
        Ok(policy) => &mut policy.metadata,
        Err(invalid) => &mut invalid.metadata,
    };
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
