"""PyTorch's side of bench/peers/torch.ts: a JSON object a line in, one a line out. Operands are base64 of float32."""

import base64
import ctypes
import json
import sys
import time

import torch
import torch.nn.functional as F

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.set_grad_enabled(False)


def tensor(operand):
    data = torch.frombuffer(bytearray(base64.b64decode(operand["data"])), dtype=torch.float32)
    return data.reshape(operand["shape"]).to(DEVICE)


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def matmul(x, w):
    return lambda: x @ w


def attention(q, k, v):
    # (N, H, d) → (1, H, N, d); the result goes back, as ours lies.
    q, k, v = (t.permute(1, 0, 2)[None].contiguous() for t in (q, k, v))
    return lambda: F.scaled_dot_product_attention(q, k, v)[0].permute(1, 0, 2)


def norm(x, scale, shift, epsilon):
    return lambda: F.layer_norm(x, x.shape[-1:], eps=epsilon) * (1 + scale) + shift


def convolution(x, w):
    kt, kh, kw = w.shape[:3]
    x = x.permute(3, 0, 1, 2)[None].contiguous()
    w = w.permute(4, 3, 0, 1, 2).contiguous()
    sides = (kw // 2, kw // 2, kh // 2, kh // 2, kt - 1, 0)
    return lambda: F.conv3d(F.pad(x, sides), w)[0].permute(1, 2, 3, 0)


OPERATIONS = {"matmul": matmul, "attention": attention, "norm": norm, "convolution": convolution}


def answer(value):
    print(json.dumps(value), flush=True)


name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads"
answer({"version": torch.__version__, "device": DEVICE, "name": name})
job = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        if request["do"] == "open":
            operands = [tensor(o) for o in request["operands"]]
            job = OPERATIONS[request["operation"]](*operands, *request["scalars"])
            answer({})
        elif request["do"] == "run":
            spent = time.process_time()
            for _ in range(request["times"]):
                y = job()
            wait()
            answer({"cpu": time.process_time() - spent})
        elif request["do"] == "read":
            y = job().contiguous().cpu()
            # Not through numpy, which a torch can be without.
            data = ctypes.string_at(y.data_ptr(), 4 * y.numel())
            answer({"data": base64.b64encode(data).decode()})
        else:
            job = None
            answer({})
    except Exception as error:  # the bench prints it and goes on without this row
        answer({"error": f"{type(error).__name__}: {error}"})
