"""The SDK of AWS at the management API of a server.

    python aws.py ENDPOINT ID TOKEN

Gets the connection ID, posts a text to it, and deletes it; then it must be gone, as must be one that
never was. TOKEN is that of the server's `--api-token`, or empty: a signature of AWS is not compared
with anything.
"""

import sys
import time
from datetime import datetime, timedelta, timezone

import boto3
from botocore.config import Config

PATIENCE = 15  # seconds


def client_of(endpoint, token):
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5),
    )

    def authorize(request, **_):
        if token:
            request.headers["Authorization"] = f"Bearer {token}"

    client.meta.events.register("before-send.apigatewaymanagementapi", authorize)
    return client


def assert_gone(client, connection):
    calls = [
        lambda: client.get_connection(ConnectionId=connection),
        lambda: client.post_to_connection(ConnectionId=connection, Data=b"late"),
        lambda: client.delete_connection(ConnectionId=connection),
    ]
    for call in calls:
        try:
            answer = call()
        except client.exceptions.GoneException as gone:
            assert gone.response["ResponseMetadata"]["HTTPStatusCode"] == 410, gone.response
        else:
            raise AssertionError(f"{connection} is not gone: {answer}")


def main(endpoint, connection, token):
    client = client_of(endpoint, token)
    shown = client.get_connection(ConnectionId=connection)
    assert shown["Identity"]["SourceIp"] == "127.0.0.1", shown
    assert "UserAgent" in shown["Identity"], shown
    age = datetime.now(timezone.utc) - shown["ConnectedAt"]
    assert timedelta(0) <= age < timedelta(minutes=5), shown
    assert shown["LastActiveAt"] >= shown["ConnectedAt"], shown

    posted = client.post_to_connection(ConnectionId=connection, Data="héllo".encode())
    assert posted["ResponseMetadata"]["HTTPStatusCode"] == 200, posted
    too_large = b"x" * (128 * 1024 + 1)
    try:
        client.post_to_connection(ConnectionId=connection, Data=too_large)
    except client.exceptions.PayloadTooLargeException:
        pass
    else:
        raise AssertionError("the message is too large")

    deleted = client.delete_connection(ConnectionId=connection)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204, deleted
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            client.get_connection(ConnectionId=connection)
        except client.exceptions.GoneException:
            break
        time.sleep(0.05)
    assert_gone(client, connection)
    assert_gone(client, "nobody")


main(*sys.argv[1:])
