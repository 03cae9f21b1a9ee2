//! The program as scripts use it: exit codes, output formats, pipes, `--env-file`, addresses and health.

use std::{
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use awsdouble::Double;
use gateway::Server;
use serde_json::Value;

use crate::support::{KEY_ID, PROFILE, account, everything, settings, with_keys};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
    command
        .args(arguments)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn exit_codes_tell_usage_failure_and_negative_results_apart() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["models", "--offline"], 0),
        (&["doctor", "--timeout", "1"], 1),
        (&["health", "--admin-listen", "127.0.0.1:1"], 1),
        (&["models", "--config", "/nonexistent"], 1),
        (&["serve"], 1),
        (&["--env-file", "/nonexistent", "serve"], 1),
        (&[], 2),
        (&["nonsense"], 2),
        (&["cache"], 2),
        (&["cache", "explain", "/nonexistent", "/nonexistent"], 1),
        (&["bill", "--ledger", "/nonexistent"], 2),
        (
            &["bill", "--ledger", "/nonexistent", "--cur", "/nonexistent"],
            1,
        ),
        (&["serve", "--listen", "8000"], 2),
        (&["serve", "--listen", ":8000", "--port", "8000"], 2),
        (&["chat", "--model", "x", "--base-url", "nonsense", "hi"], 2),
        (&["iam", "--kind", "trust"], 2),
        (&["models", "--offline", "--model", "unknown.model"], 3),
    ] {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let failed = code != 0 && code != 3;
        let shown = !output.stderr.is_empty() || !output.stdout.is_empty();
        assert!(shown || !failed, "{arguments:?} says nothing");
    }
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let guide = include_str!("../../../docs/guide/cli.md");
    for code in ["0", "1", "2", "3", "4", "5", "130", "141"] {
        assert!(
            help.contains(&format!("\n  {code:3}  ")),
            "{code} in {help}"
        );
        assert!(
            guide.contains(&format!("\n| {code} | ")),
            "{code} in the guide"
        );
    }
}

#[test]
fn errors_say_everything_once() {
    for (arguments, said) in [
        (&["serve"][..], "is not an AWS Region"),
        (&["models"], "is not an AWS Region"),
        (&["--log-level", "nonsense=x", "serve"], "--log-level"),
    ] {
        let output = program(arguments)
            .env("AWS_REGION", "us-east1")
            .output()
            .unwrap();
        let text = errors(&output);
        assert_eq!(text.matches(said).count(), 1, "{arguments:?}: {text}");
    }
}

