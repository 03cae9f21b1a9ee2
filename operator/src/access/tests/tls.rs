//! `spec.gateway.tls`: the Secret with certificates of the operator, and what refers to it.

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{api::core::v1::Secret, jiff::Timestamp};

use super::*;
use crate::webhook::Rotation;

const TLS: &str = "gateway: {tls: {}}";
const SECRET: &str = "/api/v1/namespaces/team-a/secrets/bedrock-gateway-tls";
const CERTIFICATE: &str = "/apis/cert-manager.io/v1/namespaces/team-a/certificates/chat-gateway";

fn secret(world: &World) -> Secret {
    serde_json::from_value(world.api.object(SECRET).unwrap()).unwrap()
}

fn text(secret: &Secret, key: &str) -> String {
    let data = &secret.data.as_ref().unwrap()[key];
    String::from_utf8(data.0.clone()).unwrap()
}

fn published(world: &World) -> String {
    let config = world.api.object(CLIENT).unwrap();
    config["data"]["ca.crt"].as_str().unwrap().to_owned()
}

fn condition_of(
    world: &World,
    type_: &str,
) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
    let status = with_status(&world.api.requests()).status.unwrap();
    status::find(&status, type_).unwrap().clone()
}

#[tokio::test]
async fn certificate_is_created_once_and_everything_refers_to_it() {
    let mut world = World::new();
    world.reconcile(fixtures::access(TLS)).await.unwrap();
    let requests = world.api.requests();
    let encrypted = with_status(&requests);
    let status = encrypted.status.as_ref().unwrap();
    assert_eq!(
        status.endpoint.as_deref(),
        Some("https://chat-gateway.team-a.svc:8000")
    );
    let condition = status::find(status, condition::ENCRYPTED).unwrap();
    assert_eq!(condition.status, "True", "{condition:?}");
    assert!(condition.message.contains("chat-client"), "{condition:?}");

    let made = secret(&world);
    let owner = &made.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.name.as_str(), owner.controller), ("chat", None));
    let keys: Vec<_> = made.data.as_ref().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "ca.crt",
            "ca.key",
            "ca.made",
            "chat-gateway.crt",
            "chat-gateway.key"
        ]
    );
    assert_eq!(published(&world), text(&made, "ca.crt"));
    let client = world.api.object(CLIENT).unwrap();
    assert_eq!(
        client["data"]["OPENAI_BASE_URL"],
        "https://chat-gateway.team-a.svc:8000/v1"
    );
    let service = world.api.object(SERVICE).unwrap();
    assert_eq!(service["spec"]["ports"][0]["appProtocol"], "https");
    let pod = &world.api.object(DEPLOYMENT).unwrap()["spec"]["template"]["spec"];
    assert!(
        pod["volumes"]
            .as_array()
            .unwrap()
            .contains(&json!({"name": "tls", "secret": {
                "secretName": "bedrock-gateway-tls", "defaultMode": 0o440,
                "items": [
                    {"key": "chat-gateway.crt", "path": "tls.crt"},
                    {"key": "chat-gateway.key", "path": "tls.key"},
                ],
            }})),
        "{}",
        pod["volumes"]
    );

    world.catch_up();
    let access = BedrockAccess {
        status: encrypted.status,
        ..fixtures::access(TLS)
    };
    world.reconcile(access).await.unwrap();
    assert_eq!(world.api.writes(), [""; 0], "nothing is due");
}

#[tokio::test]
async fn foreign_secret_is_reported_and_left_alone() {
    let world = World::new();
    let foreign = json!({
        "metadata": {"name": "bedrock-gateway-tls", "resourceVersion": "5"},
        "data": {"tls.crt": STANDARD.encode("theirs")},
    });
    world.api.put(SECRET, foreign.clone());
    let error = world.reconcile(fixtures::access(TLS)).await.unwrap_err();
    assert_eq!(error.reason(), "NameConflict");
    assert_eq!(world.api.object(SECRET).unwrap(), foreign);
    let ready = condition_of(&world, condition::READY);
    assert!(ready.message.contains("bedrock-gateway-tls"), "{ready:?}");
}

#[tokio::test]
async fn damaged_entry_is_renewed_by_the_same_authority_and_others_stay() {
    let mut world = World::new();
    world.reconcile(fixtures::access(TLS)).await.unwrap();
    world.catch_up();
    let before = secret(&world);
    let mut damaged = world.api.object(SECRET).unwrap();
    damaged["data"]["chat-gateway.crt"] = json!(STANDARD.encode("junk"));
    // Of an object that no longer exists.
    damaged["data"]["former-gateway.key"] = json!(STANDARD.encode("old"));
    world.api.put(SECRET, damaged);
    world.reconcile(fixtures::access(TLS)).await.unwrap();
    let after = secret(&world);
    assert_eq!(text(&after, "ca.crt"), text(&before, "ca.crt"));
    assert_ne!(
        text(&after, "chat-gateway.crt"),
        text(&before, "chat-gateway.crt")
    );
    assert!(!after.data.unwrap().contains_key("former-gateway.key"));
}

