#!/bin/sh
# A laptop with a profile of the AWS CLI: no key in the environment, none in a file of this project.
# Make the profile once with `aws configure sso` (short-lived) or `aws configure` (keys).
set -eu

export AWS_PROFILE=bedrock-dev
export AWS_REGION=us-east-1

bedrock-gateway doctor --model us.amazon.nova-lite-v1:0
bedrock-gateway serve
