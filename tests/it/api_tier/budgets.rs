//! Budgets without a store: the operator gives shares to real gateways, whatever restarts.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use api::{GatewayConfig, names, v1alpha1::BedrockAccess};
use awsdouble::{Config, Double, allow_bedrock};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::rig::{Rig, TEAM, sample_spec};
use crate::support::{
    eventually, free_address,
    gateway::{Gateway, KEY},
    http::{self, Answer},
};

const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
const SECRET_KEY: &str = "a-secret-key-of-the-test-suite-alone";
/// The budget in tokens.
const LIMIT: u64 = 6_000;

/// An operator that reads gateways every half second, and what the gateways need.
struct World {
    rig: Rig,
    port: u16,
    double: Double,
    directory: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let mut rig = Rig::without_operator().await;
        let port = free_address().port();
        rig.start_operator_with(operator::Settings {
            gateway_admin_port: port,
            resync: Duration::from_millis(500),
            ..operator::Settings::default()
        })
        .await;
        let config = Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, allow_bedrock());
        Self {
            rig,
            port,
            double: Double::start(config).await.unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The limits of the document that the operator has written.
    async fn limits(&self) -> Value {
        let api = self.rig.api::<ConfigMap>();
        eventually("the document has the operator's key", || async {
            let listed = api.list(&ListParams::default()).await;
            let maps = listed.map_err(|error| error.to_string())?.items;
            let text = maps
                .into_iter()
                .find_map(|map| map.data?.remove(names::CONFIG_KEY));
            let config = GatewayConfig::from_yaml(&text.ok_or("no document")?);
            let limits = config.map_err(|error| error.to_string())?.limits;
            limits
                .shares
                .is_some()
                .then(|| json!(limits))
                .ok_or("no key".to_owned())
        })
        .await
    }

    async fn gateway(&self, ip: Ipv4Addr, limits: &Value) -> Gateway {
        let document = json!({
            "access": {"namespace": TEAM, "name": "chat"},
            "models": [{"name": "fast", "targets": [{"modelId": "amazon.nova-lite-v1:0"}]}],
            "limits": limits,
        });
        let path = self.directory.path().join(format!("{ip}.yaml"));
        std::fs::write(&path, document.to_string()).unwrap();
        let url = self.double.url();
        let environment = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_ENDPOINT_URL", url.as_str()),
        ];
        let admin = SocketAddr::from((ip, self.port));
        Gateway::start_with_admin(admin, &environment, Some(&path)).await
    }

    /// Reports that the pods run at these addresses, as a kubelet does.
    async fn run_pods(&self, addresses: &[Ipv4Addr]) {
        let pods = Api::<Pod>::namespaced(self.rig.client.clone(), TEAM);
        let listed = ListParams::default().labels(&format!("{}=chat", names::ACCESS_LABEL));
        let found = eventually("all pods", || async {
            let found = pods.list(&listed).await;
            let found = found.map_err(|error| error.to_string())?.items;
            (found.len() == addresses.len())
                .then_some(found)
                .ok_or("too few".to_owned())
        })
        .await;
        for (pod, address) in found.iter().zip(addresses) {
            let address = IpAddr::from(*address).to_string();
            let status = json!({"status": {
                "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            }});
            let name = pod.metadata.name.as_deref().unwrap();
            pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }
}

async fn chat(gateway: &Gateway) -> Answer {
    let body = json!({"model": "fast", "max_tokens": 20,
        "messages": [{"role": "user", "content": "one two three four five six seven"}]});
    let url = format!("{}/chat/completions", gateway.openai_url());
    http::post(&url, KEY, &body).await.unwrap()
}

/// Sends requests until one is refused; the tokens that they used, and the refusal.
async fn spend(gateway: &Gateway) -> (u64, String) {
    let mut tokens = 0;
    loop {
        let answer = chat(gateway).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 429, "{}", answer.text());
            return (tokens, answer.text());
        }
        tokens += answer.json()["usage"]["total_tokens"].as_u64().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_without_a_store_spend_a_budget_together_and_a_restart_spends_nothing_twice() {
    let world = World::start().await;
    let mut spec = sample_spec();
    spec["gateway"] = json!({"replicas": 2});
    spec["limits"] = json!({"budgets": [{"period": "Month", "tokens": LIMIT}]});
    world.rig.apply("chat", &spec).await.unwrap();
    let limits = world.limits().await;
    let addresses = [Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];
    let [one, other] = addresses.map(|ip| world.gateway(ip, &limits));
    let (one, mut other) = (one.await, other.await);
    let refused = chat(&one).await;
    assert_eq!(refused.status, 429, "no share yet");
    world.run_pods(&addresses).await;
    let mut spent = 0;
    for gateway in [&one, &other] {
        spent += eventually("a share", || async {
            match spend(gateway).await {
                (0, refusal) => Err(refusal),
                (tokens, _) => Ok(tokens),
            }
        })
        .await;
    }
    // A share is a twentieth, and can be renewed while it is spent.
    assert!(spent < LIMIT / 2, "two shares: {spent}");

    // A new process in the same pod. The unused share of the old one stays spent.
    drop(other);
    let restarted = [addresses[0], Ipv4Addr::new(127, 0, 0, 5)];
    other = world.gateway(restarted[1], &limits).await;
    assert_eq!(chat(&other).await.status, 429, "a new process has no share");
    world.run_pods(&restarted).await;

    let mut last = String::new();
    for _ in 0..400 {
        for gateway in [&one, &other] {
            let (tokens, refusal) = spend(gateway).await;
            spent += tokens;
            last = refusal;
        }
        if last.contains("starts again at") {
            break;
        }
        // sleep: shares are renewed every half second
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(spent <= LIMIT, "{spent} of {LIMIT}");
    // A killed process loses its share, and a request needs about 35 tokens.
    assert!(spent * 100 >= LIMIT * 90, "{spent} of {LIMIT}: {last}");
    let access = world.rig.api::<BedrockAccess>().get("chat").await.unwrap();
    let ledger = access.status.unwrap().budget_shares;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0].processes.len(), 2, "{ledger:?}");
    assert!(ledger[0].spent > 0, "{ledger:?}");
}
