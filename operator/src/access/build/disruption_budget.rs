//! The PodDisruptionBudget: a node drain evicts at most a quarter of the gateway pods at a time.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{metadata, selector};
use crate::access::validate::{Scale, Validated};

/// Rounded up, so that at least one pod can always be evicted.
const MAX_UNAVAILABLE: &str = "25%";

/// `None` if there is at most one pod: a budget would either block the drain or have no effect.
pub(super) fn build(access: &Validated) -> Option<PodDisruptionBudget> {
    let most = match access.scale {
        Scale::Fixed(replicas) => replicas,
        Scale::Automatic { max, .. } => max,
    };
    if most < 2 {
        return None;
    }
    Some(PodDisruptionBudget {
        metadata: metadata(access),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::String(MAX_UNAVAILABLE.to_owned())),
            selector: Some(LabelSelector {
                match_labels: Some(selector(access)),
                ..LabelSelector::default()
            }),
            // Pods that do not serve must not block a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
