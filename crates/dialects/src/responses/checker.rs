//! A strict reader of a Responses stream; it checks everything that a client may rely on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The result of reading a stream.
#[derive(Debug)]
pub(super) struct Read {
    /// The type of the last event.
    pub(super) last: String,
    /// The response object of the last event.
    pub(super) response: Value,
    /// The `error` event, if any.
    pub(super) error: Option<Value>,
}

/// An item that was added.
#[derive(Debug)]
struct Item {
    id: String,
    kind: String,
    /// The open part and its text.
    part: Option<(Value, String)>,
    /// The parts that ended.
    parts: Vec<Value>,
    /// Arguments or input so far.
    input: String,
    input_done: bool,
    done: Option<Value>,
}

#[derive(Debug, Default)]
struct Reader {
    id: Option<Value>,
    items: Vec<Item>,
    ids: BTreeSet<String>,
    error: Option<Value>,
    end: Option<(String, Value)>,
}

/// Reads a whole stream.
///
/// # Panics
/// When the stream violates a rule.
#[track_caller]
pub(super) fn read(sse: &[u8]) -> Read {
    let text = std::str::from_utf8(sse).expect("UTF-8");
    assert!(text.ends_with("\n\n"), "the last event is complete");
    let mut reader = Reader::default();
    for (number, event) in text.split_terminator("\n\n").enumerate() {
        let (name, data) = event.split_once('\n').expect("two lines");
        let name = name.strip_prefix("event: ").expect("a name first");
        let data = data.strip_prefix("data: ").expect("data second");
        assert!(!data.contains('\n'), "one line of data: {data}");
        let event: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(event["type"], name);
        assert_eq!(event["sequence_number"], number, "numbers rise by one");
        reader.event(number, name, &event);
    }
    let (last, response) = reader.end.expect("an end");
    Read {
        last,
        response,
        error: reader.error,
    }
}

impl Reader {
    fn event(&mut self, number: usize, name: &str, event: &Value) {
        assert!(self.end.is_none(), "{name} after the end");
        if self.error.is_some() {
            assert_eq!(name, "response.failed", "nothing else follows an error");
        }
        match (number, name) {
            (0, "response.created") | (1, "response.in_progress") => {
                let response = &event["response"];
                assert_eq!(response["status"], "in_progress");
                assert_eq!(response["output"], json!([]));
                assert_eq!(response["usage"], Value::Null);
                self.same_response(response);
            }
            (0 | 1, _) => panic!("event {number} is {name}"),
            (_, "error") => {
                for member in ["code", "message", "param"] {
                    assert!(event.get(member).is_some(), "{member} of an error");
                    assert_eq!(event["error"][member], event[member]);
                }
                self.error = Some(event.clone());
            }
            (_, "response.completed" | "response.incomplete" | "response.failed") => {
                self.ends(name, &event["response"]);
            }
            (_, "response.output_item.added") => self.added(event),
            _ => self.about(name, event),
        }
    }

    fn same_response(&mut self, response: &Value) {
        let members = [
            "id",
            "object",
            "created_at",
            "model",
            "instructions",
            "tools",
        ];
        let head = json!(members.map(|member| response[member].clone()));
        match &self.id {
            Some(id) => assert_eq!(id, &head),
            None => self.id = Some(head),
        }
    }

    fn ends(&mut self, name: &str, response: &Value) {
        self.same_response(response);
        assert_eq!(
            name,
            format!("response.{}", response["status"].as_str().unwrap())
        );
        let failed = name == "response.failed";
        assert_eq!(failed, self.error.is_some(), "an error precedes a failure");
        assert_eq!(failed, !response["error"].is_null());
        assert_eq!(
            name == "response.incomplete",
            !response["incomplete_details"].is_null()
        );
        let output = response["output"].as_array().unwrap();
        assert_eq!(output.len(), self.items.len());
        for (item, last) in self.items.iter().zip(output) {
            if let Some(done) = &item.done {
                assert_eq!(done, last, "the end repeats the item");
            } else {
                assert!(failed, "{} never ended", item.id);
                assert_ne!(last["status"], "in_progress");
                assert_eq!(last["id"], item.id.as_str());
            }
        }
        self.end = Some((name.to_owned(), response.clone()));
    }

