"""What the model reads: prompts, the tokens of its text tower, and a cache of text embeddings."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.text.cache import TextCache as TextCache
    from actionclip_jax.text.cleaning import clean as clean
    from actionclip_jax.text.prompts import ACTIONCLIP_TEMPLATES as ACTIONCLIP_TEMPLATES
    from actionclip_jax.text.prompts import TEMPLATES as TEMPLATES
    from actionclip_jax.text.prompts import checked_templates as checked_templates
    from actionclip_jax.text.prompts import fill as fill
    from actionclip_jax.text.prompts import load_templates as load_templates
    from actionclip_jax.text.tokenizer import TOKENIZER_FILES as TOKENIZER_FILES
    from actionclip_jax.text.tokenizer import default_tokenizer as default_tokenizer
    from actionclip_jax.text.tokenizer import has_tokenizer as has_tokenizer
    from actionclip_jax.text.tokenizer import load_tokenizer as load_tokenizer
    from actionclip_jax.text.tokenizer import takes_clips as takes_clips
    from actionclip_jax.text.tokens import check_distinct as check_distinct
    from actionclip_jax.text.tokens import check_spelt_apart as check_spelt_apart
    from actionclip_jax.text.tokens import cut_padding as cut_padding
    from actionclip_jax.text.tokens import sees_padding as sees_padding
    from actionclip_jax.text.tokens import token_table as token_table
    from actionclip_jax.text.tokens import tokenize as tokenize

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cache": ["TextCache"],
        "cleaning": ["clean"],
        "prompts": ["ACTIONCLIP_TEMPLATES", "TEMPLATES", "checked_templates", "fill", "load_templates"],
        "tokenizer": ["TOKENIZER_FILES", "default_tokenizer", "has_tokenizer", "load_tokenizer", "takes_clips"],
        "tokens": ["check_distinct", "check_spelt_apart", "cut_padding", "sees_padding", "token_table", "tokenize"],
    },
)
