"""What Python's ssl makes of the faults of --tls-faults.

    tls_faults.py PORT CA_FILE NAME...

Connects once for each name, asks for /healthz, and prints a JSON object: for each name the answer's
status, or the error.
"""

import json
import socket
import ssl
import sys

port, authority, *names = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
# As Python does by default from 3.13 on.
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def ask(name):
    with socket.create_connection(("127.0.0.1", int(port)), timeout=1) as tcp:
        with context.wrap_socket(tcp, server_hostname=name) as tls:
            tls.sendall(f"GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            return tls.recv(1024).split(b" ")[1].decode()


def result(name):
    try:
        return ask(name)
    except OSError as error:
        return str(error)


print(json.dumps({name: result(name) for name in names}))
