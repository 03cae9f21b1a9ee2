//! Prompt caching: `cache_control`, as in Anthropic's API and other gateways, becomes a cache point after its block.
//!
//! # What stays the same when a conversation grows
//!
//! Bedrock finds a prefix in its cache by content: tools, system prompt and messages, in this order. So what the
//! gateway sends for the start of a conversation must depend on that start only. For each dialect and each Bedrock API,
//! appending messages to a request without changing its other fields keeps these parts of the upstream body, byte for
//! byte and in order:
//!
//! - each tool, each block of the system prompt, each block of the messages, and the role of its message.
//!
//! Not part of the content that Bedrock compares, and free to change:
//!
//! - the cache points, which move as a conversation grows and of which at most four remain;
//! - the borders between successive messages of one role, and text as a string or as the only block of a list;
//! - what completes the end of a request: a placeholder beside a document without text, for a conversation without a
//!   user turn, or for a result that is missing.
//!
//! Three changes of the start are unavoidable, because Bedrock rejects anything else:
//!
//! - calls without declared tools have to be declared, and tools that a client finds in mid-conversation follow the
//!   declared ones;
//! - a result that comes late, or twice, moves to its call; until then the call has a placeholder;
//! - the end of a turn that the model continues loses its whitespace.
//!
//! `test_support/prefix.rs` has the conversations and the comparison for the properties that check this.

mod place;

use bedrock::converse::{CachePoint, ContentBlock, ConverseRequest, Role, SystemBlock, Tool};

use super::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Object},
};

/// Takes `cache_control` out of an object. `allowed`: whether the family supports a cache point at this place.
pub(crate) fn point(
    object: &mut Object<'_>,
    at: &FieldPath<'_>,
    allowed: bool,
    context: &mut Context<'_>,
) -> Result<Option<CachePoint>, RequestError> {
    let Some(mut control) = object.object("cache_control", at)? else {
        return Ok(None);
    };
    let at = at.key("cache_control");
    let kind = control.required_string("type", &at)?;
    if kind != "ephemeral" {
        return Err(RequestError::invalid(
            at.key("type").to_string(),
            "the only supported type is \"ephemeral\"",
        ));
    }
    let ttl = match control.string("ttl", &at)?.as_deref() {
        None | Some("5m") => None,
        Some("1h") if context.capabilities.cache.ttl.iter().any(|ttl| ttl == "1h") => Some("1h"),
        Some("1h") => {
            let title = &context.capabilities.title;
            let how = format!("{title} caches for 5 minutes only; 1h is not supported");
            context.warnings.changed("cache_control.ttl", &how)?;
            None
        }
        Some(_) => {
            return Err(RequestError::invalid(
                at.key("ttl").to_string(),
                "expected \"5m\" or \"1h\"",
            ));
        }
    };
    if !allowed {
        let why = format!(
            "{} does not support a cache point here",
            context.capabilities.title
        );
        context.warnings.dropped("cache_control", &why)?;
        return Ok(None);
    }
    Ok(Some(CachePoint::new(ttl)))
}

/// Automatic caching of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Automatic {
    point: CachePoint,
    /// Whether the client requests it, also beside its own points; the gateway's setting is for requests without.
    of_client: bool,
}

/// Automatic caching: `cache_control` of the body, or else the gateway's own setting.
pub(crate) fn automatic_point(
    body: &mut Object<'_>,
    context: &mut Context<'_>,
) -> Result<Option<Automatic>, RequestError> {
    let configured = context.options.automatic_cache.then(|| Automatic {
        point: CachePoint::new(None),
        of_client: false,
    });
    // Families that do not cache ignore it.
    let given = point(body, &FieldPath::Root, true, context)?;
    let given = given.map(|point| Automatic {
        point,
        of_client: true,
    });
    Ok(given.or(configured))
}

pub(crate) use place::{LOWERED, MOVED};

fn is_tool_point(tool: &Tool<'_>) -> bool {
    matches!(tool, Tool::CachePoint(_))
}

fn is_system_point(block: &SystemBlock<'_>) -> bool {
    matches!(block, SystemBlock::CachePoint(_))
}

fn is_point(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::CachePoint(_))
}

fn count(request: &ConverseRequest<'_>) -> usize {
    let tools = request.tool_config.iter().flat_map(|config| &config.tools);
    let blocks = request.messages.iter().flat_map(|message| &message.content);
    tools.filter(|tool| is_tool_point(tool)).count()
        + request
            .system
            .iter()
            .filter(|block| is_system_point(block))
            .count()
        + blocks.filter(|block| is_point(block)).count()
}

/// Brings the cache points of a request into the places, number and order that Bedrock accepts, after adding
/// `automatic` points: after tools, system prompt and messages if the client set none, else after the messages.
///
/// # Errors
/// In strict mode, when the client's points would be changed.
pub(crate) fn finish(
    request: &mut ConverseRequest<'_>,
    automatic: Option<Automatic>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let is_own = count(request) == 0;
    match automatic {
        Some(automatic) if is_own => {
            after_tools_and_system(request, automatic.point, context);
            after_messages(request, automatic.point, context);
        }
        Some(automatic) if automatic.of_client => {
            after_messages(request, automatic.point, context);
        }
        _ => {}
    }
    place::places(request, is_own, context)?;
    limit(request, context)?;
    place::order(request, context)
}

/// The warning about cache points above the maximum.
pub(crate) fn only_last(most: usize) -> String {
    format!("only the last {most} cache points are kept")
}

/// Keeps the last cache points up to the family's limit; later points cache longer prefixes.
fn limit(request: &mut ConverseRequest<'_>, context: &mut Context<'_>) -> Result<(), RequestError> {
    let most = context.capabilities.cache.max_points;
    let mut excess = count(request).saturating_sub(most);
    if excess == 0 {
        return Ok(());
    }
    context
        .warnings
        .changed("cache_control", &only_last(most))?;
    let mut removes = |is_point: bool| {
        let removed = is_point && excess > 0;
        excess = excess.saturating_sub(usize::from(removed));
        removed
    };
    if let Some(config) = &mut request.tool_config {
        config.tools.retain(|tool| !removes(is_tool_point(tool)));
    }
    request
        .system
        .retain(|block| !removes(is_system_point(block)));
    for message in &mut request.messages {
        message.content.retain(|block| !removes(is_point(block)));
    }
    Ok(())
}

/// Adds cache points after the tools and the system prompt.
fn after_tools_and_system(
    request: &mut ConverseRequest<'_>,
    point: CachePoint,
    context: &Context<'_>,
) {
    let capabilities = &context.capabilities.cache;
    if capabilities.tools
        && let Some(config) = &mut request.tool_config
    {
        config.tools.push(Tool::CachePoint(point));
    }
    if capabilities.system && !request.system.is_empty() {
        request.system.push(SystemBlock::CachePoint(point));
    }
}

/// Adds a cache point after the last user message.
fn after_messages(request: &mut ConverseRequest<'_>, point: CachePoint, context: &Context<'_>) {
    let mut messages = request.messages.iter_mut().rev();
    let last = messages.find(|message| message.role == Role::User);
    if let Some(message) = last.filter(|_| context.capabilities.cache.messages) {
        message.content.push(ContentBlock::CachePoint(point));
    }
}
