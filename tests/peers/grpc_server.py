"""A gRPC server with the health service and one that echoes bytes. Prints its address.

Usage: grpc_server.py NAME [CERTIFICATE KEY]
"""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

checks = health.HealthServicer()


def unary(request, context):
    context.set_trailing_metadata((("x-length", str(len(request))),))
    return request


def count(request, context):
    """So many messages as the request says."""
    for number in range(int(request)):
        yield str(number).encode()


def collect(requests, context):
    return b",".join(requests)


def chat(requests, context):
    for request in requests:
        yield b"you said " + request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode())


def serve(request, context):
    """Makes the health service say this of the service `shop`."""
    checks.set("shop", health_pb2.HealthCheckResponse.ServingStatus.Value(request.decode()))
    return b""


def about(request, context):
    """What the server sees of the request."""
    return repr(sorted(context.invocation_metadata())).encode()


handlers = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Serve": grpc.unary_unary_rpc_method_handler(serve),
    "About": grpc.unary_unary_rpc_method_handler(about),
}
size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
server = grpc.server(futures.ThreadPoolExecutor(16), options=size)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lb.Echo", handlers),))
health_pb2_grpc.add_HealthServicer_to_server(checks, server)
checks.set("shop", health_pb2.HealthCheckResponse.SERVING)
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as certificate, open(sys.argv[3], "rb") as key:
        pair = (key.read(), certificate.read())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"127.0.0.1:{port}", flush=True)
server.wait_for_termination()
