//! A Prometheus server of the system on loopback, with the chart's rules.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{eventually, free_address, http};

/// Seconds between two scrapes and between two evaluations of the rules.
const INTERVAL: &str = "2s";

/// A process that Prometheus scrapes, with the labels that the chart's monitors set.
pub(super) struct Target {
    pub(super) job: &'static str,
    pub(super) address: SocketAddr,
    pub(super) labels: Value,
}

/// A running server; dropping it kills it.
pub(super) struct Prometheus {
    url: String,
    process: Child,
    _directory: tempfile::TempDir,
}

/// The chart's files.
fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/bedrock-access/files")
}

/// The chart's rules.
pub(super) fn rules() -> Value {
    serde_yaml::from_str(&fs::read_to_string(files().join("rules.yaml")).unwrap()).unwrap()
}

/// Names of all alerts.
pub(super) fn alerts(rules: &Value) -> BTreeSet<String> {
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .filter_map(|rule| rule["alert"].as_str())
        .map(str::to_owned)
        .collect()
}

/// A query of a dashboard.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) dashboard: String,
    pub(super) panel: Value,
    /// Names of the series, with labels in double braces.
    pub(super) legend: String,
    /// PromQL in which variables match everything.
    pub(super) expression: String,
}

/// All queries of all dashboards, in their order.
pub(super) fn queries() -> Vec<Query> {
    let mut found = Vec::new();
    for entry in fs::read_dir(files().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().unwrap();
                let expression = expression
                    .replace("$__rate_interval", "1m")
                    .replace("$__range", "5m")
                    .replace("$namespace", ".*")
                    .replace("$bedrockaccess", ".*")
                    .replace("$job", ".*");
                assert!(!expression.contains('$'), "{expression}");
                found.push(Query {
                    dashboard: dashboard["title"].as_str().unwrap().to_owned(),
                    panel: panel.clone(),
                    legend: target["legendFormat"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    expression,
                });
            }
        }
    }
    found
}

impl Prometheus {
    /// Starts with the chart's rules, whose alerts fire without a wait.
    pub(super) async fn start(targets: &[Target]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, value: &Value| {
            fs::write(directory.path().join(name), value.to_string()).unwrap();
        };
        let mut rules = rules();
        for group in rules["groups"].as_array_mut().unwrap() {
            for rule in group["rules"].as_array_mut().unwrap() {
                rule.as_object_mut().unwrap().remove("for");
            }
        }
        write("rules.yaml", &rules);
        let jobs: BTreeSet<&str> = targets.iter().map(|target| target.job).collect();
        let job = |name: &str| {
            let of_job = targets.iter().filter(|target| target.job == name);
            let configs: Vec<Value> = of_job
                .map(|one| json!({"targets": [one.address.to_string()], "labels": one.labels}))
                .collect();
            json!({"job_name": name, "static_configs": configs})
        };
        let configuration = json!({
            "global": {
                "scrape_interval": INTERVAL, "scrape_timeout": INTERVAL,
                "evaluation_interval": INTERVAL,
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": jobs.into_iter().map(job).collect::<Vec<_>>(),
        });
        write("prometheus.yaml", &configuration);
        let address = free_address();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let process = Command::new("prometheus")
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is required: on Debian, apt-get install prometheus");
        let this = Self {
            url: format!("http://{address}"),
            process,
            _directory: directory,
        };
        eventually("Prometheus is ready", || async {
            let answer = http::get(&format!("{}/-/ready", this.url)).await?;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
        this
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(&format!("{}/api/v1/{path}", self.url)).await?;
        let value = answer.json();
        if value["status"] == "success" {
            Ok(value["data"].clone())
        } else {
            Err(value.to_string())
        }
    }

    /// The series of a query over the last `seconds`, each with its legend and its points.
    pub(super) async fn range(&self, query: &Query, seconds: u64) -> Result<Vec<Value>, String> {
        let now = self.get("query?query=time()").await?;
        let now = now["result"][0].as_f64().unwrap();
        let start = now - f64::from(u32::try_from(seconds).unwrap());
        let path = format!(
            "query_range?query={}&start={start}&end={now}&step={INTERVAL}",
            encode(&query.expression)
        );
        let data = self.get(&path).await?;
        let series = data["result"].as_array().unwrap().iter();
        Ok(series
            .filter_map(|one| {
                let mut legend = query.legend.clone();
                for (name, value) in one["metric"].as_object().unwrap() {
                    let value = value.as_str().unwrap();
                    legend = legend.replace(&format!("{{{{{name}}}}}"), value);
                }
                if legend.is_empty() {
                    let labels = one["metric"].as_object().unwrap().values();
                    let labels: Vec<&str> = labels.filter_map(Value::as_str).collect();
                    legend = labels.join(" ");
                }
                let points: Vec<Value> = one["values"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|point| {
                        let value: f64 = point[1].as_str()?.parse().ok()?;
                        value.is_finite().then(|| json!([point[0], value]))
                    })
                    .collect();
                (!points.is_empty()).then(|| json!({"legend": legend, "points": points}))
            })
            .collect())
    }

    /// Whether a query returns at least one number now.
    pub(super) async fn has_data(&self, query: &str) -> Result<bool, String> {
        let data = self.get(&format!("query?query={}", encode(query))).await?;
        let series = data["result"].as_array().into_iter().flatten();
        let mut values = series.filter_map(|one| one["value"][1].as_str());
        Ok(values.any(|value| value != "NaN"))
    }

    /// Targets that are not scraped, with the error.
    pub(super) async fn failing_targets(&self) -> Result<Vec<Value>, String> {
        let data = self.get("targets").await?;
        let targets = data["activeTargets"].as_array().unwrap().iter();
        Ok(targets
            .filter(|target| target["health"] != "up")
            .map(|target| json!([target["labels"], target["lastError"]]))
            .collect())
    }

    /// Firing alerts, by name and BedrockAccess.
    pub(super) async fn firing(&self) -> Result<BTreeSet<(String, String)>, String> {
        let data = self.get("alerts").await?;
        let alerts = data["alerts"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(alerts
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| {
                let labels = &alert["labels"];
                (text(&labels["alertname"]), text(&labels["bedrockaccess"]))
            })
            .collect())
    }
}

/// A query in a URL.
fn encode(query: &str) -> String {
    query.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    })
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
