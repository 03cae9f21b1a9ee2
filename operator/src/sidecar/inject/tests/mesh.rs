//! Istio and Linkerd with the sidecar, in the shapes they inject, before and after this webhook.

use super::*;

/// A pod whose containers have these names; `*` marks a native sidecar.
fn shaped(init: &[&str], containers: &[&str]) -> Pod {
    let list = |names: &[&str]| -> Vec<Value> {
        names
            .iter()
            .map(|name| match name.strip_suffix('*') {
                Some(name) => json!({"name": name, "restartPolicy": "Always"}),
                None => json!({"name": name}),
            })
            .collect()
    };
    let pod = json!({"metadata": {}, "spec": {
        "initContainers": list(init), "containers": list(containers),
    }});
    Pod::deserialize(&pod).unwrap()
}

fn init_names(pod: &Pod) -> Vec<&str> {
    let init = pod.spec.init_containers.iter().flatten();
    init.map(|container| container.name.as_str()).collect()
}

fn put_in(pod: &mut Pod) {
    inject(pod, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned())).unwrap();
}

#[test]
fn sidecar_comes_after_a_native_proxy_and_before_an_init_container_that_redirects() {
    let gateway = names::GATEWAY_NAME;
    for (case, init, containers, expected) in [
        (
            "Istio, native",
            vec!["istio-init", "istio-proxy*", "migrate"],
            vec!["app"],
            vec!["istio-init", "istio-proxy", gateway, "migrate"],
        ),
        (
            "Istio, native, with its CNI plugin",
            vec!["istio-validation", "istio-proxy*", "migrate"],
            vec!["app"],
            vec!["istio-validation", "istio-proxy", gateway, "migrate"],
        ),
        (
            "Istio, an ordinary container",
            vec!["migrate", "istio-init"],
            vec!["istio-proxy", "app"],
            vec![gateway, "migrate", "istio-init"],
        ),
        (
            "Linkerd, native",
            vec!["linkerd-init", "linkerd-proxy*"],
            vec!["app"],
            vec!["linkerd-init", "linkerd-proxy", gateway],
        ),
        (
            "Linkerd, native, with its CNI plugin",
            vec!["linkerd-network-validator", "linkerd-proxy*"],
            vec!["app"],
            vec!["linkerd-network-validator", "linkerd-proxy", gateway],
        ),
        (
            "Linkerd, an ordinary container",
            vec!["linkerd-init"],
            vec!["linkerd-proxy", "app"],
            vec![gateway, "linkerd-init"],
        ),
    ] {
        let mut pod = shaped(&init, &containers);
        put_in(&mut pod);
        assert_eq!(init_names(&pod), expected, "{case}");
        let once = pod.clone();
        put_in(&mut pod);
        assert_eq!(patch(&once, &pod), [], "{case}");
    }
}

/// The API server calls webhooks in the order of their names, so this webhook runs before both meshes, and again after
/// they changed the pod.
#[test]
fn mesh_injected_later_leads_to_the_same_order() {
    let gateway = names::GATEWAY_NAME;
    for proxy in ["istio-proxy", "linkerd-proxy"] {
        let mut pod = shaped(&["migrate"], &["app"]);
        put_in(&mut pod);
        // The proxy must come before the sidecar, wherever the mesh puts it.
        for place in 0..=2 {
            let mut pod = pod.clone();
            let native = json!({"name": proxy, "restartPolicy": "Always"});
            let init = pod.spec.init_containers.as_mut().unwrap();
            init.insert(place, serde_json::from_value(native).unwrap());
            put_in(&mut pod);
            let names = init_names(&pod);
            let expected = if place == 2 {
                ["migrate", proxy, gateway]
            } else {
                [proxy, gateway, "migrate"]
            };
            assert_eq!(names, expected, "from index {place}");
            let mut init = pod.spec.init_containers.iter().flatten();
            let found = init.find(|container| container.name == proxy).unwrap();
            assert_eq!(found.env, None, "a proxy is not a client of the gateway");
        }
    }
}

#[test]
fn pod_whose_proxy_starts_too_late_is_rejected_with_the_fix() {
    for (validator, proxy, annotation) in [
        (
            "istio-validation",
            "istio-proxy",
            "sidecar.istio.io/nativeSidecar",
        ),
        (
            "linkerd-network-validator",
            "linkerd-proxy",
            "config.linkerd.io/proxy-enable-native-sidecar",
        ),
    ] {
        let mut pod = shaped(&[validator], &[proxy, "app"]);
        let refused = inject(&mut pod, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned())).unwrap_err();
        assert_eq!(refused.reason(), "MeshTooLate");
        assert!(refused.to_string().contains(annotation), "{refused}");
    }
}

#[test]
fn health_and_metrics_bypass_the_mesh() {
    const ISTIO: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
    const LINKERD: &str = "config.linkerd.io/skip-inbound-ports";
    for (before, expected) in [
        ("", "9090"),
        ("3306, 5432", "3306,5432,9090"),
        ("9090", "9090"),
    ] {
        let mut pod = shaped(&[], &["app"]);
        if !before.is_empty() {
            pod.annotate(ISTIO, before.to_owned());
        }
        put_in(&mut pod);
        put_in(&mut pod);
        assert_eq!(pod.annotation(ISTIO), Some(expected));
        assert_eq!(pod.annotation(LINKERD), Some("9090"));
    }
    let mut on_node = shaped(&[], &["app"]);
    on_node.spec.host_network = true;
    put_in(&mut on_node);
    assert_eq!(on_node.annotation(ISTIO), None);
}
