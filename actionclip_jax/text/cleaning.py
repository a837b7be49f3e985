"""What is done to a text before it becomes tokens."""

import html
import string

import ftfy

WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def clean(text: str, cleaning: str) -> str:
    """The text as a tower was trained to see it, by the name in `TextConfig.cleaning`.

    All repair mojibake and HTML entities, and fold white space. `whitespace` does no more; `lower` is OpenAI's: small
    letters; `canonical` is big_vision's, with which SigLIP and SigLIP 2 were published: small letters and no ASCII
    punctuation, an underscore being a space. open_clip does the same for these weights (`"clean": "canonicalize"`).
    transformers differs for the same weights, and is not followed: its SiglipTokenizer joins words at an underscore
    and repairs nothing; for SigLIP 2 it keeps the punctuation.
    """
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    if cleaning == "canonical":
        text = text.replace("_", " ").translate(WITHOUT_PUNCTUATION)
    return " ".join((text if cleaning == "whitespace" else text.lower()).split())
