//! Notes for the user about the printed policies: sizes, models, and roles that a policy is not for.

use std::collections::BTreeSet;

use api::{
    RoleArn, catalogue, config,
    iam::{self, Document},
};

use super::{Kind, Request};

impl Request<'_> {
    /// What the built-in table says about the models, except that they can be called.
    fn model_notes(&self) -> Vec<String> {
        let config = &self.source.config;
        let default_region = config.region.as_ref().or(self.region.as_ref());
        let targets = config.models.iter().flat_map(|model| &model.targets);
        // The table describes bedrock-runtime.
        let targets = targets
            .filter(|target| !target.api.is_some_and(config::BedrockApi::is_mantle))
            .map(|target| {
                let region = target.region.as_ref().or(default_region);
                (target.model_id.as_str(), region)
            });
        let allowed = config.allow.iter().map(|id| (id.as_str(), default_region));
        let mut notes: Vec<String> = Vec::new();
        for (id, region) in targets.chain(allowed) {
            let remark = region.and_then(|region| catalogue::builtin().remark(id, region));
            notes.extend(remark.map(|(_, text)| text));
        }
        if config.allow.iter().any(|pattern| pattern.starts_with("*.")) {
            notes.push(
                "the policy covers inference profiles of every area, and global profiles, which run in any \
                 commercial region: to allow one area only, put its prefix before the pattern, such as \
                 --model 'us.anthropic.claude-*'"
                    .to_owned(),
            );
        }
        notes.dedup();
        notes
    }

    /// Notes about both documents: sizes, gaps in the input, and roles that this policy is not for.
    pub(super) fn notes(
        &self,
        permission: Option<&Document>,
        trust: Option<&Document>,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(document) = permission {
            let size = document.size();
            if size > iam::INLINE_POLICY_MAX_CHARACTERS {
                notes.push(format!(
                    "the permission policy has {size} characters, more than the {} of an inline policy: \
                     split the models into several policies, or use a pattern in allow",
                    iam::INLINE_POLICY_MAX_CHARACTERS
                ));
            } else if size > iam::MANAGED_POLICY_MAX_CHARACTERS {
                notes.push(format!(
                    "the permission policy has {size} characters, more than the {} of a managed policy: \
                     use an inline policy",
                    iam::MANAGED_POLICY_MAX_CHARACTERS
                ));
            }
            if self.account().is_none() && document.to_json().contains(":*:") {
                notes.push(
                    "the account is unknown, so ARNs contain * in its place: use --role-arn or --account"
                        .to_owned(),
                );
            }
            if self.source.any_model {
                notes.push(
                    "no models or patterns are configured, so any model is allowed: \
                         use --config, --access or --model to restrict the policy"
                        .to_owned(),
                );
            }
            if !self.is_first_of_chain() {
                notes.extend(self.model_notes());
            }
            if let (Some(link), Kind::Permission | Kind::Role, false) = (
                self.source.config.assume_roles.last(),
                self.args.kind,
                self.is_first_of_chain() || self.target_role().is_some(),
            ) {
                notes.push(format!(
                    "this policy is for {}, the last role of assumeRoles; for the identity that assumes the first role, use --kind chain",
                    link.role_arn
                ));
            }
            if matches!(self.args.kind, Kind::Permission | Kind::Role)
                && self.target_role().is_none()
            {
                let roles: BTreeSet<&RoleArn> = self
                    .source
                    .config
                    .target_roles()
                    .into_keys()
                    .map(|role| &role.role_arn)
                    .collect();
                notes.extend(roles.iter().map(|role| {
                    format!(
                        "some targets use their own role {role}: to print its policies, use --role-arn {role}"
                    )
                }));
            }
        }
        if let Some(document) = trust {
            let size = document.size();
            if size > iam::TRUST_POLICY_MAX_CHARACTERS {
                notes.push(format!(
                    "the trust policy has {size} characters, more than the default quota of {}",
                    iam::TRUST_POLICY_MAX_CHARACTERS
                ));
            }
        }
        notes
    }
}
