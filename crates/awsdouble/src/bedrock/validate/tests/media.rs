use super::*;

#[test]
fn limits_documents_and_images() {
    let body = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    let document = |name: &str| json!({"document": {"format": "pdf", "name": name, "source": {"bytes": "AAAA"}}});
    let image = |format: &str| json!({"image": {"format": format, "source": {"bytes": "AAAA"}}});
    let text = json!({"text": "look"});
    check(
        "both",
        CLAUDE,
        &body(json!([text, document("a (1)"), image("png")])),
        "",
    );
    check(
        "no text",
        CLAUDE,
        &body(json!([document("a")])),
        "A text block must be included when using documents.",
    );
    check(
        "the same name twice",
        CLAUDE,
        &body(json!([text, document("a"), document("a")])),
        "Messages can't contain duplicate document names. Rename the document and retry your request.",
    );
    check(
        "a dot in the name",
        CLAUDE,
        &body(json!([text, document("a.pdf")])),
        "The document file name can only contain alphanumeric characters",
    );
    check(
        "two spaces in the name",
        CLAUDE,
        &body(json!([text, document("a  b")])),
        "more than one consecutive whitespace",
    );
    let six: Vec<Value> = std::iter::once(text.clone())
        .chain((0..6).map(|n| document(&format!("d{n}"))))
        .collect();
    check(
        "six documents",
        CLAUDE,
        &body(json!(six)),
        "You can't include more than 5 documents in a request.",
    );
    let many: Vec<Value> = (0..21).map(|_| image("png")).collect();
    check(
        "21 images",
        CLAUDE,
        &body(json!(many)),
        "more than 20 images",
    );
    check(
        "an unknown format",
        CLAUDE,
        &body(json!([image("bmp")])),
        "Member must satisfy enum value set: [png, jpeg, gif, webp]",
    );
    check(
        "no base64",
        CLAUDE,
        &body(json!([{"image": {"format": "png", "source": {"bytes": "!!"}}}])),
        "as base64",
    );
    check(
        "a URL",
        CLAUDE,
        &body(json!([{"image": {"format": "png", "source": {"url": "https://x"}}}])),
        "must set one of the following keys: bytes, s3Location",
    );
    check(
        "a family without images",
        "openai.gpt-oss-20b-1:0",
        &body(json!([image("png")])),
        "This model doesn't support the image content block that you provided",
    );
    let large = "A".repeat(3_932_160 / 3 * 4 + 4);
    check(
        "too large",
        CLAUDE,
        &body(json!([{"image": {"format": "png", "source": {"bytes": large}}}])),
        "image exceeds 3.75 MB maximum",
    );
}
