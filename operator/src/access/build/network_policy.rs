//! The NetworkPolicy: allows only the traffic that a gateway needs.
//!
//! Addresses of AWS change, so HTTPS is allowed to any address. Rules apply to the port of the pod behind a Service,
//! which the Service's URL does not contain: an endpoint inside the cluster allows its whole namespace.

use std::collections::{BTreeMap, BTreeSet};

use api::names;
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule,
        NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{metadata, selector};
use crate::access::validate::{Identity, Validated};

/// Label with the namespace's own name, set on every namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Ports of cluster DNS servers; 5353 is OpenShift's.
const DNS_PORTS: [u16; 2] = [53, 5353];
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;
const REDIS_PORT: u16 = 6379;
/// The EKS Pod Identity agent on the node.
const POD_IDENTITY_AGENT: [&str; 2] = ["169.254.170.23/32", "fd00:ec2::23/128"];
/// Metadata services of EC2 and ECS, which the SDK's default chain uses.
const METADATA_SERVICES: [&str; 3] = [
    "169.254.169.254/32",
    "169.254.170.2/32",
    "fd00:ec2::254/128",
];

pub(super) fn build(access: &Validated) -> Option<NetworkPolicy> {
    let settings = &access.gateway.network_policy;
    if !settings.enabled {
        return None;
    }
    let clients = match &settings.from {
        Some(peers) => Some(peers.clone()),
        None => namespaces_of_clients(access),
    };
    Some(NetworkPolicy {
        metadata: metadata(access),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(access)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule {
                    from: clients,
                    ports: Some(vec![tcp(names::GATEWAY_PORT)]),
                },
                // The operator and Prometheus, wherever they run; the port serves no secrets.
                NetworkPolicyIngressRule {
                    from: None,
                    ports: Some(vec![tcp(names::GATEWAY_ADMIN_PORT)]),
                },
            ]),
            egress: Some(egress(access)),
        }),
    })
}

/// The namespaces of the ServiceAccounts that may call, and of the Gateways that forward requests; `None` allows all
/// namespaces, if clients can be anywhere.
fn namespaces_of_clients(access: &Validated) -> Option<Vec<NetworkPolicyPeer>> {
    if access.clients.anonymous || access.clients.api_keys_directory.is_some() {
        return None;
    }
    let namespaces: BTreeSet<&str> = access
        .clients
        .service_accounts
        .iter()
        .flat_map(|clients| &clients.subjects)
        .map(|subject| subject.namespace.as_str())
        .chain(gateways(access))
        .collect();
    Some(namespaces.into_iter().map(namespace).collect())
}

/// The namespaces of the Gateways of the HTTPRoute, where most Gateway controllers run their proxies.
fn gateways(access: &Validated) -> impl Iterator<Item = &str> {
    let routes = access.gateway.http_route.iter();
    let parents = routes.flat_map(|route| &route.parent_refs);
    parents.map(|parent| parent.namespace.as_deref().unwrap_or(&access.namespace))
}

fn egress(access: &Validated) -> Vec<NetworkPolicyEgressRule> {
    let dns = DNS_PORTS
        .into_iter()
        .flat_map(|number| [port("UDP", number), port("TCP", number)])
        .collect();
    let mut ports = BTreeSet::from([HTTPS_PORT]);
    let mut inside = BTreeSet::new();
    let endpoints = &access.endpoints;
    let store = access
        .limits
        .store
        .as_ref()
        .map(|store| store.redis.url.clone());
    let collector = access
        .tracing
        .as_ref()
        .map(|tracing| tracing.endpoint.as_str().to_owned());
    for url in [
        &endpoints.bedrock_runtime,
        &endpoints.bedrock,
        &endpoints.sts,
        &store,
        &collector,
        &access.proxy.https_proxy,
        &access.proxy.http_proxy,
    ]
    .into_iter()
    .flatten()
    {
        let Ok(url) = url.parse::<http::Uri>() else {
            continue;
        };
        let usual = match url.scheme_str() {
            Some("http") => HTTP_PORT,
            Some("redis" | "rediss") => REDIS_PORT,
            _ => HTTPS_PORT,
        };
        match namespace_of(url.host().unwrap_or_default(), &access.namespace) {
            Some(name) => {
                inside.insert(name);
            }
            None => {
                ports.insert(url.port_u16().unwrap_or(usual));
            }
        }
    }
    let mut rules = vec![
        NetworkPolicyEgressRule {
            ports: Some(dns),
            to: None,
        },
        NetworkPolicyEgressRule {
            ports: Some(ports.into_iter().map(tcp).collect()),
            to: None,
        },
    ];
    rules.extend(inside.iter().map(|name| NetworkPolicyEgressRule {
        ports: None,
        to: Some(vec![namespace(name)]),
    }));
    let services: &[&str] = match access.identity {
        Identity::PodIdentity => &POD_IDENTITY_AGENT,
        Identity::Ambient => &METADATA_SERVICES,
        Identity::Irsa { .. } | Identity::Secret { .. } => &[],
    };
    if !services.is_empty() {
        rules.push(NetworkPolicyEgressRule {
            ports: Some(vec![tcp(HTTP_PORT)]),
            to: Some(services.iter().copied().map(address).collect()),
        });
    }
    rules
}

/// The namespace of a Service, from its DNS name: `service`, `service.namespace.svc` or
/// `service.namespace.svc.cluster.local`.
fn namespace_of(host: &str, own: &str) -> Option<String> {
    let labels: Vec<&str> = host.split('.').collect();
    match labels.as_slice() {
        [_] if !host.is_empty() => Some(own.to_owned()),
        [_, namespace, "svc", ..] => Some((*namespace).to_owned()),
        _ => None,
    }
}

