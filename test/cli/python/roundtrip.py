"""Makes a key, encrypts and decrypts with boto3, as a program does that knows nothing of enclaves."""
import base64
import json
import os

import boto3
import botocore.exceptions

kms = boto3.client("kms", endpoint_url=os.environ["KMS_URL"])
key = kms.create_key(Description="tried by boto3")["KeyMetadata"]
context = {"tenant": "a"}
ciphertext = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"attack at dawn", EncryptionContext=context)
plaintext = kms.decrypt(CiphertextBlob=ciphertext["CiphertextBlob"], EncryptionContext=context)["Plaintext"]

data_key = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
opened = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"]

kms.create_alias(AliasName=os.environ["ALIAS"], TargetKeyId=key["KeyId"])


def refusal(call):
    try:
        call()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return None


print(json.dumps({
    "plaintext": plaintext.decode(),
    "data key opens": opened == data_key["Plaintext"],
    "described": kms.describe_key(KeyId=os.environ["ALIAS"])["KeyMetadata"]["Arn"] == key["Arn"],
    "listed": key["KeyId"] in [entry["KeyId"] for entry in kms.list_keys()["Keys"]],
    "aliases": [entry["AliasName"] for entry in kms.list_aliases(KeyId=key["KeyId"])["Aliases"]],
    "policy": json.loads(kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"])["Statement"][0]["Effect"],
    "another context": refusal(lambda: kms.decrypt(CiphertextBlob=ciphertext["CiphertextBlob"])),
    "alias twice": refusal(lambda: kms.create_alias(AliasName=os.environ["ALIAS"], TargetKeyId=key["KeyId"])),
    "unknown operation": refusal(lambda: kms.schedule_key_deletion(KeyId=key["KeyId"])),
    "not for this caller": refusal(lambda: kms.decrypt(
        CiphertextBlob=base64.b64decode(os.environ["ATTESTED"]), EncryptionContext=context)),
}))
