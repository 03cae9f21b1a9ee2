//! Least privilege: the API server refuses no request of the operator, and the operator uses every granted permission.
//!
//! The operator runs with exactly the chart's roles and uses all of its features. The API server's audit log has its
//! requests, the rendered chart its permissions.

use std::{collections::BTreeSet, time::Duration};

use api::{names, v1alpha1::BedrockAccess};
use k8s_openapi::{
    api::{
        admissionregistration::v1::ValidatingWebhookConfiguration,
        autoscaling::v2::HorizontalPodAutoscaler, core::v1::ServiceAccount,
        networking::v1::NetworkPolicy,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use operator::Rotation;
use serde_json::json;

use super::oracle::{self, CHILDREN};
use crate::{
    api_tier::{
        admission,
        policies::{put, remove},
        rig::{Rig, TEAM, sample_spec},
        sidecar::rig::SidecarRig,
    },
    support::eventually,
};

const CHILD: &str = "full-gateway";

/// Permissions used so far; an apply that created its object needs `create` as well.
fn used(rig: &Rig) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for request in rig.operator_requests() {
        assert_ne!(
            request.code, 403,
            "{} {} is refused",
            request.verb, request.uri
        );
        let path = request.uri.split('?').next().unwrap_or_default();
        let what = match request.resource.as_str() {
            "" => path,
            resource => resource,
        };
        used.insert(format!("{} {what}", request.verb));
        // With an older API server this is a list, which needs the verb.
        if request.verb == "watch" && request.uri.contains("sendInitialEvents=true") {
            used.insert(format!("list {what}"));
        }
        if request.verb == "patch" && request.code == 201 {
            used.insert(format!("create {what}"));
        }
    }
    used
}

/// Waits until a child contains `wanted`, or until it does not exist.
async fn waits_for<K>(rig: &Rig, wanted: Option<&str>)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let what = format!("{} holds {wanted:?}", K::kind(&K::DynamicType::default()));
    eventually(&what, || async {
        let found = rig.api::<K>().get_opt(CHILD).await;
        let found = found.map_err(|error| error.to_string())?;
        let text = found.as_ref().map(|found| json!(found).to_string());
        let as_wanted = match (wanted, &text) {
            (None, None) => true,
            (Some(wanted), Some(text)) => text.contains(wanted),
            _ => false,
        };
        as_wanted.then_some(()).ok_or_else(|| format!("{text:?}"))
    })
    .await;
}

