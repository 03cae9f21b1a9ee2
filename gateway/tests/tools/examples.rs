//! The files under `examples/` and the commands in the guides, checked as far as they can be without
//! AWS: they parse, their flags and variables exist, their parts fit together, their policies are
//! neither too narrow nor too wide.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use api::{GatewayConfig, RoleArn, names, v1alpha1::BedrockAccess};
use awsdouble::policy::{Context, Policy, Principal, Request, evaluate};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::support::HAIKU;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Documents of a file with several.
fn documents(path: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(&read(path))
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// A command line that the gateway takes: its own parser says so, and does nothing else.
#[track_caller]
fn accepted(arguments: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .args(arguments)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

fn strings(value: &Value) -> Vec<String> {
    let list = value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"));
    list.iter()
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}

/// A variable that the gateway, or what it uses, really reads.
#[track_caller]
fn variable_exists(name: &str) {
    const ELSEWHERE: [&str; 3] = [
        "AWS_LWA_PORT",
        "AWS_LWA_READINESS_CHECK_PATH",
        "AWS_LWA_INVOKE_MODE",
    ];
    // Read by the AWS SDK itself.
    const BY_THE_SDK: [&str; 1] = ["AWS_SHARED_CREDENTIALS_FILE"];
    if ELSEWHERE.contains(&name) || BY_THE_SDK.contains(&name) {
        return;
    }
    let quoted = format!("\"{name}\"");
    let found = ["crates/credentials/src", "gateway/src"]
        .iter()
        .any(|folder| {
            sources(&root().join(folder))
                .iter()
                .any(|text| text.contains(&quoted))
        });
    assert!(found, "nothing reads {name}");
}

fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    texts
}

/// Words of a command line, with single and double quotes as in a shell.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut begun = false;
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                begun = true;
            }
            None if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Every command of the gateway in a text: lines that begin with it, with `#` or `run:` or variables
/// before it, continued by a backslash.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n#", " ").replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let line = line.trim().trim_start_matches('#').trim();
        let line = line.strip_prefix("run:").unwrap_or(line).trim();
        let mut words = words(line).into_iter().peekable();
        while words.peek().is_some_and(|word| {
            word.split_once('=')
                .is_some_and(|(name, _)| name.starts_with("AWS_"))
        }) {
            variable_exists(words.next().unwrap().split_once('=').unwrap().0);
        }
        let is_the_gateway = words.next().is_some_and(|word| word == "bedrock-gateway");
        let after: Vec<String> = words
            .take_while(|word| !["|", "&", ">", "&&", ";"].contains(&word.as_str()))
            .collect();
        let is_a_command = after.first().is_some_and(|word| {
            ["serve", "doctor", "iam", "models", "chat"].contains(&word.as_str())
        });
        if is_the_gateway && is_a_command {
            found.push(after);
        }
    }
    found
}

#[test]
fn words_and_commands_are_cut_as_a_shell_would() {
    assert_eq!(words("a 'b c' \"d\" ''"), ["a", "b c", "d", ""]);
    let text = "# AWS_REGION=x bedrock-gateway iam \\\n#   --model m\n run: bedrock-gateway serve &\nbedrock-gateway\n";
    assert_eq!(commands(text), [vec!["iam", "--model", "m"], vec!["serve"]]);
}

#[test]
fn every_command_in_examples_and_guides_is_one() {
    let mut count = 0;
    let mut files = every_file(&root().join("examples"));
    files.extend(
        ["authentication", "troubleshooting", "iam"]
            .map(|name| root().join(format!("docs/guide/{name}.md"))),
    );
    for file in files {
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for command in commands(&text) {
            accepted(&command);
            count += 1;
        }
    }
    assert!(count > 20, "only {count} commands found");
}

