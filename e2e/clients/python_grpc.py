"""Plays the scenario of clients_test.go with Debian's grpcio and generated code.

usage: PYTHONPATH=sdk/python python_grpc.py ADDRESS NAME CHANNEL...
"""

import json
import sys

import grpc
from millrace.v1 import message_pb2, realtime_service_pb2, realtime_service_pb2_grpc


def say(**what):
    print(json.dumps(what), flush=True)


def play(stub, name, channels):
    stream = stub.Subscribe(
        realtime_service_pb2.SubscribeRequest(
            subscriptions=[{"channel": channel} for channel in channels],
            client="python-grpc",
        )
    )
    try:
        for response in stream:
            if response.WhichOneof("notice") == "subscribed":
                say(subscribed=response.subscribed.channel)
            for message in response.messages:
                data = message.payload.json
                say(channel=message.channel, offset=message.position.offset, data=data)
                word = json.loads(data).get("say")
                if word == "hello":
                    hello(stub, name, channels[0])
                elif word == "goodbye":
                    stream.cancel()
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.CANCELLED:
            raise
    say(cancelled=True)


def hello(stub, name, channel):
    data = json.dumps({"from": name, "n": 0}, separators=(",", ":"))
    response = stub.Publish(
        realtime_service_pb2.PublishRequest(
            channel=channel, payload=message_pb2.Payload(json=data)
        ),
        timeout=10,
    )
    say(published=response.position.offset)


def main():
    address, name, *channels = sys.argv[1:]
    with grpc.insecure_channel(address) as connection:
        play(realtime_service_pb2_grpc.RealtimeServiceStub(connection), name, channels)


main()
