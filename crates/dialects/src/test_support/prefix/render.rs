//! Growing conversations as requests of each dialect.

use serde_json::{Value, json};

use super::{Growing, Marked, Part, Round};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PDF: &str = "JVBERi0xLjQKJcOkw7zDtsOfCg==";
const CSV: &str = "YSxiCjEsMgo=";

fn control(ttl: &str) -> Value {
    json!({"type": "ephemeral", "ttl": ttl})
}

/// A block with a cache point.
fn marked(mut block: Value, point: Option<&'static str>) -> Value {
    if let Some(ttl) = point {
        block["cache_control"] = control(ttl);
    }
    block
}

fn list(parts: &[Marked], block: impl Fn(&Part) -> Value) -> Vec<Value> {
    let parts = parts.iter();
    parts
        .map(|(part, point)| marked(block(part), *point))
        .collect()
}

impl Growing {
    fn settings(&self, mut body: Value) -> Value {
        body["model"] = json!("m");
        if let Some(ttl) = self.point {
            body["cache_control"] = control(ttl);
        }
        body
    }

    /// A request of Chat Completions.
    pub(crate) fn chat(&self, rounds: &[Round]) -> Value {
        fn part(part: &Part) -> Value {
            let file = |kind: &str, name: &str, data: &str| {
                json!({"type": "file", "file":
                {"filename": name, "file_data": format!("data:{kind};base64,{data}")}})
            };
            match part {
                Part::Text(text) => json!({"type": "text", "text": text}),
                Part::Image => json!({"type": "image_url", "image_url":
                    {"url": format!("data:image/png;base64,{PNG}")}}),
                Part::Pdf => file("application/pdf", "a.pdf", PDF),
                Part::Csv => file("text/csv", "a.csv", CSV),
            }
        }
        let message =
            |role: &str, parts: &[Marked]| json!({"role": role, "content": list(parts, part)});
        let mut messages: Vec<Value> = Vec::new();
        let system = |role: &str, text: &Option<Marked>| {
            text.as_ref()
                .map(|one| message(role, std::slice::from_ref(one)))
        };
        for one in &self.system {
            messages.push(message("system", std::slice::from_ref(one)));
        }
        messages.push(message("user", &self.first));
        for round in rounds {
            let mut answer = message("assistant", &round.answer);
            if let Some((text, _)) = &round.reasoning {
                answer["thinking_blocks"] =
                    json!([{"type": "thinking", "thinking": text, "signature": "c2ln"}]);
            }
            let calls: Vec<Value> = round
                .calls
                .iter()
                .map(|call| {
                    let function = json!({"name": call.name, "arguments": "{\"q\":1.0}"});
                    marked(
                        json!({"id": call.id, "type": "function", "function": function}),
                        call.point,
                    )
                })
                .collect();
            if !calls.is_empty() {
                answer["tool_calls"] = json!(calls);
            }
            messages.push(answer);
            messages.extend(system("developer", &round.early_system));
            for call in &round.calls {
                if let Some(result) = &call.result {
                    let mut message = message("tool", result);
                    message["tool_call_id"] = json!(call.id);
                    messages.push(message);
                }
            }
            if round.orphan {
                messages.push(json!({"role": "tool", "tool_call_id": "lost", "content": "late"}));
            }
            messages.extend(system("system", &round.system));
            messages.push(message("user", &round.user));
            messages.extend(system("system", &round.late_system));
        }
        let tools: Vec<Value> = ["f", "mcp.read"]
            .iter()
            .map(|name| {
                let function = json!({"name": name, "parameters": {"type": "object"}});
                marked(
                    json!({"type": "function", "function": function}),
                    self.tool_point,
                )
            })
            .collect();
        self.settings(json!({"messages": messages, "tools": tools}))
    }

