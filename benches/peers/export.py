"""Writes a model directory's network as ONNX, for ONNX Runtime to run beside fossick.

    export.py MODEL_DIR OUT_DIR

makes, with NAME the directory's name:
    NAME.f32.onnx          the network in float32, through onnxruntime.transformers' optimizer (fused attention, GELU, layer norms)
    NAME.int8.onnx         the plain network through onnxruntime's own dynamic quantiser, weights with a scale for each channel
    NAME.int8.tensor.onnx  the same with one scale for each weight
    NAME.int8.fused.onnx   the fused network through the same quantiser, its attention included

The weights are those that fossick reads, as numbers: (q - zero point) * scale. Inputs are input_ids, token_type_ids and
attention_mask, int64 [batch, length]; the output is logits [batch, 1] where there is a classifier, else the hidden vector of the
first token, [batch, hidden]. So that neither side is asked for more, only the first token goes on after the last layer.
"""
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from safetensors.numpy import load_file


def floats(path):
    """All tensors of a safetensors file in float32, without the prefix of the network."""
    raw = load_file(path)
    out = {}
    for name, tensor in raw.items():
        if name.endswith(("_scale", "_zero_point")):
            continue
        if f"{name}_scale" in raw:
            zero = raw.get(f"{name}_zero_point", np.zeros(1, np.int8)).astype(np.float32)
            scale = raw[f"{name}_scale"].astype(np.float32)
            if tensor.ndim == 2 and scale.size > 1:
                scale, zero = scale.reshape(-1, 1), zero.reshape(-1, 1) if zero.size > 1 else zero
            tensor = (tensor.astype(np.float32) - zero) * scale
        out[name.removeprefix("bert.")] = tensor.astype(np.float32)
    return out


class Writer:
    """Collects nodes and constants."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, values):
        self.constants[name] = numpy_helper.from_array(np.array(values, order="C"), name)
        return name

    def add(self, operator, *inputs, **attributes):
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"node_{name}", **attributes))
        return name

    def dense(self, x, weights, name):
        product = self.add("MatMul", x, self.constant(f"{name}.w", weights[f"{name}.weight"].T))
        return self.add("Add", self.constant(f"{name}.b", weights[f"{name}.bias"]), product)

    def norm(self, x, weights, name, epsilon):
        weight = weights.get(f"{name}.weight", weights.get(f"{name}.gamma"))
        bias = weights.get(f"{name}.bias", weights.get(f"{name}.beta"))
        scale, shift = self.constant(f"{name}.w", weight), self.constant(f"{name}.b", bias)
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def network(directory):
    """The plain ONNX model of a directory."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    weights = floats(directory / "model.safetensors")
    hidden, heads, epsilon = config["hidden_size"], config["num_attention_heads"], float(config["layer_norm_eps"])
    size = hidden // heads
    g = Writer()
    number = lambda name, value: g.constant(name, np.float32(value))
    index = lambda name, values: g.constant(name, np.asarray(values, np.int64))

    length = g.add("Gather", g.add("Shape", "input_ids"), index("axis_1", 1), axis=0)
    positions = g.add("Slice", g.constant("positions", weights["embeddings.position_embeddings.weight"]), index("zero", [0]),
                      g.add("Unsqueeze", length, index("axis_0", [0])), index("axes_0", [0]))
    words = g.add("Gather", g.constant("words", weights["embeddings.word_embeddings.weight"]), "input_ids", axis=0)
    types = g.add("Gather", g.constant("types", weights["embeddings.token_type_embeddings.weight"]), "token_type_ids", axis=0)
    x = g.norm(g.add("Add", g.add("Add", words, types), positions), weights, "embeddings.LayerNorm", epsilon)

    # In the steps that the optimizer knows as an attention mask.
    mask = g.add("Unsqueeze", g.add("Unsqueeze", "attention_mask", index("axes_1", [1])), index("axes_2", [2]))
    present = g.add("Cast", mask, to=TensorProto.FLOAT)
    absent = g.add("Mul", g.add("Sub", number("one", 1), present), number("least", np.finfo(np.float32).min))
    split, joined = index("split", [0, 0, heads, size]), index("joined", [0, 0, hidden])
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"

        def part(name, order):
            dense = g.dense(x, weights, f"{at}.attention.self.{name}")
            return g.add("Transpose", g.add("Reshape", dense, split), perm=order)

        query, key, value = part("query", [0, 2, 1, 3]), part("key", [0, 2, 3, 1]), part("value", [0, 2, 1, 3])
        scores = g.add("Div", g.add("MatMul", query, key), number("root", np.sqrt(size)))
        shares = g.add("Softmax", g.add("Add", scores, absent), axis=-1)
        context = g.add("Transpose", g.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        context = g.dense(g.add("Reshape", context, joined), weights, f"{at}.attention.output.dense")
        x = g.norm(g.add("Add", context, x), weights, f"{at}.attention.output.LayerNorm", epsilon)
        wide = g.dense(x, weights, f"{at}.intermediate.dense")
        normal = g.add("Add", g.add("Erf", g.add("Div", wide, number("root_2", np.sqrt(2)))), "one")
        wide = g.add("Mul", g.add("Mul", wide, normal), number("half", 0.5))
        narrow = g.dense(wide, weights, f"{at}.output.dense")
        x = g.norm(g.add("Add", narrow, x), weights, f"{at}.output.LayerNorm", epsilon)

    x = g.add("Gather", x, index("first", 0), axis=1)
    name, width = "first_token", hidden
    if "classifier.weight" in weights:
        x = g.dense(g.add("Tanh", g.dense(x, weights, "pooler.dense")), weights, "classifier")
        name, width = "logits", 1
    g.nodes.append(helper.make_node("Identity", [x], [name]))
    of = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
    inputs = [of("input_ids"), of("attention_mask"), of("token_type_ids")]
    graph = helper.make_graph(g.nodes, directory.name, inputs, [output], list(g.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model, heads, hidden


def main(directory, out):
    out.mkdir(parents=True, exist_ok=True)
    model, heads, hidden = network(directory)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        onnx.save(model, plain)
        options = FusionOptions("bert")
        options.enable_embed_layer_norm = False
        fused = optimizer.optimize_model(str(plain), "bert", num_heads=heads, hidden_size=hidden, optimization_options=options,
                                          opt_level=0)
        fused.save_model_to_file(str(out / f"{directory.name}.f32.onnx"))
        # Symmetric, as the stored weights are; without 7 bits, as the machines that fossick is measured on have VNNI.
        options = {"weight_type": QuantType.QInt8, "extra_options": {"MatMulConstBOnly": True, "WeightSymmetric": True}}
        name = str(out / f"{directory.name}.int8")
        quantize_dynamic(plain, f"{name}.onnx", op_types_to_quantize=["MatMul"], per_channel=True, **options)
        quantize_dynamic(plain, f"{name}.tensor.onnx", op_types_to_quantize=["MatMul"], per_channel=False, **options)
        fused = str(out / f"{directory.name}.f32.onnx")
        options["extra_options"]["DefaultTensorType"] = TensorProto.FLOAT  # onnx cannot infer what the fused operators give
        quantize_dynamic(fused, f"{name}.fused.onnx", op_types_to_quantize=["MatMul", "Attention"], per_channel=False, **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
