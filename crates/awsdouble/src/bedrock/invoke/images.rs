//! Image models (Nova Canvas, Titan, Stability): valid PNGs of 8 × 8 pixels in a color derived from the request.
//!
//! See <https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-diffusion-stable-image-core-text-image-request-response.html>
//! and, for the format, <https://www.w3.org/TR/png-3/>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc32fast::hash;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::json::text;
use super::{Whole, malformed, schema};
use crate::error::AwsError;

const SIDE: usize = 8;
const MAX_AMAZON_PROMPT: usize = 1024;
const MAX_STABILITY_PROMPT: usize = 10_000;

pub(super) fn amazon(body: &Value) -> Result<Whole, AwsError> {
    let tasks = [
        ("TEXT_IMAGE", "textToImageParams"),
        ("COLOR_GUIDED_GENERATION", "colorGuidedGenerationParams"),
        ("IMAGE_VARIATION", "imageVariationParams"),
        ("INPAINTING", "inPaintingParams"),
        ("OUTPAINTING", "outPaintingParams"),
        ("BACKGROUND_REMOVAL", "backgroundRemovalParams"),
    ];
    let task = text(body, "taskType").unwrap_or_default();
    let Some((_, parameters)) = tasks.iter().find(|(name, _)| *name == task) else {
        return Err(malformed(&format!(
            "#/taskType: {task} is not a valid enum value"
        )));
    };
    let known = ["taskType", *parameters, "imageGenerationConfig"];
    schema(body, "#", &known, &[*parameters])?;
    let prompt = body
        .pointer(&format!("/{parameters}/text"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if task == "TEXT_IMAGE" && prompt.is_empty() {
        return Err(malformed(
            "#/textToImageParams/text: expected minLength: 1, actual: 0",
        ));
    }
    if prompt.chars().count() > MAX_AMAZON_PROMPT {
        return Err(malformed(&format!(
            "#/{parameters}/text: expected maxLength: {MAX_AMAZON_PROMPT}, actual: {}",
            prompt.chars().count()
        )));
    }
    let config = body.get("imageGenerationConfig").unwrap_or(&Value::Null);
    let known = [
        "width",
        "height",
        "quality",
        "cfgScale",
        "seed",
        "numberOfImages",
    ];
    schema(config, "#/imageGenerationConfig", &known, &[])?;
    for side in ["width", "height"] {
        let fits = |side: u64| (320..=4096).contains(&side) && side.is_multiple_of(16);
        if config
            .get(side)
            .is_some_and(|one| !one.as_u64().is_some_and(fits))
        {
            return Err(AwsError::validation(format!(
                "The requested {side} is not valid: it must be between 320 and 4096 and a multiple of 16."
            )));
        }
    }
    if text(config, "quality").is_some_and(|one| !["standard", "premium"].contains(&one)) {
        return Err(malformed(
            "#/imageGenerationConfig/quality: not a valid enum value",
        ));
    }
    let count = match config.get("numberOfImages") {
        None => 1,
        Some(value) => match value.as_u64() {
            Some(count @ 1..=5) => count,
            _ => {
                return Err(malformed(
                    "#/imageGenerationConfig/numberOfImages: must be between 1 and 5",
                ));
            }
        },
    };
    let images: Vec<String> = (0..count)
        .map(|number| STANDARD.encode(png(&format!("{number} {body}"))))
        .collect();
    Ok(Whole {
        body: json!({ "images": images, "error": null }),
        input_tokens: 0,
    })
}

pub(super) fn stability(model: &str, body: &Value) -> Result<Whole, AwsError> {
    let mut known = vec![
        "prompt",
        "negative_prompt",
        "aspect_ratio",
        "mode",
        "output_format",
        "seed",
    ];
    if model.contains("sd3") {
        known.extend(["image", "strength"]);
    }
    schema(body, "#", &known, &["prompt"])?;
    let prompt = text(body, "prompt").unwrap_or_default();
    if prompt.is_empty() || prompt.chars().count() > MAX_STABILITY_PROMPT {
        return Err(malformed(&format!(
            "#/prompt: expected 1 to {MAX_STABILITY_PROMPT} characters"
        )));
    }
    let ratios = [
        "16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21",
    ];
    if text(body, "aspect_ratio").is_some_and(|one| !ratios.contains(&one)) {
        return Err(malformed("#/aspect_ratio: not a valid enum value"));
    }
    if text(body, "output_format").is_some_and(|one| !["png", "jpeg", "webp"].contains(&one)) {
        return Err(malformed("#/output_format: not a valid enum value"));
    }
    let seed = body.get("seed").cloned().unwrap_or_else(|| json!(0));
    Ok(Whole {
        body: json!({ "seeds": [seed], "finish_reasons": [null],
            "images": [STANDARD.encode(png(&body.to_string()))] }),
        input_tokens: 0,
    })
}

/// A PNG in one color, uncompressed.
fn png(about: &str) -> Vec<u8> {
    let digest = Sha256::digest(about.as_bytes());
    let color: Vec<u8> = digest.iter().take(3).copied().collect();
    let mut rows = Vec::new();
    for _ in 0..SIDE {
        rows.push(0); // no filter
        rows.extend(color.iter().copied().cycle().take(3 * SIDE));
    }
    let length = u16::try_from(rows.len()).unwrap_or(u16::MAX);
    let mut data = vec![0x78, 0x01, 0x01]; // zlib without compression; the last block, stored
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(&(!length).to_le_bytes());
    data.extend_from_slice(&rows);
    data.extend_from_slice(&adler32(&rows).to_be_bytes());
    let side = u32::try_from(SIDE).unwrap_or(u32::MAX).to_be_bytes();
    // Eight bits per channel, RGB.
    let head = [side.as_slice(), &side, &[8, 2, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", head), (b"IDAT", data), (b"IEND", Vec::new())] {
        file.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        let chunk = [kind.as_slice(), &data].concat();
        file.extend_from_slice(&chunk);
        file.extend_from_slice(&hash(&chunk).to_be_bytes());
    }
    file
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    (high << 16) | low
}
