//! `bedrock-gateway chat`: a client of the OpenAI API for trials: one prompt, or a conversation on a terminal.
//!
//! With a prompt as argument or on standard input, it sends one request and prints the response. On a terminal
//! without a prompt, it reads one prompt after the other. A session keeps the conversation in a file.

mod conversation;
mod gateway;
mod interactive;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

use serde_json::{Value, json};

pub use self::conversation::SessionError;
use self::{
    conversation::{Conversation, Message, Role, Sessions},
    gateway::{Gateway, Reply},
};
use super::output::Output;
use crate::config::{ApiKey, Settings};

/// Send a prompt to a gateway and print the response, or chat on a terminal.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Base URL of the gateway; /v1 is added to a URL without a path.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000/v1")]
    pub base_url: String,
    /// Model name of the gateway, or Bedrock model ID [default: model of the session].
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// API key of the gateway.
    #[arg(long, value_name = "KEY", env = crate::config::API_KEY_VARIABLE, hide_env_values = true, conflicts_with = "token_file")]
    pub api_key: Option<String>,
    /// File with a bearer token to send instead of an API key, such as a projected ServiceAccount token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the response as it arrives [default on a terminal].
    #[arg(long, overrides_with = "no_stream")]
    pub stream: bool,
    /// Print the response when it is complete [default if the output is not a terminal].
    #[arg(long)]
    pub no_stream: bool,
    /// System prompt [default: system prompt of the session].
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Maximum output tokens.
    #[arg(long, value_name = "NUMBER")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[arg(long, value_name = "NUMBER", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// Continue or create a session: a conversation in a file.
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Seconds to keep retrying while the gateway is unreachable or not ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
    /// Output format; json and yaml print the complete response of the gateway.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
    /// Prompt; read from standard input if omitted. On a terminal without a prompt, a conversation starts.
    #[arg(value_name = "PROMPT")]
    pub prompt: Option<String>,
}

const AFTER_HELP: &str = "Commands in a conversation: /save, /load, /system, /model, /clear, /help, /exit.
Sessions are JSON lines in $XDG_STATE_HOME/bedrock-gateway/chat (default ~/.local/state), readable for their
owner only. They contain prompts and responses, and no keys.

Examples:
  bedrock-gateway chat --model us.amazon.nova-2-lite-v1:0
  bedrock-gateway chat --model us.amazon.nova-2-lite-v1:0 --session notes
  git diff | bedrock-gateway chat --model us.amazon.nova-2-lite-v1:0 --system \"Write a commit message.\"";

fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "expected a number, such as 0.7".to_owned())
}

/// Why the command printed no response, or only part of one.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// `--base-url` is not an absolute URL.
    #[error("invalid --base-url {0:?}: expected a URL such as http://127.0.0.1:8000/v1")]
    BaseUrl(String),
    /// No model is named.
    #[error("no model: use --model NAME{0}")]
    NoModel(String),
    /// A conversation has no machine-readable form.
    #[error("--output json and yaml need a prompt, as argument or on standard input")]
    Interactive,
    /// The prompt is empty.
    #[error("the prompt is empty")]
    NoPrompt,
    /// The session cannot be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The token file cannot be read.
    #[error("failed to read the token file {path}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The API key or token cannot be sent in a header.
    #[error("the API key or token is not a valid HTTP header value")]
    Key,
    /// No gateway accepts connections at the URL.
    #[error("unable to reach the gateway at {url}: {cause}")]
    Unreachable {
        /// The URL of the request.
        url: String,
        /// The chain of causes.
        cause: String,
    },
    /// The gateway returned an error.
    #[error("the gateway returned {status}: {message}")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The gateway's message and hint.
        message: String,
    },
    /// The response ended early or cannot be parsed.
    #[error("failed to read the response: {0}")]
    Response(String),
    /// TLS cannot be used on this machine.
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
    /// Standard input cannot be read.
    #[error("failed to read the prompt from standard input")]
    Input(#[source] std::io::Error),
    /// The terminal cannot be used.
    #[error("failed to read from the terminal")]
    Terminal(#[from] rustyline::error::ReadlineError),
    /// Standard output is closed.
    #[error("failed to write the response")]
    Output(#[from] std::io::Error),
}

impl ChatError {
    /// Whether a gateway that is starting can cause this error.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Rejected { status, .. } => matches!(status, 502..=504),
            _ => false,
        }
    }

    /// Whether the command line causes this error.
    pub(super) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::BaseUrl(_)
                | Self::NoModel(_)
                | Self::Interactive
                | Self::Session(SessionError::Name(_))
        )
    }
}

/// What a request contains besides the conversation.
#[derive(Clone, Copy, Debug)]
struct Parameters {
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    stream: bool,
}

