use serde::Deserialize;

use super::*;
use crate::{
    fixtures::validated,
    sidecar::{pod::patch, template::template},
};

const SIDECAR: &str = "sidecar: {serviceAccounts: [{name: app}]}";
const PLAIN: &str = "{metadata: {labels: {bedrockaccess.dev/inject: chat}}, spec: {serviceAccountName: app, containers: [{name: app, image: app:1}]}}";

fn pod(yaml: &str) -> Pod {
    let value: Value = serde_yaml::from_str(yaml).unwrap();
    Pod::deserialize(&value).unwrap()
}

fn sidecar_of(more: &str) -> Template {
    template(&validated(more)).unwrap()
}

const KEY: &str = "00112233445566778899aabbccddeeff";

fn injected(more: &str, yaml: &str) -> (Pod, Vec<String>) {
    let mut pod = pod(yaml);
    let warnings = inject(&mut pod, &sidecar_of(more), &|| Ok(KEY.to_owned())).unwrap();
    (pod, warnings)
}

/// The patch that a pod of `testdata` gets, as it is sent.
fn patch_of(more: &str, yaml: &str) -> String {
    let (after, warnings) = injected(more, yaml);
    let patch = patch(&pod(yaml), &after);
    serde_yaml::to_string(&json!({"patch": patch, "warnings": warnings})).unwrap()
}

#[test]
fn pods_of_the_usual_shapes_get_these_patches() {
    for (name, yaml) in [
        ("plain", PLAIN),
        ("several-containers", SEVERAL),
        (
            "host-network",
            "{metadata: {}, spec: {hostNetwork: true, containers: [{name: app}]}}",
        ),
        (
            "mesh",
            "{metadata: {annotations: {a: b}}, spec: {initContainers: [{name: istio-init}, {name: istio-proxy, restartPolicy: Always}, {name: migrate}], containers: [{name: app}]}}",
        ),
        ("gpu-batch", GPU),
    ] {
        insta::assert_snapshot!(name, patch_of(SIDECAR, yaml));
    }
}

#[test]
fn each_identity_reaches_the_sidecar_alone() {
    for (name, identity) in [
        ("pod-identity", "identity: {podIdentity: {}}"),
        ("secret", "identity: {secret: {name: keys}}"),
    ] {
        let more = format!("{{{identity}, {SIDECAR}}}");
        insta::assert_snapshot!(name, patch_of(&more, PLAIN));
    }
}

#[test]
fn injecting_twice_is_injecting_once() {
    for yaml in [
        PLAIN,
        SEVERAL,
        GPU,
        "{spec: {hostNetwork: true, containers: [{name: app}]}}",
    ] {
        let (once, _) = injected(SIDECAR, yaml);
        let mut twice = once.clone();
        let other_key = || Ok("another".to_owned());
        let warnings = inject(&mut twice, &sidecar_of(SIDECAR), &other_key).unwrap();
        assert_eq!(patch(&once, &twice), [], "{yaml}");
        assert_eq!(warnings, Vec::<String>::new());
    }
}

#[test]
fn what_others_may_change_stays_and_a_token_for_the_api_server_goes() {
    let (mut pod, _) = injected(SIDECAR, PLAIN);
    // The API server fills in defaults, another webhook moves the image to a mirror, and admission mounts
    // a token on the second round.
    for volume in pod.spec.volumes.iter_mut().flatten() {
        if let Some(source) = volume.get_mut("configMap").or(None) {
            source["defaultMode"] = json!(420);
        }
    }
    let sidecar = &mut pod.spec.init_containers.as_mut().unwrap()[0];
    sidecar.rest["image"] = json!("mirror.example/gateway:1");
    let mounts = sidecar.volume_mounts.as_mut().unwrap();
    mounts.push(json!({"name": "kube-api-access-x", "mountPath": API_SERVER_TOKEN}));
    let before = pod.clone();
    inject(&mut pod, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned())).unwrap();
    let sidecar = &pod.spec.init_containers.as_ref().unwrap()[0];
    assert_eq!(sidecar.rest["image"], "mirror.example/gateway:1");
    assert!(
        !json!(sidecar.volume_mounts)
            .to_string()
            .contains("kube-api-access")
    );
    assert_eq!(pod.spec.volumes, before.spec.volumes);
}

