//! Findings of `doctor`, and their output as text or as a document.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::output;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No problem.
    Ok,
    /// Works, but not for everything or not for long.
    Warning,
    /// Does not work.
    Error,
}

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Name of the check: a stable word, followed by a colon and an object name if the check runs for several objects.
    pub check: String,
    /// Severity.
    pub level: Level,
    /// State of the checked object.
    pub message: String,
    /// How to fix the problem; none for [`Level::Ok`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Text to copy, such as a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings(Vec<Finding>);

/// The findings as a document.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    ok: usize,
    warnings: usize,
    errors: usize,
    findings: &'a [Finding],
}

impl Finding {
    /// No problem.
    pub(crate) fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            level: Level::Ok,
            message: message.into(),
            fix: None,
            details: None,
        }
    }

    /// A problem that does not prevent requests, with its fix.
    pub(crate) fn warning(
        check: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            fix: Some(fix.into()),
            ..Self::ok(check, message)
        }
    }

    /// A problem that prevents requests, with its fix.
    pub(crate) fn error(
        check: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Error,
            ..Self::warning(check, message, fix)
        }
    }

    /// Adds a text to copy.
    pub(crate) fn with_details(mut self, details: Option<String>) -> Self {
        self.details = details;
        self
    }
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// All findings.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// The highest severity; ok without findings.
    pub fn worst(&self) -> Level {
        self.iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Ok)
    }

    fn count(&self, level: Level) -> usize {
        self.iter().filter(|finding| finding.level == level).count()
    }

    /// Writes one line for each finding with its fix below, and the texts to copy at the end.
    ///
    /// # Errors
    /// The output is closed.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.iter().map(|finding| finding.check.len()).max();
        let width = width.unwrap_or_default();
        for finding in self.iter() {
            let (level, style) = match finding.level {
                Level::Ok => ("ok", output::OK),
                Level::Warning => ("warning", output::WARNING),
                Level::Error => ("error", output::ERROR),
            };
            writeln!(
                out,
                "{style}{level:7}{style:#}  {:width$}  {}",
                finding.check,
                one_line(&finding.message)
            )?;
            if let Some(fix) = &finding.fix {
                writeln!(out, "{:7}  {:width$}  Fix: {}", "", "", one_line(fix))?;
            }
        }
        for finding in self.iter() {
            if let Some(details) = &finding.details {
                writeln!(out, "\n{}:\n{}", finding.check, details.trim_end())?;
            }
        }
        writeln!(
            out,
            "\nok: {}, warnings: {}, errors: {}",
            self.count(Level::Ok),
            self.count(Level::Warning),
            self.count(Level::Error)
        )
    }

    /// The findings and their counts.
    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            ok: self.count(Level::Ok),
            warnings: self.count(Level::Warning),
            errors: self.count(Level::Error),
            findings: &self.0,
        }
    }
}

/// A text of AWS in one line; that of a wrong signature has a dozen.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
