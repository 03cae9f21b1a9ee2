//! Settings of the gateway pods: the fields that platform teams need, instead of a free-form pod template.

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
    autoscaling::AutoscalingSpec, http_route::HttpRouteSpec, network_policy::NetworkPolicySpec,
    pod_monitor::PodMonitorSpec, tls::TlsSpec,
};

/// Default of `replicas`: two pods, so that the endpoint stays available while a node is drained.
pub const DEFAULT_REPLICAS: i32 = 2;

/// Settings of the gateway pods and of the objects that belong to them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.replicas) || !has(self.autoscaling)").message("set replicas or autoscaling, not both: the autoscaler controls the number of pods"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.resources) || (has(self.resources.requests) && 'cpu' in self.resources.requests)").message("autoscaling requires resources.requests.cpu: the autoscaler measures CPU utilization relative to it")
)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Run gateway pods with a Service. Set it to false if only sidecars are needed.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Number of gateway pods. 0 takes the endpoint out of service. Must not be set together with autoscaling.
    /// Default: 2.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Scale the gateway pods with a HorizontalPodAutoscaler. If not set, the number of pods is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,
    /// CPU and memory of the gateway container. Default: requests of 100m CPU and 64Mi memory, and a limit of 512Mi
    /// memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Image of the gateway. Default: the image that the operator is configured with.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Image pull policy of gateway pods and sidecars. Default: IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with credentials for private registries.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Log level of gateway pods and sidecars. Default: info.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Labels that a node must have to run gateway pods.
    #[schemars(extend("maxProperties" = 32))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that gateway pods tolerate.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Node and pod affinity of gateway pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Topology spread constraints of gateway pods. A constraint without labelSelector selects the gateway pods. If not
    /// set, pods are spread over zones and nodes with whenUnsatisfiable ScheduleAnyway.
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// PriorityClass of gateway pods.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Additional labels of gateway pods.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not contain bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Additional annotations of gateway pods.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/'))").message("must not contain bedrockaccess.dev/ annotations: the operator sets them"))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Settings of the Service of the gateway.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub service: ServiceSpec,
    /// Settings of the NetworkPolicy of the gateway pods.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub network_policy: NetworkPolicySpec,
    /// Create a PodMonitor for the gateway pods, if the cluster has the Prometheus operator. Set it to {} to use the
    /// defaults. If not set, no PodMonitor is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_monitor: Option<PodMonitorSpec>,
    /// Serve the API with TLS. Set it to {} to use a certificate of the operator. If not set, the Service serves HTTP without
    /// TLS. Sidecars are not affected: they listen on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Create an HTTPRoute for the Service, and a BackendTLSPolicy if the authority of its certificate is known, if the cluster
    /// serves the Gateway API. If not set, none is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRouteSpec>,
}

/// Settings of the Service of the gateway.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Additional labels of the Service.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not contain bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Additional annotations of the Service.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/'))").message("must not contain bedrockaccess.dev/ annotations: the operator sets them"))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

// Doc comments on the variants would turn the `enum` of the schema into a `oneOf`.
/// Image pull policy of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "Kubernetes documents these values")]
pub enum ImagePullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// Log level of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the common log levels")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl ImagePullPolicy {
    /// The value in the form of Kubernetes manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl LogLevel {
    /// The value in the form of log filters.
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

impl GatewaySpec {
    /// CPU and memory of a gateway pod, with the default applied: enough for hundreds of concurrent streams. No CPU
    /// limit, because throttling adds latency.
    pub fn resources(&self) -> ResourceRequirements {
        self.resources
            .clone()
            .unwrap_or_else(|| requirements([("cpu", "100m"), ("memory", "64Mi")], "512Mi"))
    }

    /// The image pull policy, with the default applied.
    pub fn image_pull_policy(&self) -> ImagePullPolicy {
        self.image_pull_policy.unwrap_or_default()
    }

    /// The log level, with the default applied.
    pub fn log_level(&self) -> LogLevel {
        self.log_level.unwrap_or_default()
    }
}

impl Default for GatewaySpec {
    fn default() -> Self {
        Self {
            enabled: enabled(),
            replicas: None,
            autoscaling: None,
            resources: None,
            image: None,
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            log_level: None,
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
            tls: None,
            http_route: None,
        }
    }
}

fn enabled() -> bool {
    true
}

/// These requests, and a limit for memory only.
pub(super) fn requirements(
    requests: [(&str, &str); 2],
    memory_limit: &str,
) -> ResourceRequirements {
    let quantity = |(name, value): (&str, &str)| (name.to_owned(), Quantity(value.to_owned()));
    ResourceRequirements {
        requests: Some(requests.into_iter().map(quantity).collect()),
        limits: Some(BTreeMap::from([quantity(("memory", memory_limit))])),
        claims: None,
    }
}
