terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string
}

variable "namespace" {
  description = "Namespace of the BedrockAccess."
  type        = string
}

variable "name" {
  description = "Name of the BedrockAccess."
  type        = string
}

variable "permission_policy" {
  description = "Permission policy as JSON: the output of `bedrock-gateway iam --access FILE`."
  type        = string

  validation {
    condition     = can(jsondecode(var.permission_policy).Statement)
    error_message = "permission_policy must be an IAM policy as JSON, such as file(\"policy.json\")."
  }
}

variable "identity" {
  description = "pod-identity (spec.identity.podIdentity; needs the EKS Pod Identity agent) or irsa (spec.identity.irsa)."
  type        = string
  default     = "pod-identity"

  validation {
    condition     = contains(["pod-identity", "irsa"], var.identity)
    error_message = "identity must be pod-identity or irsa."
  }
}

variable "create_oidc_provider" {
  description = "With irsa: create the cluster's OIDC provider in IAM. False if the account has it."
  type        = bool
  default     = false
}

variable "role_name" {
  description = "Name of the role. Null: bedrock-NAMESPACE-NAME."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
