//! How each family supports the fields that OpenAI's endpoints share.

use crate::families::{Choice, ModelCapabilities, ParallelOff, ReasoningStyle, SchemaMode, TopK};
use crate::translation::fields::Support;

/// Why log probabilities are rejected, and what to do.
pub(crate) const NO_LOG_PROBABILITIES: &str = "Converse returns no log probabilities; remove the field, or choose a model that Bedrock serves in this protocol";

pub(crate) fn supported_if(condition: bool) -> Support {
    if condition {
        Support::Supported
    } else {
        Support::Dropped
    }
}

pub(crate) fn top_k(capabilities: &ModelCapabilities) -> Support {
    match capabilities.sampling.top_k {
        TopK::None => Support::Dropped,
        TopK::Field => Support::Mapped("`top_k`"),
        TopK::InferenceConfig => Support::Mapped("`inferenceConfig.topK`"),
    }
}

pub(crate) fn tools(capabilities: &ModelCapabilities) -> Support {
    if capabilities.tools.supported {
        Support::Supported
    } else {
        Support::Rejected
    }
}

pub(crate) fn tool_choice(capabilities: &ModelCapabilities) -> Support {
    if !capabilities.tools.supported {
        return Support::Supported;
    }
    let has = |choice| capabilities.tools.choice.contains(&choice);
    match (has(Choice::Any), has(Choice::Tool)) {
        (true, true) => Support::Supported,
        (true, false) => Support::Mapped("a named function becomes the only tool"),
        _ => Support::Mapped("by instructions"),
    }
}

pub(crate) fn parallel(capabilities: &ModelCapabilities) -> Support {
    match capabilities.tools.parallel_off {
        _ if !capabilities.tools.supported => Support::Supported,
        ParallelOff::ToolChoiceField => Support::Mapped("`disable_parallel_tool_use`"),
        ParallelOff::Never => Support::Dropped,
    }
}

pub(crate) fn response_format(capabilities: &ModelCapabilities) -> Support {
    match capabilities.json_schema {
        SchemaMode::Native => Support::Mapped("native"),
        SchemaMode::Tool => Support::Mapped("by a tool"),
        SchemaMode::Prompt => Support::Mapped("by instructions"),
    }
}

pub(crate) fn effort(capabilities: &ModelCapabilities) -> Support {
    match capabilities.reasoning.style {
        ReasoningStyle::None => Support::Dropped,
        ReasoningStyle::Budget => Support::Mapped("`thinking.budget_tokens`"),
        ReasoningStyle::Adaptive => Support::Mapped("`output_config.effort`"),
        ReasoningStyle::ReasoningConfigObject => Support::Mapped("`reasoningConfig`"),
        ReasoningStyle::ReasoningConfigWord => Support::Mapped("`reasoning_config`"),
        ReasoningStyle::ReasoningEffort => Support::Mapped("`reasoning_effort`"),
        ReasoningStyle::ReasoningObject => Support::Mapped("`reasoning.effort`"),
    }
}

pub(crate) fn thinking(capabilities: &ModelCapabilities) -> Support {
    match capabilities.reasoning.style {
        ReasoningStyle::Budget => Support::Supported,
        ReasoningStyle::Adaptive if capabilities.reasoning.budget => Support::Supported,
        ReasoningStyle::Adaptive => Support::Mapped("adaptive, without the budget"),
        _ => Support::Dropped,
    }
}
