//! Decoding takes time in proportion to the size of a request, for every shape of request that a client can make large.

use std::{fmt::Write as _, fs};

use dialects::{
    anthropic, families::FamilyTable, openai, rerank::decode_rerank, responses,
    translation::DecodeOptions,
};

const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const KIMI: &str = "moonshot.kimi-k2-thinking";
const MISTRAL: &str = "mistral.pixtral-large-2502-v1:0";
const GPT_OSS: &str = "openai.gpt-oss-120b";

/// Number of elements of the smaller request; the larger one has four times as many.
const FEW: usize = 3_000;
/// Most by which the larger request may take longer: 4 is proportional, 16 is quadratic.
const MOST: f64 = 8.0;
/// Times below it, in microseconds, are not measured precisely; quadratic work on the larger request takes longer.
const LEAST: f64 = 10_000.0;

/// Time of this thread on a CPU, in nanoseconds, whatever else the machine does.
fn cpu_time() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The least time of several runs.
fn time(run: impl Fn()) -> f64 {
    let one = || {
        let start = cpu_time();
        run();
        cpu_time() - start
    };
    let least = (0..2).map(|_| one()).min().unwrap();
    f64::from(u32::try_from(least / 1_000).unwrap())
}

/// `n` elements, separated by commas.
fn list(n: usize, element: impl Fn(usize) -> String) -> String {
    let mut list = String::new();
    for index in 0..n {
        let comma = if index == 0 { "" } else { "," };
        write!(list, "{comma}{}", element(index)).unwrap();
    }
    list
}

#[derive(Clone, Copy, Debug)]
enum Via {
    Chat,
    Messages,
    Passthrough,
    Count,
    Responses,
    Adapt,
    Rerank,
    Embeddings,
}

/// Decodes a body for a model; the result does not matter.
fn decode(via: Via, model: &str, body: &str) {
    let capabilities = FamilyTable::builtin().resolve(model, None);
    let options = DecodeOptions::new(&capabilities);
    let body = body.as_bytes();
    match via {
        Via::Chat => drop(openai::decode(body, &options)),
        Via::Messages => drop(anthropic::decode(body, &[], &options)),
        Via::Passthrough => {
            let endpoint = anthropic::Endpoint::InvokeModel;
            drop(anthropic::passthrough(body, &[], endpoint, &options));
        }
        Via::Count => drop(anthropic::count_passthrough(body, &[], &options)),
        Via::Responses => drop(responses::decode(body, &options)),
        Via::Adapt => drop(responses::adapt(body, model, &capabilities, false)),
        Via::Rerank => drop(decode_rerank(body, &capabilities, false)),
        Via::Embeddings => drop(openai::decode_embeddings(body, &capabilities, false)),
    }
}

fn chat(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{members}}}"#)
}

fn chat_messages(messages: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}},{messages}]}}"#)
}

fn messages(members: &str) -> String {
    format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}],{members}}}"#
    )
}

fn turns(turns: &str) -> String {
    format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"hi"}},{turns}]}}"#
    )
}

