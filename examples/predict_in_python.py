"""The best labels of every video in a folder, as a table.

python examples/predict_in_python.py MODEL FOLDER "archery, surfing, playing the violin"
"""

import pathlib
import sys

import actionclip_jax
from actionclip_jax import inference
from actionclip_jax.data.video import find


def main(model: str, folder: str, labels: str) -> None:
    """Prints a line for each video: the three most probable labels, or why the video cannot be used."""
    predictor = actionclip_jax.load(model)
    videos = sorted(find.find_below(pathlib.Path(folder)).videos)
    results = predictor.predict_each(videos, [label.strip() for label in labels.split(",")])
    for file, result in zip(videos, results, strict=True):
        if isinstance(result, inference.Prediction):
            answer = ", ".join(f"{label} {probability:.0%}" for label, probability in result.top(3))
        else:
            answer = f"not used: {result}"
        print(f"{file.name:<30} {answer}")


if __name__ == "__main__":
    main(*sys.argv[1:])
