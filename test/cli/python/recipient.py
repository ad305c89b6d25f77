"""Asks KMS for a plaintext that only the holder of a key pair can open, in JSON that botocore signs.

Debian's boto3 has no Recipient in its model of KMS, so the request is made by hand.
"""
import base64
import json
import os
import sys
import urllib.request
import ssl

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

with open(os.environ["DOCUMENT"], encoding="ascii") as file:
    document = file.read().strip()

body = json.dumps({
    "CiphertextBlob": os.environ["ATTESTED"],
    "EncryptionContext": {"tenant": "a"},
    "Recipient": {"AttestationDocument": document, "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
}).encode()
url = os.environ["KMS_URL"] + "/"
headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Decrypt"}
request = AWSRequest(method="POST", url=url, data=body, headers=headers)
session = botocore.session.get_session()
SigV4Auth(session.get_credentials(), "kms", os.environ["AWS_REGION"]).add_auth(request)

prepared = urllib.request.Request(url, data=body, headers=dict(request.headers.items()), method="POST")
context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
with urllib.request.urlopen(prepared, context=context) as answer:
    members = json.load(answer)
if members.get("Plaintext"):
    sys.exit("KMS answered with a plaintext in clear")
sys.stdout.buffer.write(base64.b64decode(members["CiphertextForRecipient"]))