#[test]
fn copy_of_a_pod_with_an_older_sidecar_gets_the_current_one() {
    let (mut copy, _) = injected(
        "{gateway: {image: 'old:1'}, sidecar: {serviceAccounts: [{name: app}]}}",
        PLAIN,
    );
    inject(&mut copy, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned())).unwrap();
    let (fresh, _) = injected(SIDECAR, PLAIN);
    assert_eq!(copy, fresh);
}

/// What the EKS pod identity webhook does to a pod whose ServiceAccount has a role, by its documentation
/// and source: it leaves out the containers of `skip-containers`, gives each of the rest what of the
/// variables and the mount is missing, and adds the volume where there is none of its name.
fn eks(pod: &mut Pod, role: &str) {
    let skipped: Vec<String> = pod
        .annotation(names::SKIP_CONTAINERS_ANNOTATION)
        .unwrap_or_default()
        .split(',')
        .map(ToOwned::to_owned)
        .collect();
    for container in pod.all_mut().filter(|one| !skipped.contains(&one.name)) {
        let defined = container.variable("AWS_ROLE_ARN").is_some()
            || container.variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
        let region = container.variable("AWS_REGION").is_some();
        let env = container.env.get_or_insert_default();
        if !region {
            for name in ["AWS_DEFAULT_REGION", "AWS_REGION"] {
                env.push(json!({"name": name, "value": "eu-west-1"}));
            }
        }
        if !defined {
            env.push(json!({"name": "AWS_ROLE_ARN", "value": role}));
            env.push(json!({"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": format!("{}/token", names::TOKEN_DIRECTORY)}));
        }
        let mounts = container.volume_mounts.get_or_insert_default();
        if !mounts.iter().any(|mount| is_named(mount, "aws-iam-token")) {
            mounts.push(json!({"name": "aws-iam-token", "readOnly": true, "mountPath": names::TOKEN_DIRECTORY}));
        }
    }
    let volumes = pod.spec.volumes.get_or_insert_default();
    if !volumes
        .iter()
        .any(|volume| is_named(volume, "aws-iam-token"))
    {
        volumes.insert(
            0,
            json!({"name": "aws-iam-token", "projected": {"sources": [{"serviceAccountToken": {
                "audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token",
            }}]}}),
        );
    }
}

#[test]
fn whatever_the_order_of_the_eks_webhook_there_is_one_token_and_it_is_the_sidecars() {
    for order in [
        "us",
        "eks us",
        "us eks",
        "us eks us",
        "eks us eks",
        "eks us eks us",
    ] {
        let mut pod = pod(SEVERAL);
        let mut warned = false;
        for webhook in order.split(' ') {
            if webhook == "us" {
                let warnings =
                    inject(&mut pod, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned())).unwrap();
                warned |= warnings.iter().any(|warning| warning.contains("role-arn"));
            } else {
                eks(&mut pod, "arn:aws:iam::123456789012:role/OfTheApp");
            }
        }
        assert_eq!(warned, order.starts_with("eks"), "{order}");
        let volumes = pod.spec.volumes.as_ref().unwrap();
        let tokens = volumes
            .iter()
            .filter(|volume| volume.get("projected").is_some());
        assert_eq!(tokens.count(), 1, "{order}: {volumes:?}");
        for container in pod.all() {
            let ours = container.name == names::GATEWAY_NAME;
            let mounts = container.volume_mounts.iter().flatten();
            let token = mounts
                .filter(|mount| is_named(mount, "aws-iam-token"))
                .count();
            assert_eq!(token, usize::from(ours), "{order}: {container:?}");
            for name in ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
                let found = container
                    .env
                    .iter()
                    .flatten()
                    .filter(|entry| is_named(entry, name));
                assert_eq!(
                    found.count(),
                    usize::from(ours),
                    "{order}: {name} of {container:?}"
                );
            }
        }
        let sidecar = pod
            .all()
            .find(|one| one.name == names::GATEWAY_NAME)
            .unwrap();
        assert!(
            sidecar
                .value("AWS_ROLE_ARN")
                .unwrap()
                .ends_with("/BedrockRole"),
            "{order}"
        );
    }
}

