//! The operator: its Deployment, its version, and the leader.

use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease},
    jiff::Timestamp,
};
use kube::{Api, ResourceExt};

use super::{
    installation::Installation,
    report::{Line, Section},
};
use crate::cluster::{Cluster, api_error, is_missing};

/// Name of the operator's container.
const CONTAINER: &str = "operator";

pub(super) async fn check(
    cluster: &Cluster,
    installation: &Installation,
    now: Timestamp,
) -> Section {
    let mut section = Section::new("operator");
    let namespace = &installation.namespace;
    match (&installation.deployment, &installation.problem) {
        (Some(deployment), _) => {
            section.add(ready(deployment, namespace));
            section.add(version(deployment));
        }
        (None, Some(problem)) => section.add(Line::warning(
            format!("not checked: {problem}"),
            "use a user who can list Deployments, or --operator-namespace NAMESPACE",
        )),
        (None, None) => section.add(Line::error(
            "no Deployment of the operator exists",
            "install the operator: `helm install bedrock-access charts/bedrock-access --namespace bedrock-access-system --create-namespace`",
        )),
    }
    if installation.others > 0 {
        section.add(Line::ok(format!(
            "{} further operators in other namespaces: use --operator-namespace to check them",
            installation.others
        )));
    }
    if installation.has("--leader-elect") == Some(false) {
        section.add(Line::ok("leader election is disabled"));
        return section;
    }
    let name = format!("{}-operator", installation.prefix());
    let leases = Api::<Lease>::namespaced(cluster.client.clone(), namespace);
    section.add(match leases.get(&name).await {
        Ok(lease) => leader(&lease, now),
        Err(error) if is_missing(&error) => Line::error(
            format!("no leader: the Lease {namespace}/{name} does not exist"),
            "start the operator; its log shows why it does not become the leader",
        ),
        Err(error) => Line::warning(
            format!("leader: not checked: {}", api_error(&error)),
            format!("use a user who can read Leases in namespace {namespace}"),
        ),
    });
    section
}

fn ready(deployment: &Deployment, namespace: &str) -> Line {
    let name = deployment.name_any();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let wanted = wanted.unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or(0);
    let text = format!("Deployment {namespace}/{name}: {ready} of {wanted} pods are ready");
    if wanted > 0 && ready >= wanted {
        Line::ok(text)
    } else if ready > 0 {
        let fix = format!("kubectl -n {namespace} describe deployment {name}");
        Line::warning(text, fix)
    } else {
        let fix =
            format!("kubectl -n {namespace} logs deployment/{name}, and `describe` for its pods");
        Line::error(text, fix)
    }
}

/// Compares the tag of the image with the version of this program.
fn version(deployment: &Deployment) -> Line {
    let own = env!("CARGO_PKG_VERSION");
    let spec = deployment.spec.as_ref();
    let spec = spec.and_then(|spec| spec.template.spec.as_ref());
    let containers = spec
        .map(|spec| spec.containers.as_slice())
        .unwrap_or_default();
    let container = containers.iter().find(|one| one.name == CONTAINER);
    let image = container.and_then(|one| one.image.as_deref());
    let Some(image) = image else {
        return Line::warning(
            format!("the Deployment has no container {CONTAINER}"),
            "install the chart of this release",
        );
    };
    let untagged = image.split_once('@').map_or(image, |(name, _)| name);
    let file = untagged.rsplit('/').next().unwrap_or_default();
    match file.split_once(':') {
        Some((_, tag)) if tag == own => Line::ok(format!("version {own}, as this program")),
        Some((_, tag)) if tag.starts_with(|c: char| c.is_ascii_digit()) => Line::warning(
            format!("the operator has version {tag}, this program {own}"),
            "use the kubectl plugin of the operator's release",
        ),
        _ => Line::ok(format!("image {image}")),
    }
}

/// Whether a replica leads, by the Lease.
pub(super) fn leader(lease: &Lease, now: Timestamp) -> Line {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let Some(holder) = holder else {
        return Line::error(
            "no leader: the last one has released the Lease",
            "start the operator; its log shows why it does not become the leader",
        );
    };
    let renewed = spec.renew_time.map(|time| time.0.as_second());
    let since = renewed.map(|renewed| now.as_second().saturating_sub(renewed));
    let lasts = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    match since {
        Some(since) if since > lasts.saturating_mul(2) => Line::error(
            format!("the leader {holder} has not renewed its Lease for {since} s"),
            "check the operator's pods, and whether they reach the API server; another replica takes over by itself",
        ),
        Some(since) => Line::ok(format!("leader {holder}, renewed {} s ago", since.max(0))),
        None => Line::ok(format!("leader {holder}")),
    }
}
