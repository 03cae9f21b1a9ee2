//! Shell blocks of the documentation that need no cluster, run as printed: the kind `gateway` against a simulated AWS
//! with an instance profile, profiles and keys, the kind `simulated` against `serve --simulate`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use awsdouble::{Config, Double};

use super::{documents::of_kind, root};
use crate::support::{KEY_ID, SECRET};

/// The account of the commands: a user, the role of the instance, and a role in another account.
const ACCOUNT: &str = r#"
account: "123456789012"
users:
- name: dev
  access_key_id: KEY_ID
  secret_access_key: SECRET
  key_created: "2100-01-01T00:00:00Z"
  policies: &all [ { Version: "2012-10-17", Statement: [ { Effect: Allow, Action: "*", Resource: "*" } ] } ]
roles:
- arn: arn:aws:iam::123456789012:role/InstanceRole
  trust_policy: { Version: "2012-10-17", Statement: [ { Effect: Allow, Principal: { Service: ec2.amazonaws.com }, Action: "sts:AssumeRole" } ] }
  policies: *all
- arn: arn:aws:iam::210987654321:role/BedrockAccessRole
  trust_policy:
    Version: "2012-10-17"
    Statement:
    - Effect: Allow
      Principal: { AWS: "arn:aws:iam::123456789012:root" }
      Action: sts:AssumeRole
      Condition: { StringEquals: { "sts:ExternalId": agreed-with-the-owner } }
  policies: *all
instance: { role_arn: "arn:aws:iam::123456789012:role/InstanceRole" }
"#;

/// `chat.yaml` of the guides: a chain of roles, and a target in another account.
const CHAT: &str = r#"
apiVersion: bedrockaccess.dev/v1alpha1
kind: BedrockAccess
metadata: { name: chat, namespace: team-a }
spec:
  region: us-east-1
  identity:
    irsa: { roleArn: "arn:aws:iam::123456789012:role/BedrockRole" }
    assumeRoles: [ { roleArn: "arn:aws:iam::345678901234:role/ModelRole" } ]
  models:
  - { name: fast, modelId: us.amazon.nova-2-lite-v1:0 }
  - name: smart
    targets:
    - modelId: us.anthropic.claude-sonnet-5
    - modelId: us.anthropic.claude-sonnet-5
      priority: 1
      assumeRole: { roleArn: "arn:aws:iam::210987654321:role/BedrockAccessRole", externalId: agreed-with-the-owner }
  clients: { serviceAccounts: [ { name: app } ] }
"#;

/// The program, but `serve` listens on a free port, and ends as soon as the gateway is ready: with an exit code of 0 if that
/// and the shutdown succeed.
const WRAPPER: &str = r#"#!/bin/sh
case " $* " in
  *" serve "*--listen* | *" serve "*--host*) ;;
  *" serve "*) set -- "$@" --listen 127.0.0.1:0 ;;
  *) exec PROGRAM "$@" ;;
esac
PROGRAM "$@" &
gateway=$!
until PROGRAM health >/dev/null 2>&1; do
  kill -0 "$gateway" 2>/dev/null || { wait "$gateway"; exit 1; }
  sleep 0.05
done
kill -TERM "$gateway"
wait "$gateway"
"#;

/// A directory with the files that the commands name, and their environment.
struct Place {
    directory: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    fn new(environment: &[(&'static str, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, target) in [
            ("examples", "examples"),
            ("gateway.yaml", "examples/gateway.yaml"),
        ] {
            std::os::unix::fs::symlink(root().join(target), at(name)).unwrap();
        }
        fs::write(at("chat.yaml"), CHAT).unwrap();
        fs::write(at("api-key"), "sk-of-the-test").unwrap();
        let keys = format!("AWS_ACCESS_KEY_ID={KEY_ID}\nAWS_SECRET_ACCESS_KEY={SECRET}\n");
        fs::write(at("keys.env"), &keys).unwrap();
        fs::create_dir(at(".aws")).unwrap();
        let keys = keys.to_lowercase().replace(&SECRET.to_lowercase(), SECRET);
        let keys = keys.replace(&KEY_ID.to_lowercase(), KEY_ID);
        let profiles = format!("[bedrock-dev]\n{keys}[bedrock-staging]\n{keys}");
        fs::write(at(".aws/credentials"), profiles).unwrap();
        fs::create_dir(at("bin")).unwrap();
        let program = at("bin/bedrock-gateway");
        fs::write(
            &program,
            WRAPPER.replace("PROGRAM", env!("CARGO_BIN_EXE_bedrock-gateway")),
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            environment: environment.to_vec(),
            directory,
        }
    }

    /// Runs a script and returns what it prints, or how it failed.
    fn run(&self, place: &str, script: &str) -> Result<String, String> {
        let home = self.directory.path();
        let output = Command::new("timeout")
            .args(["60", "sh", "-eu", "-c", script])
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", home.join("bin").display()),
            )
            .env("HOME", home)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(home)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        if output.status.success() {
            return Ok(printed);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{place}: {script}\n{printed}{errors}"))
    }
}

/// An address that is free now.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Commands of a block, and the output that it shows after each. Without `$` prompts, the block is one script.
fn session(text: &str) -> Vec<(String, String)> {
    if !text.starts_with("$ ") {
        return vec![(text.to_owned(), String::new())];
    }
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push((command.to_owned(), String::new()));
        } else if let Some((command, output)) = steps.last_mut() {
            let text = if command.ends_with('\\') {
                command
            } else {
                output
            };
            text.push('\n');
            text.push_str(line);
        }
    }
    steps
}

