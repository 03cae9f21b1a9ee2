//! The measured scenarios and their goals.

use std::time::Duration;

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) api: Api,
    pub(crate) size: Size,
    pub(crate) mode: Mode,
    /// Clients, each with a connection of its own and one request at a time.
    pub(crate) clients: usize,
    pub(crate) handling: Handling,
    /// The most CPU time for the gateway, in units of the proxy's. Requests per second move with the load of the machine;
    /// this figure hardly does.
    pub(crate) most_cpu: Option<f64>,
}

/// API of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI Chat Completions.
    Chat,
    /// Anthropic Messages.
    Messages,
    /// OpenAI Responses.
    Responses,
    /// Bedrock's own.
    Converse,
}

/// How the gateway serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// Translated to Converse.
    Translated,
    /// Forwarded to an API with the same protocol.
    Forwarded,
}

/// Size of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A question of 2 KB.
    Short,
    /// 41 turns, 100 KB.
    Conversation,
    /// An image of 1 MB.
    Image,
    /// A question of 2 KB with tools, one of which the response calls.
    Tools,
}

/// Mode of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not streamed.
    Whole,
    /// As a stream, as fast as it is read.
    Burst,
    /// As a stream with a pause before each event.
    Slow,
}

/// All scenarios, in the order they are measured and printed.
pub(crate) const ALL: [Scenario; 9] = [
    Scenario::new("2 KB, 1 client", Size::Short, Mode::Whole, 1),
    Scenario::new("2 KB, 32 clients", Size::Short, Mode::Whole, 32).at_most(2.1),
    Scenario::new("2 KB forwarded, 32 clients", Size::Short, Mode::Whole, 32)
        .forwarded()
        .at_most(1.9),
    Scenario::new("100 KB, 16 clients", Size::Conversation, Mode::Whole, 16).at_most(4.0),
    Scenario::new(
        "100 KB forwarded, 16 clients",
        Size::Conversation,
        Mode::Whole,
        16,
    )
    .forwarded()
    .at_most(3.2),
    Scenario::new("1 MB image, 4 clients", Size::Image, Mode::Whole, 4),
    Scenario::new("streams, 32 clients", Size::Short, Mode::Burst, 32).at_most(1.25),
    Scenario::new("1,000 slow streams", Size::Short, Mode::Slow, 1_000).at_most(1.15),
    Scenario::new("5,000 slow streams", Size::Short, Mode::Slow, 5_000),
];

/// The scenarios of `--options`: the small ones with 32 clients, and requests of agents.
pub(crate) fn options() -> Vec<Scenario> {
    const CLIENTS: usize = 32;
    let small = ALL.into_iter().filter(|one| one.clients == CLIENTS);
    let tools = |name, mode, api, handling| Scenario {
        api,
        handling,
        ..Scenario::new(name, Size::Tools, mode, CLIENTS)
    };
    let (whole, burst) = (Mode::Whole, Mode::Burst);
    let (translated, forwarded) = (Handling::Translated, Handling::Forwarded);
    small
        .chain([
            tools("tools", whole, Api::Chat, translated),
            tools("tools, streams", burst, Api::Chat, translated),
            tools("Messages", whole, Api::Messages, translated),
            tools("Messages, streams", burst, Api::Messages, translated),
            tools("Messages forwarded", whole, Api::Messages, forwarded),
            tools(
                "Messages forwarded, streams",
                burst,
                Api::Messages,
                forwarded,
            ),
            tools("Responses", whole, Api::Responses, translated),
            tools("Responses, streams", burst, Api::Responses, translated),
            tools("Converse", whole, Api::Converse, forwarded),
            tools("Converse, streams", burst, Api::Converse, forwarded),
        ])
        .collect()
}

impl Scenario {
    const fn new(name: &'static str, size: Size, mode: Mode, clients: usize) -> Self {
        Self {
            name,
            api: Api::Chat,
            size,
            mode,
            clients,
            handling: Handling::Translated,
            most_cpu: None,
        }
    }

    const fn forwarded(mut self) -> Self {
        self.handling = Handling::Forwarded;
        self
    }

    const fn at_most(mut self, cpu: f64) -> Self {
        self.most_cpu = Some(cpu);
        self
    }

    /// The name of the model in requests: one that the gateway serves so.
    pub(crate) const fn model(&self) -> &'static str {
        match (self.api, self.handling) {
            (Api::Messages, Handling::Translated) => NOVA,
            // Messages is Claude's own protocol.
            (Api::Messages | Api::Converse, _) => Handling::Translated.model(),
            (Api::Chat | Api::Responses, handling) => handling.model(),
        }
    }

    /// The path of requests.
    pub(crate) fn path(&self) -> String {
        match self.api {
            Api::Chat => "/v1/chat/completions".to_owned(),
            Api::Messages => "/v1/messages".to_owned(),
            Api::Responses => "/v1/responses".to_owned(),
            Api::Converse if self.mode == Mode::Whole => {
                format!("/model/{}/converse", self.model())
            }
            Api::Converse => format!("/model/{}/converse-stream", self.model()),
        }
    }

    /// The counted unit: events for slow streams, responses otherwise.
    pub(crate) const fn unit(&self) -> &'static str {
        match self.mode {
            Mode::Whole => "requests",
            Mode::Burst => "streams",
            Mode::Slow => "events",
        }
    }
}

/// The name of a model that has no API with the protocol of Messages.
pub(crate) const NOVA: &str = "nova";

impl Handling {
    /// The name of the model in Chat Completions.
    pub(crate) const fn model(self) -> &'static str {
        match self {
            Self::Translated => "bench",
            Self::Forwarded => "forwarded",
        }
    }

    pub(crate) const ALL: [Self; 2] = [Self::Translated, Self::Forwarded];
}

impl Size {
    /// Smallest length of a body of this size in bytes; a shorter body is incomplete.
    pub(crate) const fn at_least(self) -> usize {
        match self {
            Self::Short => 2_000,
            Self::Conversation => 98_000,
            Self::Image => 1_000_000,
            Self::Tools => 3_000,
        }
    }

    /// Its letter in the marker of a request.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Short => 's',
            Self::Conversation => 'c',
            Self::Image => 'p',
            Self::Tools => 't',
        }
    }

    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        [Self::Short, Self::Conversation, Self::Image, Self::Tools]
            .into_iter()
            .find(|size| size.letter() == letter)
    }
}

impl Mode {
    /// Pause before each event of a slow stream.
    pub(crate) const PACE: Duration = Duration::from_secs(1);

    /// Its letter in the marker of a request.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Whole => 'w',
            Self::Burst => 'b',
            Self::Slow => 's',
        }
    }

    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        [Self::Whole, Self::Burst, Self::Slow]
            .into_iter()
            .find(|mode| mode.letter() == letter)
    }
}
