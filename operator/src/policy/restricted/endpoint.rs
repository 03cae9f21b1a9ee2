//! Recognizes the service endpoints of AWS. Pure.
//!
//! The domain alone is not sufficient: names of EC2 instances, load balancers, API gateways and endpoint services of any
//! customer are also below `amazonaws.com`. The forms are those of
//! <https://docs.aws.amazon.com/general/latest/gr/bedrock.html> and
//! <https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html>.

use api::{Partition, Region};
use http::Uri;

/// The services that a gateway calls, with their FIPS endpoints.
const SERVICES: [&str; 8] = [
    "bedrock",
    "bedrock-fips",
    "bedrock-mantle",
    "bedrock-mantle-fips",
    "bedrock-runtime",
    "bedrock-runtime-fips",
    "sts",
    "sts-fips",
];
/// The global endpoint of STS.
const GLOBAL_STS: &str = "sts.amazonaws.com";
/// Label of the DNS names of interface VPC endpoints.
const VPC_ENDPOINTS: &str = "vpce";
/// Prefix of the id of a VPC endpoint.
const VPC_ENDPOINT_ID: &str = "vpce-";

/// Whether a URL is an HTTPS endpoint of a Bedrock service or STS: public, FIPS, dual-stack, or an interface VPC endpoint.
pub(super) fn is_aws_service(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = uri
        .authority()
        .filter(|_| uri.scheme_str() == Some("https"))
    else {
        return false;
    };
    // User information would make the host look like a part of the URL that it is not.
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host().to_ascii_lowercase();
    host == GLOBAL_STS || is_regional(&host)
}

/// Whether a host is `SERVICE.REGION.SUFFIX` or `ENDPOINT.SERVICE.REGION.vpce.SUFFIX`.
fn is_regional(host: &str) -> bool {
    Partition::ALL.into_iter().any(|partition| {
        let suffixes = [partition.dns_suffix(), partition.dual_stack_dns_suffix()];
        suffixes.into_iter().any(|suffix| {
            let labels = host.strip_suffix(suffix);
            let labels = labels.and_then(|labels| labels.strip_suffix('.'));
            let labels: Vec<&str> = labels.unwrap_or_default().split('.').collect();
            let (service, region) = match labels.as_slice() {
                [service, region] => (service, region),
                [endpoint, service, region, VPC_ENDPOINTS] if is_vpc_endpoint(endpoint) => {
                    (service, region)
                }
                _ => return false,
            };
            let region = region.parse::<Region>();
            SERVICES.contains(service) && region.is_ok_and(|region| region.partition() == partition)
        })
    })
}

fn is_vpc_endpoint(label: &str) -> bool {
    label.starts_with(VPC_ENDPOINT_ID)
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_service_endpoints_of_aws_are_recognized() {
        for url in [
            "https://bedrock-runtime.us-east-1.amazonaws.com",
            "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/",
            "https://bedrock.eu-west-1.amazonaws.com:443",
            "https://bedrock-mantle.us-east-1.api.aws",
            "https://sts.amazonaws.com",
            "https://STS.us-east-1.amazonaws.com",
            "https://sts-fips.us-east-1.amazonaws.com",
            "https://sts.cn-north-1.amazonaws.com.cn",
            "https://sts.eusc-de-east-1.amazonaws.eu",
            "https://vpce-0a1b2c3d-4e5f.bedrock-runtime.us-east-1.vpce.amazonaws.com",
            "https://vpce-0a1b2c3d-4e5f-us-east-1a.sts.us-east-1.vpce.amazonaws.com/x",
        ] {
            assert!(is_aws_service(url), "{url}");
        }
        for url in [
            "http://bedrock-runtime.us-east-1.amazonaws.com",
            "https://attacker.example",
            "https://amazonaws.com.attacker.example",
            "https://sts.amazonaws.com.attacker.example",
            "https://sts.us-east-1.amazonaws.com.attacker.example",
            "https://xsts.us-east-1.amazonaws.com",
            "https://sts.us-east-1xamazonaws.com",
            "https://sts.us-east-1.amazonaws.com@attacker.example",
            "https://attacker.example\\.sts.us-east-1.amazonaws.com",
            "https://attacker.example/sts.us-east-1.amazonaws.com",
            "https://attacker.example?sts.us-east-1.amazonaws.com",
            "https://attacker.example#.sts.us-east-1.amazonaws.com",
            "https://sts.attacker.amazonaws.com",
            "https://ec2-203-0-113-1.compute-1.amazonaws.com",
            "https://ec2-203-0-113-1.us-east-2.compute.amazonaws.com",
            "https://name-123.us-east-1.elb.amazonaws.com",
            "https://abc123.execute-api.us-east-1.amazonaws.com",
            "https://bucket.s3.us-east-1.amazonaws.com",
            "https://vpce-0a1b-4e5f.vpce-svc-0123456789abcdef.us-east-1.vpce.amazonaws.com",
            "https://abc.lambda-url.us-east-1.on.aws",
            "https://sts.cn-north-1.amazonaws.com",
            "https://a.sts.us-east-1.vpce.amazonaws.com",
            "https://a.b.sts.us-east-1.vpce.amazonaws.com",
            "https://10.0.0.1",
            "sts.amazonaws.com",
            "",
        ] {
            assert!(!is_aws_service(url), "{url}");
        }
    }
}
