"""Calls the echo service of grpc_echo.ts: python3 grpc_caller.py PORT [CERTIFICATE]. Prints a line for each finding."""

import sys
import threading

import grpc

PORT = sys.argv[1]
OPTIONS = [
    ("grpc.ssl_target_name_override", "enclave.internal"),
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.enable_http_proxy", 0),
]


def open_channel():
    if len(sys.argv) < 3:
        return grpc.insecure_channel(f"127.0.0.1:{PORT}", OPTIONS[1:])
    with open(sys.argv[2], "rb") as file:
        credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
    return grpc.secure_channel(f"127.0.0.1:{PORT}", credentials, OPTIONS)


def method(kind, name):
    return kind(f"/enclave.Echo/{name}", request_serializer=bytes, response_deserializer=bytes)


with open_channel() as channel:
    say = method(channel.unary_unary, "Say")
    hang = method(channel.unary_unary, "Hang")
    try:
        print("say", say(b"hello", timeout=300).decode())
    except grpc.RpcError as error:
        print("say", error.code().name)
        sys.exit()
    numbers = method(channel.unary_stream, "Count")((1000).to_bytes(4, "big"), timeout=300)
    print("count", [int.from_bytes(number, "big") for number in numbers] == list(range(1000)))
    large = b"0123456789abcdef" * (1 << 18)
    print("large", say(large, timeout=300) == large)
    try:
        hang(b"", timeout=0.2)
    except grpc.RpcError as error:
        print("hang", error.code().name)
    call = hang.future(b"", timeout=600)
    threading.Timer(0.2, call.cancel).start()
    try:
        call.result()
    except grpc.FutureCancelledError:
        print("hang", "CANCELLED")
