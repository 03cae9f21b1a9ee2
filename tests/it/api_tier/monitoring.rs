//! Dashboards and alerts of the chart against a real Prometheus, which scrapes an operator and gateways with faults.

mod gateways;
mod prometheus;

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use self::{
    gateways::{Gateways, WELL},
    prometheus::{Prometheus, Target},
};
use super::{
    admission,
    rig::{OPERATOR_NAMESPACE, TEAM, sample_spec},
    sidecar::rig::{SidecarRig, calm, pod},
};
use crate::support::{eventually, lane};

/// BedrockAccess objects whose reconciles fail, because an object that the operator does not own has the name of one of theirs.
const CONFLICTS: [&str; 3] = ["taken-a", "taken-b", "taken-c"];
/// Seconds of the data in the images of the guide.
const PANEL_SECONDS: u64 = 180;
/// An alert that fires when the operator is gone.
const NO_LEADER: &str = "BedrockAccessOperatorNoLeader";

/// An operator with both webhooks, and objects that cannot be reconciled.
async fn operator() -> SidecarRig {
    let mut sidecar = SidecarRig::without_operator().await;
    admission::configure(&sidecar.rig, sidecar.webhook).await;
    for name in CONFLICTS {
        let taken =
            serde_json::from_value(json!({"metadata": {"name": format!("{name}-gateway")}}));
        Api::<ConfigMap>::namespaced(sidecar.rig.client.clone(), TEAM)
            .create(&PostParams::default(), &taken.unwrap())
            .await
            .unwrap();
    }
    sidecar.start_operator(calm()).await;
    sidecar.ready().await;
    sidecar
}

/// Changes objects and creates pods until the future is dropped.
async fn work(sidecar: &SidecarRig) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let mut turn = 0_u32;
    loop {
        every.tick().await;
        turn += 1;
        let mut spec = sample_spec();
        spec["limits"] = json!({"requestsPerMinute": 1000 + turn});
        for name in CONFLICTS {
            // The validation webhook may not be trusted yet.
            let _ = sidecar.rig.apply(name, &spec).await;
        }
        spec["sidecar"] = json!({"serviceAccounts": [{"name": "app"}]});
        let _ = sidecar.rig.apply("chat", &spec).await;
        let stranger = json!({"serviceAccountName": "stranger"});
        for spec in [json!({}), stranger] {
            // Not a dry run: the operator counts only decisions about pods that can exist.
            let _ = sidecar
                .create(&pod(&format!("app-{turn}"), &json!({}), &spec))
                .await;
        }
    }
}

/// Waits until every query of every dashboard returns data.
async fn every_query_has_data(prometheus: &Prometheus) {
    let queries = prometheus::queries();
    assert!(queries.len() > 60, "{} queries", queries.len());
    eventually("every query of every dashboard has data", || async {
        let mut empty = Vec::new();
        for query in &queries {
            let expression = &query.expression;
            if !prometheus.has_data(expression).await? {
                empty.push(format!("{} {expression}", query.panel["title"]));
            }
        }
        if empty.is_empty() {
            Ok(())
        } else {
            Err(empty.join("\n"))
        }
    })
    .await;
}

