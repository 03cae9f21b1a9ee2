//! Amazon Resource Names (ARNs), validated when they are parsed.
//!
//! Format: `arn:partition:service:region:account:resource`
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>). All
//! partitions are supported, such as `aws`, `aws-cn` and `aws-us-gov`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A well-formed ARN, with its original text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    text: String,
    /// Byte offsets of the five colons that separate the six parts.
    colons: [usize; 5],
}

/// ARN of an IAM role: service `iam`, no region, a 12-digit account id, `role/` and a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn(Arn);

/// A text is not an ARN of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// The text does not have six parts separated by colons, starting with `arn` and a partition.
    #[error("{0:?} is not an ARN: expected arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE")]
    Malformed(String),
    /// The text is an ARN, but not of an IAM role.
    #[error(
        "{0:?} is not the ARN of an IAM role: expected arn:PARTITION:iam::123456789012:role/NAME"
    )]
    NotARole(String),
}

impl Arn {
    fn part(&self, index: usize) -> &str {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self
                .colons
                .get(before)
                .map_or(0, |colon| colon.saturating_add(1)),
        };
        let end = self.colons.get(index).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// The full text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition, such as `aws`, `aws-cn` or `aws-us-gov`.
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    /// The service, such as `iam` or `bedrock`.
    pub fn service(&self) -> &str {
        self.part(2)
    }

    /// The region. Empty for global services.
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account id. Empty for resources that AWS owns, such as foundation models.
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// The resource: all text after the fifth colon, such as `role/BedrockRole`.
    pub fn resource(&self) -> &str {
        self.part(5)
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || ArnError::Malformed(text.to_owned());
        let mut colons = text.match_indices(':').map(|(at, _)| at);
        let mut five = [0; 5];
        for slot in &mut five {
            *slot = colons.next().ok_or_else(malformed)?;
        }
        let arn = Self {
            text: text.to_owned(),
            colons: five,
        };
        let partition_is_known_in_shape =
            arn.partition() == "aws" || arn.partition().starts_with("aws-");
        let clean = text.bytes().all(|b| b.is_ascii_graphic());
        if arn.part(0) == "arn"
            && partition_is_known_in_shape
            && !arn.service().is_empty()
            && !arn.resource().is_empty()
            && clean
        {
            Ok(arn)
        } else {
            Err(malformed())
        }
    }
}

impl RoleArn {
    /// The full text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The role as a general ARN.
    pub fn arn(&self) -> &Arn {
        &self.0
    }

    /// Name of the role without its path, such as `BedrockRole` for `role/team-a/BedrockRole`.
    pub fn role_name(&self) -> &str {
        self.0.resource().rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for RoleArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let arn: Arn = text.parse()?;
        let account =
            arn.account().len() == 12 && arn.account().bytes().all(|b| b.is_ascii_digit());
        let name = arn.resource().strip_prefix("role/").is_some_and(|path| {
            path.split('/').all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b))
            })
        });
        if arn.service() == "iam" && arn.region().is_empty() && account && name {
            Ok(Self(arn))
        } else {
            Err(ArnError::NotARole(text.to_owned()))
        }
    }
}

macro_rules! text_conversions {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = ArnError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(arn: $type) -> Self {
                arn.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

text_conversions!(Arn);
text_conversions!(RoleArn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_after_the_fifth_belong_to_the_resource() {
        let arn: Arn =
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
                .parse()
                .unwrap();
        assert_eq!(arn.partition(), "aws");
        assert_eq!(arn.service(), "bedrock");
        assert_eq!(arn.region(), "us-east-1");
        assert_eq!(arn.account(), "");
        assert_eq!(
            arn.resource(),
            "foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
        );
    }

    #[test]
    fn roles_of_every_partition_and_with_paths_are_accepted() {
        for text in [
            "arn:aws:iam::123456789012:role/BedrockRole",
            "arn:aws-us-gov:iam::123456789012:role/team-a/Bedrock_Role",
            "arn:aws-cn:iam::123456789012:role/a.b@c",
        ] {
            assert_eq!(text.parse::<RoleArn>().unwrap().as_str(), text);
        }
        let role: RoleArn = "arn:aws:iam::123456789012:role/team-a/Bedrock"
            .parse()
            .unwrap();
        assert_eq!(role.role_name(), "Bedrock");
    }

    #[test]
    fn other_texts_are_rejected_with_the_expected_form() {
        for text in [
            "",
            "BedrockRole",
            "arn:aws:iam:123456789012:role/BedrockRole",
            "arn:aws:iam::1234:role/BedrockRole",
            "arn:aws:iam::123456789012:user/me",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
            "arn:gcp:iam::123456789012:role/a",
            "arn:aws:sts::123456789012:assumed-role/a/b",
        ] {
            let error = text.parse::<RoleArn>().unwrap_err();
            assert!(
                error.to_string().contains("arn:PARTITION:"),
                "{text}: {error}"
            );
        }
    }
}
