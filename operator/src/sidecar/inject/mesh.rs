//! Service meshes: Istio and Linkerd redirect a pod's network to their own proxy.
//!
//! The sidecar needs AWS before the app starts. If the proxy is a native sidecar, the gateway comes after it. If the
//! proxy is an ordinary container, it starts too late, but then the container that redirects the network is the last
//! init container, and the gateway comes before it. Only if a CNI plugin redirects the network from the start and the
//! proxy is an ordinary container, no order works.
//! <https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/>,
//! <https://linkerd.io/2/features/proxy-injection/>

use crate::sidecar::{
    pod::{Container, Pod},
    refused::Refused,
};

/// Container names and annotations of a mesh.
struct Mesh {
    /// The proxy.
    proxy: &'static str,
    /// The init container that redirects the network if no CNI plugin does.
    redirector: &'static str,
    /// The init container that is present if a CNI plugin redirects the network.
    validator: &'static str,
    /// The annotation that makes the proxy a native sidecar.
    native: &'static str,
    /// The annotation with the ports that bypass the proxy.
    direct_ports: &'static str,
}

const MESHES: [Mesh; 2] = [
    Mesh {
        proxy: "istio-proxy",
        redirector: "istio-init",
        validator: "istio-validation",
        native: "sidecar.istio.io/nativeSidecar",
        direct_ports: "traffic.sidecar.istio.io/excludeInboundPorts",
    },
    Mesh {
        proxy: "linkerd-proxy",
        redirector: "linkerd-init",
        validator: "linkerd-network-validator",
        native: "config.linkerd.io/proxy-enable-native-sidecar",
        direct_ports: "config.linkerd.io/skip-inbound-ports",
    },
];

/// # Errors
/// When the network is redirected from the start to a proxy that starts after the sidecar.
pub(super) fn check(pod: &Pod) -> Result<(), Refused> {
    let named =
        |containers: &[Container], name: &str| containers.iter().any(|one| one.name == name);
    let init = pod.spec.init_containers.as_deref().unwrap_or_default();
    for mesh in &MESHES {
        if named(&pod.spec.containers, mesh.proxy) && named(init, mesh.validator) {
            return Err(Refused::MeshTooLate {
                proxy: mesh.proxy,
                annotation: mesh.native,
            });
        }
    }
    Ok(())
}

/// Whether a container is part of a mesh, and so not a client of the gateway.
pub(super) fn is_part(container: &Container) -> bool {
    MESHES.iter().any(|mesh| {
        [mesh.proxy, mesh.redirector, mesh.validator].contains(&container.name.as_str())
    })
}

/// Index of the sidecar among the init containers.
pub(super) fn place(containers: &[Container]) -> usize {
    let is_proxy = |container: &Container| MESHES.iter().any(|mesh| mesh.proxy == container.name);
    let last = containers.iter().rposition(is_proxy);
    last.map_or(0, |index| index.saturating_add(1))
}

/// Makes kubelet, operator and Prometheus bypass a mesh that is injected after the sidecar, since they have no
/// certificate of the mesh.
pub(super) fn leave_probes_alone(pod: &mut Pod, admin_port: u16) {
    // Meshes ignore pods on the node's network.
    if pod.spec.host_network {
        return;
    }
    let port = admin_port.to_string();
    for mesh in &MESHES {
        let before = pod.annotation(mesh.direct_ports).unwrap_or_default();
        let mut ports: Vec<&str> = before.split(',').map(str::trim).collect();
        ports.retain(|port| !port.is_empty());
        if !ports.contains(&port.as_str()) {
            ports.push(&port);
            let ports = ports.join(",");
            pod.annotate(mesh.direct_ports, ports);
        }
    }
}
