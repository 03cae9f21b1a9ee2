use super::*;
use crate::fixtures::validated;

fn yaml(more: &str) -> String {
    let resources = build(&validated(more)).unwrap();
    resources
        .all()
        .map(|prepared| serde_yaml::to_string(&prepared.object).unwrap())
        .collect::<Vec<_>>()
        .join("---\n")
}

fn pod(more: &str) -> Value {
    let resources = build(&validated(more)).unwrap();
    resources.deployment.unwrap().object["spec"]["template"].clone()
}

#[test]
fn objects_of_the_documented_example() {
    insta::assert_snapshot!("irsa", yaml(""));
}

#[test]
fn objects_of_a_spec_with_every_field() {
    insta::assert_snapshot!("everything", yaml(EVERYTHING));
}

#[test]
fn each_identity_has_its_own_environment_and_volumes() {
    for (name, identity) in [
        ("pod-identity", "identity: {podIdentity: {}}"),
        ("secret", "identity: {secret: {name: keys}}"),
        ("ambient", "identity: {ambient: {}}"),
    ] {
        let pod = pod(identity);
        let parts = serde_json::json!({
            "env": pod["spec"]["containers"][0]["env"],
            "volumeMounts": pod["spec"]["containers"][0]["volumeMounts"],
            "volumes": pod["spec"]["volumes"],
        });
        insta::assert_snapshot!(name, serde_yaml::to_string(&parts).unwrap());
    }
}

#[test]
fn building_twice_gives_equal_objects() {
    for more in ["", EVERYTHING] {
        assert_eq!(yaml(more), yaml(more));
    }
}

#[test]
fn settings_that_the_gateway_reloads_do_not_replace_pods() {
    let before = pod("");
    for more in [
        "models: [{name: other, modelId: amazon.nova-lite-v1:0}]",
        "allow: ['anthropic.*']",
        "guardrail: {identifier: abc, version: DRAFT}",
        "clients: {serviceAccounts: [{name: app}, {name: other}]}",
        "clients: {anonymous: true}",
        "limits: {requestsPerMinute: 60, tokensPerDay: 100000}",
        "limits: {maxInFlight: 60, maxBodyBytes: 100000}",
        "limits: {firstTokenSeconds: 30, streamIdleSeconds: 60, totalSeconds: 900}",
        "routing: {stickyConversations: false, ejectAfterFailures: 3, ejectSeconds: 20}",
        "s3Sources: ['s3://media/*']",
        "prices: {discountPercent: '7.5'}",
        "clients: {serviceAccounts: [{name: app, limits: {concurrentRequests: 3}}]}",
        "models: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0', assumeRole: {roleArn: 'arn:aws:iam::210987654321:role/Next'}}]}]",
        "limits: {tokensPerDay: 1, store: {redis: {url: 'redis://valkey:6379'}}}",
        "gateway: {autoscaling: {maxReplicas: 5}}",
        "gateway: {podMonitor: {}}",
        "gateway: {networkPolicy: {enabled: false}}",
        "gateway: {httpRoute: {parentRefs: [{name: shared}]}}",
    ] {
        assert_eq!(pod(more), before, "{more}");
    }
}

#[test]
fn prices_of_the_object_are_in_the_configuration_of_its_gateways() {
    let of = |more: &str| {
        let config = build(&validated(more)).unwrap().config.object;
        let text = config["data"]["gateway.yaml"].as_str().unwrap().to_owned();
        api::GatewayConfig::from_yaml(&text).unwrap().prices
    };
    assert_eq!(of(""), None);
    let own = of("prices: {discountPercent: '7.5', models: [{model: a.b, input: '1.25'}]}");
    let own = own.unwrap();
    assert_eq!(own.discount_percent.as_deref(), Some("7.5"));
    assert_eq!(own.models[0].input.as_deref(), Some("1.25"));
}

