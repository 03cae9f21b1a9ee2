//! Commands of the documentation that need a cluster, run as printed against a real API server with Helm and kubectl,
//! while the operator runs with the chart's own roles. No pod starts here: blocks that need one are marked in the pages.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use localcluster::ApiServer;

use super::rig::Rig;
use crate::support::eventually;

/// Shell scripts of a page with this kind, in order. Lines after a `$` prompt are commands, others are output.
fn scripts(page: &str, kind: &str) -> Vec<String> {
    let path = repository().join(page);
    let text = fs::read_to_string(&path).unwrap();
    let marker = format!("<!-- runs: {kind} -->\n```");
    let blocks = text.split(&marker).skip(1);
    blocks
        .map(|rest| {
            let (language, rest) = rest.split_once('\n').unwrap();
            let block = rest.split("\n```").next().unwrap();
            if language == "console" {
                typed(block)
            } else {
                block.to_owned()
            }
        })
        .collect()
}

/// What a person types of a console session.
fn typed(session: &str) -> String {
    let mut script = String::new();
    let mut continues = false;
    for line in session.lines() {
        let command = line.strip_prefix("$ ");
        if command.is_some() || continues {
            script.push_str(command.unwrap_or(line));
            script.push('\n');
            continues = line.ends_with('\\');
        }
    }
    script
}

fn repository() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Writes a program `name` that runs this command with its arguments.
fn program(directory: &Path, name: &str, command: &Command) {
    let mut words = vec!["exec env".to_owned()];
    for (variable, value) in command.get_envs() {
        let value = value.unwrap().display();
        words.push(format!("{}='{value}'", variable.display()));
    }
    words.push(format!("'{}'", command.get_program().display()));
    let arguments = command.get_args();
    words.extend(arguments.map(|argument| format!("'{}'", argument.display())));
    let line = format!("#!/bin/sh\n{} \"$@\"\n", words.join(" "));
    let path = directory.join(name);
    fs::write(&path, line).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A directory with kubectl, and this Helm, for this cluster.
fn programs(cluster: &ApiServer, helm: &Command) -> tempfile::TempDir {
    let programs = tempfile::tempdir().unwrap();
    program(programs.path(), "kubectl", &cluster.kubectl());
    program(programs.path(), "helm", helm);
    programs
}

/// Runs the scripts of this kind of a page with this Helm.
pub(super) fn run_scripts(page: &str, kind: &str, cluster: &ApiServer, helm: &Command) {
    let programs = programs(cluster, helm);
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    let scripts = scripts(page, kind);
    assert!(
        !scripts.is_empty(),
        "{page} has no block of the kind {kind}"
    );
    for script in scripts {
        run(page, &script, &path);
    }
}

/// Runs the scripts of pages, one after the other. The operator starts when its Deployment is created.
async fn follow(pages: &[&str]) -> Rig {
    let mut rig = Rig::empty().await;
    let programs = programs(rig.cluster(), &rig.cluster().helm());
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    for page in pages {
        let scripts = scripts(page, "cluster");
        assert!(!scripts.is_empty(), "{page}");
        for script in scripts {
            run(page, &script, &path);
            if script.contains("helm install") {
                rig.start_operator().await;
            }
            if script.contains("bedrockaccess.yaml") {
                eventually("the status has the policies", || async {
                    let shown = Command::new(programs.path().join("kubectl"))
                        .args(["-n", "team-a", "get", "bda", "chat"])
                        .args(["-o", "jsonpath={.status.trustPolicy}"])
                        .output()
                        .unwrap();
                    let text = String::from_utf8(shown.stdout).unwrap();
                    text.contains("AssumeRoleWithWebIdentity")
                        .then_some(())
                        .ok_or(text)
                })
                .await;
            }
        }
    }
    rig
}

fn run(page: &str, script: &str, path: &str) {
    let output = Command::new("timeout")
        .args(["120", "sh", "-eu", "-c", script])
        .current_dir(repository())
        .env_clear()
        .env("PATH", path)
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{page}:\n{script}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_guides_work_from_install_to_uninstall() {
    let _rig = follow(&[
        "docs/guide/quick-start.md",
        "docs/guide/operations.md",
        "docs/guide/teams.md",
        "docs/guide/upgrade-uninstall.md",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_readme_work() {
    let rig = follow(&["README.md"]).await;
    let shown = rig
        .cluster()
        .kubectl()
        .args(["get", "bda", "-n", "team-a"])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed = readme
        .lines()
        .find(|line| line.starts_with("NAME "))
        .unwrap();
    assert_eq!(
        words(shown.lines().next().unwrap()),
        words(printed),
        "the columns of kubectl get"
    );
}
