//! A client of each API, which keeps the history of a session in the form of the API and replays what it received, from
//! streams or complete responses.

use awsdouble::{Config, Double, allow_bedrock};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

use super::{
    collect,
    session::{Kind, Marks, TURNS, result},
};
use crate::rig::Rig;

const KEY: &str = "bedrock-api-key-of-a-direct-client";

/// The API of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    Responses,
    Messages,
    Converse,
    InvokeModel,
}

/// A client of one API.
pub(super) struct Wire {
    api: Api,
    model: String,
    url: String,
    is_streamed: bool,
    /// Number of the session, which its first tool and its prompt contain: sessions share no prefix.
    session: usize,
    client: Client<HttpConnector, Full<Bytes>>,
    /// AWS without a gateway.
    double: Option<Double>,
    /// What the client has said and received.
    history: Vec<Value>,
}

impl Wire {
    fn new(api: Api, model: &str, url: String, double: Option<Double>) -> Self {
        Self {
            api,
            model: model.to_owned(),
            url,
            is_streamed: false,
            session: 0,
            client: Client::builder(TokioExecutor::new()).build_http(),
            double,
            history: Vec::new(),
        }
    }

    /// A client of a gateway.
    pub(super) fn of_client(api: Api, model: &str, rig: &Rig) -> Self {
        let path = match api {
            Api::Chat => "/v1/chat/completions".to_owned(),
            Api::Responses => "/v1/responses".to_owned(),
            Api::Messages => "/v1/messages".to_owned(),
            Api::Converse => format!("/model/{model}/converse"),
            Api::InvokeModel => format!("/model/{model}/invoke"),
        };
        Self::new(api, model, format!("http://{}{path}", rig.address), None)
    }

    /// The same client, which requests streams.
    pub(super) fn streamed(mut self) -> Self {
        self.is_streamed = true;
        match self.api {
            Api::Converse => self.url.push_str("-stream"),
            Api::InvokeModel => self.url.push_str("-with-response-stream"),
            Api::Chat | Api::Responses | Api::Messages => {}
        }
        self
    }

    /// A client of Bedrock.
    pub(super) async fn direct(api: Api, model: &str) -> Self {
        let config = Config::default().with_bearer_key("direct", KEY, allow_bedrock());
        let double = Double::start(config).await.unwrap();
        let host = if model.starts_with("openai.") {
            double.mantle_url()
        } else {
            double.url()
        };
        let path = match api {
            Api::Chat => "/openai/v1/chat/completions".to_owned(),
            Api::Responses => "/openai/v1/responses".to_owned(),
            Api::Converse => format!("/model/{model}/converse"),
            _ => format!("/model/{model}/invoke"),
        };
        Self::new(api, model, format!("{host}{path}"), Some(double))
    }

    /// The same client in another session.
    pub(super) fn in_session(mut self, session: usize) -> Self {
        self.session = session;
        self
    }

    /// The tokens that each request of a session reads from the cache.
    pub(super) async fn run(mut self, kind: &Kind) -> Vec<u64> {
        let mut read = Vec::with_capacity(TURNS);
        self.run_until(kind, TURNS, |tokens| read.push(tokens))
            .await;
        read
    }

    /// Sends the requests before a turn; `reads` gets the tokens that each reads from the cache. Returns the request of the turn.
    pub(super) async fn run_until(
        &mut self,
        kind: &Kind,
        last: usize,
        mut reads: impl FnMut(u64),
    ) -> Value {
        let mut calls: Vec<String> = Vec::new();
        for turn in 0.. {
            let step = kind.step(turn, !calls.is_empty());
            let results = calls.drain(..).enumerate();
            let results: Vec<_> = results
                .map(|(index, id)| (id, result(turn, index)))
                .collect();
            self.results(&results);
            if let Some(text) = &step.text {
                self.user(text);
            }
            if let Some(text) = &step.system {
                self.system(text);
            }
            let body = self.body(kind);
            if turn == last {
                return body;
            }
            let response = self.send(&body).await;
            reads(self.read_tokens(&response));
            calls = self.receive(&response);
        }
        Value::Null
    }

