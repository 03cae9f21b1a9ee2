//! The state of what a report describes, its mark and its style on a terminal.

use anstyle::Style;
use api::v1alpha1::health::Health;
use gateway::cli::output::{ERROR, OK, WARNING};
use serde::Serialize;

/// State of an object, a condition or a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// No problem.
    #[default]
    Ok,
    /// In progress, unknown, or a problem that prevents nothing.
    Warning,
    /// A problem.
    Error,
}

impl State {
    /// The mark of a line.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Warning => "!",
            Self::Error => "✗",
        }
    }

    /// The style of the mark.
    pub(crate) fn style(self) -> Style {
        match self {
            Self::Ok => OK,
            Self::Warning => WARNING,
            Self::Error => ERROR,
        }
    }
}

impl From<Health> for State {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok => Self::Ok,
            Health::Warning => Self::Warning,
            Health::Error => Self::Error,
        }
    }
}

/// A text from the cluster in one line, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    line.chars().filter(|c| !c.is_control()).collect()
}

/// A time span as kubectl prints ages, such as `5m` or `3d`.
pub(crate) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
