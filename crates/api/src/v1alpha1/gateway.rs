//! How the gateway runs: what a platform team has to set, and no free-form pod template.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    autoscaling::AutoscalingSpec, network_policy::NetworkPolicySpec, pod_monitor::PodMonitorSpec,
};

/// Gateway pods where nothing else is said: two, so that a drained node takes nobody's endpoint away.
pub const DEFAULT_REPLICAS: i32 = 2;

/// How the gateway runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.replicas) || !has(self.autoscaling)").message("set replicas or autoscaling, not both: autoscaling decides on the number of pods"),
    validation = Rule::new("!has(self.autoscaling) || (has(self.resources.requests) && 'cpu' in self.resources.requests)").message("autoscaling needs resources.requests.cpu: CPU use is measured against it")
)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Whether there are gateway pods with a Service in front; false for an access that only sidecars use.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Number of gateway pods; left out, 2 unless autoscaling is set. 0 takes the endpoint out of service.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How the number of gateway pods follows the load; left out, it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,
    /// CPU and memory of the gateway container.
    #[serde(default = "resources")]
    pub resources: ResourceRequirements,
    /// Image of the gateway; left out, the one that the operator was installed with.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When the kubelet pulls the image.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// Secrets with the credentials of private registries.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default)]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// How much the gateway logs.
    #[serde(default)]
    pub log_level: LogLevel,
    /// Labels that a node must carry to run gateway pods.
    #[schemars(extend("maxProperties" = 32))]
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that gateway pods put up with.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// Which nodes and neighbours gateway pods seek or avoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How gateway pods spread over nodes and zones; left out, evenly as far as possible. A constraint without labelSelector counts the gateway's own pods.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// PriorityClass of gateway pods.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Labels of gateway pods besides the operator's own.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not hold bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
    #[serde(default)]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of gateway pods.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/'))").message("must not hold bedrockaccess.dev/ annotations: the operator sets them"))]
    #[serde(default)]
    pub pod_annotations: BTreeMap<String, String>,
    /// The Service in front of the gateway pods.
    #[serde(default)]
    pub service: ServiceSpec,
    /// Who may reach the gateway pods over the network.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,
    /// Asks for a PodMonitor, where the cluster has the Prometheus operator; {} takes the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_monitor: Option<PodMonitorSpec>,
}

/// The Service in front of the gateway pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Labels of the Service besides the operator's own.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not hold bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Service.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/'))").message("must not hold bedrockaccess.dev/ annotations: the operator sets them"))]
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

// Doc comments on the variants would turn the schema's `enum` into a `oneOf`.
/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum ImagePullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// How much a gateway logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the usual levels")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl ImagePullPolicy {
    /// The value as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl LogLevel {
    /// The value as log filters write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for GatewaySpec {
    fn default() -> Self {
        Self {
            enabled: enabled(),
            replicas: None,
            autoscaling: None,
            resources: resources(),
            image: None,
            image_pull_policy: ImagePullPolicy::default(),
            image_pull_secrets: Vec::new(),
            log_level: LogLevel::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: None,
            priority_class_name: None,
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            service: ServiceSpec::default(),
            network_policy: NetworkPolicySpec::default(),
            pod_monitor: None,
        }
    }
}

fn enabled() -> bool {
    true
}

/// Enough for hundreds of streams; no CPU limit, since throttling would show as latency.
fn resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        Some(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned())))
                .collect(),
        )
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "100m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "512Mi")]),
        claims: None,
    }
}
