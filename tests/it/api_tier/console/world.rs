//! An API server, an operator with its console, users, and gateways that the operator reads.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use ::http::Method;
use api::{
    names,
    prices::{self, Nanodollars, Tier, Units},
    v1alpha1::BedrockAccess,
};
use awsdouble::{Config, Double, allow_bedrock};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use operator::{ConsoleSettings, Settings};
use serde_json::{Value, json};

use crate::{
    api_tier::rig::{OPERATOR_NAMESPACE, Rig, TEAM, sample_spec},
    support::{eventually, free_address, gateway::Gateway, http},
};

/// Users: `reader` lists the objects of all namespaces, `member` those of team-a, `outsider` none.
const USERS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: bedrock-access-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: member, namespace: team-a}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: outsider, namespace: team-a}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [bedrockaccess.dev], resources: [bedrockaccesses], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: bedrock-access-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: member, namespace: team-a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: member, namespace: team-a}]
";

const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
const SECRET_KEY: &str = "a-secret-key-of-the-test-suite-alone";
const ROLE: &str = "arn:aws:iam::123456789012:role/Gateway";
const DOCUMENTS_ROLE: &str = "arn:aws:iam::123456789012:role/Documents";
const MODEL: &str = "us.amazon.nova-2-lite-v1:0";

pub(super) struct World {
    pub(super) rig: Rig,
    /// URL of the console, without a slash at the end.
    pub(super) url: String,
    console: SocketAddr,
    admin_port: u16,
}

/// A spec with one gateway pod.
pub(super) fn spec() -> Value {
    let mut spec = sample_spec();
    spec["gateway"] = json!({"replicas": 1});
    spec
}

/// Gateways with credentials of two objects, and one without credentials.
pub(super) struct Gateways {
    well: Gateway,
    _tickets: Gateway,
    _failing: Gateway,
    _double: Double,
    _directory: tempfile::TempDir,
}

/// Tokens of a day or a month for one model.
#[derive(Clone, Copy)]
pub(super) struct Spent {
    pub(super) model: &'static str,
    pub(super) requests: u64,
    /// Without the cached ones.
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
}

impl Spent {
    /// The amounts of a period as the status has them, at the public prices. Tokens of a model without a price have no cost.
    fn period(&self, date: &str) -> Value {
        let units = Units {
            input: self.input,
            cache_read: self.cached,
            output: self.output,
            ..Units::default()
        };
        let price = prices::builtin().find(self.model, "us-east-1", Tier::Standard);
        let cost = price.map_or(Nanodollars::ZERO, |price| price.cost(&units));
        let input = self.input + self.cached;
        let mut period = json!({
            "date": date, "costUsd": cost.rounded().to_string(), "requests": self.requests, "inputTokens": input,
            "cachedInputTokens": self.cached, "cachedInputPercent": self.cached * 100 / input, "outputTokens": self.output,
        });
        if price.is_none() {
            period["unpricedTokens"] = json!(input + self.output);
        }
        period
    }

    /// This multiple of the amounts.
    fn times(self, factor: u64) -> Self {
        Self {
            requests: self.requests * factor,
            input: self.input * factor,
            cached: self.cached * factor,
            output: self.output * factor,
            ..self
        }
    }
}

impl World {
    /// Everything up and running; no objects.
    pub(super) async fn start() -> Self {
        let chart = ["--set", "console.enabled=true"];
        let rig = Rig::without_operator_with(&["team-b", "many"], &chart).await;
        rig.kubectl_apply("test", USERS);
        let console = free_address();
        let mut world = Self {
            rig,
            url: format!("http://{console}"),
            console,
            admin_port: free_address().port(),
        };
        world.start_operator().await;
        world
    }

