//! STS over the query protocol: form in, XML out.
//! See <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>.

mod assume;

use std::collections::BTreeMap;

use crate::account::Session;
use crate::auth::{Protocol, authenticate};
use crate::clock::iso;
use crate::encoding::xml_text;
use crate::error::AwsError;
use crate::record::Call;
use crate::server::{Incoming, Shared};

const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Parameters of a query-protocol call.
pub(crate) type Form = BTreeMap<String, String>;

/// Handles an STS action; returns the XML of the response.
pub(crate) async fn respond(
    shared: &Shared,
    incoming: &Incoming,
    form: &Form,
    call: &mut Call,
) -> Result<String, AwsError> {
    match call.operation.as_str() {
        "AssumeRoleWithWebIdentity" => assume::with_web_identity(shared, form, call).await,
        "AssumeRole" => assume::role(shared, incoming, form, call),
        "GetCallerIdentity" => {
            let caller = authenticate(shared, incoming, &["sts"], Protocol::Query)?;
            call.identity = Some(caller.identity.clone());
            call.region = Some(caller.region.clone());
            Ok(reply(
                call,
                &format!(
                    "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
                    xml_text(&caller.identity.arn),
                    xml_text(&caller.user_id),
                    caller.account
                ),
            ))
        }
        other => Err(AwsError::new(
            400,
            "InvalidAction",
            format!("Could not find operation {other} for version 2011-06-15"),
        )),
    }
}

fn reply(call: &Call, result: &str) -> String {
    let operation = &call.operation;
    format!(
        "<{operation}Response xmlns=\"{XMLNS}\"><{operation}Result>{result}</{operation}Result><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{operation}Response>",
        call.request_id
    )
}

fn credentials(session: &Session) -> String {
    format!(
        "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>{}:{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>",
        session.access_key_id,
        xml_text(&session.secret),
        xml_text(&session.token),
        iso(session.expires_at),
        session.role.unique_id,
        xml_text(&session.name),
        xml_text(&session.arn())
    )
}
