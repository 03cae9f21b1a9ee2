//! `chat` on a terminal, with a gateway in front of the simulated AWS.

use std::os::unix::fs::PermissionsExt;

use awsdouble::Double;
use gateway::Server;
use serde_json::Value;

use super::screen::Screen;
use crate::support::{PROFILE, account, everything, settings, with_keys};

const KEY: &str = "sk-test-of-the-terminal";

/// A gateway that requires an API key, its URL, and a home directory.
struct Rig {
    double: Double,
    url: String,
    home: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let double = Double::start(account(everything(), "2100-01-01T00:00:00Z"))
            .await
            .unwrap();
        let mut settings = settings(with_keys(&double, &[("BEDROCK_GATEWAY_API_KEY", KEY)]));
        settings.listen = "127.0.0.1:0".parse().unwrap();
        settings.admin_listen = None;
        let server = Server::bind(settings).await.unwrap();
        // Without /v1, which `chat` adds.
        let url = format!("http://{}", server.local_addr());
        tokio::spawn(server.run(std::future::pending()));
        Self {
            double,
            url,
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn chat(&self, arguments: &[&str]) -> Screen {
        let fixed = ["chat", "--base-url", &self.url];
        let variables = [
            ("HOME", self.home.path().to_str().unwrap()),
            ("BEDROCK_GATEWAY_API_KEY", KEY),
            ("NO_COLOR", "1"),
        ];
        Screen::start(&[&fixed, arguments].concat(), &variables)
    }

    /// The lines of a session.
    fn session(&self, name: &str) -> Vec<Value> {
        let directory = self.home.path().join(".local/state/bedrock-gateway/chat");
        let path = directory.join(format!("{name}.jsonl"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(KEY), "a key in {text}");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The messages of the last request to Bedrock.
    fn last_request(&self) -> Value {
        let calls = self.double.calls_of("ConverseStream");
        calls.last().unwrap().json().unwrap()
    }
}

/// Runs a conversation of blocking reads beside the gateway.
async fn beside<T: Send + 'static>(conversation: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(conversation).await.unwrap()
}

/// One turn with a model that repeats `text`, until the next prompt.
fn turn(screen: &mut Screen, text: &str) {
    screen.keys(&format!("@say {text}\r"));
    // At the start of a line and with its end: the line that the terminal echoes has the text too.
    screen.expect(&format!("\n{text}\r\n"));
    screen.expect("> ");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_streams_and_keeps_a_session() {
    let rig = Rig::start().await;
    beside(move || {
        let mut screen = rig.chat(&[
            "--model",
            PROFILE,
            "--session",
            "trip",
            "--system",
            "Be brief.",
        ]);
        screen.expect("Session trip, 0 messages. /help lists commands");
        turn(&mut screen, "The first reply.");
        turn(&mut screen, "The second reply.");
        let request = rig.last_request();
        assert_eq!(request["messages"].as_array().unwrap().len(), 3);
        assert_eq!(request["system"][0]["text"], "Be brief.");
        // Ctrl-D on an empty line.
        screen.keys("\u{4}");
        assert_eq!(screen.end(), 0, "{}", screen.text());
        let lines = rig.session("trip");
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert_eq!(lines[0]["model"], PROFILE);
        assert_eq!(lines[2]["content"], "The first reply.");

        // The session has the model and the system prompt.
        let mut screen = rig.chat(&["--session", "trip"]);
        screen.expect("Session trip, 4 messages.");
        turn(&mut screen, "The third reply.");
        let request = rig.last_request();
        assert_eq!(request["messages"].as_array().unwrap().len(), 5);
        assert_eq!(request["system"][0]["text"], "Be brief.");
        screen.keys("/clear\r");
        screen.expect("The conversation is empty.");
        screen.expect("> ");
        screen.keys("/exit\r");
        assert_eq!(screen.end(), 0);
        assert_eq!(rig.session("trip").len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_change_save_and_load_the_conversation() {
    let rig = Rig::start().await;
    beside(move || {
        let mut screen = rig.chat(&["--model", PROFILE]);
        for (line, expected) in [
            ("/help", "/save NAME"),
            (
                "/unknown",
                "error: unknown command; /help lists the commands",
            ),
            ("/load", "no session is saved"),
            ("/load trip", "error: no session trip: no session is saved"),
            ("/save ../trip", "error: \"../trip\" is not a session name"),
            ("@say Kept.", "Kept."),
            ("/save trip", "Saved as session trip."),
            ("/system Be brief.", ""),
            ("/system", "Be brief."),
            ("/model other", ""),
            ("/model", "other"),
            ("//not a command", "error: the gateway returned"),
            ("/model us.amazon.nova-2-lite-v1:0", ""),
            (
                "/load trip",
                "Session trip: model us.amazon.nova-2-lite-v1:0, 2 messages.",
            ),
        ] {
            screen.expect("> ");
            screen.keys(&format!("{line}\r"));
            // The line that the terminal echoes.
            screen.expect(line);
            screen.expect(expected);
        }
        screen.keys("/quit\r");
        assert_eq!(screen.end(), 0, "{}", screen.text());
        let lines = rig.session("trip");
        assert_eq!(lines.len(), 3, "a failed turn is not kept: {lines:#?}");
        assert_eq!(lines[0]["system"], "Be brief.");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupt_cancels_a_response_and_keeps_the_conversation() {
    let rig = Rig::start().await;
    beside(move || {
        let mut screen = rig.chat(&["--model", PROFILE]);
        screen.expect("> ");
        screen.keys("\u{3}");
        screen.expect("Use /exit or Ctrl-D to exit.");
        screen.expect("> ");
        screen.keys("@slow 1s\\\r");
        screen.expect(". ");
        screen.keys("@say one two three four five six seven eight nine ten\r");
        screen.expect("one ");
        screen.expect("one");
        screen.keys("\u{3}");
        screen.expect("Cancelled; this turn is not kept.");
        screen.expect("> ");
        turn(&mut screen, "Next.");
        let request = rig.last_request();
        assert_eq!(request["messages"].as_array().unwrap().len(), 1);
        screen.keys("\u{4}");
        assert_eq!(screen.end(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_without_a_model_names_the_flag() {
    let rig = Rig::start().await;
    beside(move || {
        let mut screen = rig.chat(&[]);
        screen.expect("error: no model: use --model NAME; the gateway serves ");
        assert_eq!(screen.end(), 2);
        let mut screen = rig.chat(&["--model", PROFILE, "@say One prompt."]);
        screen.expect("One prompt.\r\n");
        assert_eq!(screen.end(), 0);
        assert_eq!(screen.text(), "One prompt.\r\n");
    })
    .await;
}
