//! Collects the contents of a support archive. Everything that cannot be read is noted.

use std::collections::BTreeSet;

use api::{
    names,
    v1alpha1::{self, BedrockAccess, gateway_name, policy::BedrockAccessPolicy},
};
use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        coordination::v1::Lease,
        core::v1::Pod,
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::Timestamp,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, LogParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Args, Files};
use crate::{
    check::{self, Installation},
    cluster::{Cluster, api_error, is_missing},
    read::{self, Endpoint},
    status::{self, AccessReport},
};

/// Collects everything into `files`.
pub(super) async fn collect(
    cluster: &Cluster,
    objects: Vec<BedrockAccess>,
    args: &Args,
    now: Timestamp,
    files: &mut Files,
) {
    versions(cluster, files).await;
    let endpoints = read::endpoints(cluster, objects).await;
    let reports: Vec<AccessReport> = endpoints
        .iter()
        .map(|endpoint| AccessReport::new(endpoint, now))
        .collect();
    files.add(
        "status.txt",
        &plain(|out| status::write_text(&reports, out)),
    );
    let checked = check::report(cluster, args.operator_namespace.as_deref()).await;
    files.add("check.txt", &plain(|out| checked.write_text(out)));
    for endpoint in &endpoints {
        of_endpoint(cluster, endpoint, args, files).await;
    }
    events(cluster, &endpoints, files).await;
    operator(cluster, args, files).await;
    let policies: Vec<BedrockAccessPolicy> = listed(
        Api::all(cluster.client.clone()),
        &ListParams::default(),
        files,
    )
    .await;
    files.add_objects("policies.yaml", &policies);
}

/// What a report writes, without colors.
fn plain(write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    // Memory does not fail.
    let _ = write(&mut out);
    String::from_utf8_lossy(&out.into_inner()).into_owned()
}

async fn versions(cluster: &Cluster, files: &mut Files) {
    let server = match cluster.client.apiserver_version().await {
        Ok(version) => version.git_version,
        Err(error) => format!("unknown: {}", api_error(&error)),
    };
    let versions = json!({"kubectlBedrock": env!("CARGO_PKG_VERSION"), "apiServer": server});
    files.add_objects("versions.yaml", &[versions]);
    let mut definitions = Vec::new();
    let api = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    for definition in v1alpha1::crds() {
        let name = definition.name_any();
        match api.get(&name).await {
            Ok(found) => {
                let versions = found.spec.versions.iter().map(|version| {
                    json!({"name": version.name, "served": version.served, "storage": version.storage})
                });
                definitions.push(json!({
                    "name": name,
                    "versions": versions.collect::<Vec<_>>(),
                    "conditions": found.status.and_then(|status| status.conditions),
                }));
            }
            Err(error) => files
                .not_read
                .push(format!("{name}: {}", api_error(&error))),
        }
    }
    files.add_objects("definitions.yaml", &definitions);
}

async fn of_endpoint(cluster: &Cluster, endpoint: &Endpoint, args: &Args, files: &mut Files) {
    let access = &endpoint.access;
    let namespace = access.namespace().unwrap_or_default();
    let directory = format!("bedrockaccesses/{namespace}/{}", access.name_any());
    files.add_objects(format!("{directory}/bedrockaccess.yaml"), &[access]);
    files.add_objects(format!("{directory}/owned.yaml"), &endpoint.owned);
    files.add_objects(format!("{directory}/pods.yaml"), &endpoint.pods);
    files.add_objects(format!("{directory}/sidecars.yaml"), &endpoint.sidecars);
    files.not_read.extend(endpoint.notes.iter().cloned());
    for pod in endpoint.pods.iter().chain(&endpoint.sidecars) {
        let directory = format!("{directory}/logs");
        logs(
            cluster,
            pod,
            names::GATEWAY_NAME,
            &directory,
            args.tail,
            files,
        )
        .await;
    }
}

