//! `kubectl bedrock bundle`: a support archive: objects, Events, logs, versions, and the reports of `status` and `check`.
//!
//! It reads no Secret. Objects and texts are redacted (see `redact`), and the archive lists what it contains and what could
//! not be read.

mod collect;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use gateway::cli::output::{Output, WARNING};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::{cluster::Cluster, read, redact};

/// Permissions of the files in the archive.
const MODE: u32 = 0o644;
/// Manual of the archive.
const README: &str = "Support archive of `kubectl bedrock bundle`.

bedrockaccesses/   BedrockAccess objects, their owned objects, their pods, Events and logs, by namespace and name
operator/          the operator's Deployment, pods, Lease, webhook configurations and logs
policies.yaml      BedrockAccessPolicy objects
definitions.yaml   names and versions of the CRDs
status.txt         report of `kubectl bedrock status`
check.txt          report of `kubectl bedrock check`
versions.yaml      versions of this program and of the API server
not-read.txt       what could not be read

The archive contains no Secret, no environment of app containers, and no prompt or response. Texts in the form of keys, tokens
and passwords are replaced with (removed). It contains names of namespaces, pods, clients, models and IAM roles, and account ids.
";

/// Write a support archive without secrets.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Name of the BedrockAccess [default: all of the namespace].
    #[arg(value_name = "NAME", conflicts_with = "all_namespaces")]
    name: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Archive to write, as tar [default: bedrock-bundle-TIME.tar].
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Number of log lines of each container, from the end.
    #[arg(long, value_name = "NUMBER", default_value_t = 2000)]
    tail: u32,
    /// Namespace of the operator [default: found by the labels of its Deployment].
    #[arg(long, value_name = "NAMESPACE")]
    operator_namespace: Option<String>,
    /// Output format of the list of files.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const AFTER_HELP: &str = "The archive contains no Secret, no token and no environment of app containers. Read it before you send it.

Examples:
  kubectl bedrock bundle chat -n team-a
  kubectl bedrock bundle -A --file bundle.tar";

/// The list of files.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    file: PathBuf,
    /// Files in the archive.
    entries: Vec<String>,
    /// What could not be read.
    not_read: Vec<String>,
}

/// Writes the archive, and its list of files to `out`.
///
/// # Errors
/// The BedrockAccess objects cannot be read, or the archive cannot be written.
pub(crate) async fn run(
    args: &Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let objects = read::objects(cluster, args.name.as_deref(), args.all_namespaces).await?;
    let mut files = Files::default();
    files.add("README.txt", README);
    collect::collect(cluster, objects, args, now, &mut files).await;
    files.finish();
    let path = args.file.clone().unwrap_or_else(|| {
        PathBuf::from(format!(
            "bedrock-bundle-{}.tar",
            now.strftime("%Y%m%dT%H%M%SZ")
        ))
    });
    let failed = || format!("failed to write {}", path.display());
    let file = File::create(&path).with_context(failed)?;
    files
        .write(BufWriter::new(file), now)
        .with_context(failed)?;
    let written = Written {
        entries: files.entries.iter().map(|(name, _)| name.clone()).collect(),
        not_read: files.not_read,
        file: path,
    };
    if args.output == Output::Text {
        for problem in &written.not_read {
            writeln!(out, "{WARNING}!{WARNING:#} not read: {problem}")?;
        }
        let count = written.entries.len();
        writeln!(out, "{} ({count} files)", written.file.display())?;
    } else {
        args.output.write(&written, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of an archive. Texts are redacted as they are added.
#[derive(Debug, Default)]
struct Files {
    entries: Vec<(String, String)>,
    not_read: Vec<String>,
}

impl Files {
    fn add(&mut self, name: impl Into<String>, text: &str) {
        self.entries.push((name.into(), redact::text(text)));
    }

    /// Adds objects as YAML documents, without what can contain secrets.
    fn add_objects<T: Serialize>(&mut self, name: impl Into<String>, objects: &[T]) {
        let name = name.into();
        let mut text = String::new();
        for object in objects {
            let yaml = serde_json::to_value(object).map(|mut value| {
                redact::object(&mut value);
                serde_yaml::to_string(&value)
            });
            match yaml {
                Ok(Ok(yaml)) => text = format!("{text}---\n{yaml}"),
                Ok(Err(error)) => self.not_read.push(format!("{name}: {error}")),
                Err(error) => self.not_read.push(format!("{name}: {error}")),
            }
        }
        if !text.is_empty() {
            self.add(name, &text);
        }
    }

    /// Adds the list of what could not be read.
    fn finish(&mut self) {
        self.not_read.sort();
        self.not_read.dedup();
        if !self.not_read.is_empty() {
            let text = self.not_read.join("\n");
            self.add("not-read.txt", &format!("{text}\n"));
        }
    }

    fn write(&self, out: impl Write, now: Timestamp) -> std::io::Result<()> {
        let mut archive = tar::Builder::new(out);
        for (name, text) in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(text.len()).unwrap_or(u64::MAX));
            header.set_mode(MODE);
            header.set_mtime(u64::try_from(now.as_second()).unwrap_or_default());
            let path = format!("bedrock-bundle/{name}");
            archive.append_data(&mut header, path, text.as_bytes())?;
        }
        archive.into_inner()?.flush()
    }
}

#[cfg(test)]
mod tests;
