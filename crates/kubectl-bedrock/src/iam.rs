//! `kubectl bedrock iam`: the IAM policies that a BedrockAccess needs, from the object in the cluster and with the issuer
//! of the cluster's tokens. The gateway's `iam` command builds and prints them.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use credentials::ProcessEnvironment;
use gateway::cli::iam;
use serde_json::Value;

use crate::{cluster::Cluster, read};

/// Print the IAM policies that the role of a BedrockAccess needs.
#[derive(Clone, Debug, clap::Args)]
#[command(
    mut_arg("config", |argument| argument.hide(true)),
    mut_arg("access", |argument| argument.hide(true)),
    mut_arg("model", |argument| argument.hide(true)),
    after_help = EXAMPLES,
)]
#[group(skip)]
pub(crate) struct Args {
    /// Name of the BedrockAccess.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    iam: iam::Args,
}

const EXAMPLES: &str = "Examples:
  kubectl bedrock iam chat -n team-a
  kubectl bedrock iam chat --kind trust
  kubectl bedrock iam chat --kind role --format terraform --with-listing";

/// Writes the policies to `out`, and notes to standard error.
///
/// # Errors
/// The object does not exist, or no policy can be built from it.
pub(crate) async fn run(
    args: Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let access = read::access(cluster, &args.name).await?;
    let manifest = serde_yaml::to_string(&access)?;
    let mut file = tempfile::NamedTempFile::new().context("failed to create a temporary file")?;
    file.write_all(manifest.as_bytes())
        .context("failed to write to a temporary file")?;
    let mut arguments = args.iam;
    arguments.access = Some(file.path().to_owned());
    arguments.config = None;
    if arguments.issuer.is_none() && arguments.kind != iam::Kind::Permission {
        arguments.issuer = issuer(cluster).await;
    }
    let notes = &mut anstream::stderr();
    Ok(iam::run(&arguments, &ProcessEnvironment, out, notes)?)
}

/// The issuer of the cluster's tokens, if the caller may read it.
async fn issuer(cluster: &Cluster) -> Option<String> {
    let text = cluster.get("/.well-known/openid-configuration").await;
    let text = text.ok()?;
    let document: Value = serde_json::from_str(&text).ok()?;
    document.get("issuer")?.as_str().map(str::to_owned)
}
