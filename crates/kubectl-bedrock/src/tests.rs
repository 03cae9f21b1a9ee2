use clap::{CommandFactory, Parser};

use super::CommandLine;

#[test]
fn command_line_is_consistent_and_has_the_flags_of_kubectl() {
    CommandLine::command().debug_assert();
    for line in [
        "kubectl-bedrock status -A",
        "kubectl-bedrock -n team-a status chat",
        "kubectl-bedrock status chat --namespace team-a --context c --kubeconfig f --as u --as-group g -o json",
        "kubectl-bedrock check --strict -o yaml",
        "kubectl-bedrock explain",
        "kubectl-bedrock logs chat -f --errors",
        "kubectl-bedrock doctor chat -o json -- --invoke none",
        "kubectl-bedrock chat chat --service-account app Hello",
        "kubectl-bedrock iam chat --kind role --format terraform",
        "kubectl-bedrock top --for 60",
        "kubectl-bedrock trace req_1 -A",
        "kubectl-bedrock bundle chat --file x.tar",
    ] {
        let parsed = CommandLine::try_parse_from(line.split(' '));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn wrong_combinations_are_errors() {
    for line in [
        "kubectl-bedrock status chat -A",
        "kubectl-bedrock status --as-group g",
        "kubectl-bedrock logs chat -f --previous",
        "kubectl-bedrock chat chat --service-account app --api-key k",
    ] {
        assert!(
            CommandLine::try_parse_from(line.split(' ')).is_err(),
            "{line}"
        );
    }
}

#[test]
fn every_command_has_examples_that_parse() {
    for command in CommandLine::command().get_subcommands() {
        let name = command.get_name();
        let help = command.get_after_help().unwrap().to_string();
        let examples = help.split("Examples:").nth(1).unwrap();
        let mut count = 0;
        for line in examples
            .lines()
            .filter(|line| line.contains("kubectl bedrock"))
        {
            let line = line
                .split(" | ")
                .next()
                .unwrap()
                .replace("kubectl bedrock", "kubectl-bedrock");
            let line = line.replace("\"Say hello.\"", "Hello");
            let parsed = CommandLine::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            assert!(line.contains(name), "{line} is not an example of {name}");
            count += 1;
        }
        assert!(count > 1, "{name} has {count} examples");
    }
}

#[test]
fn chat_and_iam_hide_what_the_cluster_determines() {
    for (name, hidden, shown) in [
        ("chat", "--base-url", "--model"),
        ("iam", "--config", "--role-arn"),
    ] {
        let mut command = CommandLine::command();
        let help = command
            .find_subcommand_mut(name)
            .unwrap()
            .render_long_help();
        let help = help.to_string();
        assert!(!help.contains(hidden), "{help}");
        assert!(help.contains(shown), "{help}");
    }
}

/// Command lines in a text: whole lines, and parts between backticks.
fn commands(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let lines = text.lines().map(|line| line.trim_start_matches("$ "));
    let found = lines
        .chain(quoted)
        .filter(|part| part.starts_with("kubectl bedrock "));
    found.map(str::to_owned).collect()
}

fn accepts(command: &str) {
    let command = command
        .replace("\"Say hello.\"", "Hello")
        .replace("kubectl bedrock", "kubectl-bedrock");
    let parsed = CommandLine::try_parse_from(command.split_whitespace());
    assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
}

#[test]
fn commands_of_the_guide_and_of_all_fixes_are_valid() {
    let guide = include_str!("../../../docs/guide/kubectl.md");
    let found = commands(guide);
    assert!(found.len() > 12, "{found:?}");
    for command in &found {
        accepts(command);
    }
    let mut count = 0;
    for source in [
        "../../api/src/v1alpha1/explain/reasons.rs",
        "status/report.rs",
        "read.rs",
        "check.rs",
    ] {
        let path = format!("{}/src/{source}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|line| !line.starts_with("//")) {
            for command in commands(line)
                .iter()
                .filter(|command| line.contains(&format!("`{command}`")))
            {
                accepts(
                    &command
                        .replace("{name}", "NAME")
                        .replace("{namespace}", "NAMESPACE")
                        .replace(" ARN", " arn:aws:iam::123456789012:role/A"),
                );
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn krew_manifest_names_the_program_and_an_archive_of_each_platform() {
    let text = include_str!("../../../manifests/krew/bedrock.yaml");
    let manifest: serde_json::Value = serde_yaml::from_str(text).unwrap();
    assert_eq!(manifest["metadata"]["name"], "bedrock");
    let workflow = include_str!("../../../.github/workflows/release.yaml");
    for platform in manifest["spec"]["platforms"].as_array().unwrap() {
        let labels = &platform["selector"]["matchLabels"];
        let name = format!(
            "{}-{}",
            labels["os"].as_str().unwrap(),
            labels["arch"].as_str().unwrap()
        );
        let archive = format!("vX.Y.Z/kubectl-bedrock-{name}.tar.gz");
        assert!(
            platform["uri"].as_str().unwrap().ends_with(&archive),
            "{platform}"
        );
        let placeholder = format!("SHA256_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(platform["sha256"], placeholder);
        assert_eq!(platform["bin"], env!("CARGO_PKG_NAME"));
        assert!(workflow.contains(&format!("platform: {name},")), "{name}");
    }
}
