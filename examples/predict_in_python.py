"""The best labels of every video in a folder, as a table.

python examples/predict_in_python.py MODEL FOLDER "archery, surfing, playing the violin"
"""

import pathlib
import sys

import actionclip_jax
from actionclip_jax import inference


def main(model: str, folder: str, labels: str) -> None:
    """Prints a line for each video: the three most probable labels, or why the video cannot be used."""
    with actionclip_jax.load(model) as predictor:
        results = predictor.predict(folder, class_names=labels.split(","))
    for result in results:
        if isinstance(result, inference.Prediction):
            answer = ", ".join(f"{name} {probability:.0%}" for name, probability in result.top(3))
        else:
            answer = f"not used: {result.reason}"
        print(f"{pathlib.Path(result.path).name:<30} {answer}")


if __name__ == "__main__":
    main(*sys.argv[1:])