fn items(items: &str) -> String {
    format!(r#"{{"model":"m","store":false,"input":[{items}]}}"#)
}

/// Shapes of requests of `n` elements.
#[expect(clippy::too_many_lines, reason = "a table")]
fn shape(name: &str, n: usize) -> (Via, &'static str, String) {
    let function = |name: &str| {
        format!(
            r#"{{"type":"function","function":{{"name":"{name}","parameters":{{"type":"object"}}}}}}"#
        )
    };
    let tool = |name: &str| format!(r#"{{"name":"{name}","input_schema":{{"type":"object"}}}}"#);
    let flat = |name: &str| {
        format!(r#"{{"type":"function","name":"{name}","parameters":{{"type":"object"}}}}"#)
    };
    let call = |id: &str, name: &str| {
        format!(
            r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{{}}"}}}}"#
        )
    };
    let calls =
        |list: String| format!(r#"{{"role":"assistant","content":null,"tool_calls":[{list}]}}"#);
    let result = |id: &str| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"ok"}}"#);
    let used =
        |id: &str| format!(r#"{{"type":"tool_use","id":"{id}","name":"f","input":{{"a b":1}}}}"#);
    let answered =
        |id: &str| format!(r#"{{"type":"tool_result","tool_use_id":"{id}","content":"ok"}}"#);
    let properties = |odd: &str| list(n, |i| format!(r#""p{odd}{i}":{{"type":"string"}}"#));
    let with_properties = |odd: &str| {
        format!(
            r#"{{"type":"object","properties":{{{}}}}}"#,
            properties(odd)
        )
    };
    match name {
        "chat: tools" => (
            Via::Chat,
            NOVA,
            chat(&format!(
                r#""tools":[{}]"#,
                list(n, |i| function(&format!("t{i}")))
            )),
        ),
        "chat: tools with odd names" => (
            Via::Chat,
            NOVA,
            chat(&format!(
                r#""tools":[{}]"#,
                list(n, |i| function(&format!("t.{i}")))
            )),
        ),
        "chat: allowed tools" => {
            let allowed = list(n, |i| {
                format!(r#"{{"type":"function","function":{{"name":"t{i}"}}}}"#)
            });
            let tools = list(n, |i| function(&format!("t{i}")));
            (
                Via::Chat,
                NOVA,
                chat(&format!(
                    r#""tools":[{tools}],"tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"auto","tools":[{allowed}]}}}}"#
                )),
            )
        }
        "chat: calls with odd names in one turn" => (
            Via::Chat,
            NOVA,
            chat_messages(&calls(list(n, |i| {
                call(&format!("c{i}"), &format!("f.{i}"))
            }))),
        ),
        "chat: calls and results in one turn" => {
            let asked = calls(list(n, |i| call(&format!("c{i}"), "f")));
            (
                Via::Chat,
                NOVA,
                chat_messages(&format!(
                    "{asked},{}",
                    list(n, |i| result(&format!("c{i}")))
                )),
            )
        }
        "chat: calls of one id" => {
            let asked = calls(list(n, |_| call("c", "f")));
            (
                Via::Chat,
                NOVA,
                chat_messages(&format!("{asked},{}", list(n, |_| result("c")))),
            )
        }
        "chat: one id in many turns" => (
            Via::Chat,
            NOVA,
            chat_messages(&list(n, |_| {
                format!("{},{}", calls(call("c", "f")), result("c"))
            })),
        ),
        "chat: short ids that repeat" => (
            Via::Chat,
            MISTRAL,
            chat_messages(&calls(list(n, |i| {
                call(&format!("abcde{:04}", i / 2), "f")
            }))),
        ),
        "chat: ids that end like the gateway's" => (
            Via::Chat,
            NOVA,
            chat_messages(&calls(list(n, |i| {
                if i % 2 == 0 {
                    call(&format!("cx{i}"), "f")
                } else {
                    call("c", "f")
                }
            }))),
        ),
        "chat: results without calls" => (
            Via::Chat,
            NOVA,
            chat_messages(&list(n, |i| result(&format!("c{i}")))),
        ),
        "chat: messages of one role" => (
            Via::Chat,
            CLAUDE,
            chat_messages(&list(n, |_| r#"{"role":"user","content":"a"}"#.to_owned())),
        ),
        "chat: turns with reasoning alone" => (
            Via::Chat,
            CLAUDE,
            chat_messages(&list(n, |_| {
                r#"{"role":"assistant","content":"","thinking_blocks":[{"type":"redacted_thinking","data":"cmVk"}]},{"role":"user","content":"a"}"#.to_owned()
            })),
        ),
        "chat: text parts" => (
            Via::Chat,
            CLAUDE,
            chat_messages(&format!(
                r#"{{"role":"user","content":[{}]}}"#,
                list(n, |_| r#"{"type":"text","text":"a"}"#.to_owned())
            )),
        ),
        "chat: parts with cache points" => (
            Via::Chat,
            CLAUDE,
            chat_messages(&format!(
                r#"{{"role":"user","content":[{}]}}"#,
                list(n, |_| {
                    r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}"#.to_owned()
                })
            )),
        ),
        "chat: documents with cache points" => (
            Via::Chat,
            CLAUDE,
            chat_messages(&format!(
                r#"{{"role":"user","content":[{}]}}"#,
                list(n, |_| {
                    r#"{"type":"file","file":{"filename":"t.csv","file_data":"data:text/csv;base64,YQ=="},"cache_control":{"type":"ephemeral"}}"#.to_owned()
                })
            )),
        ),
        "chat: metadata keys" => (
            Via::Chat,
            NOVA,
            chat(&format!(
                r#""metadata":{{{}}}"#,
                list(n, |i| format!(r#""k{i}":"v""#))
            )),
        ),
        "chat: unknown fields" => (Via::Chat, NOVA, chat(&list(n, |i| format!(r#""k{i}":1"#)))),
        "chat: stop sequences" => (
            Via::Chat,
            NOVA,
            chat(&format!(
                r#""stop":[{}]"#,
                list(n, |i| format!(r#""s{i}""#))
            )),
        ),
        "chat: properties" => (
            Via::Chat,
            CLAUDE,
            chat(&format!(
                r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]"#,
                with_properties("")
            )),
        ),
        "chat: properties with odd names" => (
            Via::Chat,
            CLAUDE,
            chat(&format!(
                r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]"#,
                with_properties("[")
            )),
        ),
        "chat: members of a schema's root" => (
            Via::Chat,
            CLAUDE,
            chat(&format!(
                r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object",{}}}}}}}]"#,
                list(n, |i| format!(r#""x{i}":1"#))
            )),
        ),
        "chat: unions at a schema's root" => {
            let union = list(n, |i| {
                format!(r#"{{"properties":{{"p{i}":{{}}}},"required":["p{i}"]}}"#)
            });
            (
                Via::Chat,
                CLAUDE,
                chat(&format!(
                    r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","allOf":[{union}]}}}}}}]"#
                )),
            )
        }
        "chat: references at a schema's root" => {
            let union = list(n, |_| r##"{"$ref":"#/$defs/a"}"##.to_owned());
            (
                Via::Chat,
                CLAUDE,
                chat(&format!(
                    r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","$defs":{{"a":{}}},"anyOf":[{union}]}}}}}}]"#,
                    with_properties("")
                )),
            )
        }
        "chat: a strict schema" => (
            Via::Chat,
            CLAUDE,
            chat(&format!(
                r#""tools":[{{"type":"function","function":{{"name":"f","strict":true,"parameters":{}}}}}]"#,
                with_properties("")
            )),
        ),
        "chat: a schema of the response" => (
            Via::Chat,
            NOVA,
            chat(&format!(
                r#""response_format":{{"type":"json_schema","json_schema":{{"name":"r","schema":{}}}}}"#,
                with_properties("")
            )),
        ),
        "chat: arguments with odd names" => {
            let tools = format!(
                r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]"#,
                with_properties("[")
            );
            let arguments = list(n, |i| format!(r#"\"p[{i}\":1"#));
            let asked = calls(format!(
                r#"{{"id":"c","type":"function","function":{{"name":"f","arguments":"{{{arguments}}}"}}}}"#
            ));
            (
                Via::Chat,
                CLAUDE,
                format!(
                    r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}},{asked}],{tools}}}"#
                ),
            )
        }
        "messages: tools" => (
            Via::Messages,
            NOVA,
            messages(&format!(
                r#""tools":[{}]"#,
                list(n, |i| tool(&format!("t{i}")))
            )),
        ),
        "messages: calls and results" => {
            let asked = list(n, |i| used(&format!("c{i}")));
            let results = list(n, |i| answered(&format!("c{i}")));
            (
                Via::Messages,
                NOVA,
                turns(&format!(
                    r#"{{"role":"assistant","content":[{asked}]}},{{"role":"user","content":[{results}]}}"#
                )),
            )
        }
        "messages: results of one call" => {
            let results = list(n, |_| answered("c"));
            (
                Via::Messages,
                NOVA,
                turns(&format!(
                    r#"{{"role":"assistant","content":[{}]}},{{"role":"user","content":[{results}]}}"#,
                    used("c")
                )),
            )
        }
        "messages: system texts" => (
            Via::Messages,
            CLAUDE,
            messages(&format!(
                r#""system":[{}]"#,
                list(n, |_| {
                    r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}"#.to_owned()
                })
            )),
        ),
        "passthrough: tools with odd properties" => {
            let tools = list(n, |i| {
                format!(
                    r#"{{"name":"t{i}","strict":true,"input_schema":{{"type":"object","properties":{{"a b":{{}}}},"anyOf":[{{}}]}},"x{i}":1}}"#
                )
            });
            (
                Via::Passthrough,
                CLAUDE,
                messages(&format!(r#""tools":[{tools}]"#)),
            )
        }
        "passthrough: members of a tool" => (
            Via::Passthrough,
            CLAUDE,
            messages(&format!(
                r#""tools":[{{"name":"f","input_schema":{{"type":"object"}},{}}}]"#,
                list(n, |i| format!(r#""x{i}":1"#))
            )),
        ),
        "passthrough: properties with odd names" => (
            Via::Passthrough,
            CLAUDE,
            messages(&format!(
                r#""tools":[{{"name":"f","input_schema":{}}}]"#,
                with_properties("[")
            )),
        ),
        "passthrough: repeated fields" => (
            Via::Passthrough,
            CLAUDE,
            messages(&list(n, |i| {
                if i < n / 2 {
                    r#""speed":"fast""#.to_owned()
                } else {
                    r#""anthropic_beta":["a"]"#.to_owned()
                }
            })),
        ),
        "passthrough: blocks with cache points" => (
            Via::Passthrough,
            CLAUDE,
            turns(&format!(
                r#"{{"role":"user","content":[{}]}}"#,
                list(n, |_| {
                    r#"{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}"#.to_owned()
                })
            )),
        ),
        "passthrough: thinking with cache points" => (
            Via::Passthrough,
            CLAUDE,
            turns(&format!(
                r#"{{"role":"assistant","content":[{},{{"type":"text","text":"a"}}]}},{{"role":"user","content":"b"}}"#,
                // More, since the work in proportion is large here.
                list(4 * n, |_| {
                    r#"{"type":"thinking","thinking":"a","signature":"cw==","cache_control":{"type":"ephemeral"}}"#.to_owned()
                })
            )),
        ),
        "passthrough: blank blocks" => (
            Via::Passthrough,
            CLAUDE,
            turns(&format!(
                r#"{{"role":"user","content":[{{"type":"text","text":"a"}},{}]}}"#,
                list(n, |_| r#"{"type":"text","text":" "}"#.to_owned())
            )),
        ),
        "passthrough: calls with odd ids" => {
            let asked = list(n, |i| used(&format!("c.{i}")));
            let results = list(n, |i| answered(&format!("c.{i}")));
            (
                Via::Passthrough,
                CLAUDE,
                turns(&format!(
                    r#"{{"role":"assistant","content":[{asked}]}},{{"role":"user","content":[{results}]}}"#
                )),
            )
        }
        "passthrough: flags" => (
            Via::Passthrough,
            CLAUDE,
            messages(&format!(
                r#""anthropic_beta":[{}]"#,
                list(n, |i| format!(r#""flag-{i}""#))
            )),
        ),
        "count: messages" => (
            Via::Count,
            CLAUDE,
            turns(&list(n, |_| r#"{"role":"user","content":"a"}"#.to_owned())),
        ),
        "responses: tools" => (
            Via::Responses,
            NOVA,
            format!(
                r#"{{"model":"m","input":"hi","tools":[{}]}}"#,
                list(n, |i| flat(&format!("t{i}")))
            ),
        ),
        "responses: tools in namespaces" => (
            Via::Responses,
            NOVA,
            format!(
                r#"{{"model":"m","input":"hi","tools":[{}]}}"#,
                list(n, |i| format!(
                    r#"{{"type":"namespace","name":"n{i}","tools":[{}]}}"#,
                    flat("f")
                ))
            ),
        ),
        "responses: allowed namespaces" => {
            let inside = list(n, |i| flat(&format!("f{i}")));
            let allowed = list(n, |_| r#"{"type":"namespace","name":"n"}"#.to_owned());
            (
                Via::Responses,
                NOVA,
                format!(
                    r#"{{"model":"m","input":"hi","tools":[{{"type":"namespace","name":"n","tools":[{inside}]}}],"tool_choice":{{"type":"allowed_tools","mode":"auto","tools":[{allowed}]}}}}"#
                ),
            )
        }
        "responses: tools in items" => (
            Via::Responses,
            NOVA,
            items(&format!(
                r#"{},{{"role":"user","content":"hi"}}"#,
                list(n, |i| format!(
                    r#"{{"type":"additional_tools","tools":[{}]}}"#,
                    flat(&format!("f{}", i / 2))
                ))
            )),
        ),
        "responses: calls and outputs" => {
            let asked = list(n, |i| {
                format!(
                    r#"{{"type":"function_call","call_id":"c{i}","name":"f","arguments":"{{}}"}}"#
                )
            });
            let outputs = list(n, |i| {
                format!(r#"{{"type":"function_call_output","call_id":"c{i}","output":"ok"}}"#)
            });
            (
                Via::Responses,
                NOVA,
                items(&format!(
                    r#"{{"role":"user","content":"hi"}},{asked},{outputs}"#
                )),
            )
        }
        "responses: custom tools" => (
            Via::Responses,
            NOVA,
            format!(
                r#"{{"model":"m","input":"hi","tools":[{}]}}"#,
                list(n, |i| format!(r#"{{"type":"custom","name":"t{i}"}}"#))
            ),
        ),
        "adapt: tools of items" => (
            Via::Adapt,
            GPT_OSS,
            items(&list(n, |i| {
                format!(
                    r#"{{"type":"additional_tools","tools":[{}]}}"#,
                    flat(&format!("f{}", i / 2))
                )
            })),
        ),
        "adapt: tools in namespaces" => (
            Via::Adapt,
            GPT_OSS,
            format!(
                r#"{{"model":"m","input":"hi","tools":[{}]}}"#,
                list(n, |i| format!(
                    r#"{{"type":"namespace","name":"n{i}","tools":[{}]}}"#,
                    flat("f")
                ))
            ),
        ),
        "adapt: calls of custom tools" => (
            Via::Adapt,
            GPT_OSS,
            items(&list(n, |i| {
                format!(
                    r#"{{"type":"custom_tool_call","call_id":"c{i}","namespace":"n{i}","name":"f","input":"x"}}"#
                )
            })),
        ),
        "kimi: calls with odd names" => (
            Via::Chat,
            KIMI,
            chat_messages(&calls(list(n, |i| {
                call(&format!("functions.f:{i}"), &format!("f {i}"))
            }))),
        ),
        "rerank: documents" => (
            Via::Rerank,
            "cohere.rerank-v3-5:0",
            format!(
                r#"{{"model":"m","query":"q","documents":[{}]}}"#,
                list(n, |i| format!(r#""d{i}""#))
            ),
        ),
        other => {
            assert_eq!(other, "embeddings: texts", "no such shape");
            (
                Via::Embeddings,
                "cohere.embed-v4:0",
                format!(
                    r#"{{"model":"m","input":[{}]}}"#,
                    list(n, |i| format!(r#""d{i}""#))
                ),
            )
        }
    }
}

const SHAPES: [&str; 52] = [
    "chat: tools",
    "chat: tools with odd names",
    "chat: allowed tools",
    "chat: calls with odd names in one turn",
    "chat: calls and results in one turn",
    "chat: calls of one id",
    "chat: one id in many turns",
    "chat: short ids that repeat",
    "chat: ids that end like the gateway's",
    "chat: results without calls",
    "chat: messages of one role",
    "chat: turns with reasoning alone",
    "chat: text parts",
    "chat: parts with cache points",
    "chat: documents with cache points",
    "chat: metadata keys",
    "chat: unknown fields",
    "chat: stop sequences",
    "chat: properties",
    "chat: properties with odd names",
    "chat: members of a schema's root",
    "chat: unions at a schema's root",
    "chat: references at a schema's root",
    "chat: a strict schema",
    "chat: a schema of the response",
    "chat: arguments with odd names",
    "messages: tools",
    "messages: calls and results",
    "messages: results of one call",
    "messages: system texts",
    "passthrough: tools with odd properties",
    "passthrough: members of a tool",
    "passthrough: properties with odd names",
    "passthrough: repeated fields",
    "passthrough: blocks with cache points",
    "passthrough: thinking with cache points",
    "passthrough: blank blocks",
    "passthrough: calls with odd ids",
    "passthrough: flags",
    "count: messages",
    "responses: tools",
    "responses: tools in namespaces",
    "responses: allowed namespaces",
    "responses: tools in items",
    "responses: calls and outputs",
    "responses: custom tools",
    "adapt: tools of items",
    "adapt: tools in namespaces",
    "adapt: calls of custom tools",
    "kimi: calls with odd names",
    "rerank: documents",
    "embeddings: texts",
];

#[test]
fn decoding_takes_time_in_proportion_to_the_request() {
    let mut slow = Vec::new();
    for name in SHAPES {
        let (via, model, few) = shape(name, FEW);
        let (_, _, many) = shape(name, 4 * FEW);
        let short = time(|| decode(via, model, &few));
        let long = time(|| decode(via, model, &many));
        if long > MOST * short.max(LEAST) {
            slow.push(format!("{name}: {:.1} times", long / short));
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}