fn namespace(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(
                NAMESPACE_NAME_LABEL.to_owned(),
                name.to_owned(),
            )])),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn address(block: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: block.to_owned(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn tcp(number: u16) -> NetworkPolicyPort {
    port("TCP", number)
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{fixtures::validated, settings::Tracing};

    fn spec(more: &str) -> Value {
        serde_json::to_value(build(&validated(more)).unwrap().spec.unwrap()).unwrap()
    }

    #[test]
    fn only_namespaces_of_clients_are_allowed() {
        let spec = spec(
            "clients: {serviceAccounts: [{name: a}, {name: b}, {namespace: team-b, name: a}]}",
        );
        let from: Vec<&Value> = spec["ingress"][0]["from"]
            .as_array()
            .unwrap()
            .iter()
            .map(|peer| &peer["namespaceSelector"]["matchLabels"][NAMESPACE_NAME_LABEL])
            .collect();
        assert_eq!(from, ["team-a", "team-b"]);
        assert_eq!(
            spec["ingress"][0]["ports"],
            json!([{"port": 8000, "protocol": "TCP"}])
        );
    }

    #[test]
    fn every_namespace_is_allowed_if_clients_can_be_anywhere() {
        for more in [
            "clients: {anonymous: true}",
            "clients: {apiKeys: {secretName: keys}}",
            "clients: {apiKeys: {secretName: keys}, serviceAccounts: [{name: a}]}",
        ] {
            assert_eq!(spec(more)["ingress"][0].get("from"), None, "{more}");
        }
    }

    #[test]
    fn explicit_peers_replace_the_namespaces_of_clients() {
        let spec =
            spec("gateway: {networkPolicy: {from: [{podSelector: {matchLabels: {app: front}}}]}}");
        assert_eq!(
            spec["ingress"][0]["from"],
            json!([{"podSelector": {"matchLabels": {"app": "front"}}}])
        );
    }

    #[test]
    fn disabled_policy_is_not_built() {
        let access = validated("gateway: {networkPolicy: {enabled: false}}");
        assert_eq!(build(&access), None);
    }

    #[test]
    fn endpoints_are_allowed_by_port_or_by_namespace() {
        #[track_caller]
        fn check(endpoints: &str, ports: &Value, namespaces: &[&str]) {
            let spec = spec(&format!("endpoints: {endpoints}"));
            assert_eq!(
                spec["egress"][1]["ports"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|port| port["port"].clone())
                    .collect::<Value>(),
                *ports,
                "{endpoints}"
            );
            let inside: Vec<&Value> = spec["egress"]
                .as_array()
                .unwrap()
                .iter()
                .skip(2)
                .map(|rule| {
                    &rule["to"][0]["namespaceSelector"]["matchLabels"][NAMESPACE_NAME_LABEL]
                })
                .collect();
            assert_eq!(inside, namespaces, "{endpoints}");
        }
        check("{sts: 'https://sts.example'}", &json!([443]), &[]);
        check("{sts: 'https://10.0.0.1:8443'}", &json!([443, 8443]), &[]);
        check("{sts: 'http://sts.example'}", &json!([80, 443]), &[]);
        check(
            "{sts: 'http://aws.demo.svc:8080'}",
            &json!([443]),
            &["demo"],
        );
        check(
            "{sts: 'http://aws.demo.svc.cluster.local', bedrock: 'http://aws'}",
            &json!([443]),
            &["demo", "team-a"],
        );
    }

    #[test]
    fn limit_store_is_allowed_by_port_or_by_namespace() {
        let egress = |url: &str| {
            let spec = spec(&format!("limits: {{store: {{redis: {{url: '{url}'}}}}}}"));
            let inside = spec["egress"][2]["to"][0]["namespaceSelector"]["matchLabels"].clone();
            (spec["egress"][1]["ports"].clone(), inside)
        };
        let port = |number: u16| json!({"port": number, "protocol": "TCP"});
        assert_eq!(
            egress("rediss://cache.example/0").0,
            json!([port(443), port(6379)])
        );
        assert_eq!(
            egress("redis://10.0.0.1:7000").0,
            json!([port(443), port(7000)])
        );
        let (ports, inside) = egress("redis://valkey.data.svc:6379");
        assert_eq!(ports, json!([port(443)]));
        assert_eq!(inside[NAMESPACE_NAME_LABEL], "data");
    }

    #[test]
    fn trace_collector_is_allowed() {
        let egress = |url: &str| {
            let mut access = validated("{}");
            access.tracing = Some(Tracing {
                endpoint: url.parse().unwrap(),
                sampling_rate_per_million: 1,
                audit_records: false,
            });
            serde_json::to_value(build(&access).unwrap().spec.unwrap().egress).unwrap()
        };
        let inside = egress("http://collector.observability.svc:4318");
        assert_eq!(
            inside[2]["to"][0]["namespaceSelector"]["matchLabels"][NAMESPACE_NAME_LABEL],
            "observability"
        );
        let outside = egress("https://otlp.example:4318");
        assert_eq!(outside[1]["ports"][1]["port"], 4318);
        assert_eq!(outside.as_array().unwrap().len(), 2);
    }

    #[test]
    fn identity_that_uses_a_node_service_may_reach_it() {
        let to = |more: &str| spec(more)["egress"][2]["to"].clone();
        assert_eq!(to("{}"), Value::Null);
        assert_eq!(
            to("identity: {podIdentity: {}}")[0]["ipBlock"]["cidr"],
            "169.254.170.23/32"
        );
        assert_eq!(
            to("identity: {ambient: {}}")[0]["ipBlock"]["cidr"],
            "169.254.169.254/32"
        );
    }
}
