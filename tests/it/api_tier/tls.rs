//! Certificates of the operator: real clients trust each of them, while authority and certificate are rotated.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use api::{
    GatewayConfig,
    config::{Clients, Tls},
    names,
    v1alpha1::BedrockAccess,
};
use awsdouble::{Double, allow_bedrock};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use operator::{Rotation, Settings};
use serde_json::json;

use super::rig::{Rig, TEAM, sample_spec};
use crate::support::{
    clients::python_client,
    eventually,
    gateway::{Gateway, KEY},
    lane,
};

const CHILD: &str = "chat-gateway";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn encrypted() -> serde_json::Value {
    let mut spec = sample_spec();
    spec["gateway"] = json!({"tls": {}});
    spec
}

/// The files of the gateway's pod and of an app's pod, kept as a kubelet keeps them: all files of a volume change at once, and
/// only if one of them differs.
struct Kubelet {
    directory: PathBuf,
    secrets: Api<Secret>,
    configs: Api<ConfigMap>,
}

impl Kubelet {
    fn new(rig: &Rig, directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            secrets: Api::namespaced(rig.client.clone(), TEAM),
            configs: Api::namespaced(rig.client.clone(), TEAM),
        }
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join("tls")
    }

    fn authorities(&self) -> PathBuf {
        self.directory.join("client/ca.crt")
    }

    async fn sync(&self, round: usize) -> Result<(), kube::Error> {
        let secret = self.secrets.get(names::TLS_SECRET).await?;
        let data = secret.data.unwrap_or_default();
        let files = [("tls.crt", "crt"), ("tls.key", "key")].map(|(file, key)| {
            let content = &data[&format!("{CHILD}.{key}")].0;
            (file, content.clone())
        });
        self.volume("tls", round, &files);
        let config = self.configs.get("chat-client").await?;
        let authorities = config.data.unwrap_or_default()["ca.crt"].clone();
        self.volume("client", round, &[("ca.crt", authorities.into_bytes())]);
        Ok(())
    }

    fn volume(&self, name: &str, round: usize, files: &[(&str, Vec<u8>)]) {
        let current = self.directory.join(name);
        let is_same = |(file, content): &(&str, Vec<u8>)| {
            fs::read(current.join(file)).is_ok_and(|found| found == *content)
        };
        if files.iter().all(is_same) {
            return;
        }
        let version = self.directory.join(format!("{name}-{round}"));
        fs::create_dir_all(&version).unwrap();
        for (file, content) in files {
            fs::write(version.join(file), content).unwrap();
        }
        let link = self.directory.join(format!("{name}-next"));
        symlink(&version, &link).unwrap();
        fs::rename(&link, current).unwrap();
    }
}

