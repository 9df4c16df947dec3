"""The local API as generated from its `.proto` files: messages (`*_pb2`) and stubs (`*_pb2_grpc`) of the package `kinfolk.v1`.

`kinfolk` wraps what most apps use; everything else is here. The comments of the `.proto` files stand in the `.pyi` files.
"""