/// Creates a BedrockAccess that does not parse; before, the definition is changed to accept anything, as an older one might.
///
/// The validation webhook, which would reject it, is removed.
async fn put_one_that_does_not_parse(rig: &Rig) {
    Api::<ValidatingWebhookConfiguration>::all(rig.client.clone())
        .delete(names::VALIDATION_CONFIGURATION, &DeleteParams::default())
        .await
        .unwrap();
    let definitions = Api::<CustomResourceDefinition>::all(rig.client.clone());
    let name = "bedrockaccesses.bedrockaccess.dev";
    let mut definition = definitions.get(name).await.unwrap();
    for version in &mut definition.spec.versions {
        let anything = json!({"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        }});
        version.schema = Some(serde_json::from_value(anything).unwrap());
    }
    definitions
        .replace(name, &PostParams::default(), &definition)
        .await
        .unwrap();
    eventually("an invalid BedrockAccess is accepted", || async {
        let taken = rig.apply("senseless", &json!({"region": 5})).await;
        // As expected, the response does not parse.
        match taken {
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            _ => Ok(()),
        }
    })
    .await;
}

/// The operator does not see a child without its label until it tries to create the child again.
async fn lose_their_labels(rig: &Rig) {
    for (_, _, kind, _) in CHILDREN {
        let children = oracle::api(&rig.client, TEAM, kind);
        let unlabelled = json!({"metadata": {"labels": {names::ACCESS_LABEL: null}}});
        let by_hand = PatchParams::default();
        children
            .patch(CHILD, &by_hand, &Patch::Merge(&unlabelled))
            .await
            .unwrap();
        eventually(&format!("{kind} is labelled again"), || async {
            let child = children
                .get(CHILD)
                .await
                .map_err(|error| error.to_string())?;
            let labelled = child.labels().contains_key(names::ACCESS_LABEL);
            labelled
                .then_some(())
                .ok_or_else(|| format!("{:?}", child.labels()))
        })
        .await;
    }
}

/// Lets the validation webhook reject an object, which reads the namespace, and then check an author.
async fn review_a_denied_one(rig: &Rig) {
    let europe = json!({"namespaces": {"names": [TEAM]}, "regions": ["eu-*"]});
    put(rig, "europe", &europe).await.unwrap();
    let mut spec = sample_spec();
    spec["gateway"] = json!({"podAnnotations": {"a": "b"}});
    let object = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
        "metadata": {"name": "denied"}, "spec": spec,
    });
    let object = serde_json::from_value(object).unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let objects = rig.api::<BedrockAccess>();
    eventually("the webhook rejects", || async {
        let created = objects.create(&dry_run, &object).await;
        created.err().map(drop).ok_or_else(|| "admitted".to_owned())
    })
    .await;
    remove(rig, "europe").await;
    eventually("the webhook admits", || async {
        let created = objects.create(&dry_run, &object).await;
        created.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_that_the_chart_grants_is_used_and_none_is_missing() {
    let rotation = Rotation {
        authority: Duration::from_secs(30),
        certificate: Duration::from_secs(15),
        overlap: Duration::from_secs(1),
        check: Duration::from_secs(1),
    };
    let mut sidecars = SidecarRig::start(rotation).await;
    let rig = &sidecars.rig;
    rig.serve_pod_monitors().await;
    rig.serve_certificates().await;
    rig.serve_gateway_api().await;
    admission::configure(rig, sidecars.webhook).await;

    let mut spec = sample_spec();
    spec["gateway"] = json!({
        "autoscaling": {"minReplicas": 1, "maxReplicas": 3},
        "podMonitor": {},
        "tls": {"issuerRef": {"name": "internal"}, "caConfigMapName": "bundle"},
        "httpRoute": {"parentRefs": [{"name": "shared"}], "hostnames": ["bedrock.example.com"]},
        // Requires permissions of the author.
        "podAnnotations": {"a": "b"},
    });
    rig.apply("full", &spec).await.unwrap();
    review_a_denied_one(rig).await;
    rig.children(CHILD).await;
    rig.condition("full", "Monitored", "True").await;
    waits_for::<HorizontalPodAutoscaler>(rig, Some("full")).await;

    lose_their_labels(rig).await;

    // The same drift twice: the second time adds to the Event of the first.
    for _ in 0..2 {
        let opened = json!({"spec": {"ingress": [{}]}});
        let by_hand = PatchParams {
            field_manager: Some("a-person".to_owned()),
            ..PatchParams::default()
        };
        rig.api::<NetworkPolicy>()
            .patch(CHILD, &by_hand, &Patch::Merge(&opened))
            .await
            .unwrap();
        waits_for::<NetworkPolicy>(rig, Some("namespaceSelector")).await;
    }

    spec["gateway"] = json!({"replicas": 1, "networkPolicy": {"enabled": false}});
    rig.apply("full", &spec).await.unwrap();
    // A certificate of the operator, and one for a further object, which is added to the Secret.
    spec["gateway"] = json!({"tls": {}});
    for name in ["encrypted", "further"] {
        rig.apply(name, &spec).await.unwrap();
        rig.condition(name, "Encrypted", "True").await;
    }
    waits_for::<NetworkPolicy>(rig, None).await;
    waits_for::<HorizontalPodAutoscaler>(rig, None).await;

    spec["gateway"] = json!({"enabled": false});
    spec["sidecar"] = json!({"serviceAccounts": [{"name": "app"}]});
    rig.apply("full", &spec).await.unwrap();
    waits_for::<ServiceAccount>(rig, None).await;

    put_one_that_does_not_parse(rig).await;
    let granted = rig.granted();
    eventually("every verb that is granted is used", || async {
        let mut unused: Vec<_> = granted.difference(&used(rig)).cloned().collect();
        // The audit log contains a watch, and the list that it begins with, once the watch has ended.
        unused.retain(|verb| !verb.starts_with("watch ") && !verb.starts_with("list "));
        unused
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{unused:?}"))
    })
    .await;
    sidecars.rig.stop_operator().await;
    eventually("every watch and list that is granted is used", || async {
        let unused: Vec<_> = granted.difference(&used(&sidecars.rig)).cloned().collect();
        unused
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{unused:?}"))
    })
    .await;
}
