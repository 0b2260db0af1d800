"""Publishes each line of standard input, a JSON text, to a channel over gRPC.

Generate the client once with `make sdk`, then:

    echo '{"text":"hi"}' | PYTHONPATH=sdk/python python3 examples/python/publish.py 127.0.0.1:8080 chat

It prints where each message went in its channel. Nothing here knows how the subscribers are connected.
"""

import sys
import uuid

import grpc
from millrace.v1.message_pb2 import Payload
from millrace.v1.realtime_service_pb2 import PublishRequest
from millrace.v1.realtime_service_pb2_grpc import RealtimeServiceStub


def main(address, channel):
    with grpc.insecure_channel(address) as connection:
        client = RealtimeServiceStub(connection)
        for line in sys.stdin:
            request = PublishRequest(
                channel=channel,
                payload=Payload(json=line.strip()),
                # The same id is published once, however often it is retried.
                id=str(uuid.uuid4()),
            )
            position = publish(client, request).position
            print(f"{channel} {position.offset}@{position.epoch}", flush=True)


def publish(client, request, attempts=5):
    while True:
        try:
            return client.Publish(request, timeout=10, wait_for_ready=True)
        except grpc.RpcError as error:
            attempts -= 1
            if error.code() != grpc.StatusCode.UNAVAILABLE or attempts == 0:
                raise


main(*sys.argv[1:])
