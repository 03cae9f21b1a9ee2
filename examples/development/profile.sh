#!/bin/sh
# A laptop with an AWS CLI profile: no keys in the environment or in project files.
# Create the profile once with `aws configure sso` (short-lived) or `aws configure` (keys).
set -eu

export AWS_PROFILE=bedrock-dev
export AWS_REGION=us-east-1

# Exits with 0 if it finds warnings only.
bedrock-gateway doctor --model us.amazon.nova-2-lite-v1:0
bedrock-gateway serve
