//! `--env-file`: environment variables from a file, for all that this process and its libraries read.
//!
//! The format is that of `docker run --env-file`, with `export` and quotes as in shell scripts: one `NAME=VALUE` on
//! each line, `#` starts a comment line. Values are not expanded: a `$` in a secret stays a `$`, which is the reason
//! for a parser of our own. Errors name the line and never its value.

use std::{
    convert::Infallible,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use credentials::Environment;

/// The flag.
const FLAG: &str = "--env-file";

/// The variables of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// The file cannot be read.
    #[error("{FLAG}: failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A line is not an assignment.
    #[error("{FLAG}: {path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong, and the fix.
        problem: &'static str,
    },
    /// The program cannot be started with the variables.
    #[error("{FLAG}: failed to start the program with the variables of the file")]
    Start(#[source] std::io::Error),
}

/// Replaces this process by the same program with the variables of the file and without the flag. Variables that are
/// set keep their values. Replacing the process is the only way without unsafe code to set variables for libraries.
///
/// # Errors
/// See [`EnvFileError`]. Does not return otherwise.
pub(super) fn restart_with(
    path: &Path,
    environment: &dyn Environment,
) -> Result<Infallible, EnvFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| EnvFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let variables = parse(&text).map_err(|(line, problem)| EnvFileError::Line {
        path: path.to_owned(),
        line,
        problem,
    })?;
    let new = variables
        .into_iter()
        .filter(|(name, _)| environment.get(name).is_none());
    let program = std::env::current_exe().map_err(EnvFileError::Start)?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(without_flag(arguments)).envs(new);
    Err(EnvFileError::Start(command.exec()))
}

/// The arguments without the flag and its value.
fn without_flag(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            kept.push(argument);
            kept.extend(arguments);
            break;
        }
        if argument == FLAG {
            arguments.next();
            continue;
        }
        let has_value = argument
            .to_str()
            .and_then(|text| text.strip_prefix(FLAG))
            .is_some_and(|rest| rest.starts_with('='));
        if !has_value {
            kept.push(argument);
        }
    }
    kept
}

/// Names and values, or the number of a line and its problem.
fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut variables = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let failed = |problem| (index.saturating_add(1), problem);
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| failed("expected NAME=VALUE"))?;
        let is_name = |name: &str| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !is_name(name) {
            return Err(failed(
                "a name consists of letters, digits and _, without a space before =",
            ));
        }
        let value = unquoted(value.trim()).map_err(failed)?;
        if value.contains('\0') {
            return Err(failed("the value contains a NUL character"));
        }
        variables.push((name.to_owned(), value.to_owned()));
    }
    Ok(variables)
}

/// A value without the quotes around it.
fn unquoted(value: &str) -> Result<&str, &'static str> {
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return Ok(value);
    };
    match value.get(1..).and_then(|rest| rest.strip_suffix(quote)) {
        Some(inner) if !inner.contains(quote) => Ok(inner),
        _ => Err(
            "put quotes around the whole value, or omit them; comments need a line of their own",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_assignments_without_expanding_values() {
        let text = "\u{feff}# keys\r\nAWS_REGION=us-east-1\r\n\nexport A='two words'\nB=\"x\"\nC=a$b#c=\nD=\n  E = x\n";
        let error = parse(text).unwrap_err();
        assert_eq!(error.0, 8, "{error:?}");
        let read = parse(text.split_once("  E").unwrap().0).unwrap();
        let expected = [
            ("AWS_REGION", "us-east-1"),
            ("A", "two words"),
            ("B", "x"),
            ("C", "a$b#c="),
            ("D", ""),
        ];
        assert_eq!(read.len(), expected.len());
        for ((name, value), expected) in read.iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_str()), expected);
        }
    }

    #[test]
    fn error_names_the_line_and_not_its_value() {
        for text in [
            "\nsecret",
            "\n1A=secret",
            "\nA='secret",
            "\nA='sec'ret'",
            "\n=secret",
        ] {
            let (line, problem) = parse(text).unwrap_err();
            assert_eq!(line, 2, "{text:?}");
            assert!(!problem.contains("sec"), "{problem}");
        }
    }

    #[test]
    fn removes_the_flag_and_keeps_all_other_arguments() {
        let kept = |line: &str| {
            let kept = without_flag(line.split(' ').map(OsString::from));
            let kept: Vec<_> = kept.iter().map(|one| one.to_str().unwrap()).collect();
            kept.join(" ")
        };
        assert_eq!(kept("--env-file f serve --port 1"), "serve --port 1");
        assert_eq!(kept("serve --env-file=f --port 1"), "serve --port 1");
        assert_eq!(kept("chat -- --env-file f"), "chat -- --env-file f");
        assert_eq!(kept("chat --env-files x"), "chat --env-files x");
    }
}
