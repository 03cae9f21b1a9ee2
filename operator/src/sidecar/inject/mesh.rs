//! Beside Istio's and Linkerd's sidecars, which redirect a pod's network to a proxy of theirs.
//!
//! The sidecar needs AWS before the app starts. Where the proxy is a native sidecar, ours comes after it. Where
//! the proxy is an ordinary container, it runs too late for us, but the container that redirects is the last of
//! the init containers then, and ours comes before it. Only where a CNI plugin redirects from the beginning
//! and the proxy is an ordinary container is there no way.
//! <https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/>,
//! <https://linkerd.io/2/features/proxy-injection/>

use crate::sidecar::{
    pod::{Container, Pod},
    refused::Refused,
};

/// A mesh's sidecar.
struct Mesh {
    /// Its proxy.
    proxy: &'static str,
    /// The init container that redirects where no CNI plugin does.
    redirector: &'static str,
    /// An init container that is there where a CNI plugin redirects.
    validator: &'static str,
    /// The annotation that makes the proxy a native sidecar.
    native: &'static str,
    /// The annotation with the ports whose callers reach the pod directly.
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
/// When the network is redirected from the beginning to a proxy that runs only after the sidecar.
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

/// Whether a container is a mesh's: it is no client of ours.
pub(super) fn is_part(container: &Container) -> bool {
    MESHES.iter().any(|mesh| {
        [mesh.proxy, mesh.redirector, mesh.validator].contains(&container.name.as_str())
    })
}

/// Where the sidecar goes among the init containers.
pub(super) fn place(containers: &[Container]) -> usize {
    let is_proxy = |container: &Container| MESHES.iter().any(|mesh| mesh.proxy == container.name);
    let last = containers.iter().rposition(is_proxy);
    last.map_or(0, |index| index.saturating_add(1))
}

/// Tells a mesh that comes after us that kubelet, operator and Prometheus reach health and metrics directly: they
/// have no certificate of the mesh's.
pub(super) fn leave_probes_alone(pod: &mut Pod, admin_port: u16) {
    // On the node's network no mesh does anything.
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
