"""The way in which the method was published, in plain PyTorch: to compare the speed with, and no part of the package.

A multilayer perceptron whose weights have the posterior N(mean(λ), stddev(λ)²), both piecewise linear in the encoded
complexity s between 2 sets of weights (linear) or 6. In a step the whole batch is passed once for each of 5 λ, each
with one draw of all weights, and the 5 losses are averaged; prior N(0, 1), Adam at 5e-4, gradients clipped at 1.
Written from the description of the method.

pip install torch
python -m benchmarks.published.authors_torch --dataset mnist --epochs 1
"""

import argparse
import itertools
import math
import time

import torch

COMPLEXITY_RANGE = (1e-3, 1e2)


class Hypernetwork(torch.nn.Module):
    """Piecewise-linear hypernetwork of a multilayer perceptron with ReLU.

    Args:
        sizes: Number of inputs, of units of each hidden layer, and of classes.
        pivots: Number of weight sets, at least 2.
    """

    def __init__(self, sizes, pivots):
        super().__init__()
        self.pivots = pivots
        self.means, self.log_stddevs = torch.nn.ParameterList(), torch.nn.ParameterList()
        for inputs, units in itertools.pairwise(sizes):
            for shape in ((inputs, units), (units,)):
                self.means.append(torch.randn(pivots, *shape) / math.sqrt(inputs))
                self.log_stddevs.append(torch.full((pivots, *shape), -3.0))

    def draw(self, encoded_complexity):
        """One draw of all weights at an encoded complexity in [0, 1], and the KL from N(0, 1) in nats."""
        left = min(int(encoded_complexity * (self.pivots - 1)), self.pivots - 2)
        fraction = encoded_complexity * (self.pivots - 1) - left
        weights, kl = [], 0.0
        for means, log_stddevs in zip(self.means, self.log_stddevs, strict=True):
            mean = (1 - fraction) * means[left] + fraction * means[left + 1]
            log_stddev = (1 - fraction) * log_stddevs[left] + fraction * log_stddevs[left + 1]
            stddev = torch.exp(log_stddev)
            weights.append(mean + stddev * torch.randn_like(mean))
            kl = kl + 0.5 * (mean.square() + stddev.square() - 1 - 2 * log_stddev).sum()
        return weights, kl


def outputs_of(weights, x):
    """Logits of the perceptron with some weights: kernel and bias of each layer in turn."""
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    for kernel, bias in layers[:-1]:
        x = torch.relu(torch.addmm(bias, x, kernel))
    return torch.addmm(layers[-1][1], x, layers[-1][0])


def train_step(network, optimizer, x, y, train_size, complexities=5):
    """One step on a batch; returns the loss as a tensor."""
    low, high = map(math.log, COMPLEXITY_RANGE)
    loss = 0.0
    for encoded in torch.rand(complexities).tolist():
        weights, kl = network.draw(encoded)
        nll = torch.nn.functional.cross_entropy(outputs_of(weights, x), y)
        loss = loss + nll + math.exp(low + encoded * (high - low)) * kl / train_size
    loss = loss / complexities
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(network.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--pivots", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=256)
    args = parser.parse_args()
    from cvhn_tf import datasets

    data = datasets.load(args.dataset)
    x, x_test = (torch.from_numpy(images.reshape(len(images), -1) * 2 - 1) for images in (data.x_train, data.x_test))
    y, y_test = (torch.from_numpy(labels.astype("int64")) for labels in (data.y_train, data.y_test))
    network = Hypernetwork((x.shape[1], 50, data.num_classes), args.pivots)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
    start = time.perf_counter()
    for _ in range(args.epochs):
        for batch, labels in zip(x.split(args.batch_size), y.split(args.batch_size), strict=True):
            train_step(network, optimizer, batch, labels, len(x))
    print(f"{time.perf_counter() - start:.1f} s")
    with torch.no_grad():
        for encoded in (0.0, 0.25, 0.5, 0.75, 1.0):
            weights, kl = network.draw(encoded)
            accuracy = (outputs_of(weights, x_test).argmax(1) == y_test).float().mean()
            print(f"s = {encoded}: accuracy {accuracy:.4f}, KL {kl / math.log(2):,.0f} bits")


if __name__ == "__main__":
    main()
