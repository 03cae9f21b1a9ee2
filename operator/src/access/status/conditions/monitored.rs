//! `Monitored`: whether the PodMonitor that was asked for can be had. Not set where none is asked for;
//! the endpoint is ready without it.

use api::v1alpha1::{condition, gateway::GatewaySpec};

use super::{State, Verdict};

pub(in crate::access::status) fn verdict(gateway: &GatewaySpec, served: bool) -> Option<Verdict> {
    gateway.pod_monitor.as_ref()?;
    Some(if served {
        Verdict::new(
            State::True,
            condition::REASON_READY,
            "Prometheus finds the gateway pods by a PodMonitor",
        )
    } else {
        Verdict::new(
            State::False,
            condition::REASON_API_NOT_SERVED,
            "spec.gateway.podMonitor: the cluster does not serve PodMonitor (monitoring.coreos.com/v1): install the Prometheus operator, which is looked for every few minutes, or remove the field",
        )
    })
}