/// Whether a text has the parts of a pattern in their order; `…` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.trim().split('…').map(str::trim).collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if !text.starts_with(first) || !text.trim_end().ends_with(last) {
        return false;
    }
    let mut rest = text;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_the_gateway_in_documents_succeed() {
    let account = ACCOUNT.replace("KEY_ID", KEY_ID).replace("SECRET", SECRET);
    let double = Double::start(Config::from_yaml(&account).unwrap())
        .await
        .unwrap();
    let place = Place::new(&[
        ("AWS_ENDPOINT_URL", double.url()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", double.url()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("BEDROCK_GATEWAY_ADMIN_LISTEN", free()),
    ]);
    let blocks = of_kind("gateway");
    assert!(blocks.len() > 25, "{} blocks", blocks.len());
    tokio::task::spawn_blocking(move || {
        let mut failed = Vec::new();
        for block in blocks {
            for (command, _) in session(&block.text) {
                let command = command
                    .replace(
                        "AWS_ACCESS_KEY_ID=AKIA…",
                        &format!("AWS_ACCESS_KEY_ID={KEY_ID}"),
                    )
                    .replace(
                        "AWS_SECRET_ACCESS_KEY=…",
                        &format!("AWS_SECRET_ACCESS_KEY={SECRET}"),
                    )
                    // Any free port.
                    .replace("8080", "0");
                assert!(!command.contains('…'), "{}: {command}", block.place());
                failed.extend(place.run(&block.place(), &command).err());
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n\n"));
        let policy = fs::read_to_string(place.directory.path().join("policy.json")).unwrap();
        assert!(policy.contains("bedrock:InvokeModel"), "{policy}");
    })
    .await
    .unwrap();
}

/// A running program, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn commands_for_the_simulated_aws_print_what_documents_show() {
    let (address, admin) = (free(), free());
    let mut server = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .args(["serve", "--simulate", "--listen", &address])
        .args(["--admin-listen", &admin])
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept until the end: the program writes to it while it serves.
    let mut errors = BufReader::new(server.stderr.take().unwrap()).lines();
    let _server = Running(server);
    let ready = errors.find(|line| line.as_ref().unwrap().contains("Ctrl-C"));
    assert!(ready.is_some(), "the greeting has no end");
    let place = Place::new(&[("BEDROCK_GATEWAY_ADMIN_LISTEN", admin)]);
    let mut outputs = 0;
    for block in of_kind("simulated") {
        for (command, shown) in session(&block.text) {
            let printed = place.run(&block.place(), &typed(&command, &address));
            let printed = printed.unwrap_or_else(|error| panic!("{error}"));
            let printed = printed.replace(&address, "127.0.0.1:8000");
            assert!(
                shown.is_empty() || matches(&shown, &printed),
                "{}: {command}\nprinted {printed}",
                block.place()
            );
            outputs += usize::from(!shown.is_empty());
        }
    }
    assert!(outputs >= 7, "{outputs}");
}

/// A command for a gateway at this address.
fn typed(command: &str, address: &str) -> String {
    let mut command = command
        .replace("127.0.0.1:8000", address)
        .replace("curl ", "curl --silent ")
        .replace("target/release/", "");
    if command.starts_with("bedrock-gateway chat") && !command.contains("--base-url") {
        let url = format!("chat --base-url http://{address}/v1");
        command = command.replacen("chat", &url, 1);
    }
    command
}

#[test]
fn patterns_of_outputs_match_in_order() {
    assert!(matches("{\"id\":\"…\",…\"x\":1…", "{\"id\":\"a\",\"x\":1}"));
    assert!(!matches("a…b", "b a"));
    assert!(!matches("a…b", "a b c"));
    assert_eq!(
        session("$ one \\\n  two\nshown\n$ three"),
        [
            ("one \\\n  two".to_owned(), "\nshown".to_owned()),
            ("three".to_owned(), String::new())
        ]
    );
}