    async fn send(&self, body: &Value) -> Value {
        let mut body = body.clone();
        if self.is_streamed && !matches!(self.api, Api::Converse | Api::InvokeModel) {
            body["stream"] = json!(true);
            if self.api == Api::Chat {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        let (status, response) = self.exchange(&body).await;
        let text = String::from_utf8_lossy(&response);
        assert_eq!(status, 200, "{:?} {}: {text}", self.api, self.url);
        if self.is_streamed {
            collect::response(self.api, &response)
        } else {
            serde_json::from_str(&text).unwrap()
        }
    }

    /// Status and body of the response to a request.
    pub(super) async fn post(&self, body: &Value) -> (StatusCode, String) {
        let (status, body) = self.exchange(body).await;
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn exchange(&self, body: &Value) -> (StatusCode, Bytes) {
        let mut request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01");
        if self.double.is_some() {
            request = request.header("authorization", format!("Bearer {KEY}"));
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        let response = self.client.request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, body)
    }

    /// Adds blocks to the turn of the user.
    fn user_blocks(&mut self, blocks: Vec<Value>) {
        match self.history.last_mut() {
            Some(last) if last["role"] == "user" => {
                last["content"].as_array_mut().unwrap().extend(blocks);
            }
            _ => self
                .history
                .push(json!({"role": "user", "content": blocks})),
        }
    }

    fn results(&mut self, results: &[(String, String)]) {
        for (id, text) in results {
            match self.api {
                Api::Chat => self
                    .history
                    .push(json!({"role": "tool", "tool_call_id": id, "content": text})),
                Api::Responses => self
                    .history
                    .push(json!({"type": "function_call_output", "call_id": id, "output": text})),
                Api::Converse => self.user_blocks(vec![
                    json!({"toolResult": {"toolUseId": id, "content": [{"text": text}]}}),
                ]),
                Api::Messages | Api::InvokeModel => self.user_blocks(vec![
                    json!({"type": "tool_result", "tool_use_id": id, "content": text}),
                ]),
            }
        }
    }

    fn user(&mut self, text: &str) {
        match self.api {
            Api::Chat => self.history.push(json!({"role": "user", "content": text})),
            Api::Responses => self.history.push(json!({"type": "message", "role": "user",
                "content": [{"type": "input_text", "text": text}]})),
            Api::Converse => self.user_blocks(vec![json!({"text": text})]),
            Api::Messages | Api::InvokeModel => {
                self.user_blocks(vec![json!({"type": "text", "text": text})]);
            }
        }
    }

    /// Adds a system message in mid-conversation, or what replaces it where Bedrock has none.
    fn system(&mut self, text: &str) {
        let keeps_role = match self.api {
            Api::Chat | Api::Messages => true,
            Api::InvokeModel => self.model.contains("opus-4-8"),
            Api::Responses | Api::Converse => false,
        };
        if keeps_role {
            let message = json!({"role": "system", "content": text});
            self.history.push(message);
        } else if self.api == Api::Responses {
            self.history
                .push(json!({"type": "message", "role": "developer",
                "content": [{"type": "input_text", "text": text}]}));
        } else {
            self.user(text);
        }
    }

    /// Keeps the response; returns the ids of its calls.
    fn receive(&mut self, response: &Value) -> Vec<String> {
        let ids = |list: &Value, pointer: &str| -> Vec<String> {
            let list = list.as_array().into_iter().flatten();
            let ids = list.filter_map(|one| one.pointer(pointer)?.as_str());
            ids.map(str::to_owned).collect()
        };
        match self.api {
            Api::Chat => {
                let message = &response["choices"][0]["message"];
                let mut kept = json!({"role": "assistant", "content": message["content"]});
                for member in ["thinking_blocks", "tool_calls"] {
                    if !message[member].is_null() {
                        kept[member] = message[member].clone();
                    }
                }
                self.history.push(kept);
                ids(&message["tool_calls"], "/id")
            }
            Api::Responses => {
                let output = response["output"].as_array().unwrap();
                self.history.extend(output.iter().cloned());
                ids(&response["output"], "/call_id")
            }
            Api::Converse => {
                let message = &response["output"]["message"];
                self.history.push(message.clone());
                ids(&message["content"], "/toolUse/toolUseId")
            }
            Api::Messages | Api::InvokeModel => {
                let content = &response["content"];
                self.history
                    .push(json!({"role": "assistant", "content": content}));
                let calls = content.as_array().unwrap().iter();
                let calls = calls.filter(|block| block["type"] == "tool_use");
                ids(&calls.cloned().collect(), "/id")
            }
        }
    }

    fn read_tokens(&self, response: &Value) -> u64 {
        let usage = &response["usage"];
        let read = match self.api {
            Api::Chat => &usage["prompt_tokens_details"]["cached_tokens"],
            Api::Responses => &usage["input_tokens_details"]["cached_tokens"],
            Api::Converse => &usage["cacheReadInputTokens"],
            Api::Messages | Api::InvokeModel => &usage["cache_read_input_tokens"],
        };
        read.as_u64().unwrap_or_else(|| panic!("{response}"))
    }

    /// The request, with the cache points of the kind of session.
    fn body(&self, kind: &Kind) -> Value {
        let mut history = self.history.clone();
        let is_gpt = self.model.contains("gpt");
        let ends = match kind.marks {
            _ if is_gpt => 0,
            Marks::LastTurns => 2,
            Marks::ToolsSystemAndLast => 1,
            Marks::Automatic if matches!(self.api, Api::Converse | Api::InvokeModel) => 1,
            Marks::Automatic => 0,
        };
        for end in self.ends_of_turns().into_iter().rev().take(ends) {
            self.mark(&mut history[end]);
        }
        let (tools_ttl, system_ttl) = match kind.marks {
            _ if is_gpt => (None, [None, None]),
            Marks::LastTurns => (None, [Some("5m"), Some("5m")]),
            Marks::ToolsSystemAndLast => (Some("1h"), [None, Some("1h")]),
            Marks::Automatic if self.api == Api::Converse => (Some("5m"), [None, Some("5m")]),
            Marks::Automatic => (None, [None, None]),
        };
        let [first, second] = kind.system();
        let first = format!("{first}\nThis is session {:03}.", self.session);
        let tools = self.tools(kind, tools_ttl);
        let text = |kind: &str, text: &str, ttl: Option<&str>| {
            marked(json!({"type": kind, "text": text}), ttl)
        };
        let session = format!("0197-session-{}", self.session);
        let mut body = match self.api {
            Api::Chat => {
                let blocks = json!([
                    text("text", &first, system_ttl[0]),
                    text("text", &second, system_ttl[1])
                ]);
                history.insert(0, json!({"role": "system", "content": blocks}));
                json!({"model": self.model, "max_completion_tokens": 4000, "messages": history, "tools": tools})
            }
            Api::Responses => {
                let block = text("input_text", &second, system_ttl[1]);
                history.insert(
                    0,
                    json!({"type": "message", "role": "developer", "content": [block]}),
                );
                json!({"model": self.model, "instructions": first, "input": history, "tools": tools, "store": false,
                    "include": ["reasoning.encrypted_content"], "prompt_cache_key": session})
            }
            Api::Converse => {
                let mut system = Vec::new();
                for (text, ttl) in [(first, system_ttl[0]), (second, system_ttl[1])] {
                    system.push(json!({"text": text}));
                    system.extend(ttl.map(cache_point));
                }
                json!({"system": system, "messages": history, "toolConfig": {"tools": tools},
                    "inferenceConfig": {"maxTokens": 4000}})
            }
            Api::Messages | Api::InvokeModel => {
                let blocks = [
                    text("text", &first, system_ttl[0]),
                    text("text", &second, system_ttl[1]),
                ];
                let mut body = json!({"max_tokens": 4000, "system": blocks, "messages": history, "tools": tools});
                if self.api == Api::InvokeModel {
                    body["anthropic_version"] = json!("bedrock-2023-05-31");
                } else {
                    body["model"] = json!(self.model);
                    if kind.marks == Marks::Automatic {
                        body["cache_control"] = json!({"type": "ephemeral"});
                    }
                }
                body
            }
        };
        match self.api {
            Api::Chat if kind.names_session => body["prompt_cache_key"] = json!(session),
            Api::Messages if kind.names_session => {
                body["metadata"] = json!({"user_id": format!("user_1_account__{session}")});
            }
            _ => {}
        }
        body
    }

    fn tools(&self, kind: &Kind, ttl: Option<&'static str>) -> Vec<Value> {
        let tools = kind.tools().into_iter().map(|tool| {
            let (name, schema) = (tool.name, tool.schema);
            let description = format!("{}For session {:03}.", tool.description, self.session);
            match self.api {
                Api::Chat => json!({"type": "function", "function":
                    {"name": name, "description": description, "parameters": schema}}),
                Api::Responses => {
                    json!({"type": "function", "name": name, "description": description,
                    "parameters": schema, "strict": false})
                }
                Api::Converse => json!({"toolSpec":
                    {"name": name, "description": description, "inputSchema": {"json": schema}}}),
                Api::Messages | Api::InvokeModel => {
                    json!({"name": name, "description": description, "input_schema": schema})
                }
            }
        });
        let mut tools: Vec<Value> = tools.collect();
        if self.api == Api::Converse {
            tools.extend(ttl.map(cache_point));
        } else if let Some(last) = tools.pop() {
            tools.push(marked(last, ttl));
        }
        tools
    }

    /// The last elements of the turns of the user, in which other roles than the assistant's have a part.
    fn ends_of_turns(&self) -> Vec<usize> {
        let is_answer = |element: &Value| {
            element["role"] == "assistant"
                || element["type"] == "reasoning"
                || element["type"] == "function_call"
        };
        let indexes = 0..self.history.len();
        let ends = indexes.filter(|index| {
            let next = self.history.get(index + 1);
            !is_answer(&self.history[*index]) && next.is_none_or(is_answer)
        });
        ends.collect()
    }

    /// Puts a cache point at the end of an element.
    fn mark(&self, element: &mut Value) {
        let member = if element["output"].is_null() {
            "content"
        } else {
            "output"
        };
        if let Some(text) = element[member].as_str() {
            let kind = if self.api == Api::Responses {
                "input_text"
            } else {
                "text"
            };
            element[member] = json!([{"type": kind, "text": text}]);
        }
        let blocks = element[member].as_array_mut().unwrap();
        if self.api == Api::Converse {
            blocks.push(cache_point("5m"));
        } else if let Some(last) = blocks.pop() {
            blocks.push(marked(last, Some("5m")));
        }
    }
}

fn cache_point(ttl: &str) -> Value {
    json!({"cachePoint": {"type": "default", "ttl": ttl}})
}

fn marked(mut block: Value, ttl: Option<&str>) -> Value {
    if let Some(ttl) = ttl {
        block["cache_control"] = json!({"type": "ephemeral", "ttl": ttl});
    }
    block
}
