//! Output of the commands: text for people, JSON and YAML for programs, and the styles of text on a terminal.
//!
//! Styles are written as escape sequences. The program's standard output removes them unless it is a terminal that
//! permits colors (`NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM`, read by `anstream`).

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use clap::{ValueEnum, builder::PossibleValue};
use serde::Serialize;

/// A problem that prevents something.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// A problem that prevents nothing.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// No problem.
pub const OK: Style = AnsiColor::Green.on_default().bold();
/// Secondary text.
pub const DIM: Style = Style::new().dimmed();

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
    /// The same document as YAML.
    Yaml,
}

/// Written by hand, because a derived implementation lists `table`, the former name of `text`, in `--help`.
impl ValueEnum for Output {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json, Self::Yaml]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => PossibleValue::new("text").alias("table"),
            Self::Json => PossibleValue::new("json"),
            Self::Yaml => PossibleValue::new("yaml"),
        })
    }
}

impl Output {
    /// Writes a document: JSON for [`Self::Json`], else YAML.
    ///
    /// # Errors
    /// The output is closed.
    pub fn write(self, document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
        // The keys keep their order: `serde_json::Value` preserves it.
        if self == Self::Json {
            serde_json::to_writer_pretty(&mut *out, document)?;
            return writeln!(out);
        }
        let text = serde_yaml::to_string(document).map_err(io::Error::other)?;
        out.write_all(text.as_bytes())
    }
}
