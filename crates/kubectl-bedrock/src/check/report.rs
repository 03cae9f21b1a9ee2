//! The report of `check`: sections of lines, each line with its state and the fix.

use std::io::{self, Write};

use gateway::cli::output::DIM;
use serde::Serialize;

use crate::state::{State, one_line};

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) state: State,
    pub(crate) message: String,
    /// What to do; none for [`State::Ok`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// Checks of one part of the installation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) checks: Vec<Line>,
}

/// All sections.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) sections: Vec<Section>,
}

impl Line {
    /// No problem.
    pub(crate) fn ok(message: impl Into<String>) -> Self {
        Self {
            state: State::Ok,
            message: message.into(),
            fix: None,
        }
    }

    /// A problem that prevents nothing, or a check that was not possible.
    pub(crate) fn warning(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            message: message.into(),
            fix: Some(fix.into()),
        }
    }

    /// A problem.
    pub(crate) fn error(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Error,
            ..Self::warning(message, fix)
        }
    }
}

impl Section {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            checks: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, line: Line) {
        self.checks.push(line);
    }

    /// The worst state of its checks.
    pub(crate) fn worst(&self) -> State {
        let states = self.checks.iter().map(|line| line.state);
        states.max().unwrap_or_default()
    }
}

impl Report {
    pub(crate) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// The worst state of all checks.
    pub(crate) fn worst(&self) -> State {
        let states = self.sections.iter().map(Section::worst);
        states.max().unwrap_or_default()
    }

    /// Writes one line for each check with its fix below, and the counts at the end.
    ///
    /// # Errors
    /// The output is closed.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for section in &self.sections {
            writeln!(out, "{DIM}{}{DIM:#}", section.name)?;
            for line in &section.checks {
                let style = line.state.style();
                let mark = line.state.mark();
                writeln!(out, "{style}{mark}{style:#} {}", one_line(&line.message))?;
                if let Some(fix) = &line.fix {
                    writeln!(out, "  Fix: {}", one_line(fix))?;
                }
            }
            writeln!(out)?;
        }
        let count = |state| {
            let lines = self.sections.iter().flat_map(|section| &section.checks);
            lines.filter(|line| line.state == state).count()
        };
        writeln!(
            out,
            "ok: {}, warnings: {}, errors: {}",
            count(State::Ok),
            count(State::Warning),
            count(State::Error)
        )
    }
}
