"""A gRPC client that tries all kinds of calls of grpc_server.py.

Usage: grpc_client.py ADDRESS all [AUTHORITY]        every kind of call; prints what went well
       grpc_client.py ADDRESS call METHOD TEXT       one call; prints the answer
"""

import queue
import sys

import grpc

SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PATIENCE = 30

address, command = sys.argv[1:3]
if command == "all" and len(sys.argv) > 3:
    with open(sys.argv[3], "rb") as authority:
        credentials = grpc.ssl_channel_credentials(authority.read())
    named = [("grpc.ssl_target_name_override", "shop.test")]
    channel = grpc.secure_channel(address, credentials, options=SIZE + named)
else:
    channel = grpc.insecure_channel(address, options=SIZE)


def method(name, kind="unary_unary"):
    return getattr(channel, kind)(f"/lb.Echo/{name}")


def check(what, is_so):
    if not is_so:
        sys.exit(f"not so: {what}")
    print(what)


def everything():
    answer, call = method("Unary").with_call(b"hello", timeout=PATIENCE)
    check("a unary call", answer == b"hello")
    check("its trailers", ("x-length", "5") in call.trailing_metadata())

    large = bytes(range(256)) * 20_000
    check("five megabytes there and back", method("Unary")(large, timeout=PATIENCE) == large)

    numbers = method("Count", "unary_stream")(b"10000", timeout=PATIENCE)
    check("a stream of answers", [int(n) for n in numbers] == list(range(10_000)))

    parts = [str(n).encode() for n in range(10_000)]
    joined = method("Collect", "stream_unary")(iter(parts), timeout=PATIENCE)
    check("a stream of requests", joined == b",".join(parts))

    # Each is only said when the answer to the one before is there.
    said = queue.Queue()
    said.put(b"0")
    answers = method("Chat", "stream_stream")(iter(said.get, None), timeout=PATIENCE)
    heard = 0
    for answer in answers:
        if answer != b"you said %d" % heard:
            sys.exit(f"unexpected: {answer}")
        heard += 1
        said.put(None if heard == 100 else b"%d" % heard)
    check("a conversation", heard == 100)

    try:
        method("Fail")("no \u2603 today".encode(), timeout=PATIENCE)
        sys.exit("a call that fails did not")
    except grpc.RpcError as error:
        check("a failure", error.code() == grpc.StatusCode.FAILED_PRECONDITION)
        check("its message", error.details() == "no \u2603 today")

    try:
        channel.unary_unary("/lb.Nothing/None")(b"", timeout=PATIENCE)
        sys.exit("a service that does not exist has answered")
    except grpc.RpcError as error:
        check("an unknown service", error.code() == grpc.StatusCode.UNIMPLEMENTED)

    hearing = method("Chat", "stream_stream")(iter(queue.Queue().get, None), timeout=0.3)
    try:
        next(iter(hearing))
        sys.exit("silence was answered")
    except grpc.RpcError as error:
        check("a deadline", error.code() == grpc.StatusCode.DEADLINE_EXCEEDED)

    waiting = [method("Unary").future(b"%d" % n, timeout=PATIENCE) for n in range(500)]
    check("500 calls at once", [int(w.result()) for w in waiting] == list(range(500)))


if command == "all":
    everything()
else:
    print(method(sys.argv[3])(sys.argv[4].encode(), timeout=PATIENCE).decode())
