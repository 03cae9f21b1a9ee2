//! The webhooks: their configurations have a CA, their Service has endpoints, and they reject what they must reject.
//!
//! A probe is a dry run of an object that the webhook rejects. The API server verifies the webhook's certificate for it, so a
//! rejection by the webhook shows that name, certificate and network are right.

use api::{names, v1alpha1::BedrockAccess};
use k8s_openapi::api::{
    admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    core::v1::Pod,
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;

use super::{
    installation::Installation,
    report::{Line, Section},
};
use crate::cluster::{Cluster, api_error, is_missing};

/// Name of the objects of probes, which are never stored.
const PROBE: &str = "kubectl-bedrock-check";

pub(super) async fn check(cluster: &Cluster, installation: &Installation) -> Section {
    let mut section = Section::new("webhooks");
    if installation.has("--webhook-address") == Some(false) {
        section.add(Line::ok("the webhooks are disabled"));
        return section;
    }
    let prefix = installation.prefix();
    let sidecar = sidecar(cluster, &format!("{prefix}-sidecar")).await;
    let validation = validation(cluster, &format!("{prefix}-validation")).await;
    let configured = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.fix.is_none());
    let probes = (configured(&sidecar), configured(&validation));
    if sidecar.is_none() && validation.is_none() {
        section.add(Line::warning(
            format!("no webhook configuration {prefix}-sidecar or {prefix}-validation exists"),
            "set sidecar.enabled and admission.enabled in the chart, unless you need neither",
        ));
        return section;
    }
    for line in sidecar.into_iter().chain(validation) {
        section.add(line);
    }
    section.add(endpoints(cluster, installation, &format!("{prefix}-webhook")).await);
    let namespace = namespace(cluster, installation);
    if probes.0 {
        section.add(probe_sidecar(cluster, &namespace).await);
    }
    if probes.1 {
        section.add(probe_validation(cluster, &namespace).await);
    }
    section
}

/// A namespace that the webhooks apply to.
fn namespace(cluster: &Cluster, installation: &Installation) -> String {
    let watched = installation.watched();
    if watched.is_empty() || watched.contains(&cluster.namespace) {
        return cluster.namespace.clone();
    }
    watched.into_iter().next().unwrap_or_default()
}

async fn sidecar(cluster: &Cluster, name: &str) -> Option<Line> {
    let api = Api::<MutatingWebhookConfiguration>::all(cluster.client.clone());
    let found = api.get(name).await.map(|found| found.webhooks);
    checked(name, found, |webhook| webhook.client_config)
}

async fn validation(cluster: &Cluster, name: &str) -> Option<Line> {
    let api = Api::<ValidatingWebhookConfiguration>::all(cluster.client.clone());
    let found = api.get(name).await.map(|found| found.webhooks);
    checked(name, found, |webhook| webhook.client_config)
}

/// The authorities of the webhooks of a configuration; none if it does not exist.
fn checked<W>(
    name: &str,
    found: kube::Result<Option<Vec<W>>>,
    config: impl Fn(W) -> WebhookClientConfig,
) -> Option<Line> {
    match found {
        Ok(webhooks) => {
            let webhooks = webhooks.unwrap_or_default().into_iter();
            Some(authority(name, &webhooks.map(config).collect::<Vec<_>>()))
        }
        Err(error) if is_missing(&error) => None,
        Err(error) => Some(not_read(name, &error)),
    }
}

fn not_read(name: &str, error: &kube::Error) -> Line {
    Line::warning(
        format!("{name}: not checked: {}", api_error(error)),
        "use a user who can read webhook configurations",
    )
}

fn authority(name: &str, configs: &[WebhookClientConfig]) -> Line {
    let has_authority = |config: &WebhookClientConfig| {
        config
            .ca_bundle
            .as_ref()
            .is_some_and(|bundle| !bundle.0.is_empty())
    };
    if !configs.is_empty() && configs.iter().all(has_authority) {
        Line::ok(format!("{name} has the CA of the webhook"))
    } else {
        Line::error(
            format!("{name} has no CA, so the API server cannot call the webhook"),
            "the operator or cert-manager sets caBundle: check the operator's log, or the Certificate of the webhook",
        )
    }
}

