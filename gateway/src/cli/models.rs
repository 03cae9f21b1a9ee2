//! `bedrock-gateway models`: which models can be called from where.
//!
//! Asks Bedrock itself when the credentials permit it, region by region; else shows the dated table
//! that is built in (`api::catalogue`), and always says which of the two it was and why.

pub(super) mod list;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use api::{
    GatewayConfig, Region,
    catalogue::{self, Catalogue, Lifecycle},
    region::Partition,
};
use clap::ValueEnum;
use futures::{StreamExt, stream};
use serde::Serialize;

use super::aws::{self, ReadError, client::Caller};
use crate::config::{RegionMissing, Settings};

/// Regions asked at the same time.
const CONCURRENCY: usize = 8;
/// How long credentials may take to come.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);

/// Show which models can be called from where.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Configuration document of a gateway [default: the one mounted in its pod].
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Region to show; may be repeated [default: the configuration's, then AWS_REGION; with --model: all].
    #[arg(long, value_name = "REGION")]
    pub region: Vec<Region>,
    /// Show all regions of the partition.
    #[arg(long, conflicts_with = "region")]
    pub all_regions: bool,
    /// Only this model: id, inference profile, or part of an id.
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// In which form.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Ask nobody: only the table that is built in.
    #[arg(long)]
    pub offline: bool,
    /// Seconds that one question to AWS may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub timeout: u64,
}

/// Which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is no use.
    #[error(transparent)]
    Config(#[from] ReadError),
    /// No region to ask for.
    #[error(transparent)]
    Region(#[from] RegionMissing),
    /// The output is closed.
    #[error("failed to write the list")]
    Write(#[from] std::io::Error),
    /// The list is no JSON.
    #[error("failed to write the list")]
    Json(#[from] serde_json::Error),
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Date of the built-in table.
    table_as_of: String,
    regions: Vec<RegionReport>,
}

/// One region.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionReport {
    region: String,
    source: Origin,
    /// Why Bedrock itself was not the source, or not for everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    models: Vec<Entry>,
}

/// Where the facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Origin {
    /// Bedrock itself, just now.
    Live,
    /// The built-in table.
    Table,
}

/// One model in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// Id of the foundation model.
    pub(crate) model: String,
    /// Ids by which it can be called from this region.
    pub(crate) call_as: Vec<String>,
    /// `ACTIVE` or `LEGACY`.
    pub(crate) lifecycle: String,
}