/// Saves the data of every panel, from which `tests/monitoring/panels.py` draws the images of the guide.
async fn save_panels(prometheus: &Prometheus) {
    let mut panels: Vec<Value> = Vec::new();
    for query in prometheus::queries() {
        let series = prometheus.range(&query, PANEL_SECONDS).await.unwrap();
        let panel = &query.panel;
        let same = |one: &&mut Value| {
            one["dashboard"] == query.dashboard.as_str() && one["title"] == panel["title"]
        };
        if let Some(known) = panels.iter_mut().find(same) {
            known["series"].as_array_mut().unwrap().extend(series);
        } else {
            panels.push(json!({
                "dashboard": query.dashboard, "title": panel["title"], "kind": panel["type"],
                "unit": panel["fieldConfig"]["defaults"]["unit"], "series": series,
            }));
        }
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panels.json");
    fs::write(path, json!(panels).to_string()).unwrap();
}

/// Waits until each of these alerts has fired.
async fn every_alert_fires(prometheus: &Prometheus, expected: &BTreeSet<String>) {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    eventually("every alert fires in its fault", || async {
        let firing = prometheus.firing().await?;
        let mut seen = seen.lock().unwrap();
        seen.extend(firing.into_iter().map(|(name, _)| name));
        let missing: Vec<&String> = expected.difference(&seen).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboards_has_data_and_every_alert_fires_in_its_fault() {
    if lane::is_left_to_full() {
        return;
    }
    let mut sidecar = operator().await;
    let gateways = Gateways::start().await;
    gateways.store_is_used().await;
    let mut targets = gateways.targets();
    targets.push(Target {
        job: "bedrock-access-operator",
        address: sidecar.metrics,
        labels: json!({"namespace": OPERATOR_NAMESPACE, "pod": "operator"}),
    });
    let prometheus = Prometheus::start(&targets).await;
    let mut expected = prometheus::alerts(&prometheus::rules());
    assert!(expected.remove(NO_LEADER));
    let checks = async {
        eventually("every target is scraped", || async {
            let failing = prometheus.failing_targets().await?;
            if failing.is_empty() {
                Ok(())
            } else {
                Err(json!(failing).to_string())
            }
        })
        .await;
        every_alert_fires(&prometheus, &expected).await;
        every_query_has_data(&prometheus).await;
        save_panels(&prometheus).await;
        let firing = prometheus.firing().await.unwrap();
        let of_well: Vec<_> = firing.iter().filter(|(_, access)| access == WELL).collect();
        assert!(of_well.is_empty(), "{of_well:?}");
        let no_leader = firing.iter().find(|(name, _)| name == NO_LEADER);
        assert_eq!(no_leader, None, "the operator leads");
    };
    tokio::select! {
        () = checks => {}
        () = gateways.traffic() => panic!("traffic does not end"),
        () = work(&sidecar) => panic!("work does not end"),
    }
    sidecar.rig.stop_operator().await;
    every_alert_fires(&prometheus, &BTreeSet::from([NO_LEADER.to_owned()])).await;
}

#[test]
fn every_alert_has_a_severity_a_summary_and_a_runbook_in_the_index() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let runbooks = repository.join("docs/runbooks");
    let index = fs::read_to_string(runbooks.join("README.md")).unwrap();
    let rules = prometheus::rules();
    let groups = rules["groups"].as_array().unwrap().iter();
    let alerts: Vec<&Value> = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .filter(|rule| rule["alert"].is_string())
        .collect();
    let mut pages = BTreeSet::new();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}");
        let annotations = &alert["annotations"];
        for field in ["summary", "description"] {
            assert!(
                annotations[field].as_str().unwrap().ends_with('.'),
                "{name}"
            );
        }
        let (_, page) = annotations["runbook_url"]
            .as_str()
            .unwrap()
            .split_once("docs/runbooks/")
            .unwrap();
        let text = fs::read_to_string(runbooks.join(page)).unwrap();
        for heading in ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"] {
            assert!(text.contains(heading), "{page}: {heading}");
        }
        assert!(index.contains(page), "{page} is not in the index");
        pages.insert(page.to_owned());
    }
    assert!(alerts.len() >= 12, "{}", alerts.len());
    for entry in fs::read_dir(&runbooks).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "README.md" || pages.contains(&name),
            "no alert has {name}"
        );
    }
}

#[test]
fn dashboards_and_rules_use_documented_metrics_and_no_deprecated_ones() {
    /// Beginnings of the names of metrics, recording rules aside.
    const BEGINNINGS: [&str; 6] = [
        "bedrock_",
        "gen_ai_",
        "controller_runtime_",
        "workqueue_",
        "leader_election_",
        "process_",
    ];
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/metrics.md");
    let guide = fs::read_to_string(guide).unwrap();
    let rules = prometheus::rules();
    let groups = rules["groups"].as_array().unwrap().iter();
    let of_rules = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let of_dashboards = prometheus::queries().into_iter().map(|one| one.expression);
    let mut names = BTreeSet::new();
    for query in of_dashboards.chain(of_rules) {
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || "_:-".contains(c)));
        for word in words.filter(|word| BEGINNINGS.iter().any(|start| word.starts_with(start))) {
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word);
            assert!(
                guide.contains(&format!("`{name}`")),
                "docs/guide/metrics.md lacks {name}"
            );
            names.insert(name.to_owned());
        }
    }
    assert!(names.len() > 35, "{names:?}");
    let (_, changed) = guide.split_once("## Changed names").unwrap();
    for line in changed.lines().filter(|line| line.contains("(deprecated)")) {
        let name = line.split('`').nth(1).unwrap();
        assert!(!names.contains(name), "{name} is deprecated");
    }
}