    fn added(&mut self, event: &Value) {
        assert_eq!(event["output_index"], self.items.len(), "indexes are dense");
        let item = &event["item"];
        let id = item["id"].as_str().unwrap().to_owned();
        assert!(id.len() <= 64 && self.ids.insert(id.clone()), "{id} twice");
        let kind = item["type"].as_str().unwrap().to_owned();
        let prefix = match kind.as_str() {
            "message" => {
                assert_eq!(item["content"], json!([]));
                assert_eq!(item["role"], "assistant");
                "msg_"
            }
            "reasoning" => {
                assert_eq!(item["summary"], json!([]));
                assert_eq!(item["encrypted_content"], Value::Null);
                "rs_"
            }
            "function_call" => {
                assert_eq!(item["arguments"], "");
                "fc_"
            }
            "custom_tool_call" => {
                assert_eq!(item["input"], "");
                "ctc_"
            }
            "tool_search_call" => {
                assert_eq!(item["arguments"], json!({}));
                assert_eq!(item["execution"], "client");
                "tsc_"
            }
            other => panic!("an item of type {other}"),
        };
        assert!(id.starts_with(prefix), "{id}");
        if kind != "reasoning" {
            assert_eq!(item["status"], "in_progress");
        }
        self.items.push(Item {
            id,
            kind,
            part: None,
            parts: Vec::new(),
            input: String::new(),
            input_done: false,
            done: None,
        });
    }

    fn about(&mut self, name: &str, event: &Value) {
        let index = usize::try_from(event["output_index"].as_u64().unwrap()).unwrap();
        let item = self.items.get_mut(index).expect("an item that began");
        assert!(item.done.is_none(), "{name} after its item ended");
        if name == "response.output_item.done" {
            return item.ends(&event["item"]);
        }
        assert_eq!(event["item_id"], item.id.as_str());
        let what = name.strip_prefix("response.").unwrap();
        match (item.kind.as_str(), what) {
            ("message" | "reasoning", "content_part.added") => {
                item.part_begins(event, "content_index");
            }
            ("reasoning", "reasoning_summary_part.added") => {
                item.part_begins(event, "summary_index");
            }
            ("message", "output_text.delta") => {
                item.part_grows(event, "content_index", "output_text");
            }
            ("reasoning", "reasoning_text.delta") => {
                item.part_grows(event, "content_index", "reasoning_text");
            }
            ("reasoning", "reasoning_summary_text.delta") => {
                item.part_grows(event, "summary_index", "summary_text");
            }
            ("message", "output_text.done")
            | ("reasoning", "reasoning_text.done" | "reasoning_summary_text.done") => {
                let (_, text) = item.part.as_ref().expect("a part that is open");
                assert_eq!(event["text"], text.as_str());
            }
            ("message" | "reasoning", "content_part.done")
            | ("reasoning", "reasoning_summary_part.done") => {
                let (part, text) = item.part.take().expect("a part that is open");
                assert_eq!(event["part"]["type"], part["type"]);
                assert_eq!(event["part"]["text"], text);
                item.parts.push(event["part"].clone());
            }
            ("function_call", "function_call_arguments.delta")
            | ("custom_tool_call", "custom_tool_call_input.delta") => {
                assert!(!item.input_done);
                item.input.push_str(event["delta"].as_str().unwrap());
            }
            ("function_call", "function_call_arguments.done") => {
                item.input_ends(event, "arguments");
            }
            ("custom_tool_call", "custom_tool_call_input.done") => {
                item.input_ends(event, "input");
            }
            (kind, what) => panic!("{what} about an item of type {kind}"),
        }
    }
}

impl Item {
    fn part_begins(&mut self, event: &Value, index: &str) {
        assert!(self.part.is_none(), "a part in a part");
        assert_eq!(event[index], self.parts.len());
        assert_eq!(event["part"]["text"], "");
        self.part = Some((event["part"].clone(), String::new()));
    }

    fn part_grows(&mut self, event: &Value, index: &str, kind: &str) {
        assert_eq!(event[index], self.parts.len());
        let (part, text) = self.part.as_mut().expect("a part that is open");
        assert_eq!(part["type"], kind);
        let delta = event["delta"].as_str().unwrap();
        assert!(!delta.is_empty(), "an empty delta");
        text.push_str(delta);
    }

    fn input_ends(&mut self, event: &Value, member: &str) {
        assert!(!self.input_done);
        assert_eq!(event[member], self.input.as_str());
        self.input_done = true;
    }

    fn ends(&mut self, item: &Value) {
        assert_eq!(item["id"], self.id.as_str());
        assert_eq!(item["type"], self.kind.as_str());
        assert!(self.part.is_none(), "a part is open");
        let parts = json!(self.parts);
        match self.kind.as_str() {
            "message" => assert_eq!(item["content"], parts),
            "reasoning" if item["content"].is_array() => assert_eq!(item["content"], parts),
            "reasoning" => assert_eq!(item["summary"], parts),
            "function_call" => assert_eq!(item["arguments"], self.input.as_str()),
            "tool_search_call" => assert!(item["arguments"].is_object()),
            _ => assert_eq!(item["input"], self.input.as_str()),
        }
        if self.kind.ends_with("_call") && self.kind != "tool_search_call" {
            assert!(self.input_done, "arguments never ended");
        }
        if self.kind != "reasoning" {
            assert!(matches!(
                item["status"].as_str(),
                Some("completed" | "incomplete")
            ));
        }
        self.done = Some(item.clone());
    }
}
