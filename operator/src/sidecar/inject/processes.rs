//! Shared process namespaces: a process can read the files of another one under `/proc/PID/root`, and with them the token
//! of the sidecar.
//!
//! The kernel allows this to a process of the same user, and to one with the capability `SYS_PTRACE`; root gets both with
//! `SETUID`, which containers have by default (<https://man7.org/linux/man-pages/man2/ptrace.2.html>, "Ptrace access mode
//! checking"). The token is out of reach only if no container can be root, the sidecar's user, or gain privileges.

use api::names;
use serde_json::Value;

use super::mesh;
use crate::{
    access::build::sidecar::USER,
    sidecar::{
        pod::{Container, Pod},
        refused::Refused,
    },
};

/// Capabilities that give no access to other processes.
const HARMLESS: [&str; 1] = ["NET_BIND_SERVICE"];

/// # Errors
/// When a container that runs beside the sidecar could read its token.
pub(super) fn check(pod: &Pod) -> Result<(), Refused> {
    let namespace = if pod.spec.share_process_namespace {
        "shareProcessNamespace"
    } else if pod.spec.host_pid {
        "hostPID"
    } else {
        return Ok(());
    };
    for container in beside(pod) {
        let user = user(pod, container);
        if user == Some(USER) {
            return Err(Refused::SameUser {
                container: container.name.clone(),
                user: USER,
            });
        }
        if let Some(problem) = problem(user, container) {
            return Err(Refused::SharedProcesses {
                container: container.name.clone(),
                namespace,
                problem,
                user: USER,
            });
        }
    }
    Ok(())
}

/// The containers that run at the same time as the sidecar: not those that end before it starts.
fn beside(pod: &Pod) -> impl Iterator<Item = &Container> {
    let init = pod.spec.init_containers.as_deref().unwrap_or_default();
    let first = mesh::place(init);
    let ended = move |index: usize, container: &Container| {
        let restarts = container.rest.get("restartPolicy").and_then(Value::as_str);
        index < first && restarts != Some("Always")
    };
    let init = init.iter().enumerate();
    init.filter(move |(index, container)| !ended(*index, container))
        .map(|(_, container)| container)
        .chain(&pod.spec.containers)
        .filter(|container| container.name != names::GATEWAY_NAME)
}

/// The user of a container; `None` if the image decides.
fn user(pod: &Pod, container: &Container) -> Option<i64> {
    let user = |context: Option<&Value>| context?.get("runAsUser")?.as_i64();
    let own = user(container.rest.get("securityContext"));
    own.or_else(|| user(pod.spec.security_context.as_ref()))
}

/// The first setting with which a container could read the token.
fn problem(user: Option<i64>, container: &Container) -> Option<&'static str> {
    let context = container.rest.get("securityContext");
    let flag = |name: &str| context.and_then(|context| context.get(name)?.as_bool());
    let capabilities = |list: &str| -> Vec<&str> {
        let names = context.and_then(|context| context.pointer(list)?.as_array());
        names
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|name| name.strip_prefix("CAP_").unwrap_or(name))
            .collect()
    };
    match user {
        None => return Some("runAsUser is not set"),
        Some(0) => return Some("runAsUser is 0"),
        Some(_) => {}
    }
    if flag("privileged") == Some(true) {
        return Some("privileged is true");
    }
    if flag("allowPrivilegeEscalation") != Some(false) {
        return Some("allowPrivilegeEscalation is not false");
    }
    if !capabilities("/capabilities/drop").contains(&"ALL") {
        return Some("capabilities.drop does not contain ALL");
    }
    let mut added = capabilities("/capabilities/add").into_iter();
    added
        .any(|name| !HARMLESS.contains(&name))
        .then_some("capabilities.add is set")
}
