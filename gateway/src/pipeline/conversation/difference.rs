//! Where the prefixes of two requests part. Pure.

use std::fmt;

use super::outline::Outline;

/// A part of a request, or a circumstance, that a cached prefix depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The model name.
    Model,
    Tools,
    /// The system prompt, or system messages before all others.
    System,
    /// A message that the earlier request had, too.
    Messages,
    /// Parameters such as `tool_choice` and `thinking`.
    Parameters,
    /// A cache point or its lifetime.
    CachePoints,
    /// Another target served the request.
    Target,
    /// More time passed than the lifetime of the cache.
    Expired,
    /// Nothing that the gateway can see.
    Unknown,
}

/// Where a request parts from the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) part: Part,
    /// Index of the message, as the client counts.
    pub(crate) message: Option<usize>,
}

impl Part {
    /// The name in metrics, logs and headers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Tools => "tools",
            Self::System => "system",
            Self::Messages => "messages",
            Self::Parameters => "parameters",
            Self::CachePoints => "cache_points",
            Self::Target => "target",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Part> for Difference {
    fn from(part: Part) -> Self {
        Self {
            part,
            message: None,
        }
    }
}

impl fmt::Display for Difference {
    /// Such as `tools`, or `messages[3]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.part.name())?;
        match self.message {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// The first difference in the order of the prefix; `None` if `later` begins with all of `earlier`.
pub(crate) fn of_outlines(earlier: &Outline, later: &Outline) -> Option<Difference> {
    if earlier.tools != later.tools {
        return Some(Part::Tools.into());
    }
    if earlier.system != later.system {
        return Some(Part::System.into());
    }
    let mut pairs = earlier.messages.iter().zip(&later.messages);
    let shared = earlier.messages.len().min(later.messages.len());
    let at = pairs.position(|(one, other)| one != other);
    let is_cut = later.messages.len() < earlier.messages.len();
    if let Some(at) = at.or(is_cut.then_some(shared)) {
        return Some(Difference {
            part: Part::Messages,
            message: Some(at.saturating_add(later.leading)),
        });
    }
    if earlier.parameters != later.parameters {
        return Some(Part::Parameters.into());
    }
    (earlier.points != later.points).then(|| Part::CachePoints.into())
}