/// Writes the list to `out`. Ends with 1 when a model was asked for and is nowhere.
///
/// # Errors
/// No usable configuration, no region, or the output is closed.
pub async fn run(args: &Args, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let path = aws::config_path(args.config.as_ref(), settings);
    let config = aws::read_config(path.as_ref())?;
    let table = catalogue::builtin();
    let default_region = aws::region(settings, &config).await;
    let regions = wanted_regions(args, table, default_region)?;
    let regions = if args.offline {
        regions
            .iter()
            .map(|region| from_table(table, region, None))
            .collect()
    } else {
        ask(args, settings, &config, table, &regions).await
    };
    let mut report = Report {
        table_as_of: table.as_of().to_owned(),
        regions,
    };
    if let Some(wanted) = &args.model {
        keep(&mut report, table, wanted);
    }
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Output::Table => write_table(&report, table, args.model.as_deref(), out)?,
    }
    let found = report
        .regions
        .iter()
        .any(|region| !region.models.is_empty());
    Ok(if args.model.is_none() || found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn wanted_regions(
    args: &Args,
    table: &Catalogue,
    default_region: Result<Region, RegionMissing>,
) -> Result<Vec<Region>, RegionMissing> {
    if !args.region.is_empty() {
        return Ok(args.region.clone());
    }
    if args.all_regions || args.model.is_some() || (args.offline && default_region.is_err()) {
        let partition = default_region.map_or(Partition::Aws, |region| region.partition());
        return Ok(table.regions(partition).cloned().collect());
    }
    Ok(vec![default_region?])
}

async fn ask(
    args: &Args,
    settings: &Settings,
    config: &GatewayConfig,
    table: &Catalogue,
    regions: &[Region],
) -> Vec<RegionReport> {
    let all_from_table = |problem: String| {
        regions
            .iter()
            .map(|region| from_table(table, region, Some(problem.clone())))
            .collect()
    };
    let handle = match aws::start(settings, config, regions.first()).await {
        Ok(handle) => handle,
        Err(error) => return all_from_table(error.to_string()),
    };
    let credentials = match handle.wait_ready(CREDENTIALS_TIMEOUT).await {
        Ok(credentials) => credentials,
        Err(error) => return all_from_table(format!("no credentials: {}", error.message)),
    };
    let caller = match Caller::try_new(Duration::from_secs(args.timeout)) {
        Ok(caller) => caller,
        Err(error) => return all_from_table(error.to_string()),
    };
    let questions = regions.iter().map(|region| {
        let base = aws::base_url(
            aws::Service::Bedrock,
            region,
            config,
            settings.environment.as_ref(),
        );
        let (caller, handle, credentials) = (&caller, &handle, &credentials);
        async move {
            match list::list(caller, handle, credentials, &base, region).await {
                Ok(found) => RegionReport {
                    region: region.to_string(),
                    source: Origin::Live,
                    note: found.note,
                    models: found.models,
                },
                Err(error) if error.is_denied() => from_table(
                    table,
                    region,
                    Some(format!("not permitted to ask Bedrock: {error}")),
                ),
                Err(error) => from_table(table, region, Some(error.to_string())),
            }
        }
    });
    stream::iter(questions)
        .buffered(CONCURRENCY)
        .collect()
        .await
}

fn from_table(table: &Catalogue, region: &Region, note: Option<String>) -> RegionReport {
    let models = table.models().filter_map(|(id, model)| {
        let call_as = model.ids_in(id, region);
        (!call_as.is_empty()).then(|| Entry {
            model: id.to_owned(),
            call_as,
            lifecycle: match model.lifecycle() {
                Lifecycle::Active => "ACTIVE".to_owned(),
                Lifecycle::Legacy => "LEGACY".to_owned(),
            },
        })
    });
    RegionReport {
        region: region.to_string(),
        source: Origin::Table,
        note,
        models: models.collect(),
    }
}

/// Keeps the model that was asked for: by its id, by a profile's, or by part of an id.
fn keep(report: &mut Report, table: &Catalogue, wanted: &str) {
    let foundation = table
        .split_profile(wanted)
        .map_or(wanted, |(_, model)| model);
    let entries = || report.regions.iter().flat_map(|region| &region.models);
    let exact = entries().any(|entry| entry.model == foundation);
    for region in &mut report.regions {
        region.models.retain(|entry| {
            if exact {
                entry.model == foundation
            } else {
                entry.model.contains(foundation)
            }
        });
    }
}

fn write_table(
    report: &Report,
    table: &Catalogue,
    wanted: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let dated = &report.table_as_of;
    let origin = |region: &RegionReport| match region.source {
        Origin::Live => "asked Bedrock just now".to_owned(),
        Origin::Table => format!("built-in table of {dated}"),
    };
    let mut first = true;
    for region in report
        .regions
        .iter()
        .filter(|region| wanted.is_none() || !region.models.is_empty())
    {
        if !std::mem::take(&mut first) {
            writeln!(out)?;
        }
        writeln!(out, "{} ({})", region.region, origin(region))?;
        if let Some(note) = &region.note {
            writeln!(out, "  note: {note}")?;
        }
        let width = region.models.iter().map(|entry| entry.model.len()).max();
        let width = width.unwrap_or_default();
        for entry in &region.models {
            let legacy = if entry.lifecycle == "ACTIVE" {
                ""
            } else {
                "  (legacy)"
            };
            let call_as = if entry.call_as.is_empty() {
                "provisioned throughput only".to_owned()
            } else {
                entry.call_as.join(", ")
            };
            writeln!(out, "  {:width$}  {call_as}{legacy}", entry.model)?;
        }
        if region.models.is_empty() {
            writeln!(out, "  no models known here")?;
        }
    }
    if let Some(wanted) = wanted {
        let nowhere = report.regions.iter().all(|region| region.models.is_empty());
        if nowhere && table.is_retired(wanted) {
            writeln!(
                out,
                "{wanted} is not offered in any region any more (table of {dated})."
            )?;
        } else if nowhere {
            writeln!(
                out,
                "{wanted} was found in none of the {} regions looked at. A model that the built-in table \
                 does not list may exist all the same: its id stands in Bedrock's model catalog.",
                report.regions.len()
            )?;
        }
        let guessed: Vec<&RegionReport> = report
            .regions
            .iter()
            .filter(|region| region.source == Origin::Table)
            .collect();
        if let Some(note) = guessed.iter().find_map(|region| region.note.as_ref()) {
            writeln!(
                out,
                "{} of {} regions are from the built-in table of {dated}: {note}",
                guessed.len(),
                report.regions.len()
            )?;
        }
    }
    Ok(())
}
