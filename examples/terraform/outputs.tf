output "role_arn" {
  description = "ARN of the role, for spec.identity.irsa.roleArn."
  value       = aws_iam_role.this.arn
}

output "service_account" {
  description = "ServiceAccount that may use the role, as namespace/name."
  value       = "${var.namespace}/${local.service_account}"
}
