//! Examples, read by the libraries and programs that read them in use: Docker Compose, BuildKit, actionlint, Terraform,
//! CloudFormation's linter, botocore, eksctl, systemd.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use crate::support::{clients, lane};

/// The release whose JSON schema the cluster file is checked with.
const EKSCTL: &str = "github.com/weaveworks/eksctl@v0.215.0";
const SCHEMA: &str = "pkg/apis/eksctl.io/v1alpha5/assets/schema.json";

fn none(report: &Value) {
    assert_eq!(report, &serde_json::json!([]));
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("{value}"))
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

#[tokio::test]
async fn compose_actions_buildkit_and_terraform_accept_their_examples() {
    if lane::is_left_to_full() {
        return;
    }
    let kept = [
        "Cargo.lock",
        "crates/bedrock/Cargo.toml",
        "gateway/src/main.rs",
        "operator/src/main.rs",
    ];
    let left_out = [
        ".git/config",
        "target/release/bedrock-gateway",
        "examples/development/keys.env",
        "gateway/keys.env",
        "crates/api/target/x",
    ];
    let paths: Vec<&str> = kept.iter().chain(&left_out).copied().collect();
    let environment = [
        ("GATEWAY_USER", "1000:1000"),
        ("BEDROCK_GATEWAY_API_KEY", "key"),
    ];
    let report = clients::examples(&paths, &environment).await;

    let service = &report["compose"]["project"]["services"]["bedrock-gateway"];
    assert_eq!(service["user"], "1000:1000", "{}", report["compose"]);
    assert_eq!(service["ports"][0]["host_ip"], "127.0.0.1");
    let check = texts(&service["healthcheck"]["test"]);
    assert!(check.contains("/usr/local/bin/bedrock-gateway") && check.contains("health"));

    none(&report["workflow"]["findings"]);
    for file in ["containerfile", "lambda"] {
        none(&report[file]["findings"]);
    }
    let stages = report["containerfile"]["stages"].as_array().unwrap();
    let names: Vec<&str> = stages
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["build", "operator", "gateway"]);
    for path in kept {
        assert_eq!(report["ignore"][path], false, "{path}");
    }
    for path in left_out {
        assert_eq!(report["ignore"][path], true, "{path}");
    }

    none(&report["terraform"]["findings"]);
    assert!(texts(&report["terraform"]["resources"]).contains("aws_iam_role.this"));
    assert!(texts(&report["terraform"]["outputs"]).contains("role_arn"));
}

#[tokio::test]
async fn aws_models_and_eksctl_accept_their_examples() {
    if lane::is_left_to_full() {
        return;
    }
    let downloaded = Command::new("go")
        .args(["mod", "download", "-json", EKSCTL])
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    let downloaded: Value = serde_json::from_slice(&downloaded.stdout).unwrap();
    let schema = format!("{}/{SCHEMA}", downloaded["Dir"].as_str().unwrap());
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let environment = [("REPOSITORY", repository), ("EKSCTL_SCHEMA", &*schema)];
    let report = clients::python_client("examples/check.py", &environment).await;
    for kind in ["ecs", "cloudformation", "eksctl"] {
        none(&report[kind]);
    }
}

#[test]
fn systemd_accepts_the_unit() {
    if lane::is_left_to_full() {
        return;
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/ec2/bedrock-gateway.service"
    );
    let unit = fs::read_to_string(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    // The program must exist; any will do.
    let unit = unit.replace("/usr/local/bin/bedrock-gateway", "/bin/true");
    let copy = directory.path().join("bedrock-gateway.service");
    fs::write(&copy, unit).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&copy)
        .output()
        .expect("systemd-analyze runs: it comes with Debian's package systemd");
    let findings = String::from_utf8_lossy(&output.stderr);
    let about_the_unit: Vec<&str> = findings
        .lines()
        .filter(|line| line.contains("bedrock-gateway.service"))
        .collect();
    assert!(
        output.status.success() && about_the_unit.is_empty(),
        "{findings}"
    );
}
