//! Pods whose containers see each other's processes.

use super::*;

/// A pod with one container, whose security context is this, changed by `change`.
#[expect(clippy::unwrap_in_result, reason = "a helper of tests")]
fn refused(namespace: &str, change: &str) -> Option<Refused> {
    let mut context = json!({
        "runAsUser": 1000, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
    });
    let change: Value = serde_yaml::from_str(change).unwrap();
    for (name, value) in change.as_object().unwrap() {
        context[name] = value.clone();
    }
    let containers = json!([{"name": "app", "securityContext": context}]);
    let mut pod: Pod =
        serde_json::from_value(json!({"spec": {namespace: true, "containers": containers}}))
            .unwrap();
    inject(&mut pod, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned())).err()
}

#[test]
fn container_that_could_read_the_token_is_rejected_and_the_message_names_the_setting() {
    for namespace in ["shareProcessNamespace", "hostPID"] {
        assert_eq!(refused(namespace, "{}"), None);
        for (change, problem) in [
            ("{runAsUser: null}", "runAsUser is not set"),
            (
                "{runAsUser: null, runAsNonRoot: true}",
                "runAsUser is not set",
            ),
            ("{runAsUser: 0}", "runAsUser is 0"),
            ("{privileged: true}", "privileged is true"),
            (
                "{allowPrivilegeEscalation: true}",
                "allowPrivilegeEscalation is not false",
            ),
            (
                "{allowPrivilegeEscalation: null}",
                "allowPrivilegeEscalation is not false",
            ),
            (
                "{capabilities: null}",
                "capabilities.drop does not contain ALL",
            ),
            (
                "{capabilities: {drop: [SETUID, SYS_PTRACE]}}",
                "capabilities.drop does not contain ALL",
            ),
            (
                "{capabilities: {drop: [ALL], add: [SYS_PTRACE]}}",
                "capabilities.add is set",
            ),
            (
                "{capabilities: {drop: [ALL], add: [CAP_SETUID]}}",
                "capabilities.add is set",
            ),
        ] {
            let refused = refused(namespace, change).unwrap_or_else(|| panic!("{change}"));
            assert_eq!((refused.reason(), refused.code()), ("SharedProcesses", 403));
            let text = refused.to_string();
            for words in ["container app", namespace, problem, "Remove", "drop: [ALL]"] {
                assert!(
                    text.contains(words),
                    "{change}: {words} is missing in {text}"
                );
            }
        }
    }
}

#[test]
fn every_container_that_runs_beside_the_sidecar_is_checked() {
    let safe = "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}";
    for (containers, refused) in [
        (format!("containers: [{{name: app, {safe}}}]"), false),
        (
            format!("containers: [{{name: app, {safe}}}, {{name: helper}}]"),
            true,
        ),
        (
            format!("initContainers: [{{name: migrate}}], containers: [{{name: app, {safe}}}]"),
            true,
        ),
        (
            format!(
                "initContainers: [{{name: migrate, {safe}}}], containers: [{{name: app, {safe}}}]"
            ),
            false,
        ),
    ] {
        let mut pod = pod(&format!(
            "{{spec: {{shareProcessNamespace: true, securityContext: {{runAsUser: 1000}}, {containers}}}}}"
        ));
        let result = inject(&mut pod, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned()));
        assert_eq!(result.is_err(), refused, "{containers}: {result:?}");
        if !refused {
            let again = inject(&mut pod, &sidecar_of(SIDECAR), &|| Ok(KEY.to_owned()));
            assert!(again.is_ok(), "the webhook is called again: {again:?}");
        }
    }
}
