//! ARNs, roles and regions: what is accepted is kept byte by byte, and its parts put together are the text. Model ids: each
//! is one segment of a path, whatever it contains.
#![no_main]

use api::{Arn, Region, RoleArn};
use bedrock::model_id::encode_path_segment;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let rest = String::from_utf8_lossy(rest);
    let text = match first % 3 {
        0 => rest.into_owned(),
        1 => format!("arn:{rest}"),
        _ => format!("arn:aws:iam::123456789012:role/{rest}"),
    };
    if let Ok(arn) = text.parse::<Arn>() {
        let parts = [
            "arn",
            arn.partition(),
            arn.service(),
            arn.region(),
            arn.account(),
            arn.resource(),
        ];
        assert_eq!(parts.join(":"), text);
        assert_eq!(arn.as_str(), text);
    }
    if let Ok(role) = text.parse::<RoleArn>() {
        assert_eq!(role.as_str(), text);
        assert_eq!(role.arn().service(), "iam");
        assert_eq!(role.arn().account().len(), 12);
        assert!(!role.role_name().is_empty() && text.ends_with(role.role_name()));
    }
    if let Ok(region) = text.parse::<Region>() {
        assert_eq!(region.as_str(), text);
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
    }
    let segment = encode_path_segment(&text);
    assert!(
        segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
    );
    assert!(segment != "." && segment != "..");
    let decoded = percent_encoding::percent_decode_str(&segment);
    assert_eq!(decoded.decode_utf8().expect("it was text"), text);
});
