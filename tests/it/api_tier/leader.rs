//! Several operators at once: one leads, the others stand by and take over.

use std::{net::SocketAddr, time::Duration};

use api::names;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret, events::v1::Event};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use operator::{
    CertificateSource, LeaderElection, OwnCertificate, Rotation, RunError, Settings, Timing,
    WebhookSettings,
};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use super::rig::{OPERATOR_NAMESPACE, Rig, sample_spec};
use crate::support::{eventually, free_address, http};

/// Quick enough for a test, and slow enough for a busy machine.
const TIMING: Timing = Timing {
    lease: Duration::from_secs(6),
    renew: Duration::from_secs(4),
    retry: Duration::from_millis(500),
};

struct Replica {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
    health: SocketAddr,
    metrics: SocketAddr,
}

/// One replica, with its webhook.
async fn replica(rig: &Rig, name: &str) -> Replica {
    let [health, metrics, webhook] = [free_address(), free_address(), free_address()];
    let mut election = LeaderElection::new(OPERATOR_NAMESPACE, name);
    election.timing = TIMING;
    let settings = Settings {
        gateway_image: "bedrock-gateway:test".to_owned(),
        instance: name.to_owned(),
        leader_election: Some(election),
        health_address: Some(health),
        metrics_address: Some(metrics),
        webhook: Some(WebhookSettings {
            address: webhook,
            client_authority: None,
            certificate: CertificateSource::Own(OwnCertificate {
                namespace: OPERATOR_NAMESPACE.to_owned(),
                secret: names::WEBHOOK_SECRET.to_owned(),
                configuration: names::WEBHOOK_CONFIGURATION.to_owned(),
                validation_configuration: names::VALIDATION_CONFIGURATION.to_owned(),
                names: vec!["127.0.0.1".to_owned()],
                rotation: Rotation::default(),
            }),
        }),
        ..Settings::default()
    };
    let (stop, stopped) = oneshot::channel();
    let client = rig.operator_client().await;
    let ended = tokio::spawn(operator::run(client, settings, async move {
        let _ = stopped.await;
    }));
    Replica {
        stop,
        ended,
        health,
        metrics,
    }
}

impl Replica {
    async fn ready(&self) {
        eventually("ready", || async {
            let answer = http::get(&format!("http://{}/readyz", self.health)).await;
            match answer {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(error),
            }
        })
        .await;
    }

    async fn leads(&self) -> bool {
        let answer = http::get(&format!("http://{}/metrics", self.metrics)).await;
        let text = answer.unwrap().text();
        text.contains("leader_election_master_status{name=\"bedrock-access-operator\"} 1")
    }
}

async fn led_by(rig: &Rig, name: &str) {
    let leases = Api::<Lease>::namespaced(rig.client.clone(), OPERATOR_NAMESPACE);
    eventually(&format!("{name} holds the Lease"), || async {
        let lease = leases.get_opt(names::LEASE).await;
        let lease = lease.map_err(|error| error.to_string())?;
        let holder = lease
            .and_then(|lease| lease.spec?.holder_identity)
            .unwrap_or_default();
        if holder.starts_with(&format!("{name}_")) {
            Ok(())
        } else {
            Err(holder)
        }
    })
    .await;
}

/// Replicas that have reported a BedrockAccess, once one has: an Event follows its cause.
async fn told_by(rig: &Rig, access: &str) -> Vec<String> {
    eventually(&format!("an Event about {access}"), || async {
        let instances = instances_of_events(rig, access).await;
        let told = !instances.is_empty();
        told.then_some(instances).ok_or_else(|| "none".to_owned())
    })
    .await
}

async fn instances_of_events(rig: &Rig, access: &str) -> Vec<String> {
    let events = rig
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let mut instances: Vec<String> = events
        .items
        .into_iter()
        .filter(|event| {
            let about = event
                .regarding
                .as_ref()
                .and_then(|about| about.name.as_deref());
            about == Some(access)
        })
        .filter_map(|event| event.reporting_instance)
        .collect();
    instances.sort();
    instances.dedup();
    instances
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_writes_and_the_other_takes_over_when_it_ends() {
    let rig = Rig::without_operator().await;
    let first = replica(&rig, "first").await;
    led_by(&rig, "first").await;
    let second = replica(&rig, "second").await;
    // Both answer the webhook: the one that stands by with the certificate that the other has made.
    first.ready().await;
    second.ready().await;
    assert!(first.leads().await && !second.leads().await);
    let secrets = Api::<Secret>::namespaced(rig.client.clone(), OPERATOR_NAMESPACE);
    let made = secrets.get(names::WEBHOOK_SECRET).await.unwrap();

    rig.apply("one", &sample_spec()).await.unwrap();
    rig.children("one-gateway").await;
    rig.condition("one", "Ready", "False").await;
    assert_eq!(told_by(&rig, "one").await, ["first"]);

    let _ = first.stop.send(());
    first.ended.await.unwrap().unwrap();
    led_by(&rig, "second").await;
    rig.apply("two", &sample_spec()).await.unwrap();
    rig.children("two-gateway").await;
    rig.condition("two", "Ready", "False").await;
    assert_eq!(told_by(&rig, "two").await, ["second"]);
    assert_eq!(
        told_by(&rig, "one").await,
        ["first"],
        "the new leader found all as it should be"
    );
    let now = secrets.get(names::WEBHOOK_SECRET).await.unwrap();
    assert_eq!(now.data, made.data, "and continued with its certificate");
    let _ = second.stop.send(());
    second.ended.await.unwrap().unwrap();
    led_by_none(&rig).await;
}

async fn led_by_none(rig: &Rig) {
    let leases = Api::<Lease>::namespaced(rig.client.clone(), OPERATOR_NAMESPACE);
    let lease = leases.get(names::LEASE).await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_whose_lease_is_taken_ends_with_an_error() {
    let rig = Rig::without_operator().await;
    let replica = replica(&rig, "first").await;
    led_by(&rig, "first").await;
    let stolen = json!({"spec": {"holderIdentity": "a-stranger"}});
    Api::<Lease>::namespaced(rig.client.clone(), OPERATOR_NAMESPACE)
        .patch(
            names::LEASE,
            &PatchParams::default(),
            &Patch::Merge(&stolen),
        )
        .await
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), replica.ended).await;
    assert!(matches!(
        ended.unwrap().unwrap(),
        Err(RunError::LeadershipLost)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_that_cannot_renew_its_lease_ends_with_an_error() {
    let rig = Rig::without_operator().await;
    let replica = replica(&rig, "first").await;
    led_by(&rig, "first").await;
    rig.stop_api_server().await;
    let ended = tokio::time::timeout(Duration::from_secs(30), replica.ended).await;
    assert!(matches!(
        ended.unwrap().unwrap(),
        Err(RunError::LeadershipLost)
    ));
}
