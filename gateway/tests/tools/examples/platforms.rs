//! The examples for Docker, systemd, ECS, Lambda and GitHub Actions.

use std::collections::BTreeSet;

use api::{GatewayConfig, RoleArn};
use awsdouble::policy::{Context, Policy, Principal, Request, evaluate};
use serde_json::Value;

use super::{accepted, read, root, strings, variable_exists, words, yaml};
use crate::support::PROFILE;

/// Instructions of a Dockerfile: keyword and arguments, with continued lines joined.
fn instructions(path: &str) -> Vec<(String, String)> {
    let text = read(path).replace("\\\n", " ");
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap();
            (word.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

#[test]
fn containerfiles_run_the_gateway_as_non_root_without_credentials() {
    for path in ["Containerfile", "examples/lambda/Containerfile"] {
        let instructions = instructions(path);
        let of = |word: &str| -> Vec<&String> {
            instructions
                .iter()
                .filter(|(w, _)| w == word)
                .map(|(_, rest)| rest)
                .collect()
        };
        for (word, _) in &instructions {
            let known = [
                "ARG",
                "FROM",
                "WORKDIR",
                "COPY",
                "RUN",
                "ENV",
                "EXPOSE",
                "ENTRYPOINT",
                "CMD",
            ];
            assert!(known.contains(&word.as_str()), "{path}: {word}");
        }
        for from in of("FROM") {
            let is_tagged = from.contains(':') || from == "${GATEWAY}";
            assert!(is_tagged, "{path}: {from} has no tag");
        }
        let last = of("FROM").last().unwrap().as_str();
        assert!(last.contains(":nonroot") || last == "${GATEWAY}", "{path}");
        let command: Value = serde_json::from_str(of("CMD")[0]).unwrap();
        accepted(&strings(&command));
        for entry in of("ENTRYPOINT") {
            let entry: Value = serde_json::from_str(entry).unwrap();
            let copied = of("COPY")
                .iter()
                .any(|copy| copy.ends_with(entry[0].as_str().unwrap()));
            assert!(copied, "{path}: the entry point is not in the image");
        }
        for assignment in of("ENV").iter().flat_map(|line| line.split_whitespace()) {
            let name = assignment.split_once('=').unwrap().0;
            variable_exists(name);
            assert!(
                !name.contains("KEY") && !name.contains("TOKEN"),
                "{path}: {name}"
            );
        }
    }
}

#[test]
fn containerfile_and_toolchain_have_the_same_version() {
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).unwrap();
    let version = version.split('"').next().unwrap();
    let text = read("Containerfile");
    let minor = version.rsplit_once('.').unwrap().0;
    assert!(text.contains(&format!("rust:{minor}-bookworm")));
}

#[test]
fn compose_serves_this_machine_as_the_owner_of_the_profile() {
    let service = &yaml("examples/docker/compose.yaml")["services"]["bedrock-gateway"];
    accepted(&strings(&service["command"]));
    assert_eq!(service["ports"], serde_json::json!(["127.0.0.1:8000:8000"]));
    let health = strings(&service["healthcheck"]["test"]);
    assert_eq!(
        health[..2],
        ["CMD", "/usr/local/bin/bedrock-gateway"],
        "the image has no shell"
    );
    accepted(&health[2..]);
    let variables = service["environment"].as_object().unwrap();
    for (name, value) in variables {
        if name != "HOME" {
            variable_exists(name);
        }
        let value = value.as_str().unwrap();
        let secret = name.contains("KEY") || name.contains("TOKEN");
        assert!(!secret || value.starts_with("${"), "{name} holds a value");
    }
    for required in [&variables["BEDROCK_GATEWAY_API_KEY"], &service["user"]] {
        assert!(required.as_str().unwrap().contains(":?"), "{required}");
    }
    let home = root().join("examples/docker");
    let build = &service["build"];
    let context = home.join(build["context"].as_str().unwrap());
    assert!(context.join(build["dockerfile"].as_str().unwrap()).exists());
    let volumes = service["volumes"].as_array().unwrap();
    for volume in volumes {
        assert_eq!(volume["bind"]["create_host_path"], false, "{volume}");
    }
    let profile = format!("{}/.aws", variables["HOME"].as_str().unwrap());
    assert_eq!(volumes[0]["target"], profile.as_str());
    assert!(home.join(volumes[1]["source"].as_str().unwrap()).exists());
    let inside = volumes[1]["target"].as_str().unwrap().to_owned();
    assert!(strings(&service["command"]).contains(&inside));
}

#[test]
fn systemd_unit_is_valid_and_waits_for_the_drain() {
    const KNOWN: &[&str] = &[
        "Description",
        "Documentation",
        "Wants",
        "After",
        "Type",
        "ExecStart",
        "LoadCredential",
        "Environment",
        "KillSignal",
        "TimeoutStopSec",
        "Restart",
        "RestartSec",
        "LimitNOFILE",
        "DynamicUser",
        "UMask",
        "NoNewPrivileges",
        "CapabilityBoundingSet",
        "ProtectSystem",
        "ProtectHome",
        "PrivateTmp",
        "PrivateDevices",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectControlGroups",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RestrictSUIDSGID",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "SystemCallArchitectures",
        "SystemCallFilter",
        "WantedBy",
    ];
    let text = read("examples/ec2/bedrock-gateway.service");
    let mut sections = Vec::new();
    let mut settings: Vec<(String, String)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(section) = line.strip_prefix('[') {
            sections.push(section.trim_end_matches(']').to_owned());
        } else {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            assert!(KNOWN.contains(&name), "{name} is not a setting of systemd");
            settings.push((name.to_owned(), value.to_owned()));
        }
    }
    assert_eq!(sections, ["Unit", "Service", "Install"]);
    let one = |wanted: &str| {
        let found = settings.iter().find(|(name, _)| name == wanted);
        found.unwrap_or_else(|| panic!("no {wanted}")).1.clone()
    };
    let start = words(&one("ExecStart"));
    assert!(start[0].ends_with("/bedrock-gateway") && start[0].starts_with('/'));
    accepted(&start[1..]);
    variable_exists(one("Environment").split_once('=').unwrap().0);
    let stop: u64 = one("TimeoutStopSec").parse().unwrap();
    assert!(stop > GatewayConfig::default().limits.drain_seconds);
    let credential = one("LoadCredential");
    let name = credential.split(':').next().unwrap();
    assert!(one("ExecStart").contains(&format!("%d/{name}")));
}

