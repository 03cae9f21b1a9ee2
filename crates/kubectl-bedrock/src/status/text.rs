//! Reports as trees for people.

use std::io::{self, Write};

use super::{
    pods::PodReport,
    report::{AccessReport, ConditionReport, ModelReport, TargetReport},
};
use crate::{state::State, tree::Tree};

/// Writes all reports.
///
/// # Errors
/// The output is closed.
pub(crate) fn write(reports: &[AccessReport], out: &mut dyn Write) -> io::Result<()> {
    for (index, report) in reports.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        tree(report).write(out)?;
    }
    Ok(())
}

fn tree(report: &AccessReport) -> Tree {
    let title = format!("BedrockAccess {}/{}", report.namespace, report.name);
    let text = format!("{}: {}", report.reason, report.message);
    let mut root = Tree::of(report.state, title, text);
    if let Some(fix) = &report.fix {
        root.add(Tree::new("Fix:", fix));
    }
    if let Some(endpoint) = &report.endpoint {
        root.add(Tree::new("Endpoint", endpoint));
    }
    let policy = &report.policy;
    let applying = if policy.applying.is_empty() {
        String::new()
    } else {
        format!(
            " (policies of the namespace: {})",
            policy.applying.join(", ")
        )
    };
    let text = format!("{}{applying}", policy.message);
    root.add(Tree::of(policy.state, "Policy", text));
    root.add(identity(report));
    for object in &report.objects {
        let title = format!("{} {}", object.kind, object.name);
        let line = Tree::of(object.state, title, &object.message);
        root.add(if object.kind == "Deployment" {
            line.with(report.pods.iter().map(pod))
        } else {
            line
        });
    }
    if !report
        .objects
        .iter()
        .any(|object| object.kind == "Deployment")
    {
        for one in &report.pods {
            root.add(pod(one));
        }
    }
    if let Some(sidecars) = &report.sidecars {
        let text = format!(
            "{} of {} ready, {} outdated, {} missing",
            sidecars.ready, sidecars.total, sidecars.outdated, sidecars.missing
        );
        let line = Tree::of(sidecars.state, "Sidecars", text);
        root.add(line.with(sidecars.pods.iter().map(pod)));
    }
    root.add(Tree::new("Models", "").with(report.models.iter().map(model)));
    let clients = report.clients.iter();
    root.add(Tree::new("Clients", "").with(clients.map(|client| Tree::new(client, ""))));
    let conditions = report.conditions.iter();
    let shown = report.fix.as_deref();
    let conditions = conditions.map(|one| condition(one, shown));
    root.add(Tree::new("Conditions", "").with(conditions));
    for note in &report.notes {
        root.add(Tree::of(State::Warning, "Not read:", note));
    }
    root
}

fn identity(report: &AccessReport) -> Tree {
    let identity = &report.identity;
    let role = identity.role.as_ref();
    let role = role.map_or_else(String::new, |role| format!(" {role}"));
    let title = format!("Credentials {}{role}", identity.kind);
    Tree::of(identity.state, title, &identity.credentials)
}

fn pod(pod: &PodReport) -> Tree {
    Tree::of(pod.state, format!("Pod {}", pod.name), pod.text())
}

fn model(model: &ModelReport) -> Tree {
    match model.targets.as_slice() {
        [] => Tree::of(model.state, &model.name, "model ids that clients can call"),
        [one] => Tree::of(model.state, &model.name, target(one)),
        several => {
            let lines = several.iter().map(|one| {
                let state = if one.remark.is_some() {
                    State::Warning
                } else {
                    State::Ok
                };
                let order = format!("priority {}, weight {}", one.priority, one.weight);
                Tree::of(state, order, target(one))
            });
            Tree::of(model.state, &model.name, "").with(lines)
        }
    }
}

fn target(target: &TargetReport) -> String {
    let remark = target.remark.as_ref();
    let remark = remark.map_or_else(String::new, |remark| format!(": {remark}"));
    format!("{} in {}{remark}", target.model_id, target.region)
}

/// A condition, with its fix unless that is shown already.
fn condition(condition: &ConditionReport, shown: Option<&str>) -> Tree {
    let title = format!("{}={}", condition.type_, condition.status);
    let text = format!(
        "{} for {}: {}",
        condition.reason, condition.age, condition.message
    );
    let line = Tree::of(condition.state, title, text);
    let fix = condition.fix.as_deref().filter(|fix| shown != Some(*fix));
    let fix = fix.map(|fix| Tree::new("Fix:", fix));
    line.with(fix)
}
