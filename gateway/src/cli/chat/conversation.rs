//! A conversation of `chat`, and its file.
//!
//! The file has one JSON object on each line: `{"role","content"}` for a message, `{"model"}` and `{"system"}` for a
//! change of settings. It is in the state directory of the XDG specification and readable for its owner only. Keys
//! are never written.

use std::{
    fs::{DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use credentials::Environment;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Directory of the files below the state directory.
const DIRECTORY: &str = "bedrock-gateway/chat";
const EXTENSION: &str = "jsonl";
const MAX_NAME_CHARACTERS: usize = 64;

/// A message of the user or the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: String,
}

/// Author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
}

/// Messages and settings of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    pub(super) model: Option<String>,
    pub(super) system: Option<String>,
    pub(super) messages: Vec<Message>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Message(Message),
    Settings {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        system: Option<String>,
    },
}

/// A session cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The name cannot be a file name.
    #[error(
        "{0:?} is not a session name: use letters, digits, `-`, `_` and `.`, at most {MAX_NAME_CHARACTERS}, and start with a letter or digit"
    )]
    Name(String),
    /// No directory for sessions.
    #[error("no directory for sessions: set HOME or XDG_STATE_HOME")]
    NoDirectory,
    /// No session has this name.
    #[error("no session {name}: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The sessions that exist.
        known: String,
    },
    /// Another session has this name.
    #[error("the session {0} exists: use `/load {0}`, or save under another name")]
    Exists(String),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A line of the file is invalid.
    #[error("{path}, line {line}: not a line of a session; correct or remove it")]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
}

/// The directory of all sessions.
#[derive(Clone, Debug)]
pub(super) struct Sessions(PathBuf);

impl Conversation {
    /// The messages of a request, the system prompt first.
    pub(super) fn request_messages(&self) -> Vec<Value> {
        let system = self.system.iter();
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let messages = self.messages.iter().map(|message| json!(message));
        system.chain(messages).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let settings = Line::Settings {
            model: self.model.clone(),
            system: self.system.clone(),
        };
        let messages = self.messages.iter().cloned().map(Line::Message);
        std::iter::once(settings).chain(messages).collect()
    }

    fn apply(&mut self, line: Line) {
        match line {
            Line::Message(message) => self.messages.push(message),
            Line::Settings { model, system } => {
                self.model = model.or(self.model.take());
                self.system = system.or(self.system.take());
            }
        }
    }
}

impl Sessions {
    /// `$XDG_STATE_HOME/bedrock-gateway/chat`, by default in `~/.local/state`.
    ///
    /// # Errors
    /// Neither variable is set.
    pub(super) fn from_environment(environment: &dyn Environment) -> Result<Self, SessionError> {
        let variable = |name| environment.get(name).map(PathBuf::from);
        let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
        let home = || variable("HOME").map(|home| home.join(".local/state"));
        let state = state.or_else(home).ok_or(SessionError::NoDirectory)?;
        Ok(Self(state.join(DIRECTORY)))
    }

    fn path(&self, name: &str) -> Result<PathBuf, SessionError> {
        let valid = name.chars().count() <= MAX_NAME_CHARACTERS
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !valid {
            return Err(SessionError::Name(name.to_owned()));
        }
        Ok(self.0.join(format!("{name}.{EXTENSION}")))
    }

