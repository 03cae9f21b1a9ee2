//! Tests of embeddings: rule R43 in `docs/translation.md`.

use super::{super::ResponseIdentity, *};
use crate::families::FamilyTable;

fn decoded(model: &str, body: &str) -> Result<EmbeddingRequest, RequestError> {
    decode_embeddings(
        body.as_bytes(),
        &FamilyTable::builtin().resolve(model, None),
        false,
    )
}

#[track_caller]
fn calls(model: &str, body: &str, expected: &[&str]) {
    let request = decoded(model, body).unwrap();
    let bodies: Vec<&str> = request
        .calls
        .iter()
        .map(|call| std::str::from_utf8(&call.body).unwrap())
        .collect();
    assert_eq!(bodies, expected, "{model} {body}");
}

#[test]
fn titan_and_nova_get_one_text_per_call_in_order() {
    calls(
        "amazon.titan-embed-text-v2:0",
        r#"{"model":"m","input":["a","b"],"dimensions":256}"#,
        &[
            r#"{"inputText":"a","dimensions":256}"#,
            r#"{"inputText":"b","dimensions":256}"#,
        ],
    );
    calls(
        "amazon.titan-embed-text-v1",
        r#"{"input":"a"}"#,
        &[r#"{"inputText":"a"}"#],
    );
    calls(
        "amazon.titan-embed-image-v1",
        r#"{"input":"a","dimensions":384}"#,
        &[r#"{"inputText":"a","embeddingConfig":{"outputEmbeddingLength":384}}"#],
    );
    calls(
        "amazon.nova-2-multimodal-embeddings-v1:0",
        r#"{"input":"a","input_type":"TEXT_RETRIEVAL"}"#,
        &[
            r#"{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"TEXT_RETRIEVAL","embeddingDimension":3072,"text":{"truncationMode":"END","value":"a"}}}"#,
        ],
    );
}

#[test]
fn cohere_gets_96_texts_per_call() {
    let texts: Vec<String> = (0..200).map(|index| format!("t{index}")).collect();
    let body = json!({ "input": texts }).to_string();
    let request = decoded("cohere.embed-multilingual-v3", &body).unwrap();
    let sizes: Vec<usize> = request.calls.iter().map(|call| call.inputs).collect();
    assert_eq!(sizes, [96, 96, 8]);
    calls(
        "us.cohere.embed-v4:0",
        r#"{"input":["a"],"input_type":"search_query","dimensions":512}"#,
        &[
            r#"{"texts":["a"],"input_type":"search_query","embedding_types":["float"],"output_dimension":512}"#,
        ],
    );
}

#[track_caller]
fn rejected(model: &str, body: &str, param: &str) {
    let error = decoded(model, body).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{body}: {error:?}");
}

#[test]
fn rejects_invalid_fields_by_name() {
    let titan = "amazon.titan-embed-text-v2:0";
    rejected(titan, "{}", "input");
    rejected(titan, r#"{"input":[]}"#, "input");
    rejected(titan, r#"{"input":["a",""]}"#, "input[1]");
    rejected(titan, r#"{"input":[1,2,3]}"#, "input");
    rejected(titan, r#"{"input":[[1,2],[3]]}"#, "input");
    rejected(titan, r#"{"input":"a","dimensions":77}"#, "dimensions");
    rejected(
        titan,
        r#"{"input":"a","encoding_format":"int8"}"#,
        "encoding_format",
    );
    rejected(
        "cohere.embed-english-v3",
        r#"{"input":"a","dimensions":512}"#,
        "dimensions",
    );
    rejected(
        "cohere.embed-english-v3",
        r#"{"input":"a","input_type":"x"}"#,
        "input_type",
    );
    rejected("amazon.nova-lite-v1:0", r#"{"input":"a"}"#, "model");
    let warned = decoded(titan, r#"{"input":"a","user":"u"}"#).unwrap();
    assert_eq!(warned.warnings.len(), 1);
}

#[test]
fn responses_of_every_format_become_one_list_in_order() {
    let call = |inputs| EmbeddingCall {
        body: Vec::new(),
        inputs,
    };
    let titan = read_embedding_response(
        &call(1),
        br#"{"embedding":[0.5,-1],"inputTextTokenCount":3}"#,
    )
    .unwrap();
    assert_eq!(titan.tokens, Some(3));
    let plain = read_embedding_response(&call(2), br#"{"embeddings":[[1],[2]],"id":"x"}"#).unwrap();
    let typed = read_embedding_response(
        &call(1),
        br#"{"embeddings":{"float":[[3]]},"response_type":"embeddings_by_type"}"#,
    )
    .unwrap();
    let nova = read_embedding_response(
        &call(1),
        br#"{"embeddings":[{"embeddingType":"TEXT","embedding":[4]}]}"#,
    )
    .unwrap();
    assert!(read_embedding_response(&call(2), br#"{"embedding":[1]}"#).is_err());
    assert!(read_embedding_response(&call(1), b"{}").is_err());
    assert!(read_embedding_response(&call(1), b"nonsense").is_err());
    let identity = ResponseIdentity {
        id: String::new(),
        created: 0,
        model: "e".to_owned(),
    };
    let list = encode_embeddings(&[titan.clone(), plain, typed, nova], 9, false, &identity);
    assert_eq!(
        String::from_utf8(list).unwrap(),
        concat!(
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1.0]},"#,
            r#"{"object":"embedding","index":1,"embedding":[1.0]},{"object":"embedding","index":2,"embedding":[2.0]},"#,
            r#"{"object":"embedding","index":3,"embedding":[3.0]},{"object":"embedding","index":4,"embedding":[4.0]}],"#,
            r#""model":"e","usage":{"prompt_tokens":9,"total_tokens":9}}"#
        )
    );
    let base64 = encode_embeddings(&[titan], 3, true, &identity);
    let text = String::from_utf8(base64).unwrap();
    // 0.5 and -1.0 as little-endian floats: 00 00 00 3f 00 00 80 bf.
    assert!(text.contains(r#""embedding":"AAAAPwAAgL8=""#), "{text}");
}
