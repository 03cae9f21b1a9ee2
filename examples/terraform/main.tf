# The IAM role of one BedrockAccess on Amazon EKS, by Pod Identity or by IRSA.

data "aws_eks_cluster" "this" {
  name = var.cluster_name
}

locals {
  # The operator's name for the ServiceAccount of the gateway pods.
  service_account = "${var.name}-gateway"
  issuer          = trimprefix(data.aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://")
  is_irsa         = var.identity == "irsa"
  provider_arn    = local.is_irsa ? (var.create_oidc_provider ? aws_iam_openid_connect_provider.cluster[0].arn : data.aws_iam_openid_connect_provider.cluster[0].arn) : null
}

# An account has one provider for each cluster. The first module of a cluster creates it, the others use it.
resource "aws_iam_openid_connect_provider" "cluster" {
  count          = local.is_irsa && var.create_oidc_provider ? 1 : 0
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
  tags           = var.tags
}

data "aws_iam_openid_connect_provider" "cluster" {
  count = local.is_irsa && !var.create_oidc_provider ? 1 : 0
  url   = "https://${local.issuer}"
}

# The same as `bedrock-gateway iam --kind trust --principal irsa`.
data "aws_iam_policy_document" "irsa" {
  count = local.is_irsa ? 1 : 0

  statement {
    sid     = "WebIdentity"
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${var.namespace}:${local.service_account}"]
    }
  }
}

# The same as `bedrock-gateway iam --kind trust --principal pod-identity`.
data "aws_iam_policy_document" "pod_identity" {
  count = local.is_irsa ? 0 : 1

  statement {
    sid     = "EksPodIdentity"
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/eks-cluster-arn"
      values   = [data.aws_eks_cluster.this.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-namespace"
      values   = [var.namespace]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = [local.service_account]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = coalesce(var.role_name, "bedrock-${var.namespace}-${var.name}")
  assume_role_policy = local.is_irsa ? data.aws_iam_policy_document.irsa[0].json : data.aws_iam_policy_document.pod_identity[0].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "this" {
  name   = "bedrock"
  role   = aws_iam_role.this.id
  policy = var.permission_policy
}

resource "aws_eks_pod_identity_association" "this" {
  count           = local.is_irsa ? 0 : 1
  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = local.service_account
  role_arn        = aws_iam_role.this.arn
  tags            = var.tags
}
