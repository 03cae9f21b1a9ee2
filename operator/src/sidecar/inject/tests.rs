mod eks;
mod mesh;
mod processes;

use serde::Deserialize;

use super::{environment::PLACEHOLDER, *};
use crate::{access::build::sidecar::template, fixtures::validated, sidecar::pod::patch};

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

/// The patch for a pod of `testdata`, as sent to the API server.
fn patch_of(more: &str, yaml: &str) -> String {
    let (after, warnings) = injected(more, yaml);
    let patch = patch(&pod(yaml), &after);
    serde_yaml::to_string(&json!({"patch": patch, "warnings": warnings})).unwrap()
}

#[test]
fn patches_of_common_pods() {
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
fn only_the_sidecar_gets_the_identity() {
    for (name, identity) in [
        ("pod-identity", "identity: {podIdentity: {}}"),
        ("secret", "identity: {secret: {name: keys}}"),
    ] {
        let more = format!("{{{identity}, {SIDECAR}}}");
        insta::assert_snapshot!(name, patch_of(&more, PLAIN));
    }
}

#[test]
fn injection_is_idempotent() {
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
fn changes_by_other_webhooks_stay_and_a_token_for_the_api_server_is_removed() {
    let (mut pod, _) = injected(SIDECAR, PLAIN);
    // The API server sets defaults, another webhook changes the image to a mirror, and admission mounts a token in the
    // second round.
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
fn copied_pod_with_an_outdated_sidecar_gets_the_current_one() {
    let (mut copy, _) = injected(
        "{gateway: {image: 'old:1'}, sidecar: {serviceAccounts: [{name: app}]}}",
        PLAIN,
    );
    inject(&mut copy, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned())).unwrap();
    let (fresh, _) = injected(SIDECAR, PLAIN);
    assert_eq!(copy, fresh);
}

#[test]
fn variables_of_the_app_stay() {
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
        "a key for another address stays"
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
        "a referenced variable comes first"
    );
}

#[test]
fn sdks_get_placeholder_credentials_unless_the_app_sets_its_own() {
    let uri = |env: &str| {
        let yaml = format!("{{spec: {{containers: [{{name: app, env: {env}}}]}}}}");
        let (pod, _) = injected(SIDECAR, &yaml);
        let app = &pod.spec.containers[0];
        app.value("AWS_CONTAINER_CREDENTIALS_FULL_URI")
            .map(ToOwned::to_owned)
    };
    let ours = Some("http://127.0.0.1:8000/aws/credentials".to_owned());
    assert_eq!(uri("[]"), ours);
    // SDKs read these first, so the credential endpoint has no effect.
    assert_eq!(uri("[{name: AWS_PROFILE, value: work}]"), ours);
    for own in [
        "[{name: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, value: /v2/x}]",
        "[{name: AWS_EC2_METADATA_DISABLED, value: 'false'}]",
        "[{name: AWS_ENDPOINT_URL_BEDROCK_RUNTIME, value: 'https://b.example'}, {name: ANTHROPIC_BEDROCK_BASE_URL, value: 'https://b.example'}]",
    ] {
        assert_eq!(uri(own), None, "{own}");
    }
    let (pod, warnings) = injected(
        SIDECAR,
        "{spec: {hostNetwork: true, containers: [{name: app, env: [{name: AWS_ACCESS_KEY_ID, value: AKIA}]}]}}",
    );
    assert!(warnings[0].contains("AWS_ACCESS_KEY_ID"), "{warnings:?}");
    assert_eq!(
        pod.spec.containers[0].variable("AWS_BEARER_TOKEN_BEDROCK"),
        None
    );
}

#[test]
fn socket_is_mounted_in_every_container_and_writable_only_for_the_sidecar() {
    let socket = "sidecar: {serviceAccounts: [{name: app}], socket: true}";
    let (pod, _) = injected(socket, SEVERAL);
    for container in pod.all() {
        let mut mounts = container.volume_mounts.iter().flatten();
        let mount = mounts.find(|mount| is_named(mount, SOCKET_VOLUME)).unwrap();
        let ours = container.name == names::GATEWAY_NAME;
        assert_eq!(mount["mountPath"], "/var/run/bedrock-gateway");
        assert_eq!(mount.get("readOnly").is_none(), ours, "{container:?}");
        let path_variable = container.value("BEDROCK_GATEWAY_SOCKET");
        let path = "/var/run/bedrock-gateway/gateway.sock";
        assert_eq!(path_variable, (!ours).then_some(path), "{container:?}");
    }
    let sidecar = &pod.spec.init_containers.as_ref().unwrap()[0];
    let arguments = sidecar.rest["args"].to_string();
    assert!(
        arguments.contains("--listen-socket=/var/run/bedrock-gateway/gateway.sock"),
        "{arguments}"
    );
    let mut twice = pod.clone();
    inject(&mut twice, &sidecar_of(socket), &|| Ok(KEY.to_owned())).unwrap();
    assert_eq!(patch(&pod, &twice), []);
    assert_ne!(sidecar_of(socket).hash, sidecar_of(SIDECAR).hash);
}

#[test]
fn pod_on_the_node_network_gets_its_own_key() {
    let (pod, warnings) = injected(
        SIDECAR,
        "{spec: {hostNetwork: true, containers: [{name: app, env: [{name: OPENAI_API_KEY, value: sk-mine}]}]}}",
    );
    let sidecar = &pod.spec.init_containers.as_ref().unwrap()[0];
    let key = sidecar.value(API_KEY).unwrap();
    let app = &pod.spec.containers[0];
    assert_eq!(app.value("ANTHROPIC_API_KEY"), Some(key));
    let bearer = format!("Bearer {key}");
    assert_eq!(
        app.value("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        Some(bearer.as_str())
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("OPENAI_API_KEY")),
        "{warnings:?}"
    );
}

#[test]
fn proxy_without_no_proxy_gives_a_warning() {
    let (_, warnings) = injected(
        SIDECAR,
        "{spec: {containers: [{name: app, env: [{name: HTTP_PROXY, value: 'http://proxy:3128'}]}]}}",
    );
    assert!(warnings[0].contains("NO_PROXY=127.0.0.1"), "{warnings:?}");
}

#[test]
fn pods_that_cannot_have_a_sidecar_are_rejected_with_the_fix() {
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
            "Rename",
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
            "shareProcessNamespace: true, securityContext: {runAsUser: 61532}, containers: [{name: app, securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]",
        ),
        (
            SIDECAR,
            "shareProcessNamespace: true, securityContext: {runAsUser: 1000}, containers: [{name: app, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [CAP_NET_BIND_SERVICE]}}}]",
        ),
        // What the mesh runs as root ends before the sidecar starts.
        (
            SIDECAR,
            "hostPID: true, initContainers: [{name: istio-init, securityContext: {runAsUser: 0}}, {name: istio-proxy, restartPolicy: Always, securityContext: {runAsUser: 1337, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}], containers: [{name: app, securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]",
        ),
    ] {
        let mut pod = pod(&format!("{{spec: {{{yaml}}}}}"));
        inject(&mut pod, &sidecar_of(more), &|| Ok(KEY.to_owned())).unwrap();
    }
}

#[test]
fn sidecar_is_outdated_after_changes_that_need_a_restart() {
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
