//! System messages within a conversation, for models that reject the role: they become user messages in their place.
//! [`super::pairs`] then puts the results of calls before them, as Claude requires.

use super::{Edits, Member, Slice, json_edits::mentions};
use crate::{
    families::ModelCapabilities,
    translation::{RequestError, conversation::IN_PLACE, warnings::Warnings},
};

/// The body with user messages in place of system messages; `None` if it stays as it is.
///
/// # Errors
/// In strict mode, when a role would change.
pub(super) fn in_place(
    body: &str,
    capabilities: &ModelCapabilities,
    warnings: &mut Warnings,
) -> Result<Option<String>, RequestError> {
    if capabilities.system_role || !mentions(body, "\"system\"") {
        return Ok(None);
    }
    let list = Slice::new(body).get("messages");
    let members = list.map(|list| list.members()).unwrap_or_default();
    let mut edits = Edits::default();
    let mut is_changed = false;
    for role in members.iter().filter_map(system_role) {
        warnings.changed("messages[].role", IN_PLACE)?;
        edits.replace(&role, "\"user\"");
        is_changed = true;
    }
    Ok(is_changed.then(|| edits.apply(body)))
}

/// The role of a system message.
fn system_role<'t>(message: &Member<'t>) -> Option<Slice<'t>> {
    let role = message.value.get("role")?;
    (role.string().as_deref() == Some("system")).then_some(role)
}
