//! The objects that make CoreDNS, a process of the node, look like the DNS Service of any other cluster.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::NODE_ADDRESS;
use super::node::DNS_SERVICE;
use crate::{Error, Result};

/// The usual name of that Service.
const NAME: &str = "kube-dns";

/// Creates the Service, its endpoint and what CoreDNS may read.
pub(super) async fn apply(client: &Client) -> Result<()> {
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    let ports = json!([
        { "name": "dns", "protocol": "UDP", "port": 53 },
        { "name": "dns-tcp", "protocol": "TCP", "port": 53 },
    ]);
    create(
        &services,
        json!({
            "metadata": { "name": NAME, "labels": { "k8s-app": NAME, "kubernetes.io/name": "CoreDNS" } },
            "spec": { "clusterIP": DNS_SERVICE, "ports": ports },
        }),
    )
    .await?;
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "kube-system");
    create(
        &slices,
        json!({
            "metadata": { "name": NAME, "labels": { "kubernetes.io/service-name": NAME } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [NODE_ADDRESS], "conditions": { "ready": true } }],
            "ports": ports,
        }),
    )
    .await?;
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let read = json!(["list", "watch"]);
    create(
        &roles,
        json!({
            "metadata": { "name": "localcluster-coredns" },
            "rules": [
                { "apiGroups": [""], "resources": ["namespaces", "pods", "services"], "verbs": read },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read },
            ],
        }),
    )
    .await?;
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    create(
        &bindings,
        json!({
            "metadata": { "name": "localcluster-coredns" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "localcluster-coredns",
            },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "localcluster-coredns" }],
        }),
    )
    .await
}

async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let kind = K::kind(&()).into_owned();
    let object = serde_json::from_value(object).map_err(|error| Error::Unexpected {
        what: format!("a {kind}"),
        detail: error.to_string(),
    })?;
    api.create(&PostParams::default(), &object)
        .await
        .map(|_| ())
        .map_err(Error::api(format!(
            "create the {kind} of the cluster's DNS"
        )))
}
