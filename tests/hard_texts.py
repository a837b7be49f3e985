"""Texts that are hard to clean and to make tokens of."""

import gzip
import random
import unicodedata
from importlib import resources

MERGES = resources.files("actionclip_jax").joinpath("assets/bpe_simple_vocab_16e6.txt.gz")  # holds many words
PIECES = """
👍 👍🏽 👩‍🚀 🏄 🏳️‍🌈 don't I'LL we've Σίσυφος ΟΔΟΣ ς İstanbul Straße ﬁne “quoted” … ½ ² 中文 日本語 한국어 हिन्दी العربية
עברית ไทย &amp; &lt;b&gt; &eacute; café cafe\u0301 Ａ １２３ x² #1 @home a_b c++ $5.00 100% Ã© â€™
""".split()
PIECES += ["\t", "\n", "\u3000"]


def strings(count):
    """Words, symbols and random characters that every Unicode version since 3.2 knows."""
    old, rng = unicodedata.ucd_3_2_0, random.Random(0)
    known = [chr(code) for code in range(1, 0x20000) if old.category(chr(code)) not in ("Cn", "Co", "Cs")]
    words = gzip.decompress(MERGES.read_bytes()).decode().replace("</w>", "").split()[2:60000]
    for number in range(count):
        length = rng.randrange(1, 9)
        if number % 3 == 0:
            yield " ".join(rng.choice(words) for _ in range(length))
        elif number % 3 == 1:
            yield "".join(rng.choice(PIECES) + rng.choice(("", " ")) for _ in range(length))
        else:
            yield "".join(rng.choice(known) for _ in range(length))
