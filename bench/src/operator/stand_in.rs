//! Reports the pods of every gateway Deployment as available, in place of its controller.

use api::names;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use kube_runtime::{WatchStreamExt, watcher};
use serde_json::json;

const AT_ONCE: usize = 8;

/// Runs until the process ends.
pub(super) fn start(client: Client) {
    let config = watcher::Config::default().labels(names::ACCESS_LABEL);
    let watch = watcher(Api::<Deployment>::all(client.clone()), config)
        .default_backoff()
        .applied_objects();
    tokio::spawn(watch.for_each_concurrent(AT_ONCE, move |deployment| {
        let client = client.clone();
        async move {
            let Ok(deployment) = deployment else { return };
            if let Err(error) = mark(&client, &deployment).await {
                eprintln!("the stand-in: {error}");
            }
        }
    }));
}

async fn mark(client: &Client, deployment: &Deployment) -> kube::Result<()> {
    let seen = deployment
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    if seen >= deployment.metadata.generation {
        return Ok(());
    }
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let status = json!({"status": {
        "observedGeneration": deployment.metadata.generation,
        "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
    }});
    let namespace = deployment.namespace().unwrap_or_default();
    Api::<Deployment>::namespaced(client.clone(), &namespace)
        .patch_status(
            &deployment.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&status),
        )
        .await
        .map(drop)
}
