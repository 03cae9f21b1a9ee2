//! `bedrock-gateway models`: lists the models that can be called from a region.
//!
//! Calls Bedrock in each region if the credentials permit it; otherwise uses the dated built-in table
//! (`api::catalogue`). The output names the source of each region and the reason.

pub(super) mod list;
mod prices;
mod search;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use api::{
    GatewayConfig, Region,
    catalogue::{self, Catalogue, Lifecycle},
    prices::PriceError,
    region::Partition,
};
use credentials::Method;
use futures::{StreamExt, stream};
use serde::Serialize;

use self::{
    list::Entry,
    prices::{PriceRow, rows},
    search::Search,
};
use super::{
    EXIT_NOT_FOUND,
    aws::{self, ReadError, client::AwsClient},
    output::Output,
};
use crate::config::{RegionMissing, Settings};

/// Maximum concurrent calls, one for each region.
const CONCURRENCY: usize = 8;
/// How long to wait for credentials.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for the instance metadata service, which responds in milliseconds on an instance. Elsewhere it does
/// not exist, and the built-in table is the result.
const INSTANCE_TIMEOUT: Duration = Duration::from_secs(2);

/// List the models that can be called from a region.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Configuration file of a gateway [default: the file that is mounted in the gateway pod].
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Region to list; may be repeated [default: region of the configuration, then AWS_REGION; with --model: all regions].
    #[arg(long, value_name = "REGION")]
    pub region: Vec<Region>,
    /// List all regions of the partition.
    #[arg(long, conflicts_with = "region")]
    pub all_regions: bool,
    /// List only this model: model ID, inference profile ID, part of a model ID, or a name such as "Claude Haiku 4.5".
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
    /// Show prices in US dollars: for a million tokens, one image, one query.
    #[arg(long)]
    pub prices: bool,
    /// Do not call AWS; use the built-in table.
    #[arg(long)]
    pub offline: bool,
    /// Timeout of each call to AWS, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub timeout: u64,
}

const AFTER_HELP: &str = "Exit code: 0, or 3 if no region offers the model of --model.

Examples:
  bedrock-gateway models --region us-east-1
  bedrock-gateway models --offline --model us.amazon.nova-2-lite-v1:0
  bedrock-gateway models --offline --prices --region eu-west-1
  bedrock-gateway models --all-regions -o json";

/// Why the command printed no list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ReadError),
    /// No region is set.
    #[error(transparent)]
    Region(#[from] RegionMissing),
    /// A price in the configuration is invalid.
    #[error("prices.{0}")]
    Prices(#[from] PriceError),
    /// The output is closed.
    #[error("failed to write the list")]
    Write(#[from] std::io::Error),
}

/// The output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Date of the built-in table.
    table_as_of: String,
    /// Age of the built-in table.
    #[serde(skip_serializing_if = "Option::is_none")]
    table_age_days: Option<u64>,
    /// Day on which the source of the prices was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    prices_retrieved: Option<String>,
    regions: Vec<RegionReport>,
    /// Models that `--model` matches and that no region offers any more, according to the built-in table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retired: Vec<String>,
}

/// One region.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionReport {
    region: String,
    source: Origin,
    /// Why the list is from the built-in table, or is incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    models: Vec<Entry>,
    /// Prices of the ids, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prices: Vec<PriceRow>,
}

/// Source of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Origin {
    /// Bedrock in this region.
    Live,
    /// The built-in table.
    Table,
}

/// Writes the list to `out`. The exit code is 3 if `--model` matches no model.
///
/// # Errors
/// The configuration cannot be used, no region is set, or the output is closed.
pub async fn run(args: &Args, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let path = aws::config_path(args.config.as_ref(), settings);
    let config = aws::read_config(path.as_ref())?;
    let table = catalogue::builtin();
    let default_region = aws::region(settings, &config).await;
    let regions = regions_to_list(args, table, default_region)?;
    let regions = if args.offline {
        regions
            .iter()
            .map(|region| from_table(table, region, None))
            .collect()
    } else {
        from_bedrock(args, settings, &config, table, &regions).await
    };
    let mut report = Report {
        table_as_of: table.as_of().to_owned(),
        table_age_days: table.age_days(settings.clock.now()),
        prices_retrieved: None,
        regions,
        retired: Vec::new(),
    };
    if let Some(model_id) = &args.model {
        let search = Search::new(table, model_id);
        search.keep(report.regions.iter_mut().map(|region| &mut region.models));
        report.retired = search.retired();
    }
    if args.prices {
        let own = config.prices.as_ref();
        let prices = own
            .map(|own| api::prices::builtin().with(own))
            .transpose()?;
        let prices = prices.as_ref().unwrap_or_else(|| api::prices::builtin());
        for region in &mut report.regions {
            let name = region.region.parse::<Region>();
            region.prices =
                name.map_or_else(|_| Vec::new(), |name| rows(prices, &name, &region.models));
        }
        report.prices_retrieved = Some(prices.retrieved().to_owned());
    }
    match args.output {
        Output::Text => write_table(&report, args.model.as_deref(), out)?,
        format => format.write(&report, out)?,
    }
    let found = report
        .regions
        .iter()
        .any(|region| !region.models.is_empty());
    Ok(if args.model.is_none() || found {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_NOT_FOUND)
    })
}

