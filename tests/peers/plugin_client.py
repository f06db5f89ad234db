"""Speaks to the provider as Terraform does, and as nobody should.

    plugin_client.py PROVIDER

Prints a line of JSON with what came of it.
"""

import base64
import datetime
import json
import os
import subprocess
import sys
import tempfile

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
SERVICE = "/tfplugin6.Provider/"
MIB = 1 << 20


def certificate():
    """One such as Terraform makes: P-521, an authority by its own words; with its key."""
    key = ec.generate_private_key(ec.SECP521R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), private


def started(provider, folder, shown, **more):
    """The provider, and the parts of the line that it prints."""
    environment = {
        "PATH": os.environ["PATH"], "TF_PLUGIN_MAGIC_COOKIE": COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5,6",
        "PLUGIN_UNIX_SOCKET_DIR": folder, "PLUGIN_CLIENT_CERT": shown.decode(), **more,
    }
    child = subprocess.Popen([provider], env=environment, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return child, child.stdout.readline().strip().split("|")


def channel(line, pair):
    """A way to it, with a certificate or without."""
    own = base64.b64decode(line[5] + "=" * (-len(line[5]) % 4))
    pem = x509.load_der_x509_certificate(own).public_bytes(serialization.Encoding.PEM)
    shown, key = pair or (None, None)
    credentials = grpc.ssl_channel_credentials(pem, key, shown)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.enable_retries", 0),
               ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    return grpc.secure_channel(f"unix:{line[3]}", credentials, options)


def ask(way, path, message):
    """The size of the answer, or the name of the status."""
    call = way.unary_unary(path, request_serializer=lambda value: value, response_deserializer=lambda value: value)
    try:
        return len(call(message, timeout=60))
    except grpc.RpcError as error:
        return error.code().name


def validation(size):
    """A configuration with one text of this size, as Terraform sends it."""
    def varint(number):
        out = b""
        while number > 0x7F:
            out += bytes([number & 0x7F | 0x80])
            number >>= 7
        return out + bytes([number])

    def field(number, content):
        return varint(number << 3 | 2) + varint(len(content)) + content

    value = b"\x81\xa4name\xdb" + size.to_bytes(4, "big") + b"x" * size
    return field(1, b"lbctl_pool") + field(2, field(1, value))


def main():
    provider = sys.argv[1]
    ours, theirs = certificate(), certificate()
    told = {}
    with tempfile.TemporaryDirectory(prefix="lbctl-") as folder:
        child, line = started(provider, folder, ours[0])
        told["line"] = line[:3] + [line[4]]
        told["mode"] = oct(os.stat(os.path.dirname(line[3])).st_mode & 0o777)
        way = channel(line, ours)
        told["metadata"] = ask(way, SERVICE + "GetMetadata", b"")
        told["unknown"] = ask(way, SERVICE + "Nothing", b"")
        told["nonsense"] = ask(way, SERVICE + "ReadResource", b"\xff\xff\xff\xff")
        told["health"] = ask(way, "/grpc.health.v1.Health/Check", b"")
        told["64 MiB"] = ask(way, SERVICE + "ValidateResourceConfig", validation(64 * MIB))
        told["300 MiB"] = ask(way, SERVICE + "ValidateResourceConfig", validation(300 * MIB))
        told["after"] = ask(way, SERVICE + "GetMetadata", b"")
        told["shutdown"] = ask(way, "/plugin.GRPCController/Shutdown", b"")
        told["ended"] = child.wait(timeout=10)
        told["left"] = os.listdir(folder)
        way.close()
        for name, pair in (("nobody", None), ("another", theirs)):
            child, line = started(provider, folder, ours[0])
            way = channel(line, pair)
            told[name] = ask(way, SERVICE + "GetMetadata", b"")
            way.close()
            child.kill()
            child.wait()
        child, line = started(provider, folder, ours[0], PLUGIN_PROTOCOL_VERSIONS="4,5")
        told["old"] = [line, child.wait(timeout=10), child.stderr.read()]
    print(json.dumps(told))


main()