#[test]
fn settings_that_affect_credentials_replace_pods() {
    let before = pod("");
    for more in [
        "region: us-west-2",
        "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/Other'}}",
        "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/BedrockRole', audience: other}}",
        "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/BedrockRole', tokenExpirationSeconds: 3600}}",
        "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/BedrockRole'}, assumeRoles: [{roleArn: 'arn:aws:iam::210987654321:role/Next'}]}",
        "serviceAccount: {name: other}",
        "endpoints: {sts: 'https://sts.example'}",
    ] {
        assert_ne!(pod(more), before, "{more}");
    }
}

#[test]
fn autoscaler_sets_the_number_of_pods_if_requested() {
    let resources = build(&validated("gateway: {autoscaling: {maxReplicas: 5}}")).unwrap();
    let deployment = resources.deployment.unwrap();
    assert_eq!(deployment.object["spec"].get("replicas"), None);
    let autoscaler = resources.autoscaler.unwrap();
    insta::assert_snapshot!(
        "autoscaler",
        serde_yaml::to_string(&autoscaler.object).unwrap()
    );
}

#[test]
fn budget_is_built_only_if_there_can_be_two_pods() {
    for (more, expected) in [
        ("", true),
        ("gateway: {replicas: 1}", false),
        ("gateway: {replicas: 0}", false),
        (
            "gateway: {autoscaling: {minReplicas: 1, maxReplicas: 1}}",
            false,
        ),
        (
            "gateway: {autoscaling: {minReplicas: 1, maxReplicas: 3}}",
            true,
        ),
    ] {
        let resources = build(&validated(more)).unwrap();
        assert_eq!(resources.disruption_budget.is_some(), expected, "{more}");
    }
}

#[test]
fn existing_service_account_is_used_and_not_built() {
    let access = validated("serviceAccount: {create: false, name: mine}");
    let resources = build(&access).unwrap();
    assert_eq!(resources.service_account, None);
    assert_eq!(
        resources.deployment.unwrap().object["spec"]["template"]["spec"]["serviceAccountName"],
        "mine"
    );
}

#[test]
fn gateway_accepts_its_configuration() {
    for more in ["", EVERYTHING] {
        let resources = build(&validated(more)).unwrap();
        let text = resources.config.object["data"]["gateway.yaml"]
            .as_str()
            .unwrap()
            .to_owned();
        let config = api::GatewayConfig::from_yaml(&text).unwrap();
        assert!(config.clients.authenticate(), "{text}");
    }
}

const EVERYTHING: &str = r#"
region: eu-central-1
commonLabels: { cost-center: "42", team: everyone }
endpoints: { bedrockRuntime: "https://runtime.example/", bedrockMantle: "https://mantle.example", bedrock: "https://bedrock.example", sts: "https://sts.example" }
identity:
  irsa: { roleArn: "arn:aws:iam::123456789012:role/team-a/Bedrock", sessionName: team-a, tokenExpirationSeconds: 3600, audience: other }
  assumeRoles: [ { roleArn: "arn:aws:iam::210987654321:role/Models", externalId: secret-handshake, durationSeconds: 1800 } ]
serviceAccount: { name: bedrock, annotations: { team: a }, labels: { cost: b } }
models:
  - name: smart
    targets:
      - { modelId: "eu.anthropic.claude-sonnet-4-20250514-v1:0", weight: 3 }
      - { modelId: "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc", priority: 1, baseModel: "amazon.nova-pro-v1:0", api: Converse, assumeRole: { roleArn: "arn:aws:iam::345678901234:role/Far", externalId: agreed } }
allow: [ "amazon.nova-*" ]
s3Sources: [ "s3://media/*" ]
guardrail: { identifier: gr-1, version: "2" }
clients:
  serviceAccounts: [ { namespace: team-b, name: app, models: [ smart ], limits: { concurrentRequests: 3 } } ]
  apiKeys: { secretName: keys, limits: { requestsPerMinute: 10, tokensPerMinute: 5000 } }
