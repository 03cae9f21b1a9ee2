//! `Monitored`: whether the requested PodMonitor can be created. Not set if none is requested. The endpoint is ready
//! without it.

use api::v1alpha1::{condition, gateway::GatewaySpec};

use super::ConditionOutcome;

pub(crate) fn outcome(gateway: &GatewaySpec, served: bool) -> Option<ConditionOutcome> {
    gateway.pod_monitor.as_ref()?;
    Some(if served {
        ConditionOutcome::yes(
            condition::REASON_READY,
            "Prometheus discovers the gateway pods through a PodMonitor.",
        )
    } else {
        ConditionOutcome::no(
            condition::REASON_API_NOT_SERVED,
            "spec.gateway.podMonitor: the cluster does not serve PodMonitor (monitoring.coreos.com/v1). Install the Prometheus operator, which is detected within minutes, or remove the field or the default in gatewayDefaults.podMonitor.",
        )
    })
}
