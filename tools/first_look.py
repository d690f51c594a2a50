"""Draw docs/first_look.png, the picture at the top of README, with what the shipped model answers.

python -m tools.first_look
"""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from course_utils.datasets.easy_vqa import draw_shape
from course_utils.methods.answering import trained_easy_vqa
from course_utils.notebook import plots
from course_utils.notebook.widgets import likeliest

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "what color is the triangle?"
SCENES = {  # what was done to the picture -> the picture
    "a picture": draw_shape("triangle", "teal", size=34, x=30, y=30),
    "another picture": draw_shape("triangle", "red", size=22, x=42, y=38),
    "the picture covered": draw_shape("triangle", "teal", covered=True),
}


def answers() -> dict[str, tuple[str, float]]:
    """For each scene the model's answer with its probability in per cent."""
    model = trained_easy_vqa()
    return {
        scene: likeliest(model.probabilities(picture, QUESTION), model.answers, 1)[0]
        for scene, picture in SCENES.items()
    }


def draw() -> Figure:
    """The scenes under the question, each with the answer below it."""
    plots.style()
    figure, axes = plt.subplots(1, len(SCENES), figsize=(8, 3.8), layout="none")
    figure.subplots_adjust(left=0.04, right=0.96, top=0.77, bottom=0.22, wspace=0.35)
    figure.suptitle(f"“{QUESTION}”", fontsize=18, y=0.98)
    for (scene, (answer, sure)), axis in zip(answers().items(), axes):
        axis.imshow(plots.as_picture(SCENES[scene]))
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color="#BBBBBB")
        axis.set_title(scene, fontsize=13, color="#444444", pad=8)
        low = {"xycoords": "axes fraction", "ha": "center", "va": "center"}
        axis.annotate(f"“{answer}”", (0.5, -0.15), fontsize=18, fontweight="bold", **low)
        axis.annotate(f"{sure:.0f} % sure", (0.5, -0.32), fontsize=12, color="#444444", **low)
    return figure


def main(root: Path = ROOT) -> None:
    (root / "docs" / "first_look.png").write_bytes(plots.png(draw()))
    print("docs/first_look.png")


if __name__ == "__main__":
    main()
