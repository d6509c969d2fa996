"""openpi's own client against a running server.

    python test/server/openpi_client_check.py PORT [API_KEY]

Asks 200 times in every way that a person would, and a few that they should not; what is seen is printed as JSON. Needs
openpi-client 0.1.2, and typing_extensions, which it imports and does not name.
"""

import json
import sys
import time
import urllib.request

import numpy as np
import websockets.exceptions
from openpi_client import action_chunk_broker
from openpi_client.websocket_client_policy import WebsocketClientPolicy

QUERIES = 200


def main(port, key):
    client = WebsocketClientPolicy("127.0.0.1", port, api_key=key)
    metadata = client.get_server_metadata()
    (camera,) = metadata["cameras"]
    rows, columns = camera["size"]
    chunk = (metadata["actions"]["positions"], len(metadata["actions"]["names"]))
    assert chunk[0] == metadata["action_horizon"]
    rng = np.random.default_rng(3)

    def observation(**more):
        return {
            "observation/image": rng.integers(256, size=(rows, columns, 3), dtype=np.uint8),
            "observation/state": rng.uniform(-1, 1, len(metadata["state"]["names"])),
            "prompt": "push the red block left",
            **more,
        }

    def check(answer):
        actions = answer["actions"]
        assert actions.shape == chunk and actions.dtype == np.float32, (actions.shape, actions.dtype)
        assert np.isfinite(actions).all()
        return actions

    seen = {"metadata": metadata["policy"], "answers": 0, "errors": 0, "refusals": []}
    times = []
    ages = []
    kept = None
    for k in range(QUERIES):
        begun = time.monotonic()
        if k % 4 == 0:
            # A stack, as someone sends it who keeps the frames.
            asked = observation(stop=0)
            image = asked.pop("observation/image")
            asked["frames"] = np.stack([image] * camera["frames"])
        elif k % 4 == 1:
            # As openpi's LIBERO example sends it.
            asked = observation(**{"observation/wrist_image": np.zeros((rows, columns, 3), np.uint8)})
        elif k % 4 == 2:
            asked = observation(stop=np.int64(k % 7), seed=k, reset=k % 8 == 2)
        else:
            asked = observation(stop=0, seeds=[k, k + 1, k + 2]) if k % 20 == 3 else observation()
        answer = client.infer(asked)
        actions = check(answer)
        times.append(time.monotonic() - begun)
        ages.append(answer["history"]["age"])
        assert answer["server_timing"]["infer_ms"] > 0
        if "seeds" in asked:
            assert answer["spread"].shape == chunk and answer["samples"].shape == (chunk[0], 3, chunk[1])
            assert np.allclose(answer["spread"], answer["samples"].std(axis=1, ddof=1), atol=1e-5)
            assert (answer["samples"][:, 0] == actions).all()
        if k == 0:
            kept = asked, actions
        seen["answers"] += 1
        if k % 50 == 17:
            # What cannot be answered is told; the connection lives on.
            for wrong in ({"observation/joint_position": np.zeros(7), "prompt": ""}, {"prompt": 1}):
                try:
                    client.infer(wrong)
                    raise AssertionError("was answered")
                except RuntimeError as error:
                    seen["errors"] += 1
                    seen["refusals"] = [str(error).splitlines()[1][:110]]
    again = check(client.infer(kept[0]))
    seen["same request, same actions"] = bool((again == kept[1]).all())

    # openpi's broker takes an answer apart into single actions.
    broker = action_chunk_broker.ActionChunkBroker(client, chunk[0])
    asked = observation(stop=0, seeds=[1, 2])
    singles = [broker.infer(asked)["actions"] for _ in range(chunk[0])]
    assert all(single.shape == chunk[1:] for single in singles)

    try:
        client.infer(observation(padding=np.zeros(100 * 2**20, np.uint8)))
        raise AssertionError("100 MB were taken")
    except (RuntimeError, websockets.exceptions.ConnectionClosed) as error:
        seen["100 MB"] = f"{type(error).__name__}: {error}".replace("\n", " ")
    check(WebsocketClientPolicy(f"ws://127.0.0.1:{port}", api_key=key).infer(observation(stop=0)))
    if key is not None:
        for wrong in (None, key + "x"):
            try:
                WebsocketClientPolicy("127.0.0.1", port, api_key=wrong)
                raise AssertionError("let in")
            except websockets.exceptions.InvalidStatus as error:
                seen["wrong key"] = str(error)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as health:
        assert (health.status, health.read()) == (200, b"OK\n")
    seen["ages"] = sorted(set(round(age, 6) for age in ages))
    seen["median ms"] = round(1000 * float(np.median(times)), 1)
    print(json.dumps(seen, ensure_ascii=False))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
