//! IAM's `ListAccessKeys`, which returns the age of access keys.

use axum::response::Response;

use super::ok;
use crate::auth::{Protocol, authenticate};
use crate::encoding::xml_text;
use crate::error::AwsError;
use crate::policy::{Request, evaluate};
use crate::record::Call;
use crate::server::{Incoming, Shared};
use crate::sts::Form;

pub(super) fn respond(
    shared: &Shared,
    incoming: &Incoming,
    form: &Form,
    call: &mut Call,
) -> Result<Response, AwsError> {
    let caller = authenticate(shared, incoming, &["iam"], Protocol::Query)?;
    call.identity = Some(caller.identity.clone());
    call.region = Some(caller.region.clone());
    if call.operation != "ListAccessKeys" {
        return Err(AwsError::new(
            400,
            "InvalidAction",
            format!(
                "Could not find operation {} for version 2010-05-08",
                call.operation
            ),
        ));
    }
    let name = match (form.get("UserName"), &caller.user_name) {
        (Some(name), _) | (None, Some(name)) => name.clone(),
        (None, None) => {
            return Err(AwsError::new(
                400,
                "ValidationError",
                "Must specify userName when calling with non-User credentials",
            ));
        }
    };
    let config = &shared.account.config;
    let resource = format!(
        "arn:{}:iam::{}:user/{name}",
        config.partition, config.account
    );
    let context = caller.context();
    let request = Request {
        principal: None,
        action: "iam:ListAccessKeys",
        resource: &resource,
        context: &context,
    };
    if !evaluate(&caller.policies, request).is_allowed() {
        return Err(AwsError::new(
            403,
            "AccessDenied",
            format!(
                "User: {} is not authorized to perform: iam:ListAccessKeys on resource: user {name} because no identity-based policy allows the iam:ListAccessKeys action",
                caller.identity.arn
            ),
        ));
    }
    let users = shared.account.users_named(&name);
    if users.is_empty() {
        return Err(AwsError::new(
            404,
            "NoSuchEntity",
            format!("The user with name {name} cannot be found."),
        ));
    }
    let members: String = users
        .iter()
        .map(|user| {
            format!(
                "<member><UserName>{}</UserName><AccessKeyId>{}</AccessKeyId><Status>Active</Status><CreateDate>{}</CreateDate></member>",
                xml_text(&user.name),
                xml_text(&user.access_key_id),
                xml_text(&user.key_created)
            )
        })
        .collect::<Vec<_>>()
        .concat();
    Ok(ok(
        "text/xml",
        format!(
            "<ListAccessKeysResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ListAccessKeysResult><IsTruncated>false</IsTruncated><AccessKeyMetadata>{members}</AccessKeyMetadata></ListAccessKeysResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></ListAccessKeysResponse>",
            call.request_id
        ),
    ))
}
