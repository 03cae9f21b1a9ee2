//! `serve --simulate` as a person starts it: the built program, on free ports.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::PROFILE;

/// A running gateway; dropping it stops it.
struct Running {
    child: Child,
    address: String,
    greeting: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
    command
        .args(["serve", "--simulate"])
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    command
}

/// Starts it, and reads standard error until the end of the greeting.
fn start(environment: &[(&str, &str)]) -> Running {
    let address = free_address();
    let arguments = ["--listen", &address, "--admin-listen", "127.0.0.1:0"];
    let mut child = command(&arguments, environment)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut greeting = String::new();
    for line in &mut lines {
        let line = line.unwrap();
        greeting.push_str(&line);
        greeting.push('\n');
        if line.contains("Ctrl-C") {
            break;
        }
    }
    // Standard error must stay open, and be read.
    std::thread::spawn(move || lines.for_each(drop));
    Running {
        child,
        address,
        greeting,
    }
}

impl Running {
    /// Status, headers and body.
    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    fn chat(&self, body: &Value) -> (u16, Value) {
        let (status, head, body) =
            self.request("POST", "/v1/chat/completions", "", &body.to_string());
        assert!(head.contains("x-bedrock-gateway-simulated: true"), "{head}");
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn ask(model: &str, prompt: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": prompt}]})
}

#[test]
fn a_person_gets_responses_streams_tool_calls_and_errors() {
    let gateway = start(&[]);
    assert!(
        gateway.greeting.starts_with("bedrock-gateway "),
        "{}",
        gateway.greeting
    );
    assert!(
        gateway.greeting.contains("SIMULATED AWS"),
        "{}",
        gateway.greeting
    );
    assert!(gateway.greeting.contains(PROFILE), "{}", gateway.greeting);

    let (status, response) = gateway.chat(&ask(PROFILE, "What is 6 * 7?"));
    assert_eq!(status, 200, "{response}");
    assert_eq!(response["choices"][0]["message"]["content"], "6 * 7 = 42");

    let mut streamed = ask(PROFILE, "Say one two three");
    streamed["stream"] = true.into();
    let (_, head, body) =
        gateway.request("POST", "/v1/chat/completions", "", &streamed.to_string());
    assert!(head.contains("text/event-stream"), "{head}");
    for piece in [
        "\"content\":\"one \"",
        "\"content\":\"two \"",
        "\"content\":\"three\"",
        "[DONE]",
    ] {
        assert!(body.contains(piece), "{piece}: {body}");
    }

    let mut with_tool = ask(PROFILE, "What's the weather in Paris?");
    with_tool["tools"] = json!([{"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]);
    let (_, response) = gateway.chat(&with_tool);
    let call = &response["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "get_weather", "{response}");
    assert_eq!(call["arguments"], "{\"city\":\"Paris\"}");

    for (model, prompt, status, code) in [
        (PROFILE, "Simulate throttling", 429, "ThrottlingException"),
        (
            PROFILE,
            "Simulate a context overflow",
            400,
            "context_length_exceeded",
        ),
        (
            PROFILE,
            "Simulate an outage",
            503,
            "ServiceUnavailableException",
        ),
        (
            "us.meta.llama4-scout-17b-instruct-v1:0",
            "Hello",
            403,
            "AccessDeniedException",
        ),
        ("us.deepseek.r1-v1:0", "Hello", 403, "AccessDeniedException"),
    ] {
        let (got, response) = gateway.chat(&ask(model, prompt));
        assert_eq!(
            (got, &response["error"]["code"]),
            (status, &code.into()),
            "{prompt}: {response}"
        );
    }
}

#[test]
fn it_is_refused_where_a_real_gateway_runs() {
    for (arguments, environment, name) in [
        (
            &[][..],
            &[("KUBERNETES_SERVICE_HOST", "10.96.0.1")][..],
            "KUBERNETES_SERVICE_HOST",
        ),
        (&["--config", "/etc/gateway.yaml"], &[], "/etc/gateway.yaml"),
        (
            &[],
            &[("BEDROCK_GATEWAY_CONFIG", "/etc/gateway.yaml")],
            "BEDROCK_GATEWAY_CONFIG",
        ),
        (
            &[],
            &[("AWS_ROLE_ARN", "arn:aws:iam::1:role/R")],
            "AWS_ROLE_ARN",
        ),
        (
            &[],
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")],
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        ),
        (
            &[],
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x")],
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        (&["--listen", "0.0.0.0:0"], &[], "--api-key-file"),
    ] {
        let output = command(arguments, environment).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{arguments:?} {environment:?}: {errors}"
        );
        let error = errors
            .lines()
            .find(|line| line.starts_with("error: "))
            .unwrap();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn keys_and_endpoints_of_the_user_are_not_used() {
    let gateway = start(&[
        ("AWS_ACCESS_KEY_ID", "AKIAREALREALREALREAL"),
        ("AWS_SECRET_ACCESS_KEY", "real"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_REGION", "eu-west-1"),
        ("BEDROCK_GATEWAY_API_KEY", "sk-mine"),
    ]);
    assert!(
        !gateway.greeting.contains("sk-mine"),
        "{}",
        gateway.greeting
    );
    let (status, _, page) = gateway.request("GET", "/", "authorization: Bearer sk-mine\r\n", "");
    assert_eq!(status, 200);
    assert!(page.contains("Region: us-east-1"), "{page}");
    let body = ask(PROFILE, "Say yes").to_string();
    let path = "/v1/chat/completions";
    assert_eq!(gateway.request("POST", path, "", &body).0, 401);
    let (status, _, text) = gateway.request("POST", path, "x-api-key: sk-mine\r\n", &body);
    assert_eq!(status, 200, "{text}");
}

#[test]
fn greeting_is_the_one_that_readme_and_guide_show() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let gateway = start(&[]);
    let greeting = gateway.greeting.replace(&gateway.address, "127.0.0.1:8000");
    for page in ["README.md", "docs/guide/try-it.md"] {
        let text = std::fs::read_to_string(format!("{root}{page}")).unwrap();
        let session = text.split("serve --simulate\n").nth(1).unwrap();
        let shown = session.split("```").next().unwrap();
        let parts: Vec<&str> = shown
            .split(['…', '\n'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        assert!(parts.len() >= 2, "{page}: {shown}");
        for part in parts {
            assert!(greeting.contains(part), "{page}: {part}\n{greeting}");
        }
    }
}

#[test]
fn errors_of_the_guide_are_those_of_the_gateway() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let page = std::fs::read_to_string(format!("{root}docs/guide/try-it.md")).unwrap();
    let gateway = start(&[]);
    let mut count = 0;
    for row in page
        .lines()
        .filter(|line| line.starts_with("| prompt") || line.starts_with("| model"))
    {
        let cells: Vec<&str> = row.split('`').collect();
        let status = row.split('|').nth(2).unwrap().trim();
        let Ok(status) = status.parse::<u16>() else {
            continue;
        };
        let (model, prompt) = if row.starts_with("| model") {
            (cells[1], "Hello")
        } else {
            (PROFILE, cells[1])
        };
        let (got, response) = gateway.chat(&ask(model, prompt));
        assert_eq!(
            (got, &response["error"]["code"]),
            (status, &cells[3].into()),
            "{row}: {response}"
        );
        count += 1;
    }
    assert_eq!(count, 8);
}
