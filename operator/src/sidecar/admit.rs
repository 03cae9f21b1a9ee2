//! Decides whether a pod may have the sidecar it asks for, and which one.
//!
//! Looks into the cache, and asks the API server before it refuses: an access that was made or changed
//! a moment ago must not cost a pod.

use std::{fmt, time::Duration};

use api::{names, v1alpha1::BedrockAccess};
use kube::{Api, Client, core::DeserializeGuard};
use kube_runtime::reflector::{ObjectRef, Store};
use ring::rand::SecureRandom;

use super::{
    inject::inject,
    pod::{Operation, Pod, patch},
    refused::Refused,
    template::{Template, template},
};
use crate::{
    access::{
        Guarded,
        observe::Observed,
        validate::{Validated, validate},
    },
    cluster_keys::Keys,
    policy::{Policies, PolicyError, judge::Judgement},
    settings::Settings,
};

/// Longest wait for the API server; the webhook itself has five seconds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Names of other accesses that a refusal shows at most.
const SHOWN: usize = 5;
/// Set on what a kubelet shows of a pod that it runs by itself; nothing can change that pod any more.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// What becomes of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Admission {
    /// What makes the pod with the sidecar of the one that came.
    pub(crate) patch: Vec<Operation>,
    /// For whoever made the pod.
    pub(crate) warnings: Vec<String>,
}

/// Decides; shared by all requests.
pub(crate) struct Admitter {
    pub(crate) client: Client,
    pub(crate) accesses: Store<Guarded>,
    pub(crate) keys: Keys,
    pub(crate) policies: Policies,
    pub(crate) settings: Settings,
}

impl Admitter {
    /// Decides on a pod that is to be made.
    ///
    /// # Errors
    /// Why it may not be.
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
                    "label {}: a static pod gets no sidecar",
                    names::INJECT_LABEL
                )],
            });
        }
        // Before the policies are known nothing is allowed by them, or by their absence.
        let known = tokio::time::timeout(TIMEOUT, self.policies.wait_until_ready()).await;
        if !matches!(known, Ok(Ok(()))) {
            return Err(Refused::Unknown {
                namespace: namespace.to_owned(),
                access: name.clone(),
                problem: "the operator has not read the policies yet".to_owned(),
            });
        }
        let cached = self
            .accesses
            .get(&ObjectRef::new(name).within(namespace))
            .and_then(|guarded| guarded.0.as_ref().ok().cloned());
        if let Some(access) = cached {
            match self.with(&access, namespace, name, pod) {
                Err(refused) if refused.rests_on_the_access() => {}
                decided => return decided,
            }
        }
        let access = self.look(namespace, name).await?;
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

    /// The sidecar of an access, for this pod's ServiceAccount.
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
        match self.policies.judge(&namespace, &access.spec) {
            Ok(Judgement::Ungoverned | Judgement::Allowed { .. }) => {}
            Ok(Judgement::Denied(denial)) => {
                return Err(Refused::NotAccepted {
                    namespace,
                    access: access_name,
                    message: denial.to_string(),
                });
            }
            Err(error) => return Err(unjudged(namespace, access_name, &error)),
        }
        let observed = Observed {
            cluster_keys: self.keys.borrow().clone(),
            ..Observed::default()
        };
        let validated: Validated =
            validate(access, &observed, &self.settings).map_err(|error| Refused::Unusable {
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

    async fn look(&self, namespace: &str, name: &str) -> Result<BedrockAccess, Refused> {
        let unknown = |problem: String| Refused::Unknown {
            namespace: namespace.to_owned(),
            access: name.to_owned(),
            problem,
        };
        let accesses: Api<DeserializeGuard<BedrockAccess>> =
            Api::namespaced(self.client.clone(), namespace);
        let found = tokio::time::timeout(TIMEOUT, accesses.get_opt(name))
            .await
            .map_err(|_elapsed| unknown("the API server does not answer".to_owned()))?
            .map_err(|error| unknown(error.to_string()))?;
        match found {
            Some(guarded) => guarded.0.map_err(|invalid| Refused::Unusable {
                namespace: namespace.to_owned(),
                access: name.to_owned(),
                problem: invalid.error,
            }),
            None => Err(Refused::NoAccess {
                namespace: namespace.to_owned(),
                access: name.to_owned(),
                others: self.others(namespace),
            }),
        }
    }

    fn others(&self, namespace: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .accesses
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

/// Nobody knows yet whether a policy allows it.
fn unjudged(namespace: String, access: String, error: &PolicyError) -> Refused {
    Refused::Unknown {
        namespace,
        access,
        problem: error.to_string(),
    }
}

/// 128 random bits in hexadecimal: a key for one pod.
fn new_key() -> Result<String, Refused> {
    let mut bytes = [0_u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Refused::NoRandomness)?;
    Ok(bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

#[cfg(test)]
mod tests;
