//! The measured scenarios.

use std::time::Duration;

/// Pause between the events of a paced stream: a quick model.
pub(crate) const PACE: Duration = Duration::from_millis(20);

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) size: Size,
    pub(crate) mode: Mode,
    /// Clients, each with a connection of its own and one request at a time.
    pub(crate) clients: usize,
}

/// Size of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A short question, below 1 KB.
    Short,
    /// 41 turns, 100 KB.
    Conversation,
    /// An image of 1 MB.
    Image,
}

/// Mode of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not streamed.
    Whole,
    /// As a stream, as fast as it is read.
    Burst,
    /// As a stream with a pause before each event.
    Paced,
}

/// All scenarios, in the order they are measured and printed.
pub(crate) const ALL: [Scenario; 8] = [
    Scenario::new("plain, 1 client", Size::Short, Mode::Whole, 1),
    Scenario::new("plain, 16 clients", Size::Short, Mode::Whole, 16),
    Scenario::new("plain, 64 clients", Size::Short, Mode::Whole, 64),
    Scenario::new(
        "100 KB of text, 4 clients",
        Size::Conversation,
        Mode::Whole,
        4,
    ),
    Scenario::new("1 MB image, 4 clients", Size::Image, Mode::Whole, 4),
    Scenario::new("streams, 1 client", Size::Short, Mode::Burst, 1),
    Scenario::new("streams, 32 clients", Size::Short, Mode::Burst, 32),
    Scenario::new("paced streams, 64 clients", Size::Short, Mode::Paced, 64),
];

impl Scenario {
    const fn new(name: &'static str, size: Size, mode: Mode, clients: usize) -> Self {
        Self {
            name,
            size,
            mode,
            clients,
        }
    }

    /// The counted unit: events for paced streams, responses otherwise.
    pub(crate) const fn unit(&self) -> &'static str {
        match self.mode {
            Mode::Whole => "requests",
            Mode::Burst => "streams",
            Mode::Paced => "events",
        }
    }
}

impl Size {
    /// Smallest length of a body of this size in bytes; a shorter body is incomplete.
    pub(crate) const fn at_least(self) -> usize {
        match self {
            Self::Short => 400,
            Self::Conversation => 98_000,
            Self::Image => 1_000_000,
        }
    }

    /// Its letter in the marker of a request.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Short => 's',
            Self::Conversation => 'c',
            Self::Image => 'p',
        }
    }

    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        [Self::Short, Self::Conversation, Self::Image]
            .into_iter()
            .find(|size| size.letter() == letter)
    }
}

impl Mode {
    /// Its letter in the marker of a request.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Whole => 'w',
            Self::Burst => 'b',
            Self::Paced => 'p',
        }
    }

    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        [Self::Whole, Self::Burst, Self::Paced]
            .into_iter()
            .find(|mode| mode.letter() == letter)
    }
}
