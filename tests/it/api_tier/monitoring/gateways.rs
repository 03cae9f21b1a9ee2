//! Gateways with a simulated AWS each: one that is well, and one for each fault that an alert is for.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use awsdouble::{Config, Double, Fault, FaultAction, allow_bedrock};
use futures::future::join_all;
use serde_json::{Value, json};

use super::prometheus::Target;
use crate::support::{
    eventually, free_address,
    gateway::{Gateway, KEY},
    http,
};

const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
const SECRET_KEY: &str = "a-secret-key-of-the-test-suite-alone";
/// Role of a gateway, and role of a target.
const ROLE: &str = "arn:aws:iam::123456789012:role/Gateway";
const TARGET_ROLE: &str = "arn:aws:iam::123456789012:role/Target";
const MODEL: &str = "amazon.nova-lite-v1:0";
/// Lifetime of credentials that are not renewed, in seconds.
const SHORT_LIFE: u64 = 30;
/// The gateway without a fault.
pub(super) const WELL: &str = "chat";

/// A gateway, its AWS and its configuration file.
struct One {
    name: &'static str,
    gateway: Gateway,
    double: Double,
    directory: tempfile::TempDir,
}

/// All gateways, and the store of rate limits.
pub(super) struct Gateways {
    all: Vec<One>,
    store: Child,
}

/// An account with a user who may assume two roles.
fn account(target_trusts: &str) -> Config {
    let statement = |action: &str, resource: &str| json!({"Effect": "Allow", "Action": action, "Resource": resource});
    let policy = |statements: Value| json!({"Version": "2012-10-17", "Statement": statements});
    let trust = |principal: &str| {
        policy(json!([{
            "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": principal},
        }]))
    };
    let root = "arn:aws:iam::123456789012:root";
    let assume = policy(json!([statement("sts:AssumeRole", "*")]));
    let both = policy(json!([
        statement("sts:AssumeRole", "*"),
        statement("bedrock:*", "*"),
    ]));
    Config::default()
        .with_user("dev", ACCESS_KEY, SECRET_KEY, assume)
        .with_role(ROLE, trust(root), both)
        .with_role(TARGET_ROLE, trust(target_trusts), allow_bedrock())
}

fn document(name: &str, limits: &Value) -> Value {
    let target = json!({"modelId": MODEL, "assumeRole": {"roleArn": TARGET_ROLE}});
    json!({
        "access": {"namespace": "team-a", "name": name},
        "assumeRoles": [{"roleArn": ROLE}],
        "models": [
            {"name": "fast", "targets": [{"modelId": MODEL}]},
            {"name": "far", "targets": [target]},
        ],
        "limits": limits,
    })
}

impl One {
    async fn start(name: &'static str, limits: Value, config: Config) -> Self {
        let double = Double::start(config).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.yaml");
        fs::write(&path, document(name, &limits).to_string()).unwrap();
        let url = double.url();
        let environment = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_ENDPOINT_URL", url.as_str()),
        ];
        let gateway = Gateway::start(&environment, Some(&path)).await;
        gateway.ready().await;
        Self {
            name,
            gateway,
            double,
            directory,
        }
    }

    /// One plain and one streamed response.
    async fn ask(&self, model: &str, prompt: &str) {
        for stream in [false, true] {
            let body = json!({
                "model": model, "stream": stream, "logit_bias": {"1": 1},
                "messages": [{"role": "user", "content": prompt}],
            });
            let url = format!("{}/chat/completions", self.gateway.openai_url());
            // A rejection is what some of these requests are for.
            let _ = http::post(&url, KEY, &body).await;
        }
    }
}

impl Gateways {
    /// Starts all gateways and provokes their faults.
    pub(super) async fn start() -> Self {
        let root = "arn:aws:iam::123456789012:root";
        let address = free_address();
        let store = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port"])
            .arg(address.port().to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is required: on Debian, apt-get install redis-server");
        let url = |port: u16| json!({"redis": {"url": format!("redis://127.0.0.1:{port}")}});
        let none = || json!({});
        let short = Config {
            credential_lifetime_seconds: Some(SHORT_LIFE),
            ..account(root)
        };
        let stranger = account("arn:aws:iam::999999999999:root");
        let minute = 1_000_000;
        let well = json!({"requestsPerMinute": minute, "store": url(address.port())});
        let storeless = json!({"requestsPerMinute": minute, "store": url(free_address().port())});
        let starts = vec![
            Box::pin(One::start(WELL, well, account(root))),
            Box::pin(One::start(
                "limited",
                json!({"requestsPerMinute": 1}),
                account(root),
            )),
            Box::pin(One::start("expiring", none(), short)),
            Box::pin(One::start("untrusted", none(), stranger)),
            Box::pin(One::start("throttled", none(), account(root))),
            Box::pin(One::start("failing", none(), account(root))),
            Box::pin(One::start("busy", json!({"maxInFlight": 1}), account(root))),
            Box::pin(One::start("refused", none(), account(root))),
            Box::pin(One::start("storeless", storeless, account(root))),
        ];
        let this = Self {
            all: join_all(starts).await,
            store,
        };
        let unavailable = FaultAction::Error {
            status: 503,
            code: "ServiceUnavailable".to_owned(),
            message: String::new(),
            empty_body: false,
        };
        this.one("expiring").double.inject(Fault {
            service: None,
            operation: Some("AssumeRole".to_owned()),
            after: 0,
            times: None,
            action: unavailable,
        });
        let refused = this.one("refused").directory.path().join("gateway.yaml");
        fs::write(refused, "models: [{name: '', targets: []}]").unwrap();
        this
    }

    fn one(&self, name: &str) -> &One {
        self.all.iter().find(|one| one.name == name).unwrap()
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        let target = |one: &One| Target {
            job: "gateways",
            address: one.gateway.admin(),
            labels: json!({
                "namespace": "team-a", "bedrockaccess": one.name,
                "pod": format!("{}-gateway", one.name),
            }),
        };
        self.all.iter().map(target).collect()
    }

    /// Sends requests to every gateway until the future is dropped.
    pub(super) async fn traffic(&self) {
        let mut every = tokio::time::interval(Duration::from_millis(500));
        loop {
            every.tick().await;
            let busy = self.one("busy");
            let well = self.one(WELL);
            tokio::join!(
                well.ask("fast", "@usage {\"cacheReadInputTokens\": 7, \"cacheWriteInputTokens\": 3}\nhello to all"),
                well.ask("far", "hello"),
                self.one("limited").ask("fast", "hello"),
                self.one("expiring").ask("fast", "hello"),
                self.one("throttled").ask("fast", "@error ThrottlingException"),
                self.one("failing").ask("fast", "@error InternalServerException"),
                busy.ask("fast", "@first 1s\nhello"),
                busy.ask("fast", "hello"),
            );
        }
    }

    /// Waits until the gateway without a fault uses the store.
    pub(super) async fn store_is_used(&self) {
        let url = format!("http://{}/metrics", self.one(WELL).gateway.admin());
        eventually("the store of rate limits is used", || async {
            let page = http::get(&url).await?.text();
            if page.contains("limit_store_up{store=\"redis\"} 1") {
                Ok(())
            } else {
                Err("it is down".to_owned())
            }
        })
        .await;
    }
}

impl Drop for Gateways {
    fn drop(&mut self) {
        let _ = self.store.kill();
        let _ = self.store.wait();
    }
}
