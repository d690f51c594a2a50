"""Does a small network leave the language prior? Runs over seeds for lesson 01.

    python -m course_utils.studies prior_runs

trains a port of the network that easy-VQA's author published beside the data (easy-VQA-keras, small
model), from two initialisations, and writes data/studies/prior_runs.json. Runs that the file holds already
are not repeated. It takes about ten minutes on one CPU core. With `--batches questions` batches are
formed as the author did, which takes about five times as long.
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from course_utils.datasets import VQAData, load_easy_vqa, loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.studies.runs import read_runs, write_runs

INITS = ("torch", "keras")
BATCHES = ("questions", "pictures")


class SmallNetwork(nn.Module):
    """Two convolutions without a non-linearity for the picture, two dense layers for the bag of
    words, their elementwise product, two more dense layers: about 136,000 weights.

    Raises:
        ValueError: unknown initialisation.
    """

    def __init__(self, vocab_size: int, answers: int, init: str = "torch", dim: int = 32):
        super().__init__()
        if init not in INITS:
            raise ValueError(f"init: expected one of {', '.join(INITS)}, got {init!r}")
        self.vocab_size = vocab_size
        self.picture = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.MaxPool2d(2),  # (images, 8, 32, 32)
            nn.Conv2d(8, 16, 3, padding=1),
            nn.MaxPool2d(2),  # (images, 16, 16, 16)
            nn.Flatten(),
            nn.Linear(16 * 16 * 16, dim),
            nn.Tanh(),  # (images, dim)
        )
        self.question = nn.Sequential(
            nn.Linear(vocab_size, dim), nn.Tanh(), nn.Linear(dim, dim), nn.Tanh()
        )
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, answers))
        if init == "keras":
            self.apply(keras_init)

    def forward(
        self,
        images: Float[Tensor, "images 3 64 64"],
        image_index: Int[Tensor, " batch"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"],
    ) -> Float[Tensor, "batch answers"]:
        v = self.picture(images - 0.5)[image_index]  # (batch, dim)
        x, mask = x[:, 1:], mask[:, 1:]  # (batch, words - 1): [CLS] is not a word
        words = torch.zeros(len(x), self.vocab_size, device=x.device)  # (batch, vocab)
        words.scatter_reduce_(1, x, mask.float(), reduce="amax")  # 1 where the word occurs
        return self.head(v * self.question(words))  # (batch, answers)


def keras_init(module: nn.Module) -> None:
    """Keras' default for dense and convolutional layers: Glorot uniform weights, zero biases."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def batches(data: VQAData, kind: str, seed: int) -> DataLoader:
    """Batches of 32 questions in random order, as the author has them ("questions"), or of three
    pictures with all their questions, about 29 ("pictures"), which encodes each picture once.

    Raises:
        ValueError: unknown kind.
    """
    if kind == "pictures":
        return loader(data, images_per_batch=3, seed=seed)
    if kind != "questions":
        raise ValueError(f"kind: expected one of {', '.join(BATCHES)}, got {kind!r}")
    order = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    return DataLoader(data, 32, sampler=order, collate_fn=lambda batch: batch)


def train(
    model: nn.Module, data: DataLoader, epochs: int, lr: float = 5e-4, max_steps: int = 0
) -> Iterator[float]:
    """Adam with Keras' settings, without schedule or clipping; after each epoch the mean loss of its
    batches, measured while the weights moved. `max_steps` above 0 ends an epoch after so many updates."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, eps=1e-7)
    for epoch in range(epochs):
        if hasattr(data.batch_sampler, "set_epoch"):
            data.batch_sampler.set_epoch(epoch)
        model.train()
        losses = []
        for batch in data:
            optimizer.zero_grad()
            logits = model(batch.images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
            loss = F.cross_entropy(logits, batch.y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == max_steps:
                break
        model.eval()
        yield sum(losses) / len(losses)


def run(train_data: VQAData, test: VQAData, init: str, kind: str, seed: int, epochs: int) -> dict:
    """One run; all accuracies are shares on the test questions, and nothing is chosen by them."""
    torch.manual_seed(seed)
    model = SmallNetwork(train_data.tokenizer.get_vocab_size(), len(train_data.answers), init)
    losses, accuracies = [], []
    for loss in train(model, batches(train_data, kind, seed), epochs):
        losses.append(round(loss, 4))
        accuracies.append(round(evaluate(model, test).accuracy, 4))
    last = evaluate(model, test)
    shuffled = evaluate(model, test.shuffle_images(seed))
    return {
        "init": init,
        "batches": kind,
        "seed": seed,
        "loss": losses,
        "test": accuracies,
        "by_family": {name: round(share, 4) for name, share in last.by_family.items()},
        "shuffled": round(shuffled.accuracy, 4),
        "same_answers": round((last.predictions == shuffled.predictions).double().mean().item(), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--batches", choices=BATCHES, nargs="+", default=["pictures"])
    parser.add_argument("--out", type=Path, default=Path("data/studies/prior_runs.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = read_runs(options.out)
    known = {(r["init"], r["batches"], r["seed"], len(r["test"])) for r in runs}
    train_data = load_easy_vqa("train")
    test = load_easy_vqa("test", train_data.tokenizer, train_data.answers)
    for seed, kind, init in product(options.seeds, options.batches, INITS):
        if (init, kind, seed, options.epochs) in known:
            continue
        new = run(train_data, test, init, kind, seed, options.epochs)
        runs.append(new)
        print(f"{init:5}  {kind:9}  seed {seed}  {new['test']}", flush=True)
        runs.sort(key=lambda r: (r["batches"], r["init"], r["seed"]))
        write_runs(options.out, runs, "python -m course_utils.studies prior_runs")


if __name__ == "__main__":
    main()