fn every_file(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(every_file(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_example_stands_in_the_index_and_links_lead_somewhere() {
    let index = read("examples/README.md");
    for file in every_file(&root().join("examples")) {
        let path = file
            .strip_prefix(root().join("examples"))
            .unwrap()
            .to_owned();
        let name = path.to_str().unwrap();
        let folder = format!("{}/", path.parent().unwrap().display());
        let listed = index.contains(&format!("({name})")) || index.contains(&format!("({folder})"));
        assert!(listed || name == "README.md", "{name} is not in the index");
    }
    for page in [
        "examples/README.md",
        "docs/guide/authentication.md",
        "docs/guide/troubleshooting.md",
        "docs/guide/iam.md",
    ] {
        let text = read(page);
        let home = root().join(page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            let (target, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.starts_with("http") {
                continue;
            }
            let file = if target.is_empty() {
                root().join(page)
            } else {
                home.join(target)
            };
            assert!(file.exists(), "{page} links to {target}");
            if !anchor.is_empty() {
                let anchors = headings(&std::fs::read_to_string(&file).unwrap());
                assert!(
                    anchors.contains(anchor),
                    "{page} links to {target}#{anchor}"
                );
            }
        }
    }
}

/// Anchors of a page's headings, as GitHub makes them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn the_configuration_is_one() {
    let config = GatewayConfig::from_yaml(&read("examples/gateway.yaml")).unwrap();
    assert_eq!(config.models.len(), 2);
    let defaults = GatewayConfig::default().limits;
    assert_eq!(config.limits, defaults, "the example shows the defaults");
}

#[test]
fn development_files_set_variables_that_exist() {
    for line in read("examples/development/keys.env").lines() {
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            variable_exists(name);
            assert!(
                value.is_empty() || name == "AWS_REGION",
                "{name} holds a value"
            );
        }
    }
    for line in read("examples/development/profile.sh").lines() {
        if let Some(assignment) = line.strip_prefix("export ") {
            variable_exists(assignment.split_once('=').unwrap().0);
        }
    }
    let script = root().join("examples/development/profile.sh");
    let checked = Command::new("sh").arg("-n").arg(script).status().unwrap();
    assert!(checked.success());
}

/// Instructions of a Dockerfile: word and the rest, continued lines joined.
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
fn dockerfiles_run_the_gateway_unprivileged_and_hold_no_credentials() {
    for path in ["examples/docker/Dockerfile", "examples/lambda/Dockerfile"] {
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
            assert!(from.contains(':'), "{path}: {from} has no tag");
        }
        assert!(of("FROM").last().unwrap().ends_with(":nonroot"), "{path}");
        let command: Value = serde_json::from_str(of("CMD")[0]).unwrap();
        accepted(&strings(&command));
        let entry: Value = serde_json::from_str(of("ENTRYPOINT")[0]).unwrap();
        let copied = of("COPY")
            .iter()
            .any(|copy| copy.ends_with(entry[0].as_str().unwrap()));
        assert!(copied, "{path}: the entry point is not in the image");
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
fn compose_publishes_port_8000_and_asks_for_a_client_key() {
    let service = &yaml("examples/docker/compose.yaml")["services"]["bedrock-gateway"];
    accepted(&strings(&service["command"]));
    assert_eq!(service["ports"], serde_json::json!(["8000:8000"]));
    let variables = service["environment"].as_object().unwrap();
    for (name, value) in variables {
        variable_exists(name);
        let value = value.as_str().unwrap();
        let secret = name.contains("KEY") || name.contains("TOKEN");
        assert!(!secret || value.starts_with("${"), "{name} holds a value");
    }
    assert!(
        variables["BEDROCK_GATEWAY_API_KEY"]
            .as_str()
            .unwrap()
            .contains(":?")
    );
    let home = root().join("examples/docker");
    let build = &service["build"];
    let context = home.join(build["context"].as_str().unwrap());
    assert!(context.join(build["dockerfile"].as_str().unwrap()).exists());
    let mounted: Vec<String> = strings(&service["volumes"]);
    let config = mounted
        .iter()
        .find(|volume| volume.contains("gateway.yaml"))
        .unwrap();
    assert!(home.join(config.split(':').next().unwrap()).exists());
    let inside = config.split(':').nth(1).unwrap().to_owned();
    assert!(strings(&service["command"]).contains(&inside));
}

#[test]
fn the_systemd_unit_is_well_formed_and_gives_the_drain_its_time() {
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
            assert!(
                KNOWN.contains(&name),
                "{name} is not a setting of systemd's"
            );
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
fn the_task_definition_is_one_that_fargate_takes() {
    let task: Value = serde_json::from_str(&read("examples/ecs/task-definition.json")).unwrap();
    assert_eq!(task["networkMode"], "awsvpc");
    let memory: BTreeSet<&str> = ["512", "1024", "2048"].into();
    assert_eq!(task["cpu"], "256");
    assert!(
        memory.contains(task["memory"].as_str().unwrap()),
        "sizes that go with 256 CPU units"
    );
    for role in ["taskRoleArn", "executionRoleArn"] {
        task[role].as_str().unwrap().parse::<RoleArn>().unwrap();
    }
    let container = &task["containerDefinitions"][0];
    assert_eq!(
        container["entryPoint"],
        serde_json::json!(["bedrock-gateway"])
    );
    accepted(&strings(&container["command"]));
    for list in ["environment", "secrets"] {
        for variable in container[list].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            variable_exists(name);
            assert!(
                list == "secrets" || !name.contains("KEY"),
                "{name} in plain sight"
            );
        }
    }
    assert!(container["portMappings"].to_string().contains("8000"));
    let stop = container["stopTimeout"].as_u64().unwrap();
    let drain = GatewayConfig::default().limits.drain_seconds;
    assert!(
        stop > drain && stop <= 120,
        "above the drain, and what Fargate takes"
    );
}

#[test]
fn the_lambda_template_permits_its_model_and_no_other() {
    let template = yaml("examples/lambda/template.yaml");
    let resources = template["Resources"].as_object().unwrap();
    for resource in resources.values() {
        assert!(resource["Type"].as_str().unwrap().starts_with("AWS::"));
    }
    for reference in references(&template) {
        let known =
            resources.contains_key(&reference) || !template["Parameters"][&reference].is_null();
        assert!(known, "{reference} is nowhere");
    }
    let role = &resources["ExecutionRole"]["Properties"];
    let trust = Policy::from_value(&role["AssumeRolePolicyDocument"]).unwrap();
    let lambda = Principal::Service("lambda.amazonaws.com".to_owned());
    let decide = |policy: &Policy, principal, action, resource: &str| {
        let context = Context::new().with("aws:RequestedRegion", "us-east-1");
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
    assert!(decide(
        &policy,
        None,
        "bedrock:InvokeModelWithResponseStream",
        &arn(HAIKU)
    ));
    assert!(!decide(
        &policy,
        None,
        "bedrock:InvokeModel",
        &arn("amazon.nova-lite-v1:0")
    ));
    let variables = &resources["Function"]["Properties"]["Environment"]["Variables"];
    for name in variables.as_object().unwrap().keys() {
        variable_exists(name);
        assert!(!name.starts_with("AWS_"), "Lambda keeps {name} for itself");
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

/// Parses as a Kubernetes type; a field the type does not have would be lost on the way back.
#[track_caller]
fn typed<T: DeserializeOwned + Serialize>(document: &Value) -> T {
    let typed: T = serde_json::from_value(document.clone()).unwrap();
    let mut back = serde_json::to_value(&typed).unwrap();
    for (name, value) in document.as_object().unwrap() {
        contains(&mut back, name, value, name);
    }
    typed
}

/// Every field of `value` is in `back[name]` with the same content.
#[track_caller]
fn contains(back: &mut Value, name: &str, value: &Value, path: &str) {
    let there = &mut back[name];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                contains(there, name, value, &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let Value::Object(fields) = item else {
                    assert_eq!(&there[at], item, "{path}[{at}]");
                    continue;
                };
                for (name, value) in fields {
                    contains(&mut there[at], name, value, &format!("{path}[{at}].{name}"));
                }
            }
        }
        plain => assert_eq!(there, plain, "{path} is not a field of the type"),
    }
}

#[test]
fn the_manifests_by_hand_fit_together() {
    let mut accounts = Vec::new();
    let mut configs = Vec::new();
    let mut deployments = Vec::new();
    let mut services = Vec::new();
    let mut budgets = Vec::new();
    for document in documents("examples/kubernetes/irsa.yaml") {
        match document["kind"].as_str().unwrap() {
            "ServiceAccount" => accounts.push(typed::<ServiceAccount>(&document)),
            "ConfigMap" => configs.push(typed::<ConfigMap>(&document)),
            "Deployment" => deployments.push(typed::<Deployment>(&document)),
            "Service" => services.push(typed::<Service>(&document)),
            "PodDisruptionBudget" => budgets.push(typed::<PodDisruptionBudget>(&document)),
            other => panic!("{other}"),
        }
    }
    let role = &accounts[0].metadata.annotations.as_ref().unwrap()[names::ROLE_ARN_ANNOTATION];
    role.parse::<RoleArn>().unwrap();

    let spec = deployments[0].spec.as_ref().unwrap();
    assert_eq!(spec.replicas, Some(3));
    let labels = spec
        .template
        .metadata
        .as_ref()
        .unwrap()
        .labels
        .clone()
        .unwrap();
    assert_eq!(spec.selector.match_labels.as_ref().unwrap(), &labels);
    assert_eq!(
        services[0]
            .spec
            .as_ref()
            .unwrap()
            .selector
            .as_ref()
            .unwrap(),
        &labels
    );
    let budget = budgets[0].spec.as_ref().unwrap().selector.as_ref().unwrap();
    assert_eq!(budget.match_labels.as_ref().unwrap(), &labels);

    let pod = spec.template.spec.as_ref().unwrap();
    assert_eq!(pod.service_account_name, accounts[0].metadata.name);
    let container = &pod.containers[0];
    assert_eq!(container.command, Some(vec!["bedrock-gateway".to_owned()]));
    let arguments = container.args.clone().unwrap();
    accepted(&arguments);
    let variables = container.env.as_ref().unwrap();
    for variable in variables {
        variable_exists(&variable.name);
    }
    let value = |name: &str| {
        let found = variables
            .iter()
            .find(|variable| variable.name == name)
            .unwrap();
        found.value.clone().unwrap()
    };
    assert_eq!(&value("AWS_ROLE_ARN"), role);
    let token = format!("{}/{}", names::TOKEN_DIRECTORY, names::TOKEN_FILE_NAME);
    assert_eq!(value("AWS_WEB_IDENTITY_TOKEN_FILE"), token);

    let volumes: BTreeSet<&str> = pod
        .volumes
        .iter()
        .flatten()
        .map(|v| v.name.as_str())
        .collect();
    for mount in container.volume_mounts.iter().flatten() {
        assert!(
            volumes.contains(mount.name.as_str()),
            "{} is no volume",
            mount.name
        );
    }
    let projected = pod
        .volumes
        .iter()
        .flatten()
        .find_map(|volume| volume.projected.as_ref());
    let source = &projected.unwrap().sources.as_ref().unwrap()[0];
    let source = source.service_account_token.as_ref().unwrap();
    assert_eq!(source.audience.as_deref(), Some(names::STS_AUDIENCE));

    let text = &configs[0].data.as_ref().unwrap()[names::CONFIG_KEY];
    let config = GatewayConfig::from_yaml(text).unwrap();
    assert!(config.clients.authenticate());
    let keys = config.clients.api_keys_directory.unwrap();
    let mounts: Vec<&str> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| mount.mount_path.as_str())
        .collect();
    assert!(mounts.contains(&keys.as_str()));
    assert!(mounts.contains(&names::CONFIG_DIRECTORY));
    let grace = pod.termination_grace_period_seconds.unwrap();
    assert!(grace > i64::try_from(config.limits.drain_seconds).unwrap());
}

#[test]
fn the_access_is_one_and_its_policies_can_be_printed() {
    let document = yaml("examples/kubernetes/bedrockaccess.yaml");
    let access: BedrockAccess = typed(&document);
    assert_eq!(access.spec.models.len(), 1);
    let path = root().join("examples/kubernetes/bedrockaccess.yaml");
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .args([
            "iam",
            "--kind",
            "role",
            "--issuer",
            "https://oidc.example",
            "--access",
        ])
        .arg(path)
        .env_clear()
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let role: Value = serde_json::from_slice(&output.stdout).unwrap();
    let policy = Policy::from_value(&role["PermissionPolicy"]).unwrap();
    let context = Context::new();
    let request = Request {
        principal: None,
        action: "bedrock:InvokeModel",
        resource: &format!("arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"),
        context: &context,
    };
    assert!(evaluate(&[policy], request).is_allowed());
    assert!(
        role["TrustPolicy"]
            .to_string()
            .contains("system:serviceaccount:team-a:chat-gateway")
    );
}

#[test]
fn the_workflow_may_ask_for_its_token_and_sets_variables_that_exist() {
    let workflow = yaml("examples/github-actions/bedrock.yaml");
    assert_eq!(workflow["permissions"]["id-token"], "write");
    let job = &workflow["jobs"]["chat"];
    for name in job["env"].as_object().unwrap().keys() {
        variable_exists(name);
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
    for name in [
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    ] {
        variable_exists(name);
    }
}

#[test]
fn every_text_of_aws_that_gets_a_hint_is_explained_in_the_guide() {
    let source = read("gateway/src/hints.rs");
    let rules = source.split("const RULES").nth(1).unwrap();
    let rules = rules.split("\n];").next().unwrap();
    let guide = read("docs/guide/troubleshooting.md")
        .to_lowercase()
        .replace("\n> ", " ");
    let mut count = 0;
    for rule in rules.split("Rule {").skip(1) {
        let list = |field: &str| -> Vec<String> {
            let list = rule.split(&format!("{field}: &[")).nth(1).unwrap();
            let list = list.split(']').next().unwrap();
            list.split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_lowercase)
                .collect()
        };
        for text in list("says").into_iter().chain(list("names")) {
            assert!(guide.contains(&text), "{text:?} is not in the guide");
            count += 1;
        }
    }
    assert!(count > 30, "only {count} texts found");
}
