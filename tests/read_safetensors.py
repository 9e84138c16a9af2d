# Reads a safetensors file with nothing but the standard library and prints what is in it: the independent reader of
# test_files.c. usage: python3 read_safetensors.py FILE
import json, struct, sys

raw = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", raw[:8])
header = json.loads(raw[8:8 + n].decode("utf-8"))
data = raw[8 + n:]
metadata = header.pop("__metadata__", {})

digest, crc = metadata.pop("genai.digest", None), 2**64 - 1  # CRC-64/XZ, the digits counting as 0
for byte in raw.replace(('"genai.digest":"%s"' % digest).encode(), b'"genai.digest":"' + 16 * b"0" + b'"', 1):
    crc ^= byte
    for _ in range(8):
        crc = crc >> 1 ^ (0xC96C5795D7870F42 if crc & 1 else 0)
print("digest", "right" if digest == "%016x" % (crc ^ 2**64 - 1) else "wrong", "aligned" if n % 8 == 0 else "unaligned")
for key, value in metadata.items():
    print("metadata", ascii(key), ascii(value))
for name, t in header.items():
    begin, end = t["data_offsets"]
    print(ascii(name), t["dtype"], t["shape"], list(struct.unpack("<%df" % ((end - begin) // 4), data[begin:end])))
