//! The situations that are measured.

use std::time::Duration;

/// Pause between the events of a paced stream: a quick model.
pub(crate) const PACE: Duration = Duration::from_millis(20);

/// A situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) size: Size,
    pub(crate) mode: Mode,
    /// Clients, each with a connection of its own and one request at a time.
    pub(crate) clients: usize,
}

/// How much a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A short question, below 1 KB.
    Short,
    /// 41 turns, 100 KB.
    Conversation,
    /// A picture of 1 MB.
    Picture,
}

/// How the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In one piece.
    Whole,
    /// As a stream, as fast as it is read.
    Burst,
    /// As a stream with a pause before each event.
    Paced,
}

/// All situations, in the order they are measured and printed.
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
    Scenario::new("1 MB picture, 4 clients", Size::Picture, Mode::Whole, 4),
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

    /// What is counted: events where their rate is given, else answers.
    pub(crate) const fn unit(&self) -> &'static str {
        match self.mode {
            Mode::Whole => "requests",
            Mode::Burst => "streams",
            Mode::Paced => "events",
        }
    }
}

impl Size {
    /// Bytes that a body of this size has at least; a shorter one lost something.
    pub(crate) const fn at_least(self) -> usize {
        match self {
            Self::Short => 400,
            Self::Conversation => 98_000,
            Self::Picture => 1_000_000,
        }
    }

    /// What stands for it in a request's marker.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Short => 's',
            Self::Conversation => 'c',
            Self::Picture => 'p',
        }
    }

    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        [Self::Short, Self::Conversation, Self::Picture]
            .into_iter()
            .find(|size| size.letter() == letter)
    }
}

impl Mode {
    /// What stands for it in a request's marker.
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
