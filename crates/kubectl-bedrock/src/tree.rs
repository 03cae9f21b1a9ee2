//! A tree of lines, with a mark for each line that has a state.

use std::io::{self, Write};

use gateway::cli::output::DIM;

use crate::state::{State, one_line};

/// A line and the lines below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    state: Option<State>,
    /// Name of the object.
    title: String,
    /// What is to say about it.
    text: String,
    below: Vec<Self>,
}

impl Tree {
    /// A line without a state.
    pub(crate) fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            state: None,
            title: title.into(),
            text: text.into(),
            below: Vec::new(),
        }
    }

    /// A line with a state.
    pub(crate) fn of(state: State, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            state: Some(state),
            ..Self::new(title, text)
        }
    }

    /// Adds a line below.
    pub(crate) fn add(&mut self, tree: Self) {
        self.below.push(tree);
    }

    /// Adds lines below.
    pub(crate) fn with(mut self, below: impl IntoIterator<Item = Self>) -> Self {
        self.below.extend(below);
        self
    }

    /// Writes the tree.
    ///
    /// # Errors
    /// The output is closed.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_line(out)?;
        self.write_below("", out)
    }

    fn write_line(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(state) = self.state {
            let style = state.style();
            write!(out, "{style}{}{style:#} ", state.mark())?;
        }
        write!(out, "{}", one_line(&self.title))?;
        if !self.text.is_empty() {
            let between = if self.title.is_empty() { "" } else { "  " };
            write!(out, "{between}{}", one_line(&self.text))?;
        }
        writeln!(out)
    }

    fn write_below(&self, prefix: &str, out: &mut dyn Write) -> io::Result<()> {
        let last = self.below.len().saturating_sub(1);
        for (index, tree) in self.below.iter().enumerate() {
            let (branch, further) = if index == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            write!(out, "{DIM}{prefix}{branch}{DIM:#}")?;
            tree.write_line(out)?;
            tree.write_below(&format!("{prefix}{further}"), out)?;
        }
        Ok(())
    }
}
