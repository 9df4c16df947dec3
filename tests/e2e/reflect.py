"""A generic gRPC client: learns the local API by reflection, lists its services and posts a message.

Usage: reflect.py SOCKET TOKEN_FILE. Needs grpcio and grpcio-reflection; nothing is generated from the .proto files.
"""

import sys

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

DEADLINE_SECONDS = 30


def main(socket: str, token_file: str) -> None:
    # Over a Unix socket the authority would be the path, which HTTP/2 servers refuse.
    channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.default_authority", "localhost")])
    reflection = ProtoReflectionDescriptorDatabase(channel)
    for service in sorted(reflection.get_services()):
        print(service)

    pool = DescriptorPool(reflection)
    method = pool.FindServiceByName("kinfolk.v1.Conversations").FindMethodByName("Post")
    request_class = message_factory.GetMessageClass(method.input_type)
    reply_class = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        "/kinfolk.v1.Conversations/Post",
        request_serializer=request_class.SerializeToString,
        response_deserializer=reply_class.FromString,
    )
    request = request_class()
    message = request.message
    message.conversation = "from python"
    message.sender = "script"
    message.text = "posted by a generic client"
    with open(token_file, encoding="ascii") as file:
        token = file.read().strip()
    print(call(request, timeout=DEADLINE_SECONDS, metadata=[("authorization", f"Bearer {token}")]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
