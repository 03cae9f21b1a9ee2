//! Decides whether a pod may have the sidecar that its label names, and builds the patch.
//!
//! Uses the cache, and reads from the API server before it rejects a pod: a `BedrockAccess` that was just created or
//! changed must not cause a rejection.

use std::{fmt, time::Duration};

use api::{names, v1alpha1::BedrockAccess};
use kube::{Api, Client, core::DeserializeGuard};
use kube_runtime::reflector::{ObjectRef, Store};
use ring::rand::SecureRandom;

use super::{
    inject::inject,
    pod::{Operation, Pod, patch},
    refused::Refused,
};
use crate::{
    access::{
        Guarded,
        build::sidecar::{Template, template},
        observe::Observed,
        validate::{Validated, validate},
    },
    cluster_keys::Keys,
    policy::{Policies, evaluate::Evaluation},
    settings::Settings,
};

/// Longest wait for the API server; the webhook's own timeout is five seconds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of other names in a rejection.
const SHOWN: usize = 5;
/// Annotation of a mirror pod, which represents a static pod of a kubelet. Static pods cannot be changed.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The decision on a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Admission {
    /// Adds the sidecar to the pod; empty if the pod stays unchanged.
    pub(crate) patch: Vec<Operation>,
    /// Warnings for the user who created the pod.
    pub(crate) warnings: Vec<String>,
}

/// Decides on pods; shared by all requests.
pub(crate) struct Admitter {
    pub(crate) client: Client,
    pub(crate) access_store: Store<Guarded>,
    pub(crate) keys: Keys,
    pub(crate) policies: Policies,
    pub(crate) settings: Settings,
}

impl Admitter {
    /// Decides on a new pod.
    ///
    /// # Errors
    /// Why the pod is rejected.
    pub(crate) async fn admit(&self, namespace: &str, pod: &Pod) -> Result<Admission, Refused> {
        let Some(name) = pod.metadata.labels.get(names::INJECT_LABEL) else {
            return Ok(Admission::default());
        };
        if name == "false" {
            return Ok(Admission::default());
        }
        if name.is_empty() {
            return Err(Refused::Nameless {
                namespace: namespace.to_owned(),
            });
        }
        if pod.annotation(MIRROR_ANNOTATION).is_some() {
            return Ok(Admission {
                patch: Vec::new(),
                warnings: vec![format!(
                    "label {}: static pods cannot have a sidecar",
                    names::INJECT_LABEL
                )],
            });
        }
        // Until the policies are known, nothing is allowed.
        let known = tokio::time::timeout(TIMEOUT, self.policies.wait_until_ready()).await;
        if !matches!(known, Ok(Ok(()))) {
            let problem = "the policies have not been read yet";
            return Err(Refused::unknown(namespace, name, problem));
        }
        let cached = self
            .access_store
            .get(&ObjectRef::new(name).within(namespace))
            .and_then(|guarded| guarded.0.as_ref().ok().cloned());
        if let Some(access) = cached {
            match self.with(&access, namespace, name, pod) {
                Err(refused) if refused.depends_on_the_access() => {}
                decided => return decided,
            }
        }
        let access = self.look_up(namespace, name).await?;
        self.with(&access, namespace, name, pod)
    }

    fn with(
        &self,
        access: &BedrockAccess,
        namespace: &str,
        name: &str,
        pod: &Pod,
    ) -> Result<Admission, Refused> {
        let template = self.template(access, namespace, name, pod)?;
        let mut after = pod.clone();
        let warnings = inject(&mut after, &template, &new_key)?;
        Ok(Admission {
            patch: patch(pod, &after),
            warnings,
        })
    }

    /// The sidecar of a `BedrockAccess`, if this pod's ServiceAccount may use it.
    fn template(
        &self,
        access: &BedrockAccess,
        namespace: &str,
        name: &str,
        pod: &Pod,
    ) -> Result<Template, Refused> {
        let account = pod.spec.service_account_name.as_deref();
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let (namespace, access_name) = (namespace.to_owned(), name.to_owned());
        match self.policies.evaluate_existing(access) {
            Ok(
                Evaluation::Unrestricted { .. }
                | Evaluation::Allowed { .. }
                | Evaluation::AcceptedEarlier { .. },
            ) => {}
            Ok(Evaluation::Denied(denial)) => {
                return Err(Refused::NotAccepted {
                    namespace,
                    access: access_name,
                    message: denial.to_string(),
                });
            }
            Err(error) => return Err(Refused::unknown(&namespace, name, error)),
        }
        let observed = Observed {
            cluster_keys: self.keys.borrow().clone(),
            ..Observed::default()
        };
        let validated: Validated =
            validate(access, &observed, &self.settings).map_err(|error| Refused::Invalid {
                namespace: namespace.clone(),
                access: access_name.clone(),
                problem: error.to_string(),
            })?;
        let Some((sidecar, template)) = validated.sidecar.as_ref().zip(template(&validated)) else {
            return Err(Refused::NoSidecars {
                namespace,
                access: access_name,
                account: account.to_owned(),
            });
        };
        if !sidecar.service_accounts.contains(account) {
            return Err(Refused::ServiceAccount {
                namespace,
                access: access_name,
                account: account.to_owned(),
                allowed: sidecar.service_accounts.iter().cloned().collect(),
            });
        }
        Ok(template)
    }

    async fn look_up(&self, namespace: &str, name: &str) -> Result<BedrockAccess, Refused> {
        let access_store: Api<DeserializeGuard<BedrockAccess>> =
            Api::namespaced(self.client.clone(), namespace);
        let found = tokio::time::timeout(TIMEOUT, access_store.get_opt(name))
            .await
            .map_err(|_| Refused::unknown(namespace, name, "the API server does not respond"))?
            .map_err(|error| Refused::unknown(namespace, name, error))?;
        match found {
            Some(guarded) => guarded.0.map_err(|invalid| Refused::Invalid {
                namespace: namespace.to_owned(),
                access: name.to_owned(),
                problem: invalid.error,
            }),
            None => Err(Refused::NotFound {
                namespace: namespace.to_owned(),
                access: name.to_owned(),
                others: self.others(namespace),
            }),
        }
    }

    fn others(&self, namespace: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .access_store
            .state()
            .iter()
            .filter_map(|guarded| guarded.0.as_ref().ok())
            .filter(|access| access.metadata.namespace.as_deref() == Some(namespace))
            .filter_map(|access| access.metadata.name.clone())
            .collect();
        names.sort();
        names.truncate(SHOWN);
        names
    }
}

impl fmt::Debug for Admitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitter").finish_non_exhaustive()
    }
}

/// A key for one pod: 128 random bits in hexadecimal.
fn new_key() -> Result<String, Refused> {
    let mut bytes = [0_u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Refused::NoRandomness)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests;
