//! An API server with the definitions installed, and the operator running with the chart's own roles.

mod accounts;
mod chart;
mod definitions;
mod shared;

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, sync::Arc, time::Duration};

use api::v1alpha1::BedrockAccess;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use localcluster::{ApiServer, AuditEvent, Options};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::documents::run_scripts;
use crate::support::eventually;

pub(crate) use chart::{fixture, run};
use chart::{install_chart, operator_user, render};
pub(crate) use shared::Background;
use shared::Shared;

/// Namespace of the operator in these tests.
pub(crate) const OPERATOR_NAMESPACE: &str = "bedrock-access-system";
/// Release name of the chart, and so the name of the operator's ServiceAccount.
const RELEASE: &str = "bedrock-access";
/// The page with the commands of an upgrade.
pub(crate) const UPGRADE_GUIDE: &str = "docs/guide/upgrade-uninstall.md";
/// Namespace of the BedrockAccess objects.
pub(crate) const TEAM: &str = "team-a";

pub(crate) struct Rig {
    pub(crate) client: Client,
    /// Namespace of this test's objects.
    pub(crate) namespace: String,
    cluster: Arc<ApiServer>,
    audit_log: PathBuf,
    operator_user: String,
    rendered: Vec<Value>,
    stop: Option<oneshot::Sender<()>>,
    operator: Option<JoinHandle<Result<(), operator::RunError>>>,
    directory: Arc<tempfile::TempDir>,
    /// Keeps the shared API server running.
    _shared: Option<Arc<Shared>>,
}

impl Rig {
    /// Everything up and running.
    pub(crate) async fn start() -> Self {
        let mut rig = Self::without_operator().await;
        rig.start_operator().await;
        rig
    }

    /// A namespace of this name on the API server that tests share, where an operator with default settings runs.
    pub(crate) async fn shared(namespace: &str) -> Self {
        shared::namespace(namespace).await
    }

    /// The API server of this rig.
    pub(crate) fn cluster(&self) -> &ApiServer {
        &self.cluster
    }

    /// The API server and what `helm install` would put there but for the operator's pod.
    pub(crate) async fn without_operator() -> Self {
        Self::without_operator_with(&[], &[]).await
    }

    /// The same with further namespaces, and further arguments for `helm template`.
    pub(crate) async fn without_operator_with(more: &[&str], chart: &[&str]) -> Self {
        let mut rig = Self::bare(more).await;
        (rig.operator_user, rig.rendered) =
            install_chart(&rig.cluster, rig.directory.path(), chart);
        rig
    }

    /// The API server alone. `helm` installs the chart with the documentation's commands.
    pub(crate) async fn empty() -> Self {
        let mut rig = Self::on_new_server().await;
        rig.rendered = render(&rig.cluster, &[]);
        rig.operator_user = operator_user(&rig.rendered);
        rig
    }

    /// The API server as the first release was installed by `helm install`, but for its operator's program.
    pub(crate) async fn of_first_release() -> Self {
        let rig = Self::bare(&[]).await;
        Self::install_first_release(rig.cluster.helm());
        rig
    }

    /// Installs the first release with this Helm.
    pub(crate) fn install_first_release(mut helm: Command) {
        run(helm
            .args(["install", RELEASE])
            .arg(fixture("first-release/chart"))
            .args(["--namespace", OPERATOR_NAMESPACE]));
    }

    /// Upgrades from the first release with the command of the guide, which also adopts the definitions.
    pub(crate) fn upgrade(&mut self) {
        run_scripts(UPGRADE_GUIDE, "helm 4", &self.cluster, &self.cluster.helm());
        self.rendered = render(&self.cluster, &[]);
        self.operator_user = operator_user(&self.rendered);
    }

