//! A conversation on a terminal: reads prompts and commands, line by line.
//!
//! Ctrl-C cancels a response or clears the line; Ctrl-D and `/exit` end the command. A failed or cancelled turn is
//! not kept, so that the next prompt does not repeat it.

use std::io::Write;

use rustyline::{DefaultEditor, error::ReadlineError};

use super::{
    ChatError, Parameters, SessionError, ask,
    conversation::{Conversation, Message, Role, Sessions},
    gateway::{Gateway, Reply},
};
use crate::{
    cli::output::{DIM, ERROR},
    http::error::causes,
};

const PROMPT: &str = "> ";
const CONTINUATION: &str = ". ";
/// Reason for the end of a response that reached the maximum output tokens.
const TRUNCATED: &str = "length";

const HELP: &str = "\
/system [TEXT]  Show or set the system prompt; \"\" removes it.
/model [NAME]   Show or set the model.
/clear          Remove all messages of the conversation.
/save NAME      Save the conversation as a session, and continue it.
/load [NAME]    Load a session and continue it; without a name, list the sessions.
/help           Show this help.
/exit           Exit, as Ctrl-D does. Ctrl-C cancels a response or clears the line.
A line that ends with \\ continues on the next line. To send a text that starts with /, write //.";

/// A conversation, and where it is saved.
pub(super) struct Chat<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) sessions: Result<Sessions, SessionError>,
    /// Name of the session, if the conversation is saved.
    pub(super) session: Option<String>,
    pub(super) conversation: Conversation,
    pub(super) parameters: Parameters,
}

