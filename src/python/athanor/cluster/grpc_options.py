"""Options of gRPC's core for the servers of replicas: what a caller makes gRPC hold before a handler knows the caller.

None has another API. gRPC documents them in `grpc/impl/channel_arg_names.h`, but for the two of pending requests.
"""

from typing import Final

# The handlers refuse large messages in clearer words. gRPC refuses, unread, only far larger ones.
_ROOM_BYTES: Final = 64 * 1024
_WINDOW_BYTES: Final = 16 * 1024
_STREAMS_OF_A_CONNECTION: Final = 4_096
_HEAD_BYTES: Final = 32 * 1024
_UNLIMITED: Final = 2**31 - 1


def server_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Returns the options of a server whose handlers read messages when they know the caller."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes + _ROOM_BYTES),
        # Responses are ours, and may have any size.
        ("grpc.max_send_message_length", -1),
        # The handlers unpack, and count what they unpack.
        ("grpc.per_message_decompression", 0),
        # gRPC reads this much of a message before a handler asks for it. By default, a faster line raises it.
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.http2.bdp_probe", 0),
        # Above what HAProxy opens on one connection: beyond it, gRPC refuses streams without a word.
        ("grpc.max_concurrent_streams", _STREAMS_OF_A_CONNECTION),
        # gRPC would cancel calls that wait for Python, at random from 1,000 on. The handlers refuse those that are too
        # many, in words, and count them.
        ("grpc.server.max_pending_requests", _UNLIMITED),
        ("grpc.server.max_pending_requests_hard_limit", _UNLIMITED),
        # HAProxy refuses larger heads. gRPC would refuse smaller ones too: at random from 8 KiB on.
        ("grpc.max_metadata_size", _HEAD_BYTES),
        ("grpc.absolute_max_metadata_size", _HEAD_BYTES),
    ]
