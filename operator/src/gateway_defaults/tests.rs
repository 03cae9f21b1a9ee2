use super::*;
use crate::fixtures::access;

fn defaults(text: &str) -> GatewayDefaults {
    GatewayDefaults::from_yaml(text).unwrap()
}

fn gateway(text: &str, more: &str) -> GatewaySpec {
    defaults(text).gateway(&access(more).spec)
}

#[test]
fn empty_documents_have_no_defaults() {
    for text in ["", "# nothing\n", "{}", "null"] {
        assert_eq!(defaults(text), GatewayDefaults::default(), "{text:?}");
    }
    assert_eq!(
        gateway("{}", "gateway: {replicas: 3}"),
        access("gateway: {replicas: 3}").spec.gateway
    );
}

#[test]
fn maps_merge_by_key_and_the_object_takes_precedence() {
    let text = "{podLabels: {a: '1', b: '1', c: '1'}, podAnnotations: {a: '1', b: '1'}, nodeSelector: {a: '1', b: '1'}, podMonitor: {labels: {a: '1', b: '1'}, interval: 30s}}";
    let more = "{commonLabels: {c: '2'}, gateway: {podLabels: {b: '2'}, podAnnotations: {b: '2'}, nodeSelector: {b: '2'}, podMonitor: {labels: {b: '2'}}}}";
    let gateway = gateway(text, more);
    let expected =
        BTreeMap::from([("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let monitor = gateway.pod_monitor.unwrap();
    for map in [
        &gateway.pod_labels,
        &gateway.pod_annotations,
        &gateway.node_selector,
        &monitor.labels,
    ] {
        assert_eq!(map, &expected);
    }
    assert_eq!(monitor.interval.as_deref(), Some("30s"));
}

#[test]
fn lists_and_scalars_of_the_object_replace_the_default() {
    let text = "{imagePullSecrets: [{name: a}], tolerations: [{key: a}], topologySpreadConstraints: [{topologyKey: a, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}], priorityClassName: low, resources: {requests: {cpu: 1, memory: 1Gi}}}";
    let inherited = gateway(text, "{}");
    assert_eq!(inherited.image_pull_secrets[0].name, "a");
    assert_eq!(inherited.tolerations[0].key.as_deref(), Some("a"));
    assert_eq!(inherited.topology_spread_constraints.unwrap().len(), 1);
    assert_eq!(inherited.priority_class_name.as_deref(), Some("low"));
    assert!(inherited.resources.unwrap().limits.is_none());
    let more = "{gateway: {imagePullSecrets: [{name: b}], tolerations: [{key: b}], topologySpreadConstraints: [], priorityClassName: high, resources: {limits: {memory: 2Gi}}}}";
    let own = gateway(text, more);
    assert_eq!(own, access(more).spec.gateway);
}

#[test]
fn mistake_is_rejected_with_the_field() {
    for (text, expected) in [
        ("imagePullSecret: []", "imagePullSecret"),
        ("podLabels: [a]", "podLabels"),
        (
            "tolerations: [{key: a, effekt: NoSchedule}]",
            "tolerations[0].effekt",
        ),
        ("tolerations: [{key: [a]}]", "tolerations[0].key"),
        ("resources: {request: {cpu: 1}}", "resources.request"),
        (
            "resources: {requests: {cpu: much}}",
            "resources.requests.cpu",
        ),
        (
            "resources: {limits: {memory: 1Gi}}",
            "resources.requests.cpu",
        ),
        (
            "sidecar: {resources: {limits: {memory: 1GiB}}}",
            "sidecar.resources.limits.memory",
        ),
        ("sidecar: {port: 1}", "sidecar"),
        (
            "podLabels: {app.kubernetes.io/name: a}",
            "podLabels[\"app.kubernetes.io/name\"]",
        ),
        ("podLabels: {a: 'b c'}", "podLabels[\"a\"]"),
        (
            "podAnnotations: {bedrockaccess.dev/x: a}",
            "podAnnotations[\"bedrockaccess.dev/x\"]",
        ),
        ("podMonitor: {interval: often}", "podMonitor.interval"),
        ("podMonitor: {label: {a: b}}", "podMonitor.label"),
        ("priorityClassName: ''", "priorityClassName"),
        ("imagePullSecrets: [{}]", "imagePullSecrets[0].name"),
        (
            "proxy: {httpsProxy: 'https://proxy:3128'}",
            "proxy.httpsProxy",
        ),
        (
            "proxy: {httpsProxy: 'http://user:key@proxy:3128'}",
            "proxy.httpsProxy",
        ),
        ("proxy: {httpProxy: proxy}", "proxy.httpProxy"),
        ("prices: {discountPercent: '120'}", "prices.discountPercent"),
        (
            "prices: {models: [{model: a.b, input: cheap}]}",
            "prices.models[0].input",
        ),
        (
            "prices: {models: [{model: a.b, inputs: '1'}]}",
            "prices.models",
        ),
        ("a: [", ""),
    ] {
        let error = GatewayDefaults::from_yaml(text).unwrap_err();
        let message = crate::error_chain::error_chain(&error);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn values_that_kubernetes_knows_are_accepted() {
    defaults(
        "{resources: {requests: {cpu: '0.5', memory: 1e8}, limits: {memory: 128974848}}, sidecar: {resources: {limits: {memory: 64Mi}}}, podMonitor: {interval: 1m30s}, proxy: {httpsProxy: 'http://proxy.example:3128', noProxy: 'svc,10.0.0.0/8'}, tolerations: [{operator: Exists}]}",
    );
}

#[test]
fn prices_of_an_object_take_precedence_over_those_of_the_platform() {
    let platform = defaults("prices: {discountPercent: '5', models: [{model: a.b, input: '1'}]}");
    let none = GatewayDefaults::default();
    let mut spec = access("").spec;
    assert_eq!(none.prices(&spec), None, "public prices");
    assert_eq!(
        platform.prices(&spec).as_ref(),
        Some(&config::Prices::from(&platform.prices))
    );
    spec.prices = Some(serde_yaml::from_str("discountPercent: '10'").unwrap());
    let merged = platform.prices(&spec).unwrap();
    assert_eq!(merged.discount_percent.as_deref(), Some("10"));
    assert_eq!(merged.models[0].model, "a.b");
}
