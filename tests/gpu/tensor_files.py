"""NumPy's arrays and safetensors, as the standard library can read and write them."""
import json
import struct


def write_npy(path, kind, shape, data):
    """`kind` as NumPy calls it, such as "<f4"; `data`: bytes."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def read_npy(path):
    """The elements of an array of floats."""
    data = path.read_bytes()
    begin = 10 + struct.unpack_from("<H", data, 8)[0]
    return struct.unpack_from(f"<{(len(data) - begin) // 4}f", data, begin)


def write_safetensors(path, tensors):
    """`tensors`: shape and bytes of floats by name."""
    header, data = {}, b""
    for name, (shape, floats) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(floats)]}
        data += floats
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    """The elements of all tensors of floats by name."""
    data = path.read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, tensor in header.items():
        if name == "__metadata__" or tensor["dtype"] != "F32":
            continue
        begin, end = tensor["data_offsets"]
        tensors[name] = struct.unpack_from(f"<{(end - begin) // 4}f", data, 8 + length + begin)
    return tensors
