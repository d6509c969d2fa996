"""Records what openpi's own client sends, byte for byte: test/server/fixtures/*.bin, with what is in them in expected.json.

    pip install openpi-client==0.1.2 typing_extensions    (which the client imports and does not name)
    python test/server/record_fixtures.py

A socket that answers like openpi's server stands in for one; requests are made by WebsocketClientPolicy.infer. Recorded with
openpi-client 0.1.2, msgpack 1.2.4, numpy 1.26.4, websockets 17.4 on Python 3.11.7.
"""

import hashlib
import json
import pathlib
import threading

import numpy as np
import websockets.sync.server
from openpi_client import msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy

FOLDER = pathlib.Path(__file__).parent / "fixtures"


def picture(rng, *shape):
    return rng.integers(256, size=shape, dtype=np.uint8)


def requests():
    """By name: what a person passes to infer."""
    rng = np.random.default_rng(13)
    table = {
        "observation/image": picture(rng, 32, 32, 3),
        "observation/state": np.float32([0.25, -0.5, 1.0]),
        "prompt": "push the red block left",
    }
    # The order and types of openpi's examples/libero/main.py, smaller.
    libero = {
        "observation/image": picture(rng, 24, 20, 3),
        "observation/wrist_image": picture(rng, 24, 20, 3),
        "observation/state": rng.standard_normal(8),
        "prompt": "pick up the black bowl — now",
    }
    return {
        "table": table,
        "libero": libero,
        "frames": {
            "frames": picture(rng, 5, 32, 32, 3),
            "observation/state": [0.25, -0.5, 1],
            "prompt": "push a block left",
        },
        "options": {
            **table,
            "stop": np.int64(5),
            "seeds": np.arange(3),
            "reset": np.bool_(True),
            "prompt": np.asarray("push the blue block up ↑"),
        },
        "floats": {**table, "observation/image": (picture(rng, 3, 8, 6) / 255).astype(np.float32)},
        "halves": {**table, "observation/image": rng.random((8, 6, 3)).astype(np.float16)},
        "reset": {"reset": True},
        "droid": {
            "observation/exterior_image_1_left": picture(rng, 16, 16, 3),
            "observation/wrist_image_left": picture(rng, 16, 16, 3),
            "observation/joint_position": rng.random(7),
            "observation/gripper_position": rng.random(1),
            "prompt": "do something",
        },
        "aloha": {
            "state": np.ones(14),
            "images": {"cam_high": picture(rng, 3, 16, 16), "cam_low": picture(rng, 3, 16, 16)},
            "prompt": "do something",
        },
        "dtypes": {
            **{
                dtype: np.array([0, 1, 2, 100]).astype(dtype)
                for dtype in ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
            },
            **{dtype: np.array([-1.5, 0.1, 1e-7, 1e4]).astype(dtype) for dtype in ("<f2", "<f4", "<f8")},
            "swapped": np.array([-1.5, 0.1, 3.0]).astype(">f4"),
            "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
            "strided": np.arange(12, dtype=np.int32)[::3],
            "empty": np.zeros((0, 3), np.float32),
            "scalar": np.array(7.5),
            "generic": {"f4": np.float32(0.1), "i8": np.int64(-(2**40)), "b1": np.bool_(False), "text": np.str_("é")},
            "numbers": [0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**40, -1, -32, -33, -129, -40000, -(2**33), 1.5],
            "texts": ["", "a" * 31, "b" * 40, "ü" * 200, "c" * 70000],
            "nested": {"a": {"b": [{"c": None}, True, b"bytes"]}},
        },
    }


def described(value):
    """As JSON; arrays with their values, or their hash where they are long."""
    if isinstance(value, dict):
        return {key: described(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if isinstance(value, np.ndarray):
        facts = {"dtype": value.dtype.str, "shape": list(value.shape)}
        facts["sha256"] = hashlib.sha256(value.tobytes()).hexdigest()
        if value.dtype.kind == "U":
            facts["text"] = str(value)
        elif value.size <= 16:
            facts["values"] = value.astype(float).ravel().tolist()
        return {"ndarray": facts}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return {"bytes": list(value)}
    if isinstance(value, str) and len(value) > 1000:
        return {"length": len(value), "of": value[0]}
    return value


def as_picture(image):
    """What openpi's policies make of a picture: (rows, columns, 3) bytes."""
    if np.issubdtype(image.dtype, np.floating):
        image = (255 * image).astype(np.uint8)
    return image if image.shape[2] == 3 else image.transpose(1, 2, 0)


def main():
    FOLDER.mkdir(exist_ok=True)
    received = []
    headers = []

    def answer(socket):
        headers.append(socket.request.headers.get("Authorization"))
        socket.send(msgpack_numpy.packb({"recorded": True}))
        for message in socket:
            received.append(message)
            socket.send(msgpack_numpy.packb({"actions": np.zeros((2, 3), np.float32)}))

    with websockets.sync.server.serve(answer, "127.0.0.1", 0, compression=None, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        client = WebsocketClientPolicy("127.0.0.1", port, api_key="a key of 1 client")
        expected = {}
        pictures = {}
        for name, request in requests().items():
            client.infer(request)
            (FOLDER / f"{name}.bin").write_bytes(received[-1])
            expected[name] = described(request)
            if "observation/image" in request:
                rgb = as_picture(request["observation/image"])
                pictures[name] = {"shape": rgb.shape, "sha256": hashlib.sha256(rgb.tobytes()).hexdigest()}
        server.shutdown()
    expected = {"authorization": headers[0], "pictures": pictures, "requests": expected}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