/// A gateway with the configuration document of the operator, except that its client has a key.
async fn gateway(rig: &Rig, kubelet: &Kubelet, double: &Double) -> Gateway {
    let config = rig.api::<ConfigMap>().get(CHILD).await.unwrap();
    let document = config.data.unwrap()[names::CONFIG_KEY].clone();
    let document = GatewayConfig::from_yaml(&document).unwrap();
    assert_eq!(
        document.tls.as_ref().unwrap().cert_file,
        format!("{}/tls.crt", names::TLS_DIRECTORY)
    );
    let file = |name: &str| {
        kubelet
            .certificate()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let document = GatewayConfig {
        clients: Clients::default(),
        tls: Some(Tls {
            cert_file: file("tls.crt"),
            key_file: file("tls.key"),
        }),
        ..document
    };
    let path = kubelet.directory.join("gateway.yaml");
    fs::write(&path, document.to_yaml().unwrap()).unwrap();
    let environment = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_ENDPOINT_URL", &double.url()),
    ];
    let gateway = Gateway::start(&environment, Some(&path)).await;
    gateway.ready().await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_package_trusts_every_certificate_while_it_and_its_authority_are_rotated() {
    let mut rig = Rig::without_operator().await;
    rig.start_operator_with(Settings {
        // A third of the certificate's lifetime is more than the time until the gateway has reloaded it.
        gateway_certificates: Rotation {
            authority: Duration::from_secs(30),
            certificate: Duration::from_secs(21),
            overlap: Duration::from_secs(3),
            check: Duration::ZERO,
        },
        resync: Duration::from_secs(1),
        ..Settings::default()
    })
    .await;
    rig.apply("chat", &encrypted()).await.unwrap();
    rig.condition("chat", "Encrypted", "True").await;
    rig.children(CHILD).await;
    rig.mark_available(CHILD).await;
    rig.condition("chat", "GatewayAvailable", "True").await;

    let directory = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::new(&rig, directory.path());
    eventually("the files exist", || async {
        kubelet.sync(0).await.map_err(|error| error.to_string())
    })
    .await;
    let double = awsdouble::Config::default().with_user(
        "app",
        "AKIAIOSFODNN7EXAMPLE",
        SECRET_KEY,
        allow_bedrock(),
    );
    let double = Double::start(double).await.unwrap();
    let gateway = gateway(&rig, &kubelet, &double).await;
    let authorities = kubelet.authorities();
    let authorities = authorities.to_str().unwrap().to_owned();
    let syncing = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(200));
        for round in 1.. {
            every.tick().await;
            kubelet.sync(round).await.unwrap();
        }
    });

    let base = format!("https://{CHILD}.{TEAM}.svc:{}/v1", gateway.address.port());
    let seconds = lane::pick("50", "120");
    let environment = [
        ("OPENAI_BASE_URL", base.as_str()),
        ("OPENAI_API_KEY", KEY),
        ("CA_FILE", &authorities),
        ("MODEL", "fast"),
        ("SECONDS", seconds),
    ];
    let seen = python_client("openai/rotation.py", &environment).await;
    syncing.abort();
    assert_eq!(seen["failures"], json!([]), "{seen}");
    assert!(seen["requests"].as_u64() > Some(20), "{seen}");
    assert!(seen["certificates"].as_u64() >= Some(3), "{seen}");
    assert!(seen["bundles"].as_u64() >= Some(2), "{seen}");
    assert_eq!(seen["untrusted"], "SSLCertVerificationError", "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_a_namespace_are_in_one_secret_that_ends_with_the_last_object() {
    let rig = Rig::shared("certificates").await;
    for name in ["chat", "search"] {
        rig.apply(name, &encrypted()).await.unwrap();
    }
    for name in ["chat", "search"] {
        rig.condition(name, "Encrypted", "True").await;
    }
    let secrets = rig.api::<Secret>();
    let secret = secrets.get(names::TLS_SECRET).await.unwrap();
    let keys: Vec<String> = secret.data.unwrap().into_keys().collect();
    assert_eq!(
        keys,
        [
            "ca.crt",
            "ca.key",
            "ca.made",
            "chat-gateway.crt",
            "chat-gateway.key",
            "search-gateway.crt",
            "search-gateway.key"
        ]
    );
    assert_eq!(secret.metadata.owner_references.unwrap().len(), 2);
    let published = |name: &'static str| {
        let configs = rig.api::<ConfigMap>();
        async move {
            eventually(&format!("{name} has the CA"), || async {
                let config = configs.get(name).await.map_err(|error| error.to_string())?;
                let data = config.data.unwrap_or_default();
                data.get("ca.crt")
                    .cloned()
                    .ok_or_else(|| format!("{data:?}"))
            })
            .await
        }
    };
    assert_eq!(
        published("chat-client").await,
        published("search-client").await
    );

    // A Secret of another owner stays as it is.
    let other = Rig::shared("certificates-foreign").await;
    let foreign = json!({"metadata": {"name": names::TLS_SECRET}, "stringData": {"a": "b"}});
    other
        .api::<Secret>()
        .create(
            &PostParams::default(),
            &serde_json::from_value(foreign).unwrap(),
        )
        .await
        .unwrap();
    other.apply("chat", &encrypted()).await.unwrap();
    let (reason, message) = other.condition("chat", "Ready", "False").await;
    assert_eq!(reason, "NameConflict", "{message}");
    assert!(message.contains(names::TLS_SECRET), "{message}");

    for name in ["chat", "search"] {
        rig.api::<BedrockAccess>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }
    eventually("the Secret is deleted", || async {
        match secrets.get_opt(names::TLS_SECRET).await {
            Ok(None) => Ok(()),
            other => Err(format!("{:?}", other.map(|_| "exists"))),
        }
    })
    .await;
}
