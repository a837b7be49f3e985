"""A real video through CLIP's successors: `predict` is what their own programs compute frame by frame."""

import av
import local_data
import numpy as np
import open_clip
import open_clip_models
import pytest
import safetensors.torch
import siglip_reference
import torch
import transformers

import actionclip_jax
from actionclip_jax.checkpoints import timm_trunks
from actionclip_jax.data import sampling

CLASS_NAMES, TEMPLATES = ["archery", "playing violin", "horse race"], ["a video of {}.", "{}"]
HALF = [0.5, 0.5, 0.5]


@pytest.fixture(scope="module")
def video():
    return str(sorted((local_data.TEST_DATA / "ucf101-5class" / "test").rglob("*.avi"))[0])


def frames_of(path):
    """The middles of eight segments, decoded in the plainest way."""
    with av.open(path) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    return [frames[index] for index in sampling.segment_middles(len(frames), 8)]


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def probabilities(image_features, text_features, scale):
    """[T, E] of frames, [C * P, E] of texts, class by class -> [C], the mean over templates of softmaxes."""
    logits = scale * unit(image_features.mean(0)) @ unit(text_features).T
    return torch.softmax(logits.reshape(len(CLASS_NAMES), -1), dim=0).mean(dim=1).numpy()


def prompts():
    return [template.format(name) for name in CLASS_NAMES for template in TEMPLATES]


@local_data.needs_test_data
@pytest.mark.parametrize(("kind", "resample"), [("siglip", 3), ("siglip2", 2)])
@torch.inference_mode()
def test_siglip_of_transformers(kind, resample, video, tmp_path):
    model = siglip_reference.save_siglip(tmp_path, kind)
    processor = transformers.SiglipImageProcessorPil(
        size={"height": 35, "width": 35}, resample=resample, image_mean=HALF, image_std=HALF
    )
    processor.save_pretrained(tmp_path)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    images = model.vision_model(**processor(frames_of(video), return_tensors="pt")).pooler_output
    cleaned = [text.replace(".", "") for text in prompts()]
    tokens = tokenizer(cleaned, padding="max_length", max_length=64, return_tensors="pt")["input_ids"]
    texts = model.text_model(input_ids=tokens).pooler_output
    expected = probabilities(images, texts, model.logit_scale.exp())
    ours = actionclip_jax.load(tmp_path)
    predicted = ours.predict(video, CLASS_NAMES, templates=TEMPLATES)
    np.testing.assert_allclose(predicted.probabilities, expected, atol=1e-5, rtol=1e-4)
    by_itself = torch.sigmoid(model.logit_scale.exp() * unit(images.mean(0)) @ unit(texts).T + model.logit_bias)
    absolute = ours.predict(video, CLASS_NAMES, templates=TEMPLATES, absolute=True)
    expected = by_itself.reshape(len(CLASS_NAMES), -1).mean(dim=1)
    np.testing.assert_allclose(absolute.probabilities, expected, atol=1e-7, rtol=1e-4)


@local_data.needs_test_data
@torch.inference_mode()
def test_perception_encoder_of_open_clip(video, tmp_path, monkeypatch):
    monkeypatch.setitem(timm_trunks.TRUNKS, "pe_tiny", open_clip_models.TRUNKS["pe_tiny"])
    settings = open_clip_models.perception_encoder()
    preprocess = {"mean": HALF, "std": HALF, "interpolation": "bilinear", "resize_mode": "squash"}
    open_clip_models.write(tmp_path, settings, preprocess)
    model = open_clip_models.build(settings)
    model.load_state_dict(safetensors.torch.load_file(tmp_path / "open_clip_model.safetensors"))
    transform = open_clip.image_transform(
        64, is_train=False, mean=HALF, std=HALF, resize_mode="squash", interpolation="bilinear"
    )
    images = model.encode_image(torch.stack([transform(frame) for frame in frames_of(video)]))
    texts = model.encode_text(open_clip.SimpleTokenizer(context_length=32)(prompts()))
    predicted = actionclip_jax.load(tmp_path).predict(video, CLASS_NAMES, templates=TEMPLATES)
    np.testing.assert_allclose(predicted.probabilities, probabilities(images, texts, 100), atol=1e-5, rtol=1e-4)
