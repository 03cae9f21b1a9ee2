//! Events: what was done to children, and each transition of `Ready` once.
//!
//! An Event that cannot be published is a line in the log: it never holds up a reconcile.

use api::v1alpha1::BedrockAccess;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Resource, ResourceExt};
use kube_runtime::events::{Event, EventType};

use super::{
    Context,
    apply::{Applied, Change, Outcome},
};

/// Longest note the API takes, in bytes.
const MAX_NOTE: usize = 1024;

/// Tells of a transition of `Ready`: of its status, or of why it is not ready.
pub(super) async fn transition(
    reference: &ObjectReference,
    context: &Context,
    before: Option<&Condition>,
    now: &Condition,
) {
    let same =
        before.is_some_and(|before| before.status == now.status && before.reason == now.reason);
    if same {
        return;
    }
    let in_passing = now.reason == api::v1alpha1::condition::REASON_ROLLING_OUT;
    let type_ = if now.status == "True" || in_passing {
        EventType::Normal
    } else {
        EventType::Warning
    };
    publish(
        context,
        reference,
        type_,
        &now.reason,
        "Reconcile",
        &now.message,
    )
    .await;
}

/// Tells what was done to children.
pub(super) async fn changes(access: &BedrockAccess, context: &Context, outcome: &Outcome) {
    let reference = access.object_ref(&());
    let Outcome { resources, removed } = outcome;
    let changed: Vec<_> = resources.all().collect();
    let named = |wanted: &dyn Fn(&Change) -> bool| -> Vec<String> {
        changed
            .iter()
            .filter(|child| wanted(&child.change))
            .map(|child| name(child))
            .collect()
    };
    let created = named(&|change| *change == Change::Created);
    let updated = named(&|change| *change == Change::Updated);
    let removed: Vec<String> = removed
        .iter()
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect();
    for (reason, children) in [
        ("Created", created),
        ("Updated", updated),
        ("Deleted", removed),
    ] {
        if !children.is_empty() {
            let note = format!("{reason} {}", children.join(", "));
            publish(
                context,
                &reference,
                EventType::Normal,
                reason,
                "Apply",
                &note,
            )
            .await;
        }
    }
    for child in changed {
        if let Change::Restored { by, fields } = &child.change {
            let note = format!(
                "{}: {} had been changed by {by} and was put back",
                name(child),
                fields.join(", ")
            );
            publish(
                context,
                &reference,
                EventType::Warning,
                "DriftCorrected",
                "Apply",
                &note,
            )
            .await;
        }
    }
}

fn name(child: &Applied) -> String {
    format!("{} {}", child.kind, child.object.name_any())
}

async fn publish(
    context: &Context,
    reference: &ObjectReference,
    type_: EventType,
    reason: &str,
    action: &str,
    note: &str,
) {
    tracing::info!(reason, note, "event");
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(cut(note).to_owned()),
        action: action.to_owned(),
        secondary: None,
    };
    context.metrics.wrote("Event", "create");
    if let Err(error) = context.recorder.publish(&event, reference).await {
        tracing::warn!(%error, reason, "unable to publish an Event");
    }
}

fn cut(note: &str) -> &str {
    let mut end = note.len().min(MAX_NOTE);
    while !note.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    note.get(..end).unwrap_or_default()
}
