//! How the number of gateway pods follows the load.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Fewest pods where nothing else is said: two, so that a drained node takes nobody's endpoint away.
pub const DEFAULT_MIN_REPLICAS: i32 = 2;
/// CPU use to keep to, in percent of the request, where nothing else is said.
pub const DEFAULT_CPU_PERCENT: i32 = 80;

/// How the number of gateway pods follows the load: a HorizontalPodAutoscaler on CPU use.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas must not be greater than maxReplicas")
)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingSpec {
    /// Fewest gateway pods.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "min_replicas")]
    pub min_replicas: i32,
    /// Most gateway pods.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// CPU use to keep to on average, in percent of resources.requests.cpu.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(
        rename = "targetCPUUtilizationPercentage",
        default = "target_cpu_utilization_percentage"
    )]
    pub target_cpu_utilization_percentage: i32,
}

fn min_replicas() -> i32 {
    DEFAULT_MIN_REPLICAS
}

fn target_cpu_utilization_percentage() -> i32 {
    DEFAULT_CPU_PERCENT
}
