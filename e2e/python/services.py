"""A client that knows nothing of Signalbox but address and token: it asks for the services, and calls one with what it was told."""

import json
import os
import urllib.parse

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from health.v1 import health_pb2, health_pb2_grpc
from reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from worker import read_token

SERVICE = "signalbox.v1.JobService"


def main() -> None:
    target = urllib.parse.urlsplit(os.environ["SIGNALBOX_URL"]).netloc
    bearer = [("authorization", f"Bearer {read_token(os.environ['SIGNALBOX_TOKEN_FILE'])}")]
    with grpc.insecure_channel(target) as channel:
        # Probes have no token.
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo

        def ask(**question):
            request = reflection_pb2.ServerReflectionRequest(**question)
            return next(reflection(iter([request]), metadata=bearer))

        try:
            next(reflection(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
            refused = ""
        except grpc.RpcError as error:
            refused = error.code().name
        services = sorted(each.name for each in ask(list_services="").list_services_response.service)

        pool = descriptor_pool.DescriptorPool()
        added: set[str] = set()

        def add(answer: reflection_pb2.ServerReflectionResponse) -> None:
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                for name in file.dependency:
                    if name not in added:
                        add(ask(file_by_filename=name))
                if file.name not in added:
                    added.add(file.name)
                    pool.Add(file)

        add(ask(file_containing_symbol=SERVICE))
        method = pool.FindServiceByName(SERVICE).FindMethodByName("ListJobTypes")
        factory = message_factory.MessageFactory(pool)
        request, response = factory.GetPrototype(method.input_type), factory.GetPrototype(method.output_type)
        call = channel.unary_unary(
            f"/{SERVICE}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        types = json_format.MessageToDict(call(request(), metadata=bearer)).get("types", [])
    found = {
        "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status),
        "withoutToken": refused,
        "services": services,
        "types": [each["type"]["name"] for each in types],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
