//! The chart and the definitions, as Helm and kubectl bring them to a cluster.

use std::{fs, path::PathBuf};

use localcluster::ApiServer;
use serde_json::Value;

use super::{OPERATOR_NAMESPACE, RELEASE};

/// Installs the definitions and the rendered chart without its pods; gives the operator's user name and
/// all that was rendered.
pub(super) fn install_chart(
    cluster: &ApiServer,
    directory: &std::path::Path,
    chart: &[&str],
) -> (String, Vec<Value>) {
    let repository = repository();
    run(cluster
        .kubectl()
        .arg("apply")
        .arg("--server-side")
        .arg("-f")
        .arg(repository.join("crds")));
    let rendered = render(cluster, chart);
    let mut wanted = String::new();
    for object in &rendered {
        if let Some(
            "ServiceAccount" | "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding",
        ) = object["kind"].as_str()
        {
            wanted.push_str("---\n");
            wanted.push_str(&serde_yaml::to_string(object).unwrap());
        }
    }
    let file = directory.join("rbac.yaml");
    fs::write(&file, wanted).unwrap();
    run(cluster
        .kubectl()
        .args(["apply", "--server-side", "-f"])
        .arg(&file));
    (operator_user(&rendered), rendered)
}

/// The user that the operator of a rendered chart is.
pub(super) fn operator_user(rendered: &[Value]) -> String {
    let account = rendered
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .and_then(|object| object["spec"]["template"]["spec"]["serviceAccountName"].as_str())
        .expect("the chart has a Deployment with a ServiceAccount");
    format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{account}")
}

/// A file or directory of `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

/// The chart's objects.
pub(super) fn render(cluster: &ApiServer, chart: &[&str]) -> Vec<Value> {
    let rendered = run(cluster
        .helm()
        .args(["template", RELEASE])
        .arg(repository().join("charts/bedrock-access"))
        .args(["--namespace", OPERATOR_NAMESPACE])
        .args(chart));
    serde_yaml::Deserializer::from_str(&rendered)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect()
}

fn repository() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// Runs a command that must succeed, and returns its output.
pub(crate) fn run(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
