//! Events: what was done to children, one each, and each transition of `Ready` once.
//!
//! An Event that cannot be published is a line in the log: it never holds up a reconcile.

use api::v1alpha1::{BedrockAccess, condition};
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Resource, ResourceExt};
use kube_runtime::events::{Event, EventType, Recorder};

use super::{
    Context,
    apply::{Change, Outcome},
};

/// Longest note the API takes, in bytes.
const MAX_NOTE: usize = 1024;

/// Tells of a transition of `Ready`: of its status, or of why it is not ready. Each is an Event of its
/// own: a series would keep the words of its first.
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
    let expected = [
        condition::REASON_ROLLING_OUT,
        condition::REASON_SCALED_TO_ZERO,
    ];
    let type_ = if now.status == "True" || expected.contains(&now.reason.as_str()) {
        EventType::Normal
    } else {
        EventType::Warning
    };
    let event = event(type_, &now.reason, "Reconcile", &now.message);
    let recorder = Recorder::new(context.client.clone(), context.reporter.clone());
    publish(context, &recorder, &event, reference).await;
}

/// Tells what was done to each child; the same again within minutes adds to a series, so that a
/// tug-of-war over a child is no flood.
pub(super) async fn changes(access: &BedrockAccess, context: &Context, outcome: &Outcome) {
    let reference = access.object_ref(&());
    let Outcome { resources, removed } = outcome;
    let changed = resources.all().filter_map(|child| {
        let name = format!("{} {}", child.kind, child.object.name_any());
        let event = match &child.change {
            Change::None => return None,
            Change::Created => event(
                EventType::Normal,
                "Created",
                "Apply",
                &format!("Created {name}"),
            ),
            Change::Updated => event(
                EventType::Normal,
                "Updated",
                "Apply",
                &format!("Updated {name}"),
            ),
            Change::Restored { by, fields } => event(
                EventType::Warning,
                "DriftCorrected",
                "Apply",
                &format!(
                    "{name}: {} had been changed by {by} and was put back",
                    fields.join(", ")
                ),
            ),
        };
        Some((child.kind, child.object.name_any(), event))
    });
    let removed = removed.iter().map(|(kind, name)| {
        let note = format!("Deleted {kind} {name}");
        (
            *kind,
            name.clone(),
            event(EventType::Normal, "Deleted", "Apply", &note),
        )
    });
    for (kind, name, mut event) in changed.chain(removed) {
        let resource = kind.resource();
        event.secondary = Some(ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            name: Some(name),
            namespace: reference.namespace.clone(),
            ..ObjectReference::default()
        });
        publish(context, &context.recorder, &event, &reference).await;
    }
}

fn event(type_: EventType, reason: &str, action: &str, note: &str) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(cut(note).to_owned()),
        action: action.to_owned(),
        secondary: None,
    }
}

async fn publish(context: &Context, recorder: &Recorder, event: &Event, about: &ObjectReference) {
    tracing::info!(reason = event.reason, note = event.note, "event");
    context.metrics.wrote("Event", "create");
    if let Err(error) = recorder.publish(event, about).await {
        tracing::warn!(%error, reason = event.reason, "unable to publish an Event");
    }
}

fn cut(note: &str) -> &str {
    let mut end = note.len().min(MAX_NOTE);
    while !note.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    note.get(..end).unwrap_or_default()
}