limits: { requestsPerMinute: 600, tokensPerMinute: 1000000, concurrentRequests: 50, tokensPerDay: 20000000, maxInFlight: 100, maxBodyBytes: 1000000, firstTokenSeconds: 30, streamIdleSeconds: 300, totalSeconds: 900, store: { redis: { url: "rediss://cache.example:6380", secretName: cache } } }
routing: { stickyConversations: false, ejectAfterFailures: 3, ejectSeconds: 20, hedgeAfterSeconds: 8 }
gateway:
  replicas: 3
  resources: { requests: { cpu: "0.5" }, limits: { memory: 1Gi } }
  image: registry.example/other:2
  imagePullPolicy: Always
  imagePullSecrets: [ { name: registry } ]
  logLevel: debug
  nodeSelector: { kubernetes.io/arch: arm64 }
  tolerations: [ { key: gpu, operator: Exists, effect: NoSchedule } ]
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [ { matchExpressions: [ { key: a, operator: Exists } ] } ] } } }
  topologySpreadConstraints: [ { topologyKey: topology.kubernetes.io/zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule } ]
  priorityClassName: high
  podLabels: { team: a }
  podAnnotations: { note: b }
  service: { labels: { team: a }, annotations: { note: b } }
  networkPolicy: { from: [ { namespaceSelector: { matchLabels: { team: a } } } ] }
  podMonitor: { labels: { release: prometheus }, interval: 30s }
  tls: { issuerRef: { name: internal, kind: ClusterIssuer }, caConfigMapName: bundle }
  httpRoute: { parentRefs: [ { name: shared, namespace: infra, sectionName: https, port: 443 } ], hostnames: [ bedrock.example.com ], timeouts: { request: 1h, backendRequest: 10m } }
"#;

#[test]
fn common_labels_are_on_every_object_and_on_pods_but_in_no_selector() {
    let more = r#"{commonLabels: {cost-center: "42", team: everyone}, serviceAccount: {labels: {team: a}}, gateway: {autoscaling: {maxReplicas: 5}, podMonitor: {}, podLabels: {team: b}, tls: {issuerRef: {name: internal}, caConfigMapName: bundle}, httpRoute: {parentRefs: [{name: shared}]}}}"#;
    let resources = build(&validated(more)).unwrap();
    let mut kinds = 0;
    for Prepared { kind, object, .. } in resources.all() {
        kinds += 1;
        assert_eq!(object["metadata"]["labels"]["cost-center"], "42", "{kind}");
        let selectors = [
            "/spec/selector",
            "/spec/podSelector",
            "/spec/template/spec/topologySpreadConstraints",
        ];
        for selector in selectors {
            let text = object
                .pointer(selector)
                .map(Value::to_string)
                .unwrap_or_default();
            assert!(!text.contains("cost-center"), "{kind} {selector}: {text}");
        }
    }
    // There are two ConfigMaps.
    assert_eq!(kinds, OwnedKind::ALL.len() + 1);
    let template = &resources.deployment.unwrap().object["spec"]["template"]["metadata"]["labels"];
    assert_eq!(template["cost-center"], "42");
    // Labels of one object take precedence.
    assert_eq!(template["team"], "b");
    let account = &resources.service_account.unwrap().object["metadata"]["labels"];
    assert_eq!(account["team"], "a");
    let config = &resources.config.object["metadata"]["labels"];
    assert_eq!(config["team"], "everyone");
}

const SIDECARS_ONLY: &str =
    "{gateway: {enabled: false}, clients: {}, sidecar: {serviceAccounts: [{name: app}]}}";