/// A command of a line that starts with `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command<'a> {
    System(Option<&'a str>),
    Model(Option<&'a str>),
    Clear,
    Save(&'a str),
    Load(Option<&'a str>),
    Help,
    Exit,
    /// Not a command, or not in this form.
    Invalid(&'static str),
}

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Self {
        let (name, argument) = line
            .split_once(char::is_whitespace)
            .map_or((line, ""), |(name, rest)| (name, rest.trim()));
        let given = (!argument.is_empty()).then_some(argument);
        match (name, given) {
            ("/system", given) => Self::System(given),
            ("/model", given) => Self::Model(given),
            ("/load", given) => Self::Load(given),
            ("/save", Some(name)) => Self::Save(name),
            ("/save", None) => Self::Invalid("use /save NAME"),
            ("/clear", None) => Self::Clear,
            ("/help", None) => Self::Help,
            ("/exit" | "/quit", None) => Self::Exit,
            ("/clear" | "/help" | "/exit" | "/quit", Some(_)) => {
                Self::Invalid("this command has no argument")
            }
            _ => Self::Invalid("unknown command; /help lists the commands"),
        }
    }
}

impl Chat<'_> {
    /// Reads lines until the end of the input. `saved` is the session as its file has it.
    ///
    /// # Errors
    /// The terminal cannot be used. Errors of the gateway and of sessions are shown, and the conversation continues.
    pub(super) async fn run(
        mut self,
        saved: Conversation,
        out: &mut dyn Write,
    ) -> Result<(), ChatError> {
        let config = rustyline::Config::builder().auto_add_history(true).build();
        let mut editor = DefaultEditor::with_config(config)?;
        self.greet(&saved, out)?;
        if self.conversation != saved {
            self.keep_all(out)?;
        }
        loop {
            out.flush()?;
            // Blocks this thread, not the executor.
            let line = tokio::task::block_in_place(|| read(&mut editor));
            let line = match line {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => {
                    writeln!(out, "{DIM}Use /exit or Ctrl-D to exit.{DIM:#}")?;
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            match line.strip_prefix("//") {
                Some(rest) => self.turn(&format!("/{rest}"), out).await?,
                None if line.starts_with('/') => {
                    if self.command(Command::parse(line), out)? {
                        return Ok(());
                    }
                }
                None => self.turn(line, out).await?,
            }
        }
    }

    fn model(&self) -> &str {
        self.conversation.model.as_deref().unwrap_or_default()
    }

    fn greet(&self, saved: &Conversation, out: &mut dyn Write) -> std::io::Result<()> {
        let (model, url) = (self.model(), self.gateway.base_url());
        write!(out, "{DIM}Model {model} at {url}.")?;
        if let Some(name) = &self.session {
            let count = saved.messages.len();
            write!(out, " Session {name}, {count} messages.")?;
        }
        writeln!(out, " /help lists commands, Ctrl-D exits.{DIM:#}")
    }

    /// Sends a prompt and shows the response.
    async fn turn(&mut self, prompt: &str, out: &mut dyn Write) -> Result<(), ChatError> {
        self.conversation.messages.push(Message {
            role: Role::User,
            content: prompt.to_owned(),
        });
        let response = tokio::select! {
            response = ask(self.gateway, &self.conversation, self.parameters, out) => Some(response),
            _ = tokio::signal::ctrl_c() => None,
        };
        let reply = match response {
            Some(Ok(reply)) => reply,
            Some(Err(ChatError::Output(error))) => return Err(error.into()),
            failed => {
                self.conversation.messages.pop();
                if let Some(Err(error)) = failed {
                    // The response can have ended in the middle of a line.
                    let line_end = if matches!(error, ChatError::Response(_)) {
                        "\n"
                    } else {
                        ""
                    };
                    let error = causes(&error);
                    writeln!(out, "{line_end}{ERROR}error:{ERROR:#} {error}")?;
                } else {
                    writeln!(out, "\n{DIM}Cancelled; this turn is not kept.{DIM:#}")?;
                }
                return Ok(());
            }
        };
        self.finish(reply, out)
    }

    fn finish(&mut self, reply: Reply, out: &mut dyn Write) -> Result<(), ChatError> {
        if reply.finish_reason.as_deref() == Some(TRUNCATED) {
            writeln!(
                out,
                "{DIM}The response reached the maximum output tokens (--max-tokens).{DIM:#}"
            )?;
        }
        self.conversation.messages.push(Message {
            role: Role::Assistant,
            content: reply.text,
        });
        let start = self.conversation.messages.len().saturating_sub(2);
        let turn = self.conversation.messages.get(start..).unwrap_or_default();
        if let (Some(name), Ok(sessions)) = (&self.session, &self.sessions) {
            report(sessions.append(name, turn), out)?;
        }
        Ok(())
    }

    /// Runs a command. Returns whether to exit.
    fn command(&mut self, command: Command<'_>, out: &mut dyn Write) -> Result<bool, ChatError> {
        match command {
            Command::Exit => return Ok(true),
            Command::Help => writeln!(out, "{HELP}")?,
            Command::Invalid(problem) => writeln!(out, "{ERROR}error:{ERROR:#} {problem}")?,
            Command::System(None) => match &self.conversation.system {
                Some(text) => writeln!(out, "{text}")?,
                None => writeln!(out, "{DIM}No system prompt.{DIM:#}")?,
            },
            Command::Model(None) => writeln!(out, "{}", self.model())?,
            Command::System(Some(text)) => {
                self.conversation.system = (text != "\"\"").then(|| text.to_owned());
                self.keep_all(out)?;
            }
            Command::Model(Some(name)) => {
                self.conversation.model = Some(name.to_owned());
                self.keep_all(out)?;
            }
            Command::Clear => {
                self.conversation.messages.clear();
                self.keep_all(out)?;
                writeln!(out, "{DIM}The conversation is empty.{DIM:#}")?;
            }
            Command::Save(name) => {
                let saved = self.save(name);
                if report(saved, out)? {
                    writeln!(out, "{DIM}Saved as session {name}.{DIM:#}")?;
                }
            }
            Command::Load(None) => match &self.sessions {
                Ok(sessions) => writeln!(out, "{DIM}{}{DIM:#}", sessions.known())?,
                Err(error) => writeln!(out, "{ERROR}error:{ERROR:#} {error}")?,
            },
            Command::Load(Some(name)) => {
                let loaded = self.load(name);
                if report(loaded, out)? {
                    let (count, model) = (self.conversation.messages.len(), self.model());
                    writeln!(
                        out,
                        "{DIM}Session {name}: model {model}, {count} messages.{DIM:#}"
                    )?;
                }
            }
        }
        Ok(false)
    }

    fn sessions(&self) -> Result<&Sessions, SessionError> {
        let sessions = self.sessions.as_ref();
        sessions.map_err(|_| SessionError::NoDirectory)
    }

    fn save(&mut self, name: &str) -> Result<(), SessionError> {
        if self.session.as_deref() == Some(name) {
            return self.sessions()?.replace(name, &self.conversation);
        }
        self.sessions()?.create(name, &self.conversation)?;
        self.session = Some(name.to_owned());
        Ok(())
    }

    fn load(&mut self, name: &str) -> Result<(), SessionError> {
        let mut loaded = self.sessions()?.load(name)?;
        // A session that names no model continues with this one.
        loaded.model = loaded.model.or(self.conversation.model.take());
        self.conversation = loaded;
        self.session = Some(name.to_owned());
        Ok(())
    }

    /// Writes the complete session, if the conversation is saved.
    fn keep_all(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if let (Some(name), Ok(sessions)) = (&self.session, &self.sessions) {
            report(sessions.replace(name, &self.conversation), out)?;
        }
        Ok(())
    }
}

/// Shows an error of a session. Returns whether the result is a success.
fn report(result: Result<(), SessionError>, out: &mut dyn Write) -> std::io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) => {
            writeln!(out, "{ERROR}error:{ERROR:#} {error}")?;
            Ok(false)
        }
    }
}

/// Reads a line, and the lines that continue it.
fn read(editor: &mut DefaultEditor) -> Result<String, ReadlineError> {
    let mut text = editor.readline(PROMPT)?;
    while text.ends_with('\\') {
        text.pop();
        text.push('\n');
        text.push_str(&editor.readline(CONTINUATION)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_commands_and_names_the_right_form() {
        assert_eq!(Command::parse("/system"), Command::System(None));
        assert_eq!(
            Command::parse("/system  Be brief. "),
            Command::System(Some("Be brief."))
        );
        assert_eq!(Command::parse("/save a"), Command::Save("a"));
        assert_eq!(Command::parse("/exit"), Command::Exit);
        for line in ["/save", "/clear all", "/unknown", "/"] {
            let parsed = Command::parse(line);
            assert!(matches!(parsed, Command::Invalid(_)), "{line}: {parsed:?}");
        }
    }
}