#[test]
fn fargate_accepts_the_task_definition() {
    let task: Value = serde_json::from_str(&read("examples/ecs/task-definition.json")).unwrap();
    assert_eq!(task["networkMode"], "awsvpc");
    let memory: BTreeSet<&str> = ["512", "1024", "2048"].into();
    assert_eq!(task["cpu"], "256");
    assert!(
        memory.contains(task["memory"].as_str().unwrap()),
        "memory sizes for 256 CPU units"
    );
    for role in ["taskRoleArn", "executionRoleArn"] {
        task[role].as_str().unwrap().parse::<RoleArn>().unwrap();
    }
    let container = &task["containerDefinitions"][0];
    assert_eq!(
        container["entryPoint"],
        serde_json::json!(["/usr/local/bin/bedrock-gateway"])
    );
    accepted(&strings(&container["command"]));
    let health = strings(&container["healthCheck"]["command"]);
    assert_eq!(
        health[..2],
        ["CMD", "/usr/local/bin/bedrock-gateway"],
        "the image has no shell"
    );
    accepted(&health[2..]);
    for list in ["environment", "secrets"] {
        for variable in container[list].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            variable_exists(name);
            assert!(
                list == "secrets" || !name.contains("KEY"),
                "{name} in plain text"
            );
        }
    }
    assert!(container["portMappings"].to_string().contains("8000"));
    let stop = container["stopTimeout"].as_u64().unwrap();
    let drain = GatewayConfig::default().limits.drain_seconds;
    assert!(
        stop > drain && stop <= 120,
        "longer than the drain, and at most the limit of Fargate"
    );
}

#[test]
fn lambda_template_allows_only_its_model() {
    let template = yaml("examples/lambda/template.yaml");
    let resources = template["Resources"].as_object().unwrap();
    for resource in resources.values() {
        assert!(resource["Type"].as_str().unwrap().starts_with("AWS::"));
    }
    for reference in references(&template) {
        let known =
            resources.contains_key(&reference) || !template["Parameters"][&reference].is_null();
        assert!(known, "{reference} is not defined");
    }
    let role = &resources["ExecutionRole"]["Properties"];
    let trust = Policy::from_value(&role["AssumeRolePolicyDocument"]).unwrap();
    let lambda = Principal::Service("lambda.amazonaws.com".to_owned());
    let profile = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{PROFILE}");
    let decide = |policy: &Policy, principal, action, resource: &str| {
        let context = Context::new()
            .with("aws:RequestedRegion", "us-east-1")
            .with("bedrock:InferenceProfileArn", &profile);
        let request = Request {
            principal,
            action,
            resource,
            context: &context,
        };
        evaluate(std::slice::from_ref(policy), request).is_allowed()
    };
    assert!(decide(&trust, Some(&lambda), "sts:AssumeRole", "*"));
    let policy = Policy::from_value(&role["Policies"][0]["PolicyDocument"]).unwrap();
    let arn = |model: &str| format!("arn:aws:bedrock:us-east-1::foundation-model/{model}");
    for resource in [profile.clone(), arn("amazon.nova-2-lite-v1:0")] {
        assert!(decide(
            &policy,
            None,
            "bedrock:InvokeModelWithResponseStream",
            &resource
        ));
    }
    assert!(!decide(
        &policy,
        None,
        "bedrock:InvokeModel",
        &arn("amazon.nova-lite-v1:0")
    ));
    let variables = &resources["Function"]["Properties"]["Environment"]["Variables"];
    for name in variables.as_object().unwrap().keys() {
        variable_exists(name);
        assert!(!name.starts_with("AWS_"), "Lambda reserves {name}");
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("Ref", Value::String(target)) => vec![target.clone()],
                ("Fn::GetAtt", Value::Array(path)) => vec![path[0].as_str().unwrap().to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn workflow_can_request_a_token_and_sets_existing_variables() {
    let workflow = yaml("examples/github-actions/bedrock.yaml");
    assert_eq!(workflow["permissions"]["id-token"], "write");
    let job = &workflow["jobs"]["chat"];
    for name in job["env"].as_object().unwrap().keys() {
        if name != "GATEWAY_REPOSITORY" {
            variable_exists(name);
        }
    }
    job["env"]["AWS_ROLE_ARN"]
        .as_str()
        .unwrap()
        .parse::<RoleArn>()
        .unwrap();
    let steps = job["steps"].as_array().unwrap();
    for step in steps {
        assert!(
            step["run"].is_string() != step["uses"].is_string(),
            "{step}"
        );
    }
    let text = read("examples/github-actions/bedrock.yaml");
    assert!(!text.contains("secrets."), "no stored key is needed");
    // It runs in the reader's repository, which has no sources of the gateway.
    assert!(!text.contains("--path"), "{text}");
    assert!(text.contains("cargo install --locked --git \"$GATEWAY_REPOSITORY\" gateway"));
    for name in [
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    ] {
        variable_exists(name);
    }
}
