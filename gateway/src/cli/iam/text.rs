//! Policies as text for people: one paragraph for each statement.

use std::io::{self, Write};

use api::iam::{Document, Effect, Statement, Values};

/// Writes the documents with their titles.
///
/// # Errors
/// The output is closed.
pub(super) fn write(
    trust: Option<&Document>,
    permission: Option<&Document>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let documents = [("Trust policy", trust), ("Permission policy", permission)];
    let documents = documents.into_iter().filter_map(|(title, document)| {
        let document = document?;
        Some((title, document))
    });
    for (index, (title, document)) in documents.enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{title}")?;
        for statement in &document.statement {
            write_statement(statement, out)?;
        }
    }
    Ok(())
}

fn write_statement(statement: &Statement, out: &mut dyn Write) -> io::Result<()> {
    let effect = match statement.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    writeln!(out, "  {}: {effect}", statement.sid)?;
    for (kind, values) in &statement.principal {
        write_values(&format!("principal {kind}"), values, out)?;
    }
    write_values("action", &statement.action, out)?;
    write_values("resource", &statement.resource, out)?;
    for (operator, keys) in &statement.condition {
        for (key, values) in keys {
            write_values(&format!("if {operator} {key}"), values, out)?;
        }
    }
    Ok(())
}

fn write_values(title: &str, values: &Values, out: &mut dyn Write) -> io::Result<()> {
    for value in values.iter() {
        writeln!(out, "    {title}: {value}")?;
    }
    Ok(())
}