/// Makes the newest CA this much older, as if the time had passed.
fn age_authority(world: &World, by: Duration) {
    let made: Timestamp = text(&secret(world), "ca.made").parse().unwrap();
    let mut aged = world.api.object(SECRET).unwrap();
    aged["data"]["ca.made"] = json!(STANDARD.encode((made - by).to_string()));
    world.api.put(SECRET, aged);
}

#[tokio::test]
async fn new_authority_is_published_before_it_is_used() {
    let mut world = World::new();
    let rotation = Rotation {
        authority: Duration::from_hours(30),
        certificate: Duration::from_hours(90),
        overlap: Duration::from_hours(2),
        check: Duration::ZERO,
    };
    let mut settings = fixtures::settings();
    settings.gateway_certificates = rotation;
    Arc::get_mut(&mut world.context).unwrap().settings = settings;
    world.reconcile(fixtures::access(TLS)).await.unwrap();
    world.catch_up();
    let first = secret(&world);

    // In the last third of its lifetime.
    age_authority(&world, Duration::from_hours(21));
    world.reconcile(fixtures::access(TLS)).await.unwrap();
    world.catch_up();
    let both = secret(&world);
    assert_ne!(text(&both, "ca.crt"), text(&first, "ca.crt"));
    assert!(
        text(&both, "ca.crt").ends_with(&text(&first, "ca.crt")),
        "the new one and the old one"
    );
    assert_eq!(
        text(&both, "chat-gateway.crt"),
        text(&first, "chat-gateway.crt")
    );
    assert_eq!(published(&world), text(&both, "ca.crt"));

    // Before the overlap, nothing changes.
    age_authority(&world, Duration::from_hours(1));
    world.reconcile(fixtures::access(TLS)).await.unwrap();
    let waiting = secret(&world);
    assert_eq!(text(&waiting, "ca.crt"), text(&both, "ca.crt"));
    assert_eq!(
        text(&waiting, "chat-gateway.crt"),
        text(&both, "chat-gateway.crt")
    );

    age_authority(&world, Duration::from_hours(1));
    world.reconcile(fixtures::access(TLS)).await.unwrap();
    let used = secret(&world);
    assert_eq!(text(&used, "ca.crt"), text(&both, "ca.crt"));
    assert_ne!(
        text(&used, "chat-gateway.crt"),
        text(&both, "chat-gateway.crt")
    );
}

#[tokio::test]
async fn certificate_of_cert_manager_waits_for_its_api_and_for_its_report() {
    let mut world = World::new();
    let spec = "gateway: {tls: {issuerRef: {name: internal, kind: ClusterIssuer}}}";
    world.reconcile(fixtures::access(spec)).await.unwrap();
    let encrypted = condition_of(&world, condition::ENCRYPTED);
    assert_eq!(
        (encrypted.status.as_str(), encrypted.reason.as_str()),
        ("False", "ApiNotServed")
    );
    assert_eq!(world.api.object(CERTIFICATE), None);
    assert_eq!(world.api.object(SECRET), None);

    world.caches.served.send_modify(|kinds| {
        kinds.insert(OwnedKind::Certificate);
    });
    world.catch_up();
    world.reconcile(fixtures::access(spec)).await.unwrap();
    let mut certificate = world.api.object(CERTIFICATE).unwrap();
    assert_eq!(certificate["spec"]["secretName"], "chat-gateway-tls");
    assert_eq!(
        certificate["spec"]["dnsNames"][3],
        "chat-gateway.team-a.svc.cluster.local"
    );
    let encrypted = condition_of(&world, condition::ENCRYPTED);
    assert_eq!(
        (encrypted.status.as_str(), encrypted.reason.as_str()),
        ("Unknown", "Pending")
    );

    for (status, reason) in [("False", "DoesNotExist"), ("True", "Ready")] {
        certificate["status"] = json!({"conditions": [
            {"type": "Ready", "status": status, "reason": reason, "message": "issuer \"internal\" not found"},
        ]});
        world
            .caches
            .put(OwnedKind::Certificate, certificate.clone());
        world.reconcile(fixtures::access(spec)).await.unwrap();
        let encrypted = condition_of(&world, condition::ENCRYPTED);
        assert_eq!(
            (encrypted.status.as_str(), encrypted.reason.as_str()),
            (status, reason)
        );
    }
}

#[test]
fn secret_of_the_user_is_mounted_and_needs_no_other_object() {
    let spec = "{gateway: {tls: {secretName: mine}}, sidecar: {serviceAccounts: [{name: app}]}}";
    let resources = build::build(&fixtures::validated(spec)).unwrap();
    assert_eq!(resources.certificate, None);
    let pod = &resources.deployment.unwrap().object["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(
        volumes
            .iter()
            .any(|volume| volume["secret"]["secretName"] == "mine")
    );
    let config = &resources.config.object["data"];
    let has_tls = |key: &str| {
        let text = config[key].as_str().unwrap();
        api::GatewayConfig::from_yaml(text).unwrap().tls.is_some()
    };
    assert!(has_tls("gateway.yaml"));
    assert!(!has_tls("sidecar.yaml"), "sidecars listen on loopback");
}
