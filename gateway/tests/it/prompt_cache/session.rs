//! Sessions of agents, as turns that any API can carry: tools with parallel calls, reasoning, reminders in
//! mid-conversation, and cache points where the client puts them.

use serde_json::{Value, json};

/// Requests of a session.
pub(super) const TURNS: usize = 44;

/// Where a client puts cache points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// Claude Code: both blocks of the system prompt, and the ends of the last two turns of the user.
    LastTurns,
    /// Codex: none; the gateway, or `cache_control` of the body, sets them.
    Automatic,
    /// LangChain's middleware for caching: the last tool and the system prompt for an hour, and the end.
    ToolsSystemAndLast,
}

/// A kind of session.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) marks: Marks,
    /// Whether requests name their session.
    pub(super) names_session: bool,
    /// Whether results come with a text of the client.
    reminds_beside_results: bool,
    /// Whether system messages are in mid-conversation.
    has_system_messages: bool,
    /// How the tools are called.
    tools: &'static [&'static str],
}

pub(super) const CLAUDE_CODE: Kind = Kind {
    name: "Claude Code",
    marks: Marks::LastTurns,
    names_session: true,
    reminds_beside_results: true,
    has_system_messages: true,
    tools: &[
        "Bash",
        "Edit",
        "Glob",
        "Grep",
        "Read",
        "Task",
        "TodoWrite",
        "WebFetch",
        "Write",
    ],
};

pub(super) const CODEX: Kind = Kind {
    name: "Codex",
    marks: Marks::Automatic,
    names_session: true,
    reminds_beside_results: false,
    has_system_messages: true,
    tools: &["exec_command", "update_plan", "view_image", "write_stdin"],
};

pub(super) const LANGCHAIN: Kind = Kind {
    name: "LangChain",
    marks: Marks::ToolsSystemAndLast,
    names_session: false,
    reminds_beside_results: false,
    has_system_messages: false,
    tools: &["search", "lookup", "calculator"],
};

/// What a client adds before a request.
#[derive(Debug)]
pub(super) struct Step {
    /// Text of the user or of the client, with directives for the simulated model.
    pub(super) text: Option<String>,
    /// A system message.
    pub(super) system: Option<String>,
}

/// Name, description and schema of a tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) description: String,
    pub(super) schema: Value,
}

impl Kind {
    /// The two blocks of the system prompt.
    pub(super) fn system(&self) -> [String; 2] {
        ["rule", "fact"].map(|word| {
            let lines =
                (0..120).map(|line| format!("{} {word} {line}: keep the text short.", self.name));
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    pub(super) fn tools(&self) -> Vec<Tool> {
        let tools = self.tools.iter().map(|name| Tool {
            name,
            description: format!("{name} does one thing. ").repeat(10),
            schema: json!({"type": "object", "required": ["z", "a"], "properties": {
                "z": {"type": "string", "description": "The first argument."},
                "a": {"type": "integer", "minimum": 1}}}),
        });
        tools.collect()
    }

    /// The turn before a request. `has_results`: whether it begins with results.
    pub(super) fn step(&self, turn: usize, has_results: bool) -> Step {
        let call = |offset: usize| {
            let name = self.tools[(turn + offset) % self.tools.len()];
            format!(
                "@tool {name} {{\"z\":\"src/{turn}.rs\",\"a\":{}}}",
                turn + 1
            )
        };
        let text = match turn % 4 {
            0 => Some(format!(
                "Please look at part {turn}.\n@reason Part {turn} needs a look first.\n{}",
                call(0)
            )),
            // An agent sends results alone; Claude Code adds a reminder.
            1 if has_results && !self.reminds_beside_results => None,
            1 => Some(format!(
                "<system-reminder>{turn} tasks are open.</system-reminder>\n@say Step {turn} is next.\n{}\n{}",
                call(1),
                call(2)
            )),
            2 => Some(format!(
                "Continue with {turn}.\n@reason Nothing to call in {turn}.\n@say Part {turn} is done. It took a while."
            )),
            _ => Some(format!("And both of {turn}.\n{}\n{}", call(0), call(1))),
        };
        let system = (self.has_system_messages && turn % 7 == 5)
            .then(|| format!("Reminder {turn}: the budget is {turn} steps."));
        Step { text, system }
    }
}

/// The result of a call.
pub(super) fn result(turn: usize, index: usize) -> String {
    let lines = (0..16).map(|line| format!("{line:>4} let part_{turn}_{index} = {line};"));
    lines.collect::<Vec<_>>().join("\n")
}