    /// The role and binding of the chart that let the operator lead, for another namespace.
    pub(crate) fn lease_role(&self, namespace: &str) -> String {
        let of_leases = |object: &&Value| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            name.ends_with("-leader")
        };
        let mut text = String::new();
        for object in self.rendered.iter().filter(of_leases) {
            let mut object = object.clone();
            object["metadata"]["namespace"] = json!(namespace);
            text.push_str("---\n");
            text.push_str(&serde_yaml::to_string(&object).unwrap());
        }
        text
    }

    /// Applies a document as this field manager.
    pub(crate) fn kubectl_apply(&self, manager: &str, document: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, document).unwrap();
        run(self
            .cluster
            .kubectl()
            .args(["apply", "--server-side", "--field-manager", manager, "-f"])
            .arg(file.path()));
    }

    /// Applies a document as a user does. Returns what kubectl prints to standard error, such as warnings.
    pub(crate) fn kubectl_messages(&self, document: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, document).unwrap();
        let output = self
            .cluster
            .kubectl()
            .args(["apply", "--server-side", "-f"])
            .arg(file.path())
            .output()
            .unwrap();
        let messages = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{messages}");
        messages
    }

    /// An API server with namespaces.
    pub(crate) async fn bare(more: &[&str]) -> Self {
        let rig = Self::on_new_server().await;
        for name in [OPERATOR_NAMESPACE, TEAM].iter().chain(more) {
            create_namespace(&rig.client, name).await;
        }
        rig
    }

    async fn on_new_server() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let audit_log = directory.path().join("audit.log");
        let options = Options {
            audit_log: Some(audit_log.clone()),
            ..Options::default()
        };
        let cluster = ApiServer::start(options).await.unwrap();
        let client = cluster.client().await.unwrap();
        Self {
            client,
            namespace: TEAM.to_owned(),
            cluster: Arc::new(cluster),
            audit_log,
            operator_user: String::new(),
            rendered: Vec::new(),
            stop: None,
            operator: None,
            directory,
            _shared: None,
        }
    }

    pub(crate) async fn start_operator(&mut self) {
        self.start_operator_with(operator::Settings::default())
            .await;
    }

    /// The objects of the chart, with further arguments for `helm template`.
    pub(crate) fn render(&self, chart: &[&str]) -> Vec<Value> {
        render(&self.cluster, chart)
    }

    /// Takes the API server away.
    pub(crate) async fn stop_api_server(&self) {
        self.cluster.stop_api_server().await.unwrap();
    }

    /// Starts the operator with further settings.
    pub(crate) async fn start_operator_with(&mut self, settings: operator::Settings) {
        let client = self.operator_client().await;
        let settings = operator_settings(settings);
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.operator = Some(tokio::spawn(operator::run(client, settings, async move {
            let _ = stopped.await;
        })));
    }

    /// Ends the operator as SIGTERM does.
    pub(crate) async fn stop_operator(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.operator.take().unwrap().await.unwrap().unwrap();
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a BedrockAccess of this name and spec as `kubectl apply --server-side` does.
    pub(crate) async fn apply(
        &self,
        name: &str,
        spec: &Value,
    ) -> Result<BedrockAccess, kube::Error> {
        let object = json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1",
            "kind": "BedrockAccess",
            "metadata": {"name": name},
            "spec": spec,
        });
        let parameters = PatchParams::apply("integration-test").force();
        self.api::<BedrockAccess>()
            .patch(name, &parameters, &Patch::Apply(&object))
            .await
    }

    /// Waits until a condition of a BedrockAccess has this status and returns its reason and message.
    pub(crate) async fn condition(
        &self,
        access: &str,
        kind: &str,
        status: &str,
    ) -> (String, String) {
        let api = self.api::<BedrockAccess>();
        eventually(&format!("{access}: {kind}={status}"), || async {
            let object = api.get(access).await.map_err(|error| error.to_string())?;
            let value = serde_json::to_value(&object.status).unwrap();
            let generation = object.metadata.generation;
            value["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|condition| {
                    condition["type"] == kind
                        && condition["status"] == status
                        && condition["observedGeneration"].as_i64() == generation
                })
                .map(|condition| {
                    let text =
                        |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                    (text("reason"), text("message"))
                })
                .ok_or_else(|| value.to_string())
        })
        .await
    }

    /// Waits until all four kinds of children are there.
    pub(crate) async fn children(
        &self,
        name: &str,
    ) -> (ServiceAccount, ConfigMap, Deployment, Service) {
        eventually(&format!("children {name}"), || async {
            let error = |error: kube::Error| error.to_string();
            Ok((
                self.api::<ServiceAccount>()
                    .get(name)
                    .await
                    .map_err(error)?,
                self.api::<ConfigMap>().get(name).await.map_err(error)?,
                self.api::<Deployment>().get(name).await.map_err(error)?,
                self.api::<Service>().get(name).await.map_err(error)?,
            ))
        })
        .await
    }

    /// Reports working pods as a kubelet would; this tier has no kubelet, the Deployment
    /// controller does the rest.
    pub(crate) async fn mark_available(&self, deployment: &str) {
        let wanted = self
            .api::<Deployment>()
            .get(deployment)
            .await
            .unwrap()
            .spec
            .unwrap();
        let selector: Vec<String> = wanted
            .selector
            .match_labels
            .unwrap()
            .iter()
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        let listed = ListParams::default().labels(&selector.join(","));
        let pods = self.api::<Pod>();
        let names = eventually(&format!("pods of {deployment}"), || async {
            let found = pods
                .list(&listed)
                .await
                .map_err(|error| error.to_string())?
                .items;
            let names: Vec<String> = found
                .into_iter()
                .filter_map(|pod| pod.metadata.name)
                .collect();
            if i32::try_from(names.len()).ok() == wanted.replicas {
                Ok(names)
            } else {
                Err(format!("{names:?}"))
            }
        })
        .await;
        let status = json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }});
        for name in names {
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }

    /// Serves `PodMonitor`, as an installation of the Prometheus operator does.
    pub(crate) async fn serve_pod_monitors(&self) {
        let definition = serde_json::from_value(json!({
            "metadata": {"name": "podmonitors.monitoring.coreos.com"},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": {"kind": "PodMonitor", "plural": "podmonitors", "singular": "podmonitor"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    }},
                }],
            },
        }))
        .unwrap();
        let definitions = Api::<CustomResourceDefinition>::all(self.client.clone());
        definitions
            .create(&PostParams::default(), &definition)
            .await
            .unwrap();
        self.until_served("podmonitors.monitoring.coreos.com").await;
    }

    /// What the chart's roles grant the operator: a verb and a resource or path each, as "patch services".
    pub(crate) fn granted(&self) -> BTreeSet<String> {
        let account = self.operator_user.rsplit(':').next().unwrap();
        let ends_with = |object: &&Value, end: &str| {
            let kind = object["kind"].as_str().unwrap_or_default();
            ["", "Cluster"]
                .iter()
                .any(|scope| kind == format!("{scope}{end}"))
        };
        let texts = |value: &Value| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items
                .map(|item| item.as_str().unwrap().to_owned())
                .collect()
        };
        let bound = self
            .rendered
            .iter()
            .filter(|object| ends_with(object, "RoleBinding"))
            .filter(|binding| {
                let mut subjects = binding["subjects"].as_array().into_iter().flatten();
                subjects.any(|subject| subject["name"] == account)
            })
            .map(|binding| (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]));
        let mut granted = BTreeSet::new();
        for (kind, name) in bound {
            let role = self
                .rendered
                .iter()
                .find(|role| role["kind"] == *kind && role["metadata"]["name"] == *name)
                .unwrap_or_else(|| panic!("{kind} {name} is bound and not there"));
            for rule in role["rules"].as_array().unwrap() {
                for verb in texts(&rule["verbs"]) {
                    for what in ["resources", "nonResourceURLs"] {
                        let whats = texts(&rule[what]).into_iter();
                        granted.extend(whats.map(|what| format!("{verb} {what}")));
                    }
                }
            }
        }
        assert!(!granted.is_empty(), "the chart grants nothing");
        granted
    }

    /// Every request of the operator's so far.
    pub(crate) fn operator_requests(&self) -> Vec<AuditEvent> {
        AuditEvent::read(&self.audit_log)
            .unwrap()
            .into_iter()
            .filter(|event| event.user == self.operator_user)
            .collect()
    }
}

async fn create_namespace(client: &Client, name: &str) {
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

/// Settings of an operator under test.
fn operator_settings(settings: operator::Settings) -> operator::Settings {
    operator::Settings {
        gateway_image: "bedrock-gateway:test".to_owned(),
        discovery_refresh: Duration::from_secs(2),
        ..settings
    }
}

/// The spec of the sample in the README.
pub(crate) fn sample_spec() -> Value {
    json!({
        "region": "us-east-1",
        "identity": {"irsa": {"roleArn": "arn:aws:iam::123456789012:role/BedrockRole"}},
        "models": [{"name": "fast", "modelId": "us.amazon.nova-2-lite-v1:0"}],
        "clients": {"serviceAccounts": [{"name": "app"}]},
    })
}
