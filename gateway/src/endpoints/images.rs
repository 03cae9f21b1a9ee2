//! `POST /v1/images/generations`: several calls of InvokeModel if the model creates fewer images for each call.
//! <https://platform.openai.com/docs/api-reference/images/create>

use bedrock::converse::TokenUsage;
use bytes::Bytes;
use dialects::images::{
    ImageRequest, ImageResult, decode_images, encode_images, read_image_response,
};
use http::HeaderMap;

use crate::{
    http::error::Result,
    pipeline::{
        batch::{BatchEndpoint, Calls},
        cost::OtherUnits,
        endpoint::TargetRequest,
    },
    upstream::target::Target,
};

/// Image generation.
pub(crate) struct Images {
    output_format: String,
    warnings: Vec<String>,
}

impl BatchEndpoint for Images {
    const PATH: &'static str = "/v1/images/generations";
    const OPERATION: &'static str = "images";
    const CONCURRENCY: usize = 4;
    type Call = ();
    type Output = ImageResult;

    fn is_similar(one: &Target, other: &Target) -> bool {
        one.capabilities.image == other.capabilities.image
    }

    fn decode(request: TargetRequest<'_>) -> Result<(Self, Calls<Self::Call>)> {
        let ImageRequest {
            calls,
            output_format,
            warnings,
        } = decode_images(
            request.body,
            &request.target.capabilities,
            request.config.strict,
            fastrand::u64(..),
        )?;
        let calls = calls.into_iter().map(|body| (Bytes::from(body), ()));
        let calls = calls.collect();
        let endpoint = Self {
            output_format,
            warnings,
        };
        Ok((endpoint, calls))
    }

    fn read(
        (): Self::Call,
        _: &HeaderMap,
        body: &[u8],
    ) -> Result<(Self::Output, Option<TokenUsage>)> {
        Ok((read_image_response(body)?, None))
    }

    fn other_units(output: &Self::Output) -> OtherUnits {
        OtherUnits {
            images: u64::try_from(output.images.len()).unwrap_or(u64::MAX),
            ..OtherUnits::default()
        }
    }

    fn encode(
        mut self,
        outputs: &[Self::Output],
        _: TokenUsage,
        _: String,
        created: u64,
    ) -> (Vec<u8>, Vec<String>) {
        for why in outputs.iter().filter_map(|output| output.blocked.as_ref()) {
            // A header accepts printable ASCII only.
            let plain = why.replace(|c: char| !(c == ' ' || c.is_ascii_graphic()), " ");
            self.warnings
                .push(format!("n: some images were withheld: {plain}"));
        }
        let body = encode_images(outputs, &self.output_format, created);
        (body, self.warnings)
    }
}