    /// Names of all sessions, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let path = entry.path();
                let is_session = path.extension().is_some_and(|found| found == EXTENSION);
                let name = path.file_stem()?.to_str()?.to_owned();
                is_session.then_some(name)
            })
            .collect();
        names.sort();
        names
    }

    /// Reads a session; `None` if it does not exist.
    ///
    /// # Errors
    /// The name, the file or one of its lines is invalid.
    pub(super) fn read(&self, name: &str) -> Result<Option<Conversation>, SessionError> {
        let path = self.path(name)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SessionError::File { path, source }),
        };
        let mut conversation = Conversation::default();
        for (index, line) in text.lines().enumerate() {
            let Ok(line) = serde_json::from_str(line) else {
                let line = index.saturating_add(1);
                return Err(SessionError::Line { path, line });
            };
            conversation.apply(line);
        }
        Ok(Some(conversation))
    }

    /// Reads a session that must exist.
    ///
    /// # Errors
    /// As [`Self::read`], or no session has this name.
    pub(super) fn load(&self, name: &str) -> Result<Conversation, SessionError> {
        self.read(name)?.ok_or_else(|| SessionError::Unknown {
            name: name.to_owned(),
            known: self.known(),
        })
    }

    /// The names of all sessions as a sentence.
    pub(super) fn known(&self) -> String {
        match self.names() {
            names if names.is_empty() => "no session is saved".to_owned(),
            names => format!("saved sessions: {}", names.join(", ")),
        }
    }

    /// Creates a session with this conversation.
    ///
    /// # Errors
    /// Another session has this name, or the file cannot be written.
    pub(super) fn create(
        &self,
        name: &str,
        conversation: &Conversation,
    ) -> Result<(), SessionError> {
        if self.read(name)?.is_some() {
            return Err(SessionError::Exists(name.to_owned()));
        }
        self.replace(name, conversation)
    }

    /// Writes the complete session.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn replace(
        &self,
        name: &str,
        conversation: &Conversation,
    ) -> Result<(), SessionError> {
        self.write(name, &conversation.lines(), true)
    }

    /// Adds messages to a session.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn append(&self, name: &str, messages: &[Message]) -> Result<(), SessionError> {
        let lines: Vec<Line> = messages.iter().cloned().map(Line::Message).collect();
        self.write(name, &lines, false)
    }

    fn write(&self, name: &str, lines: &[Line], truncate: bool) -> Result<(), SessionError> {
        let path = self.path(name)?;
        let mut text = Vec::new();
        let written = lines
            .iter()
            .try_for_each(|line| {
                serde_json::to_writer(&mut text, line)?;
                writeln!(text)
            })
            .and_then(|()| {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&self.0)?;
                let mut options = OpenOptions::new();
                options.create(true).mode(0o600);
                if truncate {
                    options.write(true).truncate(true);
                } else {
                    options.append(true);
                }
                let mut file = options.open(&path)?;
                // A file that a person created can have other permissions.
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.write_all(&text)
            });
        written.map_err(|source| SessionError::File { path, source })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sessions(directory: &tempfile::TempDir) -> Sessions {
        let state = directory.path().to_str().unwrap().to_owned();
        Sessions::from_environment(&BTreeMap::from([("XDG_STATE_HOME".to_owned(), state)])).unwrap()
    }

    fn message(role: Role, content: &str) -> Message {
        Message {
            role,
            content: content.to_owned(),
        }
    }

    #[test]
    fn session_survives_in_a_file_of_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = sessions(&directory);
        assert_eq!(sessions.read("work").unwrap(), None);
        let mut conversation = Conversation {
            model: Some("fast".to_owned()),
            system: Some("Be brief.\nAlways.".to_owned()),
            messages: vec![message(Role::User, "a \"b\"\n")],
        };
        sessions.create("work", &conversation).unwrap();
        let more = [message(Role::Assistant, "ü"), message(Role::User, "c")];
        sessions.append("work", &more).unwrap();
        conversation.messages.extend(more);
        assert_eq!(sessions.load("work").unwrap(), conversation);
        let path = directory.path().join(DIRECTORY).join("work.jsonl");
        let permissions =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(permissions(&path), 0o600);
        assert_eq!(permissions(path.parent().unwrap()), 0o700);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
        assert!(matches!(
            sessions.create("work", &conversation),
            Err(SessionError::Exists(_))
        ));
        conversation.messages.clear();
        sessions.replace("work", &conversation).unwrap();
        assert_eq!(sessions.load("work").unwrap(), conversation);
        assert_eq!(sessions.names(), ["work"]);
    }

    #[test]
    fn errors_name_the_session_the_file_and_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = sessions(&directory);
        for name in ["", "../x", ".hidden", "a/b", &"x".repeat(65)] {
            let error = sessions.read(name).unwrap_err();
            assert!(matches!(error, SessionError::Name(_)), "{name}: {error}");
        }
        sessions.create("work", &Conversation::default()).unwrap();
        let error = sessions.load("home").unwrap_err().to_string();
        assert_eq!(error, "no session home: saved sessions: work");
        let path = directory.path().join(DIRECTORY).join("work.jsonl");
        std::fs::write(&path, "{\"model\":\"fast\"}\nnonsense\n").unwrap();
        let error = sessions.load("work").unwrap_err().to_string();
        assert!(error.contains("work.jsonl, line 2"), "{error}");
    }
}