#[test]
fn sidecars_alone_need_only_a_configuration() {
    let resources = build(&validated(SIDECARS_ONLY)).unwrap();
    let kinds: Vec<OwnedKind> = resources.all().map(|prepared| prepared.kind).collect();
    assert_eq!(kinds, [OwnedKind::ConfigMap]);
    let data = resources.config.object["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["sidecar.yaml"]);
    let document = api::GatewayConfig::from_yaml(data["sidecar.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(document.clients, api::config::Clients::default());
    assert_eq!(document.models[0].name, "fast");
}

#[test]
fn gateway_and_sidecars_each_have_a_configuration() {
    let resources = build(&validated("sidecar: {serviceAccounts: [{name: app}]}")).unwrap();
    let data = &resources.config.object["data"];
    assert!(data["gateway.yaml"].as_str().unwrap().contains("jwks"));
    assert!(!data["sidecar.yaml"].as_str().unwrap().contains("jwks"));
    let more = "{sidecar: {serviceAccounts: [{name: app}]}, limits: {tokensPerDay: 7, store: {redis: {url: 'redis://valkey'}}}}";
    let data = &build(&validated(more)).unwrap().config.object["data"];
    let read = |key: &str| {
        let document = api::GatewayConfig::from_yaml(data[key].as_str().unwrap()).unwrap();
        (
            document.limits.tokens_per_day,
            document.limits.store.is_some(),
        )
    };
    assert_eq!(read("gateway.yaml"), (Some(7), true));
    assert_eq!(
        read("sidecar.yaml"),
        (Some(7), false),
        "it uses local counters"
    );
    assert_eq!(pod("sidecar: {serviceAccounts: [{name: app}]}"), pod(""));
}

#[test]
fn gateways_and_sidecars_have_the_defaults_of_the_platform() {
    let mut settings = crate::fixtures::settings();
    settings.gateway_conventions = Some("gen_ai_latest_experimental".to_owned());
    settings.gateway_defaults = crate::GatewayDefaults::from_yaml(
        "{imagePullSecrets: [{name: registry}], podLabels: {team: platform}, priorityClassName: high, nodeSelector: {a: b}, podMonitor: {}, resources: {requests: {cpu: 1}}, sidecar: {resources: {requests: {cpu: 20m}}}, proxy: {httpsProxy: 'http://proxy.egress.svc:3128', noProxy: svc}}",
    )
    .unwrap();
    let access = crate::fixtures::access("sidecar: {serviceAccounts: [{name: app}]}");
    let observed = crate::fixtures::observed();
    let access = crate::access::validate::validate(&access, &observed, &settings).unwrap();
    let resources = build(&access).unwrap();
    let template = &resources.deployment.as_ref().unwrap().object["spec"]["template"];
    let pod = &template["spec"];
    assert_eq!(template["metadata"]["labels"]["team"], "platform");
    assert_eq!(pod["imagePullSecrets"][0]["name"], "registry");
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["nodeSelector"]["a"], "b");
    assert_eq!(pod["containers"][0]["resources"]["requests"]["cpu"], "1");
    let sidecar = serde_json::to_value(sidecar::template(&access).unwrap().container).unwrap();
    assert_eq!(sidecar["resources"]["requests"]["cpu"], "20m");
    for container in [&pod["containers"][0], &sidecar] {
        let env = container["env"].as_array().unwrap();
        let value = |name: &str| {
            env.iter()
                .find(|one| one["name"] == name)
                .map(|one| &one["value"])
        };
        assert_eq!(
            value("HTTPS_PROXY").unwrap(),
            "http://proxy.egress.svc:3128"
        );
        assert_eq!(value("NO_PROXY").unwrap(), "svc");
        assert_eq!(value("HTTP_PROXY"), None);
        assert_eq!(
            value("OTEL_SEMCONV_STABILITY_OPT_IN").unwrap(),
            "gen_ai_latest_experimental"
        );
    }
    assert!(resources.pod_monitor.is_some());
    let egress = resources.network_policy.unwrap().object["spec"]["egress"].to_string();
    assert!(
        egress.contains("\"kubernetes.io/metadata.name\":\"egress\""),
        "{egress}"
    );
    // Policies and permissions apply to values of the object only.
    let spec = crate::fixtures::access("sidecar: {serviceAccounts: [{name: app}]}").spec;
    assert_eq!(crate::policy::restricted::restricted(&spec), []);
}