#[test]
fn roles_that_the_app_has_by_other_ways_stay() {
    // With keys from a Secret the pod's own ServiceAccount is nothing to the sidecar.
    let mut one = pod(PLAIN);
    eks(&mut one, "arn:aws:iam::123456789012:role/OfTheApp");
    let before = one.clone();
    let more = "{identity: {secret: {name: keys}}, sidecar: {serviceAccounts: [{name: app}]}}";
    inject(&mut one, &sidecar_of(more), &|| Ok(KEY.to_owned())).unwrap();
    let app = &one.spec.containers[0];
    assert_eq!(app.volume_mounts, before.spec.containers[0].volume_mounts);
    assert!(app.value("AWS_ROLE_ARN").is_some());
    assert_eq!(one.annotation(names::SKIP_CONTAINERS_ANNOTATION), None);
}

#[test]
fn what_an_app_sets_itself_stays() {
    let variables = |env: &str| -> Vec<(String, String)> {
        let yaml = format!("{{spec: {{containers: [{{name: app, env: {env}}}]}}}}");
        let (pod, _) = injected(SIDECAR, &yaml);
        let env = pod.spec.containers[0].env.clone().unwrap();
        env.iter()
            .map(|entry| {
                let text =
                    |field: &str| entry[field].as_str().unwrap_or("from elsewhere").to_owned();
                (text("name"), text("value"))
            })
            .collect()
    };
    let get = |env: &[(String, String)], name: &str| {
        let found: Vec<_> = env.iter().filter(|(found, _)| found == name).collect();
        assert!(found.len() < 2, "{name} twice in {env:?}");
        found.first().map(|(_, value)| value.clone())
    };
    let own_address = variables("[{name: OPENAI_BASE_URL, value: 'https://api.example/v1'}]");
    assert_eq!(
        get(&own_address, "OPENAI_BASE_URL").unwrap(),
        "https://api.example/v1"
    );
    assert_eq!(
        get(&own_address, "OPENAI_API_KEY"),
        None,
        "the key of another address is none of ours"
    );
    assert_eq!(get(&own_address, "ANTHROPIC_API_KEY").unwrap(), PLACEHOLDER);

    let own_key =
        variables("[{name: OPENAI_API_KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]");
    assert_eq!(get(&own_key, "OPENAI_API_KEY").unwrap(), "from elsewhere");
    assert_eq!(
        get(&own_key, "OPENAI_BASE_URL").unwrap(),
        "http://127.0.0.1:8000/v1"
    );

    let own_region = variables("[{name: AWS_DEFAULT_REGION, value: eu-west-1}]");
    assert_eq!(get(&own_region, "AWS_REGION"), None);

    let referring = variables("[{name: CHAT, value: '$(OPENAI_BASE_URL)/chat/completions'}]");
    assert_eq!(
        referring.last().unwrap().0,
        "CHAT",
        "what it refers to comes before"
    );
}

#[test]
fn node_network_takes_a_key_that_only_the_pod_has() {
    let (pod, warnings) = injected(
        SIDECAR,
        "{spec: {hostNetwork: true, containers: [{name: app, env: [{name: OPENAI_API_KEY, value: sk-mine}]}]}}",
    );
    let sidecar = &pod.spec.init_containers.as_ref().unwrap()[0];
    let key = sidecar.value(API_KEY).unwrap();
    let app = &pod.spec.containers[0];
    assert_eq!(app.value("ANTHROPIC_API_KEY"), Some(key));
    assert_eq!(app.value("AWS_BEARER_TOKEN_BEDROCK"), Some(key));
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("OPENAI_API_KEY")),
        "{warnings:?}"
    );
}

#[test]
fn proxy_that_would_hide_the_sidecar_is_named() {
    let (_, warnings) = injected(
        SIDECAR,
        "{spec: {containers: [{name: app, env: [{name: HTTP_PROXY, value: 'http://proxy:3128'}]}]}}",
    );
    assert!(warnings[0].contains("NO_PROXY=127.0.0.1"), "{warnings:?}");
}