/// Sends the prompt and writes the response and a line feed to `out`; without a prompt on a terminal, chats until the
/// end of the input.
///
/// # Errors
/// See [`ChatError`].
pub async fn run(args: &Args, settings: &Settings, out: &mut dyn Write) -> Result<(), ChatError> {
    let on_terminal = std::io::stdout().is_terminal();
    let interactive = args.prompt.is_none() && on_terminal && std::io::stdin().is_terminal();
    let gateway = Gateway::try_new(
        &args.base_url,
        args.api_key.as_ref().map(ApiKey::new),
        args.token_file.clone(),
        Duration::from_secs(args.wait),
    )?;
    let sessions = Sessions::from_environment(settings.environment.as_ref());
    let mut conversation = match &args.session {
        None => Conversation::default(),
        Some(name) => sessions
            .as_ref()
            .map_or_else(
                |_| Err(SessionError::NoDirectory),
                |sessions| sessions.read(name),
            )?
            .unwrap_or_default(),
    };
    let saved = conversation.clone();
    conversation.model = args.model.clone().or(conversation.model);
    conversation.system = args.system.clone().or(conversation.system);
    if conversation.model.is_none() {
        return Err(no_model(&gateway).await);
    }
    let parameters = Parameters {
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        stream: args.stream || (on_terminal && !args.no_stream),
    };
    if interactive {
        if args.output != Output::Text {
            return Err(ChatError::Interactive);
        }
        let chat = interactive::Chat {
            gateway: &gateway,
            sessions,
            session: args.session.clone(),
            conversation,
            parameters,
        };
        return chat.run(saved, out).await;
    }
    let prompt = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None => std::io::read_to_string(std::io::stdin()).map_err(ChatError::Input)?,
    };
    if prompt.trim().is_empty() {
        return Err(ChatError::NoPrompt);
    }
    conversation.messages.push(Message {
        role: Role::User,
        content: prompt,
    });
    let reply = if args.output == Output::Text {
        ask(&gateway, &conversation, parameters, out).await?
    } else {
        let body = body(&conversation, parameters, false);
        let response = gateway::document(gateway.complete(&body).await?).await?;
        args.output.write(&response, out)?;
        gateway::reply(&response)
    };
    if let (Some(name), Ok(sessions)) = (&args.session, sessions) {
        conversation.messages.push(Message {
            role: Role::Assistant,
            content: reply.text,
        });
        sessions.replace(name, &conversation)?;
    }
    Ok(())
}

/// The error for a missing model, with the models of the gateway if it lists them.
async fn no_model(gateway: &Gateway) -> ChatError {
    const SHOWN: usize = 8;
    let models = gateway.models().await.unwrap_or_default();
    let more = if models.len() > SHOWN { ", …" } else { "" };
    let names: Vec<&str> = models.iter().take(SHOWN).map(String::as_str).collect();
    ChatError::NoModel(if names.is_empty() {
        String::new()
    } else {
        format!("; the gateway serves {}{more}", names.join(", "))
    })
}

/// Sends the conversation and writes the reply and a line feed.
async fn ask(
    gateway: &Gateway,
    conversation: &Conversation,
    parameters: Parameters,
    out: &mut dyn Write,
) -> Result<Reply, ChatError> {
    let on_terminal = std::io::stdout().is_terminal();
    let mut show = |text: &str| {
        if on_terminal {
            out.write_all(printable(text).as_bytes())?;
        } else {
            out.write_all(text.as_bytes())?;
        }
        out.flush()
    };
    let body = body(conversation, parameters, parameters.stream);
    let response = gateway.complete(&body).await?;
    let reply = if parameters.stream {
        gateway::stream(response, &mut show).await?
    } else {
        let reply = gateway::reply(&gateway::document(response).await?);
        show(&reply.text)?;
        reply
    };
    show("\n")?;
    Ok(reply)
}

/// Text without control characters: a model must not control the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

fn body(conversation: &Conversation, parameters: Parameters, stream: bool) -> Value {
    let mut body = json!({
        "model": conversation.model,
        "messages": conversation.request_messages(),
    });
    if let Some(object) = body.as_object_mut() {
        if stream {
            object.insert("stream".to_owned(), Value::from(true));
        }
        if let Some(max_tokens) = parameters.max_tokens {
            object.insert("max_tokens".to_owned(), Value::from(max_tokens));
        }
        if let Some(temperature) = parameters.temperature {
            object.insert("temperature".to_owned(), Value::from(temperature));
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_cannot_control_the_terminal() {
        assert_eq!(printable("a\tb\nc\u{1b}[2Jd\u{7}\r"), "a\tb\nc[2Jd");
    }

    #[test]
    fn request_contains_the_parameters_that_are_set() {
        let conversation = Conversation {
            model: Some("fast".to_owned()),
            system: Some("Be brief.".to_owned()),
            messages: vec![Message {
                role: Role::User,
                content: "Hi".to_owned(),
            }],
        };
        let parameters = Parameters {
            max_tokens: Some(5),
            temperature: Some(0.5),
            stream: true,
        };
        let expected = json!({
            "model": "fast",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
            ],
            "stream": true, "max_tokens": 5, "temperature": 0.5,
        });
        assert_eq!(body(&conversation, parameters, true), expected);
    }
}
