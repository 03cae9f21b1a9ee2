//! Tests of image requests and responses for each family.

use serde_json::{Value, json};

use super::*;
use crate::families::FamilyTable;

const CANVAS: &str = "amazon.nova-canvas-v1:0";
const TITAN: &str = "amazon.titan-image-generator-v2:0";
const STABLE: &str = "stability.stable-image-core-v1:1";

fn decode(model: &str, request: &Value, strict: bool) -> Result<ImageRequest, RequestError> {
    let capabilities = FamilyTable::builtin().resolve(model, None);
    decode_images(request.to_string().as_bytes(), &capabilities, strict, 41)
}

#[track_caller]
fn calls(model: &str, request: &Value, expected: &[Value], warnings: &[&str]) {
    let decoded = decode(model, request, false).unwrap();
    let calls: Vec<Value> = decoded
        .calls
        .iter()
        .map(|call| serde_json::from_slice(call).unwrap())
        .collect();
    assert_eq!(calls, expected);
    assert_eq!(decoded.warnings, warnings);
}

#[test]
fn amazon_models_get_pixels_quality_and_several_images_per_call() {
    calls(
        CANVAS,
        &json!({"model": "m", "prompt": "a fox", "n": 7, "size": "1280x720", "quality": "hd", "seed": 5,
            "negative_prompt": "cats", "cfg_scale": 7.5}),
        &[5, 2].map(|count| {
            json!({
                "taskType": "TEXT_IMAGE",
                "textToImageParams": {"text": "a fox", "negativeText": "cats"},
                "imageGenerationConfig": {"width": 1280, "height": 720, "quality": "premium", "cfgScale": 7.5,
                    "numberOfImages": count, "seed": if count == 5 { 5 } else { 6 }},
            })
        }),
        &[],
    );
}

#[test]
fn default_seed_is_the_drawn_number() {
    for model in [CANVAS, TITAN, STABLE] {
        let decoded = decode(model, &json!({"prompt": "x"}), true).unwrap();
        let call: Value = serde_json::from_slice(&decoded.calls[0]).unwrap();
        let seed = call
            .pointer("/imageGenerationConfig/seed")
            .or_else(|| call.get("seed"));
        assert_eq!(seed, Some(&json!(41)), "{model}");
    }
}

#[test]
fn stability_gets_the_nearest_ratio_and_one_call_per_image() {
    calls(
        STABLE,
        &json!({"prompt": "a fox", "n": 2, "size": "1792x1024", "output_format": "jpeg", "seed": 1}),
        &[1, 2].map(|seed| {
            json!({"aspect_ratio": "16:9", "prompt": "a fox", "seed": seed, "output_format": "jpeg"})
        }),
        &["size: Stable Image, Stable Diffusion 3.5 chooses the size for the aspect ratio 16:9"],
    );
}

#[test]
fn defaults_of_clients_are_accepted_in_strict_mode() {
    for model in [CANVAS, TITAN, STABLE] {
        let request = json!({"model": "m", "prompt": "x", "n": 1, "size": "auto", "quality": "auto",
            "response_format": "b64_json", "background": "auto", "output_format": "png"});
        assert!(decode(model, &request, true).is_ok(), "{model}");
    }
}

#[track_caller]
fn rejected(model: &str, member: &str, value: Value) {
    let mut request = json!({"prompt": "a fox"});
    request[member] = value;
    let error = decode(model, &request, false).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(member), "{error}");
}

#[test]
fn rejects_unsupported_values_by_name() {
    rejected(CANVAS, "prompt", json!(" "));
    rejected(CANVAS, "prompt", json!("x".repeat(1025)));
    rejected(TITAN, "prompt", json!("x".repeat(513)));
    rejected(CANVAS, "n", json!(0));
    rejected(CANVAS, "n", json!(11));
    rejected(CANVAS, "seed", json!(858_993_460_u64));
    rejected(CANVAS, "size", json!("big"));
    rejected(CANVAS, "size", json!("1000x1000"));
    rejected(TITAN, "size", json!("1920x1080"));
    rejected(CANVAS, "output_format", json!("webp"));
    rejected(CANVAS, "response_format", json!("url"));
    rejected(CANVAS, "quality", json!("best"));
    rejected(CANVAS, "stream", json!(true));
    rejected(CANVAS, "background", json!("transparent"));
    rejected(CANVAS, "image", json!("data:image/png;base64,AAAA"));
    rejected(CANVAS, "mask", json!("data:image/png;base64,AAAA"));
    rejected("amazon.nova-lite-v1:0", "model", json!("m"));
}

#[test]
fn dropped_fields_give_warnings_and_strict_mode_rejects_them() {
    let request = json!({"prompt": "x", "style": "vivid", "user": "u", "moderation": "low"});
    let decoded = decode(CANVAS, &request, false).unwrap();
    assert_eq!(decoded.warnings.len(), 3, "{:?}", decoded.warnings);
    assert!(decode(CANVAS, &request, true).is_err());
}

#[test]
fn responses_and_filter_results_of_both_providers_are_read() {
    let read = |body: &str| read_image_response(body.as_bytes());
    let some =
        read(r#"{"images":["QQ=="],"error":"Some of the images have been blocked"}"#).unwrap();
    assert_eq!(some.images, ["QQ=="]);
    assert!(some.blocked.is_some());
    let fine = read(r#"{"seeds":[1],"finish_reasons":[null],"images":["Qg=="]}"#).unwrap();
    assert_eq!((fine.images.len(), fine.blocked), (1, None));
    for (body, status, code) in [
        (
            r#"{"images":[],"error":"blocked by our content filters"}"#,
            400,
            "content_policy_violation",
        ),
        (
            r#"{"finish_reasons":["Filter reason: prompt"]}"#,
            400,
            "content_policy_violation",
        ),
        (
            r#"{"finish_reasons":["Inference error"]}"#,
            502,
            "model_error",
        ),
        ("{}", 502, "malformed_model_output"),
        ("[]x", 502, "malformed_model_output"),
    ] {
        let error = read(body).unwrap_err();
        assert_eq!(
            (error.status, error.code.as_str()),
            (status, code),
            "{body}"
        );
    }
}

#[test]
fn images_keep_the_order_of_their_calls() {
    let result = |image: &str| ImageResult {
        images: vec![image.to_owned()],
        blocked: None,
    };
    let body = encode_images(&[result("QQ=="), result("Qg==")], "png", 7);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"created":7,"data":[{"b64_json":"QQ=="},{"b64_json":"Qg=="}],"output_format":"png"}"#
    );
}
