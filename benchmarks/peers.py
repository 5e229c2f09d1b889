"""The same model for ONNX Runtime and OpenVINO: int8 by each one's own documented road. Runs in an environment of its own.

    python -m venv PEERS; PEERS/bin/pip install -r benchmarks/requirements-peers.txt
    PEERS/bin/python benchmarks/peers.py STOCK_PY OUT [--width 192 --heads 3 --depth 12 --image-size 224]

writes OUT/onnx-fp32.onnx, OUT/onnx-int8.onnx (`quantize_dynamic`) and OUT/openvino-int8.xml (NNCF, `ModelType.TRANSFORMER`,
calibrated on 32 random images: for speed alone). STOCK_PY is a file whose `build(args)` gives the stock model.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np


def model(stock: Path, args: argparse.Namespace):  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("stock", stock)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stock", type=Path)
    parser.add_argument("out", type=Path)
    for name, default in {"width": 192, "depth": 12, "heads": 3, "image-size": 224, "patch": 16, "classes": 1000}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    side = args.image_size

    import nncf
    import openvino
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = args.out / "onnx-fp32.onnx"
    torch.onnx.export(model(args.stock, args), (torch.randn(1, 3, side, side),), str(plain), dynamo=True, opset_version=18)
    quantize_dynamic(str(plain), str(args.out / "onnx-int8.onnx"), weight_type=QuantType.QInt8)
    random = np.random.default_rng(0)
    images = [random.standard_normal((1, 3, side, side)).astype(np.float32) for _ in range(32)]
    quantized = nncf.quantize(
        openvino.convert_model(str(plain)), nncf.Dataset(images), model_type=nncf.ModelType.TRANSFORMER, subset_size=32
    )
    openvino.save_model(quantized, str(args.out / "openvino-int8.xml"))


if __name__ == "__main__":
    main()
