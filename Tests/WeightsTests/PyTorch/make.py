"""Writes the PyTorch files of PyTorchFileTests with PyTorch itself (2.13), so that the reader is held against the writer.

usage: python3 make.py    (in this folder)
"""
from argparse import Namespace
from collections import OrderedDict

import torch

count = torch.arange(12, dtype=torch.float32)
every = {
    "f32": (count - 6.5).reshape(3, 4),
    "f16": (count / 3).half().reshape(2, 6),
    "bf16": (count / 3).bfloat16().reshape(6, 2),
    "f64": (count / 3).double(),
    "i64": torch.tensor([-(2**63), 2**63 - 1]),
    "i32": torch.tensor([[-(2**31)], [7]], dtype=torch.int32),
    "i16": torch.tensor([-3, 4], dtype=torch.int16),
    "i8": torch.tensor([-1, 2], dtype=torch.int8),
    "u8": torch.tensor([255, 0], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 5),
    "transposed": count.reshape(3, 4).t(),
    "permuted": count.reshape(2, 2, 3).permute(2, 0, 1),
    "column": count.reshape(3, 4)[:, 1],
    "tail": count[7:],
    "parameter": torch.nn.Parameter(count[:2].clone()),
    "a name with spaces, ä": torch.ones(1),
    "nested": {"deep": {"w": count[:3].clone()}, 5: count[3:5].clone()},
    "version": 3, "rate": 1e-3, "none": None, "text": "hello", "list": [1, [2, 3]], "big": -70000, "bigger": 2**40,
}
torch.save(every, "zip.pth")
torch.save(every, "legacy.pth", _use_new_zipfile_serialization=False)

torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
optimizer = torch.optim.AdamW(module.parameters())
module(torch.ones(4, 3)).sum().backward()
optimizer.step()
for index, parameter in enumerate(module.parameters()):
    parameter.data = torch.full_like(parameter, index + 0.5)
torch.save({"model": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, "training.pth")
torch.save(OrderedDict(module.state_dict()), "module.pth", _use_new_zipfile_serialization=False)

averaged = OrderedDict((name, value + 1) for name, value in module.state_dict().items())
arguments = Namespace(lr=1e-4, config="model.yaml", resume=None, sizes=[1, 2], ema=True)
torch.save({"model": module.state_dict(), "ema": averaged, "args": arguments, "steps": 7}, "averaged.pth")