#[test]
fn closed_standard_output_ends_every_command_without_a_message() {
    for arguments in [
        &["models", "--offline"][..],
        &["models", "--offline", "--output", "table"],
        &["models", "--offline", "--output", "json"],
        &["models", "--offline", "-o", "yaml"],
        &["iam", "--region", "us-east-1", "--model", PROFILE],
        &[
            "iam",
            "--region",
            "us-east-1",
            "--model",
            PROFILE,
            "-o",
            "text",
        ],
        &["doctor", "--timeout", "1"],
        &["health", "--admin-listen", "127.0.0.1:1", "-o", "json"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man"],
        &["man", "serve"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {output:?}");
        let quiet = errors(&output)
            .lines()
            .all(|line| line.starts_with("note: "));
        assert!(quiet, "{arguments:?}: {output:?}");
    }
}

#[test]
fn output_flag_has_the_same_formats_in_all_commands() {
    for arguments in [
        &["models", "--offline", "--region", "us-east-1"][..],
        &["doctor", "--timeout", "1"],
        &["health", "--admin-listen", "127.0.0.1:1"],
        &["iam", "--region", "us-east-1", "--model", PROFILE],
    ] {
        let with = |format: &[&str]| {
            let output = run(&[arguments, format].concat());
            String::from_utf8(output.stdout).unwrap()
        };
        let json: Value = serde_json::from_str(&with(&["-o", "json"])).unwrap();
        let yaml: Value = serde_yaml::from_str(&with(&["--output", "yaml"])).unwrap();
        assert_eq!(json, yaml, "{arguments:?}");
        let text = with(&["-o", "text"]);
        assert!(!text.is_empty() && serde_json::from_str::<Value>(&text).is_err());
        let table = with(&["-o", "table"]);
        assert_eq!(text, table, "the former name of text");
    }
}

#[test]
fn man_pages_of_all_commands_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = run(&["man", "--directory", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for page in ["bedrock-gateway.1", "bedrock-gateway-serve.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH bedrock-gateway"), "{page}: {text}");
    }
    assert!(run(&["man", "iam"]).status.success());
    let unknown = run(&["man", "nonsense"]);
    assert!(errors(&unknown).contains("use one of serve"), "{unknown:?}");
}

#[test]
fn addresses_name_their_flag_in_errors() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, expected) in [
        (&["--listen", "localhost:x"][..], "--listen"),
        (
            &["--listen", "nowhere.invalid:8000"],
            "--listen: failed to resolve nowhere.invalid",
        ),
        (
            &["--host", "nowhere.invalid"],
            "--host: failed to resolve nowhere.invalid",
        ),
        (&["--host", "127.0.0.1:8000"], "--listen HOST:PORT"),
        (&["--port", "70000"], "--port"),
        (&["--port", &port], "--port: failed to listen on 127.0.0.1"),
        (
            &["--port", &port],
            "or choose another port with --port PORT",
        ),
        (
            &["--admin-listen", "nowhere.invalid"],
            "--admin-listen: failed to resolve",
        ),
        (&["--listen", ":8000"], "refusing to listen on 0.0.0.0:8000"),
        (&["--host", "0.0.0.0"], "refusing to listen on 0.0.0.0:8000"),
    ] {
        let mut command = program(&[&["serve"], arguments].concat());
        command
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let text = errors(&output);
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn env_file_sets_variables_and_keeps_those_that_are_set() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.env");
    std::fs::write(
        &path,
        "# keys\nexport AWS_REGION='eu-central-1'\nAWS_ACCESS_KEY_ID=AKIA$HOME\n",
    )
    .unwrap();
    let file = path.to_str().unwrap();
    let region = |command: &mut Command| {
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        let find = |check: &str| {
            findings
                .iter()
                .find(|finding| finding["check"] == check)
                .cloned()
        };
        (find("region").unwrap(), find("source").unwrap())
    };
    let doctor = ["doctor", "--timeout", "1", "-o", "json", "--env-file", file];
    let (found, source) = region(&mut program(&doctor));
    assert_eq!(found["message"], "eu-central-1");
    assert!(
        source["message"]
            .as_str()
            .unwrap()
            .contains("AWS_SECRET_ACCESS_KEY"),
        "{source}"
    );
    let (found, _) = region(program(&doctor).env("AWS_REGION", "us-west-2"));
    assert_eq!(found["message"], "us-west-2");

    std::fs::write(
        &path,
        "AWS_REGION=us-east-1\nnot-an-assignment-but-a-secret\n",
    )
    .unwrap();
    let output = run(&["--env-file", file, "doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(
        text.contains("--env-file: ") && text.contains("line 2: expected NAME=VALUE"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");

    // A .env file is not read without the flag, and the help says so.
    std::fs::write(directory.path().join(".env"), "AWS_REGION=us-east-1\n").unwrap();
    let output = program(&["doctor", "--timeout", "1"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("no AWS region"));
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).unwrap();
    assert!(help.contains("not even .env"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_reports_the_state_of_the_gateway() {
    let double = Double::start(account(everything(), "2100-01-01T00:00:00Z"))
        .await
        .unwrap();
    let mut settings = settings(with_keys(&double, &[("BEDROCK_GATEWAY_API_KEY", "sk-1")]));
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.admin_listen = settings.listen.into();
    let server = Server::bind(settings).await.unwrap();
    let api = server.local_addr().to_string();
    let admin = server.admin_addr().unwrap().to_string();
    tokio::spawn(server.run(std::future::pending()));
    tokio::task::spawn_blocking(move || {
        for arguments in [&["health"][..], &["health", "--live"]] {
            let output = program(arguments)
                .env("BEDROCK_GATEWAY_ADMIN_LISTEN", &admin)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        let output = run(&["health", "--admin-listen", &admin]);
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "ready (credentials: static)\n"
        );
        let port = admin.rsplit(':').next().unwrap();
        let output = run(&["health", "--admin-listen", &format!("0.0.0.0:{port}")]);
        assert!(output.status.success(), "the address of serve: {output:?}");
        // The port of the API has no readiness, and its health needs no key.
        let output = run(&["health", "--admin-listen", &api]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let output = run(&["health", "--live", "--admin-listen", &api]);
        assert!(output.status.success(), "{output:?}");
    })
    .await
    .unwrap();
}
