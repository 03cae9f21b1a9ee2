//! Events: what was done to children, and once each transition of `Ready`, and of roles of targets that have no
//! credentials.
//!
//! An Event that cannot be published is a line in the log: it never holds up a reconcile.

use api::v1alpha1::{BedrockAccess, condition};
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Resource, ResourceExt};
use kube_runtime::events::{Event, EventType, Recorder};

use super::{
    Context,
    apply::{Applied, Change, Outcome},
};
use crate::children::ChildKind;

/// Longest note the API takes, in bytes.
const MAX_NOTE: usize = 1024;

/// Tells of a transition of a condition: of its status, or of why it is not true. Each is an Event of its
/// own: a series would keep the words of its first.
pub(super) async fn transition(
    reference: &ObjectReference,
    context: &Context,
    before: Option<&Condition>,
    now: &Condition,
) {
    let same = |before: &Condition| before.status == now.status && before.reason == now.reason;
    // That new pods are on their way is no news of what was just created.
    let told = before.map_or(now.reason == condition::REASON_ROLLING_OUT, same);
    if told {
        return;
    }
    let expected = [
        condition::REASON_ROLLING_OUT,
        condition::REASON_SCALED_TO_ZERO,
        condition::REASON_SUSPENDED,
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

/// Tells what was done to the children: an Event for those that were made, one for those that were brought up to date
/// and one for those that are gone; and one for each that somebody had changed, which goes on as a series, so that a
/// tug-of-war over a child is no flood.
pub(super) async fn changes(access: &BedrockAccess, context: &Context, outcome: &Outcome) {
    let reference = access.object_ref(&());
    let Outcome { resources, removed } = outcome;
    let named = |child: &Applied| (child.kind, child.object.name_any());
    let with = |change: &Change| -> Vec<(ChildKind, String)> {
        let children = resources.all().filter(|child| child.change == *change);
        children.map(named).collect()
    };
    for (done, children) in [
        ("Created", with(&Change::Created)),
        ("Updated", with(&Change::Updated)),
        ("Deleted", removed.clone()),
    ] {
        let texts: Vec<String> = children
            .iter()
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect();
        let note = format!("{done} {}", texts.join(", "));
        let mut event = event(EventType::Normal, done, "Apply", &note);
        match children.as_slice() {
            [] => {}
            [(kind, name)] => {
                event.secondary = Some(of_child(*kind, name, &reference));
                publish(context, &context.recorder, &event, &reference).await;
            }
            // A series would keep the names of its first.
            _ => {
                let recorder = Recorder::new(context.client.clone(), context.reporter.clone());
                publish(context, &recorder, &event, &reference).await;
            }
        }
    }
    for child in resources.all() {
        let Change::Restored { by, fields } = &child.change else {
            continue;
        };
        let (kind, name) = named(child);
        let fields = fields.join(", ");
        let note = format!("{kind} {name}: {fields} had been changed by {by} and was put back");
        let mut event = event(EventType::Warning, "DriftCorrected", "Apply", &note);
        event.secondary = Some(of_child(kind, &name, &reference));
        publish(context, &context.recorder, &event, &reference).await;
    }
}

/// A child of what `access` refers to.
fn of_child(kind: ChildKind, name: &str, access: &ObjectReference) -> ObjectReference {
    let resource = kind.resource();
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(name.to_owned()),
        namespace: access.namespace.clone(),
        ..ObjectReference::default()
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
