//! Completion scripts in the shells that use them, installed by the commands of `docs/guide/cli.md`: each shell completes
//! a command and one of its flags. A shell that this machine does not have is skipped with a message.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

/// The command of the guide that installs the script of a shell.
fn installs(shell: &str) -> &'static str {
    let guide = include_str!("../../../../docs/guide/cli.md");
    let wanted = format!("bedrock-gateway completions {shell}");
    let line = guide.lines().find(|line| line.contains(&wanted));
    line.unwrap_or_else(|| panic!("no {wanted} in the guide"))
}

/// Runs a script of a shell in a home directory that it may fill; `None` if the shell is not installed.
fn run(shell: &str, options: &[&str], script: &str, home: &Path) -> Option<String> {
    symlink(
        env!("CARGO_BIN_EXE_bedrock-gateway"),
        home.join("bedrock-gateway"),
    )
    .unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", home.display());
    let is_installed = path
        .split(':')
        .any(|place| Path::new(place).join(shell).is_file());
    if !is_installed {
        // Straight to the stream: libtest captures what `eprintln!` prints.
        let _ = writeln!(
            std::io::stderr(),
            "completions of {shell}: not tested, {shell} is not installed (apt-get install {shell})"
        );
        return None;
    }
    let output = Command::new("timeout")
        .args(["60", shell])
        .args(options)
        .args(["-c", script])
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("TERM", "xterm")
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shell}: {output:?}");
    Some(printed)
}

#[test]
fn bash_completes_a_command_and_its_flags() {
    let home = tempfile::tempdir().unwrap();
    // What bash offers after `bedrock-gateway do`, and after `bedrock-gateway doctor --`.
    let script = format!(
        "{}
        offer() {{ COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _bedrock__gateway bedrock-gateway \"${{@: -1}}\" \"${{@: -2:1}}\"; echo \"${{COMPREPLY[@]}}\"; }}
        complete -p bedrock-gateway
        offer bedrock-gateway do
        offer bedrock-gateway doctor --",
        installs("bash")
    );
    let Some(offered) = run("bash", &["--norc"], &script, home.path()) else {
        return;
    };
    let lines: Vec<&str> = offered.lines().collect();
    assert!(lines[0].contains("-F _bedrock__gateway"), "{offered}");
    assert_eq!(lines[1], "doctor");
    for flag in ["--strict", "--invoke", "--env-file"] {
        assert!(lines[2].contains(flag), "{offered}");
    }
}

#[test]
fn zsh_completes_a_command_and_its_flags() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("functions")).unwrap();
    // A terminal within zsh: the function in place of the program prints what the typed line became.
    let script = format!(
        r#"fpath=($HOME/functions $fpath)
        {}
        zmodload zsh/zpty
        zpty -b inner zsh -f -i
        zpty -w inner 'fpath=($HOME/functions $fpath); autoload -Uz compinit; compinit -u -d $HOME/dump'
        zpty -w inner 'bedrock-gateway() {{ print -r "CALLED:$*." }}; bindkey "^I" complete-word; print REA""DY'
        zpty -r -m inner seen '*READY*'
        zpty -n -w inner $'bedrock-gateway do\t --st\t\n'
        zpty -r -m inner seen '*CALLED:*.*' && print -r -- "$seen""#,
        installs("zsh")
    );
    let Some(shown) = run("zsh", &["-f"], &script, home.path()) else {
        return;
    };
    assert!(shown.contains("CALLED:doctor --strict."), "{shown}");
}

#[test]
fn fish_completes_a_command_and_its_flags() {
    let home = tempfile::tempdir().unwrap();
    // fish creates this directory when it starts for a person.
    fs::create_dir_all(home.path().join(".config/fish/completions")).unwrap();
    let script = format!(
        "{}
        complete --do-complete 'bedrock-gateway do'
        complete --do-complete 'bedrock-gateway doctor --st'
        complete --do-complete 'bedrock-gateway models --output '",
        installs("fish")
    );
    let Some(offered) = run("fish", &[], &script, home.path()) else {
        return;
    };
    let words: Vec<&str> = offered
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(words, ["doctor", "--strict", "json", "text", "yaml"]);
}
