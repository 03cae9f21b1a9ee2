//! What a condition or a reason of a `BedrockAccess` means, and what to do: the same in the plugin and in the console.
//!
//! Reasons of gateways, which concern AWS credentials, are read from the troubleshooting guide, which is compiled in.

mod guide;
mod reasons;

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use self::guide::Guide;

/// What an explanation describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Type of a condition.
    Condition,
    /// Reason of conditions.
    Reason,
}

/// An explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Type of the condition, or the reason.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it means.
    pub meaning: String,
    /// What to do; empty if nothing.
    pub fix: String,
    /// Page of the documentation.
    pub guide: String,
    /// Sections of the troubleshooting guide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

static ALL: LazyLock<Vec<Explanation>> = LazyLock::new(read_all);

/// All explanations.
pub fn all() -> &'static [Explanation] {
    &ALL
}

/// The next step for a reason, if something is to be done. Commands of the plugin are about `object`, a name or a name with
/// the option for its namespace.
pub fn fix(reason: &str, object: &str) -> Option<String> {
    let mut found = all().iter();
    let found = found.find(|one| one.kind == Kind::Reason && one.name == reason)?;
    if !found.details.is_empty() {
        // The fix depends on the cause, which the gateway knows.
        return Some(format!(
            "Run `kubectl bedrock doctor {object}`, which finds the cause; `kubectl bedrock explain {reason}` lists the causes."
        ));
    }
    (!found.fix.is_empty()).then(|| named(&found.fix, object))
}

/// The next step for a condition that is not met: that for its reason, otherwise that for its type.
pub fn fix_of_condition(condition: &Condition, object: &str) -> Option<String> {
    let known = || {
        let mut all = all().iter();
        let found = all.find(|one| one.kind == Kind::Condition && one.name == condition.type_)?;
        Some(named(&found.fix, object))
    };
    fix(&condition.reason, object).or_else(known)
}

/// A fix with the object in the commands of the plugin.
fn named(fix: &str, object: &str) -> String {
    let mut fix = fix.to_owned();
    for command in ["status", "doctor", "iam", "logs"] {
        let start = format!("kubectl bedrock {command} ");
        fix = fix.replace(&format!("{start}NAME"), &format!("{start}{object}"));
    }
    fix
}

fn read_all() -> Vec<Explanation> {
    let rows = reasons::ROWS.iter().map(|row| Explanation {
        name: row.name.to_owned(),
        kind: row.kind,
        meaning: row.meaning.to_owned(),
        fix: row.fix.to_owned(),
        guide: row.guide.to_owned(),
        details: Vec::new(),
    });
    let mut all: Vec<Explanation> = rows.collect();
    let guide = Guide::builtin();
    for (name, fix, anchors) in guide.reasons() {
        if all.iter().any(|one| one.name == name) {
            continue;
        }
        let anchor = anchors.first().map_or("gateway-reasons", String::as_str);
        let details: Vec<String> = anchors
            .iter()
            .filter_map(|one| guide.section(one))
            .collect();
        all.push(Explanation {
            meaning: "A gateway reports this reason while it has no AWS credentials, or while they cannot be renewed."
                .to_owned(),
            kind: Kind::Reason,
            fix,
            guide: format!("docs/guide/troubleshooting.md#{anchor}"),
            details,
            name,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1alpha1::condition;

    const CONDITIONS: &str = include_str!("condition.rs");

    #[test]
    fn every_condition_and_reason_of_the_api_is_explained() {
        let mut count = 0;
        for line in CONDITIONS.lines() {
            let Some(rest) = line.strip_prefix("pub const ") else {
                continue;
            };
            let kind = if rest.starts_with("REASON_") {
                Kind::Reason
            } else {
                Kind::Condition
            };
            let name = rest.split('"').nth(1).unwrap();
            assert!(
                reasons::ROWS
                    .iter()
                    .any(|row| row.name == name && row.kind == kind),
                "{name} has no row"
            );
            count += 1;
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn every_reason_of_the_guide_is_explained_with_its_sections() {
        let reasons = Guide::builtin().reasons();
        assert!(reasons.len() > 20, "{reasons:?}");
        for (name, _, anchors) in reasons {
            let one = all().iter().find(|one| one.name == name).unwrap();
            assert!(!one.fix.is_empty(), "{name}");
            assert!(!one.fix.contains("]("), "{name}: {}", one.fix);
            for anchor in anchors {
                let section = Guide::builtin().section(&anchor);
                assert!(section.is_some(), "{name}: no section {anchor}");
            }
        }
    }

    #[test]
    fn every_page_that_an_explanation_names_exists() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        for one in all() {
            let (page, anchor) = one.guide.split_once('#').unwrap_or((&one.guide, ""));
            let text = std::fs::read_to_string(format!("{root}/{page}")).unwrap();
            let words = anchor.replace('-', " ");
            let found = text.lines().any(|line| {
                let heading = line.trim_start_matches('#').trim().to_lowercase();
                line.starts_with('#')
                    && heading.replace(['\'', '-'], " ").replace("  ", " ") == words
            });
            assert!(anchor.is_empty() || found, "{}: {}", one.name, one.guide);
        }
    }

    #[test]
    fn fix_names_the_object_in_commands_and_a_good_reason_has_none() {
        assert_eq!(fix("Ready", "chat"), None);
        assert_eq!(fix("Nonsense", "chat"), None);
        assert!(fix("NotAllowed", "chat").is_some());
        let refused = fix("AccessDenied", "chat -n team-a").unwrap();
        assert!(
            refused.contains("`kubectl bedrock doctor chat -n team-a`"),
            "{refused}"
        );
        let of_a_gateway = Condition {
            type_: "Routed".to_owned(),
            status: "False".to_owned(),
            reason: "NoMatchingParent".to_owned(),
            message: String::new(),
            last_transition_time: serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap(),
            observed_generation: None,
        };
        let routed = fix_of_condition(&of_a_gateway, "chat").unwrap();
        assert!(routed.contains("spec.gateway.httpRoute"), "{routed}");
        let unavailable = fix(condition::REASON_UNAVAILABLE, "chat").unwrap();
        assert!(
            unavailable.contains("`kubectl bedrock logs chat`") && !unavailable.contains("NAME"),
            "{unavailable}"
        );
    }
}
