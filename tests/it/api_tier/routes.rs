//! HTTPRoute and BackendTLSPolicy against the definitions of the Gateway API: created, reported about, changed, removed.
//!
//! This tier has no Gateway controller: the tests write what one reports.

use api::v1alpha1::BedrockAccess;
use k8s_openapi::api::{networking::v1::NetworkPolicy, rbac::v1::Role};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    admission, authors,
    rig::{Rig, TEAM, sample_spec},
};
use crate::support::{eventually, free_address};

const CHILD: &str = "chat-gateway";

fn objects(rig: &Rig, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(rig.client.clone(), TEAM, &resource)
}

fn routes(rig: &Rig) -> Api<DynamicObject> {
    objects(rig, "HTTPRoute", "httproutes")
}

fn policies(rig: &Rig) -> Api<DynamicObject> {
    objects(rig, "BackendTLSPolicy", "backendtlspolicies")
}

fn with(gateway: &Value) -> Value {
    let mut spec = sample_spec();
    spec["gateway"] = gateway.clone();
    spec
}

fn parents() -> Value {
    json!([{"name": "shared", "namespace": "infra", "sectionName": "https"}])
}

/// Reports as a Gateway controller does.
async fn report(rig: &Rig, accepted: (&str, &str, &str)) {
    let (status, reason, message) = accepted;
    let generation = routes(rig).get(CHILD).await.unwrap().metadata.generation;
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({"status": {"parents": [{
        "parentRef": parents()[0], "controllerName": "example.com/controller",
        "conditions": [
            condition("Accepted", status, reason, message),
            condition("ResolvedRefs", "True", "ResolvedRefs", ""),
        ],
    }]}});
    routes(rig)
        .patch_status(CHILD, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

async fn gone(api: &Api<DynamicObject>, what: &str) {
    eventually(&format!("{what} is deleted"), || async {
        match api.get_opt(CHILD).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn route_follows_the_spec_and_its_condition_follows_the_gateways() {
    let rig = Rig::start().await;
    let wanted = json!({
        "tls": {},
        "httpRoute": {"parentRefs": parents(), "hostnames": ["bedrock.example.com"]},
    });
    rig.apply("chat", &with(&wanted)).await.unwrap();
    let (reason, message) = rig.condition("chat", "Routed", "False").await;
    assert_eq!(reason, "ApiNotServed");
    assert!(message.contains("does not serve HTTPRoute"), "{message}");
    rig.children(CHILD).await;

    rig.serve_gateway_api().await;
    let (reason, message) = rig.condition("chat", "Routed", "Unknown").await;
    assert_eq!(reason, "Pending");
    assert!(message.contains("Gateway infra/shared"), "{message}");
    let route = routes(&rig).get(CHILD).await.unwrap();
    assert_eq!(
        route.data["spec"]["hostnames"],
        json!(["bedrock.example.com"])
    );
    let rule = &route.data["spec"]["rules"][0];
    assert_eq!(rule["timeouts"], json!({"request": "0s"}));
    assert_eq!(rule["backendRefs"][0]["name"], CHILD);
    let policy = policies(&rig).get(CHILD).await.unwrap();
    let validation = &policy.data["spec"]["validation"];
    assert_eq!(validation["caCertificateRefs"][0]["name"], "chat-client");
    assert_eq!(validation["hostname"], "chat-gateway.team-a.svc");
    // The Gateway's pods may connect.
    let network = rig.api::<NetworkPolicy>().get(CHILD).await.unwrap();
    assert!(
        json!(network.spec).to_string().contains("\"infra\""),
        "{network:?}"
    );

    report(
        &rig,
        (
            "False",
            "NotAllowedByListeners",
            "no listener allows namespace team-a",
        ),
    )
    .await;
    let (reason, message) = rig.condition("chat", "Routed", "False").await;
    assert_eq!(reason, "NotAllowedByListeners");
    assert_eq!(
        message,
        "Gateway infra/shared: no listener allows namespace team-a"
    );
    report(&rig, ("True", "Accepted", "")).await;
    rig.condition("chat", "Routed", "True").await;

    let changed = json!({"httpRoute": {
        "parentRefs": parents(), "timeouts": {"request": "10m", "backendRequest": "5m"},
    }});
    rig.apply("chat", &with(&changed)).await.unwrap();
    // A report about the earlier route says nothing about this one.
    rig.condition("chat", "Routed", "Unknown").await;
    gone(&policies(&rig), "the BackendTLSPolicy").await;
    let route = routes(&rig).get(CHILD).await.unwrap();
    assert_eq!(route.data["spec"].get("hostnames"), None);
    assert_eq!(
        route.data["spec"]["rules"][0]["timeouts"],
        json!({"request": "10m", "backendRequest": "5m"})
    );

    // What only the Gateway API's own rules can judge.
    let refused = json!({"httpRoute": {
        "parentRefs": parents(), "timeouts": {"request": "1m", "backendRequest": "5m"},
    }});
    rig.apply("chat", &with(&refused)).await.unwrap();
    let (reason, message) = rig.condition("chat", "Ready", "False").await;
    assert_eq!(reason, "ChildRefused", "{message}");
    assert!(message.contains("backendRequest"), "{message}");

    rig.apply("chat", &sample_spec()).await.unwrap();
    gone(&routes(&rig), "the HTTPRoute").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn author_needs_permission_for_routes_and_issuers_or_a_rule() {
    let webhook = free_address();
    let mut rig = Rig::without_operator().await;
    rig.serve_gateway_api().await;
    rig.serve_certificates().await;
    admission::configure(&rig, webhook).await;
    admission::start_operator(&mut rig, webhook).await;
    let author = author(&rig).await;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object = |gateway: Value| -> BedrockAccess {
        serde_json::from_value(json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
            "metadata": {"name": "chat"}, "spec": with(&gateway),
        }))
        .unwrap()
    };
    let plain = object(json!({"tls": {}}));
    eventually("the author may create objects with TLS", || async {
        let created = author.create(&dry_run, &plain).await;
        created.map(drop).map_err(|error| error.to_string())
    })
    .await;
    for (gateway, field, permission, resource, rule) in [
        (
            json!({"httpRoute": {"parentRefs": parents(), "hostnames": ["payments.example"]}}),
            "spec.gateway.httpRoute.parentRefs: infra/shared",
            "create httproutes.gateway.networking.k8s.io",
            ("gateway.networking.k8s.io", "httproutes"),
            "gateways, hostnames",
        ),
        (
            json!({"tls": {"issuerRef": {"name": "company", "kind": "ClusterIssuer"}}}),
            "spec.gateway.tls.issuerRef: ClusterIssuer/company",
            "create certificates.cert-manager.io",
            ("cert-manager.io", "certificates"),
            "issuers",
        ),
    ] {
        let wanted = object(gateway);
        let Err(kube::Error::Api(refusal)) = author.create(&dry_run, &wanted).await else {
            panic!("{field} is admitted");
        };
        for words in [field, permission, rule] {
            assert!(
                refusal.message.contains(words),
                "{words}: {}",
                refusal.message
            );
        }
        permit(&rig, resource).await;
        eventually("the permission counts", || async {
            let created = author.create(&dry_run, &wanted).await;
            created.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}

/// A ServiceAccount that may edit BedrockAccess objects of the team and nothing else.
async fn author(rig: &Rig) -> Api<BedrockAccess> {
    authors::user(rig, "author", "bedrock-access-edit").await
}

/// Lets the author create such objects.
async fn permit(rig: &Rig, (group, resource): (&str, &str)) {
    let role = json!({
        "metadata": {"name": resource},
        "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["create"]}],
    });
    rig.api::<Role>()
        .create(
            &PostParams::default(),
            &serde_json::from_value(role).unwrap(),
        )
        .await
        .unwrap();
    authors::bind(rig, "author", "Role", resource).await;
}