fn regions_to_list(
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

async fn from_bedrock(
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
    let timeout = match handle.status().choice.method {
        Method::InstanceProfile => INSTANCE_TIMEOUT,
        _ => CREDENTIALS_TIMEOUT,
    };
    let credentials = match aws::first_credentials(&handle, timeout).await {
        Ok(credentials) => credentials,
        Err(error) => return all_from_table(format!("no AWS credentials: {}", error.message)),
    };
    let client = match AwsClient::try_new(
        settings.environment.as_ref(),
        Duration::from_secs(args.timeout),
    ) {
        Ok(client) => client,
        Err(error) => return all_from_table(error.to_string()),
    };
    let calls = regions.iter().map(|region| {
        let base = aws::base_url(
            aws::Service::Bedrock,
            region,
            config,
            settings.environment.as_ref(),
        );
        let (client, handle, credentials) = (&client, &handle, &credentials);
        async move {
            match list::list(client, handle, credentials, &base, region).await {
                Ok(found) => RegionReport {
                    region: region.to_string(),
                    source: Origin::Live,
                    note: found.note,
                    models: found.models,
                    prices: Vec::new(),
                },
                Err(error) if error.is_denied() => from_table(
                    table,
                    region,
                    Some(format!("not permitted to list models: {error}")),
                ),
                Err(error) => from_table(table, region, Some(error.to_string())),
            }
        }
    });
    stream::iter(calls).buffered(CONCURRENCY).collect().await
}

fn from_table(table: &Catalogue, region: &Region, note: Option<String>) -> RegionReport {
    let models = table.models().filter_map(|(id, model)| {
        let call_as = model.ids_in(id, region);
        (!call_as.is_empty()).then(|| Entry {
            model: id.to_owned(),
            name: None,
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
        prices: Vec::new(),
    }
}

fn write_table(report: &Report, model_id: Option<&str>, out: &mut dyn Write) -> Result<(), Error> {
    let dated = match report.table_age_days {
        Some(days) => format!("{}, {days} days old", report.table_as_of),
        None => report.table_as_of.clone(),
    };
    let origin = |region: &RegionReport| match region.source {
        Origin::Live => "from Bedrock".to_owned(),
        Origin::Table => format!("built-in table of {dated}"),
    };
    let mut first = true;
    for region in report
        .regions
        .iter()
        .filter(|region| model_id.is_none() || !region.models.is_empty())
    {
        if !std::mem::take(&mut first) {
            writeln!(out)?;
        }
        writeln!(out, "{} ({})", region.region, origin(region))?;
        if let Some(note) = &region.note {
            writeln!(out, "  note: {note}")?;
        }
        if let Some(retrieved) = &report.prices_retrieved {
            writeln!(
                out,
                "  US dollars for a million tokens, one image, one query (prices of {retrieved})"
            )?;
            prices::write_table(&region.prices, out)?;
            continue;
        }
        let width = region.models.iter().map(|entry| entry.model.len()).max();
        let width = width.unwrap_or_default();
        for entry in &region.models {
            let legacy = if entry.lifecycle == "ACTIVE" {
                String::new()
            } else {
                format!("  ({})", entry.lifecycle.to_lowercase())
            };
            let call_as = if entry.call_as.is_empty() {
                "provisioned throughput only".to_owned()
            } else {
                entry.call_as.join(", ")
            };
            writeln!(out, "  {:width$}  {call_as}{legacy}", entry.model)?;
        }
        if region.models.is_empty() {
            writeln!(out, "  no models")?;
        }
    }
    if let Some(model_id) = model_id {
        for retired in &report.retired {
            writeln!(
                out,
                "{retired} is retired: no region offers it (built-in table of {dated})."
            )?;
        }
        let not_found = report.regions.iter().all(|region| region.models.is_empty());
        if not_found && report.retired.is_empty() {
            writeln!(
                out,
                "{model_id} was not found in {} regions. The built-in table may lack newer models: see the model \
                 catalog in the Bedrock console.",
                report.regions.len()
            )?;
        }
        let from_table: Vec<&RegionReport> = report
            .regions
            .iter()
            .filter(|region| region.source == Origin::Table)
            .collect();
        if let Some(note) = from_table.iter().find_map(|region| region.note.as_ref()) {
            writeln!(
                out,
                "The list of {} of {} regions is from the built-in table of {dated}: {note}",
                from_table.len(),
                report.regions.len()
            )?;
        }
    }
    Ok(())
}