    pub(super) async fn start_operator(&mut self) {
        let console = ConsoleSettings {
            permissions_lifetime: Duration::from_secs(1),
            ..ConsoleSettings::new(self.console)
        };
        let settings = Settings {
            console: Some(console),
            gateway_admin_port: self.admin_port,
            ..Settings::default()
        };
        self.rig.start_operator_with(settings).await;
        let url = format!("{}/api/overview", self.url);
        let headers = [("authorization", "Bearer wrong")];
        eventually("the console serves", || async {
            let answer = http::request(Method::GET, &url, &headers, "").await?;
            if answer.status == 401 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
    }

    pub(super) async fn token(&self, namespace: &str, account: &str) -> String {
        self.rig.token(namespace, account).await
    }

    /// A token for another audience than the API server.
    pub(super) async fn token_for(&self, namespace: &str, account: &str, audience: &str) -> String {
        let hour = Duration::from_hours(1);
        let cluster = self.rig.cluster();
        let token = cluster.service_account_token(namespace, account, audience, hour);
        token.await.unwrap()
    }

    /// The token of the user who sees everything.
    pub(super) async fn reader(&self) -> String {
        self.token(OPERATOR_NAMESPACE, "reader").await
    }

    pub(super) async fn apply(&self, namespace: &str, name: &str) {
        self.apply_spec(namespace, name, &spec()).await;
    }

    pub(super) async fn apply_spec(&self, namespace: &str, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
            "metadata": {"name": name}, "spec": spec,
        });
        let api = Api::<BedrockAccess>::namespaced(self.rig.client.clone(), namespace);
        let parameters = PatchParams::apply("integration-test").force();
        api.patch(name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// Reports that gateways which have ended spent this today, and twenty times as much this month, as the operator does.
    pub(super) async fn spent(&self, namespace: &str, name: &str, spent: Spent) {
        let now = Timestamp::now();
        let today = spent.period(&now.strftime("%Y-%m-%d").to_string());
        let month = spent.times(20).period(&now.strftime("%Y-%m").to_string());
        let usage = json!({
            "updatedAt": now.to_string(), "today": today, "month": month, "ended": {"today": today, "month": month},
        });
        let api = Api::<BedrockAccess>::namespaced(self.rig.client.clone(), namespace);
        eventually(&format!("usage of {name}"), || async {
            let text = |error: kube::Error| error.to_string();
            let object = api.get_status(name).await.map_err(text)?;
            // The first status of the operator would overwrite it, and has the conditions that the console shows.
            let status = object.status.filter(|status| !status.conditions.is_empty());
            let status = status.ok_or("not reconciled yet")?;
            if status.usage.is_some_and(|known| known.ended.is_some()) {
                return Ok(());
            }
            // So would another that it has computed before.
            let status = json!({"status": {"usage": usage}});
            api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .map_err(text)?;
            Err("not written yet".to_owned())
        })
        .await;
    }

    /// Gateways on the admin port of this operator's settings, each on an address of its own.
    pub(super) async fn gateways(&self) -> Gateways {
        Gateways::start(self.admin_port).await
    }

    /// Reports that the gateway pods of an object in team-a run at this address, as a kubelet does.
    pub(super) async fn run_pods(&self, access: &str, address: IpAddr, ready: bool) {
        let pods = Api::<Pod>::namespaced(self.rig.client.clone(), TEAM);
        let selector = format!("{}={access}", names::ACCESS_LABEL);
        let listed = ListParams::default().labels(&selector);
        let found = eventually(&format!("pods of {access}"), || async {
            let found = pods
                .list(&listed)
                .await
                .map_err(|error| error.to_string())?;
            if found.items.is_empty() {
                Err("none".to_owned())
            } else {
                Ok(found.items)
            }
        })
        .await;
        let ready = if ready { "True" } else { "False" };
        for pod in found {
            let status = json!({"status": {
                "phase": "Running", "podIP": address.to_string(), "podIPs": [{"ip": address.to_string()}],
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            }});
            let name = pod.metadata.name.unwrap();
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }
}

impl Gateways {
    async fn start(port: u16) -> Self {
        let policy = |statements: Value| json!({"Version": "2012-10-17", "Statement": statements});
        let trust = |principal: &str| {
            policy(json!([{
                "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": principal},
            }]))
        };
        let user =
            policy(json!([{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]));
        let config = Config::default()
            .with_user("dev", ACCESS_KEY, SECRET_KEY, user)
            .with_role(
                ROLE,
                trust("arn:aws:iam::123456789012:root"),
                allow_bedrock(),
            )
            .with_role(
                DOCUMENTS_ROLE,
                trust("arn:aws:iam::999999999999:root"),
                allow_bedrock(),
            );
        let double = Double::start(config).await.unwrap();
        let url = double.url();
        let environment = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_ENDPOINT_URL", url.as_str()),
        ];
        let directory = tempfile::tempdir().unwrap();
        let start = async |ip: Ipv4Addr, name: &str, role: &str| {
            let document = json!({
                "access": {"namespace": TEAM, "name": name},
                "assumeRoles": [{"roleArn": role}],
                "models": [{"name": "fast", "targets": [{"modelId": MODEL}]}],
            });
            let path = directory.path().join(format!("{name}.yaml"));
            std::fs::write(&path, document.to_string()).unwrap();
            let admin = SocketAddr::from((ip, port));
            Gateway::start_with_admin(admin, &environment, Some(&path)).await
        };
        let well = start(Self::WELL, "chat", ROLE).await;
        let tickets = start(Self::TICKETS, "tickets", ROLE).await;
        let failing = start(Self::FAILING, "documents", DOCUMENTS_ROLE).await;
        well.ready().await;
        tickets.ready().await;
        Self {
            well,
            _tickets: tickets,
            _failing: failing,
            _double: double,
            _directory: directory,
        }
    }

    const WELL: Ipv4Addr = Ipv4Addr::LOCALHOST;
    const FAILING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const TICKETS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

    pub(super) fn well_ip() -> IpAddr {
        Self::WELL.into()
    }

    pub(super) fn failing_ip() -> IpAddr {
        Self::FAILING.into()
    }

    pub(super) fn tickets_ip() -> IpAddr {
        Self::TICKETS.into()
    }

    /// URL of the gateway with credentials.
    pub(super) fn url(&self) -> String {
        self.well.url()
    }

    pub(super) async fn chat(&self, times: usize) {
        for _ in 0..times {
            let answer = self.well.chat("fast", "hello").await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}
