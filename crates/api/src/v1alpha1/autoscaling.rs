//! Horizontal autoscaling of the gateway pods.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Default of `minReplicas`: two pods, so that the endpoint stays available while a node is drained.
pub const DEFAULT_MIN_REPLICAS: i32 = 2;
/// Default of `targetCPUUtilizationPercentage`, in percent of the CPU request.
pub const DEFAULT_CPU_PERCENT: i32 = 80;

/// Settings of a HorizontalPodAutoscaler that scales the gateway pods by CPU utilization.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas").message("minReplicas must not be greater than maxReplicas")
)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingSpec {
    /// Minimum number of gateway pods. Default: 2, or maxReplicas if that is 1.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// Maximum number of gateway pods.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// Target for the average CPU utilization of the gateway pods, in percent of resources.requests.cpu. Default: 80.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(
        rename = "targetCPUUtilizationPercentage",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub target_cpu_utilization_percentage: Option<i32>,
}

impl AutoscalingSpec {
    /// The minimum number of pods, with the default applied.
    pub fn min_replicas(&self) -> i32 {
        self.min_replicas
            .unwrap_or_else(|| DEFAULT_MIN_REPLICAS.min(self.max_replicas))
    }

    /// The target CPU utilization in percent, with the default applied.
    pub fn target_cpu_percent(&self) -> i32 {
        self.target_cpu_utilization_percentage
            .unwrap_or(DEFAULT_CPU_PERCENT)
    }
}