/// The logs of a container, also of the one before its last restart.
async fn logs(
    cluster: &Cluster,
    pod: &Pod,
    container: &str,
    directory: &str,
    tail: u32,
    files: &mut Files,
) {
    let name = pod.name_any();
    let namespace = pod.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(cluster.client.clone(), &namespace);
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let mut all = containers.into_iter().chain(init).flatten();
    let found = all.find(|one| one.name == container);
    // A container that no kubelet has reported has no log.
    let Some(found) = found else {
        return;
    };
    for previous in [false, true] {
        if previous && found.restart_count == 0 {
            continue;
        }
        let parameters = LogParams {
            container: Some(container.to_owned()),
            previous,
            tail_lines: Some(i64::from(tail)),
            ..LogParams::default()
        };
        let suffix = if previous { "-previous" } else { "" };
        match api.logs(&name, &parameters).await {
            Ok(text) => files.add(format!("{directory}/{name}{suffix}.log"), &text),
            Err(error) => files.not_read.push(format!(
                "log of {namespace}/{name}{suffix}: {}",
                api_error(&error)
            )),
        }
    }
}

/// The Events about the objects of the endpoints.
async fn events(cluster: &Cluster, endpoints: &[Endpoint], files: &mut Files) {
    let namespace = |endpoint: &Endpoint| endpoint.access.namespace().unwrap_or_default();
    let namespaces: BTreeSet<String> = endpoints.iter().map(namespace).collect();
    for of_namespace in namespaces {
        let api = Api::<Event>::namespaced(cluster.client.clone(), &of_namespace);
        let events = listed(api, &ListParams::default(), files).await;
        for endpoint in endpoints
            .iter()
            .filter(|one| namespace(one) == of_namespace)
        {
            let name = endpoint.access.name_any();
            let gateway = gateway_name(&name);
            let sidecars: BTreeSet<String> = endpoint
                .sidecars
                .iter()
                .map(ResourceExt::name_any)
                .collect();
            let own = events.iter().filter(|event| {
                let about = event
                    .regarding
                    .as_ref()
                    .and_then(|about| about.name.clone());
                let about = about.unwrap_or_default();
                about == name || about.starts_with(&gateway) || sidecars.contains(&about)
            });
            let own: Vec<&Event> = own.collect();
            let file = format!("bedrockaccesses/{of_namespace}/{name}/events.yaml");
            files.add_objects(file, &own);
        }
    }
}

async fn operator(cluster: &Cluster, args: &Args, files: &mut Files) {
    let installation = Installation::find(cluster, args.operator_namespace.as_deref()).await;
    let namespace = &installation.namespace;
    let client = &cluster.client;
    files.not_read.extend(installation.problem.clone());
    if let Some(deployment) = &installation.deployment {
        files.add_objects("operator/deployment.yaml", &[deployment]);
        let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
        let labels = selector.and_then(|selector| selector.match_labels.clone());
        let labels: Vec<String> = labels
            .unwrap_or_default()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let selected = ListParams::default().labels(&labels.join(","));
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let pods = listed(pods, &selected, files).await;
        files.add_objects("operator/pods.yaml", &pods);
        for pod in &pods {
            logs(cluster, pod, "operator", "operator/logs", args.tail, files).await;
        }
    }
    let prefix = installation.prefix();
    let lease = Api::<Lease>::namespaced(client.clone(), namespace);
    one(
        lease,
        &format!("{prefix}-operator"),
        "operator/lease.yaml",
        files,
    )
    .await;
    let sidecar = Api::<MutatingWebhookConfiguration>::all(client.clone());
    one(
        sidecar,
        &format!("{prefix}-sidecar"),
        "operator/webhook-sidecar.yaml",
        files,
    )
    .await;
    let validation = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let file = "operator/webhook-validation.yaml";
    one(validation, &format!("{prefix}-validation"), file, files).await;
}

async fn one<K>(api: Api<K>, name: &str, file: &str, files: &mut Files)
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + serde::Serialize,
{
    match api.get(name).await {
        Ok(found) => files.add_objects(file, &[found]),
        Err(error) if is_missing(&error) => {}
        Err(error) => files
            .not_read
            .push(format!("{name}: {}", api_error(&error))),
    }
}

async fn listed<K>(api: Api<K>, parameters: &ListParams, files: &mut Files) -> Vec<K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    match api.list(parameters).await {
        Ok(list) => list.items,
        Err(error) => {
            let kind = K::plural(&K::DynamicType::default()).into_owned();
            files
                .not_read
                .push(format!("{kind}: {}", api_error(&error)));
            Vec::new()
        }
    }
}
