//! The operator with its webhook on loopback, and the chart's configuration of it with a URL instead of a
//! Service: there is no network of pods on this tier.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use api::names;
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use operator::{
    CertificateSource, LeaderElection, OwnCertificate, Rotation, Settings, WebhookSettings,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::super::rig::{OPERATOR_NAMESPACE, Rig, TEAM, sample_spec};
use crate::support::{eventually, free_address, http};

/// The access whose sidecar the ServiceAccount `app` may have.
pub(crate) const ACCESS: &str = "chat";

pub(crate) struct SidecarRig {
    pub(crate) rig: Rig,
    pub(crate) webhook: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl SidecarRig {
    /// Everything up, the access there, and the webhook trusted.
    pub(crate) async fn start(rotation: Rotation) -> Self {
        let mut this = Self::without_operator().await;
        this.start_operator(rotation).await;
        this.ready().await;
        this
    }

    /// The API server with the chart's webhook configuration, a BedrockAccess and its ServiceAccounts.
    pub(crate) async fn without_operator() -> Self {
        let rig = Rig::without_operator().await;
        let [webhook, metrics] = [free_address(), free_address()];
        let this = Self {
            rig,
            webhook,
            metrics,
        };
        this.configure(&json!(null)).await;
        let accounts = Api::<ServiceAccount>::namespaced(this.rig.client.clone(), TEAM);
        for name in ["app", "stranger"] {
            let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            accounts
                .create(&PostParams::default(), &account)
                .await
                .unwrap();
        }
        let mut spec = sample_spec();
        spec["sidecar"] = json!({"serviceAccounts": [{"name": "app"}]});
        this.rig.apply(ACCESS, &spec).await.unwrap();
        this
    }

    /// Applies the configuration of `manifests/install.yaml` with this bundle.
    pub(crate) async fn configure(&self, bundle: &Value) {
        let manifest = fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../manifests/install.yaml"
        ))
        .unwrap();
        let mut configuration = serde_yaml::Deserializer::from_str(&manifest)
            .map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap())
            .find(|object| object["kind"] == "MutatingWebhookConfiguration")
            .unwrap();
        let url = format!("https://{}/inject", self.webhook);
        configuration["webhooks"][0]["clientConfig"] = json!({"url": url});
        if bundle.is_string() {
            configuration["webhooks"][0]["clientConfig"]["caBundle"] = bundle.clone();
        }
        Api::<MutatingWebhookConfiguration>::all(self.rig.client.clone())
            .patch(
                names::WEBHOOK_CONFIGURATION,
                &PatchParams::apply("helm").force(),
                &Patch::Apply(&configuration),
            )
            .await
            .unwrap();
    }

    /// Starts the operator with a certificate of its own.
    pub(crate) async fn start_operator(&mut self, rotation: Rotation) {
        self.start_operator_with(CertificateSource::Own(OwnCertificate {
            namespace: OPERATOR_NAMESPACE.to_owned(),
            secret: names::WEBHOOK_SECRET.to_owned(),
            configuration: names::WEBHOOK_CONFIGURATION.to_owned(),
            validation_configuration: names::VALIDATION_CONFIGURATION.to_owned(),
            names: vec!["127.0.0.1".to_owned()],
            rotation,
        }))
        .await;
    }

    pub(crate) async fn start_operator_with(&mut self, certificate: CertificateSource) {
        self.rig
            .start_operator_with(Settings {
                metrics_address: Some(self.metrics),
                leader_election: Some(LeaderElection::new(OPERATOR_NAMESPACE, "operator")),
                webhook: Some(WebhookSettings {
                    address: self.webhook,
                    client_authority: None,
                    certificate,
                }),
                ..Settings::default()
            })
            .await;
    }

    /// Starts an operator in a process of its own, with a certificate from files; it ends with what is given back.
    pub(crate) async fn start_program(&self, program: &Path) -> Program {
        let directory = tempfile::tempdir().unwrap();
        let (authority, certificate) = authority();
        let (certificate, key) = certificate(1);
        fs::write(directory.path().join("tls.crt"), certificate).unwrap();
        fs::write(directory.path().join("tls.key"), key).unwrap();
        self.configure(&json!(STANDARD.encode(authority))).await;
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let child = tokio::process::Command::new(program)
            .env("KUBECONFIG", self.rig.operator_kubeconfig().await)
            .env("GATEWAY_IMAGE", "bedrock-gateway:test")
            .arg(format!("--webhook-address={}", self.webhook))
            .arg(format!("--metrics-address={}", self.metrics))
            .arg(format!("--health-address={}", free_address()))
            .arg("--webhook-certificate-directory")
            .arg(directory.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Program {
            _child: child,
            _directory: directory,
        }
    }

    /// Waits until a pod that may have the sidecar gets it; nothing is made.
    pub(crate) async fn ready(&self) {
        eventually("the webhook answers", || async {
            let parameters = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let pod = pod("probe", &json!({}), &json!({}));
            let made = self.pods().create(&parameters, &pod).await;
            made.map_err(|error| error.to_string()).map(drop)
        })
        .await;
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        self.rig.api()
    }

    pub(crate) async fn create(&self, pod: &Pod) -> Result<Pod, String> {
        let made = self.pods().create(&PostParams::default(), pod).await;
        made.map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        })
    }

    /// The operator's metrics.
    pub(crate) async fn metrics(&self) -> String {
        let response = http::get(&format!("http://{}/metrics", self.metrics)).await;
        response.unwrap().text()
    }
}

/// An operator in a process of its own.
#[derive(Debug)]
pub(crate) struct Program {
    _child: tokio::process::Child,
    _directory: tempfile::TempDir,
}

/// Rotation that nothing is seen of in a test.
pub(crate) fn calm() -> Rotation {
    Rotation {
        check: Duration::from_millis(500),
        ..Rotation::default()
    }
}

/// A pod of the app's that asks for the sidecar; labels and spec can be changed.
pub(crate) fn pod(name: &str, labels: &Value, spec: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "labels": {names::INJECT_LABEL: ACCESS}},
        "spec": {"serviceAccountName": "app", "containers": [{"name": "app", "image": "app:1"}]},
    });
    for (name, value) in labels.as_object().unwrap() {
        pod["metadata"]["labels"][name] = value.clone();
    }
    for (name, value) in spec.as_object().unwrap() {
        pod["spec"][name] = value.clone();
    }
    // A label of no value is one that is left out.
    if let Some(labels) = pod["metadata"]["labels"].as_object_mut() {
        labels.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(pod).unwrap()
}

/// Whether a pod has the sidecar.
pub(crate) fn has_sidecar(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref().unwrap();
    spec.init_containers
        .iter()
        .flatten()
        .any(|container| container.name == names::GATEWAY_NAME)
}

/// An authority, and a maker of certificates of it that end in so many days.
pub(crate) fn authority() -> (String, impl Fn(i64) -> (String, String)) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let make = move |days: i64| {
        let issuer = Issuer::from_params(&params, &key);
        let own = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(10);
        params.not_after = now + time::Duration::days(days);
        (
            params.signed_by(&own, &issuer).unwrap().pem(),
            own.serialize_pem(),
        )
    };
    (pem, make)
}
