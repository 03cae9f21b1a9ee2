"""boto3 with nothing but an access key: prints what came of it as JSON. Environment as in `bedrock_runtime.py`."""

import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

client = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))
turns = [{"role": "user", "content": [{"text": os.environ["PROMPT"]}]}]
try:
    reply = client.converse(modelId=os.environ["MODEL"], messages=turns)
    print(json.dumps({"text": reply["output"]["message"]["content"][0]["text"]}))
except ClientError as error:
    print(json.dumps({"code": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}))
except SSLError as error:
    print(json.dumps({"code": "SSLError", "message": str(error)}))
