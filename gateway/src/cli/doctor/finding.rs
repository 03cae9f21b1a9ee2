//! What `doctor` found, and how it is told: for people or as JSON, with an exit code for scripts.

use std::io::{self, Write};

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and may not for long or not for everything.
    Warning,
    /// Does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was looked at: a stable word, with a name behind a colon where there are several.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// The one thing to do about it; none where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
    /// Something to copy, such as a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// All findings, in the order they were made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings(Vec<Finding>);

#[derive(Serialize)]
struct Report<'a> {
    ok: usize,
    warnings: usize,
    errors: usize,
    findings: &'a [Finding],
}

impl Finding {
    /// As it should be.
    pub(crate) fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            level: Level::Ok,
            message: message.into(),
            way_out: None,
            details: None,
        }
    }

    /// Works, with something to do about it.
    pub(crate) fn warning(
        check: impl Into<String>,
        message: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            way_out: Some(way_out.into()),
            ..Self::ok(check, message)
        }
    }

    /// Does not work, with something to do about it.
    pub(crate) fn error(
        check: impl Into<String>,
        message: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Error,
            ..Self::warning(check, message, way_out)
        }
    }

    /// The same with something to copy.
    pub(crate) fn with_details(mut self, details: Option<String>) -> Self {
        self.details = details;
        self
    }
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// The worst level; ok when there are none.
    pub fn worst(&self) -> Level {
        self.iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Ok)
    }

    fn count(&self, level: Level) -> usize {
        self.iter().filter(|finding| finding.level == level).count()
    }

    /// One line a finding, the way out below, and what can be copied at the end.
    ///
    /// # Errors
    /// The output is closed.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.iter().map(|finding| finding.check.len()).max();
        let width = width.unwrap_or_default();
        for finding in self.iter() {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            writeln!(
                out,
                "{level:7}  {:width$}  {}",
                finding.check, finding.message
            )?;
            if let Some(way_out) = &finding.way_out {
                writeln!(out, "{:7}  {:width$}  -> {way_out}", "", "")?;
            }
        }
        for finding in self.iter() {
            if let Some(details) = &finding.details {
                writeln!(out, "\n{}:\n{}", finding.check, details.trim_end())?;
            }
        }
        writeln!(
            out,
            "\n{} ok, {} warnings, {} errors",
            self.count(Level::Ok),
            self.count(Level::Warning),
            self.count(Level::Error)
        )
    }

    /// One JSON object.
    ///
    /// # Errors
    /// The output is closed.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let report = Report {
            ok: self.count(Level::Ok),
            warnings: self.count(Level::Warning),
            errors: self.count(Level::Error),
            findings: &self.0,
        };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)
    }
}
