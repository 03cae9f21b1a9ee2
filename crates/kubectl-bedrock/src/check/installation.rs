//! Finds the operator's Deployment and reads from its arguments what the installation contains.

use api::names;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt, api::ListParams};

use crate::cluster::{Cluster, api_error};

/// Labels of the operator's Deployment.
const SELECTOR: &str =
    "app.kubernetes.io/part-of=bedrock-access,app.kubernetes.io/component=operator";
/// Namespace in the documentation, if no Deployment is found.
const NAMESPACE: &str = "bedrock-access-system";

/// The installation, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    pub(crate) namespace: String,
    pub(crate) deployment: Option<Deployment>,
    /// Why the Deployment is unknown.
    pub(crate) problem: Option<String>,
    /// Number of further operators in the cluster.
    pub(crate) others: usize,
}

impl Installation {
    pub(crate) async fn find(cluster: &Cluster, namespace: Option<&str>) -> Self {
        let api = match namespace {
            Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
            None => Api::<Deployment>::all(cluster.client.clone()),
        };
        let labelled = ListParams::default().labels(SELECTOR);
        let (mut found, problem) = match api.list(&labelled).await {
            Ok(list) => (list.items, None),
            Err(error) => (Vec::new(), Some(api_error(&error))),
        };
        let others = found.len().saturating_sub(1);
        let deployment = (!found.is_empty()).then(|| found.swap_remove(0));
        let of_deployment = deployment.as_ref().and_then(ResourceExt::namespace);
        Self {
            namespace: of_deployment.unwrap_or_else(|| namespace.unwrap_or(NAMESPACE).to_owned()),
            deployment,
            problem,
            others,
        }
    }

    /// Prefix of the names of Lease, Service and webhook configurations.
    pub(crate) fn prefix(&self) -> String {
        let prefix = self.value("--installation-name");
        prefix.unwrap_or_else(|| names::INSTALLATION.to_owned())
    }

    /// The ServiceAccount of the operator.
    pub(crate) fn service_account(&self) -> String {
        let spec = self.deployment.as_ref().and_then(|one| one.spec.as_ref());
        let spec = spec.and_then(|spec| spec.template.spec.as_ref());
        let named = spec.and_then(|spec| spec.service_account_name.clone());
        named.unwrap_or_else(|| format!("{}-operator", self.prefix()))
    }

    /// The namespaces that the operator watches; empty for all.
    pub(crate) fn watched(&self) -> Vec<String> {
        let list = self.value("--namespaces").unwrap_or_default();
        let names = list.split(',').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }

    /// Whether the operator has this flag; `None` if the Deployment is unknown.
    pub(crate) fn has(&self, flag: &str) -> Option<bool> {
        self.deployment.as_ref()?;
        let with_value = format!("{flag}=");
        let arguments = self.arguments();
        Some(
            arguments
                .iter()
                .any(|one| *one == flag || one.starts_with(&with_value)),
        )
    }

    fn value(&self, flag: &str) -> Option<String> {
        let arguments = self.arguments();
        let mut values = arguments.iter().filter_map(|one| one.strip_prefix(flag));
        values.find_map(|rest| rest.strip_prefix('=').map(str::to_owned))
    }

    fn arguments(&self) -> Vec<&str> {
        let spec = self.deployment.as_ref().and_then(|one| one.spec.as_ref());
        let spec = spec.and_then(|spec| spec.template.spec.as_ref());
        let containers = spec.map(|spec| spec.containers.as_slice());
        let arguments = containers.into_iter().flatten().flat_map(|one| &one.args);
        arguments.flatten().map(String::as_str).collect()
    }
}
