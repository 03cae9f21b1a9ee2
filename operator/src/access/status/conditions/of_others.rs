//! Conditions that other controllers report in the status of an object. Their texts are not trusted to be valid in a
//! condition of ours.

use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

use super::ConditionOutcome;
use crate::access::readiness::is_reason;

/// Longest message that is repeated, in characters.
const MAX_CHARACTERS: usize = 1024;
/// The reason if the reported one is not valid.
const NO_REASON: &str = "NotAccepted";

/// A condition of another controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reported {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) status: String,
    reason: String,
    message: String,
    observed_generation: Option<i64>,
}

impl Reported {
    /// The condition as an outcome that is not met; `who` begins the message.
    pub(super) fn refusal(&self, who: &str) -> ConditionOutcome {
        let reason = if is_reason(&self.reason) {
            &self.reason
        } else {
            NO_REASON
        };
        let message = self.message.chars();
        let message: String = message
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_CHARACTERS)
            .collect();
        ConditionOutcome::no(reason, format!("{who}: {message}"))
    }
}

/// The conditions at a path, without those about an earlier generation of the object. `None` if there is no list.
pub(super) fn current(object: &DynamicObject, path: &str) -> Option<Vec<Reported>> {
    conditions(object, object.data.pointer(path)?)
}

/// The same for a list that was found otherwise.
pub(super) fn conditions(object: &DynamicObject, list: &Value) -> Option<Vec<Reported>> {
    let generation = object.metadata.generation;
    let is_current =
        |one: &Reported| one.observed_generation.is_none() || one.observed_generation >= generation;
    let mut list: Vec<Reported> = serde_json::from_value(list.clone()).ok()?;
    list.retain(is_current);
    Some(list)
}
