//! Events for changes of owned objects, and for each transition of `Ready`, of models with a problem, of target roles
//! without credentials, and of TLS and routes that do not work.
//!
//! An Event that cannot be published is logged; it never delays a reconcile.

use api::v1alpha1::{BedrockAccess, condition};
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Resource, ResourceExt};
use kube_runtime::events::{Event, EventType, Recorder};

use super::{
    Context,
    apply::{Applied, Change, Outcome},
};
use crate::owned::OwnedKind;

/// Longest note that the API accepts, in bytes.
const MAX_NOTE: usize = 1024;

/// Publishes an Event for a transition of a condition: a change of its status or reason. Each transition is an Event of
/// its own, since an Event series would keep the message of its first occurrence.
pub(super) async fn transition(
    reference: &ObjectReference,
    context: &Context,
    before: Option<&Condition>,
    now: &Condition,
) {
    let same = |before: &Condition| before.status == now.status && before.reason == now.reason;
    // For an object that was just created, a rollout is not news.
    let known = before.map_or(now.reason == condition::REASON_ROLLING_OUT, same);
    if known {
        return;
    }
    let expected = [
        condition::REASON_ROLLING_OUT,
        condition::REASON_SCALED_TO_ZERO,
        condition::REASON_SUSPENDED,
    ];
    let is_good = now.status == "True" && now.reason != condition::REASON_LEGACY_MODEL;
    let type_ = if is_good || expected.contains(&now.reason.as_str()) {
        EventType::Normal
    } else {
        EventType::Warning
    };
    let event = event(type_, &now.reason, "Reconcile", &now.message);
    let recorder = Recorder::new(context.client.clone(), context.reporter.clone());
    publish(context, &recorder, &event, reference).await;
}

/// Publishes Events for changes of owned objects: one for created objects, one for updated objects and one for deleted
/// objects; and one for each object that another field manager had changed. The latter become a series, so that
/// repeated changes do not flood the Events.
pub(super) async fn changes(access: &BedrockAccess, context: &Context, outcome: &Outcome) {
    let reference = access.object_ref(&());
    let Outcome { resources, removed } = outcome;
    let named = |owned: &Applied| (owned.kind, owned.object.name_any());
    let with = |change: &Change| -> Vec<(OwnedKind, String)> {
        let owned = resources.all().filter(|owned| owned.change == *change);
        owned.map(named).collect()
    };
    for (done, owned) in [
        ("Created", with(&Change::Created)),
        ("Updated", with(&Change::Updated)),
        ("Deleted", removed.clone()),
    ] {
        let texts: Vec<String> = owned
            .iter()
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect();
        let note = format!("{done} {}", texts.join(", "));
        let mut event = event(EventType::Normal, done, "Apply", &note);
        match owned.as_slice() {
            [] => {}
            [(kind, name)] => {
                event.secondary = Some(owned_reference(*kind, name, &reference));
                publish(context, &context.recorder, &event, &reference).await;
            }
            // A series would keep the names of its first occurrence.
            _ => {
                let recorder = Recorder::new(context.client.clone(), context.reporter.clone());
                publish(context, &recorder, &event, &reference).await;
            }
        }
    }
    for owned in resources.all() {
        let Change::Restored { by, fields } = &owned.change else {
            continue;
        };
        let (kind, name) = named(owned);
        let fields = fields.join(", ");
        let note = format!("{kind} {name}: restored {fields} after a change by {by}");
        let mut event = event(EventType::Warning, "DriftCorrected", "Apply", &note);
        event.secondary = Some(owned_reference(kind, &name, &reference));
        publish(context, &context.recorder, &event, &reference).await;
    }
}

/// Reference to an object that the `BedrockAccess` owns.
fn owned_reference(kind: OwnedKind, name: &str, access: &ObjectReference) -> ObjectReference {
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
        tracing::warn!(%error, reason = event.reason, "failed to publish an Event");
    }
}

fn cut(note: &str) -> &str {
    let mut end = note.len().min(MAX_NOTE);
    while !note.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    note.get(..end).unwrap_or_default()
}