#[test]
fn pods_that_cannot_have_it_are_refused_with_what_to_change() {
    let other_ports = "sidecar: {serviceAccounts: [{name: app}], port: 8100, adminPort: 8101}";
    for (more, yaml, reason, says) in [
        (
            SIDECAR,
            "containers: [{name: app, ports: [{containerPort: 8000}]}]",
            "PortTaken",
            "spec.sidecar.port",
        ),
        (
            SIDECAR,
            "containers: [{name: app}, {name: b, ports: [{containerPort: 9090}]}]",
            "PortTaken",
            "spec.sidecar.adminPort",
        ),
        (
            other_ports,
            "containers: [{name: app, ports: [{containerPort: 8101}]}]",
            "PortTaken",
            "8101",
        ),
        (
            SIDECAR,
            "containers: [{name: bedrock-gateway}]",
            "ContainerTaken",
            "bedrock-gateway",
        ),
        (
            SIDECAR,
            "initContainers: [{name: bedrock-gateway}], containers: [{name: app}]",
            "ContainerTaken",
            "rename",
        ),
        (
            SIDECAR,
            "volumes: [{name: bedrock-gateway-config, emptyDir: {}}], containers: [{name: app}]",
            "VolumeTaken",
            "bedrock-gateway-config",
        ),
        (
            SIDECAR,
            "volumes: [{name: aws-iam-token, emptyDir: {}}], containers: [{name: app}]",
            "VolumeTaken",
            "aws-iam-token",
        ),
        (
            SIDECAR,
            "shareProcessNamespace: true, securityContext: {runAsUser: 61532}, containers: [{name: app}]",
            "SameUser",
            "61532",
        ),
        (
            SIDECAR,
            "shareProcessNamespace: true, containers: [{name: app, securityContext: {runAsUser: 61532}}]",
            "SameUser",
            "app",
        ),
        (
            SIDECAR,
            "os: {name: windows}, containers: [{name: app}]",
            "Windows",
            "Linux",
        ),
    ] {
        let mut pod = pod(&format!("{{spec: {{{yaml}}}}}"));
        let refused = inject(&mut pod, &sidecar_of(more), &|| Ok(KEY.to_owned())).unwrap_err();
        assert_eq!(refused.reason(), reason, "{yaml}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
    for (more, yaml) in [
        (
            other_ports,
            "containers: [{name: app, ports: [{containerPort: 8000}, {containerPort: 9090}]}]",
        ),
        (
            SIDECAR,
            "containers: [{name: app, ports: [{containerPort: 8000, protocol: UDP}]}]",
        ),
        (
            SIDECAR,
            "securityContext: {runAsUser: 61532}, containers: [{name: app}]",
        ),
        (
            SIDECAR,
            "shareProcessNamespace: true, securityContext: {runAsUser: 61532}, containers: [{name: app, securityContext: {runAsUser: 1000}}]",
        ),
    ] {
        let mut pod = pod(&format!("{{spec: {{{yaml}}}}}"));
        inject(&mut pod, &sidecar_of(more), &|| Ok(KEY.to_owned())).unwrap();
    }
}

#[test]
fn what_restarts_a_gateway_makes_a_sidecar_outdated_and_what_it_reloads_does_not() {
    let hash = |more: &str| sidecar_of(&format!("{{{SIDECAR}, {more}}}")).hash;
    let before = sidecar_of(SIDECAR).hash;
    for more in [
        "region: us-west-2",
        "gateway: {image: 'other:1'}",
        "identity: {podIdentity: {}}",
        "gateway: {logLevel: debug}",
    ] {
        assert_ne!(hash(more), before, "{more}");
    }
    for more in [
        "models: [{name: other, modelId: amazon.nova-lite-v1:0}]",
        "clients: {anonymous: true}",
        "allow: ['*']",
        "gateway: {replicas: 3}",
    ] {
        assert_eq!(hash(more), before, "{more}");
    }
}

const SEVERAL: &str = r#"
metadata:
  labels: { bedrockaccess.dev/inject: chat }
  annotations: { "eks.amazonaws.com/skip-containers": "helper" }
spec:
  serviceAccountName: app
  shareProcessNamespace: true
  initContainers:
    - name: migrate
      image: app:1
  containers:
    - name: app
      image: app:1
      env:
        - { name: OPENAI_API_KEY, valueFrom: { secretKeyRef: { name: openai, key: key } } }
      volumeMounts: [ { name: data, mountPath: /data } ]
    - name: helper
      image: helper:1
      somethingNew: { kept: true }
  volumes:
    - { name: data, emptyDir: {} }
"#;

const GPU: &str = r#"
metadata:
  labels: { bedrockaccess.dev/inject: chat, job-name: train }
spec:
  restartPolicy: Never
  serviceAccountName: app
  containers:
    - name: train
      image: train:1
      resources: { limits: { nvidia.com/gpu: "8", cpu: "64", memory: 512Gi }, requests: { cpu: "64", memory: 512Gi } }
  tolerations: [ { key: nvidia.com/gpu, operator: Exists } ]
"#;