    /// A request of Messages.
    pub(crate) fn messages(&self, rounds: &[Round]) -> Value {
        fn part(part: &Part) -> Value {
            let file = |kind: &str, media_type: &str, data: &str| {
                json!({"type": kind,
                "source": {"type": "base64", "media_type": media_type, "data": data}})
            };
            match part {
                Part::Text(text) => json!({"type": "text", "text": text}),
                Part::Image => file("image", "image/png", PNG),
                Part::Pdf => file("document", "application/pdf", PDF),
                Part::Csv => json!({"type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}}),
            }
        }
        let message = |role: &str, content: Vec<Value>| json!({"role": role, "content": content});
        let system = |text: &Option<Marked>| {
            text.as_ref()
                .map(|one| message("system", list(std::slice::from_ref(one), part)))
        };
        let mut messages = vec![message("user", list(&self.first, part))];
        for round in rounds {
            let mut answer = Vec::new();
            if let Some((text, point)) = &round.reasoning {
                answer.push(marked(
                    json!({"type": "thinking", "thinking": text, "signature": "c2ln"}),
                    *point,
                ));
            }
            answer.extend(list(&round.answer, part));
            answer.extend(round.calls.iter().map(|call| {
                marked(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {"q": 1.0}}), call.point)
            }));
            if !answer.is_empty() {
                messages.push(message("assistant", answer));
            }
            messages.extend(system(&round.early_system));
            let mut content: Vec<Value> = round
                .calls
                .iter()
                .filter_map(|call| {
                    let result = list(call.result.as_ref()?, part);
                    Some(json!({"type": "tool_result", "tool_use_id": call.id, "content": result}))
                })
                .collect();
            if round.orphan {
                content
                    .push(json!({"type": "tool_result", "tool_use_id": "lost", "content": "late"}));
            }
            content.extend(list(&round.user, part));
            if !content.is_empty() {
                messages.push(message("user", content));
            }
            messages.extend(system(&round.system));
            messages.extend(system(&round.late_system));
        }
        let tools: Vec<Value> = ["f", "mcp_read"]
            .iter()
            .map(|name| {
                marked(
                    json!({"name": name, "input_schema": {"type": "object"}}),
                    self.tool_point,
                )
            })
            .collect();
        let mut body = json!({"max_tokens": 9, "messages": messages, "tools": tools});
        if !self.system.is_empty() {
            body["system"] = json!(list(&self.system, part));
        }
        self.settings(body)
    }

    /// A request of Responses. `seal` makes the encrypted content of reasoning.
    pub(crate) fn responses(&self, rounds: &[Round], seal: impl Fn(&str) -> String) -> Value {
        fn part(part: &Part) -> Value {
            let file = |kind: &str, name: &str, data: &str| {
                json!({"type": "input_file",
                "filename": name, "file_data": format!("data:{kind};base64,{data}")})
            };
            match part {
                Part::Text(text) => json!({"type": "input_text", "text": text}),
                Part::Image => {
                    json!({"type": "input_image", "image_url": format!("data:image/png;base64,{PNG}")})
                }
                Part::Pdf => file("application/pdf", "a.pdf", PDF),
                Part::Csv => file("text/csv", "a.csv", CSV),
            }
        }
        let message = |role: &str, parts: &[Marked]| json!({"type": "message", "role": role, "content": list(parts, part)});
        let system = |text: &Option<Marked>| {
            text.as_ref()
                .map(|one| message("developer", std::slice::from_ref(one)))
        };
        let mut input: Vec<Value> = self
            .system
            .iter()
            .map(|one| message("system", std::slice::from_ref(one)))
            .collect();
        input.push(message("user", &self.first));
        for round in rounds {
            if let Some((text, _)) = &round.reasoning {
                input.push(
                    json!({"type": "reasoning", "summary": [], "encrypted_content": seal(text)}),
                );
            }
            if !round.answer.is_empty() {
                input.push(message("assistant", &round.answer));
            }
            for call in &round.calls {
                input.push(if call.is_custom {
                    json!({"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": "x"})
                } else {
                    json!({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": "{\"q\":1.0}"})
                });
            }
            input.extend(system(&round.early_system));
            for call in &round.calls {
                if let Some(result) = &call.result {
                    let kind = if call.is_custom {
                        "custom_tool_call_output"
                    } else {
                        "function_call_output"
                    };
                    input.push(
                        json!({"type": kind, "call_id": call.id, "output": list(result, part)}),
                    );
                }
            }
            if round.orphan {
                input.push(
                    json!({"type": "function_call_output", "call_id": "lost", "output": "late"}),
                );
            }
            input.extend(system(&round.system));
            if !round.user.is_empty() {
                input.push(message("user", &round.user));
            }
            input.extend(system(&round.late_system));
        }
        let mut tools =
            vec![json!({"type": "function", "name": "f", "parameters": {"type": "object"}})];
        if self.custom_tool {
            tools.push(json!({"type": "custom", "name": "ü"}));
        }
        self.settings(json!({"instructions": "Be brief.", "input": input, "tools": tools}))
    }
}