async fn endpoints(cluster: &Cluster, installation: &Installation, service: &str) -> Line {
    let namespace = &installation.namespace;
    let api = Api::<EndpointSlice>::namespaced(cluster.client.clone(), namespace);
    let selected = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = match api.list(&selected).await {
        Ok(slices) => slices.items,
        Err(error) => {
            return Line::warning(
                format!(
                    "Service {namespace}/{service}: not checked: {}",
                    api_error(&error)
                ),
                format!("use a user who can list EndpointSlices in namespace {namespace}"),
            );
        }
    };
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let ready = endpoints.filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready) != Some(false)
    });
    match ready.count() {
        0 => Line::error(
            format!("Service {namespace}/{service} has no ready endpoints"),
            "start the operator: labelled pods and objects of users without further permissions are rejected until then",
        ),
        count => Line::ok(format!(
            "Service {namespace}/{service} has {count} ready endpoints"
        )),
    }
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

/// Creates a BedrockAccess with an invalid ARN, which only the webhook finds.
async fn probe_validation(cluster: &Cluster, namespace: &str) -> Line {
    let object = json!({
        "apiVersion": format!("{}/{}", names::GROUP, names::VERSION), "kind": "BedrockAccess",
        "metadata": {"name": PROBE},
        "spec": {
            "region": "us-east-1",
            "identity": {"podIdentity": {}},
            "models": [{"name": "probe", "modelId": "arn:probe"}],
            "clients": {"serviceAccounts": [{"name": "probe"}]},
        },
    });
    let object: BedrockAccess = match serde_json::from_value(object) {
        Ok(object) => object,
        Err(error) => {
            return Line::warning(format!("not checked: {error}"), "report this as a bug");
        }
    };
    let api = Api::<BedrockAccess>::namespaced(cluster.client.clone(), namespace);
    let created = api.create(&dry_run(), &object).await;
    probed("validation", names::GROUP, created.err())
}

/// Creates a pod with the label of a BedrockAccess that does not exist.
async fn probe_sidecar(cluster: &Cluster, namespace: &str) -> Line {
    let pod = json!({
        "metadata": {"name": PROBE, "labels": {names::INJECT_LABEL: PROBE}},
        "spec": {"containers": [{
            "name": "probe", "image": "probe",
            "securityContext": {
                "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            },
        }]},
    });
    let pod: Pod = match serde_json::from_value(pod) {
        Ok(pod) => pod,
        Err(error) => {
            return Line::warning(format!("not checked: {error}"), "report this as a bug");
        }
    };
    let api = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
    let created = api.create(&dry_run(), &pod).await;
    probed("sidecar", names::SIDECAR_WEBHOOK, created.err())
}

/// What the response to a probe shows about a webhook.
pub(super) fn probed(name: &str, webhook: &str, error: Option<kube::Error>) -> Line {
    const FIX: &str = "check that the API server reaches port 9443 of the operator's pods (security groups, NetworkPolicy), that they are ready, and their log";
    let Some(error) = error else {
        return Line::error(
            format!(
                "the {name} webhook does not respond: an object that it must reject was admitted"
            ),
            FIX,
        );
    };
    let message = api_error(&error);
    let by_webhook = message.contains("admission webhook") && message.contains(webhook);
    if by_webhook && message.contains("denied the request") {
        Line::ok(format!("the {name} webhook responds"))
    } else if message.contains("failed calling webhook") {
        Line::error(
            format!("the {name} webhook does not respond: {message}"),
            FIX,
        )
    } else {
        Line::warning(
            format!("the {name} webhook was not probed: {message}"),
            "use a user and a namespace (-n) in which you can create Pods and BedrockAccess objects",
        )
    }
}
