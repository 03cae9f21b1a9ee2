"""Checks examples with AWS's own models: the ECS task definition with botocore's, the CloudFormation template with
cfn-lint, and the eksctl ClusterConfig with eksctl's JSON schema (EKSCTL_SCHEMA). Prints one JSON object."""

import json
import os
import pathlib
import subprocess
import sys

import botocore.session
import jsonschema
import yaml
from botocore.validate import ParamValidator

root = pathlib.Path(os.environ["REPOSITORY"])
examples = root / "examples"


def ecs():
    task = json.loads((examples / "ecs/task-definition.json").read_text())
    service = botocore.session.Session().get_service_model("ecs")
    shape = service.operation_model("RegisterTaskDefinition").input_shape
    report = ParamValidator().validate(task, shape)
    return [report.generate_report()] if report.has_errors() else []


def cloudformation():
    run = subprocess.run(
        [
            os.path.join(os.path.dirname(sys.executable), "cfn-lint"),
            "--format",
            "json",
            examples / "lambda/template.yaml",
        ],
        capture_output=True,
        text=True,
    )
    return [f"{found['Rule']['Id']}: {found['Message']}" for found in json.loads(run.stdout)]


def eksctl():
    schema = json.loads(pathlib.Path(os.environ["EKSCTL_SCHEMA"]).read_text())
    cluster = yaml.safe_load((examples / "eksctl/cluster.yaml").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(cluster)]


print(json.dumps({"ecs": ecs(), "cloudformation": cloudformation(), "eksctl": eksctl()}))
