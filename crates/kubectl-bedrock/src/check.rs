//! `kubectl bedrock check`: the whole installation, section by section: API server, definitions, operator, webhooks, the
//! operator's permissions, and each BedrockAccess. Each problem has a fix.
//!
//! The webhooks are probed with dry runs of objects that they reject, so nothing is stored.

mod definitions;
mod installation;
mod operator;
mod permissions;
mod report;
mod webhooks;

use std::{io::Write, process::ExitCode};

use gateway::cli::output::Output;
use k8s_openapi::jiff::Timestamp;

use self::report::{Line, Section};
pub(crate) use self::{installation::Installation, report::Report};
use crate::{
    cluster::{Cluster, api_error},
    read::{self, Endpoint},
    state::State,
    status::AccessReport,
};

/// Oldest supported minor version of Kubernetes 1.
const OLDEST_MINOR: u32 = 33;

/// Check the installation: definitions, operator, webhooks, permissions and each BedrockAccess.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Namespace of the operator [default: found by the labels of its Deployment].
    #[arg(long, value_name = "NAMESPACE")]
    operator_namespace: Option<String>,
    /// Exit with code 1 for warnings, too.
    #[arg(long)]
    strict: bool,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const AFTER_HELP: &str =
    "Exit code: 0 without errors, 1 with errors (with --strict: with warnings, too).
A check that needs a permission that you do not have is a warning.

Examples:
  kubectl bedrock check
  kubectl bedrock check --operator-namespace bedrock-access-system -o json";

/// Writes the report to `out`.
///
/// # Errors
/// The output is closed. Everything else is a finding.
pub(crate) async fn run(
    args: &Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let report = report(cluster, args.operator_namespace.as_deref()).await;
    match args.output {
        Output::Text => report.write_text(out)?,
        format => format.write(&report, out)?,
    }
    Ok(match report.worst() {
        State::Ok => ExitCode::SUCCESS,
        State::Warning if !args.strict => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Checks everything. Without an API server, nothing else can be checked.
pub(crate) async fn report(cluster: &Cluster, operator_namespace: Option<&str>) -> Report {
    let mut report = Report::default();
    let kubernetes = kubernetes(cluster).await;
    let reachable = kubernetes.worst() != State::Error;
    report.add(kubernetes);
    if !reachable {
        return report;
    }
    let installation = Installation::find(cluster, operator_namespace).await;
    let (definitions, operator, webhooks, permissions, objects) = tokio::join!(
        definitions::check(cluster),
        operator::check(cluster, &installation, Timestamp::now()),
        webhooks::check(cluster, &installation),
        permissions::check(cluster, &installation),
        objects(cluster),
    );
    for section in [definitions, operator, webhooks, permissions, objects] {
        report.add(section);
    }
    report
}

async fn kubernetes(cluster: &Cluster) -> Section {
    let mut section = Section::new("kubernetes");
    section.add(match cluster.client.apiserver_version().await {
        Ok(version) => of_version(&version.major, &version.minor, &version.git_version),
        Err(error) => Line::error(
            format!("the API server does not respond: {}", api_error(&error)),
            "check the context and the network: `kubectl version` must succeed",
        ),
    });
    section
}

fn of_version(major: &str, minor: &str, full: &str) -> Line {
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    let supported = major == "1" && minor.parse().is_ok_and(|minor: u32| minor >= OLDEST_MINOR);
    if supported {
        Line::ok(format!("the API server responds, version {full}"))
    } else {
        Line::error(
            format!("the API server has version {full}"),
            format!("upgrade Kubernetes to 1.{OLDEST_MINOR} or later"),
        )
    }
}

async fn objects(cluster: &Cluster) -> Section {
    let mut section = Section::new("bedrockaccesses");
    let objects = match read::objects(cluster, None, true).await {
        Ok(objects) => objects,
        Err(error) => {
            section.add(Line::warning(
                format!("not checked: {error}"),
                "use a user who can list BedrockAccess objects in all namespaces, or `kubectl bedrock status -n NAMESPACE`",
            ));
            return section;
        }
    };
    if objects.is_empty() {
        section.add(Line::ok("no BedrockAccess exists"));
    }
    let now = Timestamp::now();
    for access in objects {
        let report = AccessReport::new(&Endpoint::alone(access), now);
        section.add(of_access(&report));
    }
    section
}

fn of_access(report: &AccessReport) -> Line {
    let AccessReport {
        namespace, name, ..
    } = report;
    // Ready can be true while another condition has a warning.
    let warned = report.conditions.iter().find(|one| one.state != State::Ok);
    let (reason, message, fix) = match warned {
        Some(one) if report.state == State::Warning => (&one.reason, &one.message, &one.fix),
        _ => (&report.reason, &report.message, &report.fix),
    };
    let text = format!("{namespace}/{name}: {reason}: {message}");
    let fix = fix
        .clone()
        .unwrap_or_else(|| format!("kubectl bedrock status {name} -n {namespace}"));
    match report.state {
        State::Ok => Line::ok(text),
        State::Warning => Line::warning(text, fix),
        State::Error => Line::error(text, fix),
    }
}

#[cfg(test)]
mod tests;
