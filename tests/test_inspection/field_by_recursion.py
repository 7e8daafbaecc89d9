"""Activate fields by recursion over single values, in plain Python: an independent computation of the definition.

A network is a list of steps, run on nested lists ``[channel][row][column]``. Each value is a pair: the number, and the share of it
that came with each growth. Nothing of torch is used.
"""

from collections import defaultdict


def weighted(terms, bias=0.0):
    """A weighted sum of (weight, value) pairs; each term takes its share by its size."""
    number = bias + sum(weight * value[0] for weight, value in terms)
    shares, total = defaultdict(float), sum(abs(weight * value[0]) for weight, value in terms)
    for weight, (term, growths) in terms:
        for growth, share in growths.items():
            if total:
                shares[growth] += abs(weight * term) / total * share
    return number, dict(shares) if total else {0: 1.0}


def convolve(maps, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    height, width = len(maps[0]), len(maps[0][0])
    outs, ins, kh, kw = len(weight), len(weight[0]), len(weight[0][0]), len(weight[0][0][0])
    pad = padding if isinstance(padding, tuple) else (padding, padding)
    rows = (height + 2 * pad[0] - dilation * (kh - 1) - 1) // stride + 1
    columns = (width + 2 * pad[1] - dilation * (kw - 1) - 1) // stride + 1
    result = []
    for out in range(outs):
        group = out // (outs // groups)
        plane = []
        for i in range(rows):
            line = []
            for j in range(columns):
                terms = []
                for c in range(ins):
                    for u in range(kh):
                        for v in range(kw):
                            y, x = (
                                i * stride - pad[0] + u * dilation,
                                j * stride - pad[1] + v * dilation,
                            )
                            if 0 <= y < height and 0 <= x < width:
                                terms.append((weight[out][c][u][v], maps[group * ins + c][y][x]))
                line.append(weighted(terms, bias[out] if bias else 0.0))
            plane.append(line)
        result.append(plane)
    return result


def each(maps, change):
    """Apply a function of (channel, value) to every value."""
    return [
        [[change(c, value) for value in line] for line in plane] for c, plane in enumerate(maps)
    ]


def affine(maps, scale, shift):
    return each(maps, lambda c, value: (scale[c] * value[0] + shift[c], value[1]))


def relu(maps):
    return each(maps, lambda c, value: (max(value[0], 0.0), value[1]))


def both(first, second, join):
    return [
        [[join(a, b) for a, b in zip(*lines)] for lines in zip(*planes)]
        for planes in zip(first, second)
    ]


def add(first, second):
    return both(first, second, lambda a, b: weighted([(1.0, a), (1.0, b)]))


def funnel(maps, condition, growth):
    """``max(x, T)``; where T is taken, what it is made of, each growth increased."""

    def choose(x, t):
        if t[0] > x[0]:
            return t[0], {g + growth: share for g, share in t[1].items()}
        return x

    return both(maps, condition, choose)


def max_pool(maps, size):
    result = []
    for plane in maps:
        lines = []
        for i in range(0, len(plane) - size + 1, size):
            lines.append(
                [
                    max(
                        (plane[i + u][j + v] for u in range(size) for v in range(size)),
                        key=lambda value: value[0],
                    )
                    for j in range(0, len(plane[0]) - size + 1, size)
                ]
            )
        result.append(lines)
    return result


def start(numbers):
    return [[[(value, {0: 1.0}) for value in line] for line in plane] for plane in numbers]


def parts(maps):
    """Sum over the channels of what came with each growth, ``{growth: [row][column]}``."""
    growths = sorted({g for plane in maps for line in plane for value in line for g in value[1]})
    return {
        g: [
            [
                sum(abs(plane[i][j][0]) * plane[i][j][1].get(g, 0.0) for plane in maps)
                for j in range(len(maps[0][0]))
            ]
            for i in range(len(maps[0]))
        ]
        for g in growths
    }
